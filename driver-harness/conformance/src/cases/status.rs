// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Overflow and fill level.

use chmu_spec::address::UnitIndex;
use chmu_spec::chmu::{Mode, Status, offset};

use super::{capability, register};
use crate::bench::{Bench, Setup, TOLERANCE};
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
        "status/without-interrupts",
        "Sets each status bit with its interrupt not enabled.",
        without_interrupts,
    ),
    case(
        "status/overflow-not-for-waiting",
        "Has a unit wait for room and reads overflow.",
        overflow_not_for_waiting,
    ),
    case(
        "status/full-list-reserved",
        "Reads the status while a list that is full has lost a unit.",
        full_list_reserved,
    ),
    case(
        "status/full-list-capabilities",
        "Reads the capabilities while a list that is full has lost a unit.",
        full_list_capabilities,
    ),
    case(
        "status/full-list-enabled",
        "Reads whether the instance is enabled while a list that is full has lost a unit.",
        full_list_enabled,
    ),
];

/// Entries that fill-level cases work with: so many that half of them is less than one less, and in a short list what
/// that takes.
const LEVEL: u16 = 4;
const LEVEL_OF_SHORT_LIST: u16 = 2;

/// The bits that a host clears.
pub(super) const OVERFLOW: Status = Status::new().with_overflow(true);
const FILL_LEVEL: Status = Status::new().with_fill_level(true);

/// A configuration with the interrupts that the instance has: some set a status bit only then.
pub(super) fn with_interrupts(bench: &mut Bench<'_>) -> Result<Setup, Stop> {
    let mut setup = bench.setup()?;
    let capabilities = bench.capabilities_0()?;
    setup.overflow_interrupt = capabilities.overflow_interrupt();
    setup.fill_level_interrupt = capabilities.fill_level_interrupt();
    Ok(setup)
}

/// Makes units hot in an epoch of their own.
pub(super) fn heat(bench: &mut Bench<'_>, setup: &Setup, units: &[UnitIndex]) -> Result<(), Stop> {
    let touches: Vec<_> = units.iter().map(|unit| (*unit, setup.hot())).collect();
    bench.touch(setup, &touches)?;
    bench.end_epoch(setup)
}

/// Starts and makes `more` units hot than the list holds; says whether overflow is set. A list with
/// postponed insertion loses none of them.
fn overflow(bench: &mut Bench<'_>, setup: &Setup, more: usize) -> Result<bool, Stop> {
    if more > 0 && bench.capabilities_1()?.postponed_insertion() {
        return skip("the instance postpones insertions instead of losing them");
    }
    let room = bench.room()?;
    let units = bench.units(setup.unit_size, room + more)?;
    bench.start(setup)?;
    heat(bench, setup, &units)?;
    let wanted = more > 0;
    let status = bench.status_once(|status| status.overflow() == wanted)?;
    Ok(status.overflow())
}

/// As [`overflow`], for cases about what follows it; skips those where it is not set, or not for long.
pub(super) fn set_overflow(bench: &mut Bench<'_>) -> Result<Setup, Stop> {
    let setup = with_interrupts(bench)?;
    if !overflow(bench, &setup, 1)? {
        return skip("overflow is not set after a hot unit was lost");
    }
    match bench.status()?.overflow() {
        true => Ok(setup),
        false => skip("overflow does not stay set until it is cleared"),
    }
}

/// Overflow must be clear after an epoch in which nothing was lost: without, a set one says nothing. Others that list
/// units may fill a list.
fn expect_no_overflow(bench: &mut Bench<'_>, setup: &Setup) -> Result<(), Stop> {
    let few = bench.room()?.saturating_sub(1).min(1);
    let units = bench.units(setup.unit_size, few)?;
    if bench.status()?.overflow() {
        return skip("overflow is set before the instance is enabled");
    }
    bench.start(setup)?;
    heat(bench, setup, &units)?;
    let status = bench.status_once(|status| !status.overflow())?;
    let listed = usize::from(bench.occupancy()?);
    if listed < bench.room()? {
        let what = format!("overflow with {listed} entries, of which none was lost");
        expect_equal(what, status.overflow(), false)?;
    }
    bench.quiesce()
}

