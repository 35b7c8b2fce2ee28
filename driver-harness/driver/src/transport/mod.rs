// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! How registers of a PCI function are reached.
//!
//! The driver and the conformance cases are written against [`Transport`]; each implementation is
//! one path to a function: [`sysfs`] while a kernel driver is bound, [`vfio`] otherwise,
//! [`socket`] to a device process without a virtual machine, [`in_process`] to the device model
//! without any process in between. A [`Layer`] stands on top of one of them.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use chmu_machine::clock;
use chmu_machine::refusal::Refusal;

#[cfg(test)]
pub(crate) mod fake;
pub mod in_process;
mod layer;
mod mapping;
mod messages;
pub(crate) mod physical;
mod reset;
pub mod socket;
pub mod sysfs;
pub mod vfio;

pub use layer::Layer;
pub(crate) use reset::resettable_express;

/// Bytes of a 64-bit word.
const WORD_BYTES: u64 = 8;

/// Size of one access.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Width {
    /// 1 byte.
    One,
    /// 2 bytes.
    Two,
    /// 4 bytes.
    Four,
    /// 8 bytes.
    Eight,
}

impl Width {
    /// The size in bytes.
    pub const fn bytes(self) -> usize {
        match self {
            Width::One => 1,
            Width::Two => 2,
            Width::Four => 4,
            Width::Eight => 8,
        }
    }
}

/// A place in one of the six base address registers' areas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BarOffset {
    /// Base address register, 0 to 5.
    pub bar: u8,
    /// Bytes from its start.
    pub offset: u64,
}

impl BarOffset {
    /// The place `bytes` further on; saturates, so that what lies beyond every area stays there.
    #[must_use]
    pub const fn plus(self, bytes: u64) -> BarOffset {
        BarOffset {
            bar: self.bar,
            offset: self.offset.saturating_add(bytes),
        }
    }
}

impl fmt::Display for BarOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BAR{}+{:#x}", self.bar, self.offset)
    }
}

/// One PCI function's registers, which units in several threads may share.
pub trait Transport: fmt::Debug + Send + Sync {
    /// The function as users name it, for example `0000:35:00.0`.
    fn device(&self) -> &str;

    /// Reads configuration space, at most four bytes at a time.
    fn read_config(&self, offset: u16, width: Width) -> Result<u32, TransportError>;

    /// Writes configuration space, at most four bytes at a time.
    fn write_config(&self, offset: u16, width: Width, value: u32) -> Result<(), TransportError>;

    /// Size of a base address register's area.
    fn bar_bytes(&self, bar: u8) -> Result<u64, TransportError>;

    /// Reads a register with one access of this width; upper bits of the value are zero.
    fn read(&self, place: BarOffset, width: Width) -> Result<u64, TransportError>;

    /// Writes the low bytes of `value` with one access of this width.
    fn write(&self, place: BarOffset, width: Width, value: u64) -> Result<(), TransportError>;

    /// Reads 64-bit words that follow each other, such as entries of a hotlist, ascending, each with one
    /// access of eight bytes. A path on which an access is slow may take them from mapped pages.
    fn read_words(&self, place: BarOffset, words: &mut [u64]) -> Result<(), TransportError> {
        for (index, word) in (0_u64..).zip(words) {
            *word = self.read(place.plus(index.saturating_mul(WORD_BYTES)), Width::Eight)?;
        }
        Ok(())
    }

    /// Maps an area for repeated reads, such as a hotlist.
    fn map(&self, place: BarOffset, bytes: u64) -> Result<Box<dyn MappedWords>, TransportError>;

    /// How many interrupt messages can be waited for; 0 where the path has no interrupts.
    fn interrupt_messages(&self) -> u16;

    /// Waits for an interrupt message. Returns how many came since the last call, `None` when none
    /// came in time.
    fn wait_for_interrupt(
        &self,
        message: u16,
        timeout: Duration,
    ) -> Result<Option<u64>, TransportError>;

    /// Resets the function and makes it usable again; `false` where the path or the function
    /// cannot do that.
    fn reset(&self) -> Result<bool, TransportError>;

    /// A descriptor that can be read while the message has come and was not waited for yet; none
    /// where the path has no such descriptor.
    fn interrupt_event(&self, _message: u16) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Time on the clock that the function lives by; for a real one, the kernel's monotonic clock.
    fn now(&self) -> Duration {
        Duration::from_nanos(clock::monotonic_ns())
    }

