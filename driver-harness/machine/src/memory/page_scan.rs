// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where a process has pages at all, and which of them were accessed: `ioctl(PAGEMAP_SCAN)` on its page map,
//! since Linux 6.7 (include/uapi/linux/fs.h, Documentation/admin-guide/mm/pagemap.rst).

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;

/// `_IOWR('f', 16, struct pm_scan_arg)`.
const PAGEMAP_SCAN: libc::Ioctl = 0xC060_6610_u32 as libc::Ioctl;
/// Categories of pages: those that are present, those that are nothing but the page of zeroes, those of huge
/// page-table entries, and, since Linux 7.2, those that a userfaultfd protects from no access any more.
const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_PFNZERO: u64 = 1 << 5;
const PAGE_IS_HUGE: u64 = 1 << 6;
const PAGE_IS_ACCESSED: u64 = 1 << 9;
/// Runs that one call may return.
const RUNS_MAX: usize = 512;
/// The kernel takes no address beyond those of user space.
const USER_END: u64 = 0x7fff_ffff_f000;

/// `struct pm_scan_arg`.
#[repr(C)]
#[derive(Debug, Default)]
struct Scan {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// `struct page_region`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    start: u64,
    end: u64,
    categories: u64,
}

impl Run {
    fn addresses(&self) -> Range<u64> {
        self.start..self.end
    }
}

/// Which pages a scan finds, and what it tells of them.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    /// Categories that pages must have.
    with: u64,
    /// Categories that they must not have.
    without: u64,
    /// Categories that are told.
    told: u64,
}

const PRESENT: Wanted = Wanted {
    with: PAGE_IS_PRESENT,
    without: PAGE_IS_PFNZERO,
    told: PAGE_IS_PRESENT,
};
const ACCESSED: Wanted = Wanted {
    with: PAGE_IS_PRESENT | PAGE_IS_ACCESSED,
    without: PAGE_IS_PFNZERO,
    told: PAGE_IS_HUGE,
};
const UNTOUCHED: Wanted = Wanted {
    with: PAGE_IS_PRESENT,
    without: PAGE_IS_ACCESSED,
    told: 0,
};

/// Pages that follow one another and were all accessed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessedRun {
    /// Their addresses.
    pub addresses: Range<u64>,
    /// They are mapped in huge entries, each with one bit for all its pages.
    pub is_huge: bool,
}

/// The runs of present pages within `addresses`, ascending; `None` where the kernel cannot say.
pub(super) fn present(
    page_map: &File,
    addresses: Range<u64>,
) -> io::Result<Option<Vec<Range<u64>>>> {
    match find(page_map, addresses, PRESENT) {
        Ok(runs) => Ok(Some(runs.iter().map(Run::addresses).collect())),
        Err(error) if error.raw_os_error() == Some(libc::ENOTTY) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The pages that were accessed since a userfaultfd of the process protected them, or that none protects
/// though it could.
pub(super) fn accessed(page_map: &File) -> io::Result<Vec<AccessedRun>> {
    let runs = find(page_map, 0..USER_END, ACCESSED)?;
    let accessed = runs.iter().map(|run| AccessedRun {
        addresses: run.addresses(),
        is_huge: run.categories & PAGE_IS_HUGE != 0,
    });
    Ok(accessed.collect())
}

/// All other present pages: those that are still protected, and those that no userfaultfd can protect.
pub(super) fn untouched(page_map: &File) -> io::Result<Vec<Range<u64>>> {
    let runs = find(page_map, 0..USER_END, UNTOUCHED)?;
    Ok(runs.iter().map(Run::addresses).collect())
}

/// Whether the kernel knows the category: others are refused as invalid, whatever is scanned.
pub(super) fn tells_accesses(page_map: &File) -> bool {
    scan(page_map, 0..0, ACCESSED, &mut [Run::default(); RUNS_MAX]).is_ok()
}

fn find(page_map: &File, addresses: Range<u64>, wanted: Wanted) -> io::Result<Vec<Run>> {
    let mut found = Vec::new();
    let mut start = addresses.start;
    let end = addresses.end.min(USER_END);
    while start < end {
        let mut runs = [Run::default(); RUNS_MAX];
        let (count, walk_end) = scan(page_map, start..end, wanted, &mut runs)?;
        found.extend(runs.iter().take(count));
        if walk_end <= start {
            break;
        }
        start = walk_end;
    }
    Ok(found)
}

/// One call; how many runs were found, and up to where.
fn scan(
    page_map: &File,
    addresses: Range<u64>,
    wanted: Wanted,
    runs: &mut [Run; RUNS_MAX],
) -> io::Result<(usize, u64)> {
    let mut scan = Scan {
        size: size_of::<Scan>() as u64,
        start: addresses.start,
        end: addresses.end,
        vec: runs.as_mut_ptr().addr() as u64,
        vec_len: RUNS_MAX as u64,
        category_inverted: wanted.without,
        category_mask: wanted.with | wanted.without,
        return_mask: wanted.told,
        ..Scan::default()
    };
    // SAFETY: the kernel writes `scan` and at most `vec_len` entries of `runs`, both borrowed here.
    let result = unsafe { libc::ioctl(page_map.as_raw_fd(), PAGEMAP_SCAN, &raw mut scan) };
    match usize::try_from(result) {
        Ok(count) => Ok((count, scan.walk_end)),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Runs with less than `gap_bytes` between them become one.
pub(super) fn joined(runs: &[Range<u64>], gap_bytes: u64) -> Vec<Range<u64>> {
    let mut joined: Vec<Range<u64>> = Vec::new();
    for run in runs {
        match joined.last_mut() {
            Some(last) if run.start.saturating_sub(last.end) < gap_bytes => {
                last.end = last.end.max(run.end);
            }
            _ => joined.push(run.clone()),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn joined_runs_cover_the_runs_and_only_small_gaps(
            lengths in proptest::collection::vec((0..20_u64, 1..5_u64), 0..30),
        ) {
            let mut runs = Vec::new();
            let mut end = 0;
            for (gap, length) in lengths {
                runs.push(end + gap..end + gap + length);
                end += gap + length;
            }
            let joined = joined(&runs, 8);
            for run in &runs {
                let holds = |wide: &Range<u64>| wide.start <= run.start && run.end <= wide.end;
                prop_assert_eq!(joined.iter().filter(|wide| holds(wide)).count(), 1);
            }
            for pair in joined.windows(2) {
                prop_assert!(pair[1].start - pair[0].end >= 8);
            }
        }
    }
}
