// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The machine that this program runs on.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use chmu_machine::memory::control_groups::ControlGroupsFile;
use chmu_machine::memory::numa;
use chmu_machine::memory::owners::{Owner, Owners};
use chmu_machine::memory::page_flags::{PageFlags, PageFlagsFile};
use chmu_machine::memory::page_map::{PageMap, PageMapError};
use chmu_machine::node::NodeId;
use chmu_machine::sysfs_file;
use chmu_machine::topology::{Outline, Topology};
use chmu_machine::watermarks::Headroom;
use chmu_spec::address::Pfn;

use super::{Identity, Machine, MachineError, PageKind};
use crate::batch::Folio;

/// Counters of a node's `vmstat` that count pages demoted from it (include/linux/mmzone.h).
const DEMOTION_COUNTERS: &str = "pgdemote_";

/// Whether the kernel demotes pages (mm/memory-tiers.c).
const DEMOTION: &str = "kernel/mm/numa/demotion_enabled";

/// The machine that this program runs on, by the files of its kernel.
#[derive(Debug)]
pub struct ThisMachine {
    flags: PageFlagsFile,
    /// None where the kernel has no memory controller.
    control_groups: Option<ControlGroupsFile>,
    sysfs: PathBuf,
    /// Owners are told also where the kernel demotes nothing.
    finds_owners: bool,
    /// The topology that was read last.
    known: Mutex<Option<Known>>,
}

/// To read a topology takes some two hundred system calls, and nodes come and go rarely.
#[derive(Debug)]
struct Known {
    outline: Outline,
    topology: Topology,
}

impl ThisMachine {
    /// Needs root.
    pub fn open() -> Result<ThisMachine, MachineError> {
        Ok(ThisMachine {
            flags: PageFlagsFile::open(Path::new("/proc/kpageflags"))?,
            control_groups: ControlGroupsFile::open(Path::new("/proc/kpagecgroup")).ok(),
            sysfs: PathBuf::from("/sys"),
            finds_owners: false,
            known: Mutex::new(None),
        })
    }

    /// Tells who maps folios from now on also where the kernel demotes nothing, as somebody else does.
    pub fn find_owners(&mut self) {
        self.finds_owners = true;
    }
}

impl Machine for ThisMachine {
    fn topology(&self) -> Result<Topology, MachineError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the topology: what changes meanwhile is noticed the next time.
        let outline = Outline::read(&self.sysfs);
        match (&*known, &outline) {
            (Some(known), Ok(outline)) if known.outline == *outline => {
                return Ok(known.topology.clone());
            }
            _ => {}
        }
        let topology = Topology::read(&self.sysfs)?;
        *known = outline.ok().map(|outline| Known {
            outline,
            topology: topology.clone(),
        });
        Ok(topology)
    }

    fn headroom(&self) -> Result<Headroom, MachineError> {
        Ok(Headroom::read(Path::new("/proc/zoneinfo"))?)
    }

    fn flags(&self, frames: Range<u64>) -> Result<Vec<PageFlags>, MachineError> {
        Ok(self.flags.read_range(frames)?)
    }

    fn resolve(
        &self,
        process_id: u32,
        start: u64,
        pages: u64,
    ) -> Result<Vec<Option<Pfn>>, MachineError> {
        let frames = PageMap::open(process_id).and_then(|map| map.frames(start, pages));
        none_for_all(process_id, frames, usize::try_from(pages).unwrap_or(0))
    }

    fn resolve_each(
        &self,
        process_id: u32,
        addresses: &[u64],
    ) -> Result<Vec<Option<Pfn>>, MachineError> {
        let frames = PageMap::open(process_id).and_then(|map| {
            let one = |&address| Ok(map.frames(address, 1)?.pop().flatten());
            addresses.iter().map(one).collect()
        });
        none_for_all(process_id, frames, addresses.len())
    }

    fn drain_reclaim_batches(&self) -> Result<(), MachineError> {
        numa::drain_reclaim_batches().map_err(MachineError::Drain)
    }

    fn identities(&self, folios: &[Folio]) -> Result<Vec<Option<Identity>>, MachineError> {
        let heads: Vec<_> = folios.iter().map(|folio| folio.head).collect();
        let flags = self.flags.read_each(&heads)?;
        let groups = self.control_groups.as_ref();
        let groups = groups.map(|groups| groups.read_each(&heads)).transpose();
        let groups = groups.unwrap_or_else(|error| {
            log::debug!("The control groups of pages cannot be read: {error}");
            None
        });
        let groups = groups.unwrap_or_else(|| vec![None; heads.len()]);
        let identity = |(flags, control_group)| Identity {
            kind: PageKind::of(flags),
            control_group,
            owner: None,
        };
        Ok(flags
            .into_iter()
            .zip(groups)
            .map(identity)
            .map(Some)
            .collect())
    }

    fn owners(&self, folios: &[Folio]) -> Result<Vec<Option<Owner>>, MachineError> {
        let mut owners = vec![None; folios.len()];
        // Kernels without demotion have no such file.
        let is_on = sysfs_file::text(&self.sysfs.join(DEMOTION));
        let is_on = is_on.is_ok_and(|text| matches!(text.trim(), "true" | "1"));
        if !is_on && !self.finds_owners {
            return Ok(owners);
        }
        let frames: Vec<_> = folios
            .iter()
            .map(|folio| folio.head.0..folio.end().0)
            .collect();
        let found = Owners::every_process().find(&frames)?;
        for (place, owner) in found.owners {
            owners[place] = Some(owner);
        }
        Ok(owners)
    }

    fn demoted_pages(&self, node: NodeId) -> Result<Option<u64>, MachineError> {
        let path = self
            .sysfs
            .join(format!("devices/system/node/node{node}/vmstat"));
        let text = sysfs_file::text(&path)?;
        Ok(demoted_pages(&text))
    }
}

/// A process that has ended or refuses has no frames, and stops nobody else.
fn none_for_all(
    process_id: u32,
    frames: Result<Vec<Option<Pfn>>, PageMapError>,
    pages: usize,
) -> Result<Vec<Option<Pfn>>, MachineError> {
    match frames {
        Ok(frames) => Ok(frames),
        Err(error @ PageMapError::Hidden { .. }) => Err(error.into()),
        Err(error) => {
            log::debug!("Skipping process {process_id}: {error}");
            Ok(vec![None; pages])
        }
    }
}

/// The sum of a node's demotion counters; none where it has none.
fn demoted_pages(vmstat: &str) -> Option<u64> {
    let counters = vmstat.lines().filter_map(|line| {
        let (name, count) = line.split_once(' ')?;
        let count: u64 = count.trim().parse().ok()?;
        name.starts_with(DEMOTION_COUNTERS).then_some(count)
    });
    counters.fold(None, |sum: Option<u64>, count| {
        Some(sum.unwrap_or(0).saturating_add(count))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ways_of_demotion_count() {
        let vmstat = "nr_free_pages 12\npgdemote_kswapd 5\npgdemote_direct 2\npgpromote_success 9\n\
             pgdemote_khugepaged 1\n";
        assert_eq!(demoted_pages(vmstat), Some(8));
        assert_eq!(demoted_pages("nr_free_pages 12\n"), None);
    }
}
