// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a caller chooses about a machine, beside its topology.

use std::fmt;
use std::time::Duration;

use super::storage::{Disk, Share};

/// Enough for a guest on a busy machine; a boot takes a few seconds.
pub const READY_TIMEOUT: Duration = Duration::from_secs(180);

/// Which driver the guest has on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Mode {
    /// Linux' CXL drivers, which assemble a region; no interrupts for user space.
    #[default]
    Region,
    /// `vfio-pci`, behind a virtual IOMMU: interrupts for user space, no region.
    Vfio,
    /// No driver, for one of your own; there is a virtual IOMMU.
    None,
}

impl Mode {
    /// Whether the guest has a virtual IOMMU, which VFIO needs.
    pub(super) fn has_iommu(self) -> bool {
        self != Self::Region
    }
}

/// As the guest's init reads it from the kernel's command line.
impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Region => "region",
            Self::Vfio => "vfio",
            Self::None => "none",
        })
    }
}

/// What the CXL memory is when the guest has booted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum MemoryAs {
    /// Memory of the kernel's, on a node of its own.
    #[default]
    SystemRam,
    /// A dax device, which `daxctl reconfigure-device` can make System RAM.
    Dax,
}

/// The file system that a guest's programs see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Root {
    /// The lab's own, in memory: busybox, `chmu` and what a user adds.
    #[default]
    Initramfs,
    /// That of the first disk.
    Disk,
    /// The same, which grows to the disk's size first; ext4.
    GrowingDisk,
    /// The first share's folder. What the guest writes is kept in its memory.
    Share,
}

/// What a machine is to be like.
#[derive(Debug, Clone, PartialEq)]
pub struct MachineOptions {
    /// The file system that the guest's programs see.
    pub root: Root,
    /// Disks of the guest's: the first is `/dev/vda`.
    pub disks: Vec<Disk>,
    /// Folders of the host's that the guest can mount.
    pub shares: Vec<Share>,
    /// The device's driver in the guest.
    pub mode: Mode,
    /// What the CXL memory is.
    pub memory_as: MemoryAs,
    /// Options of the plugin, for example `cache=none`; the sockets are added.
    pub plugin_options: Vec<String>,
    /// Further options of QEMU, after the lab's; devices that name no bus come before the CXL host
    /// bridge, which would be their bus otherwise.
    pub qemu_arguments: Vec<String>,
    /// Further words of the kernel's command line, after the lab's.
    pub append: Vec<String>,
    /// The guest may restart; otherwise a restart, also after a kernel panic, ends QEMU.
    pub may_reboot: bool,
    /// What the devices' configuration says beside the memory they serve: one table of top-level
    /// keys for each device, in the order of their root ports. Missing ones are empty.
    pub device_settings: Vec<toml::Table>,
    /// Further options of the devices' programs, in the same order. Missing ones are empty.
    pub device_arguments: Vec<Vec<String>>,
    /// Devices tell how often each page was accessed, to the guest through a port for each.
    pub oracle: bool,
    /// How long the guest may take until it serves requests.
    pub ready_timeout: Duration,
    /// Keep the run's folder; otherwise it stays only after a failure.
    pub keep: bool,
}

impl Default for MachineOptions {
    fn default() -> Self {
        Self {
            root: Root::default(),
            disks: Vec::new(),
            shares: Vec::new(),
            mode: Mode::default(),
            memory_as: MemoryAs::default(),
            plugin_options: Vec::new(),
            qemu_arguments: Vec::new(),
            append: Vec::new(),
            may_reboot: false,
            device_settings: Vec::new(),
            device_arguments: Vec::new(),
            oracle: false,
            ready_timeout: READY_TIMEOUT,
            keep: false,
        }
    }
}
