// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! An event of a performance-monitoring unit that writes into an AUX buffer
//! (`include/uapi/linux/perf_event.h`).

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{Ordering, fence};

/// Bytes of the AUX buffer: many hotlists.
const AUX_BYTES: usize = 4 << 20;
/// The page of control words, and one page of records, which are not looked at.
const CONTROL_BYTES: usize = 2 * 4096;
/// `PERF_FLAG_FD_CLOEXEC`.
const CLOSE_ON_EXEC: libc::c_ulong = 8;
/// Words of `struct perf_event_mmap_page`, by their place in bytes.
const DATA_HEAD: usize = 1024;
const DATA_TAIL: usize = 1032;
const AUX_HEAD: usize = 1056;
const AUX_TAIL: usize = 1064;
const AUX_OFFSET: usize = 1072;
const AUX_SIZE: usize = 1080;

/// The beginning of `struct perf_event_attr`, its fifth version.
#[repr(C)]
#[derive(Debug, Default)]
pub(super) struct Attributes {
    pub(super) kind: u32,
    pub(super) size: u32,
    pub(super) config: u64,
    pub(super) sample_period: u64,
    pub(super) sample_type: u64,
    pub(super) read_format: u64,
    pub(super) flags: u64,
    pub(super) wakeup: u32,
    pub(super) breakpoint: u32,
    pub(super) config1: u64,
    pub(super) config2: u64,
    pub(super) branch_sample_type: u64,
    pub(super) sample_registers_user: u64,
    pub(super) sample_stack_user: u32,
    pub(super) clock: i32,
    pub(super) sample_registers_interrupt: u64,
    pub(super) aux_watermark: u32,
    pub(super) sample_stack_max: u16,
    pub(super) reserved: u16,
}

/// An event that counts, and its buffers.
#[derive(Debug)]
pub(super) struct Event {
    file: File,
    control: Mapping,
    aux: Mapping,
}

#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the mapping belongs to whoever has the value, and is not tied to a thread.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(file: &File, bytes: usize, offset: usize) -> io::Result<Mapping> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
        // SAFETY: the kernel chooses a place where nothing is.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                protection,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                offset,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Mapping { start, bytes })
    }

    /// The word at a place of the control page.
    fn word(&self, place: usize) -> *mut u64 {
        debug_assert!(place + 8 <= self.bytes && place.is_multiple_of(8));
        self.start.as_ptr().wrapping_add(place).cast()
    }

    fn read(&self, place: usize) -> u64 {
        // SAFETY: the word lies in the mapping, aligned; the kernel writes it at any time.
        unsafe { ptr::read_volatile(self.word(place)) }
    }

    fn write(&self, place: usize, value: u64) {
        // SAFETY: the word lies in the mapping, aligned; the kernel reads it at any time.
        unsafe { ptr::write_volatile(self.word(place), value) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: nothing refers to the mapping any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

impl Event {
    /// Opens an event on one processor, as such drivers want it, and lets it count.
    pub(super) fn open(mut attributes: Attributes, processor: i32) -> io::Result<Event> {
        attributes.size = u32::try_from(size_of::<Attributes>()).unwrap_or(0);
        // SAFETY: `attributes` has the size that it says.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_perf_event_open,
                &raw const attributes,
                -1,
                processor,
                -1,
                CLOSE_ON_EXEC,
            )
        };
        let fd = RawFd::try_from(fd).unwrap_or(-1);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just opened the descriptor, and nobody else knows of it.
        let file = unsafe { File::from_raw_fd(fd) };
        let control = Mapping::new(&file, CONTROL_BYTES, 0)?;
        control.write(AUX_OFFSET, CONTROL_BYTES as u64);
        control.write(AUX_SIZE, AUX_BYTES as u64);
        let aux = Mapping::new(&file, AUX_BYTES, CONTROL_BYTES)?;
        Ok(Event { file, control, aux })
    }

    pub(super) fn fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Takes what the driver has written since the last call.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let head = self.control.read(AUX_HEAD);
        // The bytes are read after the head that covers them.
        fence(Ordering::Acquire);
        let tail = self.control.read(AUX_TAIL);
        let count = head.wrapping_sub(tail).min(AUX_BYTES as u64);
        let bytes = (0..count).map(|number| {
            let place = tail.wrapping_add(number) % AUX_BYTES as u64;
            let place = usize::try_from(place).unwrap_or(0);
            // SAFETY: the place lies in the mapping, and the driver writes there only behind the head.
            unsafe { ptr::read_volatile(self.aux.start.as_ptr().wrapping_add(place)) }
        });
        let bytes = bytes.collect();
        // The bytes are read before the driver may replace them.
        fence(Ordering::SeqCst);
        self.control.write(AUX_TAIL, head);
        // The records say no more than that there are bytes.
        let records = self.control.read(DATA_HEAD);
        self.control.write(DATA_TAIL, records);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel's own dummy event, which has no such buffer: refused, whoever asks.
    #[test]
    fn an_event_without_a_buffer_is_refused() {
        let dummy = Attributes {
            kind: 1,
            config: 9,
            ..Attributes::default()
        };
        let refused = Event::open(dummy, 0).unwrap_err().raw_os_error().unwrap();
        // By rights, or by what the event cannot do; but not by the size of what it was given.
        assert_ne!(refused, libc::E2BIG);
        assert_ne!(refused, libc::EFAULT);
    }

    #[test]
    fn attributes_have_the_size_of_their_version() {
        assert_eq!(size_of::<Attributes>(), 112);
    }
}
