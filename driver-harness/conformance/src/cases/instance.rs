// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Several instances and blocks: each is a unit of its own.

use chmu_driver::transport::Width;
use chmu_spec::address::UnitIndex;
use chmu_spec::chmu::{Status, offset};
use chmu_spec::request::AccessKind;

use super::{capability, status};
use crate::bench::{Bench, InstancePlace, Setup};
use crate::case::{Case, case};
use crate::outcome::{
    Outcome, Passed, Stop, each, expect_bits, expect_equal, expect_register, skip,
};
use crate::subject::Request;

pub(super) const CASES: &[Case] = &[
    case(
        "instance/configuration-apart",
        "Writes the configuration of one instance and reads another's.",
        configuration_apart,
    ),
    case(
        "instance/enabled-apart",
        "Enables one instance and reads the status of another, and the other way round.",
        enabled_apart,
    ),
    case(
        "instance/hotlists-apart",
        "Lists a unit at one instance and reads the list of a disabled one.",
        hotlists_apart,
    ),
    case(
        "instance/status-apart",
        "Loses a unit at one instance, reads status and capabilities of another, and clears its status.",
        status_apart,
    ),
    case(
        "instance/heads-apart",
        "Lists a unit at two instances and drains one.",
        heads_apart,
    ),
    case(
        "instance/counters-apart",
        "Makes a unit hot for the threshold of one instance and not for that of another.",
        counters_apart,
    ),
    case(
        "instance/reset-apart",
        "Lists a unit at one instance and resets another.",
        reset_apart,
    ),
    case(
        "instance/blocks-apart",
        "Enables an instance of one block and reads the status of another block's, and the other way round.",
        blocks_apart,
    ),
    case(
        "instance/blocks-count",
        "Makes a unit hot while an instance of each of two blocks counts.",
        blocks_count,
    ),
];

/// Looks at `place` for one step.
fn at<T>(
    bench: &mut Bench<'_>,
    place: InstancePlace,
    step: impl FnOnce(&mut Bench<'_>) -> Result<T, Stop>,
) -> Result<T, Stop> {
    let before = bench.place();
    bench.switch_to(place);
    let result = step(bench);
    bench.switch_to(before);
    result
}

/// The first instance of another block; skips the case where there is none.
fn other_block(bench: &Bench<'_>) -> Result<InstancePlace, Stop> {
    let block = bench.place().block;
    match bench
        .instances()
        .into_iter()
        .find(|place| place.block != block)
    {
        Some(place) => Ok(place),
        None => skip("the device has one CHMU block only"),
    }
}

fn configuration_apart(bench: &mut Bench<'_>) -> Outcome {
    let (here, other) = (bench.place(), bench.neighbour()?);
    let registers = [
        offset::CONFIGURATION_0,
        offset::CONFIGURATION_1,
        offset::CONFIGURATION_2,
    ];
    bench.each([(here, other), (other, here)], |bench, (written, idle)| {
        bench.switch_to(written);
        let setup = bench.setup()?;
        let read = |bench: &mut Bench<'_>| -> Result<Vec<u64>, Stop> {
            registers.iter().map(|at| bench.register(*at)).collect()
        };
        for register in registers {
            at(bench, written, |bench| bench.set_register(register, 0))?;
            at(bench, idle, |bench| bench.set_register(register, 0))?;
        }
        let before = at(bench, idle, read)?;
        bench.configure(&setup)?;
        let shown = read(bench)?.iter().any(|value| *value != 0);
        expect_equal("whether a configuration reads back", shown, true)?;
        let after = at(bench, idle, read)?;
        let values = registers.into_iter().zip(after).zip(before);
        each(values, |((register, after), before)| {
            expect_register(
                register,
                "of the instance beside the written one",
                after,
                before,
            )
        })
    })?;
    ranges_apart(bench, [here, other])?;
    Ok(Passed::Plainly)
}

