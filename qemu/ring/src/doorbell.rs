// SPDX-License-Identifier: BSD-3-Clause
//! The eventfd by which a producer asks the consumer to look.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

#[derive(Debug)]
pub(crate) struct Doorbell(File);

impl Doorbell {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: eventfd takes integers only.
        let raw = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: eventfd returned this descriptor and nobody else has it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(raw) }.into()))
    }

    /// Makes the descriptor readable.
    pub(crate) fn ring(&self) {
        // It fails only when it has rung 2^64 - 2 times unheard, and then it is readable anyway.
        let _ = (&self.0).write(&1_u64.to_ne_bytes());
    }

    /// Makes the descriptor unreadable until it rings again.
    pub(crate) fn silence(&self) {
        // Nothing to read means that it is silent already.
        let _ = (&self.0).read(&mut [0; 8]);
    }
}

impl From<OwnedFd> for Doorbell {
    fn from(descriptor: OwnedFd) -> Self {
        Self(descriptor.into())
    }
}

impl AsFd for Doorbell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
