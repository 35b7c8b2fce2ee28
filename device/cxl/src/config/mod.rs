// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a function is made of.

#[cfg(test)]
mod tests;

mod decoder;

use std::fmt;

use chmu_model::{Capabilities, QuirkSet};
use chmu_spec::cxl::component::MAXIMUM_DEVICE_DECODERS;
use chmu_spec::interleave::DecoderWindow;

pub use decoder::{DecoderConfig, DecoderError};
use decoder::{Next, is_multiple};

/// Blocks that the Register Locator has room for.
const MAXIMUM_BLOCKS: usize = 8;

/// What a function is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionConfig {
    /// Serial number of the device.
    pub serial_number: u64,
    /// Bytes of the device's memory: device physical addresses run from 0 to here. A multiple of
    /// 256 MiB.
    pub capacity_bytes: u64,
    /// How fast the memory is.
    pub performance: Performance,
    /// Decoders that firmware commits and locks, by ascending base: 1 to 10.
    pub decoders: Vec<DecoderConfig>,
    /// HDM decoders that the device has at least; those that firmware leaves are a driver's. There
    /// can be 1, 2, 4, 6, 8 or 10, so it may be one more.
    pub hdm_decoders: usize,
    /// The instances of each block of hotness monitoring units: 1 to 8 blocks.
    pub blocks: Vec<Vec<Capabilities>>,
    /// How the function interrupts. Vector 0 belongs to the event logs, and to every instance
    /// with message number 0.
    pub interrupts: Interrupts,
    /// The rules that the device breaks, for tests of drivers and of conformance suites.
    pub quirks: QuirkSet,
}

/// How fast the memory is behind the link, as the device tells it to hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Performance {
    /// Latency of a read or a write, from the device's port on: 1 or more.
    pub latency_ns: u32,
    /// Bandwidth of reads or of writes: 1 or more.
    pub bandwidth_mib_per_s: u32,
}

impl Default for Performance {
    fn default() -> Self {
        Self {
            latency_ns: 200,
            bandwidth_mib_per_s: 20 << 10,
        }
    }
}

/// HDM decoders that a device has unless told otherwise.
pub const DEFAULT_HDM_DECODERS: usize = 4;

/// How the function sends interrupts to the host, and how many vectors it has for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupts {
    /// It sends none; drivers poll.
    None,
    /// MSI with 1, 2, 4, 8, 16 or 32 vectors.
    Msi(u16),
    /// MSI-X with 1 to 2048 vectors.
    MsiX(u16),
}

impl Interrupts {
    /// Number of vectors, 0 to 2048.
    pub const fn vectors(self) -> u16 {
        match self {
            Self::None => 0,
            Self::Msi(vectors) | Self::MsiX(vectors) => vectors,
        }
    }

    const fn is_valid(self) -> bool {
        match self {
            Self::None => true,
            Self::Msi(vectors) => vectors.is_power_of_two() && vectors <= 32,
            Self::MsiX(vectors) => vectors >= 1 && vectors <= 2048,
        }
    }
}

/// A configuration that no function can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The memory is no multiple of 256 MiB.
    #[error("The memory is a multiple of 256 MiB and not empty, not {0:#x} bytes")]
    Capacity(u64),
    /// The memory has no latency.
    #[error("Memory has a latency of 1 ns or more")]
    Latency,
    /// The memory has no bandwidth.
    #[error("Memory has a bandwidth of 1 MiB/s or more")]
    Bandwidth,
    /// A device has no so many decoders.
    #[error("A device has 1 to {MAXIMUM_DEVICE_DECODERS} HDM decoders, not {0}")]
    HdmDecoders(usize),
    /// No decoder, or more than a device may have.
    #[error("A device has 1 to {MAXIMUM_DEVICE_DECODERS} HDM decoders, not {0}")]
    Decoders(usize),
    /// A decoder contradicts itself or the others.
    #[error("HDM decoder {index} is not possible")]
    Decoder {
        /// Which decoder, from 0.
        index: usize,
        /// What is wrong with it.
        #[source]
        source: DecoderError,
    },
    /// Two rules are broken at the same step, where one device breaks one only.
    #[error(
        "A device cannot break {0} and {1} at once: both say what is done in the same place; take one"
    )]
    Quirks(&'static str, &'static str),
    /// No block, or more than the Register Locator has room for.
    #[error("A function has 1 to {MAXIMUM_BLOCKS} CHMU blocks, not {0}")]
    Blocks(usize),
    /// A block is not possible.
    #[error("CHMU block {index} is not possible")]
    Block {
        /// Which block, from 0.
        index: usize,
        /// What is wrong with it.
        #[source]
        source: chmu_model::ConfigError,
    },
    /// The number of vectors does not exist.
    #[error("MSI has 1, 2, 4, 8, 16 or 32 vectors and MSI-X 1 to 2048, not {0}")]
    Vectors(u16),
    /// An instance supports an interrupt that the function cannot send.
    #[error(
        "Instance {instance} of CHMU block {block} supports the {kind} interrupt, but the device \
         has no interrupts; take it away, or give the device MSI-X or MSI"
    )]
    Interrupt {
        /// Which block, from 0.
        block: usize,
        /// Which instance, from 0.
        instance: usize,
        /// Which of its interrupts.
        kind: InterruptKind,
    },
    /// An instance would use a vector that the function does not have.
    #[error(
        "CHMU block {block} uses message number {message_number}, but there are {vectors} vectors"
    )]
    MessageNumber {
        /// Which block, from 0.
        block: usize,
        /// The highest message number of its instances.
        message_number: u8,
        /// The vectors of the function.
        vectors: u16,
    },
}