fn overflow_on_loss(bench: &mut Bench<'_>) -> Outcome {
    let setup = with_interrupts(bench)?;
    expect_no_overflow(bench, &setup)?;
    let is_set = overflow(bench, &setup, 1)?;
    expect_equal("overflow after a hot unit was lost", is_set, true)?;
    if !bench.is_exact() {
        return Ok(Passed::Plainly);
    }
    bench.stop()?;
    bench.reset()?;
    clear(bench, OVERFLOW)?;
    if bench.status()?.overflow() {
        return skip("overflow cannot be cleared, so whether a full list sets it cannot be seen");
    }
    // Whether a full list alone sets it tells the two readings apart.
    Ok(Passed::As(match overflow(bench, &setup, 0)? {
        false => "an entry was lost",
        true => "the list became full",
    }))
}

fn overflow_exactly_full(bench: &mut Bench<'_>) -> Outcome {
    bench.need_exact_traffic()?;
    let setup = with_interrupts(bench)?;
    expect_no_overflow(bench, &setup)?;
    let is_set = overflow(bench, &setup, 0)?;
    if usize::from(bench.occupancy()?) < bench.room()? {
        return skip("the list could not be filled");
    }
    Ok(Passed::As(match is_set {
        false => "clear",
        true => "set",
    }))
}

/// The fill-level threshold of a case, which needs room for two entries more.
fn level(bench: &Bench<'_>) -> Result<u16, Stop> {
    let room = bench.room()?;
    let fits = |level: &u16| room >= usize::from(*level) + 2;
    match [LEVEL, LEVEL_OF_SHORT_LIST].into_iter().find(fits) {
        Some(level) => Ok(level),
        None => skip(format!(
            "the list holds fewer than {} entries",
            LEVEL_OF_SHORT_LIST + 2
        )),
    }
}

/// Writes status bits.
pub(super) fn clear(bench: &Bench<'_>, bits: Status) -> Result<(), Stop> {
    bench.set_register(offset::STATUS, bits.into())
}

fn overflow_clears(bench: &mut Bench<'_>) -> Outcome {
    set_overflow(bench)?;
    // With room on the list nothing sets it anew at once.
    bench.drain()?;
    clear(bench, OVERFLOW)?;
    if !bench.status()?.overflow() {
        clear_by_what_was_read(bench)?;
        return Ok(Passed::As(WRITE_ONE));
    }
    clear(bench, Status::new())?;
    match bench.status()?.overflow() {
        false => Ok(Passed::As(PLAIN_WRITE)),
        true => fail(
            "overflow after writes of 1 and of 0",
            "1",
            "0 after one of them",
        ),
    }
}

/// A driver that reads the status, and writes back what it saw, clears what is set.
fn clear_by_what_was_read(bench: &mut Bench<'_>) -> Result<(), Stop> {
    bench.quiesce()?;
    set_overflow(bench)?;
    bench.drain()?;
    let read = bench.status()?;
    if !read.overflow() {
        return skip("overflow does not stay set until it is cleared");
    }
    clear(bench, read)?;
    let what = format!(
        "overflow after the status was written back as it read, {:#x}",
        u64::from(read)
    );
    expect_equal(what, bench.status()?.overflow(), false)
}

fn overflow_stays(bench: &mut Bench<'_>) -> Outcome {
    let setup = with_interrupts(bench)?;
    if !overflow(bench, &setup, 1)? {
        return skip("overflow is not set after a hot unit was lost");
    }
    let again = bench.status()?.overflow();
    expect_equal("overflow read again", again, true)?;
    bench.drain()?;
    let drained = bench.status()?.overflow();
    expect_equal("overflow after the list was drained", drained, true)?;
    clear(bench, Status::new())?;
    Ok(Passed::As(match bench.status()?.overflow() {
        true => "stays",
        false => "cleared by any write",
    }))
}

/// Lists so many entries as the fill-level threshold has, and more or less of them.
#[derive(Debug, Clone, Copy)]
enum Filled {
    Equal,
    Above,
}

/// A list that was filled up to its fill-level threshold.
struct FilledList {
    setup: Setup,
    /// As many as were made hot, and one more at least.
    units: Vec<UnitIndex>,
    level: u16,
    above: usize,
}

