// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! How often each frame is mapped: `/proc/kpagecount`
//! (Documentation/admin-guide/mm/pagemap.rst).

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use chmu_spec::address::Pfn;

use super::frame_words;

/// Cannot read how often frames are mapped.
#[derive(Debug, thiserror::Error)]
#[error("Cannot read how often frames are mapped from {}", path.display())]
pub struct PageCountError {
    path: PathBuf,
    source: io::Error,
}

/// The open file, one 64-bit word per frame.
#[derive(Debug)]
pub struct PageCountFile {
    file: File,
    path: PathBuf,
}

impl PageCountFile {
    /// Opens `/proc/kpagecount`, or for tests a file of the same form; only root may.
    pub fn open(path: &Path) -> Result<PageCountFile, PageCountError> {
        match File::open(path) {
            Ok(file) => Ok(PageCountFile {
                file,
                path: path.to_owned(),
            }),
            Err(source) => Err(PageCountError {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// How often each of `frames` is mapped, in their order; 0 past the end of memory. Kernels that
    /// do not count for each page of a large folio say the folio's average.
    pub fn read_each(&self, frames: &[Pfn]) -> Result<Vec<u64>, PageCountError> {
        frame_words::each(frames, 0, |range| {
            frame_words::read(&self.file, range, 0).map_err(|source| PageCountError {
                path: self.path.clone(),
                source,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_those_of_the_frame() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kpagecount");
        std::fs::write(&path, [3_u64, 0, 7].map(u64::to_ne_bytes).as_flattened()).unwrap();
        let counts = PageCountFile::open(&path).unwrap();
        let frames = [Pfn(2), Pfn(0), Pfn(99)];
        assert_eq!(counts.read_each(&frames).unwrap(), [7, 3, 0]);
        let message = PageCountFile::open(Path::new("/nowhere"))
            .unwrap_err()
            .to_string();
        assert_eq!(
            message,
            "Cannot read how often frames are mapped from /nowhere"
        );
    }
}
