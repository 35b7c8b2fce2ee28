// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Counters and unit ids.

use chmu_spec::address::{Dpa, UnitIndex};
use chmu_spec::chmu::Mode;
use chmu_spec::hotlist::Entry;
use chmu_spec::unit_size::UnitSize;

use super::status;
use crate::bench::{Bench, Setup};
use crate::case::{Case, case};
use crate::outcome::{Outcome, Passed, Stop, each, expect, expect_equal, skip};
use crate::subject::Request;

pub(super) const CASES: &[Case] = &[
    case(
        "counter/width",
        "Writes each unit size and reads the counter width.",
        width,
    ),
    case(
        "counter/exact-count",
        "Accesses a unit 3, 10 and 100 times and reads the counts.",
        exact_count,
    ),
    case(
        "counter/every-place",
        "Fills the list twice with units that are differently hot and reads each count.",
        every_place,
    ),
    case(
        "counter/units-apart",
        "Accesses neighbouring units differently often and reads the counts.",
        units_apart,
    ),
    case(
        "counter/saturation",
        "Accesses a unit more often than its counter can count.",
        saturation,
    ),
    case(
        "counter/unit-id",
        "Makes the highest reachable unit hot in each unit size and reads its id.",
        unit_id,
    ),
    case(
        "counter/unit-borders",
        "Accesses first and last lines of two neighbouring units and reads both counts.",
        unit_borders,
    ),
    case(
        "counter/width-follows-unit-size",
        "Writes the unit sizes up and down and compares the counter widths, enabled as well.",
        width_follows_unit_size,
    ),
    case(
        "counter/width-of-full-list",
        "Reads the counter width while a list that is full has lost a unit.",
        width_of_full_list,
    ),
    case(
        "counter/last-unit",
        "Makes the last reachable unit hot.",
        last_unit,
    ),
    case(
        "counter/large-unit",
        "Accesses eight places all over a unit of 2 MiB or more.",
        large_unit,
    ),
];

/// Places of a list that are looked at in one go.
const MOST_PLACES: usize = 4095;
/// Requests that a saturation case is worth.
const SATURATION_LIMIT: u64 = 1 << 17;

fn width(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    each(bench.unit_sizes()?.iter(), |unit_size| {
        bench.configure(&Setup {
            unit_size,
            ..setup.clone()
        })?;
        let width = bench.status()?.counter_width();
        let what = format!("counter width for units of {unit_size}");
        expect(
            (1..=56).contains(&width),
            what,
            width.to_string(),
            "1 to 56 bits",
        )
    })?;
    Ok(Passed::Plainly)
}

/// For a count that is larger than it has to be.
const MOST_REQUESTS: u64 = 65_536;

fn exact_count(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.epoch_setup()?;
    let unit = bench.units(setup.unit_size, 1)?[0];
    // Beyond a byte where the counter has more; a width that is told wrong is another case's.
    let larger = [300, 1000].into_iter();
    let larger = larger.filter(|count| {
        *count <= setup.largest_count / 2 && count * setup.factor() <= MOST_REQUESTS
    });
    let counts: Vec<_> = [setup.hot(), 10, 100].into_iter().chain(larger).collect();
    bench.each(counts, |bench, count| {
        let touches = [(unit, count)];
        let seen = bench.observe(&setup, &touches)?;
        let what = format!("unit and count after {count} accesses");
        bench.expect_counts(what, &setup, &seen, &touches)?;
        bench.stop()?;
        bench.reset()
    })?;
    Ok(Passed::Plainly)
}

fn every_place(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.epoch_setup()?;
    let room = bench.room()?;
    // Where others list units as well, a part of the room is left to them.
    let count = match bench.is_exact() {
        true => room.min(MOST_PLACES),
        false => room.div_ceil(2).min(MOST_PLACES),
    };
    let units = bench.units(setup.unit_size, count)?;
    let more = (0..3).cycle();
    let touches: Vec<_> = units
        .into_iter()
        .zip(more)
        .map(|(unit, more)| (unit, setup.hot() + more))
        .collect();
    bench.start(&setup)?;
    // A full list leaves one place free: another one the second time.
    for round in 1..=2 {
        bench.touch(&setup, &touches)?;
        bench.end_epoch(&setup)?;
        let seen = bench.drain()?;
        if seen.len() != touches.len() {
            return skip("other units are listed than those that were accessed");
        }
        let what = format!("units and counts, ascending, of {count} hot units, time {round}");
        bench.expect_counts(what, &setup, &seen, &touches)?;
    }
    Ok(Passed::Plainly)
}

