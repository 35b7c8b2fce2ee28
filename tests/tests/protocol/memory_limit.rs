// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A device whose process may have little memory.

use std::fs;

use anyhow::Result;
use chmu_tests::device_process::DeviceProcess;
use tempfile::TempDir;

/// Start of instance 0 in its block.
const INSTANCE: u64 = 0x10;

#[test]
fn an_enable_that_cannot_have_its_counters_is_refused_and_logged() -> Result<()> {
    let folder = TempDir::new()?;
    let path = folder.path().join("device.toml");
    fs::write(
        &path,
        "memory = \"7T\"\n[[block]]\n[[block.instance]]\nunit_sizes = [\"256\"]\n",
    )?;
    let device = DeviceProcess::start(&[&format!("--config={}", path.display())])?;
    let mut client = device.client()?;
    let before = device.limit_memory(400_000 << 10)?;
    // Units of 256 B in epochs of 1 ms; all requests, hot from 1 on.
    client.write_region(
        4,
        INSTANCE + 0x48,
        &(8 | 2 << 48 | 1_u64 << 52).to_le_bytes(),
    )?;
    let enable = (6 | 1 << 16 | 1_u64 << 32).to_le_bytes();
    client.write_region(4, INSTANCE + 0x40, &enable)?;
    let status = client.read_region(4, INSTANCE + 0x60, 1)?;
    assert_eq!(status[0] & 1, 0);
    assert_eq!(device.statistics()?["blocks"][0][0]["enables_refused"], 1);
    let log = device.log()?;
    let reason = "instance 0 refuses to be enabled: there is no memory for the counters of \
                  30064771072 units";
    assert!(log.contains(reason), "{log}");

    device.limit_memory(before)?;
    client.write_region(4, INSTANCE + 0x40, &enable)?;
    let status = client.read_region(4, INSTANCE + 0x60, 1)?;
    assert_eq!(status[0] & 1, 1);
    Ok(())
}
