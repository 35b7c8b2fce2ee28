// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The guest agent: runs commands for the host over a serial port, one JSON object per line.
//!
//! The guest serves (`chmu agent --port /dev/ttyS1`); the host is the client. The types of both
//! directions are in [`protocol`].

mod capture;
mod port;
pub mod protocol;
mod server;

pub use protocol::{Command, OUTPUT_LIMIT_BYTES, Reply, Request, Response};
pub use server::{AgentError, serve, serve_port};