/// Starts with a fill-level threshold and lists units. With exact traffic the list has no others.
fn fill_to(bench: &mut Bench<'_>, filled: Filled) -> Result<FilledList, Stop> {
    let level = level(bench)?;
    let above = usize::from(level) + 1;
    let entries = match filled {
        Filled::Equal => usize::from(level),
        Filled::Above => above,
    };
    let mut setup = with_interrupts(bench)?;
    setup.fill_level = level;
    let units = bench.units(setup.unit_size, above + 1)?;
    bench.start(&setup)?;
    heat(bench, &setup, &units[..entries])?;
    let listed = usize::from(bench.occupancy()?);
    match listed < entries || (bench.is_exact() && listed != entries) {
        true => skip(format!(
            "{listed} entries were listed of {entries} hot units"
        )),
        false => Ok(FilledList {
            setup,
            units,
            level,
            above,
        }),
    }
}

/// As [`fill_to`] with one more than the threshold, for cases about what follows the fill level;
/// skips those where it is not set, or not for long.
fn set_fill_level(bench: &mut Bench<'_>) -> Result<FilledList, Stop> {
    let filled = fill_to(bench, Filled::Above)?;
    let status = bench.status_once(|status| status.fill_level())?;
    if !status.fill_level() {
        return skip("fill level is not set above its threshold");
    }
    match bench.status()?.fill_level() {
        true => Ok(filled),
        false => skip("fill level does not stay set until it is cleared"),
    }
}

fn fill_level_above(bench: &mut Bench<'_>) -> Outcome {
    let FilledList { level, above, .. } = fill_to(bench, Filled::Above)?;
    let what = format!("fill level with {above} entries at threshold {level}");
    let status = bench.status_once(|status| status.fill_level())?;
    expect_equal(what, status.fill_level(), true)?;
    if !bench.is_exact() {
        return Ok(Passed::Plainly);
    }
    bench.quiesce()?;
    fill_to(bench, Filled::Equal)?;
    let status = bench.status_once(|status| !status.fill_level())?;
    Ok(Passed::As(match status.fill_level() {
        false => "above",
        true => "at or above",
    }))
}

fn fill_level_equal(bench: &mut Bench<'_>) -> Outcome {
    bench.need_exact_traffic()?;
    fill_to(bench, Filled::Equal)?;
    let status = bench.status_once(|status| !status.fill_level())?;
    Ok(Passed::As(match status.fill_level() {
        false => "clear",
        true => "set",
    }))
}

fn fill_level_below(bench: &mut Bench<'_>) -> Outcome {
    let exact = bench.is_exact();
    let (level, room) = (usize::from(level(bench)?), bench.room()?);
    let mut setup = with_interrupts(bench)?;
    // Where others list units as well, a threshold that they do not reach either.
    let (level, count) = if exact { (level, level - 1) } else { (room, 1) };
    setup.fill_level = u16::try_from(level).unwrap_or(u16::MAX);
    let units = bench.units(setup.unit_size, count)?;
    bench.start(&setup)?;
    heat(bench, &setup, &units)?;
    let status = bench.status_once(|status| !status.fill_level())?;
    let listed = usize::from(bench.occupancy()?);
    if listed == 0 || listed >= level {
        return skip(format!("{listed} entries were listed"));
    }
    let what = format!("fill level with {listed} entries at threshold {level}");
    expect_equal(what, status.fill_level(), false)?;
    bench.quiesce()?;
    set_fill_level(bench)?;
    Ok(Passed::Plainly)
}

fn clear_one_keeps_other(bench: &mut Bench<'_>) -> Outcome {
    if bench.capabilities_1()?.postponed_insertion() {
        return clear_fill_level_alone(bench);
    }
    let mut setup = with_interrupts(bench)?;
    setup.fill_level = 0;
    let looks = [(OVERFLOW, FILL_LEVEL), (FILL_LEVEL, OVERFLOW)];
    let mut readings = Vec::new();
    bench.each(looks, |bench, (cleared, kept)| {
        set_both(bench, &setup)?;
        let read = after_writing(bench, &setup, cleared)?;
        let (reading, written, read, expected) = if read == bits(cleared) {
            // Where what is written is what is there, a bit is cleared by writing the other one alone.
            let read = after_writing(bench, &setup, kept)?;
            (PLAIN_WRITE, kept, read, bits(kept))
        } else if read == bits(Status::new()) && any_write_clears(bench, &setup)? {
            (ANY_WRITE, cleared, read, read)
        } else {
            (WRITE_ONE, cleared, read, bits(kept))
        };
        let what = format!(
            "overflow and fill level after {:#x} was written",
            u64::from(written)
        );
        expect_equal(what, read, expected)?;
        readings.push(reading);
        Ok(())
    })?;
    match readings.as_slice() {
        [one, other] if one != other => fail(
            "how overflow and fill level are cleared",
            format!("{one}, and {other}"),
            "both in the same way",
        ),
        [reading, ..] => {
            if *reading == WRITE_ONE {
                clear_both_at_once(bench, &setup)?;
            }
            Ok(Passed::As(reading))
        }
        [] => skip("neither bit was looked at"),
    }
}

