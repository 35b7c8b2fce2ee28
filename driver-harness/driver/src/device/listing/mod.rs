// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Everything that functions say of their hotness monitoring units. Nothing is written to a device
//! here.

use std::path::Path;

use chmu_machine::node::NodeId;
use serde::Serialize;

use super::block::Block;
use super::discovery::{Opening, Selection, open_function, select_functions};
use super::pci_function::PciFunction;
use super::unit::Unit;
use super::{DeviceError, InstanceId, SharedTransport, block_places};
use crate::transport::BarOffset;

mod convert;
mod text;

use chmu_machine::words::describe;

pub use text::Table;

/// A function with hotness monitoring units, or one that may have some but does not show them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedDevice {
    /// Its address.
    pub device: String,
    /// Its memory device, while the kernel's driver is bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memdev: Option<String>,
    /// Its serial number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<u64>,
    /// The driver that is bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// The node it is closest to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numa_node: Option<NodeId>,
    /// Its blocks of hotness monitoring units.
    pub blocks: Vec<ListedBlock>,
    /// Why there is no more to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl ListedDevice {
    /// Whether all that it has could be looked at.
    pub fn is_whole(&self) -> bool {
        let of_block = |block: &ListedBlock| {
            let instances = &block.instances;
            block.error.is_none() && instances.iter().all(|one| one.error.is_none())
        };
        self.error.is_none() && self.blocks.iter().all(of_block)
    }
}

/// A block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedBlock {
    /// The base address register that it lies in.
    pub bar: u8,
    /// Bytes from the start of that area.
    pub offset: u64,
    /// Version of the block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u8>,
    /// Bytes from one instance to the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_length: Option<u16>,
    /// Its instances.
    pub instances: Vec<ListedInstance>,
    /// Why there is no more to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedInstance {
    /// Its name, as kernel drivers build it.
    pub name: String,
    /// What it can do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<ListedCapabilities>,
    /// What it is told to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration: Option<ListedConfiguration>,
    /// What it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<ListedStatus>,
    /// Why there is no more to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What an instance can do; null where the device shows a reserved code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedCapabilities {
    /// MSI or MSI-X message number.
    pub message_number: u8,
    /// The overflow interrupt is supported.
    pub overflow_interrupt: bool,
    /// The fill-level interrupt is supported.
    pub fill_level_interrupt: bool,
    /// `global` or `per-counter`.
    pub epoch_type: Option<&'static str>,
    /// Request filters.
    pub requests: Vec<&'static str>,
    /// Shortest epoch.
    pub minimum_epoch_ns: Option<u64>,
    /// Longest epoch.
    pub maximum_epoch_ns: Option<u64>,
    /// Entries of the hotlist.
    pub hotlist_entries: u16,
    /// Unit sizes in bytes.
    pub unit_sizes: Vec<u64>,
    /// Down-sampling factors.
    pub down_sampling_factors: Vec<u32>,
    /// `epoch` and `always-on`.
    pub modes: Vec<&'static str>,
    /// Randomised down-sampling is supported.
    pub randomised_down_sampling: bool,
    /// Instances may track overlapping ranges.
    pub overlapping_ranges: bool,
    /// Hot units that find no room wait for it.
    pub postponed_insertion: bool,
    /// Where the range bitmap starts, from the start of the instance.
    pub range_bitmap_offset: u64,
    /// Where the hotlist starts, from the start of the instance.
    pub hotlist_offset: u64,
}

/// What an instance is told to do; null where the registers name nothing that is defined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedConfiguration {
    /// Unit size in bytes.
    pub unit_size: Option<u64>,
    /// Count that makes a unit hot.
    pub hotness_threshold: u32,
    /// Request filter.
    pub requests: Option<&'static str>,
    /// `epoch` or `always-on`.
    pub mode: Option<&'static str>,
    /// Length of an epoch.
    pub epoch_ns: Option<u64>,
    /// Down-sampling factor.
    pub down_sampling_factor: u32,
    /// The down-sampling is randomised.
    pub randomised_down_sampling: bool,
    /// Interrupt when hot units are lost.
    pub overflow_interrupt: bool,
    /// Interrupt when the list fills.
    pub fill_level_interrupt: bool,
    /// Entries above which the list is reported as filling.
    pub fill_level_threshold: u16,
}

