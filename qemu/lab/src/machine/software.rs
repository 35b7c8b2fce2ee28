// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The programs and files a machine is made of.

use std::path::PathBuf;
use std::thread;

use anyhow::Result;

use crate::guest_image::GuestImage;
use crate::platform::{Platform, PlatformOptions};
use crate::programs::Programs;
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
    /// Fetches the platform and builds the project's programs, side by side; then the guest's image
    /// unless the caller has one.
    ///
    /// # Errors
    /// When something cannot be fetched or built.
    pub fn obtain(
        options: &PlatformOptions,
        initramfs: Option<Vec<u8>>,
        progress: &Progress,
    ) -> Result<(Platform, Self)> {
        let (platform, programs) = thread::scope(|scope| {
            let fetching = progress.beside();
            let platform = scope.spawn(move || Platform::obtain(options, &fetching));
            let programs = Programs::obtain(progress);
            (platform.join(), programs)
        });
        let platform = platform.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let programs = programs?;
        progress.step("Packing the guest's image");
        let initramfs = match initramfs {
            Some(initramfs) => initramfs,
            None => GuestImage {
                kernel: &platform.kernel,
                busybox: &platform.busybox,
                program: &programs.guest,
                packages: platform.guest_packages.as_deref(),
            }
            .build()?,
        };
        let software = Self {
            qemu: platform.qemu.printable(),
            device: programs.device,
            plugin: Some(programs.plugin),
            kernel: platform.kernel.image.clone(),
            initramfs,
        };
        Ok((platform, software))
    }
}
