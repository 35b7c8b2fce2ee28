// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One line of the ledger.
//!
//! Every line is one JSON object that has `v`, the version of the format, `t`, the time in nanoseconds
//! of `CLOCK_MONOTONIC`, and `e`, what happened. Other fields depend on the latter; none may be
//! missing. Heat is in thousandths of an access per page, decayed with the policy's half-life.

use std::collections::BTreeMap;

use chmu_machine::memory::owners::Owner;
use chmu_machine::node::NodeId;
use chmu_machine::words;
use serde::{Deserialize, Serialize};

use crate::batch::{Folio, Route};
use crate::rejection::Rejection;
use crate::report::{Facts, Health, Lost};

/// Version of the format that this program writes, and the only one that it reads.
pub const VERSION: u32 = 1;

/// Something that happened, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Version of the format.
    #[serde(rename = "v")]
    pub version: u32,
    /// Nanoseconds of `CLOCK_MONOTONIC`; never before that of an earlier line.
    #[serde(rename = "t")]
    pub time_ns: u64,
    /// What happened.
    #[serde(flatten)]
    pub action: Action,
}

impl Event {
    /// Something that happened now.
    pub fn new(time_ns: u64, action: Action) -> Event {
        Event {
            version: VERSION,
            time_ns,
            action,
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "e", rename_all = "snake_case")]
pub enum Action {
    /// The run begins; the first line of all.
    Begin(Begin),
    /// A source reported something, or its health changed.
    Source(SourceSaid),
    /// A folio was reported for the first time, or for the first time since it was forgotten.
    Seen(Seen),
    /// A folio waits for its promotion.
    Queued(Queued),
    /// A batch was handed to the actuator.
    Batch(BatchMade),
    /// A folio moved; in a dry run: would have moved.
    Moved(Moved),
    /// A folio is not promoted, for the time being or for ever.
    Refused(Refused),
    /// A folio did not move, and will be tried again.
    Retried(Retried),
    /// Pages went back to slower memory.
    Demoted(Demoted),
    /// A batch that makes room was handed to the actuator: cold folios of a fast node.
    Demotion(DemotionMade),
    /// A folio of such a batch stayed.
    Kept(Kept),
    /// Whether fast memory is watched, and by what.
    Telemetry(TelemetrySaid),
    /// A promoted folio that nobody used afterwards.
    Wasted(Wasted),
    /// Of promoted pages it is known by now whether they were of use, or that it will not be.
    Judged(Judged),
    /// A setting was adapted.
    Tuned(Tuned),
    /// The run ends; the last line of all.
    End(Totals),
}

/// The run's beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// Version of the program.
    pub program: String,
    /// The sources, in the order in which later lines name them.
    pub sources: Vec<Facts>,
    /// Name of the actuator.
    pub actuator: String,
    /// Nothing is moved.
    pub dry_run: bool,
    /// What chance depends on.
    pub seed: u64,
    /// The policy: its settings as it names them.
    pub policy: BTreeMap<String, serde_json::Value>,
}

/// What a source said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceSaid {
    /// The source.
    pub source: String,
    /// When the report was handed out.
    pub handed_out_ns: u64,
    /// No access that the report counts was made before.
    pub earliest_access_ns: u64,
    /// Units reported.
    pub units: u64,
    /// Pages that these mean.
    pub pages: u64,
    /// What the source could not say.
    pub lost: Lost,
    /// Pages that were not taken into account, by reason.
    pub ignored: BTreeMap<Rejection, u64>,
    /// How the source is.
    pub health: SourceState,
}

/// A source's health as a line tells it.
pub type SourceState = Health;

/// A folio that was reported for the first time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The folio.
    pub folio: Folio,
    /// The node that it is on.
    pub node: NodeId,
    /// Its heat.
    pub heat: u64,
    /// Who reported it.
    pub origin: Vec<String>,
    /// No access that made it hot was made before.
    pub earliest_access_ns: u64,
}