/// What is written to one range bitmap is not in the other; nothing where one of them cannot be written.
fn ranges_apart(bench: &mut Bench<'_>, pair: [InstancePlace; 2]) -> Result<(), Stop> {
    for place in pair {
        if at(bench, place, |bench| bench.need_writable_ranges()).is_err() {
            return Ok(());
        }
    }
    let word = |bench: &mut Bench<'_>| bench.read_at(bench.ranges_place()?, Width::Eight);
    let [here, other] = pair;
    bench.each([(here, other), (other, here)], |bench, (written, idle)| {
        let before = at(bench, idle, word)?;
        for value in [1, 0] {
            at(bench, written, |bench| {
                bench.write_at(bench.ranges_place()?, Width::Eight, value)
            })?;
            let what = format!(
                "first word of a range bitmap after {value} was written to that of the instance beside"
            );
            expect_bits(what, at(bench, idle, word)?, before)?;
        }
        Ok(())
    })
}

/// Enabling one does not enable the other, and the other way round.
fn apart_when_enabled(bench: &mut Bench<'_>, other: InstancePlace) -> Outcome {
    let here = bench.place();
    bench.each([(here, other), (other, here)], |bench, (enabled, idle)| {
        bench.switch_to(enabled);
        let setup = bench.setup()?;
        bench.start(&setup)?;
        let status = at(bench, idle, |bench| bench.status())?;
        let what = format!(
            "enabled status of instance {}.{} while {}.{} is enabled",
            idle.block, idle.instance, enabled.block, enabled.instance
        );
        expect_equal(what, status.enabled(), false)?;
        bench.stop()
    })?;
    Ok(Passed::Plainly)
}

fn enabled_apart(bench: &mut Bench<'_>) -> Outcome {
    let other = bench.neighbour()?;
    apart_when_enabled(bench, other)
}

fn blocks_apart(bench: &mut Bench<'_>) -> Outcome {
    let other = other_block(bench)?;
    apart_when_enabled(bench, other)
}

/// Lists one unit at the instance under test, while `other` is disabled.
fn list_here(bench: &mut Bench<'_>) -> Result<(Setup, UnitIndex), Stop> {
    let setup = bench.setup()?;
    let unit = bench.units(setup.unit_size, 1)?[0];
    bench.start(&setup)?;
    bench.touch(&setup, &[(unit, setup.hot())])?;
    bench.end_epoch(&setup)?;
    Ok((setup, unit))
}

fn hotlists_apart(bench: &mut Bench<'_>) -> Outcome {
    let other = bench.neighbour()?;
    list_here(bench)?;
    let entries = at(bench, other, |bench| bench.peek_all())?;
    expect_equal(
        "entries of a disabled instance beside an enabled one",
        entries.len(),
        0,
    )?;
    let listed = bench.peek()?.len();
    expect_equal("entries of the enabled instance", listed, 1)?;
    // Refused where the two may not track the same memory.
    at(bench, other, |bench| {
        let setup = bench.setup()?;
        bench.try_start(&setup)?;
        bench.stop()
    })?;
    let what = "entries after the instance beside was enabled and disabled";
    expect_equal(what, bench.drain()?.len(), listed)?;
    Ok(Passed::Plainly)
}

/// Has one instance overflow while the other has lost nothing, then clears the bits of that one; and the other way
/// round.
fn status_apart(bench: &mut Bench<'_>) -> Outcome {
    let (here, other) = (bench.place(), bench.neighbour()?);
    bench.each([(here, other), (other, here)], |bench, (losing, idle)| {
        bench.switch_to(losing);
        let before = at(bench, idle, enabled_once)?;
        status::set_overflow(bench)?;
        let beside = at(bench, idle, |bench| bench.status())?;
        let what = "overflow of an instance that is disabled, beside one that lost a unit";
        expect_equal(what, beside.overflow(), false)?;
        let what = "counter width of an instance beside one that lost a unit";
        expect_equal(what, beside.counter_width(), before.0.counter_width())?;
        let capabilities = at(bench, idle, |bench| capability::read_all(bench))?;
        let beside = ("beside an instance that lost a unit", capabilities);
        capability::expect_same(&before.1, &[beside])?;
        at(bench, idle, |bench| status::clear(bench, status::OVERFLOW))?;
        let what = "overflow after that of the instance beside was cleared";
        expect_equal(what, bench.status()?.overflow(), true)?;
        bench.quiesce()
    })?;
    Ok(Passed::Plainly)
}

