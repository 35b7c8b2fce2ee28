// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The guest's initramfs: busybox, the kernel's modules, `chmu` and a first process.
//!
//! One image serves every mode; the kernel's command line chooses, as `init.sh` says. It is not
//! compressed, since an emulated processor reads faster than it decompresses.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::archive::{ALIGNMENT_BYTES, Archive};
use crate::elf;
use crate::platform::{GuestFile, Kernel, Module};

const INIT: &str = include_str!("init.sh");
/// The first process in a root file system of its own, once `init.sh` has changed to that.
const USERLAND_INIT: &str = include_str!("userland_init.sh");
/// Where init mounts file systems.
const MOUNT_POINTS: [&str; 4] = ["proc", "run", "sys", "tmp"];
/// As in distributions: everything is in `/usr`, and what used to be beside it is a link there.
const MERGED_FOLDERS: [&str; 4] = ["bin", "lib", "lib64", "sbin"];

/// What goes into the image.
#[derive(Debug, Clone, Copy)]
pub struct GuestImage<'a> {
    /// Its modules go in; the image fits this kernel only.
    pub kernel: &'a Kernel,
    /// A statically linked busybox.
    pub busybox: &'a Path,
    /// The statically linked `chmu`; becomes `/usr/bin/chmu`.
    pub program: &'a Path,
    /// An archive that is unpacked over the rest, see [`crate::platform::PackageSet`].
    pub packages: Option<&'a Path>,
    /// A user's files, over everything else.
    pub files: &'a [GuestFile],
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
        for folder in MERGED_FOLDERS {
            let target = format!("usr/{folder}");
            archive.folder(&target)?;
            archive.link(folder, &target)?;
        }
        archive.console()?;
        archive.file("init", INIT.as_bytes(), true)?;
        archive.file("userland-init", USERLAND_INIT.as_bytes(), true)?;
        archive.file("usr/bin/busybox", &static_program(self.busybox)?, true)?;
        archive.file("usr/bin/chmu", &static_program(self.program)?, true)?;
        add_modules(&mut archive, self.kernel)?;
        let mut image = archive.finish()?;
        if let Some(packages) = self.packages {
            let read = || format!("Cannot read {}", packages.display());
            let mut file = fs::File::open(packages).with_context(read)?;
            file.read_to_end(&mut image).with_context(read)?;
        }
        if !self.files.is_empty() {
            let mut archive = Archive::default();
            for file in self.files {
                file.put_into(&mut archive)?;
            }
            image.resize(image.len().next_multiple_of(ALIGNMENT_BYTES), 0);
            image.extend(archive.finish()?);
        }
        Ok(image)
    }
}

/// All modules, each once, and for each mode and for a user's own the order to load them in.
fn add_modules(archive: &mut Archive, kernel: &Kernel) -> Result<()> {
    let modules: BTreeMap<_, _> = kernel
        .modules()
        .map(|module| (&module.name, &module.content))
        .collect();
    let folder = format!("usr/lib/modules/{}", kernel.release);
    for (name, content) in modules {
        archive.file(&format!("{folder}/{name}.ko"), content, false)?;
    }
    for (mode, modules) in [
        ("region", &kernel.region_modules),
        ("dax", &kernel.dax_modules),
        ("vfio", &kernel.vfio_modules),
        ("storage", &kernel.storage_modules),
        ("own", &kernel.own_modules),
    ] {
        let path = format!("usr/lib/modules/{mode}.order");
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
