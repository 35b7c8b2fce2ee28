// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which counts are hot.

use crate::bench::{Bench, Enabled, Setup};
use crate::case::{Case, case};
use crate::outcome::{Outcome, Passed, Stop, expect, expect_equal, fail, skip};

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
        "Accesses a unit once less than the threshold says; far less where others access it as well.",
        one_below,
    ),
    case(
        "threshold/high-above",
        "Accesses a unit once more than a threshold of up to 16 bits says, and a third of it.",
        high_above,
    ),
    case(
        "threshold/high-below",
        "Accesses a unit once less than a threshold of up to 16 bits says; far less where others access it as well.",
        high_below,
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

/// The threshold, where the counter can pass it.
const THRESHOLD: u64 = 5;
/// Requests that a high threshold is worth, with exact traffic and without.
const HIGH_REQUESTS: [u64; 2] = [1 << 16, 1 << 13];

/// Units that are reported when one is accessed `more` often than the threshold, or `less`.
struct Reported {
    units: usize,
    threshold: u32,
    accesses: u64,
}

impl Reported {
    fn what(&self) -> String {
        let Self {
            threshold,
            accesses,
            ..
        } = self;
        format!("units reported after {accesses} accesses to one, at threshold {threshold}")
    }
}

fn reported(bench: &mut Bench<'_>, more: i64) -> Result<Reported, Stop> {
    let mut setup = bench.setup()?;
    let threshold = THRESHOLD.min(setup.largest_count.saturating_sub(1));
    if threshold < 2 {
        return skip("a counter of 1 bit cannot tell counts apart");
    }
    setup.threshold = u32::try_from(threshold).unwrap_or(u32::MAX);
    let accesses = threshold.saturating_add_signed(more);
    let units = bench.units(setup.unit_size, 2)?;
    let reported = Reported {
        units: bench.observe(&setup, &[(units[0], accesses)])?.len(),
        threshold: setup.threshold,
        accesses,
    };
    // Nothing is said by an instance that reports nothing at all.
    if reported.units == 0 {
        bench.touch(&setup, &[(units[1], threshold + 1)])?;
        bench.end_epoch(&setup)?;
        if bench.drain()?.is_empty() {
            return match more {
                1 => Ok(reported),
                _ => skip("nothing was listed of a unit that was hot either"),
            };
        }
    }
    Ok(reported)
}

fn equal_count(bench: &mut Bench<'_>) -> Outcome {
    bench.need_exact_traffic()?;
    let reported = reported(bench, 0)?;
    match reported.units {
        1 => Ok(Passed::As("count >= threshold")),
        0 => Ok(Passed::As("count > threshold")),
        more => fail(
            reported.what(),
            more.to_string(),
            "1 (or 0 where a count must be above the threshold)",
        ),
    }
}

fn one_above(bench: &mut Bench<'_>) -> Outcome {
    let reported = reported(bench, 1)?;
    let at_least_one = !bench.is_exact() && reported.units > 0;
    match at_least_one {
        true => (),
        false => expect_equal(reported.what(), reported.units, 1)?,
    }
    Ok(Passed::Plainly)
}

fn one_below(bench: &mut Bench<'_>) -> Outcome {
    if !bench.is_exact() {
        return far_below(bench);
    }
    let reported = reported(bench, -1)?;
    expect_equal(reported.what(), reported.units, 0)?;
    Ok(Passed::Plainly)
}

/// So far below that requests of others do not make up for it.
fn far_below(bench: &mut Bench<'_>) -> Outcome {
    let mut setup = bench.setup()?;
    let dose = bench.dose(&setup)?;
    setup.threshold = dose.threshold;
    let unit = bench.units(setup.unit_size, 1)?[0];
    let reported = Reported {
        units: bench.observe(&setup, &[(unit, dose.cold)])?.len(),
        threshold: dose.threshold,
        accesses: dose.cold,
    };
    expect_equal(reported.what(), reported.units, 0)?;
    bench.touch(&setup, &[(unit, dose.hot)])?;
    bench.end_epoch(&setup)?;
    match bench.drain()?.is_empty() {
        false => Ok(Passed::Plainly),
        true => skip("nothing was listed of a unit that was hot either"),
    }
}

/// A configuration with as high a threshold as the counter can pass and traffic is worth, all bits of which are set
/// but the lowest: where one of them is not looked at, it is another threshold.
fn high_setup(bench: &mut Bench<'_>) -> Result<Setup, Stop> {
    let mut setup = bench.setup()?;
    let requests = HIGH_REQUESTS[usize::from(!bench.is_exact())] / setup.factor();
    let most = setup.largest_count.saturating_sub(1).min(requests);
    let threshold = (1_u64 << (most + 2).ilog2()) - 2;
    if threshold <= THRESHOLD {
        return skip(format!(
            "counters and traffic allow no threshold above {THRESHOLD}"
        ));
    }
    setup.threshold = u32::try_from(threshold).unwrap_or(u32::MAX);
    Ok(setup)
}

/// So many accesses make a unit hot whatever others do.
fn high_dose(bench: &mut Bench<'_>, setup: &Setup) -> u64 {
    match bench.is_exact() {
        true => setup.hot(),
        false => u64::from(setup.threshold) * 2,
    }
}

fn high_above(bench: &mut Bench<'_>) -> Outcome {
    let setup = high_setup(bench)?;
    let unit = bench.units(setup.unit_size, 1)?[0];
    // One in the middle as well: there is none above the highest that it could be taken for.
    let thresholds = [setup.threshold / 3, setup.threshold];
    bench.each(thresholds, |bench, threshold| {
        let setup = Setup {
            threshold,
            ..setup.clone()
        };
        let accesses = high_dose(bench, &setup);
        let units = bench.observe(&setup, &[(unit, accesses)])?.len();
        let reported = Reported {
            units,
            threshold,
            accesses,
        };
        let (holds, expected) = match bench.is_exact() {
            true => (units == 1, "1"),
            false => (units > 0, "1 or more"),
        };
        expect(holds, reported.what(), units.to_string(), expected)?;
        bench.stop()?;
        bench.reset()
    })?;
    Ok(Passed::Plainly)
}

fn high_below(bench: &mut Bench<'_>) -> Outcome {
    let setup = high_setup(bench)?;
    let unit = bench.units(setup.unit_size, 1)?[0];
    let accesses = match bench.is_exact() {
        true => u64::from(setup.threshold) - 1,
        false => u64::from(setup.threshold) / 5,
    };
    let reported = Reported {
        units: bench.observe(&setup, &[(unit, accesses)])?.len(),
        threshold: setup.threshold,
        accesses,
    };
    expect_equal(reported.what(), reported.units, 0)?;
    let dose = high_dose(bench, &setup);
    bench.touch(&setup, &[(unit, dose)])?;
    bench.end_epoch(&setup)?;
    match bench.drain()?.is_empty() {
        false => Ok(Passed::Plainly),
        true => skip("nothing was listed of a unit that was hot either"),
    }
}

fn one(bench: &mut Bench<'_>) -> Outcome {
    let mut setup = bench.epoch_setup()?;
    setup.threshold = 1;
    if bench.capabilities_0()?.hotlist_entries() < 3 {
        return skip("the list holds fewer than 2 entries");
    }
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
    let mut setup = bench.epoch_setup()?;
    let good = setup.clone();
    setup.threshold = 0;
    let units = bench.units(setup.unit_size, 2)?;
    if bench.try_start(&setup)? == Enabled::Refused {
        bench.start(&good)?;
        return Ok(Passed::As("refused"));
    }
    bench.touch(&setup, &[(units[0], 2)])?;
    bench.end_epoch(&setup)?;
    let seen: Vec<_> = bench.drain()?.into_iter().map(|entry| entry.unit).collect();
    expect_equal("units reported at threshold 0", seen, vec![units[0]])?;
    Ok(Passed::As("accessed units only"))
}