/// Enables an instance for a moment: status and capabilities as they are afterwards.
fn enabled_once(bench: &mut Bench<'_>) -> Result<(Status, Vec<u64>), Stop> {
    if bench.status()?.overflow() {
        return skip("overflow of the instance beside is set before it is enabled");
    }
    let setup = bench.setup()?;
    bench.start(&setup)?;
    bench.stop()?;
    Ok((bench.status()?, capability::read_all(bench)?))
}

/// Two instances that may both track all of the memory.
pub(super) fn overlapping_pair(bench: &mut Bench<'_>) -> Result<[InstancePlace; 2], Stop> {
    let pair = [bench.place(), bench.neighbour()?];
    for place in pair {
        let overlapping = at(bench, place, |bench| bench.capabilities_1())?.overlapping_ranges();
        if !overlapping {
            return skip("the instances may not track the same range");
        }
    }
    Ok(pair)
}

/// Enables both in epoch mode, makes one unit hot for either, and returns the configurations.
pub(super) fn list_at_both(bench: &mut Bench<'_>, pair: [InstancePlace; 2]) -> Result<(), Stop> {
    let mut setups = Vec::new();
    for place in pair {
        let setup = at(bench, place, |bench| {
            let setup = bench.epoch_setup()?;
            bench.start(&setup)?;
            Ok(setup)
        })?;
        setups.push(setup);
    }
    let mut doses = Vec::new();
    for setup in &setups {
        add(&mut doses, setup, setup.hot());
    }
    heat_for_both(bench, pair, &setups, &doses)
}

/// Requests of one kind, and how many.
type Doses = Vec<(AccessKind, u64)>;

/// Adds requests until an instance counts at least so many. Those that are there for another one count too, each as
/// this one's filter and down-sampling have it.
fn add(doses: &mut Doses, setup: &Setup, accesses: u64) {
    let wanted = accesses * setup.factor();
    let missing = wanted.saturating_sub(tracked(doses, setup));
    if missing > 0 {
        doses.push((setup.tracked_kind(), missing));
    }
}

/// How many requests pass an instance's filter.
fn tracked(doses: &Doses, setup: &Setup) -> u64 {
    let passed = doses
        .iter()
        .filter(|(kind, _)| setup.filter.tracks(*kind, false));
    passed.map(|(_, times)| times).sum()
}

/// Accesses one line so often, until the epochs of both instances end.
fn heat_for_both(
    bench: &mut Bench<'_>,
    pair: [InstancePlace; 2],
    setups: &[Setup],
    doses: &Doses,
) -> Result<(), Stop> {
    let Some(start) = bench.reachable(false)?.first().map(|range| range.start) else {
        return skip("the traffic source reaches nothing of the device's memory");
    };
    bench.need_requests(doses.iter().map(|(_, times)| times).sum())?;
    let mut requests = Vec::new();
    for (kind, times) in doses {
        let request = Request {
            dpa: start,
            kind: *kind,
            tee: false,
        };
        let times = usize::try_from(*times).unwrap_or(usize::MAX);
        requests.extend(std::iter::repeat_n(request, times));
    }
    bench.perform_raw(&requests)?;
    for (place, setup) in pair.into_iter().zip(setups) {
        at(bench, place, |bench| bench.end_epoch(setup))?;
    }
    Ok(())
}

