// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where a process has pages at all: `ioctl(PAGEMAP_SCAN)` on its page map, since Linux 6.7
//! (include/uapi/linux/fs.h, Documentation/admin-guide/mm/pagemap.rst).

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;

/// `_IOWR('f', 16, struct pm_scan_arg)`.
const PAGEMAP_SCAN: libc::Ioctl = 0xC060_6610_u32 as libc::Ioctl;
/// Categories of pages: those that are present, and those that are nothing but the page of zeroes.
const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_PFNZERO: u64 = 1 << 5;
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

/// The runs of present pages within `addresses`, ascending; `None` where the kernel cannot say.
pub(super) fn present(
    page_map: &File,
    addresses: Range<u64>,
) -> io::Result<Option<Vec<Range<u64>>>> {
    let mut present = Vec::new();
    let mut start = addresses.start;
    let end = addresses.end.min(USER_END);
    while start < end {
        let mut runs = [Run::default(); RUNS_MAX];
        let Some((count, walk_end)) = scan(page_map, start..end, &mut runs)? else {
            return Ok(None);
        };
        let found = runs.iter().take(count);
        present.extend(found.map(|run| run.start..run.end));
        if walk_end <= start {
            break;
        }
        start = walk_end;
    }
    Ok(Some(present))
}

/// One call; how many runs were found, and up to where.
fn scan(
    page_map: &File,
    addresses: Range<u64>,
    runs: &mut [Run; RUNS_MAX],
) -> io::Result<Option<(usize, u64)>> {
    let mut scan = Scan {
        size: size_of::<Scan>() as u64,
        start: addresses.start,
        end: addresses.end,
        vec: runs.as_mut_ptr().addr() as u64,
        vec_len: RUNS_MAX as u64,
        category_inverted: PAGE_IS_PFNZERO,
        category_mask: PAGE_IS_PRESENT | PAGE_IS_PFNZERO,
        return_mask: PAGE_IS_PRESENT,
        ..Scan::default()
    };
    // SAFETY: the kernel writes `scan` and at most `vec_len` entries of `runs`, both borrowed here.
    let result = unsafe { libc::ioctl(page_map.as_raw_fd(), PAGEMAP_SCAN, &raw mut scan) };
    match usize::try_from(result) {
        Ok(count) => Ok(Some((count, scan.walk_end))),
        Err(_) => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ENOTTY) => Ok(None),
            error => Err(error),
        },
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
