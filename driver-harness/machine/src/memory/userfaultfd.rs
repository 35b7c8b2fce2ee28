// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Read-write protection by userfaultfd, in its asynchronous form: a protected page is as it was, and the first
//! access to it ends its protection, so that a later scan knows of that. Since Linux 7.2
//! (include/uapi/linux/userfaultfd.h, Documentation/admin-guide/mm/userfaultfd.rst).
//!
//! Only a process itself can have its memory protected so. Another one that may trace it can take a copy of its
//! descriptor, though, and protect and scan with that.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::PAGE_BYTES;
use super::page_scan::{self, AccessedRun};
use crate::wait;

/// `UFFD_API`, the number of the interface.
const API: u64 = 0xaa;
/// `UFFD_FEATURE_RWP` and `UFFD_FEATURE_RWP_ASYNC`.
const PROTECTS: u64 = 1 << 17;
const ASYNCHRONOUS: u64 = 1 << 18;
/// `UFFDIO_REGISTER_MODE_RWP` and `UFFDIO_RWPROTECT_MODE_RWP`.
const REGISTER_PROTECTED: u64 = 1 << 3;
const PROTECT: u64 = 1;
/// `_IOWR(0xaa, 0x3f, struct uffdio_api)` and its like.
const UFFDIO_API: libc::Ioctl = 0xc018_aa3f_u32 as libc::Ioctl;
const UFFDIO_REGISTER: libc::Ioctl = 0xc020_aa00_u32 as libc::Ioctl;
const UFFDIO_RWPROTECT: libc::Ioctl = 0xc018_aa09_u32 as libc::Ioctl;
/// Pages with less than this between them are protected by one call: it costs less to go over some that are protected
/// already than to call again.
const GAP_BYTES: u64 = 64 * PAGE_BYTES;
/// What a descriptor of a userfaultfd is a link to.
const LINK: &str = "anon_inode:[userfaultfd]";

/// Why accesses to a process's pages cannot be known.
#[derive(Debug, thiserror::Error)]
pub enum UserfaultfdError {
    /// The kernel has none of it.
    #[error(
        "This kernel does not tell which pages were accessed: it takes Linux 7.2 or newer with \
         CONFIG_USERFAULTFD_RWP"
    )]
    Kernel,
    /// The kernel refuses to make one.
    #[error(
        "Cannot make a userfaultfd; it takes CAP_SYS_PTRACE where vm.unprivileged_userfaultfd is 0"
    )]
    Make(#[source] io::Error),
    /// The memory cannot be registered.
    #[error("Cannot register memory for read-write protection")]
    Register(#[source] io::Error),
    /// The process cannot be looked into.
    #[error(
        "Cannot look into process {process_id}; for processes of other users it takes CAP_SYS_PTRACE and \
         CAP_DAC_READ_SEARCH"
    )]
    Process {
        /// Which.
        process_id: u32,
        /// What the kernel said.
        source: io::Error,
    },
    /// It does not take part.
    #[error(
        "Process {process_id} has no userfaultfd for read-write protection, and nobody else can set one up for \
         its memory; chmu workload --userfaultfd does, and accessed:{process_id} watches any process"
    )]
    NotShared {
        /// Which.
        process_id: u32,
    },
    /// Its threads would wait for its own handler.
    #[error(
        "The userfaultfd of process {process_id} is not in asynchronous mode: each access to a protected page \
         would wait for a handler of that process"
    )]
    Synchronous {
        /// Which.
        process_id: u32,
    },
    /// The process's memory cannot be scanned or protected.
    #[error("Cannot find out which pages of process {process_id} were accessed")]
    Scan {
        /// Which.
        process_id: u32,
        /// What the kernel said.
        source: io::Error,
    },
}

/// `struct uffdio_api`.
#[repr(C)]
#[derive(Debug, Default)]
struct Api {
    api: u64,
    features: u64,
    ioctls: u64,
}

/// `struct uffdio_register`.
#[repr(C)]
#[derive(Debug, Default)]
struct Register {
    start: u64,
    bytes: u64,
    mode: u64,
    ioctls: u64,
}

