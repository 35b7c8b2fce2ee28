// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What kind of pages a workload has.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use chmu_machine::memory::page_file::PageFile;
use chmu_machine::memory::{Buffer, PAGE_BYTES, numa};
use chmu_machine::names::instead;
use chmu_machine::node::NodeId;

/// A kind of pages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Backing {
    /// Base pages of the process alone.
    #[default]
    Anonymous,
    /// The same, in huge pages where the kernel has them.
    Huge,
    /// Pages of a file, mapped and shared.
    Mapped(PathBuf),
    /// Pages of a file that is read and written, and that the workload does not map.
    File(PathBuf),
}

/// A text that names no kind of pages.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no kind of pages; {instead}", instead = instead(.0.split(':').next().unwrap_or_default(), &NAMES, ""))]
pub struct BackingError(String);

/// The kinds as users write them.
const NAMES: [&str; 4] = ["anonymous", "huge", "mapped:FILE", "file:FILE"];

impl FromStr for Backing {
    type Err = BackingError;

    fn from_str(text: &str) -> Result<Self, BackingError> {
        match text.split_once(':') {
            None if text == "anonymous" => Ok(Self::Anonymous),
            None if text == "huge" => Ok(Self::Huge),
            Some(("mapped", path)) if !path.is_empty() => Ok(Self::Mapped(path.into())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            _ => Err(BackingError(text.to_owned())),
        }
    }
}

impl Backing {
    /// The file that the pages belong to.
    pub fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::Anonymous | Self::Huge => None,
            Self::Mapped(path) | Self::File(path) => Some(path),
        }
    }
}

/// A workload's pages, of whatever kind.
#[derive(Debug)]
pub(super) enum Pages {
    Mapped(Buffer),
    File(PageFile),
}

impl Pages {
    /// Makes them; files are emptied.
    pub(super) fn make(backing: &Backing, pages: u64) -> io::Result<Pages> {
        Ok(match backing {
            Backing::Anonymous => Self::Mapped(Buffer::map(pages)?),
            Backing::Huge => Self::Mapped(Buffer::map_huge(pages)?),
            Backing::File(path) => Self::File(PageFile::create(path, pages)?),
            Backing::Mapped(path) => {
                PageFile::create(path, pages)?;
                let file = File::options().read(true).write(true).open(path)?;
                Self::Mapped(Buffer::map_file_lazily(&file, pages)?)
            }
        })
    }

    pub(super) fn pages(&self) -> u64 {
        match self {
            Self::Mapped(buffer) => buffer.pages(),
            Self::File(file) => file.pages(),
        }
    }

    /// Address of the first page; 0 where none is mapped.
    pub(super) fn address(&self) -> u64 {
        match self {
            Self::Mapped(buffer) => buffer.address(),
            Self::File(_) => 0,
        }
    }

    /// Writes `word(page, place)` into every place of every page; pages come to lie on `node`.
    pub(super) fn fill(&mut self, node: NodeId, word: impl Fn(u64, u64) -> u64) -> io::Result<()> {
        match self {
            Self::File(file) => file.fill(node, word),
            Self::Mapped(buffer) => {
                // Pages of a file on a disk obey the thread's policy, not the area's.
                numa::bind_thread(Some(node))?;
                let filled = buffer.fill(node, word);
                numa::bind_thread(None)?;
                filled
            }
        }
    }

    /// Lifts the policy: NUMA balancing may move the pages as well.
    pub(super) fn release(&self) -> io::Result<()> {
        match self {
            Self::Mapped(buffer) => buffer.release(),
            Self::File(_) => Ok(()),
        }
    }

    /// Calls `look` with the process's addresses of the pages; those of an unmapped file are mapped
    /// for the time of the call.
    pub(super) fn look<T>(&self, look: impl FnOnce(u64) -> io::Result<T>) -> io::Result<T> {
        match self {
            Self::Mapped(buffer) => look(buffer.address()),
            Self::File(file) => {
                let mapped = PageFile::map(file.path(), file.pages())?;
                look(mapped.address())
            }
        }
    }

    /// Loads one word. A file that fails holds nothing, which the check of the content finds.
    pub(super) fn read(&self, page: u64, place: u64) -> u64 {
        match self {
            Self::Mapped(buffer) => buffer.read(page, place),
            Self::File(file) => file.read(page, place).unwrap_or_else(|error| {
                log::error!(
                    "Cannot read page {page} of {}: {error}",
                    file.path().display()
                );
                0
            }),
        }
    }

    /// Stores one word. A write that fails is lost, which the check of the content finds.
    pub(super) fn write(&mut self, page: u64, place: u64, value: u64) {
        match self {
            Self::Mapped(buffer) => buffer.write(page, place, value),
            Self::File(file) => {
                if let Err(error) = file.write(page, place, value) {
                    log::error!(
                        "Cannot write page {page} of {}: {error}",
                        file.path().display()
                    );
                }
            }
        }
    }
}

/// The addresses of pages that follow one another.
pub(super) fn addresses(first: u64, pages: u64) -> Vec<u64> {
    (0..pages).map(|page| first + page * PAGE_BYTES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read() {
        let file = |text: &str| text.parse::<Backing>().unwrap().file().cloned();
        assert_eq!(file("anonymous"), None);
        assert_eq!(file("huge"), None);
        assert_eq!(file("mapped:/dev/shm/a"), Some("/dev/shm/a".into()));
        assert_eq!(file("file:/mnt/b:c"), Some("/mnt/b:c".into()));
        for wrong in ["", "file", "file:", "huge:2M"] {
            let error = wrong.parse::<Backing>().unwrap_err().to_string();
            assert!(error.contains("no kind of pages"), "{error}");
        }
    }

    #[test]
    fn a_file_is_read_and_written_without_being_mapped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pages");
        let mut pages = Pages::make(&Backing::File(path), 2).unwrap();
        pages.write(1, 511, 7);
        assert_eq!((pages.read(1, 511), pages.read(0, 0)), (7, 0));
        assert_eq!((pages.address(), pages.pages()), (0, 2));
        assert!(pages.look(Ok).unwrap() > 0);
    }
}
