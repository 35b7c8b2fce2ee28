// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What promotion asks the machine.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use chmu_machine::memory::numa;
use chmu_machine::memory::page_flags::{PageFlags, PageFlagsError, PageFlagsFile};
use chmu_machine::sysfs_file::SysfsError;
use chmu_machine::topology::Topology;
use chmu_machine::watermarks::Headroom;
use chmu_spec::address::Pfn;

/// The machine whose pages are promoted.
pub trait Machine: fmt::Debug {
    /// Its nodes and tiers now.
    fn topology(&self) -> Result<Topology, SysfsError>;

    /// What its nodes can take now.
    fn headroom(&self) -> Result<Headroom, SysfsError>;

    /// What a frame holds now.
    fn flags(&self, frame: Pfn) -> Result<PageFlags, PageFlagsError>;

    /// Puts pages that processors keep back onto the reclaim lists.
    fn drain_reclaim_batches(&self) -> io::Result<()>;
}

/// The machine that this program runs on.
#[derive(Debug)]
pub struct ThisMachine {
    flags: PageFlagsFile,
    sysfs: PathBuf,
}

impl ThisMachine {
    /// Needs root.
    pub fn open() -> Result<ThisMachine, PageFlagsError> {
        Ok(ThisMachine {
            flags: PageFlagsFile::open(Path::new("/proc/kpageflags"))?,
            sysfs: PathBuf::from("/sys"),
        })
    }
}

impl Machine for ThisMachine {
    fn topology(&self) -> Result<Topology, SysfsError> {
        Topology::read(&self.sysfs)
    }

    fn headroom(&self) -> Result<Headroom, SysfsError> {
        Headroom::read(Path::new("/proc/zoneinfo"))
    }

    fn flags(&self, frame: Pfn) -> Result<PageFlags, PageFlagsError> {
        self.flags.read(frame)
    }

    fn drain_reclaim_batches(&self) -> io::Result<()> {
        numa::drain_reclaim_batches()
    }
}
