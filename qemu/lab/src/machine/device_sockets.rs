// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where the device's program listens.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

/// The device answers a question for its numbers at once.
const STATISTICS_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a device listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceSockets {
    /// For QEMU.
    pub device: PathBuf,
    /// For the plugin.
    pub access: PathBuf,
    /// For whoever asks for numbers.
    pub statistics: PathBuf,
    /// For whoever asks how often each page was accessed; none where nobody may.
    pub oracle: Option<PathBuf>,
}

impl DeviceSockets {
    /// What the device has counted so far, as its statistics socket says it.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn statistics(&self) -> Result<Value> {
        let path = &self.statistics;
        let answer = UnixStream::connect(path).and_then(|stream| {
            stream.set_read_timeout(Some(STATISTICS_TIMEOUT))?;
            std::io::read_to_string(stream)
        });
        let answer = answer.with_context(|| format!("Cannot ask on {}", path.display()))?;
        serde_json::from_str(&answer)
            .with_context(|| format!("{} answers no JSON object", path.display()))
    }
}
