// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Long runs.

use chmu_spec::address::UnitIndex;
use chmu_spec::chmu::Mode;

use crate::bench::{Bench, Setup};
use crate::case::{Case, case};
use crate::outcome::{Outcome, Passed, Stop, expect, expect_equal, skip};
use crate::shown::Shown;

pub(super) const CASES: &[Case] = &[
    case(
        "stress/drain-under-fire",
        "Makes units hot epoch after epoch, drains now and then, and adds up.",
        drain_under_fire,
    ),
    case(
        "stress/wraps-over-and-over",
        "Fills and drains the list until it has wrapped very often.",
        wraps_over_and_over,
    ),
    case(
        "stress/enable-disable",
        "Enables and disables very often, then makes a unit hot.",
        enable_disable,
    ),
];

/// How often a short list wraps: more often than a number of 16 bits counts. Over a socket a million times take minutes.
const WRAPS: u64 = 100_000;
/// A list of so many entries is short.
const SHORT_LIST: u64 = 4;
/// Entries that pass through a longer list.
const ENTRIES: u64 = 200_000;
/// Requests of all wraps together: a down-sampling that takes more of them takes minutes.
const WRAPPING_REQUESTS: u64 = 1 << 26;
/// What a clock that runs by itself has patience for.
const UNHURRIED_ROUNDS: u64 = 10;

fn drain_under_fire(bench: &mut Bench<'_>) -> Outcome {
    let exact = bench.is_exact();
    let mut setup = bench.epoch_setup()?;
    // Some set overflow only while its interrupt is enabled.
    setup.overflow_interrupt = bench.capabilities_0()?.overflow_interrupt();
    let size = bench.capabilities_0()?.hotlist_entries();
    let room = usize::from(size.saturating_sub(1));
    // Where others list units as well, a part of the room is left to them.
    let count = if exact { room } else { room.div_ceil(2) };
    let units = bench.units(setup.unit_size, count.min(64))?;
    let rounds = match bench.subject().has_manual_clock() {
        true => 500,
        false => UNHURRIED_ROUNDS,
    };
    let count = setup.hot().min(setup.largest_count);
    // While a list with a backlog is full, nobody sees where epochs end.
    let keeps_up =
        !bench.subject().has_manual_clock() && bench.capabilities_1()?.postponed_insertion();
    bench.start(&setup)?;
    let mut reported = 0;
    let mut seen = Vec::new();
    for round in 0..rounds {
        // A part of the units in each round, drained in every third only. A processor that fetches ahead
        // makes units hot that follow those of a part.
        let part = match exact {
            true => units.len() - usize::try_from(round).unwrap_or(0) % units.len(),
            false => units.len(),
        };
        let touches: Vec<_> = units[..part]
            .iter()
            .map(|unit| (*unit, setup.hot()))
            .collect();
        bench.touch(&setup, &touches)?;
        bench.end_epoch(&setup)?;
        reported += part;
        if round % 3 == 2 || keeps_up || bench.status()?.overflow() {
            seen.extend(bench.drain()?);
        }
    }
    // A backlog may refill the list as often as it is drained, but not for ever.
    while seen.len() <= reported {
        let entries = bench.drain()?;
        if entries.is_empty() {
            break;
        }
        seen.extend(entries);
    }
    let read = seen.len().to_string();
    expect(
        seen.len() <= reported,
        "entries drained",
        read,
        format!("{reported} at most"),
    )?;
    if !bench.status()?.overflow() {
        expect_equal("entries drained, with no overflow", seen.len(), reported)?;
    }
    for entry in seen {
        let counted = match exact {
            true => entry.count == count,
            false => entry.count >= count,
        };
        let known = units.contains(&entry.unit) && counted;
        expect(
            known,
            "a drained entry",
            entry.shown(),
            match exact {
                true => format!("a touched unit with count {count}"),
                false => format!("a touched unit with count {count} or more"),
            },
        )?;
    }
    Ok(Passed::Plainly)
}

