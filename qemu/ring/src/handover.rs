// SPDX-License-Identifier: BSD-3-Clause
//! What travels over the access socket.
//!
//! The device sends one message of 16 bytes (magic, version, zero) with one file descriptor, the
//! memory file, and nothing after it. What the producer sends is its doorbell: any byte means that
//! the device should look at the rings. No send and no receive here ever waits for the peer, but
//! for the hand-over: a socket's flags belong to one side, and its calls need not wait anyway.

use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use vmm_sys_util::sock_ctrl_msg::ScmSocket;

use crate::error::Error;
use crate::layout::MAGIC;
use crate::limits::VERSION;

const GREETING_BYTES: usize = 16;
/// Rings of the doorbell that are taken at a time.
const RINGS_TAKEN: usize = 4096;

fn greeting() -> [u8; GREETING_BYTES] {
    let word = u128::from(MAGIC) | u128::from(VERSION) << 64;
    word.to_ne_bytes()
}

/// Sends the memory file of a feed. The socket is new, so there is room in it.
pub(crate) fn hand_over(stream: &UnixStream, memory: BorrowedFd<'_>) -> Result<(), Error> {
    let sent = stream.send_with_fd(&greeting()[..], memory.as_raw_fd());
    match sent.map_err(|error| Error::HandOver(error.into()))? {
        GREETING_BYTES => Ok(()),
        _ => Err(Error::HandOver(std::io::ErrorKind::WriteZero.into())),
    }
}

/// Receives the memory file of a feed, within the socket's time limit.
pub(crate) fn receive(stream: &UnixStream) -> Result<File, Error> {
    let mut received = [0_u8; GREETING_BYTES];
    let outcome = stream.recv_with_fd(&mut received);
    let (count, memory) = outcome.map_err(|error| {
        // More descriptors than one.
        if error.errno() == Errno::NOBUFS.raw_os_error() {
            Error::Protocol
        } else {
            Error::Receive(error.into())
        }
    })?;
    match memory {
        _ if count == 0 => Err(Error::Refused),
        Some(memory) if received == greeting() => {
            fcntl_setfd(&memory, FdFlags::CLOEXEC).map_err(|error| Error::Receive(error.into()))?;
            Ok(memory)
        }
        _ => Err(Error::Protocol),
    }
}

/// Asks the device to look at the rings.
pub(crate) fn ring(stream: &UnixStream) {
    // A socket without room holds many rings that the device has not heard yet; and one whose
    // device is gone needs none.
    let _ = send(stream, &[1], SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
}

/// Takes rings of the doorbell; returns whether the producer is still there.
pub(crate) fn hear(stream: &UnixStream) -> bool {
    match recv(stream, &mut [0_u8; RINGS_TAKEN], RecvFlags::DONTWAIT) {
        Ok((_, count)) => count > 0 && !is_closed(stream),
        Err(error) => matches!(error, Errno::AGAIN | Errno::INTR),
    }
}

/// Whether the other side closed its end, whatever it sent before.
pub(crate) fn is_closed(stream: &UnixStream) -> bool {
    let mut polled = [PollFd::new(stream, PollFlags::RDHUP)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut polled, Some(&now)) == Ok(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;

    fn inode(file: impl AsFd) -> u64 {
        let file = File::from(file.as_fd().try_clone_to_owned().unwrap());
        file.metadata().unwrap().ino()
    }

    #[test]
    fn the_descriptor_arrives_and_is_not_inherited() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (sent, _) = UnixStream::pair().unwrap();
        hand_over(&ours, sent.as_fd()).unwrap();
        let memory = receive(&theirs).unwrap();
        assert_eq!(inode(&memory), inode(sent));
        let flags = rustix::io::fcntl_getfd(&memory).unwrap();
        assert!(flags.contains(FdFlags::CLOEXEC));
    }

    #[test]
    fn a_closed_socket_is_a_refusal() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(ours);
        assert!(matches!(receive(&theirs), Err(Error::Refused)));
    }

    #[test]
    fn what_is_no_hand_over_is_refused() {
        let three = File::open("/dev/null").unwrap().as_raw_fd();
        for (bytes, descriptors) in [
            (&greeting()[..], &[][..]),
            (&greeting()[..], &[three; 3][..]),
            (&b"HTTP/1.1 400 Bad Request\r\n"[..], &[three][..]),
        ] {
            let (ours, theirs) = UnixStream::pair().unwrap();
            ours.send_with_fds(&[bytes], descriptors).ok();
            (&ours).write_all(bytes).unwrap();
            assert!(
                matches!(receive(&theirs), Err(Error::Protocol)),
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn rings_are_heard_until_the_producer_is_gone() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        assert!(hear(&ours), "nobody rang");
        ring(&theirs);
        assert!(hear(&ours));
        ring(&theirs);
        drop(theirs);
        assert!(!hear(&ours));
        ring(&ours);
    }

    /// Both sides' calls return although the other clears whatever flags it has and does nothing.
    #[test]
    fn nobody_is_held_up_by_the_other() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(false).unwrap();
        theirs.set_nonblocking(false).unwrap();
        assert!(hear(&ours));
        for _ in 0..100_000 {
            ring(&theirs);
        }
        assert!(hear(&ours));
    }
}
