// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Enable, disable and reset.

use chmu_driver::transport::Width;
use chmu_spec::chmu::{Configuration0, Mode, Operation, offset};
use chmu_spec::hotlist::Entry;

use super::epoch::measurable;
use crate::bench::{Bench, DRIVERS_WAIT, Enabled, Setup, TOLERANCE};
use crate::case::{Case, case};
use crate::outcome::{Outcome, Passed, Stop, expect, expect_equal, fail, skip};
use crate::shown::{Shown as _, bits};

pub(super) const CASES: &[Case] = &[
    case(
        "operation/enable",
        "Enables and looks how long that takes.",
        enable,
    ),
    case(
        "operation/disable",
        "Enables, disables and looks how long that takes; then enables, resets and disables.",
        disable,
    ),
    case(
        "operation/reset-ends",
        "Resets, looks how long that takes and reads the reset bit.",
        reset_ends,
    ),
    case(
        "operation/progress-codes",
        "Reads the operation in progress right after an enable, a disable and a reset.",
        progress_codes,
    ),
    case(
        "operation/disabled-counts-nothing",
        "Accesses a unit after a disable and looks at the list.",
        disabled_counts_nothing,
    ),
    case(
        "operation/disable-keeps-list",
        "Lists units, disables and reads the list again.",
        disable_keeps_list,
    ),
    case(
        "operation/reset-empties-list",
        "Lists units, disables, resets and compares head and tail.",
        reset_empties_list,
    ),
    case(
        "operation/reset-clears-status",
        "Raises the fill level, resets and reads the status.",
        reset_clears_status,
    ),
    case(
        "operation/reset-keeps-configuration",
        "Configures, resets and reads configuration and range bitmap back.",
        reset_keeps_configuration,
    ),
    case(
        "operation/reset-and-enable",
        "Writes reset and enable in one and looks which one wins.",
        reset_and_enable,
    ),
    case(
        "operation/reset-zeroes-counters",
        "Accesses a unit before and after a reset, too seldom on either side of it.",
        reset_zeroes_counters,
    ),
    case(
        "operation/enable-starts-fresh",
        "Accesses a unit too seldom in two enabled spans and lets an empty epoch end in a third.",
        enable_starts_fresh,
    ),
    case(
        "operation/enable-twice",
        "Writes the enable bit again in the middle of an epoch, between the accesses that make a unit hot.",
        enable_twice,
    ),
    case(
        "operation/enabled-after-progress",
        "Reads the status while an enable is in progress.",
        enabled_after_progress,
    ),
    case(
        "operation/enable-keeps-list",
        "Lists units, disables, enables and reads the list again.",
        enable_keeps_list,
    ),
];

/// Whether the last operation was as quick as drivers expect.
fn in_time(bench: &Bench<'_>) -> Passed {
    Passed::As(match bench.last_operation() <= DRIVERS_WAIT {
        true => "within 100 ms",
        false => "later",
    })
}

fn enable(bench: &mut Bench<'_>) -> Outcome {
    bench.start_any()?;
    let passed = in_time(bench);
    let configuration = Configuration0::from(bench.register(offset::CONFIGURATION_0)?);
    expect_equal(
        "enable bit of an enabled instance",
        configuration.enable(),
        true,
    )?;
    Ok(passed)
}

fn disable(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    bench.start(&setup)?;
    bench.stop()?;
    let passed = in_time(bench);
    let configuration = Configuration0::from(bench.register(offset::CONFIGURATION_0)?);
    expect_equal(
        "enable bit of a disabled instance",
        configuration.enable(),
        false,
    )?;
    // A reset may leave it enabled, but not for ever.
    bench.start(&setup)?;
    bench.reset()?;
    bench.stop()?;
    Ok(passed)
}

fn reset_ends(bench: &mut Bench<'_>) -> Outcome {
    bench.reset()?;
    let passed = in_time(bench);
    let configuration = Configuration0::from(bench.register(offset::CONFIGURATION_0)?);
    expect_equal("reset bit after a reset", configuration.reset(), false)?;
    Ok(passed)
}

/// Writes the first configuration register and demands that the operation in progress is none or
/// `operation` for as long as it is, and none in the end.
fn operate(
    bench: &mut Bench<'_>,
    configuration: Configuration0,
    operation: Operation,
) -> Result<(), Stop> {
    bench.set_register(offset::CONFIGURATION_0, configuration.into())?;
    let is_right = |code| code == 0 || code == operation.code();
    let mut code = bench.status()?.operation_code();
    bench.settle_once("an operation", |status| {
        if is_right(code) {
            code = status.operation_code();
        }
        true
    })?;
    expect(
        is_right(code),
        format!("operation in progress after {operation:?} was started"),
        code.to_string(),
        format!("{} or 0", operation.code()),
    )
}

fn progress_codes(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    bench.configure(&setup)?;
    operate(bench, setup.configuration_0(true), Operation::Enable)?;
    operate(bench, setup.configuration_0(false), Operation::Disable)?;
    operate(
        bench,
        setup.configuration_0(false).with_reset(true),
        Operation::Reset,
    )?;
    Ok(Passed::Plainly)
}

