// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which frame holds which page of a process: `/proc/PID/pagemap`
//! (Documentation/admin-guide/mm/pagemap.rst).

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use chmu_spec::address::Pfn;

use super::PAGE_BYTES;

/// Bits 54:0 of an entry are the frame while bit 63, present, is set.
const FRAME_MASK: u64 = (1 << 55) - 1;
const PRESENT: u64 = 1 << 63;
/// Entries read at a time.
const PIECE_ENTRIES: u64 = 4096;

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

/// The frames of `pages` pages of a process from `address` on.
pub fn read(process_id: u32, address: u64, pages: u64) -> Result<MappedPages, PageMapError> {
    let failed = |source| PageMapError::Read { process_id, source };
    let file = File::open(format!("/proc/{process_id}/pagemap")).map_err(failed)?;
    let first = address / PAGE_BYTES;
    let mut frames = Vec::new();
    let mut done = 0;
    while done < pages {
        let count = (pages - done).min(PIECE_ENTRIES);
        let mut words = vec![0; usize::try_from(count * 8).unwrap_or(usize::MAX)];
        let offset = first.saturating_add(done).saturating_mul(8);
        file.read_exact_at(&mut words, offset).map_err(failed)?;
        for word in words.as_chunks().0 {
            frames.push(frame_of(u64::from_ne_bytes(*word)));
        }
        done += count;
    }
    if frames.contains(&Some(Pfn(0))) {
        return Err(PageMapError::Hidden { process_id });
    }
    Ok(MappedPages { address, frames })
}

/// The mapped areas of a process, from `/proc/PID/maps`.
pub fn areas(process_id: u32) -> Result<Vec<Range<u64>>, PageMapError> {
    let text = std::fs::read_to_string(format!("/proc/{process_id}/maps"))
        .map_err(|source| PageMapError::Read { process_id, source })?;
    Ok(text.lines().filter_map(area_of).collect())
}

fn frame_of(entry: u64) -> Option<Pfn> {
    (entry & PRESENT != 0).then_some(Pfn(entry & FRAME_MASK))
}

/// `start-end ...` in hexadecimal; areas of the kernel itself, in the upper half, are left out.
fn area_of(line: &str) -> Option<Range<u64>> {
    let (start, end) = line.split_whitespace().next()?.split_once('-')?;
    let start = u64::from_str_radix(start, 16).ok()?;
    let end = u64::from_str_radix(end, 16).ok()?;
    (start < end && end >> 63 == 0).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_present_pages_have_a_frame() {
        assert_eq!(
            frame_of((1 << 63) | (1 << 61) | 0x12345),
            Some(Pfn(0x12345))
        );
        assert_eq!(frame_of((1 << 62) | 0x12345), None);
    }

    #[test]
    fn areas_are_read_as_the_kernel_prints_them() {
        let line = "7f0000001000-7f0000003000 rw-p 00000000 00:00 0    [heap]";
        assert_eq!(area_of(line), Some(0x7f00_0000_1000..0x7f00_0000_3000));
        let kernel = "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]";
        assert_eq!(area_of(kernel), None);
        assert_eq!(area_of(""), None);
    }

    #[test]
    fn this_process_has_areas() {
        let local = 0_u8;
        let address = std::ptr::from_ref(&local).addr() as u64;
        let areas = areas(std::process::id()).unwrap();
        assert!(areas.iter().any(|area| area.contains(&address)));
    }
}
