// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Hot units that find no room on the hotlist: kept until there is room, or not.

use super::hotlist::{fill, hot, listed, sorted};

use crate::bench::Bench;
use crate::case::{Case, case};
use crate::outcome::{Outcome, Passed, Stop, expect_equal, skip};

pub(super) const CASES: &[Case] = &[
    case(
        "hotlist/backlog-refills",
        "Has two units wait for room and drains the list twice.",
        backlog_refills,
    ),
    case(
        "hotlist/no-backlog",
        "Loses units on a full list and drains it twice.",
        no_backlog,
    ),
    case(
        "hotlist/reset-drops-backlog",
        "Has units wait for room, resets, enables and drains.",
        reset_drops_backlog,
    ),
];

fn need_backlog(bench: &Bench<'_>, wanted: bool) -> Result<(), Stop> {
    match (bench.capabilities_1()?.postponed_insertion(), wanted) {
        (true, false) => skip("the instance has postponed insertion"),
        (false, true) => skip("the instance has no postponed insertion"),
        _ => Ok(()),
    }
}

fn backlog_refills(bench: &mut Bench<'_>) -> Outcome {
    need_backlog(bench, true)?;
    bench.need_exact_traffic()?;
    let setup = bench.setup()?;
    let room = bench.room()?;
    let units = bench.units(setup.unit_size, room + 2)?;
    // The higher unit waits first, so that its place in the backlog shows its age.
    let (younger, older) = (units[room], units[room + 1]);
    bench.start(&setup)?;
    for hot_units in [&units[..room], &[older], &[younger]] {
        bench.touch(&setup, &hot(&setup, hot_units))?;
        bench.end_epoch(&setup)?;
    }
    let first = sorted(listed(&bench.drain()?));
    expect_equal("units of the full list", first, units[..room].to_vec())?;
    // A list of two entries refills one by one.
    let mut refilled = listed(&bench.drain()?);
    refilled.extend(listed(&bench.drain()?));
    expect_equal(
        "units that refilled the drained list",
        refilled,
        vec![older, younger],
    )?;
    Ok(Passed::Plainly)
}

fn no_backlog(bench: &mut Bench<'_>) -> Outcome {
    need_backlog(bench, false)?;
    let setup = bench.setup()?;
    let more = bench.room()?.min(3);
    fill(bench, &setup, more)?;
    if bench.drain()?.is_empty() {
        return skip("nothing was listed");
    }
    expect_equal(
        "entries after the full list was drained",
        bench.drain()?.len(),
        0,
    )?;
    Ok(Passed::Plainly)
}

fn reset_drops_backlog(bench: &mut Bench<'_>) -> Outcome {
    need_backlog(bench, true)?;
    let setup = bench.setup()?;
    let more = bench.room()?.min(3);
    fill(bench, &setup, more)?;
    // Some wait: a part of the list is drained, and filled again at once.
    let next =
        chmu_spec::hotlist::next_index(bench.head()?, bench.capabilities_0()?.hotlist_entries());
    bench.set_head(next)?;
    if usize::from(bench.occupancy()?) < bench.room()? {
        return skip("no unit waits for room");
    }
    bench.stop()?;
    bench.reset()?;
    bench.start(&setup)?;
    bench.end_epoch(&setup)?;
    expect_equal(
        "entries after a reset with a backlog",
        bench.drain()?.len(),
        0,
    )?;
    Ok(Passed::Plainly)
}