/// What an instance does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedStatus {
    /// It counts.
    pub enabled: bool,
    /// Code of the operation in progress; 0 is none.
    pub operation_in_progress: u16,
    /// Bits of a counter; meaningful once the unit size is written.
    pub counter_width: u8,
    /// Hot units were lost.
    pub overflow: bool,
    /// The list is or was above its fill level.
    pub fill_level: bool,
    /// Index of the oldest entry.
    pub hotlist_head: u16,
    /// Index after the newest entry.
    pub hotlist_tail: u16,
}

/// Lists what a selection means. What cannot be read is said in place and hides nothing else.
pub fn list(sysfs: &Path, selection: &Selection) -> Result<Vec<ListedDevice>, DeviceError> {
    let functions = select_functions(sysfs, selection)?;
    let named = selection.device.is_some();
    Ok(functions
        .iter()
        .filter_map(|function| list_function(function, selection.opening, named))
        .collect())
}

/// Lists a function; none when it is no CXL function with hotness monitoring units and was not
/// asked for by name.
fn list_function(function: &PciFunction, opening: Opening, named: bool) -> Option<ListedDevice> {
    let mut listed = ListedDevice {
        device: function.address.clone(),
        memdev: function.memdev.clone(),
        serial: None,
        driver: function.driver.clone(),
        numa_node: function.numa_node,
        blocks: Vec::new(),
        error: None,
    };
    match function.identify() {
        Ok(identity) => {
            listed.serial = identity.serial_number;
            if !named && !identity.has_units() {
                return None;
            }
        }
        Err(_) if !named && !function.is_memory_device() => return None,
        Err(error) => {
            listed.error = Some(describe(&error));
            return Some(listed);
        }
    }
    let blocks = open_function(function, opening)
        .and_then(|transport| list_blocks(&transport, function.unit_owner()));
    match blocks {
        Ok(blocks) => listed.blocks = blocks,
        Err(error) => listed.error = Some(describe(&error)),
    }
    Some(listed)
}

/// Lists the blocks of a function whose units are named after `owner`.
pub fn list_blocks(
    transport: &SharedTransport,
    owner: &str,
) -> Result<Vec<ListedBlock>, DeviceError> {
    let places = block_places(&**transport)?;
    let blocks = places.into_iter().enumerate();
    Ok(blocks
        .map(|(index, place)| list_block(transport, owner, index, place))
        .collect())
}

fn list_block(
    transport: &SharedTransport,
    owner: &str,
    index: usize,
    place: BarOffset,
) -> ListedBlock {
    let mut listed = ListedBlock {
        bar: place.bar,
        offset: place.offset,
        version: None,
        instance_length: None,
        instances: Vec::new(),
        error: None,
    };
    match Block::read(&**transport, index, place) {
        Ok(block) => {
            listed.version = Some(block.version);
            listed.instance_length = Some(block.instance_length);
            listed.instances = (0..block.instances)
                .map(|number| list_instance(transport, owner, &block, number))
                .collect();
        }
        Err(error) => listed.error = Some(describe(&error)),
    }
    listed
}

fn list_instance(
    transport: &SharedTransport,
    owner: &str,
    block: &Block,
    number: u8,
) -> ListedInstance {
    let id = InstanceId {
        block: block.index,
        instance: number,
    };
    let name = id.unit_name(owner);
    let mut listed = ListedInstance {
        name: name.clone(),
        capabilities: None,
        configuration: None,
        status: None,
        error: None,
    };
    let instance = match block.instance(&**transport, number) {
        Ok(instance) => instance,
        Err(error) => {
            listed.error = Some(describe(&error));
            return listed;
        }
    };
    listed.capabilities = Some((&instance).into());
    let unit = Unit::new(SharedTransport::clone(transport), instance, name);
    let read = unit
        .configuration()
        .and_then(|configuration| Ok((configuration, unit.state()?)));
    match read {
        Ok((configuration, status)) => {
            listed.configuration = Some(configuration.into());
            listed.status = Some(status.into());
        }
        Err(error) => listed.error = Some(describe(&error)),
    }
    listed
}
