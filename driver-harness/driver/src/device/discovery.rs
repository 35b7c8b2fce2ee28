// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! From what a user asks for to functions and units.

use std::path::Path;
use std::sync::Arc;

use chmu_machine::refusal::without_pci;
use chmu_machine::words::describe;

use super::block::Block;
use super::pci_function::PciFunction;
use super::unit::Unit;
use super::{DeviceError, InstanceId, SharedTransport, block_places};
use crate::transport::Transport;
use crate::transport::sysfs::SysfsTransport;
use crate::transport::vfio::VfioTransport;

/// The driver that hands functions out through VFIO.
const VFIO_DRIVER: &str = "vfio-pci";

/// How a function's registers are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// How to open what is selected.
    pub opening: Opening,
}

/// How a function is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Opening {
    /// How to reach registers; by the bound driver when left open.
    pub access: Option<Access>,
    /// Opens through VFIO also a function that the kernel cannot reset alone, so that its HDM decoders
    /// are lost, and memory that is online behind them.
    pub risk_memory_loss: bool,
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
    let mut named = functions.iter().filter(|one| one.is_named(device));
    match named.next() {
        Some(function) => Ok(vec![function.clone()]),
        None => Err(DeviceError::NoFunction {
            device: device.clone(),
            instead: memory_devices(sysfs, &functions),
        }),
    }
}

/// The CXL memory devices among `functions`, in words.
fn memory_devices(sysfs: &Path, functions: &[PciFunction]) -> String {
    if let Some(refusal) = without_pci(sysfs) {
        return refusal.to_string();
    }
    let devices = functions.iter().filter(|one| one.is_memory_device());
    let names: Vec<_> = devices
        .map(|function| match &function.memdev {
            Some(memdev) => format!("{} ({memdev})", function.address),
            None => function.address.clone(),
        })
        .collect();
    match names.is_empty() {
        true => "no function of this machine is a CXL memory device".to_owned(),
        false => format!("the CXL memory devices are {}", names.join(", ")),
    }
}

/// Why there is no unit on a machine with these functions.
pub fn nothing_found(sysfs: &Path, functions: &[PciFunction]) -> DeviceError {
    let devices = functions.iter().filter(|one| one.is_memory_device());
    let mut hidden = devices.filter_map(|function| function.identify().err());
    let reason = match hidden.next() {
        Some(error) => describe(&error),
        None => {
            let devices = memory_devices(sysfs, functions);
            match functions.iter().any(PciFunction::is_memory_device) {
                true => format!("{devices}, and none names such a unit in its Register Locator"),
                false => devices,
            }
        }
    };
    DeviceError::NoUnit {
        among: String::new(),
        reason,
    }
}

/// Opens a function's registers.
///
/// # Errors
/// When the function has no unit, or VFIO would reset more than the function, before anything of it is
/// touched; when it cannot be opened.
pub fn open_function(
    function: &PciFunction,
    opening: Opening,
) -> Result<SharedTransport, DeviceError> {
    if !function.identify()?.has_units() {
        return Err(DeviceError::NoBlock {
            device: function.address.clone(),
        });
    }
    let transport: SharedTransport = match opening.access.unwrap_or_else(|| Access::of(function)) {
        Access::Sysfs => Arc::new(SysfsTransport::open(&function.folder)?),
        Access::Vfio => Arc::new(open_vfio(function, opening)?),
    };
    Ok(transport)
}

fn open_vfio(function: &PciFunction, opening: Opening) -> Result<VfioTransport, DeviceError> {
    if !opening.risk_memory_loss
        && let Some(refusal) = function.reset_danger()?
    {
        return Err(DeviceError::Danger {
            device: function.address.clone(),
            refusal,
        });
    }
    Ok(VfioTransport::open(&function.folder)?)
}

/// The units of one function that a selection may mean, in their order; at least one.
#[derive(Debug)]
pub struct FoundUnits {
    /// The function.
    pub function: PciFunction,
    /// The named unit, or all units without a name.
    pub units: Vec<Unit>,
}

/// Opens the named unit, or without a name the first unit of each function that has one: two units
/// of one function would report the same memory twice.
pub fn open_units(
    sysfs: &Path,
    selection: &Selection,
) -> Result<Vec<(PciFunction, Unit)>, DeviceError> {
    let found = find_units(sysfs, selection)?.into_iter();
    let first = found.filter_map(|FoundUnits { function, units }| {
        let unit = units.into_iter().next()?;
        Some((function, unit))
    });
    Ok(first.collect())
}

/// Opens all units that a selection may mean; an error when there is none.
pub fn find_units(sysfs: &Path, selection: &Selection) -> Result<Vec<FoundUnits>, DeviceError> {
    let functions = select_functions(sysfs, selection)?;
    let (mut found, mut others) = (Vec::new(), Vec::new());
    for function in &functions {
        // Functions that do not show their configuration space have no units.
        let has_units = || {
            function
                .identify()
                .is_ok_and(|identity| identity.has_units())
        };
        if selection.device.is_none() && !has_units() {
            continue;
        }
        let transport = open_function(function, selection.opening)?;
        let mut units = units_of(function, &transport)?;
        others.extend(units.iter().map(|unit| unit.name().to_owned()));
        if let Some(name) = &selection.unit {
            units.retain(|unit| unit.name() == name);
        }
        if !units.is_empty() {
            let function = function.clone();
            found.push(FoundUnits { function, units });
        }
    }
    if !found.is_empty() {
        return Ok(found);
    }
    let among = match (&selection.device, &selection.unit) {
        (Some(device), Some(unit)) => format!(" named {unit} in {device}"),
        (None, Some(unit)) => format!(" named {unit}"),
        (Some(device), None) => format!(" in {device}"),
        (None, None) => String::new(),
    };
    match others.is_empty() {
        true => Err(nothing_found(sysfs, &functions)),
        false => Err(DeviceError::NoUnit {
            among,
            reason: format!("there are {}", others.join(", ")),
        }),
    }
}

/// Opens every unit of the selected functions; none is no error.
pub fn open_all_units(sysfs: &Path, selection: &Selection) -> Result<Vec<Unit>, DeviceError> {
    let mut units = Vec::new();
    for function in select_functions(sysfs, selection)? {
        let has_units = function
            .identify()
            .is_ok_and(|identity| identity.has_units());
        if has_units {
            let transport = open_function(&function, selection.opening)?;
            units.append(&mut units_of(&function, &transport)?);
        }
    }
    Ok(units)
}

/// All units of a function.
fn units_of(function: &PciFunction, transport: &SharedTransport) -> Result<Vec<Unit>, DeviceError> {
    let mut units = Vec::new();
    for (index, place) in block_places(&**transport)?.into_iter().enumerate() {
        let block = Block::read(&**transport, index, place)?;
        for number in 0..block.instances {
            let instance = block.instance(&**transport, number)?;
            let name = instance.id.unit_name(function.unit_owner());
            units.push(Unit::new(Arc::clone(transport), instance, name));
        }
    }
    Ok(units)
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
