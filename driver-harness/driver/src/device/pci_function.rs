// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! PCI functions as the kernel lists them below `bus/pci/devices`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chmu_machine::node::NodeId;
use chmu_machine::refusal::{Host, Refusal};
use chmu_machine::sysfs_file::{self, SysfsError};
use chmu_spec::pci::CLASS_CXL_MEMORY_DEVICE;

use super::DeviceError;
use super::config_space::ConfigSpace;
use super::locator::{Identity, identify};
use crate::refusal::{reset_danger, short_config_refusal};
use crate::transport::{TransportError, Width, resettable_express};

/// A PCI function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PciFunction {
    /// Its address, such as `0000:35:00.0`.
    pub address: String,
    /// Its folder in sysfs.
    pub folder: PathBuf,
    /// Class code: base class, sub-class, programming interface.
    pub class: u32,
    /// The driver that is bound to it.
    pub driver: Option<String>,
    /// The node it is closest to, where the firmware says so.
    pub numa_node: Option<NodeId>,
    /// Its memory device, such as `mem0`, while `cxl_pci` is bound to it.
    pub memdev: Option<String>,
}

impl PciFunction {
    /// All functions below `sysfs`, by address.
    pub fn all(sysfs: &Path) -> Result<Vec<PciFunction>, SysfsError> {
        let folder = sysfs.join("bus/pci/devices");
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|source| SysfsError::Read {
                path: folder,
                source,
            })?,
        };
        let mut folders: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        folders.sort();
        folders.into_iter().map(PciFunction::read).collect()
    }

    fn read(folder: PathBuf) -> Result<PciFunction, SysfsError> {
        let class = sysfs_file::number(&folder.join("class"))?;
        let memdevs = sysfs_file::numbered(&folder, "mem");
        let node = sysfs_file::text(&folder.join("numa_node"));
        Ok(PciFunction {
            address: file_name(&folder),
            class: u32::try_from(class).unwrap_or(u32::MAX),
            driver: fs::read_link(folder.join("driver"))
                .ok()
                .map(|driver| file_name(&driver)),
            // The kernel writes -1 where it knows of no node.
            numa_node: node.ok().and_then(|node| node.parse().ok()).map(NodeId),
            memdev: memdevs.first().map(|(_, folder)| file_name(folder)),
            folder,
        })
    }

    /// Whether the class says that this is a CXL memory device.
    pub fn is_memory_device(&self) -> bool {
        let [interface, sub_class, base_class] = CLASS_CXL_MEMORY_DEVICE;
        self.class == u32::from_le_bytes([interface, sub_class, base_class, 0])
    }

    /// What the configuration space tells, without waking the function.
    pub fn identify(&self) -> Result<Identity, DeviceError> {
        identify(&self.config()?)
    }

    /// Why VFIO would cost more than this function's own state; none where it is reset alone.
    pub(super) fn reset_danger(&self) -> Result<Option<Refusal>, DeviceError> {
        let config = self.config()?;
        let read = |offset: u16, width: Width| {
            let dword = config.dword(offset & !3)?;
            let bits = 8 * (u32::from(offset) & 3);
            let mask = u32::MAX >> (32 - 8 * width.bytes().min(4));
            Ok::<_, TransportError>(dword >> bits & mask)
        };
        let express = resettable_express(&read)?;
        Ok(reset_danger(&self.folder, express.is_some()))
    }

    fn config(&self) -> Result<ConfigFile<'_>, DeviceError> {
        let path = self.folder.join("config");
        let bytes = fs::read(&path).map_err(|source| SysfsError::Read {
            path: path.clone(),
            source,
        })?;
        Ok(ConfigFile {
            device: &self.address,
            path,
            bytes,
        })
    }

    /// The name that units of this function carry: the memory device, else the address.
    pub fn unit_owner(&self) -> &str {
        self.memdev.as_deref().unwrap_or(&self.address)
    }

    /// Whether `name` means this function: its address, with or without the domain `0000:`, or its
    /// memory device.
    pub fn is_named(&self, name: &str) -> bool {
        self.address == name
            || self.address.strip_prefix("0000:") == Some(name)
            || self.memdev.as_deref() == Some(name)
    }
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// The content of a `config` file: only 64 bytes for users without privileges.
struct ConfigFile<'a> {
    device: &'a str,
    path: PathBuf,
    bytes: Vec<u8>,
}

impl ConfigSpace for ConfigFile<'_> {
    fn device(&self) -> &str {
        self.device
    }

    fn dword(&self, offset: u16) -> Result<u32, TransportError> {
        let offset = usize::from(offset);
        let bytes = self.bytes.get(offset..).and_then(<[u8]>::first_chunk);
        match bytes {
            Some(bytes) => Ok(u32::from_le_bytes(*bytes)),
            None => Err(TransportError::Content {
                path: self.path.clone(),
                reason: format!(
                    "it ends after {} bytes, before the extended capabilities: {}",
                    self.bytes.len(),
                    short_config_refusal(&Host::this())
                ),
            }),
        }
    }
}