/// Both bits outlive what set them, and one write clears both.
fn clear_both_at_once(bench: &mut Bench<'_>, setup: &Setup) -> Result<(), Stop> {
    set_both(bench, setup)?;
    bench.drain()?;
    let drained = after_writing(bench, setup, Status::new())?;
    let what = "overflow and fill level after the list was drained";
    expect_equal(what, drained, (true, true))?;
    let read = after_writing(bench, setup, OVERFLOW.with_fill_level(true))?;
    let what = "overflow and fill level after 1 was written to both at once";
    expect_equal(what, read, (false, false))
}

/// Has an overflowing list set both bits.
fn set_both(bench: &mut Bench<'_>, setup: &Setup) -> Result<(), Stop> {
    bench.quiesce()?;
    overflow(bench, setup, 1)?;
    let both = bench.status_once(|status| status.overflow() && status.fill_level())?;
    match bits(both) {
        (true, true) => Ok(()),
        _ => skip("an overflowing list does not set both bits"),
    }
}

/// Whether a write of no bit at all clears both.
fn any_write_clears(bench: &mut Bench<'_>, setup: &Setup) -> Result<bool, Stop> {
    set_both(bench, setup)?;
    Ok(after_writing(bench, setup, Status::new())? == bits(Status::new()))
}

/// Overflow and fill level.
fn bits(status: Status) -> (bool, bool) {
    (status.overflow(), status.fill_level())
}

/// Both bits after a write, of a list that overflows; skips the case where what finds no room may have set them anew.
fn after_writing(bench: &Bench<'_>, setup: &Setup, written: Status) -> Result<(bool, bool), Stop> {
    clear(bench, written)?;
    let status = bench.status()?;
    if setup.mode == Mode::Epoch {
        let earliest_end = setup.epoch_duration() * (100 - TOLERANCE) / 100;
        bench.need_before(bench.began()[0] + earliest_end)?;
    }
    Ok(bits(status))
}

const WRITE_ONE: &str = "write 1 to clear";
const PLAIN_WRITE: &str = "plain write";
const ANY_WRITE: &str = "cleared by any write";

/// Where nothing is ever lost, there is only one bit to clear. The list is empty by then: nothing sets it again.
fn clear_fill_level_alone(bench: &mut Bench<'_>) -> Outcome {
    bench.need_exact_traffic()?;
    set_fill_level(bench)?;
    bench.drain()?;
    clear(bench, FILL_LEVEL)?;
    if !bench.status()?.fill_level() {
        return Ok(Passed::As(WRITE_ONE));
    }
    clear(bench, Status::new())?;
    match bench.status()?.fill_level() {
        false => Ok(Passed::As(PLAIN_WRITE)),
        true => fail(
            "fill level of an empty list after writes of 1 and of 0",
            "1",
            "0 after one of them",
        ),
    }
}

fn fill_level_re_arms(bench: &mut Bench<'_>) -> Outcome {
    let FilledList {
        setup,
        units,
        above,
        ..
    } = set_fill_level(bench)?;
    for round in 0..3 {
        bench.drain()?;
        clear(bench, FILL_LEVEL)?;
        if bench.status()?.fill_level() {
            return skip("fill level cannot be cleared by writing 1");
        }
        heat(bench, &setup, &units[..above])?;
        let what = format!("fill level after rise {}, cleared before", round + 2);
        let status = bench.status_once(|status| status.fill_level())?;
        expect_equal(what, status.fill_level(), true)?;
    }
    Ok(Passed::Plainly)
}

