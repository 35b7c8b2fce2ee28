// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The programs and files a machine is made of.

use std::path::PathBuf;

use anyhow::Result;

use crate::guest_image::{ExtraFile, GuestImage};
use crate::platform::Platform;
use crate::programs;
use crate::progress::Progress;

/// What a machine runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Software {
    /// The words that start QEMU, without options of the machine.
    pub qemu: Vec<String>,
    /// The device's program, `vfio-user-chmu`.
    pub device: PathBuf,
    /// QEMU's plugin, which shows the guest's accesses to the devices.
    pub plugin: Option<PathBuf>,
    /// The guest's kernel.
    pub kernel: PathBuf,
    /// The guest's initramfs, without ACPI tables.
    pub initramfs: Vec<u8>,
}

impl Software {
    /// The project's own programs and guest image, on a platform.
    ///
    /// # Errors
    /// When a program cannot be built.
    pub fn build(
        platform: &Platform,
        extra_files: &[ExtraFile],
        progress: &Progress,
    ) -> Result<Self> {
        let image = GuestImage {
            kernel: &platform.kernel,
            busybox: &platform.busybox,
            program: &programs::guest_program(progress)?,
            extra_files,
        };
        let initramfs = image.build()?;
        Self::with_initramfs(platform, initramfs, progress)
    }

    /// The project's own programs on a platform, with a guest image of the caller's.
    ///
    /// # Errors
    /// When a program cannot be built.
    pub fn with_initramfs(
        platform: &Platform,
        initramfs: Vec<u8>,
        progress: &Progress,
    ) -> Result<Self> {
        Ok(Self {
            qemu: platform.qemu.printable(),
            device: programs::device(progress)?,
            plugin: Some(programs::plugin(progress)?),
            kernel: platform.kernel.image.clone(),
            initramfs,
        })
    }
}
