// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The guest's initramfs: busybox, the kernel's modules, `chmu` and a first process.
//!
//! One image serves every mode; the kernel's command line chooses, as `init.sh` says. It is not
//! compressed, since an emulated processor reads faster than it decompresses.

mod archive;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::elf;
use crate::platform::{Kernel, Module};
use archive::Archive;

const INIT: &str = include_str!("init.sh");
/// Where init mounts file systems.
const MOUNT_POINTS: [&str; 4] = ["proc", "run", "sys", "tmp"];

/// What goes into the image.
#[derive(Debug, Clone, Copy)]
pub struct GuestImage<'a> {
    /// Its modules go in; the image fits this kernel only.
    pub kernel: &'a Kernel,
    /// A statically linked busybox.
    pub busybox: &'a Path,
    /// The statically linked `chmu`; becomes `/bin/chmu`.
    pub program: &'a Path,
}

impl GuestImage<'_> {
    /// The initramfs: the same bytes for the same content.
    ///
    /// # Errors
    /// When a program cannot be read or needs libraries.
    pub fn build(&self) -> Result<Vec<u8>> {
        let mut archive = Archive::default();
        for folder in MOUNT_POINTS {
            archive.folder(folder)?;
        }
        archive.console()?;
        archive.file("init", INIT.as_bytes(), true)?;
        archive.file("bin/busybox", &static_program(self.busybox)?, true)?;
        archive.file("bin/chmu", &static_program(self.program)?, true)?;
        add_modules(&mut archive, self.kernel)?;
        archive.finish()
    }
}

/// Both modes' modules, each once, and for each mode the order to load them in.
fn add_modules(archive: &mut Archive, kernel: &Kernel) -> Result<()> {
    let (region, vfio) = (&kernel.region_modules, &kernel.vfio_modules);
    let only_vfio = vfio.iter().filter(|module| !region.contains(module));
    for module in region.iter().chain(only_vfio) {
        let path = format!("lib/modules/{}.ko", module.name);
        archive.file(&path, &module.content, false)?;
    }
    for (mode, modules) in [("region", region), ("vfio", vfio)] {
        let path = format!("lib/modules/{mode}.order");
        archive.file(&path, names(modules).as_bytes(), false)?;
    }
    Ok(())
}

fn names(modules: &[Module]) -> String {
    let lines = modules.iter().map(|module| format!("{}\n", module.name));
    lines.collect()
}

fn static_program(program: &Path) -> Result<Vec<u8>> {
    let name = program.display();
    let content = fs::read(program).with_context(|| format!("Cannot read {name}"))?;
    ensure!(
        elf::is_static(&content).with_context(|| format!("{name} is no program"))?,
        "{name} is not statically linked, and the guest has no libraries"
    );
    Ok(content)
}

#[cfg(test)]
mod tests;
