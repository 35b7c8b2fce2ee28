// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The statistics socket.

use std::os::unix::net::UnixStream;

use anyhow::Result;
use chmu_tests::device_process::DeviceProcess;
use chmu_tests::raw_client::{command, words};

#[test]
fn every_connection_gets_one_object() -> Result<()> {
    let device = DeviceProcess::start(&[])?;
    let mut client = device.client()?;
    client.read_region(7, 0, 4)?;
    client
        .call(command::DEVICE_GET_IRQ_INFO, &words(&[16, 0, 3, 0]))?
        .failure()?;
    let statistics = device.statistics()?;
    assert_eq!(statistics["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(statistics["serial_number"], 0xc4a0_0001_u64);
    assert_eq!(statistics["clients"]["served"], 1);
    assert_eq!(statistics["clients"]["connected"], true);
    assert_eq!(statistics["messages"]["region_read"]["handled"], 1);
    assert_eq!(statistics["messages"]["device_get_irq_info"]["refused"], 1);
    assert_eq!(statistics["feed"]["producer_attached"], false);
    assert_eq!(statistics["blocks"][0][0]["requests"], 0);

    drop(client);
    let _next = device.client()?;
    assert_eq!(device.statistics()?["clients"]["served"], 2);
    Ok(())
}

#[test]
fn readers_that_do_not_read_hold_up_nobody() -> Result<()> {
    let device = DeviceProcess::start(&[])?;
    let mut client = device.client()?;
    let path = device.folder().join("statistics.sock");
    let stalled: Result<Vec<UnixStream>, _> = (0..20).map(|_| UnixStream::connect(&path)).collect();
    let stalled = stalled?;
    client.read_region(7, 0, 4)?;
    assert_eq!(device.statistics()?["clients"]["served"], 1);
    drop(stalled);
    assert_eq!(device.statistics()?["clients"]["served"], 1);
    Ok(())
}
