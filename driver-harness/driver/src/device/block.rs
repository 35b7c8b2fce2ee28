// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A block of hotness monitoring units and its instances, checked against the area they lie in.

use chmu_spec::chmu::{
    BLOCK_HEADER_BYTES, BlockHeader, Capabilities0, Capabilities1, INSTANCE_REGISTERS_BYTES,
    InstanceLength, block_bytes, instance_offset, offset,
};
use chmu_spec::hotlist::ENTRY_BYTES;

use super::capabilities::Capabilities;
use super::{DeviceError, InstanceId};
use crate::transport::{BarOffset, Transport, Width};

/// Bytes of a word of the range bitmap.
pub(super) const BITMAP_WORD_BYTES: u64 = 8;

/// A block of hotness monitoring units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Its number among the function's blocks of hotness monitoring units.
    pub index: usize,
    /// Where it starts.
    pub place: BarOffset,
    /// Version of the block.
    pub version: u8,
    /// Number of instances.
    pub instances: u8,
    /// Bytes from one instance to the next.
    pub instance_length: u16,
}

impl Block {
    /// Reads and checks the header of the block at `place`.
    pub fn read(
        transport: &dyn Transport,
        index: usize,
        place: BarOffset,
    ) -> Result<Block, DeviceError> {
        let wrong = |reason| DeviceError::Block {
            device: transport.device().to_owned(),
            place,
            reason,
        };
        let bar_bytes = transport.bar_bytes(place.bar)?;
        if !fits(place.offset, BLOCK_HEADER_BYTES, bar_bytes) {
            return Err(wrong(format!(
                "lies outside the {bar_bytes:#x} bytes of its BAR"
            )));
        }
        let header = transport.read(place.plus(offset::BLOCK_HEADER), Width::Eight)?;
        if header == u64::MAX {
            return Err(wrong(
                "reads as all ones; the device does not answer".into(),
            ));
        }
        let length = transport.read(place.plus(offset::INSTANCE_LENGTH), Width::Eight)?;
        let header = BlockHeader::from_bits(header);
        let block = Block {
            index,
            place,
            version: header.version(),
            instances: header.instances(),
            instance_length: InstanceLength::from_bits(length).bytes(),
        };
        let bytes = block_bytes(block.instances, block.instance_length);
        if block.version == 0 {
            return Err(wrong(
                "has version 0, which no specification defines".into(),
            ));
        }
        if block.instances > 0 && u64::from(block.instance_length) < INSTANCE_REGISTERS_BYTES {
            return Err(wrong(format!(
                "has instances of {:#x} bytes, but their registers take {INSTANCE_REGISTERS_BYTES:#x}",
                block.instance_length
            )));
        }
        if !fits(place.offset, bytes, bar_bytes) {
            return Err(wrong(format!(
                "has {} instances of {:#x} bytes, which do not fit the {bar_bytes:#x} bytes of its BAR",
                block.instances, block.instance_length
            )));
        }
        Ok(block)
    }

    /// Reads and checks an instance.
    pub fn instance(&self, transport: &dyn Transport, index: u8) -> Result<Instance, DeviceError> {
        let place = self
            .place
            .plus(instance_offset(index, self.instance_length));
        let read = |offset| transport.read(place.plus(offset), Width::Eight);
        let id = InstanceId {
            block: self.index,
            instance: index,
        };
        if index >= self.instances {
            return Err(DeviceError::NoInstance {
                device: transport.device().to_owned(),
                id,
                instances: self.instances,
            });
        }
        let instance = Instance {
            id,
            place,
            capabilities: Capabilities::decode(
                Capabilities0::from_bits(read(offset::CAPABILITIES_0)?),
                Capabilities1::from_bits(read(offset::CAPABILITIES_1)?),
            ),
            range_bitmap_offset: read(offset::RANGE_BITMAP_OFFSET)?,
            hotlist_offset: read(offset::HOTLIST_OFFSET)?,
        };
        let bar_bytes = transport.bar_bytes(place.bar)?;
        match instance.check(bar_bytes) {
            Ok(()) => Ok(instance),
            Err(reason) => Err(DeviceError::Instance {
                device: transport.device().to_owned(),
                id,
                reason,
            }),
        }
    }
}

/// An instance: one hotness monitoring unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Which one.
    pub id: InstanceId,
    /// Where its registers start.
    pub place: BarOffset,
    /// What it says it can do.
    pub capabilities: Capabilities,
    /// Where the range bitmap starts, from the start of the instance.
    pub range_bitmap_offset: u64,
    /// Where the hotlist starts, from the start of the instance.
    pub hotlist_offset: u64,
}

impl Instance {
    /// Where the hotlist starts.
    pub fn hotlist(&self) -> BarOffset {
        self.place.plus(self.hotlist_offset)
    }

    /// Bytes of the hotlist.
    pub fn hotlist_bytes(&self) -> u64 {
        u64::from(self.capabilities.hotlist_entries) * ENTRY_BYTES
    }

    /// Where the range bitmap starts.
    pub fn range_bitmap(&self) -> BarOffset {
        self.place.plus(self.range_bitmap_offset)
    }

    /// Whether the parts lie where they can be used; a reason when they do not.
    fn check(&self, bar_bytes: u64) -> Result<(), String> {
        if self.capabilities.hotlist_entries < 2 {
            return Err(format!(
                "has a hotlist of {} entries, where an empty and a full one look alike",
                self.capabilities.hotlist_entries
            ));
        }
        let parts = [
            ("hotlist", self.hotlist_offset, self.hotlist_bytes()),
            ("range bitmap", self.range_bitmap_offset, BITMAP_WORD_BYTES),
        ];
        for (name, offset, bytes) in parts {
            if offset < INSTANCE_REGISTERS_BYTES {
                return Err(format!("has its {name} at {offset:#x}, over its registers"));
            }
            if !offset.is_multiple_of(8) {
                return Err(format!("has its {name} at {offset:#x}, no multiple of 8"));
            }
            let start = self.place.plus(offset).offset;
            if !fits(start, bytes, bar_bytes) {
                return Err(format!(
                    "has a {name} of {bytes:#x} bytes at {offset:#x}, which leaves the \
                     {bar_bytes:#x} bytes of its BAR"
                ));
            }
        }
        Ok(())
    }
}

fn fits(offset: u64, bytes: u64, area_bytes: u64) -> bool {
    offset
        .checked_add(bytes)
        .is_some_and(|end| end <= area_bytes)
}
