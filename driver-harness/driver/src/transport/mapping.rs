// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A device area in this process's address space.

use std::io;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use super::{BarOffset, MappedWords, TransportError, Width, check_range};

/// A shared mapping of device registers or of memory that a device writes.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
    writable: bool,
    /// What the first byte is, for messages.
    place: BarOffset,
}

/// The area of a file to map.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileArea<'a> {
    pub(super) file: BorrowedFd<'a>,
    /// Bytes from the file's start, a multiple of the page size.
    pub(super) offset: u64,
    pub(super) bytes: u64,
    /// Stores are possible as well.
    pub(super) writable: bool,
}

// SAFETY: the mapping belongs to no thread, and stays until the last owner drops it.
unsafe impl Send for Mapping {}

// SAFETY: every access is one volatile load or store of registers that the device changes at any
// time anyway; what several threads do at once, they see as a device shows it.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `area`, whose first byte is `place`.
    pub(super) fn new(area: FileArea<'_>, place: BarOffset) -> Result<Mapping, TransportError> {
        map(area)
            .map_err(|source| TransportError::Access {
                action: "map",
                place: place.to_string(),
                bytes: area.bytes,
                source,
            })
            .map(|(start, bytes)| Mapping {
                start,
                bytes,
                writable: area.writable,
                place,
            })
    }

    /// Reads at an offset from the start of the mapping, with one load.
    pub(super) fn read(&self, offset: u64, width: Width) -> Result<u64, TransportError> {
        let address = self.address(offset, width)?;
        Ok(match width {
            // SAFETY: `address` lies inside the mapping; a byte is always aligned.
            Width::One => u64::from(unsafe { address.read_volatile() }),
            // SAFETY: `address` lies inside the mapping with room for 2 bytes and is aligned.
            Width::Two => u64::from(unsafe { address.cast::<u16>().read_volatile() }),
            // SAFETY: `address` lies inside the mapping with room for 4 bytes and is aligned.
            Width::Four => u64::from(unsafe { address.cast::<u32>().read_volatile() }),
            // SAFETY: `address` lies inside the mapping with room for 8 bytes and is aligned.
            Width::Eight => unsafe { address.cast::<u64>().read_volatile() },
        })
    }

    /// Writes at an offset from the start of the mapping, with one store.
    pub(super) fn write(
        &self,
        offset: u64,
        width: Width,
        value: u64,
    ) -> Result<(), TransportError> {
        let address = self.address(offset, width)?;
        if !self.writable {
            return Err(TransportError::Access {
                action: "write",
                place: self.place.plus(offset).to_string(),
                bytes: width.bytes() as u64,
                source: io::ErrorKind::PermissionDenied.into(),
            });
        }
        let bytes = value.to_ne_bytes();
        match width {
            // SAFETY: `address` lies inside the mapping; a byte is always aligned.
            Width::One => unsafe { address.write_volatile(bytes[0]) },
            Width::Two => {
                let value = u16::from_ne_bytes([bytes[0], bytes[1]]);
                // SAFETY: `address` lies inside the mapping with room for 2 bytes and is aligned.
                unsafe { address.cast::<u16>().write_volatile(value) }
            }
            Width::Four => {
                let value = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                // SAFETY: `address` lies inside the mapping with room for 4 bytes and is aligned.
                unsafe { address.cast::<u32>().write_volatile(value) }
            }
            // SAFETY: `address` lies inside the mapping with room for 8 bytes and is aligned.
            Width::Eight => unsafe { address.cast::<u64>().write_volatile(value) },
        }
        Ok(())
    }

    /// The address of an access that fits and is aligned.
    fn address(&self, offset: u64, width: Width) -> Result<*mut u8, TransportError> {
        let place = self.place.plus(offset);
        let bytes = width.bytes() as u64;
        let inside = BarOffset {
            bar: place.bar,
            offset,
        };
        check_range(inside, bytes, self.bytes as u64)?;
        if !offset.is_multiple_of(bytes) {
            return Err(TransportError::Unaligned { place, bytes });
        }
        // The check above leaves no offset that does not fit.
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        Ok(self.start.as_ptr().wrapping_add(offset))
    }
}

impl MappedWords for Mapping {
    fn len(&self) -> u64 {
        self.bytes as u64 / 8
    }

    fn read(&self, index: u64) -> Option<u64> {
        let offset = index.checked_mul(8)?;
        Mapping::read(self, offset, Width::Eight).ok()
    }
}

fn map(area: FileArea<'_>) -> io::Result<(NonNull<u8>, usize)> {
    let too_large = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let bytes = usize::try_from(area.bytes).map_err(too_large)?;
    let offset = libc::off_t::try_from(area.offset).map_err(too_large)?;
    let protection = match area.writable {
        true => libc::PROT_READ | libc::PROT_WRITE,
        false => libc::PROT_READ,
    };
    // SAFETY: the kernel chooses the place, so no memory of ours is replaced.
    let start = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            bytes,
            protection,
            libc::MAP_SHARED,
            area.file.as_raw_fd(),
            offset,
        )
    };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::InvalidData)?;
    Ok((start, bytes))
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `start` and `bytes` are those of a mapping that only this value owns.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;

    use super::*;

    fn mapping_of(content: &[u8], writable: bool) -> Mapping {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        let area = FileArea {
            file: file.as_fd(),
            offset: 0,
            bytes: content.len() as u64,
            writable,
        };
        Mapping::new(
            area,
            BarOffset {
                bar: 4,
                offset: 0x1000,
            },
        )
        .unwrap()
    }

    #[test]
    fn every_width_reads_and_writes_its_own_bytes() {
        let mapping = mapping_of(&[0; 4096], true);
        mapping
            .write(0, Width::Eight, 0x8877_6655_4433_2211)
            .unwrap();
        mapping.write(2, Width::Two, 0xaaaa_bbcc).unwrap();
        mapping.write(7, Width::One, 0x99).unwrap();
        assert_eq!(mapping.read(0, Width::Four).unwrap(), 0xbbcc_2211);
        assert_eq!(
            mapping.read(0, Width::Eight).unwrap(),
            0x9977_6655_bbcc_2211
        );
        mapping.write(4, Width::Four, 1).unwrap();
        assert_eq!(MappedWords::read(&mapping, 0), Some(0x1_bbcc_2211));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mapping = mapping_of(&[0; 4096], true);
        assert_eq!(mapping.len(), 512);
        assert_eq!(MappedWords::read(&mapping, 511), Some(0));
        assert_eq!(MappedWords::read(&mapping, 512), None);
        assert_eq!(MappedWords::read(&mapping, u64::MAX), None);
        let unaligned = mapping.read(6, Width::Four).unwrap_err();
        assert_eq!(
            unaligned.to_string(),
            "BAR4+0x1006 is not aligned to an access of 4 bytes"
        );
        assert!(mapping.write(4096, Width::One, 0).is_err());
        let read_only = mapping_of(&[7; 4096], false);
        assert!(read_only.write(0, Width::One, 0).is_err());
        assert_eq!(read_only.read(0, Width::One).unwrap(), 7);
    }
}
