// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Whether a ledger agrees with itself.

use std::collections::{BTreeMap, BTreeSet};

use chmu_promotion::Folio;
use chmu_promotion::actuator::DryRun;
use chmu_promotion::ledger::{
    Action, BatchMade, Begin, Demoted, DemotionMade, Judged, Totals, Wasted,
};
use chmu_promotion::report::Health;
use chmu_promotion::{HEAT_OF_AN_ACCESS, Policy};
use chmu_spec::address::Pfn;

use super::read::Ledger;

/// The policy's bound on pages in a second, as the ledger names it.
pub(crate) const RATE: &str = "pages_per_second";
/// Whether the policy lets cold folios make room.
const DEMOTES: &str = "demote_coldest";
/// The policy's bound on folios of a batch.
const BATCH_FOLIOS: &str = "batch_folios";
/// The accesses below which the policy leaves a folio where it is.
const MINIMUM_HEAT: &str = "minimum_heat";

/// Something that no honest ledger has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// The line, from 1.
    pub line: usize,
    /// The same for people.
    pub text: String,
}

/// Kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// The last line is not the end of a run.
    Unfinished,
    /// The sums of the last line are not those of the lines.
    Totals,
    /// Lines are not in an order in which they can be written, or tell times that cannot be.
    Order,
    /// The first line does not tell a setting, a source or an actuator that later lines depend on.
    Beginning,
    /// A folio is seen although no source said anything before, or is in a batch although it never waited.
    CauseMissing,
    /// Nothing says what became of a folio of a batch.
    FateMissing,
    /// A folio is said to have moved, stayed or been put off in a batch that it was not part of, or
    /// twice.
    FateInvented,
    /// A batch is larger, or a folio waits that is colder, than the policy of the first line allows.
    Policy,
}

/// A batch whose folios wait for their fate.
struct Made {
    line: usize,
    made_ns: u64,
    folios: BTreeSet<Folio>,
}

/// The audit as it goes through the lines.
#[derive(Default)]
struct Audit {
    faults: Vec<Fault>,
    counted: Totals,
    last_ns: u64,
    batches: BTreeMap<u64, Made>,
    /// Highest number of a batch until now.
    last_batch: u64,
    /// Sources that the first line names.
    sources: BTreeSet<String>,
    /// Those of them that said something.
    heard: BTreeSet<String>,
    /// The first frames of folios that wait.
    waiting: BTreeSet<Pfn>,
    /// Those of folios that waited or were put off, and were in no batch since.
    unsent: BTreeSet<Pfn>,
    /// Those of folios of which a decision was written down: what is put off is colder when it waits again.
    decided: BTreeSet<Pfn>,
    /// The policy's bound on folios of a batch; none where it is not told.
    batch_folios: Option<u64>,
    /// The heat below which the policy leaves a folio where it is.
    least_heat: u64,
    /// The policy lets cold folios make room.
    demotes: bool,
    /// Fast memory is watched.
    watched: bool,
    /// Pages of promotions that were of no use, since a line had their sum.
    wasted_pages: u64,
}

impl Ledger {
    /// What is wrong with it. When the engine was `killed`, the end may be missing, and with it what
    /// became of the batches of that moment; a ledger that has its end is that of a run that was not.
    pub fn faults(&self, killed: bool) -> Vec<Fault> {
        let mut audit = Audit::default();
        for (line, event) in (1..).zip(self.events()) {
            if event.time_ns < audit.last_ns {
                audit.add(
                    FaultKind::Order,
                    line,
                    "it is older than the line before it",
                );
            }
            audit.last_ns = audit.last_ns.max(event.time_ns);
            audit.see(
                (line, event.time_ns),
                &event.action,
                line == self.events().len(),
            );
            audit.counted.lines += 1;
        }
        if !self.may_lack(killed) {
            audit.close(self.events().len(), self.totals().is_some());
        }
        audit.faults
    }
}

impl Audit {
    fn add(&mut self, kind: FaultKind, line: usize, text: impl Into<String>) {
        let text = text.into();
        self.faults.push(Fault { kind, line, text });
    }

