// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the device has done so far, as the statistics socket tells it.

use std::collections::BTreeMap;
use std::num::Saturating;

use chmu_cxl::FunctionStatistics;
use serde::Serialize;

use crate::feed::FeedStatistics;

/// Everything that is counted, as a client of the statistics socket reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Statistics {
    pub(crate) version: &'static str,
    /// Serial number of the device.
    pub(crate) serial_number: u64,
    /// The device's time, in nanoseconds since its start.
    pub(crate) time_ns: u64,
    pub(crate) clients: ClientStatistics,
    /// Their messages, by the protocol's name of the command.
    pub(crate) messages: BTreeMap<&'static str, MessageCount>,
    pub(crate) interrupts: InterruptStatistics,
    /// The reported accesses; none without an access socket.
    pub(crate) feed: Option<FeedStatistics>,
    /// The function and the instances in it.
    #[serde(flatten)]
    pub(crate) function: FunctionStatistics,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct ClientStatistics {
    /// Clients that were connected so far, the present one among them.
    pub(crate) served: Saturating<u64>,
    /// A client is connected now.
    pub(crate) connected: bool,
}

/// Messages of one command.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct MessageCount {
    /// Messages that were carried out or refused.
    pub(crate) handled: Saturating<u64>,
    /// Those that were answered with an error.
    pub(crate) refused: Saturating<u64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct InterruptStatistics {
    /// Interrupts that were signalled to a client.
    pub(crate) sent: u64,
    /// Raised while the client had connected nothing to the vector.
    pub(crate) unconnected: u64,
}
