// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which frame holds which page of a process: `/proc/PID/pagemap`
//! (Documentation/admin-guide/mm/pagemap.rst).

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use chmu_spec::address::Pfn;

use super::PAGE_BYTES;
use super::page_scan;

/// Bits 54:0 of an entry are the frame while bit 63, present, is set.
const FRAME_MASK: u64 = (1 << 55) - 1;
const PRESENT: u64 = 1 << 63;
/// Entries read at a time.
const PIECE_ENTRIES: u64 = 4096;
/// Present pages with fewer absent ones between them are read together.
const GAP_PAGES: u64 = 64;

/// Why frames stay unknown.
#[derive(Debug, thiserror::Error)]
pub enum PageMapError {
    /// The process is gone or belongs to somebody else.
    #[error("Cannot read where the pages of process {process_id} lie")]
    Read {
        /// The process.
        process_id: u32,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel hides frame numbers.
    #[error("The kernel hides the frames of process {process_id}; it needs CAP_SYS_ADMIN")]
    Hidden {
        /// The process.
        process_id: u32,
    },
}

/// An area of a process's address space and the frames of its pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappedPages {
    /// Address of the first page.
    pub address: u64,
    /// The frame of each page; `None` where none is present.
    pub frames: Vec<Option<Pfn>>,
}

/// The open page map of a process.
#[derive(Debug)]
pub struct PageMap {
    file: File,
    /// `/proc/PID`.
    folder: PathBuf,
    process_id: u32,
}

impl PageMap {
    /// Opens the page map of a process below `/proc`.
    pub fn open(process_id: u32) -> Result<PageMap, PageMapError> {
        PageMap::open_below(Path::new("/proc"), process_id)
    }

    /// The same below `procfs`, which is `/proc` but for tests.
    pub fn open_below(procfs: &Path, process_id: u32) -> Result<PageMap, PageMapError> {
        let folder = procfs.join(process_id.to_string());
        match File::open(folder.join("pagemap")) {
            Ok(file) => Ok(PageMap {
                file,
                folder,
                process_id,
            }),
            Err(source) => Err(PageMapError::Read { process_id, source }),
        }
    }

    /// The frame of each of `pages` pages from `address` on; `None` where none is present, and past
    /// the end of what the kernel shows.
    pub fn frames(&self, address: u64, pages: u64) -> Result<Vec<Option<Pfn>>, PageMapError> {
        let first = address / PAGE_BYTES;
        let mut frames = Vec::new();
        let mut done = 0;
        while done < pages {
            let count = (pages - done).min(PIECE_ENTRIES);
            let piece = self.piece(first.saturating_add(done), count)?;
            frames.extend(piece);
            done += count;
        }
        match frames.contains(&Some(Pfn(0))) {
            true => Err(PageMapError::Hidden {
                process_id: self.process_id,
            }),
            false => Ok(frames),
        }
    }

    /// The frame of the page at `address`.
    pub fn frame(&self, address: u64) -> Result<Option<Pfn>, PageMapError> {
        Ok(self.frames(address, 1)?.pop().flatten())
    }

    /// Calls `see` with each present page of `addresses` and its frame, until that returns false.
    ///
    /// It costs by what is populated, not by what is reserved: by `PAGEMAP_SCAN` (Linux 6.7), or
    /// with older kernels by areas that hold anything.
    pub fn each_present(
        &self,
        addresses: Range<u64>,
        mut see: impl FnMut(u64, Pfn) -> bool,
    ) -> Result<(), PageMapError> {
        let scanned = page_scan::present(&self.file, addresses.clone());
        let present = match scanned.map_err(|source| self.failed(source))? {
            Some(present) => present,
            None => self.populated(&addresses)?,
        };
        for run in page_scan::joined(&present, GAP_PAGES * PAGE_BYTES) {
            let mut address = run.start;
            while address < run.end {
                let left = (run.end - address).div_ceil(PAGE_BYTES);
                let count = left.min(PIECE_ENTRIES);
                let frames = self.frames(address, count)?;
                for (page, frame) in (0..).zip(frames) {
                    let known = frame.map(|frame| see(address + page * PAGE_BYTES, frame));
                    if known == Some(false) {
                        return Ok(());
                    }
                }
                address = address.saturating_add(count * PAGE_BYTES);
            }
        }
        Ok(())
    }

    /// The parts of `addresses` that hold anything, in whole areas.
    fn populated(&self, addresses: &Range<u64>) -> Result<Vec<Range<u64>>, PageMapError> {
        let text = fs::read_to_string(self.folder.join("smaps"));
        let text = text.map_err(|source| self.failed(source))?;
        let within = |area: Range<u64>| {
            let (start, end) = (area.start.max(addresses.start), area.end.min(addresses.end));
            (start < end).then_some(start..end)
        };
        Ok(populated_areas(&text)
            .into_iter()
            .filter_map(within)
            .collect())
    }

    /// `count` entries from the page number `first` on.
    fn piece(&self, first: u64, count: u64) -> Result<Vec<Option<Pfn>>, PageMapError> {
        let mut bytes = vec![0; usize::try_from(count * 8).unwrap_or(usize::MAX)];
        let offset = first.saturating_mul(8);
        let mut filled = 0;
        while filled < bytes.len() {
            let place = offset.saturating_add(filled as u64);
            match self.file.read_at(&mut bytes[filled..], place) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(self.failed(source)),
            }
        }
        // What was not filled is zero: not present.
        let words = bytes.as_chunks().0.iter();
        Ok(words
            .map(|word| frame_of(u64::from_ne_bytes(*word)))
            .collect())
    }

    fn failed(&self, source: io::Error) -> PageMapError {
        PageMapError::Read {
            process_id: self.process_id,
            source,
        }
    }
}

/// The frames of `pages` pages of a process from `address` on.
pub fn read(process_id: u32, address: u64, pages: u64) -> Result<MappedPages, PageMapError> {
    let frames = PageMap::open(process_id)?.frames(address, pages)?;
    Ok(MappedPages { address, frames })
}

fn frame_of(entry: u64) -> Option<Pfn> {
    (entry & PRESENT != 0).then_some(Pfn(entry & FRAME_MASK))
}

/// The areas that hold pages, from the text of `/proc/PID/smaps`; those of the kernel itself, in the
/// upper half, are left out.
fn populated_areas(text: &str) -> Vec<Range<u64>> {
    let mut area = None;
    let mut populated = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("Rss:") {
            Some(resident) if !resident.trim().starts_with("0 ") => populated.extend(area.take()),
            Some(_) => {}
            // A line of another kind leaves the area as it is.
            None => area = area_of(line).or(area),
        }
    }
    populated
}

/// `start-end ...` in hexadecimal.
fn area_of(line: &str) -> Option<Range<u64>> {
    let (start, end) = line.split_whitespace().next()?.split_once('-')?;
    let start = u64::from_str_radix(start, 16).ok()?;
    let end = u64::from_str_radix(end, 16).ok()?;
    (start < end && end >> 63 == 0).then_some(start..end)
}

#[cfg(test)]
mod tests;