    fn see(&mut self, (line, time_ns): (usize, u64), action: &Action, is_last: bool) {
        let counted = &mut self.counted;
        match action {
            Action::Begin(_) if line != 1 => {
                self.add(FaultKind::Order, line, "the run begins again")
            }
            Action::Begin(begin) => self.begin(line, begin),
            Action::Seen(seen) => {
                if seen.earliest_access_ns > time_ns {
                    let text = "the accesses that it counts were made after it was written down";
                    self.add(FaultKind::Order, line, text);
                }
                self.origin(line, &seen.origin);
                self.heard(line, &seen.origin);
            }
            Action::Queued(queued) => {
                self.origin(line, &queued.origin);
                self.waiting.insert(queued.folio.head);
                self.unsent.insert(queued.folio.head);
                if self.decided.insert(queued.folio.head) && queued.heat < self.least_heat {
                    let text = format!(
                        "the folio at frame {:#x} waits with a heat of {}, and the policy has those below {} stay",
                        queued.folio.head.0, queued.heat, self.least_heat
                    );
                    self.add(FaultKind::Policy, line, text);
                }
            }
            Action::Source(said) => {
                self.heard.insert(said.source.clone());
                let times = [said.earliest_access_ns, said.handed_out_ns, time_ns];
                if !times.is_sorted() {
                    let text = "the report counts accesses that were made after it was handed out, or \
                                was handed out after it was written down";
                    self.add(FaultKind::Order, line, text);
                }
                let counted = &mut self.counted;
                counted.units_reported = counted.units_reported.saturating_add(said.units);
                counted.reports_with_overflow += u64::from(said.lost.overflow);
            }
            Action::Batch(batch) => self.batch((line, time_ns), batch),
            Action::Moved(moved) => {
                self.origin(line, &moved.origin);
                let counted = &mut self.counted;
                counted.folios_moved += 1;
                counted.pages_moved = counted.pages_moved.saturating_add(moved.folio.pages);
                let made_ns = self
                    .batches
                    .get(&moved.batch)
                    .map_or(0, |batch| batch.made_ns);
                let times = [made_ns, moved.started_ns, moved.ended_ns, time_ns];
                if !times.is_sorted() || moved.route.source == moved.route.target {
                    self.add(
                        FaultKind::Order,
                        line,
                        "the move starts before its batch was made, ends before it starts or after it was written down, or goes nowhere",
                    );
                }
                self.fate(line, moved.batch, moved.folio);
            }
            Action::Refused(refused) => {
                counted.refused += 1;
                self.decided.insert(refused.folio.head);
                if let Some(batch) = refused.batch {
                    self.fate(line, batch, refused.folio);
                }
            }
            Action::Retried(retried) => {
                counted.retried += 1;
                self.unsent.insert(retried.folio.head);
                self.fate(line, retried.batch, retried.folio);
            }
            Action::End(totals) if is_last => self.compare(line, totals),
            Action::End(_) => self.add(FaultKind::Order, line, "lines follow the end of the run"),
            Action::Demotion(made) => self.demotion((line, time_ns), made),
            Action::Demoted(Demoted {
                sent: Some(sent),
                folio: Some(folio),
                pages,
                node,
            }) => {
                counted.folios_demoted += 1;
                counted.pages_demoted = counted.pages_demoted.saturating_add(*pages);
                let made_ns = self
                    .batches
                    .get(&sent.batch)
                    .map_or(0, |batch| batch.made_ns);
                let times = [made_ns, sent.started_ns, sent.ended_ns, time_ns];
                let is_one = *pages == folio.pages && *node == sent.route.source;
                if !times.is_sorted() || sent.route.source == sent.route.target || !is_one {
                    let text = "the demotion starts before its batch was made, ends before it starts or after it was \
                                written down, goes nowhere, or is not of its folio";
                    self.add(FaultKind::Order, line, text);
                }
                self.fate(line, sent.batch, *folio);
            }
            Action::Demoted(Demoted {
                sent: Some(_),
                folio: None,
                ..
            }) => self.add(
                FaultKind::FateInvented,
                line,
                "no folio is named that the engine demoted",
            ),
            Action::Kept(kept) => {
                counted.kept += 1;
                self.fate(line, kept.batch, kept.folio);
            }
            Action::Telemetry(said) => {
                counted.usefulness.get_or_insert_default();
                self.watched = said.health == Health::Good;
            }
            Action::Wasted(wasted) => self.wasted((line, time_ns), wasted),
            Action::Judged(judged) => self.judged(line, judged),
            Action::Demoted(Demoted { sent: None, .. }) | Action::Tuned(_) => {}
        }
    }

