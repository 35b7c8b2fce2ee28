// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The ring of entries.

use chmu_spec::address::UnitIndex;
use chmu_spec::chmu::{EpochType, RANGE_BYTES};
use chmu_spec::hotlist::Entry;

use crate::bench::{Bench, Setup};
use crate::case::{Case, case};
use crate::outcome::{Outcome, Passed, Stop, each, expect, expect_equal, fail, skip};
use crate::shown::Shown;

pub(super) const CASES: &[Case] = &[
    case(
        "hotlist/empty-after-reset",
        "Resets and compares head and tail.",
        empty_after_reset,
    ),
    case(
        "hotlist/holds-size-less-one",
        "Makes as many units hot as the list holds and drains it.",
        holds_size_less_one,
    ),
    case(
        "hotlist/tail-counts-entries",
        "Makes some units hot and looks how far the tail moved.",
        tail_counts_entries,
    ),
    case(
        "hotlist/wraps",
        "Fills the list three times and drains it, half of it first.",
        wraps,
    ),
    case(
        "hotlist/head-frees-entries",
        "Fills the list, moves the head by one, reads it and makes another unit hot.",
        head_frees_entries,
    ),
    case(
        "hotlist/head-out-of-range",
        "Writes a head beyond the last entry.",
        head_out_of_range,
    ),
    case(
        "hotlist/head-past-tail",
        "Writes a head one past the tail.",
        head_past_tail,
    ),
    case(
        "hotlist/full-list-keeps-entries",
        "Makes the newest units hot again while the list is full and reads it.",
        full_list_keeps_entries,
    ),
    case(
        "hotlist/hottest-kept",
        "Makes two units more hot than the list holds, the two highest hottest.",
        hottest_kept,
    ),
    case(
        "hotlist/order",
        "Makes three units hot, the middle one hottest, and reads their order.",
        order,
    ),
    case(
        "hotlist/no-duplicates",
        "Accesses several units in turn and looks for repeated entries.",
        no_duplicates,
    ),
    case(
        "hotlist/units-exist",
        "Makes units hot and compares each entry with the end of the memory.",
        units_exist,
    ),
    case(
        "hotlist/tail-in-range",
        "Takes the tail around the list and compares it with the size each time.",
        tail_in_range,
    ),
    case(
        "hotlist/reuse-after-drain",
        "Overflows the list, drains it and fills it again.",
        reuse_after_drain,
    ),
];

/// The names of the two known orders, and of anything else.
const HOTTEST_FIRST: &str = "hottest first";

const LOWEST_FIRST: &str = "lowest address first";

const OTHER_ORDER: &str = "another order";

/// The units of entries, in their order.
pub(super) fn listed(entries: &[Entry]) -> Vec<UnitIndex> {
    entries.iter().map(|entry| entry.unit).collect()
}

pub(super) fn sorted(mut units: Vec<UnitIndex>) -> Vec<UnitIndex> {
    units.sort();
    units
}

pub(super) fn hot(setup: &Setup, units: &[UnitIndex]) -> Vec<(UnitIndex, u64)> {
    units.iter().map(|unit| (*unit, setup.hot())).collect()
}

/// Starts and makes so many units hot that the list is full, with `more` above that. With exact
/// traffic it is filled exactly with `more` of 0; otherwise others may take a part of its room.
pub(super) fn fill(
    bench: &mut Bench<'_>,
    setup: &Setup,
    more: usize,
) -> Result<Vec<UnitIndex>, Stop> {
    let room = bench.room()?;
    let units = bench.units(setup.unit_size, room + more)?;
    bench.start(setup)?;
    bench.touch(setup, &hot(setup, &units))?;
    bench.end_epoch(setup)?;
    Ok(units)
}

fn empty_after_reset(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    let wanted = bench.room()?.min(2);
    let units = bench.units(setup.unit_size, wanted)?;
    bench.start(&setup)?;
    bench.touch(&setup, &hot(&setup, &units))?;
    bench.end_epoch(&setup)?;
    let listed = bench.occupancy()?;
    bench.stop()?;
    bench.reset()?;
    let (head, tail) = (bench.head()?, bench.tail()?);
    expect_equal("hotlist tail after a reset", tail, head)?;
    match listed {
        0 => skip("nothing was listed before the reset"),
        _ => Ok(Passed::Plainly),
    }
}