/// `struct uffdio_rwprotect`.
#[repr(C)]
#[derive(Debug, Default)]
struct Protect {
    start: u64,
    bytes: u64,
    mode: u64,
}

/// Memory of this process that may be protected, and scanned by whoever may trace the process.
///
/// Nothing is protected yet. What is protected is no longer when this is dropped and nobody has a copy.
#[derive(Debug)]
pub struct Registered {
    _userfaultfd: OwnedFd,
}

impl Registered {
    /// Registers memory of this process: whole pages, mapped.
    ///
    /// # Errors
    /// Where the kernel cannot do it or refuses to.
    pub fn memory(addresses: Range<u64>) -> Result<Registered, UserfaultfdError> {
        let userfaultfd = make()?;
        let mut register = Register {
            start: addresses.start,
            bytes: addresses.end.saturating_sub(addresses.start),
            mode: REGISTER_PROTECTED,
            ioctls: 0,
        };
        // SAFETY: the kernel reads and writes `register`, which is borrowed here; registering changes no content.
        let result =
            unsafe { libc::ioctl(userfaultfd.as_raw_fd(), UFFDIO_REGISTER, &raw mut register) };
        match result {
            0 => Ok(Registered {
                _userfaultfd: userfaultfd,
            }),
            _ => Err(UserfaultfdError::Register(io::Error::last_os_error())),
        }
    }
}

/// A new userfaultfd with the features that are needed.
fn make() -> Result<OwnedFd, UserfaultfdError> {
    let flags = libc::O_CLOEXEC | libc::O_NONBLOCK;
    // SAFETY: the call takes a plain number and makes a descriptor.
    let number = unsafe { libc::syscall(libc::SYS_userfaultfd, flags) };
    let number = match i32::try_from(number) {
        Ok(number) if number >= 0 => number,
        _ => {
            return Err(match io::Error::last_os_error() {
                error if error.raw_os_error() == Some(libc::ENOSYS) => UserfaultfdError::Kernel,
                error => UserfaultfdError::Make(error),
            });
        }
    };
    // SAFETY: the kernel has just made this descriptor for us alone.
    let userfaultfd = unsafe { OwnedFd::from_raw_fd(number) };
    let mut api = Api {
        api: API,
        features: PROTECTS | ASYNCHRONOUS,
        ioctls: 0,
    };
    // SAFETY: the kernel reads and writes `api`, which is borrowed here.
    let result = unsafe { libc::ioctl(userfaultfd.as_raw_fd(), UFFDIO_API, &raw mut api) };
    // Kernels that know the features and cannot offer them leave them out of the answer.
    match result == 0 && has_features(api.features) {
        true => Ok(userfaultfd),
        false => Err(UserfaultfdError::Kernel),
    }
}

fn has_features(features: u64) -> bool {
    features & (PROTECTS | ASYNCHRONOUS) == PROTECTS | ASYNCHRONOUS
}

/// Another process whose userfaultfd is used.
#[derive(Debug)]
pub struct SharedUserfaultfd {
    process_id: u32,
    process: OwnedFd,
    page_map: File,
    userfaultfds: Vec<OwnedFd>,
}

