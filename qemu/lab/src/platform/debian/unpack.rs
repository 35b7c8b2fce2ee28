// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! From package files to cache entries that hold only what is used.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::super::kernel::{self, Kernel};
use super::super::modules::{Module, ModuleFolder};
use super::super::qemu::{Loader, QEMU_NAME, QemuProgram};
use super::super::version::QemuVersion;
use crate::elf;

/// The kernel image's name in its entry.
pub(super) const KERNEL: &str = "vmlinuz";
/// The module folder's name in the kernel's entry.
pub(super) const MODULES: &str = "modules";
/// The name of the kernel's configuration in its entry.
pub(super) const CONFIG: &str = "config";
/// The program's name in its entry.
pub(super) const BUSYBOX: &str = "busybox";

const LOADER: &str = "ld-linux-x86-64.so.2";
const LIBRARIES: &str = "lib";
const DATA_FOLDERS: [&str; 2] = ["share/qemu", "share/seabios"];
/// What plugins written in Rust need besides QEMU's own libraries.
const PLUGIN_LIBRARY: &str = "libgcc_s.so.1";

/// Unpacks every package of a folder over each other and removes the package files.
pub(super) fn packages(folder: &Path, root: &Path) -> Result<()> {
    let read = || fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>();
    for file in read().context("Cannot read the download folder")? {
        let package = file.path();
        let output = Command::new("dpkg-deb")
            .arg("--extract")
            .arg(&package)
            .arg(root)
            .output()
            .context("Cannot run dpkg-deb")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        let name = file.file_name();
        ensure!(
            output.status.success(),
            "Cannot unpack {}: {}",
            name.to_string_lossy(),
            errors.trim()
        );
        fs::remove_file(&package).context("Cannot remove an unpacked package")?;
    }
    Ok(())
}

/// Copies QEMU, its loader, the libraries it loads and the firmware; returns the version.
pub(super) fn qemu(root: &Path, folder: &Path) -> Result<String> {
    let libraries = root.join("usr/lib/x86_64-linux-gnu");
    let program = root.join("usr/bin").join(QEMU_NAME);
    let loader = libraries.join(LOADER);
    fs::create_dir_all(folder.join(LIBRARIES))?;
    let mut needed = needed_libraries(&loader, &libraries, &program)?;
    needed.extend([loader, libraries.join(PLUGIN_LIBRARY)]);
    for library in needed {
        let name = library.file_name().context("A library has no name")?;
        copy(&library, &folder.join(LIBRARIES).join(name))?;
    }
    copy(&program, &folder.join(QEMU_NAME))?;
    for data in DATA_FOLDERS {
        copy_firmware(&root.join("usr").join(data), &folder.join(data))?;
    }
    let version = qemu_program(folder, QemuVersion::OLDEST).ask_version()?;
    qemu_program(folder, version).check()?;
    Ok(version.to_string())
}

/// The QEMU of a finished entry.
pub(super) fn qemu_program(folder: &Path, version: QemuVersion) -> QemuProgram {
    let loader = Loader {
        program: folder.join(LIBRARIES).join(LOADER),
        libraries: folder.join(LIBRARIES),
    };
    let data = DATA_FOLDERS.map(|data| folder.join(data)).to_vec();
    QemuProgram::packaged(folder.join(QEMU_NAME), loader, data, version)
}

/// Asks the loader which libraries it would load.
fn needed_libraries(loader: &Path, libraries: &Path, program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new(loader)
        .arg("--library-path")
        .arg(libraries)
        .arg("--list")
        .arg(program)
        .output()
        .with_context(|| format!("Cannot run {}", loader.display()))?;
    let list = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "QEMU's libraries are incomplete: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let lines = list.lines();
    Ok(lines.filter_map(listed_library).collect())
}

/// Reads a line such as `libz.so.1 => /unpacked/usr/lib/libz.so.1 (0x00007f0000000000)`.
fn listed_library(line: &str) -> Option<PathBuf> {
    let (_, rest) = line.split_once(" => ")?;
    rest.split_once(" (").map(|(path, _)| PathBuf::from(path))
}

fn copy_firmware(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    let read = || fs::read_dir(from)?.collect::<std::io::Result<Vec<_>>>();
    for file in read().with_context(|| format!("Cannot read {}", from.display()))? {
        let path = file.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        // The other formats are firmware of other machines than x86.
        if matches!(extension, Some("bin" | "rom")) && path.is_file() {
            copy(&path, &to.join(file.file_name()))?;
        }
    }
    Ok(())
}

/// Folders of modules that a guest may have a use for, beside those that the lab loads: the others
/// drive hardware that it does not have.
const MODULE_FOLDERS: [&str; 31] = [
    "arch",
    "block",
    "crypto",
    "drivers/acpi",
    "drivers/base",
    "drivers/block",
    "drivers/char",
    "drivers/cxl",
    "drivers/dax",
    "drivers/dca",
    "drivers/dma",
    "drivers/edac",
    "drivers/firmware",
    "drivers/iommu",
    "drivers/md",
    "drivers/misc",
    "drivers/net/ethernet/intel/e1000",
    "drivers/net/ethernet/intel/e1000e",
    "drivers/nvdimm",
    "drivers/nvme",
    "drivers/pci",
    "drivers/ras",
    "drivers/uio",
    "drivers/vfio",
    "drivers/vhost",
    "drivers/virt",
    "drivers/virtio",
    "fs",
    "lib",
    "mm",
    "net",
];
/// The same, without the folders in them.
const FLAT_MODULE_FOLDERS: [&str; 2] = ["drivers/net", "drivers/scsi"];