    /// What later lines depend on is there: a setting that is not told would be taken for none.
    fn begin(&mut self, line: usize, begin: &Begin) {
        let names = begin.sources.iter().map(|facts| facts.name.clone());
        self.sources = names.collect();
        self.demotes = begin
            .policy
            .get(DEMOTES)
            .and_then(serde_json::Value::as_bool)
            == Some(true);
        let number = |name: &str| begin.policy.get(name).and_then(serde_json::Value::as_u64);
        self.batch_folios = number(BATCH_FOLIOS);
        self.least_heat = number(MINIMUM_HEAT)
            .unwrap_or(0)
            .saturating_mul(HEAT_OF_AN_ACCESS);
        let missing = Policy::default().settings();
        let missing = missing
            .keys()
            .filter(|name| !begin.policy.contains_key(*name));
        for name in missing {
            let text = format!("the policy does not tell {name}");
            self.add(FaultKind::Beginning, line, text);
        }
        if let Some(rate) = begin.policy.get(RATE)
            && !rate.is_null()
            && rate.as_u64().is_none_or(|rate| rate == 0)
        {
            let text = format!("{RATE} is {rate}, which is no number of pages");
            self.add(FaultKind::Beginning, line, text);
        }
        if self.sources.is_empty() {
            self.add(FaultKind::Beginning, line, "no source is named");
        }
        if (begin.actuator == DryRun::NAME) != begin.dry_run {
            let text = format!(
                "a run with actuator {:?} says that dry_run is {}",
                begin.actuator, begin.dry_run
            );
            self.add(FaultKind::Beginning, line, text);
        }
    }

    /// Who reported a folio is one of the run's sources.
    fn origin(&mut self, line: usize, origin: &[String]) {
        let text = match origin.iter().find(|name| !self.sources.contains(*name)) {
            Some(name) => format!("its origin {name:?} is no source of the run"),
            None if origin.is_empty() => "it has no origin".to_owned(),
            None => return,
        };
        self.add(FaultKind::Beginning, line, text);
    }

    /// What was seen was in a report before, as every report that names something has its line.
    fn heard(&mut self, line: usize, origin: &[String]) {
        if let Some(name) = origin.iter().find(|name| !self.heard.contains(*name)) {
            let text = format!("no line says before it that {name:?} reported anything");
            self.add(FaultKind::CauseMissing, line, text);
        }
    }

    /// A batch that makes room: of folios that were watched, and no more than lacks.
    fn demotion(&mut self, (line, made_ns): (usize, u64), made: &DemotionMade) {
        self.counted.demotions += 1;
        if !self.demotes || !self.watched {
            let text = "no line says before it that cold folios may make room, and that fast memory is watched";
            self.add(FaultKind::CauseMissing, line, text);
        }
        if made.idle_until_ns > made_ns || made.idle_ns == 0 {
            let text = "its folios were not watched, or later than it was made";
            self.add(FaultKind::Order, line, text);
        }
        let pages = made.folios.iter().map(|folio| folio.pages);
        let pages = pages.fold(0, u64::saturating_add);
        let lacking = made.wanted_pages.saturating_sub(made.room_pages);
        if pages > lacking {
            let text = format!("{pages} pages make room where {lacking} lack some");
            self.add(FaultKind::CauseMissing, line, text);
        }
        self.folios((line, made_ns), made.batch, &made.folios);
    }

    /// A promotion that was of no use: by what watched it since it arrived.
    fn wasted(&mut self, (line, time_ns): (usize, u64), wasted: &Wasted) {
        if !self.watched {
            let text = "no line says before it that fast memory is watched";
            self.add(FaultKind::CauseMissing, line, text);
        }
        let since_ns = wasted.idle_until_ns.saturating_sub(wasted.idle_ns);
        if ![wasted.arrived_ns, since_ns, wasted.idle_until_ns, time_ns].is_sorted() {
            let text = "it was watched before it arrived, or after it was written down";
            self.add(FaultKind::Order, line, text);
        }
        self.wasted_pages = self.wasted_pages.saturating_add(wasted.folio.pages);
    }

    /// Sums of what was found of promotions since the line of their kind before.
    fn judged(&mut self, line: usize, judged: &Judged) {
        let wasted_pages = std::mem::take(&mut self.wasted_pages);
        if wasted_pages != judged.pages_wasted {
            let text = format!(
                "pages_wasted is said to be {}, and the lines before it say {wasted_pages}",
                judged.pages_wasted
            );
            self.add(FaultKind::Totals, line, text);
        }
        self.counted.usefulness.get_or_insert_default().add(judged);
    }

