// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Memory of a BAR that clients map: the hotlists live here.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chmu_ring::sealed_memory_file;
use chmu_spec::native::to_usize;
use vm_memory::mmap::MmapRegionError;
use vm_memory::{Bytes, FileOffset, MmapRegion, VolatileMemory};

/// Name of the memory in `/proc/PID/maps`.
const NAME: &CStr = c"chmu-hotlists";

/// Why the memory cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BarMemoryError {
    /// The kernel gives no memory file.
    #[error("A memory file of {size_bytes} bytes cannot be created")]
    File {
        /// Bytes asked for.
        size_bytes: u64,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The memory file cannot be mapped.
    #[error("The memory file cannot be mapped")]
    Map(#[source] MmapRegionError),
}

/// A memory file laid out like the BAR, mapped here and by clients.
///
/// Its size is sealed: a client that could shrink it would kill this process at its next store.
#[derive(Debug)]
pub(crate) struct BarMemory {
    file: Arc<File>,
    mapping: MmapRegion,
}

impl BarMemory {
    /// Makes `size_bytes` of zeroed memory; pages are taken when they are first used.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn new(size_bytes: u64) -> Result<Self, BarMemoryError> {
        let file = sealed_memory_file(NAME, size_bytes)
            .map_err(|source| BarMemoryError::File { size_bytes, source })?;
        let file = Arc::new(file);
        let mapping =
            MmapRegion::from_file(FileOffset::from_arc(file.clone(), 0), to_usize(size_bytes))
                .map_err(BarMemoryError::Map)?;
        Ok(Self { file, mapping })
    }

    /// The memory file, for clients to map.
    pub(crate) fn file(&self) -> Arc<File> {
        self.file.clone()
    }

    /// Stores a hotlist entry at `offset`, which is a multiple of 8. Whoever sees a later store
    /// or a later reply of this process sees the entry too.
    ///
    /// Returns whether the offset lies in the memory.
    pub(crate) fn store(&self, offset: u64, entry: u64) -> bool {
        usize::try_from(offset).is_ok_and(|offset| {
            self.mapping
                .as_volatile_slice()
                .store(entry, offset, Ordering::Release)
                .is_ok()
        })
    }

    /// Loads 8 bytes at `offset`, which is a multiple of 8; none when it lies outside.
    pub(crate) fn load(&self, offset: u64) -> Option<u64> {
        let offset = usize::try_from(offset).ok()?;
        let memory = self.mapping.as_volatile_slice();
        memory.load(offset, Ordering::Acquire).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn a_client_sees_what_was_stored() {
        let memory = BarMemory::new(0x4000).unwrap();
        assert!(memory.store(0x1008, 0x1234_5678_9abc_def0));
        let mut entry = [0; 8];
        memory.file().read_exact_at(&mut entry, 0x1008).unwrap();
        assert_eq!(u64::from_le_bytes(entry), 0x1234_5678_9abc_def0);
        assert_eq!(memory.load(0x1008), Some(0x1234_5678_9abc_def0));
        assert_eq!(memory.load(0x1000), Some(0));
        assert_eq!(memory.load(0x4000), None);
    }

    #[test]
    fn stores_outside_or_across_are_refused() {
        let memory = BarMemory::new(0x4000).unwrap();
        for offset in [0x4000, 0x3ffc, 0x1001, u64::MAX, u64::MAX - 7] {
            assert!(!memory.store(offset, 1), "{offset:#x}");
        }
        assert!(memory.store(0x3ff8, 1));
    }

    #[test]
    fn a_client_cannot_change_the_size() {
        let memory = BarMemory::new(0x4000).unwrap();
        assert!(memory.file().set_len(0).is_err());
        assert!(memory.file().set_len(0x8000).is_err());
        assert!(memory.store(0x3ff8, 1));
    }
}
