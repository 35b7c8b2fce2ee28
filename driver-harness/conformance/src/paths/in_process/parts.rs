// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where the parts of a model's instances lie, for what stands in front of it.

use chmu_driver::device::block_places;
use chmu_driver::transport::in_process::InProcessDevice;
use chmu_driver::transport::{BarOffset, Transport, TransportError, Width};
use chmu_spec::chmu::{INSTANCE_REGISTERS_BYTES, offset};

use crate::bench::BlockPlace;

/// Where the parts of an instance lie in its BAR, in bytes from the BAR's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// The BAR that has them.
    pub bar: u8,
    /// The header of its block.
    pub block: u64,
    /// Which of the block's instances it is.
    pub number: u64,
    /// Its registers.
    pub start: u64,
    /// Its range bitmap.
    pub ranges: u64,
    /// Its hotlist.
    pub hotlist: u64,
    /// Entries of the hotlist.
    pub entries: u16,
}

impl Parts {
    /// All instances of a device, in the order of blocks and instances.
    ///
    /// # Errors
    /// When a register cannot be read.
    pub fn of(device: &InProcessDevice) -> Result<Vec<Self>, TransportError> {
        let mut parts = Vec::new();
        let blocks = block_places(device).unwrap_or_default();
        for (block, start) in blocks.into_iter().enumerate() {
            let block = BlockPlace::read(device, block, start)?;
            for place in block.instances() {
                let word = |at| device.read(place.start.plus(at), Width::Eight);
                parts.push(Self {
                    bar: start.bar,
                    block: start.offset,
                    number: u64::from(place.instance),
                    start: place.start.offset,
                    ranges: place.start.plus(word(offset::RANGE_BITMAP_OFFSET)?).offset,
                    hotlist: place.start.plus(word(offset::HOTLIST_OFFSET)?).offset,
                    entries: (word(offset::CAPABILITIES_0)? >> 48) as u16,
                });
            }
        }
        Ok(parts)
    }

    /// The offset of the register of this instance that is at a place.
    pub fn register(&self, place: BarOffset) -> Option<u64> {
        let at = place.offset.checked_sub(self.start)?;
        (place.bar == self.bar && at < INSTANCE_REGISTERS_BYTES).then_some(at)
    }
}

/// The part of a word that an access of a width at `at` sees.
pub const fn part(word: u64, at: u64, width: Width) -> u64 {
    let bits = width.bytes() as u64 * 8;
    (word >> (at % 8 * 8)) & (u64::MAX >> (64 - bits))
}
