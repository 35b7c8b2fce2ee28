// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `DEVICE_RESET` brings back the power-on state and keeps what firmware committed.

use anyhow::Result;
use chmu_tests::device_process::DeviceProcess;
use chmu_tests::raw_client::command;

#[test]
fn the_hotness_monitoring_unit_is_reset_and_the_decoder_stays() -> Result<()> {
    let device = DeviceProcess::start(&["--memory=1G", "--base=4G"])?;
    let mut client = device.client()?;
    let fill_threshold = 0x10 + 0x50;
    client.write_region(4, fill_threshold, &5u64.to_le_bytes())?;
    let component = client.read_region(0, 0x1000, 0x400)?;

    client.call(command::DEVICE_RESET, &[])?.success()?;

    assert_eq!(client.read_region(4, fill_threshold, 8)?, [0; 8]);
    assert_eq!(client.read_region(0, 0x1000, 0x400)?, component);
    Ok(())
}
