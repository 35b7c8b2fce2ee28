// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `DEVICE_GET_INFO`.

use anyhow::Result;
use chmu_tests::device_process::DeviceProcess;
use chmu_tests::raw_client::{command, words};

#[test]
fn a_resettable_pci_device_with_nine_regions() -> Result<()> {
    let device = DeviceProcess::start(&[])?;
    let reply = device
        .client()?
        .call(command::DEVICE_GET_INFO, &words(&[16, 0, 0, 0]))?
        .success()?;
    let (reset, pci) = (1, 2);
    assert_eq!(reply.u32_at(4), reset | pci);
    assert_eq!(reply.u32_at(8), 9);
    assert!(reply.u32_at(12) >= 3);
    Ok(())
}

#[test]
fn a_short_argument_size_is_refused() -> Result<()> {
    let device = DeviceProcess::start(&[])?;
    let mut client = device.client()?;
    client
        .call(command::DEVICE_GET_INFO, &words(&[15, 0, 0, 0]))?
        .failure()?;
    client
        .call(command::DEVICE_GET_INFO, &words(&[16]))?
        .failure()?;
    client.read_region(7, 0, 4)?;
    Ok(())
}