fn holds_size_less_one(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    let units = fill(bench, &setup, 0)?;
    let size = bench.capabilities_0()?.hotlist_entries();
    let entries = bench.peek_all()?;
    let what = format!(
        "entries of a list of size {size} after {} hot units",
        units.len()
    );
    expect_equal(what, entries.len(), units.len())?;
    if bench.is_exact() {
        expect_equal(
            "units of the full list, ascending",
            sorted(listed(&entries)),
            units,
        )?;
    }
    Ok(Passed::Plainly)
}

fn tail_counts_entries(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    let size = bench.capabilities_0()?.hotlist_entries();
    let wanted = bench.room()?.min(3);
    let units = bench.units(setup.unit_size, wanted)?;
    bench.start(&setup)?;
    let before = bench.tail()?;
    bench.touch(&setup, &hot(&setup, &units))?;
    bench.end_epoch(&setup)?;
    let moved = usize::from(chmu_spec::hotlist::occupancy(before, bench.tail()?, size));
    match bench.is_exact() {
        true => expect_equal("entries that the tail moved by", moved, units.len())?,
        false => expect(
            moved >= units.len(),
            "entries that the tail moved by",
            moved.to_string(),
            format!("{} or more", units.len()),
        )?,
    }
    Ok(Passed::Plainly)
}

fn wraps(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.epoch_setup()?;
    let room = bench.room()?;
    // Where others list units as well, a part of the room is left to them.
    let count = if bench.is_exact() {
        room
    } else {
        room.div_ceil(2)
    };
    let units = bench.units(setup.unit_size, count)?;
    bench.start(&setup)?;
    // Each round fills the list but for one place, so that three rounds cross its end.
    for round in 0..3 {
        bench.touch(&setup, &hot(&setup, &units))?;
        bench.end_epoch(&setup)?;
        let mut entries = free_half(bench, round)?;
        entries.retain(|entry| units.binary_search(&entry.unit).is_ok());
        entries.extend(bench.drain()?);
        let seen = sorted(listed(&entries));
        expect_equal(
            format!("units listed in round {round}"),
            seen,
            units.clone(),
        )?;
    }
    Ok(Passed::Plainly)
}

/// Moves the head past half of the entries, which it returns; the others are still there.
fn free_half(bench: &mut Bench<'_>, round: u32) -> Result<Vec<Entry>, Stop> {
    let size = bench.capabilities_0()?.hotlist_entries();
    let mut entries = bench.peek_all()?;
    let rest = entries.split_off(entries.len() / 2);
    let head = entries.iter().fold(bench.head()?, |head, _| {
        chmu_spec::hotlist::next_index(head, size)
    });
    bench.set_head(head)?;
    let mut kept = bench.peek_all()?;
    // Others may list units meanwhile.
    kept.truncate(rest.len());
    let what = format!("entries after the head was moved past half of them in round {round}");
    expect_equal(what, kept, rest)?;
    Ok(entries)
}

fn head_frees_entries(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    if bench.room()? < 3 {
        return skip("the list holds fewer than 3 entries");
    }
    // Where others list units as well, nobody knows who takes a place that is freed.
    let units = match bench.is_exact() {
        true => fill(bench, &setup, 0)?,
        false => {
            let units = bench.units(setup.unit_size, 3)?;
            bench.start(&setup)?;
            bench.touch(&setup, &hot(&setup, &units))?;
            bench.end_epoch(&setup)?;
            units
        }
    };
    let before = bench.peek_all()?;
    if before.len() < units.len() {
        return skip("fewer entries were listed than units were hot");
    }
    let next =
        chmu_spec::hotlist::next_index(bench.head()?, bench.capabilities_0()?.hotlist_entries());
    bench.set_head(next)?;
    expect_equal("head after it was moved by one", bench.head()?, next)?;
    let expected = before.get(1..).unwrap_or_default().to_vec();
    let mut after = bench.peek_all()?;
    if !bench.is_exact() {
        after.truncate(expected.len());
    }
    expect_equal("entries after the head was moved by one", after, expected)?;
    if bench.is_exact() {
        // A head that only reads as it was written frees nothing. Without epochs a unit that was hot may have a part of
        // its count left, so this is another one.
        let fresh = bench.units(setup.unit_size, units.len() + 1)?;
        bench.touch(
            &setup,
            &hot(&setup, fresh.get(units.len()..).unwrap_or_default()),
        )?;
        bench.end_epoch(&setup)?;
        expect_equal(
            "entries after one of a full list was freed and another unit was hot",
            bench.peek_all()?.len(),
            before.len(),
        )?;
    }
    Ok(Passed::Plainly)
}

