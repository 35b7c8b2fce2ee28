// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The cache entries that are made of Debian's packages, and which packages those are.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::apt;
use crate::cache::{Cache, EntryState};
use crate::platform::KernelChoice;

/// Counts up when an entry's layout changes; entries of another layout are fetched anew.
pub(super) const LAYOUT: u32 = 1;
pub(super) const QEMU_ENTRY: &str = "qemu";
pub(super) const BUSYBOX_ENTRY: &str = "busybox";
/// What is said of a cache entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    pub(super) layout: u32,
    /// QEMU's version, the kernel's release or busybox' package version.
    pub version: String,
    /// The packages it was made of, as `name version`.
    pub packages: Vec<String>,
}

/// One cache entry and where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    Qemu,
    Kernel(KernelChoice),
    Busybox,
}

impl Entry {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Qemu => QEMU_ENTRY,
            Self::Kernel(KernelChoice::Backports) => "debian-linux-backports",
            Self::Kernel(KernelChoice::Lts612) => "debian-linux-lts-6.12",
            Self::Busybox => BUSYBOX_ENTRY,
        }
    }

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Qemu => "QEMU",
            Self::Kernel(_) => "the kernel",
            Self::Busybox => "busybox",
        }
    }

    /// What the user can name on the command line in its place.
    pub(super) fn options(self) -> &'static str {
        match self {
            Self::Qemu => "--qemu",
            Self::Kernel(_) => "--kernel and --modules",
            Self::Busybox => "--busybox",
        }
    }

    pub(super) fn suite(self) -> &'static str {
        match self {
            Self::Qemu | Self::Kernel(KernelChoice::Backports) => apt::BACKPORTS,
            Self::Kernel(KernelChoice::Lts612) | Self::Busybox => apt::STABLE,
        }
    }

    pub(super) fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Qemu => &["qemu-system-x86", "seabios"],
            Self::Kernel(_) => &["linux-image-amd64"],
            Self::Busybox => &["busybox-static"],
        }
    }

    /// Of the packages' dependencies, whether this one is used: a kernel needs no tools that
    /// install it.
    pub(super) fn uses(self, package: &str) -> bool {
        match self {
            Self::Qemu => true,
            Self::Kernel(_) => package.starts_with("linux-"),
            Self::Busybox => package == "busybox-static",
        }
    }
}

/// How it stands with the entry of this name; one of another layout counts as none.
pub(super) fn state(cache: &Cache, name: &str) -> Result<EntryState<Contents>> {
    Ok(match cache.check::<Contents>(name)? {
        EntryState::Whole(contents) if contents.layout != LAYOUT => EntryState::Absent,
        state => state,
    })
}
