// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! How the verbs that drive units reach registers, as users name it.

use chmu_driver::device::{Access, Opening};

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Transport {
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

#[derive(Debug, clap::Args)]
pub(super) struct Reach {
    /// How registers are reached [default: vfio when vfio-pci is bound, else sysfs].
    #[arg(long, value_enum)]
    transport: Option<Transport>,
    /// Opens through VFIO also a device without function level reset: the kernel then resets its bus, and
    /// memory of the device that is online is lost.
    #[arg(long)]
    risk_memory_loss: bool,
}

impl Reach {
    /// An option that the user gave.
    pub(super) fn given(&self) -> Option<&'static str> {
        match (self.transport.is_some(), self.risk_memory_loss) {
            (true, _) => Some("--transport"),
            (false, true) => Some("--risk-memory-loss"),
            (false, false) => None,
        }
    }

    /// How to open what the user selects.
    pub(super) fn opening(&self) -> Opening {
        Opening {
            access: self.transport.map(Into::into),
            risk_memory_loss: self.risk_memory_loss,
        }
    }
}