fn disabled_counts_nothing(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    let unit = bench.units(setup.unit_size, 1)?[0];
    bench.start(&setup)?;
    bench.touch(&setup, &[(unit, setup.hot())])?;
    bench.end_epoch(&setup)?;
    if bench.drain()?.is_empty() {
        return skip("nothing was listed while the instance was enabled either");
    }
    bench.stop()?;
    bench.drain()?;
    bench.touch(&setup, &[(unit, setup.hot())])?;
    bench.end_epoch(&setup)?;
    expect_equal(
        "entries after accesses to a disabled instance",
        bench.peek()?.len(),
        0,
    )?;
    Ok(Passed::Plainly)
}

/// Lists two units, or one where the list holds no more.
fn list_some(bench: &mut Bench<'_>) -> Result<Setup, Stop> {
    let setup = bench.setup()?;
    let room = bench.room()?;
    let units = bench.units(setup.unit_size, room.min(2))?;
    let touches: Vec<_> = units.iter().map(|unit| (*unit, setup.hot())).collect();
    bench.start(&setup)?;
    bench.touch(&setup, &touches)?;
    bench.end_epoch(&setup)?;
    Ok(setup)
}

/// What became of entries.
fn kept(what: &str, before: &[Entry], after: &[Entry]) -> Outcome {
    if before.is_empty() {
        return skip("nothing was listed that could be kept");
    }
    match after {
        after if after == before => Ok(Passed::As("kept")),
        [] => Ok(Passed::As("emptied")),
        after => fail(what, after.shown(), format!("{} (or none)", before.shown())),
    }
}

fn disable_keeps_list(bench: &mut Bench<'_>) -> Outcome {
    list_some(bench)?;
    let before = bench.peek()?;
    bench.stop()?;
    let after = bench.peek()?;
    kept("entries after a disable", &before, &after)
}

fn reset_empties_list(bench: &mut Bench<'_>) -> Outcome {
    list_some(bench)?;
    let listed = bench.occupancy()?;
    bench.stop()?;
    bench.reset()?;
    let (head, tail) = (bench.head()?, bench.tail()?);
    expect_equal("tail after a reset", tail, head)?;
    match (listed, head) {
        (0, _) => skip("nothing was listed before the reset"),
        (_, 0) => Ok(Passed::As("head and tail are zero")),
        _ => Ok(Passed::As("head and tail are equal")),
    }
}

fn reset_clears_status(bench: &mut Bench<'_>) -> Outcome {
    let mut setup = bench.setup()?;
    setup.fill_level = 0;
    setup.fill_level_interrupt = bench.capabilities_0()?.fill_level_interrupt();
    let unit = bench.units(setup.unit_size, 1)?[0];
    bench.start(&setup)?;
    bench.touch(&setup, &[(unit, setup.hot())])?;
    bench.end_epoch(&setup)?;
    if !bench
        .status_once(|status| status.fill_level())?
        .fill_level()
    {
        return skip("fill level was not set by an entry above its threshold");
    }
    bench.stop()?;
    bench.reset()?;
    Ok(Passed::As(match bench.status()?.fill_level() {
        false => "cleared",
        true => "kept",
    }))
}

fn reset_keeps_configuration(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    bench.configure(&setup)?;
    let ranges = bench.ranges_place()?;
    let read = |bench: &mut Bench<'_>| -> Result<[u64; 4], Stop> {
        Ok([
            bench.register(offset::CONFIGURATION_0)?,
            bench.register(offset::CONFIGURATION_1)?,
            bench.register(offset::CONFIGURATION_2)?,
            bench.read_at(ranges, Width::Eight)?,
        ])
    };
    let written = read(bench)?;
    bench.reset()?;
    let after = read(bench)?;
    if written == [0; 4] {
        return skip("no configuration reads back that could be kept");
    }
    // A range bitmap that is fixed, and fields that are, stay what they are.
    let is_zeroed = after
        .iter()
        .zip(written)
        .all(|(after, before)| *after == 0 || *after == before);
    match after {
        after if after == written => Ok(Passed::As("kept")),
        _ if is_zeroed => Ok(Passed::As("zeroed")),
        after => fail(
            "configuration registers and first word of the range bitmap after a reset",
            bits(&after),
            format!("{} (or zeros)", bits(&written)),
        ),
    }
}

fn reset_zeroes_counters(bench: &mut Bench<'_>) -> Outcome {
    let mut setup = bench.setup()?;
    let dose = bench.dose(&setup)?;
    setup.threshold = dose.threshold;
    let units = bench.units(setup.unit_size, 2)?;
    bench.start(&setup)?;
    for _ in 0..dose.parts {
        bench.touch(&setup, &[(units[0], dose.cold)])?;
        bench.reset()?;
        // A device whose reset disables it is enabled anew; one that stays enabled counts on.
        if !bench.status()?.enabled() {
            bench.start(&setup)?;
        }
    }
    bench.touch(&setup, &[(units[0], dose.cold)])?;
    bench.end_epoch(&setup)?;
    let listed = bench.drain()?.iter().any(|entry| entry.unit == units[0]);
    bench.touch(&setup, &[(units[1], dose.hot)])?;
    bench.end_epoch(&setup)?;
    if !bench.drain()?.iter().any(|entry| entry.unit == units[1]) {
        return skip("nothing was listed of a unit that was hot after the reset");
    }
    Ok(Passed::As(match listed {
        false => "zeroed",
        true => "kept",
    }))
}

