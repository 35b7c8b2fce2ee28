// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Always-on mode: units are reported as soon as they are hot.

use std::time::Duration;

use chmu_spec::address::UnitIndex;

use crate::bench::{Bench, HOT, Setup};
use crate::case::{Case, case};
use crate::outcome::{Outcome, Passed, Stop, expect_equal, fail};
use crate::shown::Shown;

pub(super) const CASES: &[Case] = &[
    case(
        "always-on/reported-at-threshold",
        "Makes a unit hot and looks at the list at once.",
        reported_at_threshold,
    ),
    case(
        "always-on/cold-unit",
        "Accesses a unit less often than the threshold and looks at the list.",
        cold_unit,
    ),
    case(
        "always-on/counter-freed",
        "Accesses a unit in three parts and counts the entries after each.",
        counter_freed,
    ),
    case(
        "always-on/count-field",
        "Makes a unit hot and reads the count of its entry.",
        count_field,
    ),
    case(
        "always-on/no-epochs",
        "Splits the accesses of a hot unit by a second.",
        no_epochs,
    ),
];

/// Longer than any epoch that is configured on this bench.
const LONG_TIME: Duration = Duration::from_secs(1);

fn reported_at_threshold(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.always_on_setup()?;
    let unit = bench.units(setup.unit_size, 1)?[0];
    bench.start(&setup)?;
    bench.touch(&setup, &[(unit, HOT)])?;
    let units: Vec<_> = bench.drain()?.iter().map(|entry| entry.unit).collect();
    match units.contains(&unit) {
        true => Ok(Passed::Plainly),
        false => fail(
            format!("units listed after {HOT} accesses to unit {unit}"),
            units.shown(),
            format!("unit {unit} among them"),
        ),
    }
}

/// Enables an instance with threshold 4; returns a unit to access as well.
fn start_at_threshold_4(bench: &mut Bench<'_>) -> Result<(Setup, UnitIndex), Stop> {
    bench.need_exact_traffic()?;
    let mut setup = bench.always_on_setup()?;
    setup.threshold = 4;
    let unit = bench.units(setup.unit_size, 1)?[0];
    bench.start(&setup)?;
    Ok((setup, unit))
}

fn cold_unit(bench: &mut Bench<'_>) -> Outcome {
    let (setup, unit) = start_at_threshold_4(bench)?;
    bench.touch(&setup, &[(unit, 3)])?;
    expect_equal(
        "entries after 3 accesses at threshold 4",
        bench.drain()?.len(),
        0,
    )?;
    Ok(Passed::Plainly)
}

fn counter_freed(bench: &mut Bench<'_>) -> Outcome {
    let (setup, unit) = start_at_threshold_4(bench)?;
    // A count must reach the threshold or pass it: 5 accesses report once either way, and with
    // 8 to 10 in all twice.
    bench.touch(&setup, &[(unit, 5)])?;
    expect_equal(
        "entries after 5 accesses at threshold 4",
        bench.drain()?.len(),
        1,
    )?;
    bench.touch(&setup, &[(unit, 2)])?;
    expect_equal("entries after 2 more accesses", bench.drain()?.len(), 0)?;
    bench.touch(&setup, &[(unit, 3)])?;
    expect_equal("entries after 3 more accesses", bench.drain()?.len(), 1)?;
    Ok(Passed::Plainly)
}

fn count_field(bench: &mut Bench<'_>) -> Outcome {
    bench.need_exact_traffic()?;
    let setup = bench.always_on_setup()?;
    let unit = bench.units(setup.unit_size, 1)?[0];
    bench.start(&setup)?;
    bench.touch(&setup, &[(unit, HOT)])?;
    let Some(entry) = bench.drain()?.first().copied() else {
        return fail(format!("entries after {HOT} accesses"), "0", "1");
    };
    Ok(Passed::As(match entry.count {
        count if count == u64::from(setup.threshold) => "the threshold",
        0 => "zero",
        _ => "another value",
    }))
}

fn no_epochs(bench: &mut Bench<'_>) -> Outcome {
    let (setup, unit) = start_at_threshold_4(bench)?;
    bench.touch(&setup, &[(unit, 3)])?;
    bench.pass(LONG_TIME)?;
    bench.touch(&setup, &[(unit, 2)])?;
    let what = format!("entries after 3 accesses, {LONG_TIME:?} and 2 accesses at threshold 4");
    expect_equal(what, bench.drain()?.len(), 1)?;
    Ok(Passed::Plainly)
}
