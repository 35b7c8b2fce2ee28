// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The programs and files a machine is made of.

use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Result, ensure};

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
        options.check()?;
        let (platform, programs) = thread::scope(|scope| {
            let fetching = progress.beside();
            let platform = scope.spawn(move || {
                let platform = Platform::obtain(options, &fetching);
                if let Err(error) = &platform {
                    // A build takes minutes; nobody should wait that long for the reason.
                    fetching.say(&format!("No platform, so the build is in vain: {error:#}"));
                }
                platform
            });
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
                files: &options.guest_files,
            }
            .build()?,
        };
        let programs_and_files = [
            platform.qemu.program(),
            &platform.kernel.image,
            &programs.device,
            &programs.plugin,
        ];
        programs_and_files.into_iter().try_for_each(check_text)?;
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

/// Refuses a path that command lines to be shown and copied cannot have.
fn check_text(path: &Path) -> Result<()> {
    ensure!(
        path.to_str().is_some(),
        "The path {} is not UTF-8; give the file another name",
        path.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn a_path_that_no_command_can_show_is_refused() {
        assert!(check_text(Path::new("/boot/vmlinuz")).is_ok());
        let error = check_text(Path::new(OsStr::from_bytes(b"/boot/\xff"))).unwrap_err();
        assert!(error.to_string().contains("not UTF-8"), "{error}");
    }
}
