// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Down-sampling.

use chmu_spec::address::UnitIndex;
use chmu_spec::request::{AccessKind, RequestFilter};

use crate::bench::{Bench, Setup};
use crate::case::{Case, case};
use crate::outcome::{Outcome, Passed, Stop, each, expect, skip};
use crate::subject::Request;

pub(super) const CASES: &[Case] = &[
    case(
        "sampling/one-of-many",
        "Makes 8 times each factor of requests, twice the large ones, and reads the counts.",
        one_of_many,
    ),
    case(
        "sampling/not-scaled-back",
        "Makes 6 times the factor of requests and compares the count with them.",
        not_scaled_back,
    ),
    case(
        "sampling/factor-one",
        "Makes 9 requests with factor 1.",
        factor_one,
    ),
    case(
        "sampling/filter-first",
        "Puts filtered writes between reads so that sampling before the filter would see no read.",
        filter_first,
    ),
    case(
        "sampling/randomised-mean",
        "Makes thousands of requests to one unit and compares the count with the mean.",
        randomised_mean,
    ),
    case(
        "sampling/randomised-breaks-periods",
        "Accesses as many units as the factor in turn and counts how many are seen.",
        randomised_breaks_periods,
    ),
];

/// Requests with which a factor is tried, unless that is less than twice the factor.
const FACTOR_REQUESTS: u64 = 4096;
/// Requests of a randomised case: enough for a mean.
const MANY_REQUESTS: u64 = 16_384;

/// An epoch configuration with the smallest factor above 1 that is at least 2^`least_log2`.
fn setup(bench: &mut Bench<'_>, least_log2: u8, randomise: bool) -> Result<Setup, Stop> {
    let mut setup = bench.epoch_setup()?;
    let capabilities = bench.capabilities_1()?;
    let factors = capabilities.down_sampling_factors();
    match (least_log2..16).find(|log2| factors >> log2 & 1 == 1) {
        Some(log2) => setup.down_sampling_log2 = log2,
        None => return skip("the instance has no such down-sampling factor"),
    }
    if randomise && !capabilities.randomised_down_sampling() {
        return skip("the instance has no randomised down-sampling");
    }
    setup.randomise = randomise;
    setup.threshold = 1;
    Ok(setup)
}

/// The count that is reported after so many times the factor of requests to one unit; skips the case
/// where nothing is.
fn count(bench: &mut Bench<'_>, setup: &Setup, times: u64) -> Result<u64, Stop> {
    let unit = bench.units(setup.unit_size, 1)?[0];
    let entries = bench.observe(setup, &[(unit, times)])?;
    match entries.first() {
        Some(entry) => Ok(entry.count),
        None => skip("nothing was listed whose count could be read"),
    }
}

/// What was seen of a factor.
#[derive(Debug, Clone, Copy)]
struct Sampled {
    factor: u64,
    /// So many times the factor of requests were made.
    times: u64,
    /// The count that these made; none where nothing was listed.
    seen: Option<u64>,
}

/// Tries every factor on offer that is not 1.
fn sampled(bench: &mut Bench<'_>, setup: &Setup) -> Result<Vec<Sampled>, Stop> {
    let factors = bench.capabilities_1()?.down_sampling_factors();
    let unit = bench.units(setup.unit_size, 1)?[0];
    let mut all = Vec::new();
    for log2 in (1..16).filter(|log2| factors >> log2 & 1 == 1) {
        let setup = Setup {
            down_sampling_log2: log2,
            ..setup.clone()
        };
        let factor = setup.factor();
        // A factor that is taken for half of it makes twice the count, which must fit as well.
        let room = setup.largest_count.saturating_sub(1) / 2;
        let times = (FACTOR_REQUESTS / factor).clamp(2, 8).min(room);
        if times < 2 {
            return skip("the counter is too narrow for the requests of the case");
        }
        let mut entries = bench.observe(&setup, &[(unit, times)])?;
        if entries.is_empty() {
            // A factor leaves out the same requests each time.
            bench.stop()?;
            bench.reset()?;
            entries = bench.observe(&setup, &[(unit, times)])?;
            if !entries.is_empty() {
                return skip("the same requests are not listed each time");
            }
        }
        all.push(Sampled {
            factor,
            times,
            seen: entries.first().map(|entry| entry.count),
        });
        bench.stop()?;
        bench.reset()?;
    }
    Ok(all)
}

fn one_of_many(bench: &mut Bench<'_>) -> Outcome {
    let setup = setup(bench, 1, false)?;
    bench.need_exact_traffic()?;
    let all = sampled(bench, &setup)?;
    if all.iter().all(|one| one.seen.is_none()) {
        return skip("nothing was listed whose count could be read");
    }
    // What a code stands for is the same for all of them: what it is for most.
    let as_often = |factor: u64| {
        let fits = |one: &&Sampled| one.seen == Some(one.times * factor);
        all.iter().filter(fits).count()
    };
    let (whole, half) = (as_often(1), as_often(2));
    let (expected, reading) = match half > whole {
        false => (1, "code n is 2^n"),
        true => (2, "code n is 2^(n-1)"),
    };
    each(&all, |one| {
        let Sampled {
            factor,
            times,
            seen,
        } = *one;
        let or = match whole + half {
            0 => format!(" (or {} where the code stands for half as much)", times * 2),
            _ => String::new(),
        };
        expect(
            seen == Some(times * expected),
            format!(
                "count of {} requests, one of {factor} sampled",
                times * factor
            ),
            seen.map_or("nothing listed".into(), |seen| seen.to_string()),
            format!("{}{or}", times * expected),
        )
    })?;
    Ok(Passed::As(reading))
}

