// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `DEVICE_GET_REGION_INFO`.

use std::os::unix::fs::FileExt;

use anyhow::Result;
use chmu_tests::device_process::DeviceProcess;
use chmu_tests::raw_client::{RawClient, Reply, command, words};

const CAPABILITIES: u32 = 1 << 3;
const MAPPABLE: u32 = 1 << 2;

fn region_info(client: &mut RawClient, index: u32, argument_size: u32) -> Result<Reply> {
    let mut request = words(&[argument_size, 0, index, 0]);
    request.resize(32, 0);
    client.call(command::DEVICE_GET_REGION_INFO, &request)
}

#[test]
fn configuration_space_is_4096_bytes_and_unmappable() -> Result<()> {
    let device = DeviceProcess::start(&[])?;
    let reply = region_info(&mut device.client()?, 7, 32)?.success()?;
    assert_eq!(reply.u64_at(16), 4096);
    assert_eq!(reply.u32_at(4) & MAPPABLE, 0);
    Ok(())
}

#[test]
fn the_hotlist_is_mappable_in_two_rounds_with_one_file() -> Result<()> {
    let device = DeviceProcess::start(&[])?;
    let mut client = device.client()?;

    let short = region_info(&mut client, 4, 32)?.success()?;
    assert_eq!(
        short.payload.len(),
        32,
        "the first round carries no capability"
    );
    assert_eq!(
        short.u32_at(4) & (MAPPABLE | CAPABILITIES),
        MAPPABLE | CAPABILITIES
    );
    assert_eq!(
        short.u32_at(12),
        32,
        "QEMU refuses a capability offset of zero"
    );
    let needed = short.u32_at(0);
    assert!(needed > 32);

    let full = region_info(&mut client, 4, needed)?.success()?;
    assert_eq!(full.files.len(), 1);
    let capability = full.u32_at(12) as usize;
    let (sparse_mmap, version) = (1, 1);
    assert_eq!(full.u32_at(capability), sparse_mmap | version << 16);
    assert_eq!(full.u32_at(capability + 4), 0, "there is one capability");
    let areas = full.u32_at(capability + 8) as usize;
    assert!(areas >= 1);

    let (region_size, file_offset) = (full.u64_at(16), full.u64_at(24));
    for area in 0..areas {
        let offset = full.u64_at(capability + 16 + 16 * area);
        let size = full.u64_at(capability + 24 + 16 * area);
        assert_eq!((offset % 4096, size % 4096), (0, 0));
        assert!(size > 0 && offset + size <= region_size);
        let mut word = [0; 8];
        full.files[0].read_exact_at(&mut word, file_offset + offset + size - 8)?;
    }
    Ok(())
}

#[test]
fn regions_that_do_not_exist() -> Result<()> {
    let device = DeviceProcess::start(&[])?;
    let mut client = device.client()?;
    assert_eq!(
        region_info(&mut client, 6, 32)?.success()?.u64_at(16),
        0,
        "there is no ROM"
    );
    assert_eq!(
        region_info(&mut client, 9, 32)?.failure()?,
        libc::EINVAL.unsigned_abs()
    );
    assert_eq!(
        region_info(&mut client, u32::MAX, 32)?.failure()?,
        libc::EINVAL.unsigned_abs()
    );
    assert_eq!(
        region_info(&mut client, 0, 31)?.failure()?,
        libc::EINVAL.unsigned_abs()
    );
    Ok(())
}
