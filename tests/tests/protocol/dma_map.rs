// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `DMA_MAP`.

use std::fs::File;

use anyhow::Result;
use chmu_tests::device_process::DeviceProcess;
use chmu_tests::raw_client::{command, dma_map, dma_unmap};

const READ_WRITE: u32 = 3;

#[test]
fn ranges_with_and_without_a_file_are_taken() -> Result<()> {
    let device = DeviceProcess::start(&[])?;
    let mut client = device.client()?;
    let memory = tempfile::tempfile()?;
    memory.set_len(1 << 20)?;
    client
        .call_with_files(
            command::DMA_MAP,
            &dma_map(READ_WRITE, 0, 0, 1 << 20),
            &[&memory],
        )?
        .success()?;
    client
        .call(command::DMA_MAP, &dma_map(READ_WRITE, 0, 1 << 32, 1 << 30))?
        .success()?;
    client
        .call(command::DMA_MAP, &dma_map(1, 0, 0xfffc_0000, 0x4_0000))?
        .success()?;
    Ok(())
}

#[test]
fn hostile_ranges_are_refused() -> Result<()> {
    let device = DeviceProcess::start(&[])?;
    let mut client = device.client()?;
    for (address, size) in [(0, 0), (u64::MAX, 2), (u64::MAX - 4095, 8192)] {
        let reply = client.call(command::DMA_MAP, &dma_map(READ_WRITE, 0, address, size))?;
        assert_eq!(
            reply.failure()?,
            libc::EINVAL.unsigned_abs(),
            "{address:#x} + {size:#x}"
        );
    }
    client.read_region(7, 0, 4)?;
    Ok(())
}

#[test]
fn descriptors_are_not_kept() -> Result<()> {
    let device = DeviceProcess::start(&[])?;
    let mut client = device.client()?;
    let file = File::open("/dev/null")?;
    let before = device.open_descriptors()?;
    for _ in 0..20 {
        client.call_with_files(
            command::DMA_MAP,
            &dma_map(READ_WRITE, 0, 1 << 32, 4096),
            &[&file],
        )?;
        client.call(command::DMA_UNMAP, &dma_unmap(0, 1 << 32, 4096))?;
    }
    // Descriptors on a message that has no use for them go as well.
    for _ in 0..20 {
        client.call_with_files(command::DEVICE_RESET, &[], &[&file, &file])?;
    }
    client.read_region(7, 0, 4)?;
    assert_eq!(device.open_descriptors()?, before);
    Ok(())
}
