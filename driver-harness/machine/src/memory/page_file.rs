// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Pages of a file that nobody maps: the kernel's page cache, reached by reads and writes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::{Buffer, PAGE_BYTES, PAGE_WORDS, numa};
use crate::node::NodeId;

/// Bytes of a word.
const WORD_BYTES: u64 = 8;

/// A file made of whole pages.
#[derive(Debug)]
pub struct PageFile {
    file: File,
    path: PathBuf,
    pages: u64,
}

impl PageFile {
    /// Makes a file of so many pages, or empties the one that is there.
    pub fn create(path: &Path, pages: u64) -> io::Result<PageFile> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        file.set_len(pages.saturating_mul(PAGE_BYTES))?;
        Ok(PageFile {
            file,
            path: path.to_owned(),
            pages,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many pages it has.
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// Writes `word(page, place)` into every place of every page; the page cache comes to lie on
    /// `node` as far as it was not there before.
    pub fn fill(&self, node: NodeId, word: impl Fn(u64, u64) -> u64) -> io::Result<()> {
        numa::bind_thread(Some(node))?;
        let written = (0..self.pages).try_for_each(|page| {
            let words = (0..PAGE_WORDS).map(|place| word(page, place).to_ne_bytes());
            let content: Vec<u8> = words.flatten().collect();
            self.file.write_all_at(&content, page * PAGE_BYTES)
        });
        numa::bind_thread(None)?;
        written
    }

    /// Reads one word of a page.
    pub fn read(&self, page: u64, place: u64) -> io::Result<u64> {
        let mut word = [0; 8];
        self.file.read_exact_at(&mut word, offset(page, place))?;
        Ok(u64::from_ne_bytes(word))
    }

    /// Writes one word of a page.
    pub fn write(&self, page: u64, place: u64, value: u64) -> io::Result<()> {
        let word = value.to_ne_bytes();
        self.file.write_all_at(&word, offset(page, place))
    }

    /// Maps the whole file for a look at where its pages are; they are neither read nor moved.
    pub fn map(path: &Path, pages: u64) -> io::Result<Buffer> {
        let file = File::options().read(true).write(true).open(path)?;
        Buffer::map_file(&file, pages)
    }
}

fn offset(page: u64, place: u64) -> u64 {
    page * PAGE_BYTES + place * WORD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_their_place_and_are_seen_by_a_mapping() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pages");
        let file = PageFile::create(&path, 3).unwrap();
        file.write(2, 511, 42).unwrap();
        assert_eq!(file.read(2, 511).unwrap(), 42);
        assert_eq!(file.read(2, 510).unwrap(), 0);
        assert!(file.read(3, 0).is_err());
        let mapped = PageFile::map(&path, 3).unwrap();
        assert_eq!(mapped.read(2, 511), 42);
    }
}
