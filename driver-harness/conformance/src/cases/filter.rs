// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which requests are tracked.

use chmu_spec::address::Dpa;
use chmu_spec::chmu::Mode;
use chmu_spec::request::{AccessKind, RequestFilter};

use crate::bench::Bench;
use crate::case::{Case, case};
use crate::outcome::{Outcome, Passed, Stop, expect_equal, skip};
use crate::subject::Request;

pub(super) const CASES: &[Case] = &[
    case(
        "filter/reads-counted",
        "Reads under each read filter.",
        reads_counted,
    ),
    case(
        "filter/writes-not-counted-as-reads",
        "Writes, and reads and writes, under each read filter.",
        writes_not_counted_as_reads,
    ),
    case(
        "filter/writes-counted",
        "Writes under each write filter.",
        writes_counted,
    ),
    case(
        "filter/reads-not-counted-as-writes",
        "Reads, and reads and writes, under each write filter.",
        reads_not_counted_as_writes,
    ),
    case(
        "filter/both-counted",
        "Reads and writes under each filter for both.",
        both_counted,
    ),
    case(
        "filter/non-tee-leaves-tee-out",
        "Makes TEE requests under each non-TEE filter.",
        non_tee_leaves_tee_out,
    ),
    case(
        "filter/all-includes-tee",
        "Makes TEE requests under each filter for all requests.",
        all_includes_tee,
    ),
];

/// Requests of each kind.
const EACH: u64 = 3;

use AccessKind::{Read, Write};
use RequestFilter::{AllRead, AllReadWrite, AllWrite, NonTeeRead, NonTeeReadWrite, NonTeeWrite};

/// The count reported for one unit under `filter`, after requests of each of `kinds`, [`EACH`]
/// times each; none when nothing is reported. Without epochs the count of an entry tells nothing: with a threshold that
/// `expected` requests pass once, a unit that is listed once had as many.
fn count(
    bench: &mut Bench<'_>,
    filter: RequestFilter,
    kinds: &[AccessKind],
    tee: bool,
    expected: Option<u64>,
) -> Result<Option<u64>, Stop> {
    let mut setup = bench.setup()?;
    setup.filter = filter;
    if setup.largest_count < 2 * EACH {
        return skip("the counter is too narrow for the requests of the case");
    }
    let passed_once = expected.unwrap_or(EACH);
    if setup.mode == Mode::AlwaysOn {
        bench.need_exact_traffic()?;
        setup.threshold = u32::try_from(passed_once - 1).unwrap_or(u32::MAX);
    }
    let Some(start) = bench.reachable(tee)?.first().map(|range| range.start) else {
        return skip("the traffic source reaches nothing of the device's memory");
    };
    let request = |kind: &AccessKind| Request {
        dpa: Dpa(start.0),
        kind: *kind,
        tee,
    };
    let each = kinds.iter().map(request);
    let requests: Vec<_> = (0..EACH).flat_map(|_| each.clone()).collect();
    bench.start(&setup)?;
    bench.perform(&setup, &requests)?;
    bench.end_epoch(&setup)?;
    let entries = bench.drain()?;
    bench.stop()?;
    bench.reset()?;
    Ok(match setup.mode {
        Mode::AlwaysOn => (!entries.is_empty()).then(|| passed_once * entries.len() as u64),
        Mode::Epoch => {
            expect_equal("units listed at most", entries.len().max(1), 1)?;
            entries.first().map(|entry| entry.count)
        }
    })
}

