// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Whose memory was hot: the processes, and what they map there.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::ops::Range;
use std::path::Path;

use chmu_machine::memory::owners::{Owners, ProcessesError};
use chmu_machine::words;
use chmu_promotion::report::{Place, Report};
use serde::Serialize;

/// More frames than this are not remembered.
const FRAMES_MAX: usize = 1 << 20;
/// A row for each of so many owners at most; the others share one.
const ROWS_MAX: usize = 32;
/// What an area is called that is no file's.
const ANONYMOUS: &str = "anonymous memory";

/// Frames that were hot, with what was counted.
#[derive(Debug, Default)]
pub(super) struct HotFrames {
    counts: BTreeMap<u64, u64>,
    forgotten: u64,
}

/// Whose the hot frames are.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct HotOwners {
    /// By what was counted, most first. A page that several share is the first one's.
    owners: Vec<HotOwner>,
    /// Frames of owners that have no row.
    other_frames: u64,
    /// Frames that no process maps: page cache that is only read and written, or the kernel's memory.
    unmapped_frames: u64,
    /// Frames that were not looked for, as there were too many.
    forgotten_frames: u64,
}

/// A process and a file or area of its memory.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct HotOwner {
    process_id: u32,
    program: String,
    /// The file, or what the kernel calls the area.
    mapping: String,
    frames: u64,
    count: u64,
}

impl HotFrames {
    /// Remembers what a report says of frames. A unit's count goes to the first page that it means.
    pub(super) fn add(&mut self, report: &Report) {
        for extent in &report.extents {
            let Place::Frames { start, pages } = extent.place else {
                continue;
            };
            let mut count = extent.weight.value;
            for frame in (start.0..).take(usize::try_from(pages).unwrap_or(usize::MAX)) {
                if self.counts.len() >= FRAMES_MAX && !self.counts.contains_key(&frame) {
                    self.forgotten = self.forgotten.saturating_add(1);
                    continue;
                }
                let known = self.counts.entry(frame).or_default();
                *known = known.saturating_add(std::mem::take(&mut count));
            }
        }
    }

    /// Looks in all processes of the machine whose frames they are now; `procfs` is `/proc` but for
    /// tests.
    pub(super) fn owners(&self, procfs: &Path) -> Result<HotOwners, ProcessesError> {
        let frames: Vec<_> = self
            .counts
            .keys()
            .map(|frame| *frame..frame.saturating_add(1))
            .collect();
        let owners = Owners::EveryProcess {
            procfs: procfs.to_owned(),
        };
        let found = owners.find(&frames)?;
        for error in &found.skipped {
            log::debug!("{}", words::describe(error));
        }
        let mut areas: BTreeMap<u32, Areas> = BTreeMap::new();
        let mut rows: BTreeMap<(u32, String), HotOwner> = BTreeMap::new();
        let counts: Vec<_> = self.counts.values().copied().collect();
        for (place, owner) in &found.owners {
            let process_id = owner.process_id;
            let areas = areas
                .entry(process_id)
                .or_insert_with(|| Areas::read(procfs, process_id));
            let mapping = areas.name_of(owner.address);
            let row = rows
                .entry((process_id, mapping.to_owned()))
                .or_insert_with(|| HotOwner {
                    process_id,
                    program: areas.program.clone(),
                    mapping: mapping.to_owned(),
                    frames: 0,
                    count: 0,
                });
            row.frames += 1;
            row.count = row
                .count
                .saturating_add(counts.get(*place).copied().unwrap_or(0));
        }
        let mut owners: Vec<_> = rows.into_values().collect();
        owners.sort_by_key(|row| (std::cmp::Reverse(row.count), row.process_id));
        let others = owners.split_off(owners.len().min(ROWS_MAX));
        Ok(HotOwners {
            owners,
            other_frames: others.iter().map(|row| row.frames).sum(),
            unmapped_frames: (frames.len() - found.owners.len()) as u64,
            forgotten_frames: self.forgotten,
        })
    }
}

/// What a process calls itself, and its areas.
struct Areas {
    program: String,
    areas: Vec<(Range<u64>, String)>,
}

impl Areas {
    /// A process that has ended has no name and no areas.
    fn read(procfs: &Path, process_id: u32) -> Areas {
        let folder = procfs.join(process_id.to_string());
        let text = |name| fs::read_to_string(folder.join(name)).unwrap_or_default();
        Areas {
            program: text("comm").trim_end().to_owned(),
            areas: text("maps").lines().filter_map(area).collect(),
        }
    }

