// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! High fill-level thresholds.

use chmu_spec::address::UnitIndex;
use chmu_spec::chmu::offset;

use crate::bench::{Bench, Setup};
use crate::case::{Case, case};
use crate::cases::status::{heat, with_interrupts};
use crate::outcome::{Outcome, Passed, Stop, expect_equal, skip};

pub(super) const CASES: &[Case] = &[
    case(
        "status/fill-level-high-above",
        "Lists one entry more than the highest fill-level threshold that the list can pass.",
        high_above,
    ),
    case(
        "status/fill-level-high-below",
        "Lists one entry less than the highest fill-level threshold that the list can pass, and few at 32768.",
        high_below,
    ),
];

/// No list is filled further; a longer one takes seconds.
const MOST_ENTRIES: usize = 8191;
/// Lists that hold fewer entries have no high threshold.
const LEAST_ENTRIES: usize = 4;
/// A threshold of which the highest bit is looked at, or nothing is.
const HIGHEST_BIT: u16 = 1 << 15;
/// Entries that are few beside it.
const FEW: usize = 3;

/// A configuration with as high a threshold as the list can pass, and the units that fill the list so far.
fn high_setup(bench: &mut Bench<'_>) -> Result<(Setup, Vec<UnitIndex>), Stop> {
    let room = bench.room()?.min(MOST_ENTRIES);
    if room < LEAST_ENTRIES {
        return skip(format!("the list holds fewer than {LEAST_ENTRIES} entries"));
    }
    let mut setup = with_interrupts(bench)?;
    setup.fill_level = u16::try_from(room - 1).unwrap_or(u16::MAX);
    let units = bench.units(setup.unit_size, room)?;
    Ok((setup, units))
}

/// Starts; says whether the device has all bits of the fill-level threshold, or says that it has fewer.
fn start(bench: &mut Bench<'_>, setup: &Setup) -> Result<bool, Stop> {
    bench.start(setup)?;
    let written = u64::from(setup.configuration_2());
    Ok(bench.register(offset::CONFIGURATION_2)? == written)
}

/// As [`start`]; skips the case where it has fewer.
fn start_whole(bench: &mut Bench<'_>, setup: &Setup) -> Result<(), Stop> {
    match start(bench, setup)? {
        true => Ok(()),
        false => skip("the fill-level threshold reads as another than was written"),
    }
}

fn high_above(bench: &mut Bench<'_>) -> Outcome {
    let (setup, units) = high_setup(bench)?;
    let level = setup.fill_level;
    start_whole(bench, &setup)?;
    heat(bench, &setup, &units)?;
    let status = bench.status_once(|status| status.fill_level())?;
    let listed = bench.occupancy()?;
    if listed <= level {
        return skip(format!(
            "{listed} entries were listed of {} hot units",
            units.len()
        ));
    }
    let what = format!("fill level with {listed} entries at threshold {level}");
    expect_equal(what, status.fill_level(), true)?;
    Ok(Passed::Plainly)
}

/// Fill level is clear after so many units are hot, with a threshold that is enabled.
fn is_clear(bench: &mut Bench<'_>, setup: &Setup, units: &[UnitIndex]) -> Result<(), Stop> {
    heat(bench, setup, units)?;
    let status = bench.status_once(|status| !status.fill_level())?;
    let (listed, level) = (bench.occupancy()?, setup.fill_level);
    if usize::from(listed) < units.len() || listed >= level {
        return skip(format!(
            "{listed} entries were listed of {} hot units",
            units.len()
        ));
    }
    let what = format!("fill level with {listed} entries at threshold {level}");
    expect_equal(what, status.fill_level(), false)
}

fn high_below(bench: &mut Bench<'_>) -> Outcome {
    let (setup, units) = high_setup(bench)?;
    let level = usize::from(setup.fill_level);
    // Where others list units as well, some room is left to them.
    let below = match bench.is_exact() {
        true => level - 1,
        false => level.div_ceil(2),
    };
    let highest_bit = Setup {
        fill_level: HIGHEST_BIT,
        ..setup.clone()
    };
    bench.each(
        [(&setup, below), (&highest_bit, FEW)],
        |bench, (look, count)| {
            let is_whole = start(bench, look)?;
            if is_whole {
                is_clear(bench, look, &units[..count])?;
            }
            bench.quiesce()
        },
    )?;
    start_whole(bench, &setup)?;
    heat(bench, &setup, &units)?;
    let status = bench.status_once(|status| status.fill_level())?;
    match status.fill_level() {
        true => Ok(Passed::Plainly),
        false => skip("fill level is not set above its threshold either"),
    }
}
