// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Overflow and fill level.

use chmu_spec::address::UnitIndex;
use chmu_spec::chmu::{Status, offset};

use crate::bench::{Bench, HOT, Setup};
use crate::case::{Case, case};
use crate::outcome::{Outcome, Passed, Stop, expect_equal, fail, skip};

pub(super) const CASES: &[Case] = &[
    case(
        "status/overflow-on-loss",
        "Loses a unit, then fills the list exactly, and reads overflow both times.",
        overflow_on_loss,
    ),
    case(
        "status/overflow-exactly-full",
        "Fills the list exactly and reads overflow.",
        overflow_exactly_full,
    ),
    case(
        "status/overflow-clears",
        "Loses a unit and writes overflow, with 1 and then with 0.",
        overflow_clears,
    ),
    case(
        "status/overflow-stays",
        "Loses a unit and writes zeros to the status.",
        overflow_stays,
    ),
    case(
        "status/fill-level-above",
        "Lists one entry more than the fill-level threshold, then exactly as many.",
        fill_level_above,
    ),
    case(
        "status/fill-level-equal",
        "Lists exactly as many entries as the fill-level threshold.",
        fill_level_equal,
    ),
    case(
        "status/fill-level-below",
        "Lists one entry less than the fill-level threshold.",
        fill_level_below,
    ),
    case(
        "status/clear-one-keeps-other",
        "Has both status bits set, clears one and reads the other.",
        clear_one_keeps_other,
    ),
    case(
        "status/fill-level-re-arms",
        "Raises the fill level three times with a drain and a clear in between.",
        fill_level_re_arms,
    ),
    case(
        "status/fill-level-still-true",
        "Clears the fill level while it is still true and inserts once more.",
        fill_level_still_true,
    ),
    case(
        "status/overflow-not-for-waiting",
        "Has a unit wait for room and reads overflow.",
        overflow_not_for_waiting,
    ),
];

/// Entries that fill-level cases work with.
const LEVEL: u16 = 2;

/// The bits that a host clears.
const OVERFLOW: Status = Status::new().with_overflow(true);
const FILL_LEVEL: Status = Status::new().with_fill_level(true);

fn room(bench: &Bench<'_>) -> Result<usize, Stop> {
    Ok(usize::from(
        bench.capabilities_0()?.hotlist_entries().saturating_sub(1),
    ))
}

/// Makes units hot in an epoch of their own.
fn heat(bench: &mut Bench<'_>, setup: &Setup, units: &[UnitIndex]) -> Result<(), Stop> {
    let touches: Vec<_> = units.iter().map(|unit| (*unit, HOT)).collect();
    bench.touch(setup, &touches)?;
    bench.end_epoch(setup)
}

/// Starts and makes `more` units hot than the list holds. A backlog takes some before a unit is
/// lost; a list without one loses all of them.
fn overflow(bench: &mut Bench<'_>, more: usize) -> Result<(Setup, Vec<UnitIndex>), Stop> {
    bench.need_exact_traffic()?;
    if more > 0 && bench.capabilities_1()?.postponed_insertion() {
        return skip("the instance postpones insertions instead of losing them");
    }
    let setup = bench.setup()?;
    let room = room(bench)?;
    let units = bench.units(setup.unit_size, room + more)?;
    bench.start(&setup)?;
    heat(bench, &setup, &units)?;
    if more > 0 {
        expect_equal(
            "overflow after a hot unit was lost",
            bench.status()?.overflow(),
            true,
        )?;
    }
    Ok((setup, units))
}

fn overflow_on_loss(bench: &mut Bench<'_>) -> Outcome {
    overflow(bench, 1)?;
    bench.stop()?;
    bench.reset()?;
    clear(bench, OVERFLOW)?;
    // Whether a full list alone sets it tells the two readings apart.
    overflow(bench, 0)?;
    Ok(Passed::As(match bench.status()?.overflow() {
        false => "an entry was lost",
        true => "the list became full",
    }))
}

fn overflow_exactly_full(bench: &mut Bench<'_>) -> Outcome {
    overflow(bench, 0)?;
    Ok(Passed::As(match bench.status()?.overflow() {
        false => "clear",
        true => "set",
    }))
}

/// Writes status bits.
fn clear(bench: &Bench<'_>, bits: Status) -> Result<(), Stop> {
    bench.set_register(offset::STATUS, bits.into())
}

fn overflow_clears(bench: &mut Bench<'_>) -> Outcome {
    overflow(bench, 1)?;
    clear(bench, OVERFLOW)?;
    if !bench.status()?.overflow() {
        return Ok(Passed::As("write 1 to clear"));
    }
    clear(bench, Status::new())?;
    match bench.status()?.overflow() {
        false => Ok(Passed::As("plain write")),
        true => fail(
            "overflow after writes of 1 and of 0",
            "1",
            "0 after one of them",
        ),
    }
}