impl SharedUserfaultfd {
    /// Takes copies of the process's userfaultfds that protect.
    ///
    /// # Errors
    /// When the kernel, the process or its rights do not allow it.
    pub fn of_process(process_id: u32) -> Result<SharedUserfaultfd, UserfaultfdError> {
        let own = File::open("/proc/self/pagemap")
            .map_err(|source| UserfaultfdError::Process { process_id, source })?;
        if !page_scan::tells_accesses(&own) {
            return Err(UserfaultfdError::Kernel);
        }
        let closed = |source| UserfaultfdError::Process { process_id, source };
        let folder = Path::new("/proc").join(process_id.to_string());
        let userfaultfds = descriptors(&folder).map_err(closed)?;
        let able: Vec<_> = userfaultfds
            .iter()
            .filter(|(_, features)| features & PROTECTS != 0)
            .collect();
        if able.is_empty() {
            return Err(UserfaultfdError::NotShared { process_id });
        }
        if able.iter().any(|(_, features)| !has_features(*features)) {
            return Err(UserfaultfdError::Synchronous { process_id });
        }
        let process = i32::try_from(process_id).ok().and_then(Pid::from_raw);
        let process = process.ok_or_else(|| closed(io::ErrorKind::NotFound.into()))?;
        let process =
            pidfd_open(process, PidfdFlags::empty()).map_err(|error| closed(error.into()))?;
        let copy =
            |&&(number, _): &&(i32, u64)| pidfd_getfd(&process, number, PidfdGetfdFlags::empty());
        let userfaultfds: Result<Vec<_>, _> = able.iter().map(copy).collect();
        Ok(SharedUserfaultfd {
            process_id,
            userfaultfds: userfaultfds.map_err(|error| closed(error.into()))?,
            process,
            page_map: File::open(folder.join("pagemap")).map_err(closed)?,
        })
    }

    /// Whether the process has ended.
    pub fn has_ended(&self) -> bool {
        wait::readable(&[self.process.as_fd().as_raw_fd()], Some(Duration::ZERO)).unwrap_or(false)
    }

    /// Registered pages that are present and were accessed since they were protected, or never were; ascending.
    ///
    /// # Errors
    /// When the process has ended, or given up the memory by starting another program.
    pub fn accessed(&self) -> Result<Vec<AccessedRun>, UserfaultfdError> {
        page_scan::accessed(&self.page_map).map_err(|source| self.failed(source))
    }

    /// Protects pages that [`SharedUserfaultfd::accessed`] told of, and what lies close between them.
    ///
    /// # Errors
    /// As there. Memory that is gone meanwhile is none.
    pub fn protect(&self, runs: &[AccessedRun]) -> Result<(), UserfaultfdError> {
        let runs: Vec<_> = runs.iter().map(|run| run.addresses.clone()).collect();
        for wide in page_scan::joined(&runs, GAP_BYTES) {
            let is_inside = |run: &&Range<u64>| wide.start <= run.start && run.end <= wide.end;
            let set = |addresses| {
                self.set(addresses, PROTECT)
                    .map_err(|source| self.failed(source))
            };
            // What lies between may not be registered, and all is refused then.
            if !set(&wide)? {
                for run in runs.iter().filter(is_inside) {
                    set(run)?;
                }
            }
        }
        Ok(())
    }

    /// Ends the protection of all pages.
    fn release(&self) -> io::Result<()> {
        let untouched = page_scan::untouched(&self.page_map)?;
        untouched
            .iter()
            .try_for_each(|addresses| self.set(addresses, 0).map(|_| ()))
    }

    /// Whether the memory is one userfaultfd's, which has set it.
    fn set(&self, addresses: &Range<u64>, mode: u64) -> io::Result<bool> {
        for userfaultfd in &self.userfaultfds {
            let mut protect = Protect {
                start: addresses.start,
                bytes: addresses.end.saturating_sub(addresses.start),
                mode,
            };
            // SAFETY: the kernel reads `protect`, which is borrowed here; what the process's pages hold stays
            // the same, and its accesses go on, as the mode is asynchronous.
            let result =
                unsafe { libc::ioctl(userfaultfd.as_raw_fd(), UFFDIO_RWPROTECT, &raw mut protect) };
            if result == 0 {
                return Ok(true);
            }
            match io::Error::last_os_error() {
                // Memory of another userfaultfd, of none, or none at all; or one that changes just now.
                error if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EAGAIN)) => {}
                error => return Err(error),
            }
        }
        Ok(false)
    }

    fn failed(&self, source: io::Error) -> UserfaultfdError {
        UserfaultfdError::Scan {
            process_id: self.process_id,
            source,
        }
    }
}

impl Drop for SharedUserfaultfd {
    /// No page stays protected. After a death by SIGKILL some do, and each costs its next access a fault.
    fn drop(&mut self) {
        // A process that has ended has no pages, and nobody is there any more to be told of another failure.
        let _ = self.release();
    }
}