fn not_scaled_back(bench: &mut Bench<'_>) -> Outcome {
    // So large that neither other requests nor another reading of the code make up for it.
    let setup = setup(bench, 4, false)?;
    let factor = setup.factor();
    let requests = 6 * factor;
    if setup.largest_count < requests {
        return skip("the counter is too narrow for the requests of the case");
    }
    let seen = count(bench, &setup, 6)?;
    let what = format!("count of {requests} requests, one of {factor} sampled");
    expect(
        seen < requests / 2,
        what,
        seen.to_string(),
        format!("6, not {requests}"),
    )?;
    Ok(Passed::Plainly)
}

fn factor_one(bench: &mut Bench<'_>) -> Outcome {
    let mut setup = setup(bench, 0, false)?;
    if setup.down_sampling_log2 != 0 {
        return skip("the instance has no factor 1");
    }
    setup.threshold = 1;
    let unit = bench.units(setup.unit_size, 1)?[0];
    let touches = [(unit, 9)];
    let seen = bench.observe(&setup, &touches)?;
    let what = "unit and count of 9 requests with factor 1";
    bench.expect_counts(what, &setup, &seen, &touches)?;
    Ok(Passed::Plainly)
}

fn filter_first(bench: &mut Bench<'_>) -> Outcome {
    bench.need_exact_traffic()?;
    // With a larger factor than 2 what is wrong and what another reading of the code makes of it are not the same.
    let mut setup = setup(bench, 2, false).or_else(|_| setup(bench, 1, false))?;
    let filters = bench.filters()?;
    let reads = [RequestFilter::NonTeeRead, RequestFilter::AllRead];
    match reads.into_iter().find(|filter| filters.contains(*filter)) {
        Some(filter) => setup.filter = filter,
        None => return skip("the instance cannot track reads alone"),
    }
    let Some(dpa) = bench.reachable(false)?.first().map(|range| range.start) else {
        return skip("the traffic source reaches nothing of the device's memory");
    };
    if setup.largest_count < 4 {
        return skip("the counter is too narrow for the requests of the case");
    }
    let factor: usize = 1 << setup.down_sampling_log2;
    if factor > 256 {
        return skip("the factors on offer make the case too long");
    }
    let request = |kind| Request {
        dpa,
        kind,
        tee: false,
    };
    bench.need_requests(4 * (factor as u64).saturating_mul(factor as u64))?;
    // Between two reads come so many writes that sampling before the filter would see no read.
    let round = [
        vec![request(AccessKind::Write); factor - 1],
        vec![request(AccessKind::Read)],
    ];
    let requests = round.concat().repeat(4 * factor);
    bench.start(&setup)?;
    bench.perform_raw(&requests)?;
    bench.end_epoch(&setup)?;
    let seen = bench.drain()?.first().map_or(0, |entry| entry.count);
    let what = format!(
        "count of {} reads among writes, one of {factor} sampled",
        4 * factor
    );
    expect(
        seen == 4 || seen == 8,
        what,
        seen.to_string(),
        "4 (or 8 where the code stands for half as much)",
    )?;
    Ok(Passed::Plainly)
}

fn randomised_mean(bench: &mut Bench<'_>) -> Outcome {
    // So large a factor that requests of others do not make up for it.
    let exact = bench.is_exact();
    let setup = setup(bench, if exact { 2 } else { 4 }, true)?;
    let factor = setup.factor();
    let expected = (MANY_REQUESTS / factor).min(setup.largest_count / 2);
    if expected < 64 {
        return skip("the smallest factor samples too few requests for a mean");
    }
    let requests = expected * factor;
    let seen = count(bench, &setup, expected)?;
    // Half the mean off is many standard deviations; so is half of twice that, where the code stands for half as much.
    let most = if exact { expected * 3 } else { requests / 2 };
    let near = (expected / 2..=most).contains(&seen);
    let what = format!("count of {requests} requests, one of {factor} sampled at random");
    expect(near, what, seen.to_string(), format!("about {expected}"))?;
    Ok(Passed::Plainly)
}

/// One access to each unit in turn: sampling at fixed gaps would see one unit only.
fn in_turn(
    bench: &mut Bench<'_>,
    setup: &Setup,
    units: &[UnitIndex],
    rounds: u64,
) -> Result<Vec<Request>, Stop> {
    let mut turn = Vec::with_capacity(units.len());
    for unit in units {
        turn.push(Request {
            dpa: bench.first_line(setup.unit_size, *unit)?,
            kind: setup.tracked_kind(),
            tee: false,
        });
    }
    Ok(turn.repeat(usize::try_from(rounds).unwrap_or(0)))
}

fn randomised_breaks_periods(bench: &mut Bench<'_>) -> Outcome {
    let setup = setup(bench, 2, true)?;
    let factor: u64 = 1 << setup.down_sampling_log2;
    let rounds = MANY_REQUESTS / factor;
    if rounds < 64 || factor > 16 {
        return skip("the factors on offer make the case too long");
    }
    if u64::from(bench.capabilities_0()?.hotlist_entries()) <= factor {
        return skip("the list holds fewer entries than the pattern has units");
    }
    let units = bench.units(
        setup.unit_size,
        usize::try_from(factor).unwrap_or(usize::MAX),
    )?;
    bench.start(&setup)?;
    let requests = in_turn(bench, &setup, &units, rounds)?;
    bench.perform_raw(&requests)?;
    bench.end_epoch(&setup)?;
    let seen = bench.drain()?.len();
    if seen == 0 {
        return skip("nothing was listed");
    }
    let what = format!("units sampled of {factor} accessed in turn, one of {factor} at random");
    expect(
        seen > units.len() / 2,
        what,
        seen.to_string(),
        "most of them",
    )?;
    Ok(Passed::Plainly)
}
