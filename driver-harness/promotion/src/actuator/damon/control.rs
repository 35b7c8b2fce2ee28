// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Writing DAMON's control files.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use chmu_machine::sysfs_file::{self, SysfsError};

/// DAMON answers EBUSY, rather than wait, while somebody else writes; so long it is asked again.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);
/// Between two questions.
const BUSY_PAUSE: Duration = Duration::from_millis(1);

/// Writes `value`; an error of EBUSY has lasted for [`BUSY_TIMEOUT`].
pub(super) fn write(path: &Path, value: &str) -> Result<(), SysfsError> {
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        match sysfs_file::write(path, value) {
            Err(error) if is_busy(&error) && Instant::now() < deadline => {
                thread::sleep(BUSY_PAUSE);
            }
            result => return result,
        }
    }
}

/// The kernel answered EBUSY.
pub(super) fn is_busy(error: &SysfsError) -> bool {
    error.errno() == Some(libc::EBUSY)
}
