// SPDX-License-Identifier: BSD-3-Clause
//! Memory files whose size can no longer change, and their mappings.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::mem::{align_of, size_of};
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr::NonNull;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};
use vm_memory::{FileOffset, MmapRegion};

/// Without these a peer could shrink the file, and reading the mapping would raise SIGBUS. A peer
/// that punches a hole into it only makes that part zero.
const SIZE_SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW);

/// Makes a zeroed memory file whose size nobody can change. It is safe to map and to share.
///
/// # Errors
/// When the kernel refuses.
pub fn sealed_memory_file(name: &CStr, bytes: u64) -> io::Result<File> {
    let file = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let file = File::from(file);
    file.set_len(bytes)?;
    fcntl_add_seals(&file, SIZE_SEALS | SealFlags::SEAL)?;
    Ok(file)
}

/// A mapped memory file of fixed size.
#[derive(Debug)]
pub(crate) struct SharedMemory {
    file: FileOffset,
    mapping: MmapRegion,
}

impl SharedMemory {
    /// Makes a zeroed memory file of `bytes` bytes, seals its size, and maps it.
    pub(crate) fn create(bytes: usize) -> io::Result<Self> {
        Self::map(sealed_memory_file(c"chmu-access-rings", bytes as u64)?)
    }

    /// Maps a memory file that another process made. It must be sealed against size changes.
    pub(crate) fn open(file: File) -> io::Result<Self> {
        if !fcntl_get_seals(&file)?.contains(SIZE_SEALS) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "its size is not sealed",
            ));
        }
        Self::map(file)
    }

    fn map(file: File) -> io::Result<Self> {
        let bytes = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        let file = FileOffset::new(file, 0);
        let mapping = MmapRegion::from_file(file.clone(), bytes).map_err(io::Error::other)?;
        Ok(Self { file, mapping })
    }

    pub(crate) fn bytes(&self) -> usize {
        self.mapping.size()
    }

    /// Pointer to a `T` at `offset`; `None` when it does not fit or is not aligned.
    pub(crate) fn at<T>(&self, offset: usize) -> Option<NonNull<T>> {
        let end = offset.checked_add(size_of::<T>())?;
        if end > self.bytes() || !offset.is_multiple_of(align_of::<T>()) {
            return None;
        }
        // SAFETY: `offset` is inside the mapping, as just checked.
        let place = unsafe { self.mapping.as_ptr().add(offset) };
        NonNull::new(place.cast())
    }
}

impl AsFd for SharedMemory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.file().as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    fn file(memory: &SharedMemory) -> File {
        memory.file.file().try_clone().unwrap()
    }

    #[test]
    fn both_mappings_show_the_same_memory() {
        let ours = SharedMemory::create(8192).unwrap();
        let theirs = SharedMemory::open(file(&ours)).unwrap();
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
        let file = sealed_memory_file(c"sealed", 4096).unwrap();
        for bytes in [0, 8192] {
            let error = file.set_len(bytes).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        }
    }

    #[test]
    fn a_file_that_can_shrink_is_refused() {
        let file = memfd_create(c"unsealed", MemfdFlags::ALLOW_SEALING).unwrap();
        let error = SharedMemory::open(file.into()).unwrap_err();
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
