// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the kernel says of each frame: `/proc/kpageflags`
//! (Documentation/admin-guide/mm/pagemap.rst, include/uapi/linux/kernel-page-flags.h).

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use chmu_spec::address::Pfn;

use super::frame_words;

bitflags::bitflags! {
    /// The flags of one frame that say whether it can move; the file has more.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct PageFlags: u64 {
        /// Locked by somebody who changes the page.
        const LOCKED = 1 << 0;
        /// Its content is that of its file or owner; never so while it is free.
        const UPTODATE = 1 << 3;
        /// Changed since it was read from its file.
        const DIRTY = 1 << 4;
        /// On one of the reclaim lists: what migration looks for.
        const LRU = 1 << 5;
        /// On its way to its file.
        const WRITEBACK = 1 << 8;
        /// Free.
        const BUDDY = 1 << 10;
        /// Mapped by a process.
        const MMAP = 1 << 11;
        /// Anonymous memory.
        const ANON = 1 << 12;
        /// Written to swap when it has to go: anonymous, or of a tmpfs.
        const SWAPBACKED = 1 << 14;
        /// First page of a larger folio.
        const COMPOUND_HEAD = 1 << 15;
        /// Another page of a larger folio.
        const COMPOUND_TAIL = 1 << 16;
        /// Part of a hugetlb page.
        const HUGE = 1 << 17;
        /// Locked into memory, or otherwise out of reclaim's reach.
        const UNEVICTABLE = 1 << 18;
        /// There is no such page.
        const NOPAGE = 1 << 20;
        /// Shared by pages of equal content.
        const KSM = 1 << 21;
        /// Part of a transparent huge page.
        const THP = 1 << 22;
        /// Taken out of the machine while it runs, as by a balloon.
        const OFFLINE = 1 << 23;
    }
}

/// Cannot read the flags.
#[derive(Debug, thiserror::Error)]
#[error("Cannot read page flags from {}; {}", path.display(), match source.kind() {
    io::ErrorKind::NotFound => "the kernel lacks CONFIG_PROC_PAGE_MONITOR",
    io::ErrorKind::PermissionDenied => "this needs root, or the right CAP_DAC_READ_SEARCH, outside of a \
        container",
    _ => "the kernel does not show them",
})]
pub struct PageFlagsError {
    path: PathBuf,
    source: io::Error,
}

/// The open file, one 64-bit word per frame.
#[derive(Debug)]
pub struct PageFlagsFile {
    file: File,
    path: PathBuf,
    reads: AtomicU64,
}

impl PageFlagsFile {
    /// Opens `/proc/kpageflags`, or for tests a file of the same form.
    pub fn open(path: &Path) -> Result<PageFlagsFile, PageFlagsError> {
        match File::open(path) {
            Ok(file) => Ok(PageFlagsFile {
                file,
                path: path.to_owned(),
                reads: AtomicU64::new(0),
            }),
            Err(source) => Err(PageFlagsError {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// The flags of one frame; a frame past the end of memory is [`PageFlags::NOPAGE`].
    pub fn read(&self, frame: Pfn) -> Result<PageFlags, PageFlagsError> {
        let flags = self.read_range(frame.0..frame.0.saturating_add(1))?;
        Ok(flags.first().copied().unwrap_or(PageFlags::NOPAGE))
    }

    /// The flags of each frame of a range, in one read; those past the end of memory are
    /// [`PageFlags::NOPAGE`].
    pub fn read_range(&self, frames: Range<u64>) -> Result<Vec<PageFlags>, PageFlagsError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let nowhere = PageFlags::NOPAGE.bits();
        let words = frame_words::read(&self.file, frames, nowhere);
        let words = words.map_err(|source| PageFlagsError {
            path: self.path.clone(),
            source,
        })?;
        let flags = words.into_iter().map(PageFlags::from_bits_truncate);
        Ok(flags.collect())
    }

    /// How often the file was read.
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// The flags of each of `frames`, in their order. Frames that lie close together share a read.
    pub fn read_each(&self, frames: &[Pfn]) -> Result<Vec<PageFlags>, PageFlagsError> {
        frame_words::each(frames, PageFlags::NOPAGE, |range| self.read_range(range))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_those_of_the_frame() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kpageflags");
        let words = [1_u64 << 10, (1 << 5) | (1 << 12) | 1 << 2];
        std::fs::write(&path, words.map(u64::to_ne_bytes).as_flattened()).unwrap();
        let flags = PageFlagsFile::open(&path).unwrap();
        assert_eq!(flags.read(Pfn(0)).unwrap(), PageFlags::BUDDY);
        let anonymous = PageFlags::LRU | PageFlags::ANON;
        assert_eq!(flags.read(Pfn(1)).unwrap(), anonymous);
        for beyond in [2, 1 << 60, u64::MAX] {
            assert_eq!(flags.read(Pfn(beyond)).unwrap(), PageFlags::NOPAGE);
        }
        let whole = [PageFlags::BUDDY, anonymous, PageFlags::NOPAGE];
        assert_eq!(flags.read_range(0..3).unwrap(), whole);
        let scattered = [Pfn(1), Pfn(1 << 60), Pfn(0), Pfn(1)];
        let expected = [anonymous, PageFlags::NOPAGE, PageFlags::BUDDY, anonymous];
        let reads = flags.reads();
        assert_eq!(flags.read_each(&scattered).unwrap(), expected);
        assert_eq!(flags.reads() - reads, 2);
    }

    #[test]
    fn the_kernel_says_the_same_of_a_range_as_of_each_of_its_frames() {
        let Ok(flags) = PageFlagsFile::open(Path::new("/proc/kpageflags")) else {
            // Only root may.
            return;
        };
        // The first frames hold firmware tables, which do not change.
        let range = flags.read_range(0..16).unwrap();
        let single: Vec<_> = (0..16)
            .map(|frame| flags.read(Pfn(frame)).unwrap())
            .collect();
        assert_eq!(range, single);
        let beyond = flags.read_range(1 << 40..(1 << 40) + 3).unwrap();
        assert_eq!(beyond, [PageFlags::NOPAGE; 3]);
    }
}