    fn batch(&mut self, (line, made_ns): (usize, u64), batch: &BatchMade) {
        self.counted.batches += 1;
        let folios = batch.folios.len() as u64;
        if let Some(most) = self.batch_folios.filter(|most| folios > (*most).max(1)) {
            let text = format!(
                "batch {} has {folios} folios, and the policy allows {most}",
                batch.batch
            );
            self.add(FaultKind::Policy, line, text);
        }
        for folio in &batch.folios {
            self.unsent.remove(&folio.head);
        }
        let waited = |folio: &&Folio| !self.waiting.remove(&folio.head);
        let missing: Vec<_> = batch.folios.iter().filter(waited).collect();
        if let Some(folio) = missing.first() {
            let text = format!(
                "no line says that {} of batch {} waited, such as the one at frame {:#x}",
                missing.len(),
                batch.batch,
                folio.head.0
            );
            self.add(FaultKind::CauseMissing, line, text);
        }
        self.folios((line, made_ns), batch.batch, &batch.folios);
    }

    /// Folios were handed to the actuator; what became of each must follow.
    fn folios(&mut self, (line, made_ns): (usize, u64), batch: u64, all: &[Folio]) {
        if batch <= self.last_batch {
            let text = format!("batch {batch} comes after batch {}", self.last_batch);
            self.add(FaultKind::Order, line, text);
        }
        self.last_batch = self.last_batch.max(batch);
        let folios: BTreeSet<_> = all.iter().copied().collect();
        if folios.len() != all.len() {
            let text = format!("batch {batch} names a folio twice");
            self.add(FaultKind::FateInvented, line, text);
        }
        let made = Made {
            line,
            made_ns,
            folios,
        };
        self.batches.insert(batch, made);
    }

    /// Something is said to have become of a folio: once for each in its batch.
    fn fate(&mut self, line: usize, batch: u64, folio: Folio) {
        let known = self.batches.get_mut(&batch);
        if !known.is_some_and(|batch| batch.folios.remove(&folio)) {
            let frame = folio.head.0;
            let text = format!(
                "batch {batch} has no folio at frame {frame:#x} of which nothing was said before"
            );
            self.add(FaultKind::FateInvented, line, text);
        }
    }

    fn compare(&mut self, line: usize, said: &Totals) {
        let counted = self.counted.clone();
        let pairs = [
            ("lines", said.lines, counted.lines),
            (
                "units_reported",
                said.units_reported,
                counted.units_reported,
            ),
            (
                "reports_with_overflow",
                said.reports_with_overflow,
                counted.reports_with_overflow,
            ),
            ("batches", said.batches, counted.batches),
            ("folios_moved", said.folios_moved, counted.folios_moved),
            ("pages_moved", said.pages_moved, counted.pages_moved),
            ("refused", said.refused, counted.refused),
            ("retried", said.retried, counted.retried),
            ("demotions", said.demotions, counted.demotions),
            (
                "folios_demoted",
                said.folios_demoted,
                counted.folios_demoted,
            ),
            ("pages_demoted", said.pages_demoted, counted.pages_demoted),
            ("kept", said.kept, counted.kept),
        ];
        let unsent = self.unsent.len() as u64;
        if said.waiting > unsent {
            let text = format!(
                "waiting is said to be {}, and its lines leave {unsent} that may wait",
                said.waiting
            );
            self.add(FaultKind::Totals, line, text);
        }
        if said.usefulness != counted.usefulness {
            let text = format!(
                "usefulness is said to be {:?}, and its lines say {:?}",
                said.usefulness, counted.usefulness
            );
            self.add(FaultKind::Totals, line, text);
        }
        for (name, said, counted) in pairs
            .into_iter()
            .filter(|(_, said, counted)| said != counted)
        {
            let text = format!("{name} is said to be {said}, and its lines say {counted}");
            self.add(FaultKind::Totals, line, text);
        }
    }

    fn close(&mut self, lines: usize, is_finished: bool) {
        if !is_finished {
            self.add(
                FaultKind::Unfinished,
                lines,
                "the run has no end: the ledger was cut, or the run goes on",
            );
        }
        for (batch, Made { line, folios, .. }) in std::mem::take(&mut self.batches) {
            if let Some(folio) = folios.first() {
                let text = format!(
                    "nothing says what became of {} of batch {batch}, such as the one at frame {:#x}",
                    folios.len(),
                    folio.head.0
                );
                self.add(FaultKind::FateMissing, line, text);
            }
        }
    }
}
