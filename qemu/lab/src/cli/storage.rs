// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The guest's files: what its programs see, and what of the host's they can reach.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Result, ensure};
use chmu_lab::machine::{Disk, MOUNTS_PLACE, MachineOptions, Mount, Root, Share};
use chmu_lab::platform::{GuestFile, PlatformOptions};
use chmu_lab::progress::Progress;
use chmu_lab::userland::{RootDisk, Userland};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Files")]
#[group(skip)]
pub(super) struct Options {
    /// Folder of the host's for the guest, by default at the same path; :ro keeps the guest from
    /// changing it.
    #[arg(long = "share", value_name = "FOLDER[:PLACE][:ro]")]
    mounts: Vec<Mount>,
    /// Disk image for the guest, raw or qcow2, which it changes; :ro keeps it from that. The first
    /// is /dev/vdb behind a disk that has the root file system, else /dev/vda.
    #[arg(long = "disk", value_name = "FILE[:ro]", value_parser = Disk::of_user)]
    disks: Vec<Disk>,
}

/// What a guest's programs see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RootFileSystem {
    /// A Debian userland of the lab's making.
    Debian,
    /// The lab's initramfs.
    Busybox,
    /// A disk image of the user's, whose changes are forgotten.
    Image(PathBuf),
    /// A folder of the user's, likewise.
    Folder(PathBuf),
}

impl FromStr for RootFileSystem {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "debian" => return Ok(Self::Debian),
            "busybox" => return Ok(Self::Busybox),
            _ => {}
        }
        let path = std::fs::canonicalize(text).map_err(|error| {
            format!(
                "{text} is neither debian nor busybox, nor a disk image or folder that can be \
                 read: {error}"
            )
        })?;
        Ok(match path.is_dir() {
            true => Self::Folder(path),
            false => Self::Image(path),
        })
    }
}

impl RootFileSystem {
    /// Whether the lab makes it, of packages.
    pub(super) fn takes_packages(&self) -> bool {
        matches!(self, Self::Debian | Self::Busybox)
    }
}

impl fmt::Display for RootFileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Debian => f.write_str("debian"),
            Self::Busybox => f.write_str("busybox"),
            Self::Image(path) | Self::Folder(path) => path.display().fmt(f),
        }
    }
}

impl Options {
    /// Looks at what the user gave, before anything is fetched or booted.
    pub(super) fn check(&self, root: &RootFileSystem, platform: &PlatformOptions) -> Result<()> {
        let packages = &platform.guest_packages.packages;
        ensure!(
            packages.is_empty() || root.takes_packages(),
            "--package installs into a userland of the lab's making; install {} in {root} yourself",
            packages.join(", ")
        );
        Ok(())
    }

    /// Whether it is left to the lab's own initramfs to show the guest these.
    pub(super) fn needs_init(&self, root: &RootFileSystem) -> bool {
        !self.mounts.is_empty() || *root != RootFileSystem::Busybox
    }

    /// Gives the guest its files. `further` shares come after the user's. The disk that is returned must
    /// outlive the guest.
    pub(super) fn apply(
        &self,
        root: &RootFileSystem,
        further: &[Mount],
        platform: &mut PlatformOptions,
        options: &mut MachineOptions,
        progress: &Progress,
    ) -> Result<Option<RootDisk>> {
        let mut disk = None;
        match root {
            RootFileSystem::Busybox => {}
            RootFileSystem::Debian => {
                let names = std::mem::take(&mut platform.guest_packages.packages);
                let copy = Userland::new(&names)?.obtain(platform, progress)?;
                options.root = Root::GrowingDisk;
                options.disks.push(copy.disk());
                disk = Some(copy);
            }
            RootFileSystem::Image(file) => {
                let text = file.to_string_lossy();
                let image = Disk::of_user(&text).map_err(anyhow::Error::msg)?;
                options.root = Root::Disk;
                options.disks.push(image.forgetting());
            }
            RootFileSystem::Folder(folder) => {
                options.root = Root::Share;
                options.shares.push(Share {
                    tag: Mount::tag(0),
                    folder: folder.clone(),
                    is_read_only: true,
                });
            }
        }
        options.disks.extend(self.disks.iter().cloned());
        let mounts: Vec<_> = self.mounts.iter().chain(further).cloned().collect();
        let first = options.shares.len();
        if !mounts.is_empty() {
            let list = Mount::list(&mounts, first);
            let list = GuestFile::program(MOUNTS_PLACE, list.into_bytes());
            platform.guest_files.push(list);
        }
        let shares = mounts.iter().zip(first..);
        options
            .shares
            .extend(shares.map(|(mount, number)| mount.share(number)));
        Ok(disk)
    }
}
