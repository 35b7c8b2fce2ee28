// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The mailbox behind BAR2, as a driver finds and uses it.

use anyhow::{Context, Result, ensure};
use chmu_tests::device_process::DeviceProcess;
use chmu_tests::raw_client::RawClient;

const BAR: u32 = 2;
const PRIMARY_MAILBOX: u16 = 2;
const IDENTIFY_MEMORY_DEVICE: u64 = 0x4000;
const DOORBELL: u32 = 1;

fn read_u64(client: &mut RawClient, offset: u64) -> Result<u64> {
    let bytes = client.read_region(BAR, offset, 8)?;
    Ok(u64::from_le_bytes(
        bytes.try_into().expect("eight bytes were asked for"),
    ))
}

/// Offset of a capability's registers, through the array at the start of the BAR.
fn capability(client: &mut RawClient, wanted: u16) -> Result<u64> {
    let count = read_u64(client, 0)? >> 32 & 0xffff;
    for index in 1..=count {
        let header = client.read_region(BAR, 16 * index, 16)?;
        let id = u16::from_le_bytes([header[0], header[1]]);
        if id == wanted {
            let offset = header[4..8].try_into().expect("four bytes");
            return Ok(u32::from_le_bytes(offset).into());
        }
    }
    None.with_context(|| format!("Capability {wanted} is not among {count}"))
}

/// Runs a command without input; returns its return code and its output.
fn run(client: &mut RawClient, mailbox: u64, opcode: u64) -> Result<(u64, Vec<u8>)> {
    client.write_region(BAR, mailbox + 8, &opcode.to_le_bytes())?;
    client.write_region(BAR, mailbox + 4, &DOORBELL.to_le_bytes())?;
    let control = client.read_region(BAR, mailbox + 4, 4)?;
    ensure!(control[0] & 1 == 0, "the doorbell is still set");
    let return_code = read_u64(client, mailbox + 0x10)? >> 32 & 0xffff;
    let length = read_u64(client, mailbox + 8)? >> 16 & 0x1f_ffff;
    let output = match u32::try_from(length)? {
        0 => Vec::new(),
        length => client.read_region(BAR, mailbox + 0x20, length)?,
    };
    Ok((return_code, output))
}

#[test]
fn identify_tells_the_capacity() -> Result<()> {
    let device = DeviceProcess::start(&["--memory=512M"])?;
    let mut client = device.client()?;
    let mailbox = capability(&mut client, PRIMARY_MAILBOX)?;
    let (return_code, output) = run(&mut client, mailbox, IDENTIFY_MEMORY_DEVICE)?;
    assert_eq!(return_code, 0);
    assert_eq!(output.len(), 0x45);
    let total = u64::from_le_bytes(output[16..24].try_into()?);
    assert_eq!(total * (256 << 20), 512 << 20);
    assert_eq!(device.statistics()?["mailbox_commands"], 1);
    Ok(())
}

#[test]
fn a_command_that_does_not_exist_is_refused_and_the_mailbox_goes_on() -> Result<()> {
    let device = DeviceProcess::start(&[])?;
    let mut client = device.client()?;
    let mailbox = capability(&mut client, PRIMARY_MAILBOX)?;
    let unsupported = 3;
    assert_eq!(run(&mut client, mailbox, 0xfefe)?.0, unsupported);
    assert_eq!(run(&mut client, mailbox, IDENTIFY_MEMORY_DEVICE)?.0, 0);
    Ok(())
}
