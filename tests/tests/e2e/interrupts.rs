// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Interrupts reach a driver in user space, through VFIO and a virtual IOMMU.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use chmu_lab::machine::Mode;
use chmu_tests::guest::{Guest, PROGRAM_TIMEOUT, Setup};
use serde_json::Value;

use crate::watch::Watch;

/// The second instance can say only that it lost units, which its short list has it do.
const DEVICE: &str = "
    [[block]]
    [[block.instance]]
    [[block.instance]]
    message_number = 5
    hotlist_entries = 16
    fill_level_interrupt = false
";
const HOT_PAGES: usize = 64;

#[test]
fn lists_are_read_after_interrupts() -> Result<()> {
    let setup = Setup::exact().in_mode(Mode::Vfio).with_device(DEVICE);
    let mut guest = Guest::boot(&setup)?;
    let listed = guest.json(&["chmu", "list", "-o", "json"])?;
    assert_eq!(listed[0]["driver"], "vfio-pci", "{listed}");
    let names: Vec<_> = (0..2)
        .filter_map(|number| {
            let instance = &listed[0]["blocks"][0]["instances"][number];
            Some(instance["name"].as_str()?.to_owned())
        })
        .collect();

    let pages = HOT_PAGES.to_string();
    let workload = guest.spawn(&[
        "chmu",
        "workload",
        "--pages",
        &pages,
        "--hot-pages",
        &pages,
        "--cold-percent=0",
        "--output=json",
    ])?;
    check_filling(&mut guest, &names[0])?;
    check_overflow(&mut guest, &names[1])?;
    guest.signal(workload, libc::SIGTERM)?;
    let output = guest.wait(workload, PROGRAM_TIMEOUT)?;
    let report: Value = serde_json::from_str(&output.stdout)?;
    assert_eq!(report["corrupt_pages"], 0, "{report}");
    guest.finish()
}

/// A list that fills says so each time, and every page is found by reading it only then.
fn check_filling(guest: &mut Guest, unit: &str) -> Result<()> {
    let sent = sent(guest)?;
    let watch = Watch::start(guest, &options(unit))?;
    watch.wait_for_entries(guest, 5 * HOT_PAGES as u64)?;
    let report = watch.stop(guest)?;
    let pages: BTreeSet<_> = report.entries.iter().map(|entry| entry.hpa).collect();
    assert_eq!(pages.len(), HOT_PAGES);
    assert!(!report.lost);
    let read = Readings::of(&report.statistics, unit)?;
    assert!(read.interrupts >= 1, "{read:?}");
    assert!(read.fill_levels >= 1 && read.overflows == 0, "{read:?}");
    assert!(read.drains <= read.interrupts, "{read:?}");
    let sent = self::sent(guest)? - sent;
    assert!(read.interrupts <= sent, "{read:?}, {sent} sent");
    Ok(())
}

/// A list that is too short says that units were lost.
fn check_overflow(guest: &mut Guest, unit: &str) -> Result<()> {
    let watch = Watch::start(guest, &options(unit))?;
    watch.wait_for_entries(guest, 45)?;
    let report = watch.stop(guest)?;
    assert!(report.lost);
    let read = Readings::of(&report.statistics, unit)?;
    assert!(read.interrupts >= 1, "{read:?}");
    assert!(read.overflows >= 1, "{read:?}");
    assert!(read.drains <= read.interrupts, "{read:?}");
    Ok(())
}

fn options(unit: &str) -> [&str; 7] {
    [
        "--interrupts",
        "--transport=vfio",
        "--threshold=1",
        "--epoch",
        "100ms",
        "--unit",
        unit,
    ]
}

/// Interrupts that the device has signalled so far.
fn sent(guest: &mut Guest) -> Result<u64> {
    let sent = guest.statistics(0)?["interrupts"]["sent"].as_u64();
    sent.context("The device does not count interrupts")
}

/// What a driver read from a unit.
#[derive(Debug, serde::Deserialize)]
struct Readings {
    drains: u64,
    interrupts: u64,
    overflows: u64,
    fill_levels: u64,
}

impl Readings {
    fn of(statistics: &Value, unit: &str) -> Result<Self> {
        Ok(serde_json::from_value(statistics[unit].clone())?)
    }
}
