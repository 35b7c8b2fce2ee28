// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A Linux kernel and those of its modules that the guest loads.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::modules::{Module, ModuleFolder, ModuleRequest};

/// What the region mode loads; what these depend on comes before them.
const REGION_MODULES: [&str; 4] = ["cxl_port", "cxl_mem", "cxl_acpi", "cxl_pci"];
/// What gives a region's memory out as a dax device, and takes it as System RAM.
const DAX_MODULES: [&str; 3] = ["dax_cxl", "device_dax", "kmem"];
/// What a guest needs for disks and for folders of the host's. Linux 6.12 has the checksums of ext4 in a
/// module that none depends on; others have some of these built in, or by other names.
const STORAGE_MODULES: [&str; 6] = [
    "virtio_pci",
    "virtio_blk",
    "crc32c_generic",
    "ext4",
    "overlay",
    "9p",
];
/// 9p finds its way to QEMU through this.
const SHARE_TRANSPORT: &str = "9pnet_virtio";
/// What the VFIO mode loads.
const VFIO_MODULES: [&str; 2] = ["vfio_iommu_type1", "vfio_pci"];

/// A kernel image and its modules in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// The bzImage that QEMU loads.
    pub image: PathBuf,
    /// As `uname -r` prints it.
    pub release: String,
    /// For a guest with the CXL driver bound: everything up to `cxl_pci`, in load order.
    pub region_modules: Vec<Module>,
    /// For a guest whose CXL memory is a dax device, in load order, without what is in
    /// [`Self::region_modules`]; empty when the kernel lacks them.
    pub dax_modules: Vec<Module>,
    /// For a guest with `vfio-pci` bound, in load order; empty when the kernel lacks VFIO.
    pub vfio_modules: Vec<Module>,
    /// For a guest with disks or shared folders, in load order; those that the kernel has as modules.
    pub storage_modules: Vec<Module>,
    /// What a user wants besides, in load order; some may be in the others.
    pub own_modules: Vec<Module>,
}

impl Kernel {
    /// Reads a kernel image, and its modules out of a `/lib/modules/X` folder. Without a folder the
    /// CXL and VFIO drivers must be built into the kernel. `own` are a user's modules.
    ///
    /// # Errors
    /// When the image is no x86 Linux kernel, or a module is missing or belongs to another kernel.
    pub fn load(image: &Path, modules: Option<&Path>, own: &[ModuleRequest]) -> Result<Self> {
        let release = image_release(image)?;
        let mut kernel = Self {
            image: image.to_owned(),
            release,
            region_modules: Vec::new(),
            dax_modules: Vec::new(),
            vfio_modules: Vec::new(),
            storage_modules: Vec::new(),
            own_modules: Vec::new(),
        };
        let release = &kernel.release;
        let mut folder = match modules {
            Some(folder) => ModuleFolder::open(folder)?,
            None => ModuleFolder::default(),
        };
        folder.replace(own);
        kernel.own_modules = folder.load_order_of(own, release)?;
        if modules.is_some() {
            kernel.region_modules = folder.load_order(&REGION_MODULES, release)?;
            kernel.dax_modules = optional_modules(&folder, release, &DAX_MODULES, "dax mode");
            let loaded = &kernel.region_modules;
            kernel.dax_modules.retain(|module| !loaded.contains(module));
            kernel.vfio_modules = optional_modules(&folder, release, &VFIO_MODULES, "VFIO mode");
            kernel.storage_modules = storage_modules(&folder, release);
        }
        Ok(kernel)
    }

    /// All modules of all modes, and a user's; some more than once.
    pub(crate) fn modules(&self) -> impl Iterator<Item = &Module> {
        let sets = [
            &self.region_modules,
            &self.dax_modules,
            &self.vfio_modules,
            &self.storage_modules,
            &self.own_modules,
        ];
        sets.into_iter().flatten()
    }
}

/// A kernel without these still runs everything but one mode.
fn optional_modules(
    folder: &ModuleFolder,
    release: &str,
    names: &[&str],
    mode: &str,
) -> Vec<Module> {
    folder.load_order(names, release).unwrap_or_else(|error| {
        log::warn!("The guest's {mode} will not work: {error:#}");
        Vec::new()
    })
}

/// Those that there are: what is missing is missed by the guest's init, if it is wanted.
fn storage_modules(folder: &ModuleFolder, release: &str) -> Vec<Module> {
    let mut order: Vec<Module> = Vec::new();
    for name in STORAGE_MODULES.iter().chain([&SHARE_TRANSPORT]) {
        match folder.load_order(&[name], release) {
            Ok(modules) => {
                let new = modules.into_iter().filter(|module| !order.contains(module));
                let new: Vec<_> = new.collect();
                order.extend(new);
            }
            Err(error) => log::debug!("{name} is no module of Linux {release}: {error:#}"),
        }
    }
    order
}

/// The release in a bzImage (Linux x86 boot protocol: `HdrS` at 0x202, `kernel_version` at 0x20e).
pub(super) fn image_release(image: &Path) -> Result<String> {
    let name = image.display();
    let file = File::open(image).with_context(|| format!("Cannot open the kernel {name}"))?;
    let mut header = [0; 0x210];
    let is_kernel = file.read_exact_at(&mut header, 0).is_ok() && &header[0x202..0x206] == b"HdrS";
    ensure!(is_kernel, "{name} is no x86 Linux kernel image (bzImage)");
    let offset = 0x200 + u64::from(u16::from_le_bytes([header[0x20e], header[0x20f]]));
    let mut text = [0; 128];
    let length = file
        .read_at(&mut text, offset)
        .with_context(|| format!("Cannot read the kernel {name}"))?;
    let release = text[..length].split(|byte| matches!(byte, 0 | b' ')).next();
    let release = String::from_utf8_lossy(release.unwrap_or_default()).into_owned();
    ensure!(
        !release.is_empty(),
        "The kernel {name} does not say its release"
    );
    Ok(release)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(fill: impl FnOnce(&mut Vec<u8>)) -> tempfile::NamedTempFile {
        let mut content = vec![0; 0x1000];
        content[0x202..0x206].copy_from_slice(b"HdrS");
        content[0x20e..0x210].copy_from_slice(&0x400_u16.to_le_bytes());
        let text = b"7.3.4+deb13-amd64 (someone@somewhere) #1 SMP\0";
        content[0x600..0x600 + text.len()].copy_from_slice(text);
        fill(&mut content);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        file
    }

    #[test]
    fn the_release_is_read_from_the_image() {
        let file = image(|_| ());
        assert_eq!(image_release(file.path()).unwrap(), "7.3.4+deb13-amd64");
        let kernel = Kernel::load(file.path(), None, &[]).unwrap();
        assert_eq!(kernel.region_modules, []);
    }

    #[test]
    fn what_is_no_kernel_is_refused() {
        let error = |fill: fn(&mut Vec<u8>)| image_release(image(fill).path()).unwrap_err();
        assert!(
            error(|content| content[0x202] = 0)
                .to_string()
                .contains("bzImage")
        );
        assert!(
            error(|content| content.truncate(0x100))
                .to_string()
                .contains("bzImage")
        );
        let pointer_outside = error(|content| content[0x20f] = 0xff);
        assert!(pointer_outside.to_string().contains("release"));
    }
}