/// Copies the kernel image, its configuration and modules: those the lab's guest loads
/// decompressed, others that a user may ask for as they are. Returns the release.
pub(super) fn kernel(root: &Path, folder: &Path) -> Result<String> {
    let image = kernel_image(root)?;
    let release = kernel::image_release(&image)?;
    let source = ["usr/lib/modules", "lib/modules"]
        .map(|modules| root.join(modules).join(&release))
        .into_iter()
        .find(|modules| modules.exists())
        .with_context(|| format!("The package has no modules for Linux {release}"))?;
    let loaded = Kernel::load(&image, Some(&source), &[])?;
    let modules = folder.join(MODULES);
    fs::create_dir_all(&modules)?;
    for Module { name, content } in loaded.modules() {
        fs::write(modules.join(format!("{name}.ko")), content)?;
    }
    let all = ModuleFolder::open(&source)?;
    for (name, file) in all.files() {
        let is_copied = loaded.modules().any(|module| module.name == name);
        if !is_copied && is_for_guests(&source.join("kernel"), file) {
            let file_name = file.file_name().context("A module has no name")?;
            copy(file, &modules.join(file_name))?;
        }
    }
    fs::write(modules.join("modules.builtin"), all.builtin_list())?;
    copy(&image, &folder.join(KERNEL))?;
    copy(
        &kernel_config(root, &source, &release)?,
        &folder.join(CONFIG),
    )?;
    Ok(release)
}

fn is_for_guests(modules: &Path, file: &Path) -> bool {
    let parent = file.strip_prefix(modules).ok().and_then(Path::parent);
    parent.is_some_and(|parent| {
        MODULE_FOLDERS
            .iter()
            .any(|folder| parent.starts_with(folder))
            || FLAT_MODULE_FOLDERS
                .iter()
                .any(|folder| parent == Path::new(folder))
    })
}

/// Beside the modules in newer packages, in `boot` in older ones.
fn kernel_config(root: &Path, modules: &Path, release: &str) -> Result<PathBuf> {
    [
        modules.join("config"),
        root.join("boot").join(format!("config-{release}")),
    ]
    .into_iter()
    .find(|file| file.is_file())
    .with_context(|| format!("The package has no configuration of Linux {release}"))
}

/// Beside the modules in newer packages, in `boot` in older ones.
fn kernel_image(root: &Path) -> Result<PathBuf> {
    let releases = list(&root.join("usr/lib/modules"));
    let beside_modules = releases.into_iter().map(|release| release.join(KERNEL));
    let in_boot = list(&root.join("boot")).into_iter().filter(|file| {
        let name = file.file_name().unwrap_or_default();
        name.to_string_lossy().starts_with("vmlinuz-")
    });
    match beside_modules.chain(in_boot).find(|file| file.is_file()) {
        Some(image) => Ok(image),
        None => bail!("The kernel package has no kernel image"),
    }
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// Copies busybox.
pub(super) fn busybox(root: &Path, folder: &Path) -> Result<()> {
    let program = ["usr/bin/busybox", "bin/busybox"]
        .map(|path| root.join(path))
        .into_iter()
        .find(|program| program.is_file())
        .context("The package has no busybox")?;
    ensure!(
        elf::is_static(&fs::read(&program)?)?,
        "The package's busybox is not statically linked"
    );
    copy(&program, &folder.join(BUSYBOX))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to)
        .map(|_| ())
        .with_context(|| format!("Cannot copy {} to {}", from.display(), to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_the_loaders_list() {
        let line = "\tlibz.so.1 => /r/usr/lib/libz.so.1 (0x00007f6f0a000000)";
        assert_eq!(listed_library(line), Some("/r/usr/lib/libz.so.1".into()));
        assert_eq!(
            listed_library("\tlinux-vdso.so.1 (0x00007ffd3a5f2000)"),
            None
        );
        assert_eq!(listed_library("\tlibz.so.1 => not found"), None);
    }

    #[test]
    fn modules_of_hardware_that_a_guest_lacks_are_left_out() {
        let is_kept = |file: &str| {
            let modules = Path::new("/unpacked/kernel");
            is_for_guests(modules, &modules.join(file))
        };
        assert!(is_kept("drivers/net/virtio_net.ko.xz"));
        assert!(is_kept("drivers/vfio/pci/vfio-pci-core.ko.xz"));
        assert!(is_kept("mm/hwpoison-inject.ko.xz"));
        assert!(!is_kept("drivers/net/wireless/ath/ath.ko.xz"));
        assert!(!is_kept("drivers/gpu/drm/drm.ko.xz"));
    }

    #[test]
    fn the_image_is_found_in_both_layouts() {
        let root = tempfile::tempdir().unwrap();
        let image = |path: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            path
        };
        assert!(kernel_image(root.path()).is_err());
        image("boot/config-6.12");
        let old = image("boot/vmlinuz-6.12");
        assert_eq!(kernel_image(root.path()).unwrap(), old);
        let new = image("usr/lib/modules/7.3/vmlinuz");
        assert_eq!(kernel_image(root.path()).unwrap(), new);
    }
}
