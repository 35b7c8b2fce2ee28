// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `DEVICE_GET_IRQ_INFO`.

use anyhow::Result;
use chmu_tests::device_process::DeviceProcess;
use chmu_tests::raw_client::{command, words};

const MSI_X: u32 = 2;
const ERROR: u32 = 3;

#[test]
fn msi_x_vectors_signal_eventfds() -> Result<()> {
    let device = DeviceProcess::start(&[])?;
    let mut client = device.client()?;
    let reply = client
        .call(command::DEVICE_GET_IRQ_INFO, &words(&[16, 0, MSI_X, 0]))?
        .success()?;
    let eventfd = 1;
    assert_eq!(reply.u32_at(4) & eventfd, eventfd);

    // As many as the MSI-X capability says.
    let config = client.read_region(7, 0, 256)?;
    let mut capability = usize::from(config[0x34]);
    while config[capability] != 0x11 {
        capability = usize::from(config[capability + 1]);
        assert_ne!(capability, 0, "there is no MSI-X capability");
    }
    let control = u16::from_le_bytes([config[capability + 2], config[capability + 3]]);
    assert_eq!(reply.u32_at(12), u32::from(control & 0x7ff) + 1);
    Ok(())
}

#[test]
fn there_is_no_error_interrupt() -> Result<()> {
    // With one, QEMU would stop the guest when it fires; a count of zero makes QEMU warn.
    let device = DeviceProcess::start(&[])?;
    let reply = device
        .client()?
        .call(command::DEVICE_GET_IRQ_INFO, &words(&[16, 0, ERROR, 0]))?;
    assert_eq!(reply.failure()?, libc::EINVAL.unsigned_abs());
    Ok(())
}
