// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the kernel says of each frame: `/proc/kpageflags`
//! (Documentation/admin-guide/mm/pagemap.rst, include/uapi/linux/kernel-page-flags.h).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use chmu_spec::address::Pfn;

bitflags::bitflags! {
    /// The flags of one frame that decide whether it can move; the file has more.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct PageFlags: u64 {
        /// On one of the reclaim lists: what migration looks for.
        const LRU = 1 << 5;
        /// Free.
        const BUDDY = 1 << 10;
        /// Mapped by a process.
        const MMAP = 1 << 11;
        /// Anonymous memory.
        const ANON = 1 << 12;
        /// First page of a larger folio.
        const COMPOUND_HEAD = 1 << 15;
        /// Another page of a larger folio.
        const COMPOUND_TAIL = 1 << 16;
        /// Part of a hugetlb page.
        const HUGE = 1 << 17;
        /// There is no such page.
        const NOPAGE = 1 << 20;
        /// Part of a transparent huge page.
        const THP = 1 << 22;
    }
}

/// Cannot read the flags.
#[derive(Debug, thiserror::Error)]
#[error("Cannot read page flags from {}; {}", path.display(), match source.kind() {
    io::ErrorKind::NotFound => "the kernel lacks CONFIG_PROC_PAGE_MONITOR",
    io::ErrorKind::PermissionDenied => "only root may: run chmu as root, outside of a container",
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
}

impl PageFlagsFile {
    /// Opens `/proc/kpageflags`, or for tests a file of the same form.
    pub fn open(path: &Path) -> Result<PageFlagsFile, PageFlagsError> {
        match File::open(path) {
            Ok(file) => Ok(PageFlagsFile {
                file,
                path: path.to_owned(),
            }),
            Err(source) => Err(PageFlagsError {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// The flags of one frame; a frame past the end of memory is [`PageFlags::NOPAGE`].
    pub fn read(&self, frame: Pfn) -> Result<PageFlags, PageFlagsError> {
        let Some(offset) = frame.0.checked_mul(8) else {
            return Ok(PageFlags::NOPAGE);
        };
        let mut word = [0; 8];
        match self.file.read_at(&mut word, offset) {
            Ok(8) => Ok(PageFlags::from_bits_truncate(u64::from_ne_bytes(word))),
            Ok(_) => Ok(PageFlags::NOPAGE),
            // What the kernel says of an offset that does not fit a file position.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(PageFlags::NOPAGE),
            Err(source) => Err(PageFlagsError {
                path: self.path.clone(),
                source,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_those_of_the_frame() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kpageflags");
        let words = [1_u64 << 10, (1 << 5) | (1 << 12) | 1];
        std::fs::write(&path, words.map(u64::to_ne_bytes).as_flattened()).unwrap();
        let flags = PageFlagsFile::open(&path).unwrap();
        assert_eq!(flags.read(Pfn(0)).unwrap(), PageFlags::BUDDY);
        let anonymous = PageFlags::LRU | PageFlags::ANON;
        assert_eq!(flags.read(Pfn(1)).unwrap(), anonymous);
        for beyond in [2, 1 << 60, u64::MAX] {
            assert_eq!(flags.read(Pfn(beyond)).unwrap(), PageFlags::NOPAGE);
        }
    }
}
