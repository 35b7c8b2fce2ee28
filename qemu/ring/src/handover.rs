// SPDX-License-Identifier: BSD-3-Clause
//! The message that carries a feed's memory and doorbell over the access socket.
//!
//! The device sends one message of 16 bytes (magic, version, zero) with two file descriptors:
//! the memory file, then the doorbell. Neither side sends anything after it.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::ptr;

use crate::error::Error;
use crate::layout::{MAGIC, VERSION};

const GREETING_BYTES: usize = 16;
const DESCRIPTORS: usize = 2;
#[allow(clippy::cast_possible_truncation)]
const DESCRIPTOR_BYTES: u32 = size_of::<[RawFd; DESCRIPTORS]>() as u32;
// SAFETY: CMSG_SPACE only computes with its argument.
const CONTROL_BYTES: usize = unsafe { libc::CMSG_SPACE(DESCRIPTOR_BYTES) } as usize;

/// A control-message buffer, aligned as the kernel's header wants it.
#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);

fn greeting() -> [u8; GREETING_BYTES] {
    let word = u128::from(MAGIC) | u128::from(VERSION) << 64;
    word.to_ne_bytes()
}

fn message(bytes: &mut libc::iovec, control: &mut Control) -> libc::msghdr {
    // SAFETY: all-zero is a valid msghdr: no name, no data, no control.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = bytes;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = CONTROL_BYTES;
    message
}

/// Sends the two descriptors of a feed.
pub(crate) fn send(
    stream: &UnixStream,
    memory: BorrowedFd<'_>,
    doorbell: BorrowedFd<'_>,
) -> io::Result<()> {
    let mut greeting = greeting();
    let mut bytes = libc::iovec {
        iov_base: greeting.as_mut_ptr().cast(),
        iov_len: GREETING_BYTES,
    };
    let mut control = Control([0; CONTROL_BYTES]);
    let message = message(&mut bytes, &mut control);
    // SAFETY: the message's control buffer has room for one header.
    let header = unsafe { libc::CMSG_FIRSTHDR(&message) };
    let content = libc::cmsghdr {
        // SAFETY: CMSG_LEN only computes with its argument.
        cmsg_len: unsafe { libc::CMSG_LEN(DESCRIPTOR_BYTES) } as usize,
        cmsg_level: libc::SOL_SOCKET,
        cmsg_type: libc::SCM_RIGHTS,
    };
    // SAFETY: `header` points to the aligned start of `control`.
    unsafe { header.write(content) };
    // SAFETY: `header` is valid, and its data lies behind it in `control`.
    let data = unsafe { libc::CMSG_DATA(header) }.cast::<[RawFd; DESCRIPTORS]>();
    let descriptors = [memory.as_raw_fd(), doorbell.as_raw_fd()];
    // SAFETY: CONTROL_BYTES counts these descriptors; the place need not be aligned.
    unsafe { data.write_unaligned(descriptors) };
    // SAFETY: every pointer in `message` is to a live local of the stated length.
    let sent = unsafe { libc::sendmsg(stream.as_raw_fd(), &message, libc::MSG_NOSIGNAL) };
    match usize::try_from(sent) {
        Err(_) => Err(io::Error::last_os_error()),
        Ok(GREETING_BYTES) => Ok(()),
        Ok(_) => Err(io::ErrorKind::WriteZero.into()),
    }
}

/// Receives the two descriptors of a feed: memory file and doorbell.
pub(crate) fn receive(stream: &UnixStream) -> Result<(OwnedFd, OwnedFd), Error> {
    let mut received = [0_u8; GREETING_BYTES];
    let mut bytes = libc::iovec {
        iov_base: received.as_mut_ptr().cast(),
        iov_len: GREETING_BYTES,
    };
    let mut control = Control([0; CONTROL_BYTES]);
    let mut message = message(&mut bytes, &mut control);
    let flags = libc::MSG_CMSG_CLOEXEC | libc::MSG_WAITALL;
    // SAFETY: every pointer in `message` is to a live local of the stated length.
    let count = unsafe { libc::recvmsg(stream.as_raw_fd(), &mut message, flags) };
    if count < 0 {
        return Err(Error::Receive(io::Error::last_os_error()));
    }
    let descriptors = take_descriptors(&message);
    if count == 0 {
        return Err(Error::Refused);
    }
    match <[OwnedFd; DESCRIPTORS]>::try_from(descriptors) {
        Ok([memory, doorbell]) if received == greeting() => Ok((memory, doorbell)),
        _ => Err(Error::Protocol),
    }
}

/// Takes ownership of whatever descriptors came with a message, so that none leaks.
fn take_descriptors(message: &libc::msghdr) -> Vec<OwnedFd> {
    let mut descriptors = Vec::new();
    // SAFETY: the kernel filled in the message; its control buffer is live and of that length.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !header.is_null() {
        // SAFETY: `header` was given by CMSG_FIRSTHDR or CMSG_NXTHDR and is not null.
        let content = unsafe { ptr::read_unaligned(header) };
        if content.cmsg_level == libc::SOL_SOCKET && content.cmsg_type == libc::SCM_RIGHTS {
            // SAFETY: CMSG_LEN only computes with its argument.
            let header_bytes = unsafe { libc::CMSG_LEN(0) } as usize;
            let data_bytes = content.cmsg_len.saturating_sub(header_bytes);
            let count = data_bytes.div_euclid(size_of::<RawFd>());
            // SAFETY: `header` is valid, and its data lies behind it.
            let data = unsafe { libc::CMSG_DATA(header) }.cast::<RawFd>();
            for index in 0..count {
                // SAFETY: the kernel wrote `count` descriptors from `data` on.
                let place = unsafe { data.add(index) };
                // SAFETY: as above; the place need not be aligned.
                let raw = unsafe { place.read_unaligned() };
                // SAFETY: the kernel made this descriptor for us with this message.
                descriptors.push(unsafe { OwnedFd::from_raw_fd(raw) });
            }
        }
        // SAFETY: `header` belongs to `message`.
        header = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
    descriptors
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;

    fn inode(descriptor: impl Into<OwnedFd>) -> u64 {
        File::from(descriptor.into()).metadata().unwrap().ino()
    }

    #[test]
    fn both_descriptors_arrive_in_order() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (first, second) = UnixStream::pair().unwrap();
        send(&ours, first.as_fd(), second.as_fd()).unwrap();
        let (memory, doorbell) = receive(&theirs).unwrap();
        assert_eq!(inode(memory), inode(first));
        assert_eq!(inode(doorbell), inode(second));
    }

    #[test]
    fn a_closed_socket_is_a_refusal() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(ours);
        assert!(matches!(receive(&theirs), Err(Error::Refused)));
    }

    #[test]
    fn a_greeting_without_descriptors_is_refused() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(&greeting()).unwrap();
        assert!(matches!(receive(&theirs), Err(Error::Protocol)));
    }

    #[test]
    fn another_protocol_is_refused() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(b"HTTP/1.1 400 Bad Request\r\n").unwrap();
        assert!(matches!(receive(&theirs), Err(Error::Protocol)));
    }
}
