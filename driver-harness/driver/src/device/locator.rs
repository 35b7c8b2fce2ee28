// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The Register Locator: which register blocks a CXL function has, and where (CXL r3.2 8.1.9).

use chmu_spec::cxl::VENDOR_ID;
use chmu_spec::cxl::dvsec::{
    REGISTER_LOCATOR, REGISTER_LOCATOR_ENTRIES, REGISTER_LOCATOR_ENTRY_BYTES, RegisterLocatorEntry,
    block_id,
};
use chmu_spec::pci::{DVSEC_ID, DvsecHeader, extended_capability};

use super::DeviceError;
use super::config_space::{ConfigSpace, ExtendedCapability, extended_capabilities, serial_number};
use crate::transport::BarOffset;

/// Highest number of a base address register.
const BAR_MAX: u8 = 5;

/// What the configuration space tells of a function.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// The device's serial number.
    pub serial_number: Option<u64>,
    /// Its register blocks, in the order of the Register Locator; none without a locator.
    pub register_blocks: Option<Vec<RegisterLocatorEntry>>,
}

impl Identity {
    /// Where the blocks with an id of [`chmu_spec::cxl::dvsec::block_id`] start, in the order of
    /// the Register Locator.
    pub fn places(&self, block_id: u8) -> Vec<BarOffset> {
        let blocks = self.register_blocks.iter().flatten();
        blocks
            .filter(|block| block.block_id == block_id)
            .map(|block| BarOffset {
                bar: block.bar,
                offset: block.offset,
            })
            .collect()
    }

    /// Whether there is a block of hotness monitoring units.
    pub fn has_units(&self) -> bool {
        !self.places(block_id::HOTNESS_MONITOR).is_empty()
    }
}

/// Reads serial number and register blocks.
pub(super) fn identify<C: ConfigSpace + ?Sized>(space: &C) -> Result<Identity, DeviceError> {
    let capabilities = extended_capabilities(space)?;
    let mut register_blocks = None;
    for capability in &capabilities {
        if let Some(bytes) = locator_bytes(space, *capability)? {
            register_blocks
                .get_or_insert_with(Vec::new)
                .extend(read_entries(space, *capability, bytes)?);
        }
    }
    Ok(Identity {
        serial_number: serial_number(space, &capabilities)?,
        register_blocks,
    })
}

/// The length of a Register Locator; none for any other capability.
fn locator_bytes<C: ConfigSpace + ?Sized>(
    space: &C,
    capability: ExtendedCapability,
) -> Result<Option<u16>, DeviceError> {
    if capability.id != extended_capability::DVSEC {
        return Ok(None);
    }
    let header = DvsecHeader::from_bits(capability.dword(space, 4)?);
    if header.vendor() != VENDOR_ID {
        return Ok(None);
    }
    let id = capability.dword(space, DVSEC_ID)? & 0xffff;
    Ok((id == u32::from(REGISTER_LOCATOR)).then_some(header.bytes()))
}

fn read_entries<C: ConfigSpace + ?Sized>(
    space: &C,
    capability: ExtendedCapability,
    bytes: u16,
) -> Result<Vec<RegisterLocatorEntry>, DeviceError> {
    let entries = bytes.saturating_sub(REGISTER_LOCATOR_ENTRIES) / REGISTER_LOCATOR_ENTRY_BYTES;
    let mut blocks = Vec::new();
    for index in 0..entries {
        let at = REGISTER_LOCATOR_ENTRIES + index * REGISTER_LOCATOR_ENTRY_BYTES;
        let low = capability.dword(space, at)?;
        let high = capability.dword(space, at + 4)?;
        let bits = u64::from(high) << 32 | u64::from(low);
        match RegisterLocatorEntry::from_bits(bits) {
            None => {}
            Some(block) if block.bar <= BAR_MAX => blocks.push(block),
            Some(block) => {
                return Err(DeviceError::LocatorBar {
                    device: space.device().to_owned(),
                    entry: index,
                    bar: block.bar,
                });
            }
        }
    }
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use chmu_spec::cxl::dvsec::block_id;

    use super::super::config_space::tests::{Bytes, header};
    use super::*;

    /// A locator at 0x120 behind a serial number, of `bytes` bytes with these entries.
    fn space(bytes: u32, entries: &[u32]) -> Bytes {
        let mut space = Bytes::empty();
        space.put(0x100, &[header(3, 0x120), 1, 0]);
        space.put(0x120, &[header(0x23, 0x200), bytes << 20 | 0x1e98, 8]);
        space.put(0x12c, entries);
        // Another vendor's capability with the same id.
        space.put(0x200, &[header(0x23, 0), 0x0c << 20 | 0x8086, 8]);
        space
    }

    #[test]
    fn entries_name_block_and_place() {
        let identity = identify(&space(0x24, &[0x100, 0, 0, 0, 0x0003_0504, 0x2])).unwrap();
        assert_eq!(identity.serial_number, Some(1));
        assert_eq!(identity.register_blocks.as_ref().map(Vec::len), Some(2));
        let place = |bar, offset| BarOffset { bar, offset };
        assert_eq!(identity.places(block_id::COMPONENT), [place(0, 0)]);
        let chmu = identity.places(block_id::HOTNESS_MONITOR);
        assert_eq!(chmu, [place(4, 0x2_0003_0000)]);
    }

    #[test]
    fn a_function_without_locator_has_no_blocks() {
        let mut space = space(0x14, &[0x504, 0]);
        space.put(0x124, &[0x14 << 20 | 0x8086]);
        assert_eq!(identify(&space).unwrap().register_blocks, None);
    }

    #[test]
    fn a_locator_without_room_for_an_entry_is_empty() {
        for bytes in [0, 0x0c, 0x13] {
            let identity = identify(&space(bytes, &[0x504, 0])).unwrap();
            assert_eq!(identity.register_blocks, Some(vec![]), "{bytes:#x}");
        }
    }

    #[test]
    fn entries_beyond_configuration_space_and_unknown_bars_are_sentences() {
        let mut bytes = space(0x14, &[0x507, 0]);
        let message = identify(&bytes).unwrap_err().to_string();
        assert_eq!(
            message,
            "Entry 0 of the Register Locator of 0000:35:00.0 names BAR7; there are BAR0 to BAR5"
        );
        bytes.put(0x120, &[header(0x23, 0xff0)]);
        bytes.put(0xff0, &[header(0x23, 0), 0xfff << 20 | 0x1e98, 8, 0x100]);
        let message = identify(&bytes).unwrap_err().to_string();
        assert!(message.ends_with("BAR0 to BAR5"), "{message}");
        bytes.put(0x12c, &[0x504]);
        let message = identify(&bytes).unwrap_err().to_string();
        assert!(
            message.ends_with("ends beyond configuration space"),
            "{message}"
        );
    }

    proptest! {
        #[test]
        fn any_entries_are_read_or_refused(bytes in 0_u32..0x1000, seed in proptest::collection::vec(any::<u32>(), 64)) {
            let _ = identify(&space(bytes, &seed[..32]));
        }
    }
}