fn heads_apart(bench: &mut Bench<'_>) -> Outcome {
    let pair = overlapping_pair(bench)?;
    list_at_both(bench, pair)?;
    let heads_before = at(bench, pair[1], |bench| bench.head())?;
    let listed = at(bench, pair[1], |bench| bench.peek())?.len();
    if listed == 0 {
        return skip("nothing was listed by the instance beside");
    }
    bench.drain()?;
    let head_after = at(bench, pair[1], |bench| bench.head())?;
    expect_equal(
        "head of the instance beside a drained one",
        head_after,
        heads_before,
    )?;
    let entries = at(bench, pair[1], |bench| bench.drain())?;
    expect_equal(
        "entries of the instance beside a drained one",
        entries.len(),
        listed,
    )?;
    Ok(Passed::Plainly)
}

fn counters_apart(bench: &mut Bench<'_>) -> Outcome {
    let pair = overlapping_pair(bench)?;
    let mut setups = Vec::new();
    let mut doses = Vec::new();
    for place in pair {
        at(bench, place, |bench| {
            let setup = bench.epoch_setup()?;
            doses.push(bench.dose(&setup)?);
            setups.push(setup);
            Ok(())
        })?;
    }
    // Hot for the first threshold, cold for the second, in both directions.
    for (hot, cold) in [(0, 1), (1, 0)] {
        bench.quiesce()?;
        let accesses = doses[cold].cold.min(doses[hot].cold);
        for index in [hot, cold] {
            let threshold = if index == hot {
                1
            } else {
                doses[cold].threshold
            };
            setups[index].threshold = threshold;
            at(bench, pair[index], |bench| bench.start(&setups[index]))?;
        }
        if accesses < 2 {
            return skip("the counters are too narrow for two thresholds");
        }
        let mut both = Vec::new();
        add(&mut both, &setups[hot], accesses);
        add(&mut both, &setups[cold], accesses);
        let counted = tracked(&both, &setups[cold]) / setups[cold].factor();
        if counted > doses[cold].cold {
            return skip(
                "what is hot for one instance is hot for the other one as well, which counts more of it",
            );
        }
        heat_for_both(bench, pair, &setups, &both)?;
        for (index, expected) in [(hot, true), (cold, false)] {
            let entries = at(bench, pair[index], |bench| bench.drain())?;
            let what = format!(
                "whether {accesses} accesses at threshold {} are listed",
                setups[index].threshold
            );
            // How often is for other cases.
            expect_equal(what, !entries.is_empty(), expected)?;
        }
    }
    Ok(Passed::Plainly)
}

fn reset_apart(bench: &mut Bench<'_>) -> Outcome {
    let other = bench.neighbour()?;
    list_here(bench)?;
    let configuration = bench.register(offset::CONFIGURATION_1)?;
    let listed = bench.peek()?.len();
    at(bench, other, |bench| bench.reset())?;
    expect_equal(
        "enabled after the instance beside was reset",
        bench.status()?.enabled(),
        true,
    )?;
    expect_equal(
        "entries after the instance beside was reset",
        bench.peek()?.len(),
        listed,
    )?;
    let what = "unit size and epoch after the instance beside was reset";
    expect_bits(
        what,
        bench.register(offset::CONFIGURATION_1)?,
        configuration,
    )?;
    match listed {
        0 => skip("nothing was listed"),
        _ => Ok(Passed::Plainly),
    }
}

fn blocks_count(bench: &mut Bench<'_>) -> Outcome {
    let pair = [bench.place(), other_block(bench)?];
    list_at_both(bench, pair)?;
    for place in pair {
        let entries = at(bench, place, |bench| bench.drain())?;
        let what = format!("entries of block {} after a unit was hot", place.block);
        expect_equal(what, entries.len(), 1)?;
    }
    Ok(Passed::Plainly)
}
