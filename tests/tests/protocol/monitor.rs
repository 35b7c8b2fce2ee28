// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Registers of CHMU block 0, instance 0, written down from the register map by hand.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};
use chmu_tests::raw_client::{RawClient, command, event_file, words};

/// BAR with the CHMU block.
pub(crate) const BAR: u32 = 4;
/// Where the instance starts in the block, and the block in its BAR.
const INSTANCE: u64 = 0x10;
/// Base of the device's memory in host physical addresses, unless configured otherwise.
pub(crate) const BASE: u64 = 4 << 30;

/// What an instance is told to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// Requests that make a unit hot.
    pub(crate) threshold: u32,
    /// Epoch scale code and multiplier.
    pub(crate) epoch: (u64, u64),
    /// 0 for epochs, 1 for always-on.
    pub(crate) mode: u64,
    /// Interrupt when an entry arrives in an empty list.
    pub(crate) fill_level_interrupt: bool,
}

/// One millisecond, as scale and multiplier.
pub(crate) const MILLISECOND: (u64, u64) = (2, 1);
/// Ten seconds.
pub(crate) const TEN_SECONDS: (u64, u64) = (5, 10);

fn register(client: &mut RawClient, offset: u64) -> Result<u64> {
    let bytes = client.read_region(BAR, INSTANCE + offset, 8)?;
    Ok(u64::from_le_bytes(
        bytes.try_into().expect("eight bytes were asked for"),
    ))
}

fn set_register(client: &mut RawClient, offset: u64, value: u64) -> Result<()> {
    client.write_region(BAR, INSTANCE + offset, &value.to_le_bytes())
}

/// Tracks all requests to all memory in units of 4 KiB.
pub(crate) fn enable(client: &mut RawClient, settings: Settings) -> Result<()> {
    let all_ranges = register(client, 0x10)?;
    set_register(client, all_ranges, 0xf)?;
    let (scale, multiplier) = settings.epoch;
    let unit_of_4_kib = 12;
    set_register(
        client,
        0x48,
        unit_of_4_kib | settings.mode << 40 | scale << 48 | multiplier << 52,
    )?;
    set_register(client, 0x50, 0)?;
    let all_requests = 6;
    let fill_level_interrupt = u64::from(settings.fill_level_interrupt) << 10;
    let enable = 1 << 16;
    set_register(
        client,
        0x40,
        all_requests | fill_level_interrupt | enable | u64::from(settings.threshold) << 32,
    )
}

/// Stops counting.
pub(crate) fn disable(client: &mut RawClient) -> Result<()> {
    set_register(client, 0x40, 0)
}

/// Whether the instance counts.
pub(crate) fn is_enabled(client: &mut RawClient) -> Result<bool> {
    Ok(register(client, 0x60)? & 1 == 1)
}

/// Head and tail of the hotlist.
pub(crate) fn head_and_tail(client: &mut RawClient) -> Result<(u64, u64)> {
    let both = register(client, 0x68)?;
    Ok((both & 0xffff, both >> 16 & 0xffff))
}

/// Where the hotlist lies in its BAR.
pub(crate) fn hotlist_offset(client: &mut RawClient) -> Result<u64> {
    Ok(INSTANCE + register(client, 0x18)?)
}

/// An entry as unit and count; reads take place through messages.
pub(crate) fn entry(client: &mut RawClient, index: u64) -> Result<(u64, u64)> {
    let offset = hotlist_offset(client)? + 8 * index;
    let bytes = client.read_region(BAR, offset, 8)?;
    let entry = u64::from_le_bytes(bytes.try_into().expect("eight bytes were asked for"));
    split(client, entry)
}

/// An entry as unit and count, out of the file that the client may map.
pub(crate) fn mapped_entry(client: &mut RawClient, file: &File, index: u64) -> Result<(u64, u64)> {
    let mut entry = [0; 8];
    let offset = hotlist_offset(client)? + 8 * index;
    file.read_exact_at(&mut entry, offset)?;
    split(client, u64::from_le_bytes(entry))
}

fn split(client: &mut RawClient, entry: u64) -> Result<(u64, u64)> {
    let count_bits = register(client, 0x60)? >> 32 & 0xff;
    Ok((entry >> count_bits, entry & ((1 << count_bits) - 1)))
}

/// The file that backs the mappable areas of the BAR.
pub(crate) fn mappable_file(client: &mut RawClient) -> Result<File> {
    let room_for_capabilities = 4096;
    let mut request = words(&[room_for_capabilities, 0, BAR, 0]);
    request.resize(32, 0);
    let reply = client.call(command::DEVICE_GET_REGION_INFO, &request)?;
    let mut files = reply.success()?.files;
    files.pop().context("The BAR has no file to map")
}

/// Connects an MSI-X message to an event.
pub(crate) fn connect_message(client: &mut RawClient, message: u32) -> Result<File> {
    let (eventfd_trigger, msi_x) = (0x24, 2);
    let event = event_file()?;
    let request = words(&[20, eventfd_trigger, msi_x, message, 1]);
    client
        .call_with_files(command::DEVICE_SET_IRQS, &request, &[&event])?
        .success()?;
    Ok(event)
}

/// How often an event was signalled since the last time, without waiting.
pub(crate) fn signals(event: &File) -> Result<u64> {
    let mut count = [0; 8];
    (&*event).read_exact(&mut count)?;
    Ok(u64::from_ne_bytes(count))
}
