// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The guest in which packages are installed on a disk.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::machine::{
    Disk, DiskFormat, Keeping, MOUNTS_PLACE, Machine, MachineOptions, Mode, Mount, Software,
};
use crate::platform::{GuestFile, GuestPackages, PlatformOptions};
use crate::progress::Progress;
use crate::topology::Topology;

const SCRIPT: &str = include_str!("build.sh");
const SCRIPT_PLACE: &str = "/build";
/// Where the script looks for package files.
const PACKAGES_PLACE: &str = "/packages";

/// Starts guests that install packages.
#[derive(Debug)]
pub(super) struct Builder<'a> {
    software: Software,
    progress: &'a Progress,
}

impl<'a> Builder<'a> {
    /// Makes the guest's image, with QEMU and the kernel that a user chose.
    pub(super) fn new(options: &PlatformOptions, progress: &'a Progress) -> Result<Self> {
        let mounts = format!("{}\tro\t{PACKAGES_PLACE}\n", Mount::tag(0));
        let options = PlatformOptions {
            guest_packages: GuestPackages {
                tools: false,
                packages: vec!["e2fsprogs".to_owned()],
            },
            guest_files: vec![
                GuestFile::program(SCRIPT_PLACE, SCRIPT.into()),
                GuestFile::program(MOUNTS_PLACE, mounts.into_bytes()),
            ],
            ..options.clone()
        };
        let (_, mut software) = Software::obtain(&options, None, progress)?;
        software.plugin = None;
        Ok(Self { software, progress })
    }

    /// Installs the packages of a folder on a disk; returns how many bytes of it are used then.
    pub(super) fn install(&self, disk: &Path, packages: &Path, is_new: bool) -> Result<u64> {
        let mount = Mount {
            folder: packages.to_owned(),
            place: PACKAGES_PLACE.to_owned(),
            is_read_only: true,
        };
        let options = MachineOptions {
            mode: Mode::None,
            disks: vec![Disk {
                file: disk.to_owned(),
                format: DiskFormat::Raw,
                is_read_only: false,
                keeping: Keeping::UntilCrash,
            }],
            shares: vec![mount.share(0)],
            ..MachineOptions::default()
        };
        let mut machine = Machine::start(
            &Topology::default(),
            &options,
            &self.software,
            self.progress,
        )?;
        self.progress.step("Installing the packages in a guest");
        let verb = if is_new { "new" } else { "more" };
        let (mut printed, mut said) = (String::new(), String::new());
        let ended = machine.stream(&[SCRIPT_PLACE, verb], None, |stdout, stderr| {
            printed.push_str(stdout);
            said.push_str(stderr);
            Ok(())
        })?;
        ensure!(
            ended.exit_code == 0,
            "The packages cannot be installed: {}",
            said.trim()
        );
        machine.shut_down()?;
        let bytes = printed.trim();
        bytes
            .parse()
            .with_context(|| format!("{bytes:?} is no size of a file system"))
    }
}
