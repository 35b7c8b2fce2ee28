// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where blocks and instances lie.

use chmu_driver::transport::{BarOffset, Transport, TransportError, Width};
use chmu_spec::chmu::{BLOCK_HEADER_BYTES, BlockHeader, InstanceLength, offset};

/// A CHMU block of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockPlace {
    /// Which block, in the order of the Register Locator.
    pub block: usize,
    /// Its header.
    pub start: BarOffset,
    /// Instances that the header counts.
    pub instances: u8,
    /// Bytes from one instance to the next.
    pub instance_length: u16,
}

impl BlockPlace {
    /// Reads the header of a block.
    ///
    /// # Errors
    /// When the header cannot be read.
    pub fn read(
        transport: &dyn Transport,
        block: usize,
        start: BarOffset,
    ) -> Result<Self, TransportError> {
        let word = |place| transport.read(place, Width::Eight);
        let header = BlockHeader::from(word(start.plus(offset::BLOCK_HEADER))?);
        let length = InstanceLength::from(word(start.plus(offset::INSTANCE_LENGTH))?);
        Ok(Self {
            block,
            start,
            instances: header.instances(),
            instance_length: length.bytes(),
        })
    }

    /// The instances.
    pub fn instances(&self) -> impl Iterator<Item = InstancePlace> + use<> {
        let Self {
            block,
            start,
            instances,
            instance_length,
        } = *self;
        (0..instances).map(move |instance| {
            let bytes = u64::from(instance) * u64::from(instance_length);
            InstancePlace {
                block,
                instance,
                start: start.plus(BLOCK_HEADER_BYTES + bytes),
            }
        })
    }
}

/// An instance of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstancePlace {
    /// Which block.
    pub block: usize,
    /// Which instance of the block.
    pub instance: u8,
    /// Its first register.
    pub start: BarOffset,
}

impl InstancePlace {
    /// Stands where there is no instance; the cases that run then look at none.
    pub(crate) const NONE: Self = Self {
        block: 0,
        instance: 0,
        start: BarOffset { bar: 0, offset: 0 },
    };
}
