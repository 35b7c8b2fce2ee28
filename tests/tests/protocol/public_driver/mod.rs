// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A driver of the public kind on every ready-made device, and on lists at both sides of what fits
//! an instance.

mod double;
mod machine;
mod window;

use std::process::Command;

use anyhow::{Context, Result, ensure};
use chmu_tests::device_process::{device_program, is_readable};
use chmu_tests::raw_client::REPLY_TIMEOUT;

use crate::monitor::signals;
use double::{Driver, Reach, VARIANTS, Variant, instances};
use machine::{Machine, UNIT_BYTES};

/// Accesses in an epoch that make a page hot.
const THRESHOLD: u64 = 4;
/// Times that a list fills between a start and a stop: its end is passed more than once.
const ROUNDS: u64 = 4;
const STARTS: u64 = 3;
/// The last range of 256 MiB of the default memory; units beside the driven one track it.
const OTHER_RANGE: u64 = 3;
const RANGE_PAGES: u64 = (256 << 20) / UNIT_BYTES;
/// Words that the bitmap of the default memory needs.
const BITMAP_WORDS: u64 = 1;
/// How the log names devices that such drivers break.
const FAR_LIST: &str = "the public Linux drivers (perf and sysfs) break";

/// A unit: its block's number and place, and its own number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Unit {
    block: usize,
    place: (u32, u64),
    instance: u64,
}

impl Unit {
    fn probe(self, machine: &mut Machine, variant: Variant, reach: Reach) -> Result<Driver> {
        Driver::probe(machine, self.place, self.instance, variant, reach)
    }
}

fn units(machine: &mut Machine) -> Result<Vec<Unit>> {
    let monitors = 5;
    let mut units = Vec::new();
    for (block, place) in machine.blocks(monitors)?.into_iter().enumerate() {
        let (count, _) = instances(machine, place)?;
        units.extend((0..count).map(|instance| Unit {
            block,
            place,
            instance,
        }));
    }
    ensure!(!units.is_empty(), "the locator names no monitor");
    Ok(units)
}

/// Drives each unit of a device by each driver. Returns how many units were driven, and how many
/// have a list that no such driver reaches.
fn drive_all(arguments: &[&str]) -> Result<(usize, usize)> {
    let (mut driven, mut far) = (0, 0);
    for variant in VARIANTS {
        let mut machine = Machine::start(arguments)?;
        for unit in units(&mut machine)? {
            let driver = unit.probe(&mut machine, variant, Reach::Instances)?;
            if !driver.is_near() {
                far += 1;
            } else if driver.takes() {
                drive(&mut machine, unit, variant)
                    .with_context(|| format!("{unit:?}, {variant:?}"))?;
                driven += 1;
            }
        }
    }
    Ok((driven, far))
}

/// Drives a unit beside the others.
fn drive(machine: &mut Machine, unit: Unit, variant: Variant) -> Result<()> {
    let mut others = Vec::new();
    for other in units(machine)? {
        if other != unit {
            let driver = other.probe(machine, variant, Reach::Everything)?;
            others.push(start_other(machine, driver)?);
        }
    }
    let before = pictures(machine, &others)?;

    let mut driver = unit.probe(machine, variant, Reach::Instances)?;
    ensure!(
        driver.bitmap_words() == BITMAP_WORDS,
        "the driver takes the bitmap to have {} words",
        driver.bitmap_words()
    );
    let event = match driver.abilities.fill_level_interrupt {
        true => Some(machine.connect_message(driver.abilities.message)?),
        false => None,
    };
    for _ in 0..STARTS {
        let counted = machine.counted(unit.block, unit.instance)?;
        driver.start(machine, THRESHOLD)?;
        let into_list: &[u64] = if variant.word_behind { &[0] } else { &[] };
        ensure!(
            driver.stores_into_list() == into_list,
            "the driver wrote into its list"
        );
        ensure!(
            pictures(machine, &others)? == before,
            "a start changes other units"
        );
        let mut accesses = 0;
        for round in 0..ROUNDS {
            let expected = touch(machine, &driver, round);
            accesses += expected.accesses;
            machine.pass(driver.epoch_ns())?;
            let mut found = match &event {
                Some(event) => {
                    ensure!(is_readable(event, REPLY_TIMEOUT)?, "there is no interrupt");
                    ensure!(signals(event)? == 1, "there is more than one interrupt");
                    let found = driver.interrupt(machine)?;
                    found.context("the interrupt is for nobody")?
                }
                None => driver.drain(machine)?,
            };
            found.sort_unstable();
            ensure!(
                found == expected.hot,
                "round {round}: {found:?} instead of {:?}",
                expected.hot
            );
        }
        ensure!(driver.stop(machine)?.is_empty(), "there are more entries");
        ensure!(
            machine.counted(unit.block, unit.instance)? == counted + accesses,
            "not exactly {accesses} requests were counted"
        );
        ensure!(
            driver.stores_into_list().is_empty(),
            "the driver wrote into its list"
        );
    }
    touch(machine, &driver, 0);
    machine.pass(driver.epoch_ns())?;
    ensure!(
        driver.drain(machine)?.is_empty(),
        "a stopped unit reports pages"
    );
    ensure!(
        pictures(machine, &others)? == before,
        "other units are not as they were"
    );
    for mut other in others {
        other.stop(machine)?;
    }
    Ok(())
}