/// What became of a head that no driver should write; it is one where the list has as many free
/// places between the tail and it.
fn strange_head(bench: &mut Bench<'_>, head: u16) -> Outcome {
    let kept = bench.head()?;
    // A head that cannot be moved at all does not ignore this one.
    let size = bench.capabilities_0()?.hotlist_entries();
    if kept == bench.tail()? {
        return skip("nothing was listed that a head could pass");
    }
    bench.set_head(head)?;
    let read = bench.head()?;
    let wrapped = head.checked_rem(size).unwrap_or(head);
    let reading = match read {
        read if read == kept => "ignored",
        read if read == head || read == wrapped => return Ok(Passed::As("taken over")),
        read => {
            return fail(
                format!("head after a write of {head} to {kept}"),
                read.to_string(),
                format!("{kept} (or {head})"),
            );
        }
    };
    let next = chmu_spec::hotlist::next_index(kept, size);
    bench.set_head(next)?;
    match bench.head()? {
        moved if moved == next => Ok(Passed::As(reading)),
        _ => skip("the head cannot be moved at all"),
    }
}

fn head_out_of_range(bench: &mut Bench<'_>) -> Outcome {
    let size = bench.capabilities_0()?.hotlist_entries();
    let setup = bench.setup()?;
    let unit = bench.units(setup.unit_size, 1)?[0];
    bench.start(&setup)?;
    bench.touch(&setup, &[(unit, setup.hot())])?;
    bench.end_epoch(&setup)?;
    // Taken modulo the size it would be the tail: a head that frees the entry.
    match size.checked_add(bench.tail()?) {
        Some(beyond) => strange_head(bench, beyond),
        None => skip("16 bits hold no index that far beyond the list"),
    }
}

fn head_past_tail(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    if bench.room()? < 3 {
        return skip("the list holds fewer than 3 entries");
    }
    let unit = bench.units(setup.unit_size, 1)?[0];
    bench.start(&setup)?;
    bench.touch(&setup, &[(unit, setup.hot())])?;
    bench.end_epoch(&setup)?;
    let size = bench.capabilities_0()?.hotlist_entries();
    let past = chmu_spec::hotlist::next_index(bench.tail()?, size);
    strange_head(bench, past)
}

fn full_list_keeps_entries(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    let units = fill(bench, &setup, 0)?;
    let before = bench.peek_all()?;
    if before.len() < bench.room()? {
        return skip("the list could not be filled");
    }
    // Others than the oldest, so that entries that take their place can be told.
    let newest = units.get(units.len() / 2..).unwrap_or_default();
    bench.touch(&setup, &hot(&setup, newest))?;
    bench.end_epoch(&setup)?;
    expect_equal(
        "entries of a full list after another epoch",
        bench.peek_all()?,
        before,
    )?;
    Ok(Passed::Plainly)
}

/// Accesses that make a unit so much hotter than a hot one that requests of others make no difference.
fn much_hotter(bench: &mut Bench<'_>, setup: &Setup) -> u64 {
    match bench.is_exact() {
        true => setup.hot() + 2,
        false => setup.hot() * 32,
    }
}

/// A configuration with epochs that end for all units at once; otherwise units are listed as their own
/// epochs end, whatever their counts.
fn common_epoch(bench: &mut Bench<'_>) -> Result<Setup, Stop> {
    match bench.capabilities_0()?.epoch_type() {
        Some(EpochType::PerCounter) => skip("each unit has an epoch of its own"),
        _ => bench.epoch_setup(),
    }
}

fn hottest_kept(bench: &mut Bench<'_>) -> Outcome {
    let setup = common_epoch(bench)?;
    let accesses = much_hotter(bench, &setup);
    if setup.largest_count < accesses {
        return skip("the counter is too narrow for units that are more or less hot");
    }
    let room = bench.room()?;
    let units = bench.units(setup.unit_size, room + 2)?;
    bench.start(&setup)?;
    // The hottest are the two highest, so that hottest first and lowest first differ.
    let hottest = &units[room..];
    let mut touches = hot(&setup, &units);
    touches.extend(hottest.iter().map(|unit| (*unit, accesses - setup.hot())));
    bench.touch(&setup, &touches)?;
    bench.end_epoch(&setup)?;
    let kept = listed(&bench.peek()?);
    let kept = sorted(kept);
    let mut distinct = kept.clone();
    distinct.dedup();
    // Others may have taken a part of the room.
    let least = if bench.is_exact() { room } else { kept.len() };
    if kept.is_empty() {
        return skip("nothing was listed");
    }
    if distinct.len() < least || !kept.iter().all(|unit| units.contains(unit)) {
        return fail(
            format!("units on a list of {room} after {} hot ones", units.len()),
            kept.shown(),
            format!("{least} different ones of {}", units.shown()),
        );
    }
    let of_hottest = hottest.iter().filter(|unit| kept.contains(unit)).count();
    Ok(Passed::As(match kept {
        _ if of_hottest == hottest.len().min(room) => HOTTEST_FIRST,
        kept if kept == units[..kept.len().min(units.len())] => LOWEST_FIRST,
        _ => OTHER_ORDER,
    }))
}

