// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a function is made of.

#[cfg(test)]
mod tests;

use std::fmt;

use chmu_model::{Capabilities, Quirk};
use chmu_spec::address::{Dpa, Hpa};
use chmu_spec::cxl::CAPACITY_MULTIPLE_BYTES;
use chmu_spec::cxl::component::MAXIMUM_DEVICE_DECODERS;
use chmu_spec::interleave::{DecoderWindow, Interleave};

/// A granularity that every number of ways has.
const SMALLEST_GRANULARITY_BYTES: u32 = 256;

/// Bits of a physical address on x86-64, at most.
const PHYSICAL_ADDRESS_BITS: u32 = 52;

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
    /// The rule that the device breaks, for tests of drivers and of conformance suites.
    pub quirk: Option<Quirk>,
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

/// One HDM decoder of the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecoderConfig {
    /// First host physical address, a multiple of 256 MiB.
    pub base: Hpa,
    /// Bytes of host physical addresses, of all ways together: a multiple of 256 MiB x ways.
    pub size_bytes: u64,
    /// Devices that share the window: 1, 2, 3, 4, 6, 8, 12 or 16.
    pub ways: u8,
    /// Bytes that one device owns in a row: 256 B to 16 KiB, a power of two.
    pub granularity_bytes: u32,
    /// This device's position among them, from 0.
    pub position: u8,
    /// Device memory between the decoder before and this one that stays unused: a multiple of
    /// 256 MiB.
    pub dpa_skip_bytes: u64,
    /// The window belongs to trusted execution environments.
    pub tee: bool,
}

/// How the function interrupts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupts {
    /// Not at all.
    None,
    /// MSI with 1, 2, 4, 8, 16 or 32 vectors.
    Msi(u16),
    /// MSI-X with 1 to 2048 vectors.
    MsiX(u16),
}

impl Interrupts {
    /// Number of vectors.
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
        /// Why.
        #[source]
        source: DecoderError,
    },
    /// No block, or more than the Register Locator has room for.
    #[error("A function has 1 to {MAXIMUM_BLOCKS} CHMU blocks, not {0}")]
    Blocks(usize),
    /// A block is not possible.
    #[error("CHMU block {index} is not possible")]
    Block {
        /// Which block, from 0.
        index: usize,
        /// Why.
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
        /// Overflow or fill-level.
        kind: InterruptKind,
    },
    /// An instance would use a vector that the function does not have.
    #[error(
        "CHMU block {block} uses message number {message_number}, but there are {vectors} vectors"
    )]
    MessageNumber {
        /// Which block, from 0.
        block: usize,
        /// The message number.
        message_number: u8,
        /// The vectors of the function.
        vectors: u16,
    },
}

/// What an instance interrupts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InterruptKind {
    /// Hot units were lost.
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

/// A decoder that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecoderError {
    /// So many ways do not exist.
    #[error("An interleave has 1, 2, 3, 4, 6, 8, 12 or 16 ways, not {0}")]
    Ways(u8),
    /// So many bytes in a row do not exist.
    #[error(
        "The granularity of an interleave is 256, 512, 1024, 2048, 4096, 8192 or 16384 bytes, \
         not {0}"
    )]
    Granularity(u32),
    /// The position is not below the ways.
    #[error("Position {position} does not exist among {ways} ways; positions count from 0")]
    Position {
        /// Position.
        position: u8,
        /// Ways.
        ways: u8,
    },
    /// A base, size or skip is no multiple of what it must be a multiple of.
    #[error("The {what} of {bytes:#x} is not a multiple of {multiple:#x}")]
    Multiple {
        /// Base, size or skip.
        what: &'static str,
        /// Its value.
        bytes: u64,
        /// What it must be a multiple of.
        multiple: u64,
    },
    /// The window is empty.
    #[error("The window is empty")]
    Window,
    /// The window ends where no processor has addresses.
    #[error(
        "The window from {base} on ends beyond {:#x}, where the physical addresses of processors \
         end",
        1_u64 << PHYSICAL_ADDRESS_BITS
    )]
    Addresses {
        /// Where it starts.
        base: Hpa,
    },
    /// The window starts before the window of the decoder before has ended.
    #[error("Windows ascend, so the base must be at or above {0}, where the last window ends")]
    Overlap(Hpa),
    /// The device has less memory.
    #[error("The decoders need {needed:#x} bytes of memory, but there are {capacity:#x}")]
    Capacity {
        /// Needed up to and including this decoder.
        needed: u64,
        /// What there is.
        capacity: u64,
    },
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

/// Where the next decoder may start.
#[derive(Debug, Default)]
struct Next {
    hpa: u64,
    dpa: u64,
}

impl DecoderConfig {
    fn window(&self, next: &mut Next, capacity: u64) -> Result<DecoderWindow, DecoderError> {
        if Interleave::new(self.ways, SMALLEST_GRANULARITY_BYTES).is_none() {
            return Err(DecoderError::Ways(self.ways));
        }
        let interleave = Interleave::new(self.ways, self.granularity_bytes)
            .ok_or(DecoderError::Granularity(self.granularity_bytes))?;
        if self.position >= self.ways {
            return Err(DecoderError::Position {
                position: self.position,
                ways: self.ways,
            });
        }
        let multiples = [
            ("base", self.base.0, 1),
            ("size", self.size_bytes, self.ways),
            ("DPA skip", self.dpa_skip_bytes, 1),
        ];
        for (what, bytes, ways) in multiples {
            if !is_multiple(bytes, ways) {
                return Err(DecoderError::Multiple {
                    what,
                    bytes,
                    multiple: CAPACITY_MULTIPLE_BYTES.saturating_mul(ways.into()),
                });
            }
        }
        if self.size_bytes == 0 {
            return Err(DecoderError::Window);
        }
        let end = self.base.0.checked_add(self.size_bytes);
        let end = end.filter(|end| *end <= 1 << PHYSICAL_ADDRESS_BITS);
        let end = end.ok_or(DecoderError::Addresses { base: self.base })?;
        if self.base.0 < next.hpa {
            return Err(DecoderError::Overlap(Hpa(next.hpa)));
        }
        let dpa_base = next.dpa.saturating_add(self.dpa_skip_bytes);
        let window = DecoderWindow {
            base: self.base,
            size_bytes: self.size_bytes,
            interleave,
            position: self.position,
            dpa_base: Dpa(dpa_base),
        };
        let needed = dpa_base.saturating_add(window.dpa_bytes());
        if needed > capacity {
            return Err(DecoderError::Capacity { needed, capacity });
        }
        *next = Next {
            hpa: end,
            dpa: needed,
        };
        Ok(window)
    }
}

/// Whether `bytes` is a multiple of 256 MiB x `ways`.
fn is_multiple(bytes: u64, ways: u8) -> bool {
    bytes.is_multiple_of(CAPACITY_MULTIPLE_BYTES.saturating_mul(ways.into()))
}
