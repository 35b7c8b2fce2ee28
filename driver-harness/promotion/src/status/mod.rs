// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! How a run of promotion is, as of now: made from the ledger's events and from nothing else.
//!
//! A [`Collector`] takes events and keeps sums, rates and the folios that wait, within bounds. A
//! [`Status`] is a copy of what it knows at some time: for people on a screen, for programs as JSON, for
//! monitoring as Prometheus text. A [`Server`] hands it out to whoever asks, in a thread of its own.

use std::collections::BTreeMap;

use chmu_machine::node::NodeId;
use serde::{Deserialize, Serialize};

use crate::batch::{Folio, Route};
use crate::ledger::{Judged, SourceState, TunedSetting};
use crate::rejection::Rejection;
use crate::report::SourceKind;

mod backlog;
mod collector;
mod decisions;
pub mod prometheus;
mod rate;
mod screen;
mod service;

pub use collector::Collector;
pub use service::{
    AskError, BindError, Board, Chore, MetricsFile, MetricsFileError, Server, Sites, StartError,
    Time, ask,
};

#[cfg(test)]
mod tests;

/// Version of the form that this program writes, and the only one that it reads.
pub const VERSION: u32 = 1;

/// A run of promotion as of `time_ns`. Times are nanoseconds of the ledger's clock; sums count from the
/// run's beginning; rates are those of the last ten seconds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Status {
    /// Version of the form.
    pub version: u32,
    /// Version of the program that promotes; none before the run has begun.
    pub program: Option<String>,
    /// When this was so.
    pub time_ns: u64,
    /// When the run began.
    pub started_ns: u64,
    /// The run is over.
    pub has_ended: bool,
    /// What moves pages.
    pub actuator: String,
    /// Nothing is moved: what is called moved would have been.
    pub dry_run: bool,
    /// The ways of pages from slow to faster nodes.
    pub routes: Vec<RouteStatus>,
    /// Faster nodes that pages were demoted from.
    pub demotions: Vec<Demotions>,
    /// The ways of cold pages that were demoted to make room.
    pub room_made: Vec<RoomMade>,
    /// Folios that were to make room and stayed.
    pub folios_kept: u64,
    /// What watches fast memory; none where nothing does.
    pub telemetry: Option<TelemetryStatus>,
    /// More folios waited than are remembered: those beyond are in no sum of `routes`.
    pub backlog_is_partial: bool,
    /// Folios that did not move and will be tried again.
    pub folios_to_retry: u64,
    /// Times that a folio was put off to be tried again.
    pub retries: u64,
    /// Batches handed to the actuator.
    pub batches: u64,
    /// The sources, in their order.
    pub sources: Vec<SourceStatus>,
    /// Folios refused, by reason.
    pub refused: BTreeMap<Rejection, Flow>,
    /// Pages of reports that were not taken into account, by reason.
    pub ignored: BTreeMap<Rejection, u64>,
    /// Folios that are kept where they are because they were promoted and demoted by turns.
    pub ping_pong_folios: u64,
    /// Promoted pages that came back to slow memory while they were hot.
    pub pages_came_back: u64,
    /// Whether promotions were of use to telemetry of fast memory; none where nothing watches it.
    pub usefulness: Option<Judged>,
    /// Pages a second that promotion is held to because targets demote what is promoted to them; none
    /// when it is not.
    pub spill_limit: Option<u64>,
    /// Settings of sources as last adapted, by source and setting.
    pub tuned: Vec<TunedStatus>,
    /// The latest decisions, newest first; equal ones that follow one another are one.
    pub decisions: Vec<Decision>,
}

/// A sum and how fast it grows.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Flow {
    /// Since the run began.
    pub total: u64,
    /// In a second, over the last ten.
    pub per_second: f64,
}

/// The way from one node to another.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RouteStatus {
    /// From where to where.
    #[serde(flatten)]
    pub route: Route,
    /// Folios that wait for their first batch.
    pub folios_waiting: u64,
    /// Pages of these.
    pub pages_waiting: u64,
    /// How long the one waits that waits longest.
    pub oldest_ns: u64,
    /// Pages that an actuator has.
    pub pages_moving: u64,
    /// Folios that moved.
    pub folios_moved: u64,
    /// Pages of these.
    pub pages_moved: Flow,
}

/// Pages that went back from a node to slower memory.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Demotions {
    /// The node that they left.
    pub node: NodeId,
    /// How many.
    pub pages: Flow,
}

/// Cold pages that made room on a node.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RoomMade {
    /// From where to where.
    #[serde(flatten)]
    pub route: Route,
    /// Folios that were demoted.
    pub folios: u64,
    /// Pages of these.
    pub pages: Flow,
}

/// What watches fast memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TelemetryStatus {
    /// Its name.
    pub name: String,
    /// How it is.
    pub health: SourceState,
}

/// A source of hotness.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// Its name.
    pub name: String,
    /// What finds the hotness.
    pub kind: SourceKind,
    /// Bytes of what it tells apart; none where that varies.
    pub unit_bytes: Option<u64>,
    /// Length of its epochs; none where it has none.
    pub epoch_ns: Option<u64>,
    /// How it is.
    pub health: SourceState,
    /// Reports that said something.
    pub reports: u64,
    /// Units reported.
    pub units: Flow,
    /// Units of the last report.
    pub last_units: u64,
    /// Units of the fullest report.
    pub most_units: u64,
    /// Reports at which it had found more than it could tell.
    pub overflows: u64,
    /// Units that are known to be lost.
    pub units_dropped: u64,
    /// Units that lie in no memory of this machine.
    pub outside_memory: u64,
}

/// A setting as it was last adapted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunedStatus {
    /// The source, or none for a setting of the engine.
    pub source: Option<String>,
    /// Which setting.
    pub setting: TunedSetting,
    /// Its value.
    pub value: u64,
}

/// Something that was decided, once or several times in a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// When, the last time.
    pub time_ns: u64,
    /// What.
    #[serde(flatten)]
    pub what: Decided,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Decided {
    /// Folios moved.
    Moved {
        /// From where to where.
        route: Route,
        /// Number of the batch.
        batch: u64,
        /// How many.
        folios: u64,
        /// Pages of these.
        pages: u64,
    },
    /// Folios are not promoted.
    Refused {
        /// Why.
        reason: Rejection,
        /// How many.
        folios: u64,
        /// The last one.
        last: Folio,
    },
    /// Folios did not move and will be tried again.
    Retried {
        /// Why.
        reason: Rejection,
        /// How many.
        folios: u64,
        /// The last one.
        last: Folio,
    },
    /// Pages were demoted.
    Demoted {
        /// The node that they left.
        node: NodeId,
        /// How many.
        pages: u64,
    },
    /// Cold folios were demoted to make room.
    MadeRoom {
        /// From where to where.
        route: Route,
        /// Number of the batch.
        batch: u64,
        /// How many.
        folios: u64,
        /// Pages of these.
        pages: u64,
    },
    /// A setting was adapted.
    Tuned {
        /// The source, or none for a setting of the engine.
        source: Option<String>,
        /// Which setting.
        setting: TunedSetting,
        /// Its value before.
        from: Option<u64>,
        /// Its value now.
        to: u64,
        /// Why.
        reason: String,
    },
    /// A source is not as it was.
    Health {
        /// Which.
        source: String,
        /// How it is.
        health: SourceState,
    },
    /// The run ended.
    Ended,
}
