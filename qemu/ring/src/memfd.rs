// SPDX-License-Identifier: BSD-3-Clause
//! Memory files whose size can no longer change, and their mappings.

use std::fs::File;
use std::io;
use std::mem::{align_of, size_of};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};

use libc::{
    F_ADD_SEALS, F_GET_SEALS, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, MAP_FAILED, MAP_SHARED,
    MFD_ALLOW_SEALING, MFD_CLOEXEC, PROT_READ, PROT_WRITE,
};

/// Without these a peer could shrink the file, and reading the mapping would raise SIGBUS.
const SIZE_SEALS: libc::c_int = F_SEAL_SHRINK | F_SEAL_GROW;

/// A mapped memory file of fixed size.
#[derive(Debug)]
pub(crate) struct SharedMemory {
    file: OwnedFd,
    base: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the mapping belongs to this value alone and is only reached through pointers to atomics.
unsafe impl Send for SharedMemory {}
// SAFETY: as for `Send`; no method gives out a reference to plain memory.
unsafe impl Sync for SharedMemory {}

impl SharedMemory {
    /// Makes a zeroed memory file of `bytes` bytes, seals its size, and maps it.
    pub(crate) fn create(bytes: usize) -> io::Result<Self> {
        // SAFETY: the name is a C string and the flags are defined ones.
        let raw = unsafe {
            libc::memfd_create(
                c"chmu-access-rings".as_ptr(),
                MFD_CLOEXEC | MFD_ALLOW_SEALING,
            )
        };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: memfd_create returned this descriptor and nobody else has it.
        let file = File::from(unsafe { OwnedFd::from_raw_fd(raw) });
        file.set_len(bytes as u64)?;
        // SAFETY: F_ADD_SEALS takes an integer argument and touches no memory.
        let sealed =
            unsafe { libc::fcntl(file.as_raw_fd(), F_ADD_SEALS, SIZE_SEALS | F_SEAL_SEAL) };
        if sealed < 0 {
            return Err(io::Error::last_os_error());
        }
        Self::map(file.into(), bytes)
    }

    /// Maps a memory file that another process made. It must be sealed against size changes.
    pub(crate) fn open(file: OwnedFd) -> io::Result<Self> {
        // SAFETY: F_GET_SEALS takes no argument and touches no memory.
        let seals = unsafe { libc::fcntl(file.as_raw_fd(), F_GET_SEALS) };
        if seals < 0 {
            return Err(io::Error::last_os_error());
        }
        if seals & SIZE_SEALS != SIZE_SEALS {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "its size is not sealed",
            ));
        }
        let file = File::from(file);
        let bytes = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        Self::map(file.into(), bytes)
    }

    fn map(file: OwnedFd, bytes: usize) -> io::Result<Self> {
        // SAFETY: a new shared mapping at an address of the kernel's choice overlaps nothing.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                PROT_READ | PROT_WRITE,
                MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if base == MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { file, base, bytes })
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Pointer to a `T` at `offset`; `None` when it does not fit or is not aligned.
    pub(crate) fn at<T>(&self, offset: usize) -> Option<NonNull<T>> {
        let end = offset.checked_add(size_of::<T>())?;
        if end > self.bytes || !offset.is_multiple_of(align_of::<T>()) {
            return None;
        }
        // SAFETY: `offset` is inside the mapping, as just checked.
        let place = unsafe { self.base.add(offset) };
        Some(place.cast())
    }
}

impl AsFd for SharedMemory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // SAFETY: `base` and `bytes` are what mmap returned, and no pointer outlives its owner.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn both_mappings_show_the_same_memory() {
        let ours = SharedMemory::create(8192).unwrap();
        let theirs = SharedMemory::open(ours.file.try_clone().unwrap()).unwrap();
        assert_eq!(theirs.bytes(), 8192);
        let word = |memory: &SharedMemory| memory.at::<AtomicU64>(4096).unwrap();
        // SAFETY: the pointer is into a live mapping.
        unsafe { word(&ours).as_ref() }.store(7, Ordering::Relaxed);
        // SAFETY: as above.
        let seen = unsafe { word(&theirs).as_ref() }.load(Ordering::Relaxed);
        assert_eq!(seen, 7);
    }

    #[test]
    fn the_size_is_sealed() {
        let memory = SharedMemory::create(4096).unwrap();
        let file = File::from(memory.file.try_clone().unwrap());
        assert_eq!(
            file.set_len(0).unwrap_err().raw_os_error(),
            Some(libc::EPERM)
        );
        assert_eq!(
            file.set_len(8192).unwrap_err().raw_os_error(),
            Some(libc::EPERM)
        );
    }

    #[test]
    fn a_file_that_can_shrink_is_refused() {
        // SAFETY: the name is a C string and the flags are defined ones.
        let raw = unsafe { libc::memfd_create(c"unsealed".as_ptr(), MFD_ALLOW_SEALING) };
        // SAFETY: memfd_create returned this descriptor and nobody else has it.
        let file = unsafe { OwnedFd::from_raw_fd(raw) };
        let error = SharedMemory::open(file).unwrap_err();
        assert_eq!(error.to_string(), "its size is not sealed");
    }

    #[test]
    fn pointers_stay_inside_and_aligned() {
        let memory = SharedMemory::create(4096).unwrap();
        assert!(memory.at::<u64>(4088).is_some());
        assert!(memory.at::<u64>(4089).is_none());
        assert!(memory.at::<u64>(4).is_none());
        assert!(memory.at::<u64>(4096).is_none());
        assert!(memory.at::<u64>(usize::MAX - 3).is_none());
    }
}
