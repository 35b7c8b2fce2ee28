// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which counts are hot.

use crate::bench::{Bench, Enabled};
use crate::case::{Case, case};
use crate::outcome::{Outcome, Passed, Stop, expect_equal, fail};

pub(super) const CASES: &[Case] = &[
    case(
        "threshold/equal-count",
        "Accesses a unit exactly as often as the threshold says.",
        equal_count,
    ),
    case(
        "threshold/one-above",
        "Accesses a unit once more than the threshold says.",
        one_above,
    ),
    case(
        "threshold/one-below",
        "Accesses a unit once less than the threshold says.",
        one_below,
    ),
    case(
        "threshold/one",
        "Accesses two of three units at threshold 1.",
        one,
    ),
    case(
        "threshold/zero",
        "Accesses one of two units at threshold 0.",
        zero,
    ),
];

const THRESHOLD: u32 = 5;

/// How many units are reported when one is accessed `count` times.
fn reported(bench: &mut Bench<'_>, count: u64) -> Result<usize, Stop> {
    bench.need_exact_traffic()?;
    let mut setup = bench.setup()?;
    setup.threshold = THRESHOLD;
    let unit = bench.units(setup.unit_size, 1)?[0];
    Ok(bench.observe(&setup, &[(unit, count)])?.len())
}

fn equal_count(bench: &mut Bench<'_>) -> Outcome {
    match reported(bench, THRESHOLD.into())? {
        1 => Ok(Passed::As("count >= threshold")),
        0 => Ok(Passed::As("count > threshold")),
        more => fail(
            format!("units reported after {THRESHOLD} accesses to one, at threshold {THRESHOLD}"),
            more.to_string(),
            "1 (or 0 where a count must be above the threshold)",
        ),
    }
}

fn one_above(bench: &mut Bench<'_>) -> Outcome {
    let reported = reported(bench, u64::from(THRESHOLD) + 1)?;
    let what = format!("units reported after one access more than the threshold {THRESHOLD}");
    expect_equal(what, reported, 1)?;
    Ok(Passed::Plainly)
}

fn one_below(bench: &mut Bench<'_>) -> Outcome {
    let reported = reported(bench, u64::from(THRESHOLD) - 1)?;
    let what = format!("units reported after one access less than the threshold {THRESHOLD}");
    expect_equal(what, reported, 0)?;
    Ok(Passed::Plainly)
}

fn one(bench: &mut Bench<'_>) -> Outcome {
    bench.need_exact_traffic()?;
    let mut setup = bench.epoch_setup()?;
    setup.threshold = 1;
    let units = bench.units(setup.unit_size, 3)?;
    // Two accesses, so that a device that wants a count above the threshold reports as well.
    let touches = [(units[0], 2), (units[2], 2)];
    let mut seen: Vec<_> = bench
        .observe(&setup, &touches)?
        .into_iter()
        .map(|entry| entry.unit)
        .collect();
    seen.sort();
    seen.dedup();
    expect_equal(
        "units reported at threshold 1",
        seen,
        vec![units[0], units[2]],
    )?;
    Ok(Passed::Plainly)
}

fn zero(bench: &mut Bench<'_>) -> Outcome {
    bench.need_exact_traffic()?;
    let mut setup = bench.epoch_setup()?;
    setup.threshold = 0;
    let units = bench.units(setup.unit_size, 2)?;
    if bench.try_start(&setup)? == Enabled::Refused {
        return Ok(Passed::As("refused"));
    }
    bench.touch(&setup, &[(units[0], 2)])?;
    bench.end_epoch(&setup)?;
    let seen: Vec<_> = bench.drain()?.into_iter().map(|entry| entry.unit).collect();
    expect_equal("units reported at threshold 0", seen, vec![units[0]])?;
    Ok(Passed::As("accessed units only"))
}