/// Checks every filter of `filters` that the instance offers; skips the case where it offers none.
fn check(
    bench: &mut Bench<'_>,
    filters: &[RequestFilter],
    kinds: &[AccessKind],
    tee: bool,
    expected: Option<u64>,
) -> Outcome {
    let offered = bench.filters()?;
    let offered: Vec<_> = filters
        .iter()
        .copied()
        .filter(|filter| offered.contains(*filter))
        .collect();
    if offered.is_empty() {
        return skip("the instance offers no such filter");
    }
    bench.each(offered, |bench, filter| {
        let seen = count(bench, filter, kinds, tee, expected)?;
        let source = if tee { "TEE" } else { "non-TEE" };
        let kinds: Vec<_> = kinds
            .iter()
            .map(|kind| match kind {
                Read => "reads",
                Write => "writes",
            })
            .collect();
        let what = format!(
            "count under filter {} of {source} {}",
            filter.name(),
            kinds.join(" and ")
        );
        // A processor may add requests of its own, not take any away.
        let is_enough = !bench.is_exact() && expected.is_some() && seen >= expected;
        match is_enough {
            true => Ok(()),
            false => expect_equal(what, seen, expected),
        }
    })?;
    Ok(Passed::Plainly)
}

/// Checks `filters` with the kind of request that they leave out, and with both kinds.
fn check_left_out(
    bench: &mut Bench<'_>,
    filters: &[RequestFilter],
    left_out: AccessKind,
) -> Outcome {
    let looks = [(vec![left_out], None), (vec![Read, Write], Some(EACH))];
    bench.each(looks, |bench, (kinds, expected)| {
        check(bench, filters, &kinds, false, expected).map(|_| ())
    })?;
    Ok(Passed::Plainly)
}

fn reads_counted(bench: &mut Bench<'_>) -> Outcome {
    check(bench, &[NonTeeRead, AllRead], &[Read], false, Some(EACH))
}

fn writes_not_counted_as_reads(bench: &mut Bench<'_>) -> Outcome {
    // A processor reads a line before it writes to it.
    bench.need_exact_traffic()?;
    check_left_out(bench, &[NonTeeRead, AllRead], Write)
}

fn writes_counted(bench: &mut Bench<'_>) -> Outcome {
    check(bench, &[NonTeeWrite, AllWrite], &[Write], false, Some(EACH))
}

fn reads_not_counted_as_writes(bench: &mut Bench<'_>) -> Outcome {
    check_left_out(bench, &[NonTeeWrite, AllWrite], Read)
}

fn both_counted(bench: &mut Bench<'_>) -> Outcome {
    let filters = [NonTeeReadWrite, AllReadWrite];
    check(bench, &filters, &[Read, Write], false, Some(2 * EACH))
}

fn non_tee_leaves_tee_out(bench: &mut Bench<'_>) -> Outcome {
    let filters = [
        (NonTeeRead, EACH),
        (NonTeeWrite, EACH),
        (NonTeeReadWrite, 2 * EACH),
    ];
    each_offered(bench, filters, |bench, filter, expected| {
        check(bench, &[filter], &[Read, Write], true, None)?;
        // It does count what is no TEE request.
        check(bench, &[filter], &[Read, Write], false, Some(expected)).map(|_| ())
    })
}

/// Looks at each of `filters` that the instance offers, with a count of its own; skips the case where it offers none.
fn each_offered(
    bench: &mut Bench<'_>,
    filters: [(RequestFilter, u64); 3],
    mut look: impl FnMut(&mut Bench<'_>, RequestFilter, u64) -> Result<(), Stop>,
) -> Outcome {
    let offered = bench.filters()?;
    let mut filters = filters.to_vec();
    filters.retain(|(filter, _)| offered.contains(*filter));
    if filters.is_empty() {
        return skip("the instance offers no such filter");
    }
    bench.each(filters, |bench, (filter, expected)| {
        look(bench, filter, expected)
    })?;
    Ok(Passed::Plainly)
}

fn all_includes_tee(bench: &mut Bench<'_>) -> Outcome {
    let filters = [(AllRead, EACH), (AllWrite, EACH), (AllReadWrite, 2 * EACH)];
    each_offered(bench, filters, |bench, filter, expected| {
        check(bench, &[filter], &[Read, Write], true, Some(expected)).map(|_| ())
    })
}
