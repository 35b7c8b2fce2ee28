// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Several instances and blocks: each is a unit of its own.

use chmu_spec::address::UnitIndex;
use chmu_spec::chmu::offset;

use crate::bench::{Bench, HOT, InstancePlace, Setup};
use crate::case::{Case, case};
use crate::outcome::{Outcome, Passed, Stop, expect_equal, expect_register, skip};

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
    let other = bench.neighbour()?;
    let registers = [
        (offset::CONFIGURATION_0, 0x1234_5678_0000_0003),
        (offset::CONFIGURATION_1, 0x0012_0000_0000_000c),
        (offset::CONFIGURATION_2, 0x21),
    ];
    for (register, value) in registers {
        let before = at(bench, other, |bench| bench.register(register))?;
        bench.set_register(register, value)?;
        let after = at(bench, other, |bench| bench.register(register))?;
        expect_register(
            register,
            "of the instance beside the written one",
            after,
            before,
        )?;
        bench.set_register(register, 0)?;
    }
    Ok(Passed::Plainly)
}

/// Enabling one does not enable the other, and the other way round.
fn apart_when_enabled(bench: &mut Bench<'_>, other: InstancePlace) -> Outcome {
    let here = bench.place();
    for (enabled, idle) in [(here, other), (other, here)] {
        bench.switch_to(enabled);
        let setup = bench.setup()?;
        bench.start(&setup)?;
        let status = at(bench, idle, |bench| bench.status())?;
        let what = format!(
            "enabled status of instance {}.{} while {}.{} is enabled",
            idle.block, idle.instance, enabled.block, enabled.instance
        );
        expect_equal(what, status.enabled(), false)?;
        bench.stop()?;
    }
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
    bench.need_exact_traffic()?;
    let setup = bench.setup()?;
    let unit = bench.units(setup.unit_size, 1)?[0];
    bench.start(&setup)?;
    bench.touch(&setup, &[(unit, HOT)])?;
    bench.end_epoch(&setup)?;
    Ok((setup, unit))
}

fn hotlists_apart(bench: &mut Bench<'_>) -> Outcome {
    let other = bench.neighbour()?;
    list_here(bench)?;
    let entries = at(bench, other, |bench| bench.peek())?;
    expect_equal(
        "entries of a disabled instance beside an enabled one",
        entries.len(),
        0,
    )?;
    expect_equal("entries of the enabled instance", bench.drain()?.len(), 1)?;
    Ok(Passed::Plainly)
}

/// Two instances that may both track all of the memory.
fn overlapping_pair(bench: &mut Bench<'_>) -> Result<[InstancePlace; 2], Stop> {
    bench.need_exact_traffic()?;
    let pair = [bench.place(), bench.neighbour()?];
    for place in pair {
        let overlapping = at(bench, place, |bench| bench.capabilities_1())?.overlapping_ranges();
        if !overlapping {
            return skip("the instances may not track the same range");
        }
    }
    Ok(pair)
}

/// Enables both in epoch mode and lets each list the same unit.
fn list_at_both(bench: &mut Bench<'_>, pair: [InstancePlace; 2]) -> Result<(), Stop> {
    let mut setups = Vec::new();
    for place in pair {
        let setup = at(bench, place, |bench| {
            let setup = bench.epoch_setup()?;
            bench.start(&setup)?;
            Ok(setup)
        })?;
        setups.push(setup);
    }
    let unit = bench.units(setups[0].unit_size, 1)?[0];
    bench.touch(&setups[0], &[(unit, HOT)])?;
    for setup in &setups {
        bench.end_epoch(setup)?;
    }
    Ok(())
}

fn heads_apart(bench: &mut Bench<'_>) -> Outcome {
    let pair = overlapping_pair(bench)?;
    list_at_both(bench, pair)?;
    let heads_before = at(bench, pair[1], |bench| bench.head())?;
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
        1,
    )?;
    Ok(Passed::Plainly)
}

fn counters_apart(bench: &mut Bench<'_>) -> Outcome {
    let pair = overlapping_pair(bench)?;
    // Hot for the first threshold, cold for the second.
    let thresholds = [2, 6];
    let mut setups = Vec::new();
    for (place, threshold) in pair.into_iter().zip(thresholds) {
        let setup = at(bench, place, |bench| {
            let mut setup = bench.epoch_setup()?;
            setup.threshold = threshold;
            bench.start(&setup)?;
            Ok(setup)
        })?;
        setups.push(setup);
    }
    let unit = bench.units(setups[0].unit_size, 1)?[0];
    bench.touch(&setups[0], &[(unit, 4)])?;
    for setup in &setups {
        bench.end_epoch(setup)?;
    }
    for ((place, threshold), expected) in pair.into_iter().zip(thresholds).zip([1, 0]) {
        let entries = at(bench, place, |bench| bench.drain())?;
        let what = format!("entries after 4 accesses at threshold {threshold}");
        expect_equal(what, entries.len(), expected)?;
    }
    Ok(Passed::Plainly)
}

fn reset_apart(bench: &mut Bench<'_>) -> Outcome {
    let other = bench.neighbour()?;
    let (setup, _) = list_here(bench)?;
    at(bench, other, |bench| bench.reset())?;
    expect_equal(
        "enabled after the instance beside was reset",
        bench.status()?.enabled(),
        true,
    )?;
    expect_equal(
        "entries after the instance beside was reset",
        bench.peek()?.len(),
        1,
    )?;
    let configuration = bench.register(offset::CONFIGURATION_1)?;
    expect_register(
        offset::CONFIGURATION_1,
        "after the instance beside was reset",
        configuration,
        setup.configuration_1().into(),
    )?;
    Ok(Passed::Plainly)
}

fn blocks_count(bench: &mut Bench<'_>) -> Outcome {
    bench.need_exact_traffic()?;
    let pair = [bench.place(), other_block(bench)?];
    list_at_both(bench, pair)?;
    for place in pair {
        let entries = at(bench, place, |bench| bench.drain())?;
        let what = format!("entries of block {} after {HOT} accesses", place.block);
        expect_equal(what, entries.len(), 1)?;
    }
    Ok(Passed::Plainly)
}