    /// Lets this much time of that clock pass.
    fn pause(&self, time: Duration) {
        thread::sleep(time);
    }
}

/// An area of 64-bit words that a device writes.
pub trait MappedWords: fmt::Debug + Send {
    /// Number of words.
    fn len(&self) -> u64;

    /// Whether there is no word at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads one word; `None` past the end.
    fn read(&self, index: u64) -> Option<u64>;
}

/// What goes wrong between the driver and a register.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// A file of the function cannot be opened.
    #[error("Cannot open {}", path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel refuses, and it is known why.
    #[error("Cannot {action}: {refusal}")]
    Refused {
        /// What was tried.
        action: String,
        /// Why it is refused, and what helps.
        refusal: Refusal,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file of the function holds what no kernel writes there.
    #[error("Cannot read {}: {reason}", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The function ignores its memory areas.
    #[error("{device} has memory decoding switched off; bind it to cxl_pci or vfio-pci")]
    MemoryOff {
        /// The function.
        device: String,
    },
    /// The base address register is not there or is no memory.
    #[error("{device} has no memory BAR{bar}")]
    NoBar {
        /// The function.
        device: String,
        /// Which base address register.
        bar: u8,
    },
    /// The access leaves the area.
    #[error("{bytes} bytes at {place} are outside its {bar_bytes} bytes")]
    OutOfRange {
        /// Where the access starts.
        place: BarOffset,
        /// Its size.
        bytes: u64,
        /// The size of the area.
        bar_bytes: u64,
    },
    /// The path reaches registers with the processor's own loads, which want aligned places.
    #[error("{place} is not aligned to an access of {bytes} bytes")]
    Unaligned {
        /// Where the access starts.
        place: BarOffset,
        /// Its size.
        bytes: u64,
    },
    /// The mapped area has fewer words.
    #[error("There is no word {index} in a mapped area of {words} words")]
    PastEnd {
        /// The word asked for.
        index: u64,
        /// How many there are.
        words: u64,
    },
    /// The access was refused.
    #[error("Cannot {action} {bytes} bytes at {place}")]
    Access {
        /// Read, write or map.
        action: &'static str,
        /// Where.
        place: String,
        /// How many.
        bytes: u64,
        /// What the kernel said.
        source: io::Error,
    },
    /// VFIO does not hand the function out.
    #[error("Cannot {action} {device} through VFIO: {reason}")]
    Vfio {
        /// The function.
        device: String,
        /// Which step.
        action: &'static str,
        /// What VFIO said, and what to do where that is known.
        reason: String,
    },
    /// Nobody waits for what accesses would show any more.
    #[error("{device} is not accessed any more")]
    GivenUp {
        /// The function.
        device: String,
    },
    /// The process behind a socket does not act as a device.
    #[error("Cannot {action} the device at {}", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Which step.
        action: &'static str,
        /// What went wrong.
        source: io::Error,
    },
    /// There is no such interrupt message on this path.
    #[error("{device} delivers {available} interrupt messages here, so none with number {message}")]
    NoInterrupt {
        /// The function.
        device: String,
        /// The message asked for.
        message: u16,
        /// How many there are.
        available: u16,
    },
    /// Waiting for an interrupt failed.
    #[error("Cannot wait for interrupt message {message}")]
    Interrupt {
        /// The message.
        message: u16,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Refuses an access that leaves an area of `bar_bytes`.
fn check_range(place: BarOffset, bytes: u64, bar_bytes: u64) -> Result<(), TransportError> {
    match place.offset.checked_add(bytes) {
        Some(end) if end <= bar_bytes => Ok(()),
        _ => Err(TransportError::OutOfRange {
            place,
            bytes,
            bar_bytes,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_must_end_inside_its_area() {
        let at = |offset| BarOffset { bar: 4, offset };
        assert!(check_range(at(0xff8), 8, 0x1000).is_ok());
        assert!(check_range(at(0xff9), 8, 0x1000).is_err());
        let beyond = check_range(at(u64::MAX), 8, 0x1000).unwrap_err();
        assert_eq!(
            beyond.to_string(),
            "8 bytes at BAR4+0xffffffffffffffff are outside its 4096 bytes"
        );
    }

    #[test]
    fn a_place_far_beyond_stays_beyond() {
        let place = BarOffset { bar: 0, offset: 16 };
        assert_eq!(place.plus(u64::MAX).offset, u64::MAX);
    }
}
