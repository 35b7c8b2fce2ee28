// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The CXL hotness monitoring unit: its registers (CXL r3.2, 8.2.8).
//!
//! A *block* is what a Register Locator entry points to: a header and one or more *instances* of
//! equal length. Offsets of instance registers count from the start of the instance.

mod table;
mod views;

pub use table::{BLOCK_TABLE, INSTANCE_TABLE};
pub use views::{
    BlockHeader, Capabilities0, Capabilities1, Configuration0, Configuration1, Configuration2,
    InstanceLength, Status,
};

/// Block version that this register map describes.
pub const BLOCK_VERSION: u8 = 1;

/// Bytes of the block header; instance 0 starts here.
pub const BLOCK_HEADER_BYTES: u64 = 0x10;

/// Bytes of an instance that hold registers; range bitmap and hotlist lie elsewhere.
pub const INSTANCE_REGISTERS_BYTES: u64 = 0x70;

/// Bytes of device physical address space that one bit of the range bitmap stands for.
pub const RANGE_BYTES: u64 = 256 << 20;

/// Offsets of the registers: of the header from the start of the block, of all others from the
/// start of the instance.
pub mod offset {
    /// Version and number of instances (block).
    pub const BLOCK_HEADER: u64 = 0x00;
    /// Bytes that an instance takes in the block, 64 bits.
    pub const INSTANCE_LENGTH: u64 = 0x08;
    /// First capability register, 64 bits; counted from an instance's start like all that follow.
    pub const CAPABILITIES_0: u64 = 0x00;
    /// Second capability register, 64 bits.
    pub const CAPABILITIES_1: u64 = 0x08;
    /// Offset of the range bitmap.
    pub const RANGE_BITMAP_OFFSET: u64 = 0x10;
    /// Where the hotlist starts, from the instance's start, 64 bits.
    pub const HOTLIST_OFFSET: u64 = 0x18;
    /// Requests, interrupts, enable, reset, hotness threshold.
    pub const CONFIGURATION_0: u64 = 0x40;
    /// Unit size, down-sampling, mode, epoch.
    pub const CONFIGURATION_1: u64 = 0x48;
    /// Fill level that raises an interrupt, 16 bits used of 64.
    pub const CONFIGURATION_2: u64 = 0x50;
    /// Status, 64 bits, some of which a 1 clears.
    pub const STATUS: u64 = 0x60;
    /// Entry that a driver reads next, 16 bits.
    pub const HOTLIST_HEAD: u64 = 0x68;
    /// Entry that the device writes next, 16 bits.
    pub const HOTLIST_TAIL: u64 = 0x6a;
}

/// When counters are compared with the threshold and cleared (capabilities 0, bits 7:6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EpochType {
    /// All counters of an instance share one epoch.
    Global = 0,
    /// Each unit's epoch starts at its first access.
    PerCounter = 1,
}

impl EpochType {
    /// The type with a register code; none for reserved codes.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Global),
            1 => Some(Self::PerCounter),
            _ => None,
        }
    }

    /// Its name, in kebab case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::PerCounter => "per-counter",
        }
    }

    /// The code that stands for it in the registers.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// How an instance reports (configuration 1, bits 47:40).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Hot units are appended at the end of each epoch.
    Epoch = 0,
    /// A unit is appended as soon as its count reaches the threshold.
    AlwaysOn = 1,
}

impl Mode {
    /// The mode with a register code; none for reserved codes.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Epoch),
            1 => Some(Self::AlwaysOn),
            _ => None,
        }
    }

    /// Its name, in kebab case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Epoch => "epoch",
            Self::AlwaysOn => "always-on",
        }
    }

    /// The code that stands for it in the registers.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// Operation in progress (status, bits 31:16).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// The instance is being enabled.
    Enable = 1,
    /// The instance is being disabled.
    Disable = 2,
    /// The instance is being reset.
    Reset = 3,
}

impl Operation {
    /// The operation with a register code; none for 0 (no operation) and reserved codes.
    pub const fn from_code(code: u16) -> Option<Self> {
        match code {
            1 => Some(Self::Enable),
            2 => Some(Self::Disable),
            3 => Some(Self::Reset),
            _ => None,
        }
    }

    /// The code that stands for it in the registers.
    pub const fn code(self) -> u16 {
        self as u16
    }
}

/// Offset of an instance from the start of its block.
pub const fn instance_offset(index: u8, instance_length: u16) -> u64 {
    BLOCK_HEADER_BYTES + index as u64 * instance_length as u64
}

/// Bytes of a block's registers: header and instances.
pub const fn block_bytes(instances: u8, instance_length: u16) -> u64 {
    instance_offset(instances, instance_length)
}
