// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `REGION_READ` and `REGION_WRITE`.

use anyhow::Result;
use chmu_tests::device_process::DeviceProcess;
use chmu_tests::raw_client::{command, region_access};

#[test]
fn the_whole_configuration_space_in_one_message() -> Result<()> {
    let device = DeviceProcess::start(&[])?;
    let config = device.client()?.read_region(7, 0, 4096)?;
    assert_eq!(
        config[9..12],
        [0x10, 0x02, 0x05],
        "the class code is a CXL memory device's"
    );
    assert_eq!(
        u16::from_le_bytes([config[0x100], config[0x101]]),
        3,
        "the serial number comes first"
    );
    Ok(())
}

#[test]
fn every_width_reads_the_same_register() -> Result<()> {
    let device = DeviceProcess::start(&[])?;
    let mut client = device.client()?;
    let whole = client.read_region(4, 0x10, 8)?;
    for width in [1u32, 2, 4] {
        let mut pieces = Vec::new();
        for at in (0..8).step_by(width as usize) {
            pieces.extend(client.read_region(4, 0x10 + at, width)?);
        }
        assert_eq!(pieces, whole, "width {width}");
    }
    Ok(())
}

#[test]
fn accesses_outside_a_region_are_refused() -> Result<()> {
    let device = DeviceProcess::start(&[])?;
    let mut client = device.client()?;
    for (region, offset, count) in [
        (7, 4096, 1),
        (7, 4093, 4),
        (0, 1 << 40, 4),
        (2, u64::MAX, 8),
        (6, 0, 4),
        (1, 0, 4),
    ] {
        let read = client.call(
            command::REGION_READ,
            &region_access(region, offset, count, &[]),
        )?;
        assert_eq!(
            read.failure()?,
            libc::EINVAL.unsigned_abs(),
            "{region} {offset:#x}"
        );
        let data = vec![0; count as usize];
        let write = client.call(
            command::REGION_WRITE,
            &region_access(region, offset, count, &data),
        )?;
        assert_eq!(
            write.failure()?,
            libc::EINVAL.unsigned_abs(),
            "{region} {offset:#x}"
        );
    }
    Ok(())
}

#[test]
fn a_write_is_answered_with_its_place_and_no_data() -> Result<()> {
    let device = DeviceProcess::start(&[])?;
    let mut client = device.client()?;
    let request = region_access(4, 0x60, 8, &9u64.to_le_bytes());
    let reply = client.call(command::REGION_WRITE, &request)?.success()?;
    assert_eq!(reply.payload, region_access(4, 0x60, 8, &[]));
    Ok(())
}
