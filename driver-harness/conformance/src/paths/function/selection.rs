// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which function is meant, and whether it is free.

use chmu_driver::device::{
    Access, DeviceError, PciFunction, Selection, nothing_found, select_functions,
};

/// How the registers of a PCI function are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// Through VFIO, with interrupts and function level reset.
    Guest,
    /// Beside the kernel's driver, without either.
    Region,
}

/// The driver that hands functions out through VFIO.
const VFIO_DRIVER: &str = "vfio-pci";

impl Path {
    /// Its name, as `--transport` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Region => "region",
        }
    }

    pub(super) fn access(self) -> Access {
        match self {
            Self::Guest => Access::Vfio,
            Self::Region => Access::Sysfs,
        }
    }

    /// Whether the bound driver leaves this path open.
    fn suits(self, function: &PciFunction) -> bool {
        let has_vfio = function.driver.as_deref() == Some(VFIO_DRIVER);
        match self {
            Self::Guest => has_vfio,
            Self::Region => !has_vfio,
        }
    }
}

/// Why no function is judged.
#[derive(Debug, thiserror::Error)]
pub enum SelectionError {
    /// A function cannot be looked at.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The function belongs to another driver.
    #[error(
        "{device} is bound to {driver}, so it is in use; bind vfio-pci to it, or take --transport \
         region, which runs beside a driver"
    )]
    InUse {
        /// The function.
        device: String,
        /// Its driver.
        driver: String,
    },
    /// No driver has the function.
    #[error("{0} is bound to no driver; bind vfio-pci to it")]
    Unbound(String),
    /// VFIO has the function.
    #[error("{0} is bound to vfio-pci; take --transport guest")]
    Vfio(String),
    /// Several functions fit.
    #[error("Several functions have CHMU blocks: {0}; name one with --device")]
    Several(String),
}

/// The function that `device` names, or the only one that fits the path.
pub(super) fn select(
    sysfs: &std::path::Path,
    path: Path,
    device: Option<&str>,
) -> Result<PciFunction, SelectionError> {
    let selection = Selection {
        device: device.map(str::to_owned),
        ..Selection::default()
    };
    let functions = select_functions(sysfs, &selection)?;
    match (device, &*functions) {
        (Some(_), [function]) => check(function.clone(), path),
        _ => choose(sysfs, &functions, path),
    }
}

fn check(function: PciFunction, path: Path) -> Result<PciFunction, SelectionError> {
    if path.suits(&function) {
        return Ok(function);
    }
    let identity = function.identify();
    let device = function.address;
    // Nobody is told to take a function from its driver that has no CHMU.
    if identity.is_ok_and(|identity| !identity.has_units()) {
        return Err(DeviceError::NoBlock { device }.into());
    }
    Err(match (path, function.driver) {
        (Path::Region, _) => SelectionError::Vfio(device),
        (Path::Guest, Some(driver)) => SelectionError::InUse { device, driver },
        (Path::Guest, None) => SelectionError::Unbound(device),
    })
}

fn choose(
    sysfs: &std::path::Path,
    functions: &[PciFunction],
    path: Path,
) -> Result<PciFunction, SelectionError> {
    // A function whose configuration space cannot be read is none of ours.
    let has_units = |function: &&PciFunction| {
        let identity = function.identify();
        identity.is_ok_and(|identity| identity.has_units())
    };
    let with_units: Vec<_> = functions.iter().filter(has_units).collect();
    let mut suitable: Vec<_> = with_units.iter().filter(|one| path.suits(one)).collect();
    if suitable.len() > 1 {
        let names: Vec<_> = suitable.iter().map(|one| one.address.as_str()).collect();
        return Err(SelectionError::Several(names.join(", ")));
    }
    match (suitable.pop(), &*with_units) {
        (Some(&function), _) => Ok(function.clone()),
        (None, []) => Err(nothing_found(sysfs, functions).into()),
        (None, [first, ..]) => check((*first).clone(), path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(driver: Option<&str>) -> PciFunction {
        PciFunction {
            address: "0000:35:00.0".into(),
            folder: "/nowhere".into(),
            class: 0x05_02_10,
            driver: driver.map(str::to_owned),
            numa_node: None,
            memdev: None,
        }
    }

    #[test]
    fn a_function_in_use_is_refused_in_a_sentence() {
        let refusal = |driver, path| check(function(driver), path).unwrap_err().to_string();
        assert_eq!(
            refusal(Some("cxl_pci"), Path::Guest),
            "0000:35:00.0 is bound to cxl_pci, so it is in use; bind vfio-pci to it, or take \
             --transport region, which runs beside a driver"
        );
        assert_eq!(
            refusal(None, Path::Guest),
            "0000:35:00.0 is bound to no driver; bind vfio-pci to it"
        );
        assert_eq!(
            refusal(Some("vfio-pci"), Path::Region),
            "0000:35:00.0 is bound to vfio-pci; take --transport guest"
        );
        for (driver, path) in [
            (Some("vfio-pci"), Path::Guest),
            (Some("cxl_pci"), Path::Region),
            (None, Path::Region),
        ] {
            check(function(driver), path).unwrap();
        }
    }

    #[test]
    fn nobody_is_told_to_bind_a_function_without_units() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = vec![0_u8; 4096];
        config[..4].copy_from_slice(&[0x86, 0x80, 0x34, 0x12]);
        std::fs::write(folder.path().join("config"), config).unwrap();
        for (driver, path) in [
            (None, Path::Guest),
            (Some("ahci"), Path::Guest),
            (Some("vfio-pci"), Path::Region),
        ] {
            let other = PciFunction {
                folder: folder.path().into(),
                ..function(driver)
            };
            let error = check(other, path).unwrap_err();
            let is_said = matches!(error, SelectionError::Device(DeviceError::NoBlock { .. }));
            assert!(is_said, "{error}");
        }
    }

    #[test]
    fn without_a_name_a_function_must_have_units() {
        let sysfs = tempfile::tempdir().unwrap();
        let functions = [function(Some("vfio-pci"))];
        let error = choose(sysfs.path(), &functions, Path::Guest).unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("No hotness monitoring unit was found: Cannot read /nowhere/config"),
            "{text}"
        );
    }
}