fn units_apart(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.epoch_setup()?;
    let room = bench.room()?;
    if room < 2 {
        return skip("the list holds fewer than 2 entries");
    }
    let units = bench.units(setup.unit_size, room.min(4))?;
    let touches: Vec<_> = units.iter().copied().zip([7, 5, 11, 6]).collect();
    let seen = bench.observe(&setup, &touches)?;
    let what = "units and counts after accesses to units side by side";
    bench.expect_counts(what, &setup, &seen, &touches)?;
    Ok(Passed::Plainly)
}

fn saturation(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.epoch_setup()?;
    // The unit size with the narrowest counter makes the shortest case.
    let mut narrowest: Option<Setup> = None;
    for unit_size in bench.unit_sizes()?.iter() {
        let setup = bench.with_unit_size(&setup, unit_size)?;
        if narrowest
            .as_ref()
            .is_none_or(|least| setup.largest_count < least.largest_count)
        {
            narrowest = Some(setup);
        }
    }
    let Some(mut setup) = narrowest else {
        return skip("the instance has no unit size");
    };
    let largest = setup.largest_count;
    if largest >= SATURATION_LIMIT {
        return skip(format!(
            "a count of up to {largest} takes too many requests to fill"
        ));
    }
    setup.threshold = 1;
    let unit = bench.units(setup.unit_size, 1)?[0];
    let seen = bench.observe(&setup, &[(unit, largest + 3)])?;
    let what = format!(
        "units and counts after {} accesses to unit {unit}",
        largest + 3
    );
    let seen: Vec<_> = seen.iter().map(|entry| (entry.unit, entry.count)).collect();
    // Others only add to a count that is full already.
    expect_equal(what, seen, vec![(unit, largest)])?;
    Ok(Passed::Plainly)
}

/// The units of entries. Without epochs, requests that others add list a unit again.
fn units_seen(bench: &mut Bench<'_>, setup: &Setup, entries: &[Entry]) -> Vec<UnitIndex> {
    let mut seen: Vec<_> = entries.iter().map(|entry| entry.unit).collect();
    if setup.mode == Mode::AlwaysOn && !bench.is_exact() {
        seen.dedup();
    }
    seen
}

fn unit_id(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    let sizes = bench.unit_sizes()?;
    bench.each(sizes.iter(), |bench, unit_size| {
        let setup = bench.with_unit_size(&setup, unit_size)?;
        let reachable = bench.reachable(false)?;
        // A high address tells a shifted or masked id from a right one.
        let Some(dpa) = reachable.last().map(|range| Dpa(range.end.0 - 1)) else {
            return skip("the traffic source reaches nothing of the device's memory");
        };
        let unit = UnitIndex(dpa.0 / unit_size.bytes());
        let entries = bench.observe(&setup, &[(unit, setup.hot())])?;
        let seen = units_seen(bench, &setup, &entries);
        let what = format!("units listed after accesses to DPA {dpa} in units of {unit_size}");
        expect_equal(what, seen, vec![unit])?;
        bench.stop()?;
        bench.reset()
    })?;
    Ok(Passed::Plainly)
}

/// Requests to the addresses, in order, as `setup` tracks them.
fn requests(setup: &Setup, addresses: &[Dpa]) -> Vec<Request> {
    let request = |dpa: &Dpa| Request {
        dpa: *dpa,
        kind: setup.tracked_kind(),
        tee: false,
    };
    addresses.iter().map(request).collect()
}

/// The first pair of neighbouring units that traffic reaches whole.
fn whole_neighbours(bench: &mut Bench<'_>, unit_size: UnitSize) -> Result<Dpa, Stop> {
    let bytes = unit_size.bytes();
    for range in bench.reachable(false)? {
        let start = range.start.0.next_multiple_of(bytes);
        if start + 2 * bytes <= range.end.0 {
            return Ok(Dpa(start));
        }
    }
    skip(format!(
        "traffic reaches no two whole units of {unit_size} side by side"
    ))
}