    fn name_of(&self, address: u64) -> &str {
        let found = self
            .areas
            .iter()
            .find(|(range, _)| range.contains(&address));
        found.map_or(ANONYMOUS, |(_, name)| name)
    }
}

/// `start-end permissions offset device inode name`, as `/proc/PID/maps` has it.
fn area(line: &str) -> Option<(Range<u64>, String)> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let range = u64::from_str_radix(start, 16).ok()?..u64::from_str_radix(end, 16).ok()?;
    // The name may have blanks in it.
    let name = rest.splitn(5, ' ').nth(4).unwrap_or_default().trim();
    let name = if name.is_empty() { ANONYMOUS } else { name };
    Some((range, name.to_owned()))
}

impl fmt::Display for HotOwners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines: Vec<_> = self
            .owners
            .iter()
            .map(|row| {
                format!(
                    "{:>8} {} {}: {} in {}",
                    row.process_id,
                    words::printable(&row.program),
                    words::printable(&row.mapping),
                    words::count(row.count, "access", "accesses"),
                    words::count(row.frames, "page", "pages")
                )
            })
            .collect();
        for (frames, what) in [
            (self.other_frames, "of other owners"),
            (
                self.unmapped_frames,
                "mapped by no process, such as page cache",
            ),
            (self.forgotten_frames, "too many to look for"),
        ] {
            if frames > 0 {
                lines.push(format!(
                    "         {} {what}",
                    words::count(frames, "page", "pages")
                ));
            }
        }
        match lines.is_empty() {
            true => f.write_str("No page was hot"),
            false => f.write_str(&lines.join("\n")),
        }
    }
}

#[cfg(test)]
mod tests {
    use chmu_promotion::report::{HotExtent, Weight};
    use chmu_spec::address::Pfn;

    use super::*;

    fn report(frames: &[(u64, u64)]) -> Report {
        let extent = |(frame, count): &(u64, u64)| HotExtent {
            place: Place::Frames {
                start: Pfn(*frame),
                pages: 1,
            },
            weight: Weight::accesses(*count),
            sharing_pages: 1,
            unit: None,
        };
        Report {
            extents: frames.iter().map(extent).collect(),
            ..Report::default()
        }
    }

    /// A process with a page of a file in frame 10 and an anonymous one in frame 11.
    fn process(procfs: &Path) {
        let folder = procfs.join("30");
        fs::create_dir_all(&folder).unwrap();
        let words = [0, 0, 1 << 63 | 10_u64, 1 << 63 | 11];
        fs::write(
            folder.join("pagemap"),
            words.map(u64::to_ne_bytes).as_flattened(),
        )
        .unwrap();
        let areas = "2000-3000 r--p 0 0:0 5                          /data/a file\n3000-4000 rw-p 0 0:0 0 \n";
        fs::write(folder.join("maps"), areas).unwrap();
        let smaps: String = areas
            .lines()
            .map(|line| format!("{line}\nRss:  4 kB\n"))
            .collect();
        fs::write(folder.join("smaps"), smaps).unwrap();
        fs::write(folder.join("comm"), "server\n").unwrap();
    }

    #[test]
    fn hot_frames_are_told_by_process_and_mapping() {
        let procfs = tempfile::tempdir().unwrap();
        process(procfs.path());
        let mut hot = HotFrames::default();
        hot.add(&report(&[(10, 5), (11, 90), (77, 3)]));
        hot.add(&report(&[(10, 5)]));
        let owners = hot.owners(procfs.path()).unwrap();
        assert_eq!(
            owners.to_string(),
            "      30 server anonymous memory: 90 accesses in 1 page\n      \
             30 server /data/a file: 10 accesses in 1 page\n         \
             1 page mapped by no process, such as page cache"
        );
    }

    #[test]
    fn names_that_processes_choose_reach_no_terminal_as_they_are() {
        let procfs = tempfile::tempdir().unwrap();
        process(procfs.path());
        fs::write(procfs.path().join("30/comm"), "a\x1b[2Jb\u{9b}c\n").unwrap();
        let mut hot = HotFrames::default();
        hot.add(&report(&[(11, 90)]));
        let owners = hot.owners(procfs.path()).unwrap();
        assert_eq!(
            owners.to_string(),
            "      30 a\\u{1b}[2Jb\\u{9b}c anonymous memory: 90 accesses in 1 page"
        );
    }

    #[test]
    fn without_hot_frames_there_is_nobody() {
        let procfs = tempfile::tempdir().unwrap();
        let owners = HotFrames::default().owners(procfs.path()).unwrap();
        assert_eq!(owners.to_string(), "No page was hot");
        assert!(HotFrames::default().owners(Path::new("/nowhere")).is_err());
    }
}
