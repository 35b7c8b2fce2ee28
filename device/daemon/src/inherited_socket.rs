// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! UNIX sockets that the parent process hands over as descriptors.

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, sockopt};

/// The descriptor is not what it should be.
#[derive(Debug, thiserror::Error)]
#[error("File descriptor {number} is not a UNIX stream socket")]
pub(crate) struct NotASocket {
    number: RawFd,
    #[source]
    source: io::Error,
}

/// A socket that the parent process opened.
#[derive(Debug)]
pub(crate) enum InheritedSocket {
    /// One that clients connect to, one after the other.
    Listening(UnixListener),
    /// A client is at its other end.
    Connected(UnixStream),
}

impl InheritedSocket {
    /// Takes descriptor `number` over.
    ///
    /// # Errors
    /// When it is not open, or not a UNIX stream socket.
    pub(crate) fn take(number: RawFd) -> Result<Self, NotASocket> {
        let refused = |error: Errno| NotASocket {
            number,
            source: error.into(),
        };
        if number < 0 {
            return Err(refused(Errno::BADF));
        }
        // SAFETY: it is not -1, and the kernel refuses what is not open.
        let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
        let is_listening = is_listening(borrowed).map_err(refused)?;
        // SAFETY: it is an open socket, given to us on the command line to own; it is taken once.
        let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
        Ok(if is_listening {
            Self::Listening(descriptor.into())
        } else {
            Self::Connected(descriptor.into())
        })
    }
}

/// Whether a UNIX stream socket listens; an error for any other descriptor.
fn is_listening(descriptor: BorrowedFd<'_>) -> Result<bool, Errno> {
    let domain = sockopt::socket_domain(descriptor)?;
    let kind = sockopt::socket_type(descriptor)?;
    if (domain, kind) != (AddressFamily::UNIX, SocketType::STREAM) {
        return Err(Errno::PROTOTYPE);
    }
    sockopt::socket_acceptconn(descriptor)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::IntoRawFd;

    use super::*;

    #[test]
    fn descriptors_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("s")).unwrap();
        let taken = InheritedSocket::take(listener.into_raw_fd()).unwrap();
        assert!(matches!(taken, InheritedSocket::Listening(_)));

        let (one, _other) = UnixStream::pair().unwrap();
        let taken = InheritedSocket::take(one.into_raw_fd()).unwrap();
        assert!(matches!(taken, InheritedSocket::Connected(_)));

        let file = File::open("/dev/null").unwrap();
        let number = file.into_raw_fd();
        assert!(InheritedSocket::take(number).is_err());
        assert_eq!(
            InheritedSocket::take(-1).unwrap_err().to_string(),
            "File descriptor -1 is not a UNIX stream socket"
        );
    }
}