fn overflow_stays(bench: &mut Bench<'_>) -> Outcome {
    overflow(bench, 1)?;
    clear(bench, Status::new())?;
    Ok(Passed::As(match bench.status()?.overflow() {
        true => "stays",
        false => "cleared by any write",
    }))
}

/// Starts with fill-level threshold [`LEVEL`] and lists `entries` units.
fn fill_to(bench: &mut Bench<'_>, entries: usize) -> Result<(Setup, Vec<UnitIndex>), Stop> {
    bench.need_exact_traffic()?;
    if room(bench)? < usize::from(LEVEL) + 2 {
        return skip(format!("the list holds fewer than {} entries", LEVEL + 2));
    }
    let mut setup = bench.setup()?;
    setup.fill_level = LEVEL;
    let units = bench.units(setup.unit_size, usize::from(LEVEL) + 2)?;
    bench.start(&setup)?;
    heat(bench, &setup, &units[..entries])?;
    Ok((setup, units))
}

fn fill_level_above(bench: &mut Bench<'_>) -> Outcome {
    fill_to(bench, usize::from(LEVEL) + 1)?;
    let what = format!("fill level with {} entries at threshold {LEVEL}", LEVEL + 1);
    expect_equal(what, bench.status()?.fill_level(), true)?;
    bench.quiesce()?;
    fill_to(bench, usize::from(LEVEL))?;
    Ok(Passed::As(match bench.status()?.fill_level() {
        false => "above",
        true => "at or above",
    }))
}

fn fill_level_equal(bench: &mut Bench<'_>) -> Outcome {
    fill_to(bench, usize::from(LEVEL))?;
    Ok(Passed::As(match bench.status()?.fill_level() {
        false => "clear",
        true => "set",
    }))
}

fn fill_level_below(bench: &mut Bench<'_>) -> Outcome {
    fill_to(bench, usize::from(LEVEL) - 1)?;
    let what = format!("fill level with {} entries at threshold {LEVEL}", LEVEL - 1);
    expect_equal(what, bench.status()?.fill_level(), false)?;
    Ok(Passed::Plainly)
}

fn clear_one_keeps_other(bench: &mut Bench<'_>) -> Outcome {
    bench.need_exact_traffic()?;
    if bench.capabilities_1()?.postponed_insertion() {
        return skip("the instance postpones insertions instead of losing them");
    }
    let mut setup = bench.setup()?;
    setup.fill_level = 0;
    let room = room(bench)?;
    let units = bench.units(setup.unit_size, room + 1)?;
    for (cleared, kept) in [(OVERFLOW, FILL_LEVEL), (FILL_LEVEL, OVERFLOW)] {
        bench.quiesce()?;
        bench.start(&setup)?;
        heat(bench, &setup, &units)?;
        let both = bench.status()?;
        let read = (both.overflow(), both.fill_level());
        expect_equal(
            "overflow and fill level of an overflowing list",
            read,
            (true, true),
        )?;
        clear(bench, cleared)?;
        let status = bench.status()?;
        let read = (status.overflow(), status.fill_level());
        let what = format!(
            "overflow and fill level after {:#x} was written",
            u64::from(cleared)
        );
        expect_equal(what, read, (kept.overflow(), kept.fill_level()))?;
    }
    Ok(Passed::Plainly)
}

fn fill_level_re_arms(bench: &mut Bench<'_>) -> Outcome {
    let above = usize::from(LEVEL) + 1;
    let (setup, units) = fill_to(bench, above)?;
    for round in 0..3 {
        let what = format!("fill level after rise {round}");
        expect_equal(what, bench.status()?.fill_level(), true)?;
        bench.drain()?;
        clear(bench, FILL_LEVEL)?;
        let what = format!("fill level after rise {round} was drained and cleared");
        expect_equal(what, bench.status()?.fill_level(), false)?;
        heat(bench, &setup, &units[..above])?;
    }
    Ok(Passed::Plainly)
}

fn fill_level_still_true(bench: &mut Bench<'_>) -> Outcome {
    let above = usize::from(LEVEL) + 1;
    let (setup, units) = fill_to(bench, above)?;
    clear(bench, FILL_LEVEL)?;
    if bench.status()?.fill_level() {
        return Ok(Passed::As("set again at once"));
    }
    heat(bench, &setup, &units[above..])?;
    Ok(Passed::As(match bench.status()?.fill_level() {
        true => "set again at the next insertion",
        false => "not before it fell below",
    }))
}

fn overflow_not_for_waiting(bench: &mut Bench<'_>) -> Outcome {
    bench.need_exact_traffic()?;
    if !bench.capabilities_1()?.postponed_insertion() {
        return skip("the instance has no postponed insertion");
    }
    let setup = bench.setup()?;
    let room = room(bench)?;
    let units = bench.units(setup.unit_size, room + 1)?;
    bench.start(&setup)?;
    heat(bench, &setup, &units)?;
    expect_equal(
        "overflow while a hot unit waits for room",
        bench.status()?.overflow(),
        false,
    )?;
    Ok(Passed::Plainly)
}
