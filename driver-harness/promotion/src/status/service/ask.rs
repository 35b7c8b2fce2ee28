// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Asking a run how it is.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::answers::{Reply, Request};
use crate::status::{Status, VERSION};

/// No status is larger.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// Who does not say anything for so long is not expected to any more.
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
    let stranger = |reason: String| AskError::Stranger {
        path: path.to_owned(),
        reason,
    };
    let line = exchange(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            AskError::NothingRuns(path.to_owned())
        }
        io::ErrorKind::PermissionDenied => AskError::Forbidden(path.to_owned()),
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

fn exchange(path: &Path) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut request = serde_json::to_vec(&Request::Status)?;
    request.push(b'\n');
    stream.write_all(&request)?;
    let mut line = Vec::new();
    BufReader::new(stream.take(ANSWER_BYTES_MAX)).read_until(b'\n', &mut line)?;
    Ok(line)
}
