// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `DMA_UNMAP`.

use anyhow::Result;
use chmu_tests::device_process::DeviceProcess;
use chmu_tests::raw_client::{command, dma_map, dma_unmap};

#[test]
fn unmapping_what_was_never_mapped_succeeds() -> Result<()> {
    let device = DeviceProcess::start(&[])?;
    let mut client = device.client()?;
    // A guest's IOMMU domain switch makes QEMU send storms of these.
    for (address, size) in [
        (0, 1 << 20),
        (1 << 40, 1 << 39),
        (0xfee0_0000, 0xffff_ffff_0110_0000),
    ] {
        client
            .call(command::DMA_UNMAP, &dma_unmap(0, address, size))?
            .success()?;
    }
    Ok(())
}

#[test]
fn a_mapped_range_can_be_unmapped_and_mapped_again() -> Result<()> {
    let device = DeviceProcess::start(&[])?;
    let mut client = device.client()?;
    for _ in 0..3 {
        client
            .call(command::DMA_MAP, &dma_map(3, 0, 1 << 30, 1 << 20))?
            .success()?;
        client
            .call(command::DMA_UNMAP, &dma_unmap(0, 1 << 30, 1 << 20))?
            .success()?;
    }
    Ok(())
}

#[test]
fn a_short_message_is_refused() -> Result<()> {
    let device = DeviceProcess::start(&[])?;
    let mut client = device.client()?;
    client.call(command::DMA_UNMAP, &[0; 10])?.failure()?;
    client.read_region(7, 0, 4)?;
    Ok(())
}
