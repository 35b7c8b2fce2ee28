// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Always-on mode: units are reported as soon as they are hot.

use std::time::Duration;

use chmu_spec::address::UnitIndex;

use crate::bench::{Bench, Dose, Setup};
use crate::case::{Case, case};
use crate::outcome::{Outcome, Passed, Stop, expect_equal, fail, skip};
use crate::shown::Shown;

pub(super) const CASES: &[Case] = &[
    case(
        "always-on/reported-at-threshold",
        "Makes a unit hot and looks at the list at once.",
        reported_at_threshold,
    ),
    case(
        "always-on/cold-unit",
        "Accesses one unit less often than the threshold and one more often, and looks at the list.",
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
        "Splits the accesses of a hot unit by seconds.",
        no_epochs,
    ),
];

/// Longer than any epoch that is configured on this bench.
const LONG_TIME: Duration = Duration::from_secs(1);

fn reported_at_threshold(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.always_on_setup()?;
    let unit = bench.units(setup.unit_size, 1)?[0];
    bench.start(&setup)?;
    bench.touch(&setup, &[(unit, setup.hot())])?;
    bench.end_epoch(&setup)?;
    let units: Vec<_> = bench.drain()?.iter().map(|entry| entry.unit).collect();
    match units.contains(&unit) {
        true => Ok(Passed::Plainly),
        false => fail(
            format!("units listed after {} accesses to unit {unit}", setup.hot()),
            units.shown(),
            format!("unit {unit} among them"),
        ),
    }
}

/// Enables an instance with the threshold of a dose; returns a unit to access as well.
fn start_with_dose(bench: &mut Bench<'_>) -> Result<(Setup, Dose, UnitIndex), Stop> {
    let mut setup = bench.always_on_setup()?;
    let dose = bench.dose(&setup)?;
    setup.threshold = dose.threshold;
    let unit = bench.units(setup.unit_size, 1)?[0];
    bench.start(&setup)?;
    Ok((setup, dose, unit))
}

fn cold_unit(bench: &mut Bench<'_>) -> Outcome {
    let (setup, dose, unit) = start_with_dose(bench)?;
    bench.touch(&setup, &[(unit, dose.cold)])?;
    bench.end_epoch(&setup)?;
    let what = format!(
        "entries after {} accesses at threshold {}",
        dose.cold, dose.threshold
    );
    expect_equal(what, bench.drain()?.len(), 0)?;
    // That the list stayed empty says something only of an instance that lists.
    bench.touch(&setup, &[(unit, dose.hot)])?;
    bench.end_epoch(&setup)?;
    let what = format!("units listed after {} more accesses", dose.hot);
    let listed = bench.drain()?.iter().any(|entry| entry.unit == unit);
    expect_equal(what, listed, true)?;
    Ok(Passed::Plainly)
}

fn counter_freed(bench: &mut Bench<'_>) -> Outcome {
    bench.need_exact_traffic()?;
    let (setup, dose, unit) = start_with_dose(bench)?;
    if u64::from(dose.threshold) < 4 {
        return skip("the counter is too narrow to tell a freed one from a full one");
    }
    // A count must reach the threshold 4 or pass it: 5 accesses report once either way, and with
    // 8 to 10 in all twice.
    for (accesses, expected) in [(5, 1), (2, 0), (3, 1)] {
        bench.touch(&setup, &[(unit, accesses)])?;
        bench.end_epoch(&setup)?;
        let what = format!("entries after {accesses} more accesses at threshold 4");
        expect_equal(what, bench.drain()?.len(), expected)?;
    }
    Ok(Passed::Plainly)
}

fn count_field(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.always_on_setup()?;
    let unit = bench.units(setup.unit_size, 1)?[0];
    bench.start(&setup)?;
    bench.touch(&setup, &[(unit, setup.hot())])?;
    bench.end_epoch(&setup)?;
    let Some(entry) = bench.drain()?.into_iter().find(|entry| entry.unit == unit) else {
        return skip("nothing was listed whose count could be read");
    };
    Ok(Passed::As(match entry.count {
        count if count == u64::from(setup.threshold) => "the threshold",
        0 => "zero",
        _ => "another value",
    }))
}

fn no_epochs(bench: &mut Bench<'_>) -> Outcome {
    let (setup, dose, unit) = start_with_dose(bench)?;
    let rounds = dose.parts;
    for round in 0..rounds {
        if round > 0 {
            bench.pass(LONG_TIME)?;
        }
        bench.touch(&setup, &[(unit, dose.cold)])?;
    }
    bench.end_epoch(&setup)?;
    let listed = bench.drain()?.iter().any(|entry| entry.unit == unit);
    let what = format!(
        "whether a unit is listed after {rounds} times {} accesses with {LONG_TIME:?} in between, at \
         threshold {}",
        dose.cold, dose.threshold
    );
    expect_equal(what, listed, true)?;
    Ok(Passed::Plainly)
}