/// A folio that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    /// The folio.
    pub folio: Folio,
    /// From where to where it should go.
    pub route: Route,
    /// Its heat.
    pub heat: u64,
    /// Who reported it.
    pub origin: Vec<String>,
}

/// A batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchMade {
    /// Its number, from 1.
    pub batch: u64,
    /// From where to where.
    pub route: Route,
    /// Its folios, by frame.
    pub folios: Vec<Folio>,
    /// Folios that still wait.
    pub waiting: u64,
}

/// A folio that moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Number of the batch.
    pub batch: u64,
    /// The folio: the frames that it left.
    pub folio: Folio,
    /// From where to where it really went.
    pub route: Route,
    /// Its heat when the batch was made.
    pub heat: u64,
    /// Who reported it.
    pub origin: Vec<String>,
    /// When the actuator began with the batch.
    pub started_ns: u64,
    /// When it had ended: the folio left its frames before.
    pub ended_ns: u64,
}

/// A folio that is not promoted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The folio.
    pub folio: Folio,
    /// Why.
    pub reason: Rejection,
    /// The kernel's error number, where it gave one.
    #[serde(deserialize_with = "Option::deserialize")]
    pub errno: Option<i32>,
    /// Number of the batch; none when it was refused before it was part of one.
    #[serde(deserialize_with = "Option::deserialize")]
    pub batch: Option<u64>,
    /// From where to where it should have gone, where that is known.
    #[serde(deserialize_with = "Option::deserialize")]
    pub route: Option<Route>,
    /// Who reported it.
    pub origin: Vec<String>,
}

/// A folio that will be tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retried {
    /// The folio.
    pub folio: Folio,
    /// Why it did not move.
    pub reason: Rejection,
    /// Number of the batch.
    pub batch: u64,
    /// Attempts until now.
    pub attempts: u32,
    /// Not before this time.
    pub due_ns: u64,
}

/// Pages that went back to slower memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demoted {
    /// The faster node that they left.
    pub node: NodeId,
    /// How many since the last such line.
    pub pages: u64,
    /// The folio, where it is known: the frames that it left when the engine demoted it, or those on slower
    /// memory in which it was found again.
    #[serde(deserialize_with = "Option::deserialize")]
    pub folio: Option<Folio>,
    /// How the engine demoted it; none where the kernel or somebody else did.
    #[serde(deserialize_with = "Option::deserialize")]
    pub sent: Option<Sent>,
}

/// A folio that the engine demoted to make room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Number of the batch.
    pub batch: u64,
    /// From where to where it really went.
    pub route: Route,
    /// Who mapped its first page just before, where that is known.
    #[serde(deserialize_with = "Option::deserialize")]
    pub owner: Option<Owner>,
    /// It had no access for at least so long.
    pub idle_ns: u64,
    /// When the actuator began with the batch.
    pub started_ns: u64,
    /// When it had ended: the folio left its frames before.
    pub ended_ns: u64,
}

/// A batch that makes room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DemotionMade {
    /// Its number: those of batches of both directions are one sequence, from 1.
    pub batch: u64,
    /// From where to where.
    pub route: Route,
    /// Its folios, by frame: no more than what is wanted lacks.
    pub folios: Vec<Folio>,
    /// Pages that wait for room on the node, up to a batch.
    pub wanted_pages: u64,
    /// Pages that it has room for.
    pub room_pages: u64,
    /// The folios had no access for at least so long,
    pub idle_ns: u64,
    /// until this time at least.
    pub idle_until_ns: u64,
}

/// A folio that was to make room and stayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Number of the batch.
    pub batch: u64,
    /// The folio.
    pub folio: Folio,
    /// From where to where it should have gone.
    pub route: Route,
    /// Why it stayed.
    pub reason: Rejection,
}

/// What is known of the telemetry of fast memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TelemetrySaid {
    /// What watches it.
    pub name: String,
    /// How it is.
    pub health: Health,
}

