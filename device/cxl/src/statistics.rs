// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a function has done since power-on.

use chmu_model::InstanceStatistics;

/// What a function has done since power-on; resets leave it alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct FunctionStatistics {
    /// Accesses that arrived while a hotness monitoring unit was counting.
    pub accesses: u64,
    /// Of these, accesses that no committed decoder decodes for this device.
    pub accesses_not_decoded: u64,
    /// Mailbox commands, the refused ones included.
    pub mailbox_commands: u64,
    /// Event records that were written.
    pub event_records: u64,
    /// Event records that found a full log.
    pub event_records_lost: u64,
    /// Interrupt messages of the event logs.
    pub event_interrupts: u64,
    /// Function-level resets that a host asked for.
    pub function_level_resets: u64,
    /// The instances of each block.
    pub blocks: Vec<Vec<InstanceStatistics>>,
}