/// The numbers of a process's userfaultfds with their features.
fn descriptors(folder: &Path) -> io::Result<Vec<(i32, u64)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder.join("fd"))? {
        let entry = entry?;
        let is_one = match fs::read_link(entry.path()) {
            Ok(link) => link == Path::new(LINK),
            // The folder may be read by those who may not know what is in it.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
            // One that is closed meanwhile is none.
            Err(_) => false,
        };
        let number = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let Some(number) = number.filter(|_| is_one) else {
            continue;
        };
        let told = fs::read_to_string(folder.join("fdinfo").join(entry.file_name()));
        found.push((
            number,
            told.ok().and_then(|text| features(&text)).unwrap_or(0),
        ));
    }
    Ok(found)
}

/// The features from the line `API: NUMBER:FEATURES:IOCTLS`, all in hexadecimal.
fn features(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("API:"))?;
    let features = line.split(':').nth(1)?;
    u64::from_str_radix(features.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Buffer;

    #[test]
    fn features_are_read_from_what_the_kernel_shows() {
        let text =
            "pos:\t0\nflags:\t02004002\npending:\t0\ntotal:\t0\nAPI:\taa:60000:8000000000000007\n";
        assert!(features(text).is_some_and(has_features));
        assert!(!has_features(PROTECTS) && !has_features(ASYNCHRONOUS));
        for wrong in ["", "API:", "API:\taa", "API:\taa:x:1", "API:aa:-1:2"] {
            assert_eq!(features(wrong), None, "{wrong:?}");
        }
    }

    /// Where this kernel can: exactly the pages that were touched are found, by a copy as another process has it.
    /// Where it cannot: both ends say so.
    #[test]
    fn accessed_pages_are_found_or_the_kernel_is_told_to_be_too_old() {
        let mut buffer = Buffer::map(64).unwrap();
        (0..64).for_each(|page| buffer.write(page, 0, 1));
        let addresses = buffer.page_addresses();
        let end = addresses[63] + PAGE_BYTES;
        let registered = Registered::memory(addresses[0]..end);
        let shared = SharedUserfaultfd::of_process(std::process::id());
        let own = File::open("/proc/self/pagemap").unwrap();
        if !page_scan::tells_accesses(&own) {
            assert!(
                matches!(shared, Err(UserfaultfdError::Kernel)),
                "{shared:?}"
            );
            assert!(registered.is_err());
            return;
        }
        let (_registered, shared) = (registered.unwrap(), shared.unwrap());
        let found = |shared: &SharedUserfaultfd| -> Vec<u64> {
            let runs = shared.accessed().unwrap();
            let pages = addresses
                .iter()
                .filter(|address| runs.iter().any(|run| run.addresses.contains(address)));
            pages
                .map(|address| (address - addresses[0]) / 4096)
                .collect()
        };
        assert_eq!(found(&shared).len(), 64, "nothing is protected yet");
        shared.protect(&shared.accessed().unwrap()).unwrap();
        assert_eq!(found(&shared), []);
        assert_eq!(buffer.read(5, 0), 1);
        buffer.write(9, 0, 2);
        assert_eq!(found(&shared), [5, 9]);
        assert!(!shared.has_ended());
        drop(shared);
        let again = SharedUserfaultfd::of_process(std::process::id()).unwrap();
        assert_eq!(found(&again).len(), 64, "nothing stays protected");
    }

    #[test]
    fn a_process_that_takes_no_part_is_told_so() {
        let process_id = u32::MAX;
        let error = SharedUserfaultfd::of_process(process_id).unwrap_err();
        assert!(
            matches!(
                error,
                UserfaultfdError::Kernel | UserfaultfdError::Process { .. }
            ),
            "{error}"
        );
    }

    #[test]
    fn a_scan_of_nothing_tells_what_the_kernel_knows() {
        let own = File::open("/proc/self/pagemap").unwrap();
        let known = page_scan::present(&own, 0..0x1000).unwrap();
        assert_eq!(known, Some(Vec::new()));
    }
}