/// A promoted folio that had no access for a whole window afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wasted {
    /// Its frames on fast memory.
    pub folio: Folio,
    /// The node that it was promoted to.
    pub node: NodeId,
    /// Who maps its first page.
    pub owner: Owner,
    /// When it had arrived.
    pub arrived_ns: u64,
    /// It had no access for at least so long,
    pub idle_ns: u64,
    /// until this time at least.
    pub idle_until_ns: u64,
}

/// Whether promotions were of use, in pages; those of which telemetry was not asked are in none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Judged {
    /// Used within the window.
    pub pages_used: u64,
    /// Not used within the window.
    pub pages_wasted: u64,
    /// Gone elsewhere meanwhile, or not seen.
    pub pages_unknown: u64,
}

impl std::fmt::Display for Judged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let watched = self.pages_used.saturating_add(self.pages_wasted);
        let watched = words::count(watched, "page", "pages");
        write!(
            f,
            "{} of {watched} that could be watched",
            self.pages_wasted
        )
    }
}

impl Judged {
    /// Adds others.
    pub fn add(&mut self, more: &Judged) {
        self.pages_used = self.pages_used.saturating_add(more.pages_used);
        self.pages_wasted = self.pages_wasted.saturating_add(more.pages_wasted);
        self.pages_unknown = self.pages_unknown.saturating_add(more.pages_unknown);
    }
}

/// A setting that was adapted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tuned {
    /// The source, or none for a setting of the engine.
    #[serde(deserialize_with = "Option::deserialize")]
    pub source: Option<String>,
    /// Which setting.
    pub setting: TunedSetting,
    /// Its value before; none where it had none.
    #[serde(deserialize_with = "Option::deserialize")]
    pub from: Option<u64>,
    /// Its value now.
    pub to: u64,
    /// Why, in a sentence.
    pub reason: String,
}

/// A setting that can be adapted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TunedSetting {
    /// The least weight of something hot.
    Threshold,
    /// Length of an epoch, in nanoseconds.
    EpochNs,
    /// Bytes of a unit.
    UnitBytes,
    /// Bytes of the memory that is watched.
    WatchedBytes,
    /// Pages promoted in a second, at most.
    PagesPerSecond,
}

/// Sums over the whole run: they agree with its lines.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Lines before this one.
    pub lines: u64,
    /// Units reported.
    pub units_reported: u64,
    /// Reports at which a source had found more than it could tell.
    pub reports_with_overflow: u64,
    /// Batches handed to the actuator.
    pub batches: u64,
    /// Folios that moved.
    pub folios_moved: u64,
    /// Pages of these.
    pub pages_moved: u64,
    /// Folios refused, each time.
    pub refused: u64,
    /// Folios put off, each time.
    pub retried: u64,
    /// Folios that still waited.
    pub waiting: u64,
    /// Batches that make room, which are not among `batches`.
    pub demotions: u64,
    /// Folios that the engine demoted.
    pub folios_demoted: u64,
    /// Pages of these.
    pub pages_demoted: u64,
    /// Folios that were to make room and stayed.
    pub kept: u64,
    /// Whether promotions were of use; none where nothing watched fast memory.
    #[serde(deserialize_with = "Option::deserialize")]
    pub usefulness: Option<Judged>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use chmu_spec::address::Pfn;

    #[test]
    fn a_line_is_one_flat_object() {
        let moved = Moved {
            batch: 3,
            folio: Folio {
                head: Pfn(0x10_0000),
                pages: 512,
            },
            route: Route {
                source: NodeId(1),
                target: NodeId(0),
            },
            heat: 32_000,
            origin: vec!["cxl_hmu_mem0.0.0".into()],
            started_ns: 5,
            ended_ns: 9,
        };
        let event = Event::new(10, Action::Moved(moved));
        let line = serde_json::to_string(&event).unwrap();
        assert_eq!(
            line,
            "{\"v\":1,\"t\":10,\"e\":\"moved\",\"batch\":3,\
             \"folio\":{\"frame\":1048576,\"pages\":512},\"route\":{\"from\":1,\"to\":0},\
             \"heat\":32000,\"origin\":[\"cxl_hmu_mem0.0.0\"],\"started_ns\":5,\"ended_ns\":9}"
        );
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
    }
}
