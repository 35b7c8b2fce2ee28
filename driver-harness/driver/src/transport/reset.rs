// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a driver does in configuration space before and between its uses of a function.

use chmu_spec::pci::{capability, command, express, header};

use super::{Transport, TransportError, Width};

/// No capability is shorter than a dword, so no list in 256 bytes is longer.
const CAPABILITIES_MAX: usize = 48;
/// Capabilities lie behind the header.
const HEADER_BYTES: u16 = 0x40;

/// Switches on the function's memory and bus mastering, without which no interrupt leaves it.
pub(super) fn switch_on(transport: &dyn Transport) -> Result<(), TransportError> {
    let bits = u32::from(command::MEMORY | command::BUS_MASTER);
    let command = transport.read_config(header::COMMAND, Width::Two)?;
    transport.write_config(header::COMMAND, Width::Two, command | bits)
}

/// Resets the function through its PCI Express capability; `false` when it cannot be reset so.
pub(super) fn function_level_reset(transport: &dyn Transport) -> Result<bool, TransportError> {
    let read = |offset, width| transport.read_config(offset, width);
    let Some(express) = resettable_express(&read)? else {
        return Ok(false);
    };
    let at = express + express::DEVICE_CONTROL;
    let control = transport.read_config(at, Width::Two)?;
    let reset = control | u32::from(express::INITIATE_FUNCTION_LEVEL_RESET);
    transport.write_config(at, Width::Two, reset)?;
    Ok(true)
}

/// Reads a number of this width in configuration space.
type Read<'a, E> = &'a dyn Fn(u16, Width) -> Result<u32, E>;

/// Where the PCI Express capability of a function lies that offers a function level reset.
pub(crate) fn resettable_express<E>(read: Read<'_, E>) -> Result<Option<u16>, E> {
    let Some(express) = find_capability(read, capability::PCI_EXPRESS)? else {
        return Ok(None);
    };
    let offered = read(express + express::DEVICE_CAPABILITIES, Width::Four)?;
    Ok((offered & express::FUNCTION_LEVEL_RESET != 0).then_some(express))
}

/// Where the capability with this id lies; a list that leads nowhere has none.
fn find_capability<E>(read: Read<'_, E>, id: u8) -> Result<Option<u16>, E> {
    let mut at = read(header::CAPABILITIES, Width::One)?;
    for _ in 0..CAPABILITIES_MAX {
        // Bits 1:0 of the pointer are reserved.
        let offset = u16::try_from(at & 0xfc).unwrap_or(0);
        if offset < HEADER_BYTES {
            return Ok(None);
        }
        if read(offset, Width::One)? == u32::from(id) {
            return Ok(Some(offset));
        }
        at = read(offset + 1, Width::One)?;
    }
    Ok(None)
}
