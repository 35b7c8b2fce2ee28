// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Pages that somebody else holds, so that they cannot be moved: they lie in a pipe (`vmsplice(2)`).

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::AsRawFd;

use super::PAGE_BYTES;

/// What one pipe of the largest size that needs no privilege holds.
const PIPE_BYTES: i32 = 1 << 20;
const PAGES_PER_PIPE: usize = 256;

/// Holds pages of this process until it is dropped.
#[derive(Debug)]
pub struct Pin {
    /// Their end is what lets go of the pages.
    _pipes: Vec<Pipe>,
}

/// Both ends of a pipe.
type Pipe = (PipeReader, PipeWriter);

impl Pin {
    /// Holds the pages at these addresses, which must be there.
    pub fn hold(addresses: &[u64]) -> io::Result<Pin> {
        addresses
            .chunks(PAGES_PER_PIPE)
            .map(hold)
            .collect::<io::Result<_>>()
            .map(|pipes| Pin { _pipes: pipes })
    }
}

fn hold(addresses: &[u64]) -> io::Result<Pipe> {
    let (reader, writer) = io::pipe()?;
    // SAFETY: the call changes the pipe's size only.
    let resized = unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETPIPE_SZ, PIPE_BYTES) };
    if resized < 0 {
        return Err(io::Error::last_os_error());
    }
    for &address in addresses {
        let page_bytes = usize::try_from(PAGE_BYTES).map_err(|_| io::ErrorKind::InvalidInput)?;
        let base = usize::try_from(address).map_err(|_| io::ErrorKind::InvalidInput)?;
        let area = libc::iovec {
            iov_base: std::ptr::with_exposed_provenance_mut(base),
            iov_len: page_bytes,
        };
        // SAFETY: the kernel reads one description of an area, and only takes hold of its page.
        let spliced = unsafe { libc::vmsplice(writer.as_raw_fd(), &raw const area, 1, 0) };
        match u64::try_from(spliced) {
            Ok(PAGE_BYTES) => {}
            Ok(_) => return Err(io::ErrorKind::WriteZero.into()),
            Err(_) => return Err(io::Error::last_os_error()),
        }
    }
    Ok((reader, writer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Buffer;

    #[test]
    fn more_pages_than_one_pipe_holds_are_held() {
        let mut buffer = Buffer::map(300).unwrap();
        (0..300).for_each(|page| buffer.write(page, 0, 1));
        let pin = Pin::hold(&buffer.page_addresses()).unwrap();
        assert_eq!(pin._pipes.len(), 2);
    }

    #[test]
    fn a_page_that_is_not_there_is_refused() {
        assert!(Pin::hold(&[0]).is_err());
    }
}
