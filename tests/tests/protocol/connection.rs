// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Clients come and go; the device stays.

use anyhow::Result;
use chmu_tests::device_process::DeviceProcess;
use chmu_tests::raw_client::{command, region_access};

/// CHMU block 0, instance 0, configuration register (fill-level threshold).
const FILL_THRESHOLD: u64 = 0x10 + 0x50;

#[test]
fn state_survives_a_client_that_disconnects() -> Result<()> {
    let device = DeviceProcess::start(&[])?;
    device
        .client()?
        .write_region(4, FILL_THRESHOLD, &321u64.to_le_bytes())?;
    let kept = device.client()?.read_region(4, FILL_THRESHOLD, 8)?;
    assert_eq!(
        u64::from_le_bytes(kept.try_into().expect("eight bytes")),
        321
    );
    Ok(())
}

#[test]
fn a_hundred_clients_one_after_the_other() -> Result<()> {
    let device = DeviceProcess::start(&[])?;
    let first = device.client()?.read_region(7, 0, 4)?;
    for _ in 0..100 {
        assert_eq!(device.client()?.read_region(7, 0, 4)?, first);
    }
    Ok(())
}

#[test]
fn a_request_that_wants_no_reply_gets_none() -> Result<()> {
    use chmu_tests::raw_client::FLAG_NO_REPLY;
    let device = DeviceProcess::start(&[])?;
    let mut client = device.client()?;
    let write = region_access(4, FILL_THRESHOLD, 8, &77u64.to_le_bytes());
    client.send(command::REGION_WRITE, FLAG_NO_REPLY, &write)?;
    // The next reply must be that of the read, and the read must see the write.
    assert_eq!(
        client.read_region(4, FILL_THRESHOLD, 2)?,
        77u16.to_le_bytes()
    );
    Ok(())
}