/// What an instance interrupts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InterruptKind {
    /// The hotlist had no room for a hot unit.
    Overflow,
    /// The hotlist holds more entries than the driver asked for.
    FillLevel,
}

impl fmt::Display for InterruptKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overflow => "overflow",
            Self::FillLevel => "fill-level",
        })
    }
}

impl FunctionConfig {
    /// Checks everything but the blocks, and gives the windows of the decoders.
    pub(crate) fn check(&self) -> Result<Vec<DecoderWindow>, ConfigError> {
        if self.capacity_bytes == 0 || !is_multiple(self.capacity_bytes, 1) {
            return Err(ConfigError::Capacity(self.capacity_bytes));
        }
        if !(1..=MAXIMUM_BLOCKS).contains(&self.blocks.len()) {
            return Err(ConfigError::Blocks(self.blocks.len()));
        }
        if self.performance.latency_ns == 0 {
            return Err(ConfigError::Latency);
        }
        if self.performance.bandwidth_mib_per_s == 0 {
            return Err(ConfigError::Bandwidth);
        }
        if !(1..=MAXIMUM_DEVICE_DECODERS).contains(&self.hdm_decoders) {
            return Err(ConfigError::HdmDecoders(self.hdm_decoders));
        }
        if let Some((one, other)) = self.quirks.contradiction() {
            return Err(ConfigError::Quirks(one.name(), other.name()));
        }
        self.check_interrupts()?;
        self.windows()
    }

    fn check_interrupts(&self) -> Result<(), ConfigError> {
        let vectors = self.interrupts.vectors();
        if !self.interrupts.is_valid() {
            return Err(ConfigError::Vectors(vectors));
        }
        for (block, instances) in self.blocks.iter().enumerate() {
            if vectors == 0 {
                check_silent(block, instances)?;
            }
            let numbers = instances.iter().map(|instance| instance.message_number);
            let highest = numbers.max().unwrap_or(0);
            if vectors > 0 && u16::from(highest) >= vectors {
                return Err(ConfigError::MessageNumber {
                    block,
                    message_number: highest,
                    vectors,
                });
            }
        }
        Ok(())
    }

    fn windows(&self) -> Result<Vec<DecoderWindow>, ConfigError> {
        if !(1..=MAXIMUM_DEVICE_DECODERS).contains(&self.decoders.len()) {
            return Err(ConfigError::Decoders(self.decoders.len()));
        }
        let mut windows = Vec::with_capacity(self.decoders.len());
        let mut next = Next::default();
        for (index, decoder) in self.decoders.iter().enumerate() {
            let window = decoder
                .window(&mut next, self.capacity_bytes)
                .map_err(|source| ConfigError::Decoder { index, source })?;
            windows.push(window);
        }
        Ok(windows)
    }
}

/// Refuses instances that interrupt, in a function that cannot.
fn check_silent(block: usize, instances: &[Capabilities]) -> Result<(), ConfigError> {
    for (instance, capabilities) in instances.iter().enumerate() {
        let kind = match (
            capabilities.overflow_interrupt,
            capabilities.fill_level_interrupt,
        ) {
            (true, _) => InterruptKind::Overflow,
            (false, true) => InterruptKind::FillLevel,
            (false, false) => continue,
        };
        return Err(ConfigError::Interrupt {
            block,
            instance,
            kind,
        });
    }
    Ok(())
}
