// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Asking a run how it is.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::answers::{Reply, Request};
use crate::status::{Status, VERSION};

/// No status is larger.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// Who has not answered after so long is not expected to any more.
const PATIENCE: Duration = Duration::from_secs(10);

/// A run does not say how it is.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens.
    #[error("No chmu promote runs here: nothing answers at {}", .0.display())]
    NothingRuns(PathBuf),
    /// The socket is somebody else's.
    #[error("{} answers only the user who started chmu promote, and root", .0.display())]
    Forbidden(PathBuf),
    /// Something is there and does not answer.
    #[error(
        "What listens at {} has not answered within {} s; it is no chmu promote, or stuck",
        path.display(),
        patience.as_secs_f64()
    )]
    Silent {
        /// Where.
        path: PathBuf,
        /// How long it had.
        patience: Duration,
    },
    /// The connection fails.
    #[error("Cannot ask at {}", path.display())]
    Connection {
        /// Where.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The answer is none.
    #[error("What answers at {} is no chmu promote: {reason}", path.display())]
    Stranger {
        /// Where.
        path: PathBuf,
        /// What is wrong with its answer.
        reason: String,
    },
}

/// Asks the run that listens at `path`.
///
/// # Errors
/// When nothing runs there, or what does gives no status.
pub fn ask(path: &Path) -> Result<Status, AskError> {
    ask_within(path, PATIENCE)
}

/// The same; the whole answer must be there after `patience`.
pub(super) fn ask_within(path: &Path, patience: Duration) -> Result<Status, AskError> {
    let stranger = |reason: String| AskError::Stranger {
        path: path.to_owned(),
        reason,
    };
    let line = exchange(path, patience).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            AskError::NothingRuns(path.to_owned())
        }
        io::ErrorKind::PermissionDenied => AskError::Forbidden(path.to_owned()),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => AskError::Silent {
            path: path.to_owned(),
            patience,
        },
        _ => AskError::Connection {
            path: path.to_owned(),
            source: error,
        },
    })?;
    if line.len() as u64 >= ANSWER_BYTES_MAX {
        return Err(stranger("its answer does not end".to_owned()));
    }
    match serde_json::from_slice(&line) {
        Ok(Reply::Status(status)) if status.version == VERSION => Ok(*status),
        Ok(Reply::Status(status)) => Err(stranger(format!(
            "its status has version {}, this program reads version {VERSION}",
            status.version
        ))),
        Ok(Reply::Error(reason)) => Err(stranger(reason)),
        Err(error) => Err(stranger(error.to_string())),
    }
}

fn exchange(path: &Path, patience: Duration) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + patience;
    let mut stream = UnixStream::connect(path)?;
    stream.set_write_timeout(Some(patience))?;
    let mut request = serde_json::to_vec(&Request::Status)?;
    request.push(b'\n');
    stream.write_all(&request)?;
    let mut line = Vec::new();
    let mut bytes = [0; 4096];
    // However often something comes: the time is for the answer, not for each piece of it.
    while !line.contains(&b'\n') && (line.len() as u64) < ANSWER_BYTES_MAX {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => line.extend_from_slice(&bytes[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(line)
}
