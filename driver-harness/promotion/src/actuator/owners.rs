// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which process maps a frame, and where: what `move_pages(2)` needs to know.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;

use chmu_machine::memory::{PAGE_BYTES, page_map};
use chmu_spec::address::Pfn;

use super::ActuatorError;

/// Pages whose frames are read at a time.
const PIECE_PAGES: u64 = 1 << 16;

/// A page as its owner sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnedPage {
    /// The process.
    pub process_id: u32,
    /// The page's address in it.
    pub address: u64,
}

/// Where to look for owners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owners {
    /// In one area of one process.
    Area {
        /// The process.
        process_id: u32,
        /// Its addresses.
        addresses: Range<u64>,
    },
    /// In every process of the machine: slow, and frames move meanwhile.
    EveryProcess,
}

impl Owners {
    /// One owner of each frame; frames without one are left out.
    pub fn find(&self, frames: &[Pfn]) -> Result<BTreeMap<Pfn, OwnedPage>, ActuatorError> {
        let mut search = Search {
            wanted: frames.iter().copied().collect(),
            found: BTreeMap::new(),
        };
        match self {
            Owners::Area {
                process_id,
                addresses,
            } => search.look_at(*process_id, addresses)?,
            Owners::EveryProcess => search.look_everywhere()?,
        }
        Ok(search.found)
    }
}

struct Search {
    wanted: BTreeSet<Pfn>,
    found: BTreeMap<Pfn, OwnedPage>,
}

impl Search {
    fn look_everywhere(&mut self) -> Result<(), ActuatorError> {
        let entries = fs::read_dir("/proc").map_err(ActuatorError::Processes)?;
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(process_id) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // A process may end at any time: it owns nothing then.
            let areas = page_map::areas(process_id).unwrap_or_default();
            let looked = areas
                .iter()
                .try_for_each(|area| self.look_at(process_id, area));
            if let Err(error) = looked {
                log::debug!("Skipping process {process_id}: {error}");
            }
        }
        Ok(())
    }

    fn look_at(&mut self, process_id: u32, addresses: &Range<u64>) -> Result<(), ActuatorError> {
        let mut address = addresses.start;
        while address < addresses.end && self.found.len() < self.wanted.len() {
            let left = (addresses.end - address).div_ceil(PAGE_BYTES);
            let mapped = page_map::read(process_id, address, left.min(PIECE_PAGES))?;
            for frame in mapped.frames {
                if let Some(frame) = frame.filter(|frame| self.wanted.contains(frame)) {
                    let page = OwnedPage {
                        process_id,
                        address,
                    };
                    self.found.entry(frame).or_insert(page);
                }
                address += PAGE_BYTES;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chmu_machine::memory::Buffer;
    use chmu_machine::memory::page_map::PageMapError;

    use super::*;

    #[test]
    fn the_owner_of_a_page_is_found_by_its_frame() {
        let mut buffer = Buffer::map(3).unwrap();
        for page in 0..3 {
            buffer.write(page, 0, page);
        }
        let process_id = std::process::id();
        let frames = match page_map::read(process_id, buffer.address(), 3) {
            Ok(mapped) => mapped.frames,
            // Only root is told.
            Err(PageMapError::Hidden { .. }) => return,
            Err(error) => panic!("{error}"),
        };
        let frame = frames[1].unwrap();
        let area = Owners::Area {
            process_id,
            addresses: buffer.address()..buffer.address() + 3 * PAGE_BYTES,
        };
        let page = OwnedPage {
            process_id,
            address: buffer.address() + PAGE_BYTES,
        };
        for owners in [area, Owners::EveryProcess] {
            let found = owners.find(&[frame, Pfn(u64::MAX)]).unwrap();
            assert_eq!(found, BTreeMap::from([(frame, page)]), "{owners:?}");
        }
    }
}