fn reset_and_enable(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    bench.start(&setup)?;
    let enabled = setup.configuration_0(true).with_reset(true);
    let before = bench.now();
    bench.set_register(offset::CONFIGURATION_0, enabled.into())?;
    let won = match bench.await_enabled(before)?.0 {
        Enabled::Refused => "disabled",
        Enabled::Yes => "stays enabled",
    };
    Ok(Passed::As(won))
}

fn enable_starts_fresh(bench: &mut Bench<'_>) -> Outcome {
    let mut setup = bench.setup()?;
    let dose = bench.dose(&setup)?;
    setup.threshold = dose.threshold;
    // Not side by side: an id that is off by one is not that of the other.
    let units = bench.units(setup.unit_size, 8)?;
    let (unit, other, control) = (units[0], units[2], units[7]);
    bench.start(&setup)?;
    bench.touch(&setup, &[(control, dose.cold)])?;
    bench.end_epoch(&setup)?;
    if !bench.drain()?.is_empty() {
        return skip("a cold unit is listed that was accessed in no former enable");
    }
    bench.stop()?;
    for round in 0..dose.parts {
        bench.start(&setup)?;
        bench.touch(&setup, &[(unit, dose.cold)])?;
        let what = format!(
            "entries after {} accesses at threshold {}, enable {round}",
            dose.cold, dose.threshold
        );
        expect_equal(what, bench.drain()?.len(), 0)?;
        bench.stop()?;
    }
    bench.start(&setup)?;
    bench.touch(&setup, &[(unit, dose.cold)])?;
    bench.end_epoch(&setup)?;
    let what = format!(
        "entries after {} accesses at threshold {}, and as many in each of {} enables before",
        dose.cold, dose.threshold, dose.parts
    );
    expect_equal(what, bench.drain()?.len(), 0)?;
    bench.touch(&setup, &[(unit, dose.hot), (other, dose.hot)])?;
    bench.end_epoch(&setup)?;
    let listed: Vec<_> = bench.drain()?.iter().map(|entry| entry.unit).collect();
    if !listed.contains(&other) {
        return skip("nothing was listed of a unit that was hot either");
    }
    // A counter that is kept may be taken for one whose epoch has begun, and never ends.
    expect_equal(
        "whether a hot unit is listed that was accessed in former enables",
        listed.contains(&unit),
        true,
    )?;
    Ok(Passed::Plainly)
}

fn enable_twice(bench: &mut Bench<'_>) -> Outcome {
    let mut setup = bench.setup()?;
    if setup.mode == Mode::Epoch {
        // When the epoch began is known by the looks that saw the enable only.
        setup = measurable(bench, setup)?;
    }
    let unit = bench.units(setup.unit_size, 1)?[0];
    bench.start(&setup)?;
    let [earliest, _] = bench.began();
    let part = |hundredths: u32| setup.epoch_duration() * hundredths / 100;
    bench.touch(&setup, &[(unit, setup.hot() - 1)])?;
    let touched = bench.now();
    if setup.mode == Mode::Epoch {
        bench.pass_until(touched + part(50))?;
    }
    let before = bench.now();
    bench.set_register(offset::CONFIGURATION_0, setup.configuration_0(true).into())?;
    let (enabled, _) = bench.await_enabled(before)?;
    let what = "whether an instance is enabled after a second enable";
    expect_equal(what, enabled == Enabled::Yes, true)?;
    bench.touch(&setup, &[(unit, 1)])?;
    if setup.mode == Mode::Epoch {
        // The epoch ends as if it had been enabled once.
        bench.need_before(earliest + part(100 - TOLERANCE))?;
        bench.pass_until(touched + part(100 + TOLERANCE))?;
    }
    bench.await_listing()?;
    let listed = bench.drain()?.len();
    match bench.is_exact() {
        true => expect_equal("entries after accesses around a second enable", listed, 1)?,
        false => expect_equal("whether they are listed", listed > 0, true)?,
    }
    Ok(Passed::Plainly)
}

fn enabled_after_progress(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    bench.configure(&setup)?;
    bench.set_register(offset::CONFIGURATION_0, setup.configuration_0(true).into())?;
    let status = bench.status()?;
    if status.operation_code() == 0 {
        return skip("the enable is over before its progress can be seen");
    }
    expect_equal(
        "enabled status while the enable is in progress",
        status.enabled(),
        false,
    )?;
    let status = bench.settle("enable")?;
    expect_equal("enabled status after the enable", status.enabled(), true)?;
    Ok(Passed::Plainly)
}

fn enable_keeps_list(bench: &mut Bench<'_>) -> Outcome {
    let setup = list_some(bench)?;
    let before = bench.peek()?;
    bench.stop()?;
    bench.start(&setup)?;
    let after = bench.peek()?;
    kept("entries after a disable and an enable", &before, &after)
}