/// Starts a unit that has something in its list, on memory that nothing else accesses; one that
/// allows no overlapping ranges is programmed and stopped again.
fn start_other(machine: &mut Machine, mut driver: Driver) -> Result<Driver> {
    driver.start_on_range(machine, OTHER_RANGE, 1)?;
    machine.touch(OTHER_RANGE * RANGE_PAGES, 2);
    machine.pass(driver.epoch_ns())?;
    if !driver.abilities.overlapping_ranges {
        driver.stop(machine)?;
    }
    Ok(driver)
}

fn pictures(machine: &mut Machine, drivers: &[Driver]) -> Result<Vec<Vec<u64>>> {
    let pictures = drivers.iter().map(|driver| driver.picture(machine));
    pictures.collect()
}

struct Expected {
    /// Pages and counts, by page.
    hot: Vec<(u64, u64)>,
    accesses: u64,
}

/// Makes more than half of a list's pages hot, with different counts, beside pages that are not.
fn touch(machine: &mut Machine, driver: &Driver, round: u64) -> Expected {
    let mut expected = Expected {
        hot: Vec::new(),
        accesses: 0,
    };
    let entries = driver.abilities.entries;
    for number in 0..=entries / 2 {
        // A unit that is always on has no epochs in which it would forget.
        let page = 2 * (round * entries + number);
        let count = THRESHOLD + number % THRESHOLD;
        machine.touch(page, count);
        machine.touch(page + 1, THRESHOLD - 1);
        expected.accesses += count + THRESHOLD - 1;
        let reported = match driver.abilities.always_on {
            true => THRESHOLD,
            false => count,
        };
        expected.hot.push((page, reported));
    }
    expected
}

#[test]
fn every_profile_works_with_it_or_says_that_it_does_not() -> Result<()> {
    let list = Command::new(device_program()?)
        .arg("--list-profiles")
        .output()?;
    let list = String::from_utf8(list.stdout)?;
    let names: Vec<_> = list
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    ensure!(
        names.contains(&"default") && names.contains(&"huge-list"),
        "{list}"
    );
    for name in names {
        let arguments = ["--profile", name];
        let (driven, far) = drive_all(&arguments).with_context(|| name.to_owned())?;
        match name {
            "huge-list" => assert_eq!((driven, far), (0, VARIANTS.len())),
            _ => assert!(driven > 0 && far == 0, "{name}: {driven} driven, {far} far"),
        }
        let mut machine = Machine::start(&arguments)?;
        units(&mut machine)?;
        let log = machine.device.log()?;
        assert_eq!(log.contains(FAR_LIST), far > 0, "{name}: {log}");
    }
    Ok(())
}

#[test]
fn lists_that_fit_an_instance_and_one_that_does_not() -> Result<()> {
    for (entries, expected_far) in [([7168, 7168], 0), ([4, 65535], 1), ([1024, 7169], 1)] {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("device.toml");
        let blocks: String = entries
            .iter()
            .map(|entries| format!("[[block.instance]]\nhotlist_entries = {entries}\n"))
            .collect();
        std::fs::write(&path, format!("[[block]]\n{blocks}"))?;
        let path = path.to_str().context("The folder's name is no text")?;
        let (driven, far) =
            drive_all(&["--config", path]).with_context(|| format!("{entries:?}"))?;
        let near = entries.len() - expected_far;
        let each = VARIANTS.len();
        assert_eq!(
            (driven, far),
            (near * each, expected_far * each),
            "{entries:?}"
        );
    }
    Ok(())
}