fn unit_borders(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.epoch_setup()?;
    if bench.capabilities_0()?.hotlist_entries() < 3 {
        return skip("the list holds fewer than 2 entries");
    }
    let bytes = setup.unit_size.bytes();
    let start = whole_neighbours(bench, setup.unit_size)?;
    let first = UnitIndex(start.0 / bytes);
    let next = UnitIndex(first.0 + 1);
    let at = |offset: u64| Dpa(start.0 + offset);
    let addresses = [
        at(0),
        at(bytes - 64),
        at(bytes - 64),
        at(bytes),
        at(bytes),
        at(2 * bytes - 64),
        at(2 * bytes - 64),
    ];
    bench.start(&setup)?;
    bench.perform(&setup, &requests(&setup, &addresses))?;
    bench.end_epoch(&setup)?;
    let seen = bench.drain()?;
    let what = "units and counts after accesses to first and last bytes of neighbours";
    bench.expect_counts(what, &setup, &seen, &[(first, 3), (next, 4)])?;
    Ok(Passed::Plainly)
}

fn width_follows_unit_size(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    let sizes: Vec<_> = bench.unit_sizes()?.iter().collect();
    let mut first = Vec::new();
    for unit_size in &sizes {
        bench.configure(&Setup {
            unit_size: *unit_size,
            ..setup.clone()
        })?;
        first.push(bench.status()?.counter_width());
    }
    bench.each(
        sizes.iter().zip(first).rev(),
        |bench, (unit_size, width)| {
            bench.configure(&Setup {
                unit_size: *unit_size,
                ..setup.clone()
            })?;
            let what = format!("counter width for units of {unit_size}, written again");
            expect_equal(what, bench.status()?.counter_width(), width)?;
            let setup = bench.with_unit_size(&setup, *unit_size)?;
            bench.start(&setup)?;
            let what = format!("counter width for units of {unit_size} while enabled");
            expect_equal(what, bench.status()?.counter_width(), width)?;
            bench.stop()
        },
    )?;
    Ok(Passed::Plainly)
}

fn width_of_full_list(bench: &mut Bench<'_>) -> Outcome {
    let setup = status::with_interrupts(bench)?;
    bench.start(&setup)?;
    let empty = bench.status()?.counter_width();
    bench.quiesce()?;
    status::fill(bench)?;
    let what = "counter width while hot units are listed";
    expect_equal(what, bench.status()?.counter_width(), empty)?;
    Ok(Passed::Plainly)
}

fn last_unit(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    let end = bench
        .reachable(false)?
        .last()
        .map_or(0, |range| range.end.0);
    let unit = UnitIndex((end - 1) / setup.unit_size.bytes());
    let entries = bench.observe(&setup, &[(unit, setup.hot())])?;
    let seen = units_seen(bench, &setup, &entries);
    let what = "units listed after accesses to the last reachable unit";
    expect_equal(what, seen, vec![unit])?;
    Ok(Passed::Plainly)
}

fn large_unit(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.epoch_setup()?;
    let Some(unit_size) = bench
        .unit_sizes()?
        .iter()
        .filter(|size| size.bytes() >= 2 << 20)
        .last()
    else {
        return skip("the instance has no units of 2 MiB or more");
    };
    let setup = bench.with_unit_size(&setup, unit_size)?;
    let reachable = bench.reachable(false)?;
    let Some(range) = reachable.first() else {
        return skip("the traffic source reaches nothing of the device's memory");
    };
    let unit = UnitIndex(range.start.0 / unit_size.bytes());
    let end = range
        .end
        .0
        .min((unit.0 + 1).saturating_mul(unit_size.bytes()));
    let step = ((end - range.start.0) / 8).max(64) / 64 * 64;
    let addresses: Vec<_> = (0..8)
        .map(|number| Dpa(range.start.0 + number * step))
        .filter(|dpa| dpa.0 < end)
        .collect();
    bench.start(&setup)?;
    bench.perform(&setup, &requests(&setup, &addresses))?;
    bench.end_epoch(&setup)?;
    let seen = bench.drain()?;
    let what = format!("unit and count after accesses all over a unit of {unit_size}");
    bench.expect_counts(what, &setup, &seen, &[(unit, addresses.len() as u64)])?;
    Ok(Passed::Plainly)
}
