// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Disks of the guest's, and folders of the host's in it.
//!
//! Linux names virtio disks in the order in which QEMU adds them. Folders are shared by 9p, which QEMU
//! serves itself; the files belong to the user who runs QEMU, whoever the guest's user is.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::qemu_options::{OptionList, option_value};

/// Where the guest's init looks for what to mount.
pub const MOUNTS_PLACE: &str = "/etc/chmu-mounts";
/// What QEMU's own disk images start with (QEMU's docs/interop/qcow2.rst).
const QCOW2_MAGIC: [u8; 4] = *b"QFI\xfb";

/// A disk of the guest's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The file with its content.
    pub file: PathBuf,
    /// How the content lies in the file.
    pub format: DiskFormat,
    /// Whether the guest may change it.
    pub is_read_only: bool,
    /// What becomes of what is written.
    pub keeping: Keeping,
}

/// What becomes of what a guest writes to a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// It is in the file, and safe once the guest has written it back.
    Safe,
    /// It is in the file, which nobody needs after a crash of the host.
    UntilCrash,
    /// It is forgotten when the guest ends.
    Forgotten,
}

/// How a disk's content lies in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFormat {
    /// Byte by byte.
    Raw,
    /// QEMU's own format.
    Qcow2,
}

/// A folder of the host's that the guest can mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// What the guest calls it when it mounts it; at most 31 bytes.
    pub tag: String,
    /// The folder.
    pub folder: PathBuf,
    /// Whether the guest may not change it.
    pub is_read_only: bool,
}

/// A folder of the host's at a place in the guest: `FOLDER`, `FOLDER:PLACE`, either with `:ro`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The host's folder.
    pub folder: PathBuf,
    /// The absolute path in the guest.
    pub place: String,
    /// Whether the guest may not change it.
    pub is_read_only: bool,
}

impl fmt::Display for DiskFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        })
    }
}

impl Disk {
    /// A user's file; its start says the format. `:ro` behind the name keeps the guest from changing it.
    ///
    /// # Errors
    /// A sentence when it cannot be read.
    pub fn of_user(text: &str) -> Result<Self, String> {
        let (name, is_read_only) = split_read_only(text);
        let file = std::path::absolute(name).map_err(|error| format!("{name}: {error}"))?;
        let mut start = Vec::new();
        File::open(&file)
            .and_then(|file| file.take(4).read_to_end(&mut start))
            .map_err(|error| format!("Cannot read the disk {name}: {error}"))?;
        let format = match start == QCOW2_MAGIC {
            true => DiskFormat::Qcow2,
            false => DiskFormat::Raw,
        };
        Ok(Self {
            file,
            format,
            is_read_only,
            keeping: Keeping::Safe,
        })
    }

    /// The same, with what the guest writes forgotten.
    #[must_use]
    pub fn forgetting(self) -> Self {
        let keeping = Keeping::Forgotten;
        Self { keeping, ..self }
    }
}

impl FromStr for Mount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, is_read_only) = split_read_only(text);
        let (folder, place) = match name.rsplit_once(':') {
            Some((folder, place)) if !Path::new(name).exists() => (folder, Some(place)),
            _ => (name, None),
        };
        let whole = std::fs::canonicalize(folder)
            .map_err(|error| format!("Cannot share {folder}: {error}"))?;
        if !whole.is_dir() {
            return Err(format!(
                "{folder} is no folder, and only folders are shared"
            ));
        }
        let place = match place {
            Some(place) => place.to_owned(),
            None => whole.to_string_lossy().into_owned(),
        };
        let is_plain = place.starts_with('/')
            && place.len() > 1
            && !place.contains(['\t', '\n'])
            && place.split('/').all(|step| step != "..");
        if !is_plain {
            return Err(format!(
                "{place} is no place for a folder in the guest; write FOLDER:/PLACE"
            ));
        }
        Ok(Self {
            folder: whole,
            place,
            is_read_only,
        })
    }
}

