// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the log tells of clients and instances.

use anyhow::Result;
use chmu_tests::device_process::DeviceProcess;
use chmu_tests::raw_client::command;

/// CHMU block 0, instance 0, first configuration register.
const CONFIGURATION_0: u64 = 0x10 + 0x40;
/// Its bit that resets the instance.
const RESET: u64 = 1 << 17;

/// How often the log has certain words after twenty resets of an instance and one of the
/// device by one client, and three clients more.
fn counts(verbosity: &str) -> Result<[usize; 4]> {
    let device = DeviceProcess::start(&[verbosity])?;
    let mut client = device.client()?;
    for _ in 0..20 {
        client.write_region(4, CONFIGURATION_0, &RESET.to_le_bytes())?;
    }
    client.call(command::DEVICE_RESET, &[])?.success()?;
    drop(client);
    for _ in 0..2 {
        device.client()?;
    }
    // While it is connected, its own end is in no log.
    let mut last = device.client()?;
    last.read_region(7, 0, 4)?;
    let log = device.log()?;
    drop(last);
    let words = [
        "instance 0 is reset",
        "device reset",
        "A client is connected",
        "The client is gone",
    ];
    Ok(words.map(|words| log.matches(words).count()))
}

#[test]
fn a_flood_of_one_kind_of_line_hides_no_other() -> Result<()> {
    assert_eq!(counts("-v")?, [5, 1, 4, 3]);
    Ok(())
}

#[test]
fn a_log_for_debugging_has_every_line() -> Result<()> {
    assert_eq!(counts("-vv")?, [20, 1, 4, 3]);
    Ok(())
}
