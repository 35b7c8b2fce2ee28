// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Function level reset.

use chmu_driver::transport::Width;
use chmu_spec::chmu::{Configuration0, offset};

use crate::bench::{Bench, Setup};
use crate::case::{Case, case};
use crate::cases::address::{decoders, memory_enable};
use crate::outcome::{Outcome, Passed, Stop, each, expect_equal, fail, skip};
use crate::shown::bits;

/// What others need before they see anything.
pub(super) const FIRST: &[Case] = &[case(
    "reset/decoders-stay",
    "Reads HDM decoders and memory enable before and after a reset of the function.",
    decoders_stay,
)];

pub(super) const CASES: &[Case] = &[
    case(
        "reset/function-level",
        "Enables, resets the function and reads status and configuration of every instance.",
        function_level,
    ),
    case(
        "reset/lists-empty",
        "Lists a unit, resets the function and compares head and tail.",
        lists_empty,
    ),
    case(
        "reset/capabilities-stay",
        "Reads the capability registers before and after a reset of the function.",
        capabilities_stay,
    ),
    case(
        "reset/works-again",
        "Lists a unit, resets the function and lists one again.",
        works_again,
    ),
];

/// Resets the function; skips the case where the path cannot.
pub(super) fn reset_function(bench: &mut Bench<'_>) -> Result<(), Stop> {
    let path = bench.subject().path();
    match bench.subject().reset_function().map_err(Stop::Broken)? {
        true => bench.await_answers(),
        false => skip(format!("the {path} path cannot reset the function")),
    }
}

/// Enables the instance and lists a unit.
fn list_one(bench: &mut Bench<'_>) -> Result<Setup, Stop> {
    let setup = bench.setup()?;
    let unit = bench.units(setup.unit_size, 1)?[0];
    bench.start(&setup)?;
    bench.touch(&setup, &[(unit, setup.hot())])?;
    bench.end_epoch(&setup)?;
    Ok(setup)
}

/// Configuration, without the enable bit, and first word of the range bitmap of every instance.
fn configurations(bench: &mut Bench<'_>) -> Result<Vec<[u64; 4]>, Stop> {
    let here = bench.place();
    let mut all = Vec::new();
    for place in bench.instances() {
        bench.switch_to(place);
        let first = Configuration0::from(bench.register(offset::CONFIGURATION_0)?);
        let ranges = bench.ranges_place()?;
        all.push([
            first.with_enable(false).into(),
            bench.register(offset::CONFIGURATION_1)?,
            bench.register(offset::CONFIGURATION_2)?,
            bench.read_at(ranges, Width::Eight)?,
        ]);
    }
    bench.switch_to(here);
    Ok(all)
}

fn function_level(bench: &mut Bench<'_>) -> Outcome {
    // A bitmap that is fixed is no configuration.
    let is_fixed = matches!(bench.need_writable_ranges(), Err(Stop::Skipped(_)));
    let setup = bench.setup()?;
    bench.start(&setup)?;
    let before = configurations(bench)?;
    reset_function(bench)?;
    each(bench.instances(), |place| {
        bench.switch_to(place);
        let what = format!(
            "enabled of instance {}.{} after a reset",
            place.block, place.instance
        );
        expect_equal(what, bench.status()?.enabled(), false)
    })?;
    let after = configurations(bench)?;
    let is_zero = |one: &[u64; 4]| one[..3] == [0; 3] && (is_fixed || one[3] == 0);
    if after == before && !after.iter().all(is_zero) {
        return Ok(Passed::As("configuration kept"));
    }
    let mut all = bench.instances().into_iter().zip(after).zip(before);
    match all.find(|((_, after), _)| !is_zero(after)) {
        None => Ok(Passed::As("power-on state")),
        Some(((place, after), before)) => fail(
            format!(
                "configuration registers and range bitmap of instance {}.{} after a reset",
                place.block, place.instance
            ),
            bits(&after),
            format!("zeros (or {}, as all were before)", bits(&before)),
        ),
    }
}

fn lists_empty(bench: &mut Bench<'_>) -> Outcome {
    list_one(bench)?;
    let before = (bench.head()?, bench.tail()?);
    if before.0 == before.1 {
        return skip("nothing was listed before the reset");
    }
    reset_function(bench)?;
    let after = (bench.head()?, bench.tail()?);
    match after {
        (head, tail) if head == tail => Ok(Passed::As("empty")),
        after if after == before => Ok(Passed::As("kept")),
        after => fail(
            "head and tail after a reset",
            format!("{} and {}", after.0, after.1),
            format!("equal ones (or {} and {})", before.0, before.1),
        ),
    }
}

fn capabilities_stay(bench: &mut Bench<'_>) -> Outcome {
    let read = |bench: &Bench<'_>| -> Result<Vec<u64>, Stop> {
        let registers = [
            offset::CAPABILITIES_0,
            offset::CAPABILITIES_1,
            offset::RANGE_BITMAP_OFFSET,
            offset::HOTLIST_OFFSET,
        ];
        registers
            .into_iter()
            .map(|register| bench.register(register))
            .collect()
    };
    let before = read(bench)?;
    reset_function(bench)?;
    expect_equal("capability registers after a reset", read(bench)?, before)?;
    Ok(Passed::Plainly)
}

fn decoders_stay(bench: &mut Bench<'_>) -> Outcome {
    let (before, enabled) = (decoders(bench)?, memory_enable(bench)?);
    reset_function(bench)?;
    expect_equal("HDM decoders after a reset", decoders(bench)?, before)?;
    expect_equal(
        "memory enable after a reset",
        memory_enable(bench)?,
        enabled,
    )?;
    Ok(Passed::Plainly)
}

fn works_again(bench: &mut Bench<'_>) -> Outcome {
    list_one(bench)?;
    reset_function(bench)?;
    // Whether the reset disables it is another question.
    if bench.status()?.enabled() {
        bench.stop()?;
    }
    list_one(bench)?;
    expect_equal(
        "whether a unit is listed after a reset",
        bench.drain()?.is_empty(),
        false,
    )?;
    Ok(Passed::Plainly)
}
