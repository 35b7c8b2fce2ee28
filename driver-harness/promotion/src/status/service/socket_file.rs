// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Listening UNIX sockets with a name that only their user can connect to.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// Connections that may wait to be taken.
const BACKLOG: i32 = 64;
/// Who may connect.
const MODE: Mode = Mode::from_raw_mode(0o600);

/// A socket cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process listens there.
    #[error("Another process listens on {}; end it or choose another path", .0.display())]
    InUse(PathBuf),
    /// Something that is not a socket has the name.
    #[error("{} exists and is not a socket; remove it or choose another path", .0.display())]
    NotASocket(PathBuf),
    /// It cannot be made.
    #[error("Cannot make the socket {}", path.display())]
    Create {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// A listening socket's name, which goes when this is dropped if it is still its own.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Held open, so that the inode's number is given to no other file.
    inode: File,
}

impl SocketFile {
    /// Listens on `path`, in a folder that is made where it is not there. A name that a dead process
    /// has left is taken over.
    pub(super) fn bind(path: &Path) -> Result<(UnixListener, SocketFile), BindError> {
        SocketFile::try_to_bind(path).map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => match is_socket(path) {
                true => BindError::InUse(path.to_owned()),
                false => BindError::NotASocket(path.to_owned()),
            },
            _ => BindError::Create {
                path: path.to_owned(),
                source,
            },
        })
    }

    fn try_to_bind(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
        if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
            let mut builder = DirBuilder::new();
            builder.recursive(true).mode(0o755).create(folder)?;
        }
        let socket = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        // The name has the mode of the socket from its first moment on: nobody slips in before.
        rustix::fs::fchmod(&socket, MODE)?;
        let address = SocketAddrUnix::new(path)?;
        if let Err(error) = rustix::net::bind(&socket, &address) {
            if error != rustix::io::Errno::ADDRINUSE || !is_dead(path) {
                return Err(error.into());
            }
            fs::remove_file(path)?;
            rustix::net::bind(&socket, &address)?;
        }
        let inode = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_PATH | libc::O_NOFOLLOW)
            .open(path)?;
        let file = SocketFile {
            path: path.to_owned(),
            inode,
        };
        rustix::net::listen(&socket, BACKLOG)?;
        Ok((UnixListener::from(socket), file))
    }

    fn has_its_name(&self) -> bool {
        let found = fs::symlink_metadata(&self.path);
        found
            .ok()
            .zip(self.inode.metadata().ok())
            .is_some_and(|(found, own)| (found.dev(), found.ino()) == (own.dev(), own.ino()))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.has_its_name()
            && let Err(error) = fs::remove_file(&self.path)
        {
            log::warn!("{} cannot be removed: {error}", self.path.display());
        }
    }
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
}

/// Whether a name is that of a socket on which nobody listens any more.
fn is_dead(path: &Path) -> bool {
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    is_socket(path) && UnixStream::connect(path).is_err_and(refused)
}
