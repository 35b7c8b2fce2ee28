// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the device has done so far, as the statistics socket tells it.

use std::collections::BTreeMap;

use chmu_cxl::FunctionStatistics;
use serde::Serialize;

use crate::feed::FeedStatistics;

/// Everything that is counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Statistics {
    /// Version of this program.
    pub(crate) version: &'static str,
    /// Serial number of the device.
    pub(crate) serial_number: u64,
    /// The device's time, in nanoseconds since its start.
    pub(crate) time_ns: u64,
    /// The vfio-user clients.
    pub(crate) clients: ClientStatistics,
    /// Their messages, by the protocol's name of the command.
    pub(crate) messages: BTreeMap<&'static str, MessageCount>,
    /// The interrupts.
    pub(crate) interrupts: InterruptStatistics,
    /// The reported accesses; none without an access socket.
    pub(crate) feed: Option<FeedStatistics>,
    /// The function and the instances in it.
    #[serde(flatten)]
    pub(crate) function: FunctionStatistics,
}

/// The vfio-user clients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct ClientStatistics {
    /// Clients so far.
    pub(crate) served: u64,
    /// One is connected.
    pub(crate) connected: bool,
}

/// Messages of one command.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct MessageCount {
    /// All of them.
    pub(crate) handled: u64,
    /// Those that were answered with an error.
    pub(crate) refused: u64,
}

/// The interrupts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct InterruptStatistics {
    /// Signalled to the client.
    pub(crate) sent: u64,
    /// Raised while the client had connected nothing to the vector.
    pub(crate) unconnected: u64,
}
