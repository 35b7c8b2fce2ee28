// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the engine decided and what came of it, as lines that can be read for ever.

mod event;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use event::{
    Action, BatchMade, Begin, Demoted, DemotionMade, Event, Judged, Kept, Moved, Queued, Refused,
    Retried, Seen, Sent, SourceSaid, SourceState, TelemetrySaid, Totals, Tuned, TunedSetting,
    VERSION, Wasted,
};
pub use reader::{Ledger, ReadError};
pub use writer::{LedgerWriter, WriteError};
