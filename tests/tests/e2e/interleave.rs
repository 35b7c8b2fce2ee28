// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Two devices share a window; each counts its own share.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use chmu_lab::topology::Device;
use chmu_tests::guest::{Guest, Setup};

use crate::script::{Script, Touches};
use crate::watch::Watch;

const GRANULARITY_BYTES: u64 = 256;
/// The largest unit that lies in one page, which has every second granule on the device.
const UNIT_BYTES: u64 = 2048;
const WAYS: u64 = 2;
/// Whole pages, which both devices see half of, and parts of pages, which they do not.
const TOUCHES: [Touches; 5] = [
    Touches::new(0, 640, 128),
    Touches::new(1, 4, 0),
    Touches::new(2, 6, 2),
    Touches::new(9, 0, 8),
    Touches::new(63, 1000, 333),
];

#[test]
fn each_of_two_devices_counts_its_share() -> Result<()> {
    let mut setup = Setup::exact();
    let window = setup.topology.nodes[1].window.as_mut();
    let window = window.context("Node 1 is CXL memory")?;
    window.devices = [7, 8].map(|serial_number| Device { serial_number }).into();
    window.granularity_bytes = u32::try_from(GRANULARITY_BYTES)?;
    let mut guest = Guest::boot(&setup)?;
    guest.check_kernel(true)?;
    let region = "/sys/bus/cxl/devices/region0";
    for (file, content) in [("interleave_ways", "2"), ("interleave_granularity", "256")] {
        assert_eq!(guest.read(&format!("{region}/{file}"))?.trim_end(), content);
    }
    let names = units_by_position(&mut guest)?;

    let script = Script::prepare(&mut guest, 64, &TOUCHES)?;
    let watch = Watch::start(&mut guest, &["--threshold=1"])?;
    script.run(&mut guest)?;
    watch.end_epoch(&mut guest)?;
    let counted = [watch.counted(&mut guest, 0)?, watch.counted(&mut guest, 1)?];
    let report = watch.stop(&mut guest)?;

    let base = guest.topology().windows()[0].base.0;
    let mut units = BTreeMap::new();
    let mut shares = [0; 2];
    for (address, accesses) in script.accesses()? {
        let granule = (address - base) / GRANULARITY_BYTES;
        let device = usize::try_from(granule % WAYS)?;
        let dpa = granule / WAYS * GRANULARITY_BYTES + address % GRANULARITY_BYTES;
        let key = (names[device].clone(), dpa / UNIT_BYTES * UNIT_BYTES);
        *units.entry(key).or_insert(0) += accesses;
        shares[device] += accesses;
    }
    assert_eq!(counted, shares);
    assert_eq!(report.counts(), units);
    let total = shares.iter().sum::<u64>();
    assert_eq!(total, 640 + 128 + 4 + 6 + 2 + 8 + 1000 + 333);
    assert!(shares.iter().all(|&share| share.abs_diff(total / 2) < 50));
    script.end(&mut guest)?;
    guest.finish()
}

/// The units of the devices with the serial numbers 7 and 8, which are first and second in the
/// window.
fn units_by_position(guest: &mut Guest) -> Result<[String; 2]> {
    let listed = guest.json(&["chmu", "list", "-o", "json"])?;
    let devices = listed.as_array().context("No list")?;
    assert_eq!(devices.len(), 2, "{listed}");
    let name = |serial| {
        let device = devices.iter().find(|device| device["serial"] == serial);
        let name = device.and_then(|device| {
            let name = &device["blocks"][0]["instances"][0]["name"];
            name.as_str()
        });
        name.map(str::to_owned)
            .with_context(|| format!("No device has the serial number {serial}: {listed}"))
    };
    Ok([name(7)?, name(8)?])
}