fn order(bench: &mut Bench<'_>) -> Outcome {
    let setup = common_epoch(bench)?;
    if bench.room()? < 3 {
        return skip("the list holds fewer than 3 entries");
    }
    let hottest = much_hotter(bench, &setup);
    if setup.largest_count < hottest {
        return skip("the counter is too narrow for units that are more or less hot");
    }
    let units = bench.units(setup.unit_size, 3)?;
    let touches = [
        (units[0], setup.hot()),
        (units[1], hottest),
        (units[2], setup.hot()),
    ];
    let seen = listed(&bench.observe(&setup, &touches)?);
    expect_equal("units listed", sorted(seen.clone()), units.clone())?;
    Ok(Passed::As(match seen {
        seen if seen == [units[1], units[0], units[2]] => HOTTEST_FIRST,
        seen if seen == units => LOWEST_FIRST,
        _ => OTHER_ORDER,
    }))
}

fn no_duplicates(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.epoch_setup()?;
    let wanted = bench.room()?.min(8);
    let units = bench.units(setup.unit_size, wanted)?;
    if setup.factor() > 1 {
        return skip("down-sampling sees only some of units that are accessed in turn");
    }
    let accesses = setup.hot() * 4;
    let touches: Vec<_> = (0..accesses)
        .flat_map(|_| units.iter().map(|unit| (*unit, 1)))
        .collect();
    let seen = sorted(listed(&bench.observe(&setup, &touches)?));
    let mut distinct = seen.clone();
    distinct.dedup();
    if distinct != units {
        return skip("other units are listed than those that were accessed");
    }
    expect_equal("units listed after interleaved accesses", seen, units)?;
    Ok(Passed::Plainly)
}

fn units_exist(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    let wanted = bench.room()?.min(16);
    let units = bench.units(setup.unit_size, wanted)?;
    let end = bench.range_bits()?.saturating_mul(RANGE_BYTES);
    let last = setup
        .unit_size
        .index_of(chmu_spec::address::Dpa(end.saturating_sub(1)));
    bench.observe_all(&setup, &hot(&setup, &units), |entries| {
        each(entries, |entry| {
            let read = entry.unit.to_string();
            let expected = format!("{last} at most, the last unit of the device's memory");
            expect(entry.unit <= last, "a listed unit", read, expected)
        })?;
        match entries.is_empty() {
            true => skip("nothing was listed"),
            false => Ok(Passed::Plainly),
        }
    })
}

fn tail_in_range(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    let size = bench.capabilities_0()?.hotlist_entries();
    let units = bench.units(setup.unit_size, 2.min(bench.room()?))?;
    bench.start(&setup)?;
    // The rounds that take the tail once around, bounded for long lists.
    let rounds = usize::from(size).div_ceil(units.len()).min(600) + 1;
    let mut moved = false;
    for round in 0..rounds {
        let before = bench.tail()?;
        bench.touch(&setup, &hot(&setup, &units))?;
        bench.end_epoch(&setup)?;
        let tail = bench.tail()?;
        let what = format!("tail in round {round}");
        expect(tail < size, what, tail.to_string(), format!("below {size}"))?;
        moved |= tail != before;
        bench.set_head(tail)?;
        if !bench.subject().has_manual_clock() && round == 2 {
            break;
        }
    }
    match moved {
        true => Ok(Passed::Plainly),
        false => skip("the tail did not move with hot units"),
    }
}

fn reuse_after_drain(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.epoch_setup()?;
    let units = fill(bench, &setup, 1)?;
    // What found no room may follow a first drain.
    bench.drain()?;
    bench.drain()?;
    let count = if bench.is_exact() {
        units.len() - 1
    } else {
        units.len() / 2
    };
    let again = &units[..count.max(1)];
    bench.touch(&setup, &hot(&setup, again))?;
    bench.end_epoch(&setup)?;
    let seen = sorted(listed(&bench.drain()?));
    expect_equal(
        "units listed after a full list was drained",
        seen,
        again.to_vec(),
    )?;
    Ok(Passed::Plainly)
}
