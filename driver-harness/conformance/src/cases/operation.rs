// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Enable, disable and reset.

use chmu_driver::transport::Width;
use chmu_spec::chmu::{Configuration0, Operation, Status, offset};

use crate::bench::{Bench, HOT, Setup};
use crate::case::{Case, case};
use crate::outcome::{Outcome, Passed, Stop, expect, expect_equal, skip};

pub(super) const CASES: &[Case] = &[
    case(
        "operation/enable",
        "Enables and waits at most 100 ms.",
        enable,
    ),
    case(
        "operation/disable",
        "Enables, disables and waits at most 100 ms.",
        disable,
    ),
    case(
        "operation/reset-ends",
        "Resets, waits at most 100 ms and reads the reset bit.",
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
        "operation/reset-zeroes-counters",
        "Accesses a unit before and after a reset, too seldom on either side of it.",
        reset_zeroes_counters,
    ),
    case(
        "operation/reset-and-enable",
        "Writes reset and enable in one and looks which one wins.",
        reset_and_enable,
    ),
    case(
        "operation/enable-starts-fresh",
        "Accesses a unit too seldom in two enabled spans and lets an empty epoch end in a third.",
        enable_starts_fresh,
    ),
    case(
        "operation/enable-twice",
        "Writes the enable bit again between the accesses that make a unit hot.",
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

fn enable(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    bench.start(&setup)?;
    let configuration = Configuration0::from(bench.register(offset::CONFIGURATION_0)?);
    expect_equal(
        "enable bit of an enabled instance",
        configuration.enable(),
        true,
    )?;
    Ok(Passed::Plainly)
}

fn disable(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    bench.start(&setup)?;
    bench.stop()?;
    let configuration = Configuration0::from(bench.register(offset::CONFIGURATION_0)?);
    expect_equal(
        "enable bit of a disabled instance",
        configuration.enable(),
        false,
    )?;
    Ok(Passed::Plainly)
}

fn reset_ends(bench: &mut Bench<'_>) -> Outcome {
    bench.reset()?;
    let configuration = Configuration0::from(bench.register(offset::CONFIGURATION_0)?);
    expect_equal("reset bit after a reset", configuration.reset(), false)?;
    Ok(Passed::Plainly)
}

/// Writes the first configuration register and demands that the operation in progress is none or
/// `operation`, and none in the end.
fn operate(
    bench: &mut Bench<'_>,
    configuration: Configuration0,
    operation: Operation,
) -> Result<(), Stop> {
    bench.set_register(offset::CONFIGURATION_0, configuration.into())?;
    let code = bench.status()?.operation_code();
    expect(
        code == 0 || code == operation.code(),
        format!("operation in progress after {operation:?} was started"),
        code.to_string(),
        format!("{} or 0", operation.code()),
    )?;
    bench.settle("an operation")?;
    Ok(())
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
    bench.need_exact_traffic()?;
    let setup = bench.setup()?;
    let unit = bench.units(setup.unit_size, 1)?[0];
    bench.start(&setup)?;
    bench.stop()?;
    bench.touch(&setup, &[(unit, HOT)])?;
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
    bench.need_exact_traffic()?;
    let setup = bench.setup()?;
    let room = usize::from(bench.capabilities_0()?.hotlist_entries().saturating_sub(1));
    let units = bench.units(setup.unit_size, room.min(2))?;
    let touches: Vec<_> = units.iter().map(|unit| (*unit, HOT)).collect();
    bench.start(&setup)?;
    bench.touch(&setup, &touches)?;
    bench.end_epoch(&setup)?;
    Ok(setup)
}

fn disable_keeps_list(bench: &mut Bench<'_>) -> Outcome {
    list_some(bench)?;
    let before = bench.peek()?;
    bench.stop()?;
    Ok(Passed::As(match bench.peek()? {
        after if after == before => "kept",
        _ => "emptied",
    }))
}

fn reset_empties_list(bench: &mut Bench<'_>) -> Outcome {
    list_some(bench)?;
    bench.stop()?;
    bench.reset()?;
    let (head, tail) = (bench.head()?, bench.tail()?);
    expect_equal("tail after a reset", tail, head)?;
    Ok(Passed::As(match head {
        0 => "head and tail are zero",
        _ => "head and tail are equal",
    }))
}

fn reset_clears_status(bench: &mut Bench<'_>) -> Outcome {
    bench.need_exact_traffic()?;
    let mut setup = bench.setup()?;
    setup.fill_level = 0;
    let unit = bench.units(setup.unit_size, 1)?[0];
    bench.start(&setup)?;
    bench.touch(&setup, &[(unit, HOT)])?;
    bench.end_epoch(&setup)?;
    expect_equal(
        "fill level of a list above its threshold",
        bench.status()?.fill_level(),
        true,
    )?;
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
    let range_word = bench.read_at(ranges, Width::Eight)?;
    bench.reset()?;
    let registers = [
        bench.register(offset::CONFIGURATION_0)?,
        bench.register(offset::CONFIGURATION_1)?,
        bench.register(offset::CONFIGURATION_2)?,
        bench.read_at(ranges, Width::Eight)?,
    ];
    let written: [u64; 4] = [
        setup.configuration_0(false).into(),
        setup.configuration_1().into(),
        setup.configuration_2().into(),
        range_word,
    ];
    Ok(Passed::As(match registers {
        read if read == written => "kept",
        _ => "zeroed",
    }))
}

fn reset_zeroes_counters(bench: &mut Bench<'_>) -> Outcome {
    bench.need_exact_traffic()?;
    let mut setup = bench.setup()?;
    setup.threshold = 4;
    let unit = bench.units(setup.unit_size, 1)?[0];
    bench.start(&setup)?;
    bench.touch(&setup, &[(unit, 3)])?;
    bench.reset()?;
    // A device whose reset disables it is enabled anew; one that stays enabled counts on.
    if !bench.status()?.enabled() {
        bench.start(&setup)?;
    }
    bench.touch(&setup, &[(unit, 3)])?;
    bench.end_epoch(&setup)?;
    Ok(Passed::As(match bench.drain()?.len() {
        0 => "zeroed",
        _ => "kept",
    }))
}

fn reset_and_enable(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    bench.start(&setup)?;
    let enabled = setup.configuration_0(true).with_reset(true);
    bench.set_register(offset::CONFIGURATION_0, enabled.into())?;
    Ok(Passed::As(match bench.settle("reset")?.enabled() {
        false => "disabled",
        true => "stays enabled",
    }))
}

fn enable_starts_fresh(bench: &mut Bench<'_>) -> Outcome {
    bench.need_exact_traffic()?;
    let mut setup = bench.setup()?;
    setup.threshold = 4;
    let unit = bench.units(setup.unit_size, 1)?[0];
    for round in 0..2 {
        bench.start(&setup)?;
        bench.touch(&setup, &[(unit, 3)])?;
        let what = format!("entries after 3 accesses at threshold 4, enable {round}");
        expect_equal(what, bench.drain()?.len(), 0)?;
        bench.stop()?;
    }
    bench.start(&setup)?;
    bench.end_epoch(&setup)?;
    let what = "entries of an epoch without accesses, after two disabled ones with 3 each";
    expect_equal(what, bench.drain()?.len(), 0)?;
    Ok(Passed::Plainly)
}

fn enable_twice(bench: &mut Bench<'_>) -> Outcome {
    bench.need_exact_traffic()?;
    let setup = bench.setup()?;
    let unit = bench.units(setup.unit_size, 1)?[0];
    bench.start(&setup)?;
    bench.touch(&setup, &[(unit, HOT - 1)])?;
    bench.set_register(offset::CONFIGURATION_0, setup.configuration_0(true).into())?;
    let status: Status = bench.settle("a second enable")?;
    expect_equal(
        "enabled status after a second enable",
        status.enabled(),
        true,
    )?;
    bench.touch(&setup, &[(unit, 1)])?;
    bench.end_epoch(&setup)?;
    expect_equal(
        "entries after accesses around a second enable",
        bench.drain()?.len(),
        1,
    )?;
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
    Ok(Passed::As(match bench.peek()? {
        after if after == before => "kept",
        _ => "emptied",
    }))
}
