// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Listening UNIX sockets with a name.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, Mode};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// Longest path of a socket: `sun_path` less its final NUL.
const MAX_PATH_BYTES: usize = 107;
/// Connections that may wait to be taken.
const BACKLOG: i32 = 128;

/// Why a socket cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SocketFileError {
    /// The kernel's limit on socket paths.
    #[error(
        "The socket path {} has {bytes} bytes, the kernel allows {MAX_PATH_BYTES}; choose a shorter one",
        .path.display()
    )]
    PathTooLong {
        /// The path that was given.
        path: PathBuf,
        /// Bytes of the path.
        bytes: usize,
    },
    /// Another process listens there.
    #[error(
        "Another process listens on {}; stop it or choose another path",
        .0.display()
    )]
    InUse(PathBuf),
    /// Something that is not a socket has the name.
    #[error("{} exists and is not a socket; remove it or choose another path", .0.display())]
    NotASocket(PathBuf),
    /// No socket can be made in the folder.
    #[error("No socket can be made in {}", .folder.display())]
    Folder {
        /// Where the socket was to be.
        folder: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The socket cannot be made.
    #[error("The socket {} cannot be created", .path.display())]
    Create {
        /// The path that was given.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// A listening socket with a name; the name goes when this is dropped, if it is still its own.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Held open, so that the inode's number is given to no other file.
    inode: File,
}

impl SocketFile {
    /// Listens on `path`. A socket file that nobody listens on any more is replaced.
    ///
    /// # Errors
    /// When the path is too long, taken, or cannot be created.
    pub(crate) fn bind(path: &Path) -> Result<(UnixListener, Self), SocketFileError> {
        Self::bind_by(path, |path| UnixListener::bind(path))
    }

    /// The same, and only this user may connect.
    ///
    /// # Errors
    /// As for [`SocketFile::bind`].
    pub(crate) fn bind_for_user(path: &Path) -> Result<(UnixListener, Self), SocketFileError> {
        Self::bind_by(path, listen_for_user)
    }

    fn bind_by(
        path: &Path,
        listen: impl Fn(&Path) -> io::Result<UnixListener>,
    ) -> Result<(UnixListener, Self), SocketFileError> {
        check_place(path)?;
        let create_error = |source| SocketFileError::Create {
            path: path.to_owned(),
            source,
        };
        let listener = match listen(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                remove_stale(path)?;
                listen(path).map_err(create_error)?
            }
            bound => bound.map_err(create_error)?,
        };
        let inode = fs::OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_PATH | libc::O_NOFOLLOW)
            .open(path)
            .map_err(create_error)?;
        let path = path.to_owned();
        Ok((listener, Self { path, inode }))
    }
}

/// The name has the socket's mode from its first moment on: nobody slips in before.
fn listen_for_user(path: &Path) -> io::Result<UnixListener> {
    let (family, kind, flags) = (
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
    );
    let socket = rustix::net::socket_with(family, kind, flags, None)?;
    rustix::fs::fchmod(&socket, Mode::from_raw_mode(0o600))?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(UnixListener::from(socket))
}

impl SocketFile {
    /// Whether the name still leads to this socket.
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

/// Refuses a path where no socket can be made, without making one.
///
/// # Errors
/// When the path is too long or taken, or its folder cannot be used.
pub fn check(path: &Path) -> Result<(), SocketFileError> {
    check_place(path)?;
    match fs::symlink_metadata(path) {
        Ok(_) => check_stale(path),
        Err(_) => Ok(()),
    }
}

fn check_place(path: &Path) -> Result<(), SocketFileError> {
    let bytes = path.as_os_str().len();
    if bytes > MAX_PATH_BYTES {
        return Err(SocketFileError::PathTooLong {
            path: path.to_owned(),
            bytes,
        });
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // What is no folder has no such entry.
    let entry = folder.join(".");
    rustix::fs::access(&entry, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
        SocketFileError::Folder {
            folder: folder.to_owned(),
            source: error.into(),
        }
    })
}

/// Removes a socket file that nobody listens on.
fn remove_stale(path: &Path) -> Result<(), SocketFileError> {
    check_stale(path)?;
    log::info!(
        "{} is left from an earlier run and replaced",
        path.display()
    );
    fs::remove_file(path).map_err(|source| SocketFileError::Create {
        path: path.to_owned(),
        source,
    })
}

/// Whether what has the name is a socket that nobody listens on.
fn check_stale(path: &Path) -> Result<(), SocketFileError> {
    let create_error = |source| SocketFileError::Create {
        path: path.to_owned(),
        source,
    };
    let metadata = fs::symlink_metadata(path).map_err(create_error)?;
    if !metadata.file_type().is_socket() {
        return Err(SocketFileError::NotASocket(path.to_owned()));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(create_error(error)),
        Ok(_) => Err(SocketFileError::InUse(path.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let (listener, file) = SocketFile::bind(&path).unwrap();
        let error = SocketFile::bind(&path).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "Another process listens on {}; stop it or choose another path",
                path.display()
            )
        );
        drop(listener);
        let (_listener, _replacement) = SocketFile::bind(&path).unwrap();
        drop(file);
        assert!(path.exists(), "it belongs to the replacement");
    }

    #[test]
    fn a_socket_for_the_user_is_for_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let (listener, _file) = SocketFile::bind_for_user(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        UnixStream::connect(&path).unwrap();
        let error = SocketFile::bind_for_user(&path).unwrap_err();
        assert!(matches!(error, SocketFileError::InUse(_)), "{error}");
        drop(listener);
        SocketFile::bind_for_user(&path).unwrap();
    }

    #[test]
    fn the_name_goes_with_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let (_listener, file) = SocketFile::bind(&path).unwrap();
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn other_files_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        fs::write(&path, "precious").unwrap();
        let error = SocketFile::bind(&path).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "{} exists and is not a socket; remove it or choose another path",
                path.display()
            )
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    /// Refused alike by who looks only and by who binds.
    fn refused(path: &Path) -> String {
        let looked = check(path).unwrap_err().to_string();
        assert_eq!(SocketFile::bind(path).unwrap_err().to_string(), looked);
        looked
    }

    #[test]
    fn long_paths_are_refused_with_their_length() {
        let path = PathBuf::from(format!("/{}", "x".repeat(107)));
        let said = refused(&path);
        let end = "has 108 bytes, the kernel allows 107; choose a shorter one";
        assert!(said.ends_with(end), "{said}");
    }

    #[test]
    fn folders_that_cannot_be_used_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        for place in [&file, &folder.path().join("missing")] {
            let said = refused(&place.join("s"));
            assert_eq!(
                said,
                format!("No socket can be made in {}", place.display())
            );
        }
    }

    #[test]
    fn looking_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        check(&path).unwrap();
        assert!(!path.exists());
        let listener = UnixListener::bind(&path).unwrap();
        assert!(refused(&path).starts_with("Another process listens on"));
        drop(listener);
        check(&path).unwrap();
        assert!(path.exists());
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        assert!(refused(&path).contains("exists and is not a socket"));
    }
}
