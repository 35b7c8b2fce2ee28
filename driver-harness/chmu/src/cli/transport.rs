// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! How the verbs that drive units reach registers, as users name it.

use chmu_driver::device::Access;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Transport {
    /// Mapped through sysfs, beside the kernel's driver; without interrupts.
    Sysfs,
    /// Through VFIO, with vfio-pci bound; with interrupts.
    Vfio,
}

impl From<Transport> for Access {
    fn from(transport: Transport) -> Access {
        match transport {
            Transport::Sysfs => Access::Sysfs,
            Transport::Vfio => Access::Vfio,
        }
    }
}
