// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Why the kernel refuses what a driver in user space asks for, and the way out.
//!
//! An error number names no cause: "Operation not permitted" is a locked down kernel, a container,
//! or a user without rights. The facts that tell them apart are files that everybody can read.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A cause and what helps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(Box<Words>);

/// Errors carry a refusal everywhere, so it is small.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Words {
    cause: String,
    way_out: String,
}

impl Refusal {
    /// The refusal of `cause`, where `way_out` helps.
    pub fn new(cause: impl Into<String>, way_out: impl Into<String>) -> Refusal {
        Refusal(Box::new(Words {
            cause: cause.into(),
            way_out: way_out.into(),
        }))
    }
}

impl Refusal {
    /// Why the kernel refuses, without the way out.
    pub fn cause(&self) -> &str {
        &self.0.cause
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Words { cause, way_out } = &*self.0;
        write!(f, "{cause}; {way_out}")
    }
}

/// Where the kernel shows facts about itself.
#[derive(Debug, Clone)]
pub struct Host {
    sysfs: PathBuf,
    procfs: PathBuf,
    devices: PathBuf,
}

/// A right of a process (`include/uapi/linux/capability.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    /// Reads and writes files of others.
    Override = 1,
    /// Reaches physical memory.
    RawIo = 17,
    /// Reads all of configuration space, and much else.
    Admin = 21,
}

impl Capability {
    fn name(self) -> &'static str {
        match self {
            Capability::Override => "CAP_DAC_OVERRIDE",
            Capability::RawIo => "CAP_SYS_RAWIO",
            Capability::Admin => "CAP_SYS_ADMIN",
        }
    }
}

impl Host {
    /// The machine that this program runs on.
    pub fn this() -> Host {
        Host::at(Path::new("/"))
    }

    /// A machine whose files lie below `root`.
    pub fn at(root: &Path) -> Host {
        Host {
            sysfs: root.join("sys"),
            procfs: root.join("proc"),
            devices: root.join("dev"),
        }
    }

    /// Where sysfs is.
    pub fn sysfs(&self) -> &Path {
        &self.sysfs
    }

    /// Where procfs is.
    pub fn procfs(&self) -> &Path {
        &self.procfs
    }

    /// Where device files are.
    pub fn devices(&self) -> &Path {
        &self.devices
    }

    /// How the kernel is locked down; none where it is not, or does not say.
    fn lockdown(&self) -> Option<String> {
        let modes = fs::read_to_string(self.sysfs.join("kernel/security/lockdown")).ok()?;
        let (_, active) = modes.split_once('[')?;
        let (mode, _) = active.split_once(']')?;
        (mode != "none").then(|| mode.to_owned())
    }

    /// A line of this process's status.
    fn status(&self, name: &str) -> Option<String> {
        let status = fs::read_to_string(self.procfs.join("self/status")).ok()?;
        let mut lines = status.lines();
        lines.find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()))
    }

    /// Whether this process runs as root; yes where that is unknown.
    fn is_root(&self) -> bool {
        let users = self.status("Uid:").unwrap_or_default();
        users
            .split_whitespace()
            .nth(1)
            .is_none_or(|user| user == "0")
    }

    /// Whether this process has a right; yes where that is unknown.
    fn has(&self, capability: Capability) -> bool {
        let rights = self.status("CapEff:").unwrap_or_default();
        u64::from_str_radix(&rights, 16).map_or(true, |rights| rights & 1 << capability as u8 != 0)
    }

    /// The refusal of a process that lacks a right; none where it has it.
    pub fn without_right(&self, capability: Capability) -> Option<Refusal> {
        let name = capability.name();
        match (self.is_root(), self.has(capability)) {
            (_, true) => None,
            (true, false) => Some(Refusal::new(
                format!("root has not the right {name} here, as in a container"),
                "run chmu outside of it, or start it with all rights (--privileged)",
            )),
            (false, false) => Some(Refusal::new(
                format!("this needs root, or the right {name}"),
                "run chmu as root",
            )),
        }
    }

    /// The refusal of a kernel that is locked down and so closes `what`; none where it is not.
    pub fn locked_down(&self, what: &str) -> Option<Refusal> {
        let mode = self.lockdown()?;
        Some(Refusal::new(
            format!(
                "the kernel is locked down for {mode}, as secure boot does, and so closes {what}"
            ),
            "bind vfio-pci, which stays open where there is an IOMMU, or switch secure boot off \
             and start the kernel without lockdown=",
        ))
    }

    /// Why a file of sysfs cannot be written.
    pub fn write_refusal(&self, errno: i32) -> Option<Refusal> {
        match errno {
            libc::EACCES | libc::EPERM => self.without_right(Capability::Override),
            libc::EROFS => Host::read_only(&io::Error::from_raw_os_error(errno)),
            _ => None,
        }
    }

    /// The refusal of a file system that cannot be written; none for other errors.
    pub fn read_only(error: &io::Error) -> Option<Refusal> {
        (error.kind() == io::ErrorKind::ReadOnlyFilesystem).then(|| {
            Refusal::new(
                "sysfs is mounted read-only, as in a container",
                "run chmu outside of it, or start it with --privileged",
            )
        })
    }

    /// The driver that a device, by its folder in sysfs, is bound to.
    pub fn driver_of(folder: &Path) -> Option<String> {
        let driver = fs::read_link(folder.join("driver")).ok()?;
        Some(driver.file_name()?.to_string_lossy().into_owned())
    }

    /// Whether sysfs has the folder of a PCI bus.
    pub fn has_pci(&self) -> bool {
        self.sysfs.join("bus/pci").exists()
    }
}

/// Why a folder shows no PCI function at all.
pub fn without_pci(sysfs: &Path) -> Option<Refusal> {
    if sysfs.join("bus/pci/devices").exists() {
        return None;
    }
    let shown = sysfs.display();
    Some(match sysfs.join("bus").exists() {
        true => Refusal::new(
            format!("{shown} shows no PCI bus"),
            "the machine has none, or its kernel lacks CONFIG_PCI",
        ),
        false => unmounted(sysfs),
    })
}

/// Why there are no memory nodes.
pub fn without_nodes(sysfs: &Path) -> Refusal {
    match sysfs.join("devices").exists() {
        true => Refusal::new(
            "the kernel knows no memory nodes",
            "build it with CONFIG_NUMA and CONFIG_ACPI_NUMA",
        ),
        false => unmounted(sysfs),
    }
}

/// The refusal of a machine that shows no sysfs at `sysfs`.
pub fn unmounted(sysfs: &Path) -> Refusal {
    let shown = sysfs.display();
    Refusal::new(
        format!("nothing is mounted at {shown}"),
        format!("mount -t sysfs sysfs {shown}; a container needs the host's"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_says(text: &str, parts: &[&str]) {
        for part in parts {
            assert!(text.contains(part), "{part:?} is missing in: {text}");
        }
    }

    #[test]
    fn a_machine_without_sysfs_or_pci_says_so() {
        let root = tempfile::tempdir().unwrap();
        let text = |path: &Path| without_pci(path).map(|refusal| refusal.to_string());
        assert_says(
            &text(root.path()).unwrap(),
            &["nothing is mounted at ", "mount -t sysfs", "container"],
        );
        fs::create_dir_all(root.path().join("bus/cpu")).unwrap();
        assert_says(&text(root.path()).unwrap(), &["no PCI bus", "CONFIG_PCI"]);
        fs::create_dir_all(root.path().join("bus/pci/devices")).unwrap();
        assert_eq!(text(root.path()), None);
    }
}