fn wraps_over_and_over(bench: &mut Bench<'_>) -> Outcome {
    bench.need_exact_traffic()?;
    if !bench.subject().has_manual_clock() {
        return skip("so many wraps take too long on a clock that runs by itself");
    }
    let modes = [bench.always_on_setup(), bench.epoch_setup()];
    let modes: Vec<_> = modes.into_iter().flatten().collect();
    if modes.is_empty() {
        return skip("the instance has neither mode");
    }
    bench.each(modes, |bench, mut setup| {
        setup.threshold = setup.threshold.min(2);
        wraps_with(bench, &setup)?;
        bench.quiesce()
    })?;
    Ok(Passed::Plainly)
}

fn wraps_with(bench: &mut Bench<'_>, setup: &Setup) -> Result<(), Stop> {
    let size = u64::from(bench.capabilities_0()?.hotlist_entries());
    let room = usize::try_from(size.saturating_sub(1)).unwrap_or(usize::MAX);
    let units = bench.units(setup.unit_size, room.min(256))?;
    let entries = match size <= SHORT_LIST {
        true => WRAPS * size,
        false => ENTRIES,
    };
    if entries * setup.hot() * setup.factor() > WRAPPING_REQUESTS {
        let factor = setup.factor();
        return skip(format!(
            "with a down-sampling by {factor} at least so many wraps take too many requests"
        ));
    }
    let rounds = entries / units.len() as u64 + 1;
    bench.start(setup)?;
    let accesses = match setup.mode {
        Mode::Epoch => setup.hot(),
        Mode::AlwaysOn => accesses_for_one_report(bench, setup, units[0])?,
    };
    let touches: Vec<(UnitIndex, u64)> = units.iter().map(|unit| (*unit, accesses)).collect();
    for round in 0..rounds {
        bench.touch(setup, &touches)?;
        bench.end_epoch(setup)?;
        let mut seen = bench.drain()?;
        if seen.len() != units.len() {
            expect_equal(
                format!("entries drained in round {round}"),
                seen.len(),
                units.len(),
            )?;
        }
        // In which order they are listed is another question.
        seen.sort_unstable_by_key(|entry| entry.unit);
        for (entry, unit) in seen.iter().zip(&units) {
            if entry.unit != *unit {
                expect_equal(format!("unit drained in round {round}"), entry.unit, *unit)?;
            }
            // What an entry of always-on mode counts is read in several ways.
            if setup.mode == Mode::Epoch && entry.count != accesses {
                let what = format!("count of unit {:#x}, drained in round {round}", unit.0);
                expect_equal(what, entry.count, accesses)?;
            }
        }
    }
    Ok(())
}

/// In always-on mode: as many as the threshold, or one more where a count must pass it. Then the counter begins anew.
fn accesses_for_one_report(
    bench: &mut Bench<'_>,
    setup: &Setup,
    unit: UnitIndex,
) -> Result<u64, Stop> {
    let threshold = u64::from(setup.threshold);
    for (more, accesses) in [(threshold, threshold), (1, threshold + 1)] {
        bench.touch(setup, &[(unit, more)])?;
        bench.end_epoch(setup)?;
        if !bench.drain()?.is_empty() {
            return Ok(accesses);
        }
    }
    skip("a unit is not listed at its threshold, nor above it")
}

fn enable_disable(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    let rounds = match bench.subject().has_manual_clock() {
        true => 2000,
        false => 50,
    };
    for _ in 0..rounds {
        bench.start(&setup)?;
        bench.stop()?;
    }
    let unit = bench.units(setup.unit_size, 1)?[0];
    let seen: Vec<_> = bench
        .observe(&setup, &[(unit, setup.hot())])?
        .iter()
        .map(|entry| entry.unit)
        .collect();
    let what = format!("whether a hot unit is listed after {rounds} enables and disables");
    expect_equal(what, seen.contains(&unit), true)?;
    Ok(Passed::Plainly)
}