impl Mount {
    /// The share behind it, as the one of this number.
    pub fn share(&self, number: usize) -> Share {
        Share {
            tag: Self::tag(number),
            folder: self.folder.clone(),
            is_read_only: self.is_read_only,
        }
    }

    /// What the guest reads of these mounts, one to a line: tag, rw or ro, place. The first is the share
    /// of this number.
    pub fn list(mounts: &[Self], first: usize) -> String {
        let line = |(number, mount): (usize, &Self)| {
            let mode = if mount.is_read_only { "ro" } else { "rw" };
            format!("{}\t{mode}\t{}\n", Self::tag(number), mount.place)
        };
        (first..).zip(mounts).map(line).collect()
    }

    /// What the guest calls the share of this number.
    pub fn tag(number: usize) -> String {
        format!("share{number}")
    }
}

fn split_read_only(text: &str) -> (&str, bool) {
    match text.strip_suffix(":ro") {
        Some(name) if !Path::new(text).exists() => (name, true),
        _ => (text, false),
    }
}

pub(super) fn put_storage(list: &mut OptionList, disks: &[Disk], shares: &[Share]) {
    for (index, disk) in disks.iter().enumerate() {
        let file = option_value(&disk.file);
        let format = disk.format;
        let read_only = if disk.is_read_only {
            ",readonly=on"
        } else {
            ""
        };
        let keeping = match disk.keeping {
            Keeping::Safe => "",
            Keeping::UntilCrash => ",cache=unsafe",
            Keeping::Forgotten => ",snapshot=on",
        };
        list.put(
            "-drive",
            format!(
                "file={file},format={format},if=none,id=disk{index},discard=unmap{keeping}{read_only}"
            ),
        );
        list.put(
            "-device",
            format!("virtio-blk-pci,drive=disk{index},bus=pcie.0"),
        );
    }
    for (index, share) in shares.iter().enumerate() {
        let folder = option_value(&share.folder);
        let read_only = if share.is_read_only {
            ",readonly=on"
        } else {
            ""
        };
        list.put(
            "-fsdev",
            format!("local,id=folder{index},path={folder},security_model=none,multidevs=remap{read_only}"),
        );
        let tag = &share.tag;
        list.put(
            "-device",
            format!("virtio-9p-pci,fsdev=folder{index},mount_tag={tag},bus=pcie.0"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_read_from_its_words() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().canonicalize().unwrap();
        let name = name.to_str().unwrap();
        let mount: Mount = name.parse().unwrap();
        assert_eq!((mount.place.as_str(), mount.is_read_only), (name, false));
        let mount: Mount = format!("{name}:/src:ro").parse().unwrap();
        assert_eq!((mount.place.as_str(), mount.is_read_only), ("/src", true));
        assert_eq!(mount.share(3).tag, "share3");
        let list = Mount::list(&[mount], 1);
        assert_eq!(list, "share1\tro\t/src\n");
        for (text, sentence) in [
            ("/no/such".to_owned(), "Cannot share /no/such"),
            (format!("{name}:src"), "no place for a folder"),
            (format!("{name}:/"), "no place for a folder"),
            (format!("{name}:/a/../b"), "no place for a folder"),
            ("/proc/version".to_owned(), "only folders are shared"),
        ] {
            let error = text.parse::<Mount>().unwrap_err();
            assert!(error.contains(sentence), "{error}");
        }
    }

    #[test]
    fn the_start_of_a_disk_says_its_format() {
        let folder = tempfile::tempdir().unwrap();
        let disk = |name: &str, content: &[u8], suffix: &str| {
            let file = folder.path().join(name);
            std::fs::write(&file, content).unwrap();
            Disk::of_user(&format!("{}{suffix}", file.display())).unwrap()
        };
        assert_eq!(disk("raw", b"", "").format, DiskFormat::Raw);
        let read_only = disk("qcow2", b"QFI\xfb\0\0\0\x03", ":ro");
        assert_eq!(read_only.format, DiskFormat::Qcow2);
        assert!(read_only.is_read_only);
        let error = Disk::of_user("/no/such").unwrap_err();
        assert!(error.contains("Cannot read the disk /no/such"), "{error}");
    }
}
