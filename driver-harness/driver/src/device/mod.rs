// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Hotness monitoring units (CHMU): finding them and driving them.
//!
//! A PCI function ([`PciFunction`]) has blocks ([`Block`]) of instances ([`Instance`]); [`Unit`]
//! drives one instance. All of it works over any [`Transport`] and takes nothing for granted that
//! the device says itself.

use std::fmt;
use std::sync::Arc;

use chmu_machine::refusal::Refusal;
use chmu_machine::sysfs_file::SysfsError;

use crate::transport::{BarOffset, Transport, TransportError};

mod block;
mod capabilities;
mod config_space;
mod discovery;
mod hotlist;
pub mod listing;
mod locator;
pub mod ownership;
mod pci_function;
mod places;
mod range_bitmap;
mod settings;
mod unit;
mod unit_error;
mod unit_state;

pub use block::{Block, Instance};
pub use capabilities::Capabilities;
pub use discovery::{
    Access, FoundUnits, Opening, Selection, find_units, nothing_found, open_all_units,
    open_function, open_instance, open_units, select_functions,
};
pub use locator::Identity;
pub use pci_function::PciFunction;
pub use places::{block_places, identify};
pub use settings::{Settings, SettingsError, Surroundings, Wishes};
pub use unit::Unit;
pub use unit_error::UnitError;
pub use unit_state::{Configuration, Drained, Limits, State, UnitStatistics};

/// Which unit of a function: the number of its block and its number in the block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId {
    /// The block's number among the function's blocks of hotness monitoring units.
    pub block: usize,
    /// The instance's number in the block.
    pub instance: u8,
}

impl InstanceId {
    /// The name that kernel drivers use, such as `cxl_hmu_mem0.0.1`; without a memory device, the
    /// function's address stands for it.
    pub fn unit_name(self, device: &str) -> String {
        format!("cxl_hmu_{device}.{}.{}", self.block, self.instance)
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "instance {} of block {}", self.instance, self.block)
    }
}

/// A function's registers, shared by all its units.
pub type SharedTransport = Arc<dyn Transport>;

/// A function whose hotness monitoring units cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// A register cannot be reached.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// A file of the kernel cannot be used.
    #[error(transparent)]
    Sysfs(#[from] SysfsError),
    /// The chain of extended capabilities is broken.
    #[error("The extended capability at {offset:#x} of {device} {reason}")]
    CapabilityChain {
        /// The function.
        device: String,
        /// Where the link lies.
        offset: u16,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A capability says that it is longer than there is room.
    #[error("The extended capability at {offset:#x} of {device} ends beyond configuration space")]
    CapabilityTooLong {
        /// The function.
        device: String,
        /// Where the capability lies.
        offset: u16,
    },
    /// An entry of the Register Locator names no base address register.
    #[error(
        "Entry {entry} of the Register Locator of {device} names BAR{bar}; there are BAR0 to BAR5"
    )]
    LocatorBar {
        /// The function.
        device: String,
        /// The entry's number.
        entry: u16,
        /// What it names.
        bar: u8,
    },
    /// No function has the address that was asked for.
    #[error("There is no {} {device}; {instead}", kind_of(device))]
    NoFunction {
        /// The address.
        device: String,
        /// What there is instead.
        instead: String,
    },
    /// Opening the function would cost others their memory.
    #[error("{device} is not opened: {refusal}")]
    Danger {
        /// The function.
        device: String,
        /// Why, and what helps.
        refusal: Refusal,
    },
    /// The function has no hotness monitoring unit.
    #[error("{device} has no block of hotness monitoring units in its Register Locator")]
    NoBlock {
        /// The function.
        device: String,
    },
    /// The block is no block of hotness monitoring units.
    #[error("The block of hotness monitoring units at {place} of {device} {reason}")]
    Block {
        /// The function.
        device: String,
        /// Where the block lies.
        place: BarOffset,
        /// What is wrong with it.
        reason: String,
    },
    /// The block has fewer instances.
    #[error("{device} has no {id}; the block has {instances} instances")]
    NoInstance {
        /// The function.
        device: String,
        /// What was asked for.
        id: InstanceId,
        /// How many there are.
        instances: u8,
    },
    /// The instance contradicts itself.
    #[error("{id} of {device} {reason}", id = capitalised(id))]
    Instance {
        /// The function.
        device: String,
        /// Which instance.
        id: InstanceId,
        /// What is wrong with it.
        reason: String,
    },
    /// No unit was found where one is needed.
    #[error("No hotness monitoring unit was found{among}: {reason}")]
    NoUnit {
        /// Among what, or nothing.
        among: String,
        /// Why not, or what there is instead.
        reason: String,
    },
}

fn capitalised(id: &InstanceId) -> String {
    format!("Instance {} of block {}", id.instance, id.block)
}

/// What a user means by a name: memory devices have names, and functions addresses.
fn kind_of(device: &str) -> &'static str {
    match device.contains(':') {
        true => "PCI function",
        false => "CXL memory device",
    }
}

#[cfg(test)]
mod tests;
