// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! From what a user asks for to functions and units.

use std::path::Path;
use std::rc::Rc;

use super::block::Block;
use super::pci_function::PciFunction;
use super::unit::Unit;
use super::{DeviceError, InstanceId, SharedTransport, block_places};
use crate::transport::sysfs::SysfsTransport;
use crate::transport::vfio::VfioTransport;
use crate::transport::{Transport, TransportError};

/// The driver that hands functions out through VFIO.
const VFIO_DRIVER: &str = "vfio-pci";

/// How a function's registers are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Access {
    /// Mapped through sysfs, beside the kernel's driver; without interrupts.
    Sysfs,
    /// Through VFIO, with vfio-pci bound; with interrupts.
    Vfio,
}

/// What a user asks for; everything that is there when left open.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// One function: its address or its memory device.
    pub device: Option<String>,
    /// One unit by its name, such as `cxl_hmu_mem0.0.0`.
    pub unit: Option<String>,
    /// How to reach registers; by the bound driver when left open.
    pub access: Option<Access>,
}

impl Access {
    /// The access that the bound driver leaves open.
    pub fn of(function: &PciFunction) -> Access {
        match function.driver.as_deref() {
            Some(VFIO_DRIVER) => Access::Vfio,
            _ => Access::Sysfs,
        }
    }
}

/// The functions that a selection means, without looking into them; an error when it names one
/// that is not there.
pub fn select_functions(
    sysfs: &Path,
    selection: &Selection,
) -> Result<Vec<PciFunction>, DeviceError> {
    let functions = PciFunction::all(sysfs)?;
    let Some(device) = &selection.device else {
        return Ok(functions);
    };
    match functions
        .into_iter()
        .find(|function| function.is_named(device))
    {
        Some(function) => Ok(vec![function]),
        None => Err(DeviceError::NoFunction {
            device: device.clone(),
        }),
    }
}

/// Opens a function's registers.
pub fn open_function(
    function: &PciFunction,
    access: Option<Access>,
) -> Result<SharedTransport, TransportError> {
    let transport: SharedTransport = match access.unwrap_or_else(|| Access::of(function)) {
        Access::Sysfs => Rc::new(SysfsTransport::open(&function.folder)?),
        Access::Vfio => Rc::new(VfioTransport::open(&function.folder)?),
    };
    Ok(transport)
}

/// Opens the named unit, or without a name the first unit of each function that has one: two units
/// of one function would report the same memory twice.
pub fn open_units(
    sysfs: &Path,
    selection: &Selection,
) -> Result<Vec<(PciFunction, Unit)>, DeviceError> {
    let mut found = Vec::new();
    for function in select_functions(sysfs, selection)? {
        // Functions that do not show their configuration space have no units.
        let has_units = || {
            function
                .identify()
                .is_ok_and(|identity| identity.has_units())
        };
        if selection.device.is_none() && !has_units() {
            continue;
        }
        let transport = open_function(&function, selection.access)?;
        if let Some(unit) = open_unit(&function, transport, selection.unit.as_deref())? {
            found.push((function, unit));
        }
    }
    if found.is_empty() {
        let among = match (&selection.device, &selection.unit) {
            (Some(device), Some(unit)) => format!(" named {unit} in {device}"),
            (None, Some(unit)) => format!(" named {unit}"),
            (Some(device), None) => format!(" in {device}"),
            (None, None) => String::new(),
        };
        return Err(DeviceError::NoUnit { among });
    }
    Ok(found)
}

fn open_unit(
    function: &PciFunction,
    transport: SharedTransport,
    name: Option<&str>,
) -> Result<Option<Unit>, DeviceError> {
    for (index, place) in block_places(&*transport)?.into_iter().enumerate() {
        let block = Block::read(&*transport, index, place)?;
        for instance in 0..block.instances {
            let id = InstanceId {
                block: index,
                instance,
            };
            let unit_name = id.unit_name(function.unit_owner());
            if name.is_none_or(|name| name == unit_name) {
                let instance = block.instance(&*transport, instance)?;
                return Ok(Some(Unit::new(transport, instance, unit_name)));
            }
        }
    }
    Ok(None)
}

/// Opens an instance of a function that is reached some other way than through the kernel, such as
/// in the same process.
pub fn open_instance(transport: SharedTransport, id: InstanceId) -> Result<Unit, DeviceError> {
    let places = block_places(&*transport)?;
    let missing = || DeviceError::NoInstance {
        device: transport.device().to_owned(),
        id,
        instances: 0,
    };
    let place = *places.get(id.block).ok_or_else(missing)?;
    let block = Block::read(&*transport, id.block, place)?;
    let instance = block.instance(&*transport, id.instance)?;
    let name = id.unit_name(Transport::device(&*transport));
    Ok(Unit::new(transport, instance, name))
}
