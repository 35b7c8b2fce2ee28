// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Whether somebody listens on a socket, found out without connecting: the device takes whoever
//! connects for its client.

use std::io;
use std::path::Path;

/// The kernel's list of UNIX sockets (proc(5)).
const SOCKET_LIST: &str = "/proc/net/unix";
/// `__SO_ACCEPTCON` in the flags' column.
const LISTENS: u32 = 1 << 16;

/// Whether all of `paths` are sockets that accept connections.
pub(super) fn all_listen(paths: &[&Path]) -> io::Result<bool> {
    let list = std::fs::read_to_string(SOCKET_LIST)?;
    Ok(paths.iter().all(|path| listens(&list, path)))
}

/// Whether a process has a socket with a name below `folder`.
pub(super) fn is_used(folder: &Path) -> io::Result<bool> {
    let list = std::fs::read_to_string(SOCKET_LIST)?;
    let below = format!(" {}/", folder.display());
    Ok(list.lines().any(|line| line.contains(&below)))
}

/// A line has the columns number, references, protocol, flags, type, state, inode and path.
fn listens(list: &str, path: &Path) -> bool {
    let path = path.to_string_lossy();
    list.lines().any(|line| {
        let columns = line.strip_suffix(path.as_ref()).unwrap_or_default();
        let flags = columns.split_ascii_whitespace().nth(3);
        let flags = flags.and_then(|flags| u32::from_str_radix(flags, 16).ok());
        columns.ends_with(' ') && flags.is_some_and(|flags| flags & LISTENS != 0)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn a_listener_is_found_and_a_lost_socket_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device.sock");
        assert!(!all_listen(&[&path]).unwrap());
        let listener = UnixListener::bind(&path).unwrap();
        assert!(all_listen(&[&path]).unwrap());
        let _client = UnixStream::connect(&path).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        drop(listener);
        assert!(path.exists());
        assert!(!all_listen(&[&path]).unwrap(), "Only {accepted:?} is left");
    }
}
