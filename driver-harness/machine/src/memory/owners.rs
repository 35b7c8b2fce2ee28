// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which process maps a frame, and where: what `move_pages(2)` needs to know.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use chmu_spec::address::Pfn;

use super::page_map::{PageMap, PageMapError};

/// A page as its owner sees it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Owner {
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
    /// In every process of the machine: it costs by all pages that are mapped.
    EveryProcess {
        /// `/proc` but for tests.
        procfs: PathBuf,
    },
}

/// What a search found.
#[derive(Debug, Default)]
pub struct Found {
    /// One owner of each folio, by the number of its place in what was searched for.
    pub owners: BTreeMap<usize, Owner>,
    /// Processes that could not be looked at: they have ended, or refuse.
    pub skipped: Vec<PageMapError>,
}

/// The processes of the machine cannot be listed.
#[derive(Debug, thiserror::Error)]
#[error("Cannot list the machine's processes in {}", path.display())]
pub struct ProcessesError {
    path: PathBuf,
    source: io::Error,
}

impl Owners {
    /// In every process of this machine.
    pub fn every_process() -> Owners {
        Owners::EveryProcess {
            procfs: PathBuf::from("/proc"),
        }
    }

    /// One owner of each of `folios`, which are runs of frames that do not overlap. A process that
    /// ends meanwhile or refuses costs only itself.
    pub fn find(&self, folios: &[Range<u64>]) -> Result<Found, ProcessesError> {
        let mut search = Search::new(folios);
        match self {
            Owners::Area {
                process_id,
                addresses,
            } => search.look_at(Path::new("/proc"), *process_id, addresses),
            Owners::EveryProcess { procfs } => {
                for process_id in processes(procfs)? {
                    if search.is_over() {
                        break;
                    }
                    search.look_at(procfs, process_id, &(0..u64::MAX));
                }
            }
        }
        Ok(search.found)
    }
}

/// The numbers of all processes, ascending.
fn processes(procfs: &Path) -> Result<Vec<u32>, ProcessesError> {
    let entries = fs::read_dir(procfs).map_err(|source| ProcessesError {
        path: procfs.to_owned(),
        source,
    })?;
    let names = entries.flatten().map(|entry| entry.file_name());
    let mut processes: Vec<_> = names
        .filter_map(|name| name.to_str()?.parse().ok())
        .collect();
    processes.sort_unstable();
    Ok(processes)
}

struct Search {
    /// Start and end of each folio's frames, and its place, by start.
    folios: Vec<(Range<u64>, usize)>,
    found: Found,
}

impl Search {
    fn new(folios: &[Range<u64>]) -> Search {
        let mut folios: Vec<_> = folios.iter().cloned().zip(0..).collect();
        folios.sort_unstable_by_key(|(frames, _)| frames.start);
        Search {
            folios,
            found: Found::default(),
        }
    }

    fn is_over(&self) -> bool {
        self.found.owners.len() >= self.folios.len()
    }

    fn look_at(&mut self, procfs: &Path, process_id: u32, addresses: &Range<u64>) {
        let looked = PageMap::open_below(procfs, process_id).and_then(|map| {
            map.each_present(addresses.clone(), |address, frame| {
                self.see(process_id, address, frame);
                !self.is_over()
            })
        });
        self.found.skipped.extend(looked.err());
    }

    fn see(&mut self, process_id: u32, address: u64, frame: Pfn) {
        let after = self
            .folios
            .partition_point(|(frames, _)| frames.start <= frame.0);
        let last = after.checked_sub(1).and_then(|last| self.folios.get(last));
        if let Some((frames, place)) = last
            && frames.contains(&frame.0)
        {
            let owner = Owner {
                process_id,
                address,
            };
            self.found.owners.entry(*place).or_insert(owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{Buffer, PAGE_BYTES, page_map};

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
        let frame = frames[1].unwrap().0;
        let area = Owners::Area {
            process_id,
            addresses: buffer.address()..buffer.address() + 3 * PAGE_BYTES,
        };
        let owner = Owner {
            process_id,
            address: buffer.address() + PAGE_BYTES,
        };
        for owners in [area, Owners::every_process()] {
            let folios = [u64::MAX - 1..u64::MAX, frame..frame + 1];
            let found = owners.find(&folios).unwrap();
            assert_eq!(found.owners, BTreeMap::from([(1, owner)]), "{owners:?}");
        }
    }

    /// A process whose pages 2 and 3 lie in these frames.
    fn process(procfs: &Path, process_id: u32, frames: [u64; 2]) {
        let folder = procfs.join(process_id.to_string());
        fs::create_dir_all(&folder).unwrap();
        let words = [0, 0, 1 << 63 | frames[0], 1 << 63 | frames[1]];
        fs::write(
            folder.join("pagemap"),
            words.map(u64::to_ne_bytes).as_flattened(),
        )
        .unwrap();
        fs::write(folder.join("smaps"), "2000-4000 rw-p 0 0:0 0\nRss:  8 kB\n").unwrap();
    }

    #[test]
    fn a_process_that_refuses_costs_only_itself() {
        let procfs = tempfile::tempdir().unwrap();
        process(procfs.path(), 5, [10, 11]);
        process(procfs.path(), 30, [600, 20]);
        // One that has ended, one that hides its frames, and what is no process.
        fs::create_dir(procfs.path().join("6")).unwrap();
        process(procfs.path(), 7, [0, 0]);
        fs::create_dir(procfs.path().join("sys")).unwrap();
        let owners = Owners::EveryProcess {
            procfs: procfs.path().to_owned(),
        };
        // The second is a huge page of which only one page is mapped.
        let found = owners.find(&[20..21, 512..1024, 9..10, 99..100]).unwrap();
        let owner = |address| Owner {
            process_id: 30,
            address,
        };
        let expected = BTreeMap::from([(0, owner(0x3000)), (1, owner(0x2000))]);
        assert_eq!(found.owners, expected);
        let skipped: Vec<_> = found.skipped.iter().map(ToString::to_string).collect();
        assert_eq!(
            skipped,
            [
                "Cannot read where the pages of process 6 lie",
                "The kernel hides the frames of process 7; it needs CAP_SYS_ADMIN"
            ]
        );
    }

    #[test]
    fn a_machine_that_shows_no_processes_is_told() {
        let owners = Owners::EveryProcess {
            procfs: PathBuf::from("/nowhere"),
        };
        let message = owners.find(&[0..1, 2..3]).unwrap_err().to_string();
        assert_eq!(message, "Cannot list the machine's processes in /nowhere");
    }
}
