// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Memory whose every access really happens.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

use super::{PAGE_BYTES, PAGE_LINES, PAGE_WORDS, numa};
use crate::node::NodeId;

/// A mapping, unmapped when dropped.
#[derive(Debug)]
pub struct Buffer {
    words: NonNull<u64>,
    pages: u64,
}

// SAFETY: the mapping is this buffer's alone, whichever thread has it.
unsafe impl Send for Buffer {}

/// Beyond the end of a file there would be a signal in place of an error.
fn check_length(file: &File, pages: u64) -> io::Result<()> {
    match file.metadata()?.len() >= pages.saturating_mul(PAGE_BYTES) {
        true => Ok(()),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Memory of this process alone.
const ANONYMOUS: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;

impl Buffer {
    /// Maps `pages` base pages; none is there before it is written to.
    pub fn map(pages: u64) -> io::Result<Buffer> {
        let buffer = Buffer::map_with(pages, ANONYMOUS, -1)?;
        buffer.advise(libc::MADV_NOHUGEPAGE)?;
        Ok(buffer)
    }

    /// Maps pages that the kernel may put into huge ones, as far as it has them: such a page moves
    /// as a whole, however few of its base pages are hot.
    pub fn map_huge(pages: u64) -> io::Result<Buffer> {
        let buffer = Buffer::map_with(pages, ANONYMOUS, -1)?;
        buffer.advise(libc::MADV_HUGEPAGE)?;
        Ok(buffer)
    }

    /// Maps the first pages of a file, shared with everybody who has it. Pages of the file that are
    /// in memory are there at once.
    pub fn map_file(file: &File, pages: u64) -> io::Result<Buffer> {
        check_length(file, pages)?;
        let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
        Buffer::map_with(pages, flags, file.as_raw_fd())
    }

    /// The same, but no page is there before it is touched, so that a policy can be set first.
    pub fn map_file_lazily(file: &File, pages: u64) -> io::Result<Buffer> {
        check_length(file, pages)?;
        Buffer::map_with(pages, libc::MAP_SHARED, file.as_raw_fd())
    }

    /// The same without a promise that there will be memory for all of them, so that there may be
    /// more pages than the machine has.
    pub fn reserve(pages: u64) -> io::Result<Buffer> {
        let buffer = Buffer::map_with(pages, ANONYMOUS | libc::MAP_NORESERVE, -1)?;
        buffer.advise(libc::MADV_NOHUGEPAGE)?;
        Ok(buffer)
    }

    fn map_with(pages: u64, flags: i32, file: i32) -> io::Result<Buffer> {
        let bytes = usize::try_from(pages.saturating_mul(PAGE_BYTES))
            .map_err(|_| io::ErrorKind::OutOfMemory)?;
        // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                flags,
                file,
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let words = NonNull::new(address.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Buffer { words, pages })
    }

    /// `advice` is one of those about huge pages.
    fn advise(&self, advice: i32) -> io::Result<()> {
        let bytes =
            usize::try_from(self.pages * PAGE_BYTES).map_err(|_| io::ErrorKind::OutOfMemory)?;
        // SAFETY: the area is this buffer's own mapping; the advice does not change its content.
        let result = unsafe { libc::madvise(self.words.as_ptr().cast(), bytes, advice) };
        let error = io::Error::last_os_error();
        // A kernel without huge pages does not know the advice.
        match result == 0 || error.raw_os_error() == Some(libc::EINVAL) {
            true => Ok(()),
            false => Err(error),
        }
    }

    /// Address of the first page.
    pub fn address(&self) -> u64 {
        self.words.addr().get() as u64
    }

    /// How many pages it has.
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// The address of each page.
    pub fn page_addresses(&self) -> Vec<u64> {
        let first = self.address();
        (0..self.pages)
            .map(|page| first + page * PAGE_BYTES)
            .collect()
    }

    /// Writes `word(page, place)` into every place of every page; pages come to lie on `node`.
    ///
    /// A policy stays on them, which the kernel's NUMA balancing respects and promotion does not.
    pub fn fill(&mut self, node: NodeId, word: impl Fn(u64, u64) -> u64) -> io::Result<()> {
        let bytes = self.pages * PAGE_BYTES;
        numa::bind(self.address(), bytes, Some(node))?;
        for page in 0..self.pages {
            for place in 0..PAGE_WORDS {
                self.write(page, place, word(page, place));
            }
        }
        Ok(())
    }

    /// Locks the pages that are there and those to come: they are never swapped out.
    pub fn lock(&self) -> io::Result<()> {
        let bytes =
            usize::try_from(self.pages * PAGE_BYTES).map_err(|_| io::ErrorKind::OutOfMemory)?;
        // SAFETY: the area is this buffer's own mapping; locking does not change its content.
        let result = unsafe { libc::mlock(self.words.as_ptr().cast(), bytes) };
        match result {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Lifts the policy: NUMA balancing may move the pages as well.
    pub fn release(&self) -> io::Result<()> {
        numa::bind(self.address(), self.pages * PAGE_BYTES, None)
    }

    /// Loads one word of a page.
    ///
    /// # Panics
    /// When the page or the place in it is not in the buffer.
    pub fn read(&self, page: u64, place: u64) -> u64 {
        let word = self.place(page, place);
        // SAFETY: `word` points into the live mapping and is aligned to 8 bytes.
        unsafe { word.read_volatile() }
    }

    /// Stores one word of a page.
    ///
    /// # Panics
    /// When the page or the place in it is not in the buffer.
    pub fn write(&mut self, page: u64, place: u64, value: u64) {
        let word = self.place(page, place);
        // SAFETY: `word` points into the live mapping, which only this buffer writes to.
        unsafe { word.write_volatile(value) }
    }

    fn place(&self, page: u64, place: u64) -> NonNull<u64> {
        assert!(
            page < self.pages && place < PAGE_WORDS,
            "Word {place} of page {page} is outside the buffer of {} pages",
            self.pages
        );
        // The whole buffer fits the address space, so that the number fits as well.
        #[expect(clippy::cast_possible_truncation)]
        let index = (page * PAGE_WORDS + place) as usize;
        // SAFETY: page and place were checked, so the word lies inside the mapping.
        unsafe { self.words.add(index) }
    }

    /// The cache lines of all pages.
    pub fn lines(&self) -> u64 {
        self.pages * PAGE_LINES
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = usize::try_from(self.pages * PAGE_BYTES).unwrap_or(0);
        // SAFETY: nobody borrows the mapping any more; address and size are those of `map`.
        unsafe { libc::munmap(self.words.as_ptr().cast(), bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_their_place() {
        let mut buffer = Buffer::map(3).unwrap();
        buffer.write(2, 511, 42);
        assert_eq!(buffer.read(2, 511), 42);
        assert_eq!(buffer.read(2, 510), 0);
        assert_eq!(buffer.page_addresses()[2], buffer.address() + 8192);
        assert_eq!(buffer.lines(), 192);
    }

    #[test]
    #[should_panic(expected = "Word 0 of page 3 is outside the buffer of 3 pages")]
    fn a_page_beyond_the_end_is_refused() {
        Buffer::map(3).unwrap().read(3, 0);
    }

    #[test]
    #[should_panic(expected = "Word 512 of page 0")]
    fn a_word_beyond_the_page_is_refused() {
        Buffer::map(3).unwrap().read(0, 512);
    }
}
