// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The registers as types.

use bitfield_struct::bitfield;

use crate::epoch::EpochLength;
use crate::unit_size::UnitSize;

use super::{EpochType, Mode, Operation};

/// First register of a block: version and number of instances.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct BlockHeader {
    /// Version of the block's layout.
    #[bits(4)]
    pub version: u8,
    #[bits(4)]
    __: u8,
    /// Number of instances, 1 to 255.
    pub instances: u8,
    #[bits(48)]
    __: u64,
}

/// Second register of a block: length of an instance.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct InstanceLength {
    /// Bytes from one instance to the next.
    pub bytes: u16,
    #[bits(48)]
    __: u64,
}

/// First capability register: interrupts, epochs, requests, length of the hotlist.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Capabilities0 {
    /// MSI or MSI-X message number.
    #[bits(4)]
    pub message_number: u8,
    /// The overflow interrupt is supported.
    pub overflow_interrupt: bool,
    /// The fill-level interrupt is supported.
    pub fill_level_interrupt: bool,
    /// The [`EpochType`](super::EpochType) as a code.
    #[bits(2)]
    pub epoch_type_code: u8,
    /// Trackable requests: bit n stands for request code n + 1.
    pub trackable_requests: u8,
    /// Scale code of the longest epoch.
    #[bits(4)]
    pub maximum_epoch_scale: u8,
    /// Multiplier of the longest epoch.
    #[bits(12)]
    pub maximum_epoch_multiplier: u16,
    /// Scale code of the shortest epoch.
    #[bits(4)]
    pub minimum_epoch_scale: u8,
    /// Multiplier of the shortest epoch.
    #[bits(12)]
    pub minimum_epoch_multiplier: u16,
    /// Entries that the hotlist has, of which one stays empty.
    pub hotlist_entries: u16,
}

impl Capabilities0 {
    /// The epoch type; none for a reserved code.
    pub const fn epoch_type(self) -> Option<EpochType> {
        EpochType::from_code(self.epoch_type_code())
    }

    /// The shortest epoch; none when its codes are reserved or zero.
    pub fn minimum_epoch(self) -> Option<EpochLength> {
        EpochLength::from_codes(self.minimum_epoch_scale(), self.minimum_epoch_multiplier())
    }

    /// The longest epoch; none when its codes are reserved or zero.
    pub fn maximum_epoch(self) -> Option<EpochLength> {
        EpochLength::from_codes(self.maximum_epoch_scale(), self.maximum_epoch_multiplier())
    }
}

/// Second capability register: unit sizes, down-sampling, modes.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Capabilities1 {
    /// Unit sizes: bit n stands for 2^n x 256 B.
    pub unit_sizes: u32,
    /// Down-sampling factors: bit n stands for 2^n.
    pub down_sampling_factors: u16,
    /// Units can be reported at the end of an epoch.
    pub epoch_mode: bool,
    /// Units can be reported as soon as they are hot.
    pub always_on_mode: bool,
    /// The requests that count can be chosen at random.
    pub randomised_down_sampling: bool,
    /// Instances may track overlapping ranges.
    pub overlapping_ranges: bool,
    /// Hot units that found no room are appended once there is room.
    pub postponed_insertion: bool,
    #[bits(11)]
    __: u16,
}

/// Requests, interrupts, enable, reset and hotness threshold.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Configuration0 {
    /// Code of the request filter.
    pub request_code: u8,
    /// The requests that count are chosen at random, not by turns.
    pub randomise_down_sampling: bool,
    /// The instance interrupts when hot units are lost.
    pub overflow_interrupt: bool,
    /// The instance interrupts when the list fills beyond the threshold.
    pub fill_level_interrupt: bool,
    #[bits(5)]
    __: u8,
    /// Set to have the instance count; cleared to have it stop.
    pub enable: bool,
    /// Reset the instance; reads as 0.
    pub reset: bool,
    #[bits(14)]
    __: u16,
    /// Hotness threshold: the count that makes a unit hot.
    pub hotness_threshold: u32,
}

/// Unit size, down-sampling, mode and epoch.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Configuration1 {
    /// log2 of the unit size in bytes.
    pub unit_size_log2: u32,
    /// log2 of the down-sampling factor.
    #[bits(4)]
    pub down_sampling_log2: u8,
    #[bits(4)]
    __: u8,
    /// The [`Mode`](super::Mode) as a code.
    pub mode_code: u8,
    /// Scale code of the epoch.
    #[bits(4)]
    pub epoch_scale: u8,
    /// Multiplier of the epoch's scale, 1 to 4095.
    #[bits(12)]
    pub epoch_multiplier: u16,
}

impl Configuration1 {
    /// The unit size; none when the register names none.
    pub const fn unit_size(self) -> Option<UnitSize> {
        UnitSize::from_log2_bytes(self.unit_size_log2())
    }

    /// The mode; none for a reserved code.
    pub const fn mode(self) -> Option<Mode> {
        Mode::from_code(self.mode_code())
    }

    /// The epoch; none when its codes are reserved or zero.
    pub fn epoch(self) -> Option<EpochLength> {
        EpochLength::from_codes(self.epoch_scale(), self.epoch_multiplier())
    }
}

/// Third configuration register: the fill level that raises an interrupt.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Configuration2 {
    /// Entries above which the fill-level status is set.
    pub fill_level_threshold: u16,
    #[bits(48)]
    __: u64,
}

/// Status register: what the instance does, and what happened since a driver looked.
#[bitfield(u64)]
#[derive(PartialEq, Eq)]
pub struct Status {
    /// The instance counts now.
    pub enabled: bool,
    #[bits(15)]
    __: u16,
    /// Code of the operation in progress; 0 is none.
    pub operation_code: u16,
    /// Bits of a counter; valid once the unit size is written.
    pub counter_width: u8,
    /// Hot units found no room in the list; a 1 clears it.
    pub overflow: bool,
    /// The hotlist held more entries than the fill-level threshold.
    pub fill_level: bool,
    #[bits(22)]
    __: u32,
}

impl Status {
    /// The operation in progress; none when idle or the code is reserved.
    pub const fn operation(self) -> Option<Operation> {
        Operation::from_code(self.operation_code())
    }
}
