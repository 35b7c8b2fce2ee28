// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! MSI-X, plain MSI, or no interrupts, as configured.

use std::fs;

use anyhow::{Context, Result};
use chmu_tests::device_process::DeviceProcess;
use chmu_tests::raw_client::{command, words};
use tempfile::TempDir;

/// Vectors of the interrupt types `INTx`, MSI and MSI-X.
fn vectors(config: &str) -> Result<[u32; 3]> {
    let folder = TempDir::new()?;
    let path = folder.path().join("device.toml");
    fs::write(&path, config)?;
    let path = path.to_str().context("The folder has an odd name")?;
    let device = DeviceProcess::start(&["--config", path])?;
    let mut client = device.client()?;
    let mut counts = [0; 3];
    for (index, count) in (0..).zip(&mut counts) {
        let request = words(&[16, 0, index, 0]);
        let reply = client.call(command::DEVICE_GET_IRQ_INFO, &request)?;
        *count = reply.success()?.u32_at(12);
    }
    Ok(counts)
}

#[test]
fn each_kind_has_its_own_type() -> Result<()> {
    assert_eq!(vectors("")?, [0, 0, 16]);
    assert_eq!(vectors("vectors = 32")?, [0, 0, 32]);
    assert_eq!(vectors("interrupts = \"msi\"\nvectors = 4")?, [0, 4, 0]);
    assert_eq!(vectors("interrupts = \"none\"")?, [0, 0, 0]);
    Ok(())
}
