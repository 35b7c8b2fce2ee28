// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Memory of any kind, unmapped when dropped.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr::NonNull;

use chmu_machine::memory::{PAGE_BYTES, numa};
use chmu_machine::node::NodeId;

/// A mapping of this process.
#[derive(Debug)]
pub(super) struct Area {
    start: NonNull<u8>,
    bytes: usize,
}

impl Area {
    pub(super) fn private(bytes: u64, flags: i32) -> io::Result<Area> {
        Area::map(bytes, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | flags, -1)
    }

    pub(super) fn shared(bytes: u64) -> io::Result<Area> {
        Area::map(bytes, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1)
    }

    pub(super) fn of_file(file: &File, bytes: u64) -> io::Result<Area> {
        Area::map(bytes, libc::MAP_SHARED, file.as_raw_fd())
    }

    fn map(bytes: u64, flags: i32, file: RawFd) -> io::Result<Area> {
        let bytes = usize::try_from(bytes).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, rights, flags, file, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Area { start, bytes })
    }

    pub(super) fn address(&self) -> u64 {
        self.start.addr().get() as u64
    }

    pub(super) fn page_addresses(&self) -> Vec<u64> {
        let page_bytes = usize::try_from(PAGE_BYTES).unwrap_or(usize::MAX);
        let pages = (0..).take(self.bytes / page_bytes);
        pages
            .map(|page: u64| self.address() + page * PAGE_BYTES)
            .collect()
    }

    /// Writes the same into every page, which come to lie on `node`.
    pub(super) fn fill(&self, node: NodeId) -> io::Result<()> {
        numa::bind(self.address(), self.bytes as u64, Some(node))?;
        for place in self.page_places() {
            // SAFETY: the place is within the mapping, which nobody else uses.
            unsafe { place.write_volatile(7) };
        }
        Ok(())
    }

    /// Reads every page, so that it is mapped.
    pub(super) fn read(&self) {
        for place in self.page_places() {
            // SAFETY: the place is within the mapping.
            unsafe { place.read_volatile() };
        }
    }

    pub(super) fn advise(&self, advice: i32) -> io::Result<()> {
        // SAFETY: the area is this mapping; such advice does not change its content.
        match unsafe { libc::madvise(self.start.as_ptr().cast(), self.bytes, advice) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn page_places(&self) -> impl Iterator<Item = NonNull<u8>> {
        let page_bytes = usize::try_from(PAGE_BYTES).unwrap_or(usize::MAX);
        let places = (0..self.bytes).step_by(page_bytes);
        places.map(|place| {
            // SAFETY: the place is smaller than the size of the mapping.
            unsafe { self.start.add(place) }
        })
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        // SAFETY: nobody borrows the mapping any more; address and size are those of `map`.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

/// Has a pipe hold pages of this process until it is read.
pub(super) fn give_to_pipe(pipe: &impl AsRawFd, address: u64, bytes: u64) -> io::Result<()> {
    let mut given = 0;
    while given < bytes {
        let part = libc::iovec {
            iov_base: std::ptr::with_exposed_provenance_mut(
                usize::try_from(address + given).unwrap_or(0),
            ),
            iov_len: usize::try_from(bytes - given).unwrap_or(0),
        };
        // SAFETY: one vector is given; the kernel only reads what it names.
        let result = unsafe { libc::vmsplice(pipe.as_raw_fd(), &raw const part, 1, 0) };
        match u64::try_from(result) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(more) => given += more,
            Err(_) => return Err(io::Error::last_os_error()),
        }
    }
    Ok(())
}
