// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A decoder that firmware commits, and whether it is possible.

use chmu_spec::address::{Dpa, Hpa};
use chmu_spec::cxl::CAPACITY_MULTIPLE_BYTES;
use chmu_spec::interleave::{DecoderWindow, Interleave};

/// A granularity that every number of ways has.
const SMALLEST_GRANULARITY_BYTES: u32 = 256;

/// Bits of a physical address on x86-64, at most.
const PHYSICAL_ADDRESS_BITS: u32 = 52;

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
        /// The position that was given, from 0.
        position: u8,
        /// Number of devices that share the window.
        ways: u8,
    },
    /// A base, size or skip is no multiple of what it must be a multiple of.
    #[error("The {what} of {bytes:#x} is not a multiple of {multiple:#x}")]
    Multiple {
        /// Which of the three: "base", "size" or "skip".
        what: &'static str,
        /// Its value in bytes.
        bytes: u64,
        /// What it must be a multiple of.
        multiple: u64,
    },
    /// The window has no bytes: its size is 0.
    #[error("The window is empty")]
    Window,
    /// The window ends where no processor has addresses.
    #[error(
        "The window from {base} on ends beyond {:#x}, where the physical addresses of processors \
         end",
        1_u64 << PHYSICAL_ADDRESS_BITS
    )]
    Addresses {
        /// First host physical address of the window.
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
        /// Bytes of memory that the device has.
        capacity: u64,
    },
}

/// Where the next decoder may start.
#[derive(Debug, Default)]
pub(super) struct Next {
    hpa: u64,
    dpa: u64,
}

impl DecoderConfig {
    /// The window that the decoder decodes in a device of `capacity` bytes, whose decoders before
    /// end at `next`; moves that to its own end.
    pub(super) fn window(
        &self,
        next: &mut Next,
        capacity: u64,
    ) -> Result<DecoderWindow, DecoderError> {
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
pub(super) fn is_multiple(bytes: u64, ways: u8) -> bool {
    bytes.is_multiple_of(CAPACITY_MULTIPLE_BYTES.saturating_mul(ways.into()))
}
