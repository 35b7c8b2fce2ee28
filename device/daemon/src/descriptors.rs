// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! How many file descriptors the process may have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that a device needs beside those of its client's vectors: sockets and their
/// connections, timers, memory, those of the message at hand, and clients that wait.
pub const RESERVED: u64 = 128;

/// Raises the limit as far as an ordinary process may; returns how many descriptors it can have
/// then.
pub fn raise_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        log::debug!("The limit of file descriptors stays as it is: {error}");
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}