fn fill_level_still_true(bench: &mut Bench<'_>) -> Outcome {
    let FilledList {
        setup,
        units,
        above,
        ..
    } = set_fill_level(bench)?;
    clear(bench, FILL_LEVEL)?;
    if bench.status()?.fill_level() {
        // Set anew, or never cleared: an empty list tells.
        bench.drain()?;
        clear(bench, FILL_LEVEL)?;
        return match bench.status()?.fill_level() {
            false => Ok(Passed::As("set again at once")),
            true => skip("fill level cannot be cleared by writing 1"),
        };
    }
    heat(bench, &setup, &units[above..])?;
    let status = bench.status_once(|status| status.fill_level())?;
    Ok(Passed::As(match status.fill_level() {
        true => "set again at the next insertion",
        false => "not before it fell below",
    }))
}

fn without_interrupts(bench: &mut Bench<'_>) -> Outcome {
    let capabilities = bench.capabilities_0()?;
    if !capabilities.fill_level_interrupt() {
        return skip("the instance has no fill-level interrupt");
    }
    let FilledList { level, above, .. } = set_fill_level(bench)?;
    bench.quiesce()?;
    let mut setup = bench.setup()?;
    setup.fill_level = level;
    let units = bench.units(setup.unit_size, above)?;
    bench.start(&setup)?;
    heat(bench, &setup, &units)?;
    let status = bench.status_once(|status| status.fill_level())?;
    Ok(Passed::As(match status.fill_level() {
        true => "set without interrupts",
        false => "set only while its interrupt is enabled",
    }))
}

fn overflow_not_for_waiting(bench: &mut Bench<'_>) -> Outcome {
    if !bench.capabilities_1()?.postponed_insertion() {
        return skip("the instance has no postponed insertion");
    }
    let setup = with_interrupts(bench)?;
    let room = bench.room()?;
    let units = bench.units(setup.unit_size, room + 1)?;
    bench.start(&setup)?;
    let (full, waiting) = units.split_at(room);
    heat(bench, &setup, full)?;
    if usize::from(bench.occupancy()?) < room {
        return skip("the list could not be filled");
    }
    if bench.is_exact() && bench.status()?.overflow() {
        return skip("overflow is set by a full list, where nothing waits yet");
    }
    heat(bench, &setup, waiting)?;
    expect_equal(
        "overflow while a hot unit waits for room",
        bench.status()?.overflow(),
        false,
    )?;
    Ok(Passed::Plainly)
}

/// Longer lists are not filled for a look.
const LONG_LIST: usize = 4096;

/// Fills the list, and loses a unit where it can, unless it is long: then one unit is listed. Cases that do so come after
/// those that would read what is left of these entries in place of their own.
pub(super) fn fill(bench: &mut Bench<'_>) -> Result<(), Stop> {
    match try_fill(bench) {
        // How lists are filled is for other cases.
        Err(Stop::Failed(_)) => skip("the list could not be filled"),
        filled => filled,
    }
}

fn try_fill(bench: &mut Bench<'_>) -> Result<(), Stop> {
    let setup = with_interrupts(bench)?;
    let room = bench.room()?;
    let wanted = if room > LONG_LIST { 1 } else { room + 1 };
    let units = bench.units(setup.unit_size, wanted)?;
    bench.start(&setup)?;
    heat(bench, &setup, &units)?;
    // A device may find out about a loss only when it is asked.
    bench.status()?;
    match bench.occupancy()? {
        0 => skip("no hot unit is listed"),
        _ => Ok(()),
    }
}

fn full_list_reserved(bench: &mut Bench<'_>) -> Outcome {
    fill(bench)?;
    register::expect_no_reserved_status(bench)?;
    Ok(Passed::Plainly)
}

fn full_list_capabilities(bench: &mut Bench<'_>) -> Outcome {
    let before = capability::read_all(bench)?;
    fill(bench)?;
    let full = capability::read_all(bench)?;
    capability::expect_same(&before, &[("while hot units are listed", full)])?;
    Ok(Passed::Plainly)
}

fn full_list_enabled(bench: &mut Bench<'_>) -> Outcome {
    fill(bench)?;
    let what = "enabled status while hot units are listed";
    expect_equal(what, bench.status()?.enabled(), true)?;
    Ok(Passed::Plainly)
}
