// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What one run of promotion did, in all and epoch by epoch, by the ledger's lines.

use std::collections::BTreeMap;
use std::fmt;

use chmu_machine::node::NodeId;
use chmu_machine::words;
use serde::Serialize;

use crate::batch::Route;
use crate::ledger::{Action, Begin, Event, Judged, Moved, SourceSaid, Tuned, TunedSetting};
use crate::rejection::Rejection;
use crate::report::Health;

#[cfg(test)]
mod tests;

/// After so many epochs without a promotion, after one with some, the run is stable.
const STABLE_EPOCHS: u64 = 3;
/// So many epochs have a row; later ones count in the sums only.
const ROWS_MAX: usize = 10_000;
/// So many folios that would move are printed.
const LINES_MAX: usize = 40;
/// Length of an epoch where no source has any.
const DEFAULT_EPOCH_NS: u64 = 100_000_000;

/// The whole run. Times are nanoseconds of `CLOCK_MONOTONIC`.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Summary {
    /// What found the pages.
    pub source: String,
    /// What moved them.
    pub actuator: String,
    /// Nothing was moved: what is called promoted would have been.
    pub dry_run: bool,
    /// When the run began.
    pub start_monotonic_ns: u64,
    /// How long it took.
    pub duration_ns: u64,
    /// Length of an epoch of `epochs`: the longest that a source has.
    pub epoch_ns: u64,
    /// Length of an epoch as it was asked for; none where nothing has epochs.
    pub wished_epoch_ns: Option<u64>,
    /// Sources that ended before the run did, with why.
    pub sources_ended: BTreeMap<String, String>,
    /// Hot units reported.
    pub units_reported: u64,
    /// Reports at which the source had found more units than it could tell.
    pub reports_with_lost_units: u64,
    /// Hot units that lie in no page of this machine.
    pub unmapped_units: u64,
    /// Pages handed to the actuator, each time that they were.
    pub pages_selected: u64,
    /// Pages that arrived on their target.
    pub pages_promoted: u64,
    /// Folios that these were.
    pub folios_promoted: u64,
    /// Pages by way.
    pub routes: Vec<RoutePages>,
    /// Pages of reports that were not taken into account, each time.
    pub pages_ignored: u64,
    /// The same by reason.
    pub ignored: BTreeMap<Rejection, u64>,
    /// Folios that were not promoted.
    pub folios_refused: u64,
    /// The same by reason.
    pub refused: BTreeMap<Rejection, u64>,
    /// Times that a folio was put off to be tried again.
    pub retries: u64,
    /// Pages that went back from the targets to slower memory, those that made room apart.
    pub pages_demoted: u64,
    /// Cold pages that were demoted to make room.
    pub pages_made_room: u64,
    /// Whether promotions were of use; none where nothing watched fast memory.
    pub usefulness: Option<Judged>,
    /// Folios that still waited at the end.
    pub folios_waiting: u64,
    /// Calls of the actuator.
    pub batches: u64,
    /// When the first hot unit was reported.
    pub first_report_monotonic_ns: Option<u64>,
    /// When the first page had arrived.
    pub first_promotion_monotonic_ns: Option<u64>,
    /// The first 10,000 epochs in which something was reported or done.
    pub epochs: Vec<EpochRow>,
    /// In a dry run: the first 10,000 folios that would have moved, in the order of these decisions.
    pub would_move: Vec<WouldMove>,
}

/// A folio that a dry run would have moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WouldMove {
    /// When it was decided.
    pub monotonic_ns: u64,
    /// Its first frame.
    pub frame: u64,
    /// Its pages.
    pub pages: u64,
    /// Where it is.
    pub source_node: NodeId,
    /// Where it would be.
    pub target_node: NodeId,
    /// Its heat, in thousandths of an access per page.
    pub heat: u64,
    /// Who reported it.
    pub origin: Vec<String>,
}

/// Pages promoted from one node to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RoutePages {
    /// Where they were.
    pub source_node: NodeId,
    /// Where they are.
    pub target_node: NodeId,
    /// How many.
    pub pages: u64,
}

/// What happened within one epoch's length.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct EpochRow {
    /// Its number, from the run's beginning on.
    pub epoch: u64,
    /// Hot units reported.
    pub units_reported: u64,
    /// The source had found more units than it could tell.
    pub lost_units: bool,
    /// Pages handed to the actuator.
    pub pages_selected: u64,
    /// Pages that arrived on their target.
    pub pages_promoted: u64,
    /// Folios that were not promoted.
    pub folios_refused: u64,
    /// Folios that waited when the last batch was made.
    pub folios_waiting: u64,
}

/// Collects a summary line by line.
#[derive(Debug, Default)]
pub struct Recorder {
    summary: Summary,
    routes: BTreeMap<Route, u64>,
    /// Since the run began.
    last_promotion_ns: Option<u64>,
    /// The longest epoch that a source has now: it may have been adapted.
    epochs_ns: BTreeMap<String, u64>,
    last_ns: u64,
}

impl Recorder {
    /// Takes a line of the ledger into account.
    pub fn note(&mut self, event: &Event) {
        let now_ns = event.time_ns;
        self.last_ns = now_ns;
        match &event.action {
            Action::Begin(begin) => self.begun(begin, now_ns),
            Action::Source(said) => self.reported(said, now_ns),
            Action::Batch(made) => {
                let pages = made
                    .folios
                    .iter()
                    .map(|folio| folio.pages)
                    .fold(0, u64::saturating_add);
                self.summary.batches += 1;
                add(&mut self.summary.pages_selected, pages);
                if let Some(row) = self.row(now_ns) {
                    add(&mut row.pages_selected, pages);
                    row.folios_waiting = made.waiting;
                }
            }
            Action::Moved(moved) => self.moved(moved, now_ns),
            Action::Refused(refused) => {
                self.summary.folios_refused += 1;
                *self.summary.refused.entry(refused.reason).or_default() += 1;
                if let Some(row) = self.row(now_ns) {
                    row.folios_refused += 1;
                }
            }
            Action::Retried(_) => self.summary.retries += 1,
            Action::Demoted(demoted) => {
                let sum = match demoted.sent {
                    Some(_) => &mut self.summary.pages_made_room,
                    None => &mut self.summary.pages_demoted,
                };
                add(sum, demoted.pages);
            }
            Action::End(totals) => self.summary.folios_waiting = totals.waiting,
            Action::Judged(judged) => {
                self.summary.usefulness.get_or_insert_default().add(judged);
            }
            Action::Telemetry(_) => drop(self.summary.usefulness.get_or_insert_default()),
            Action::Tuned(Tuned {
                source: Some(source),
                setting: TunedSetting::EpochNs,
                to,
                ..
            }) => {
                self.epochs_ns.insert(source.clone(), *to);
            }
            Action::Seen(_)
            | Action::Queued(_)
            | Action::Tuned(_)
            | Action::Demotion(_)
            | Action::Kept(_)
            | Action::Wasted(_) => {}
        }
    }

    fn begun(&mut self, begin: &Begin, now_ns: u64) {
        let names: Vec<_> = begin
            .sources
            .iter()
            .map(|facts| facts.name.as_str())
            .collect();
        let summary = &mut self.summary;
        summary.source = names.join(",");
        summary.actuator.clone_from(&begin.actuator);
        summary.dry_run = begin.dry_run;
        summary.start_monotonic_ns = now_ns;
        let granted = begin.sources.iter();
        self.epochs_ns = granted
            .filter_map(|facts| Some((facts.name.clone(), facts.granted_epoch_ns?)))
            .collect();
        let longest = self.epochs_ns.values().max();
        summary.epoch_ns = longest.copied().unwrap_or(DEFAULT_EPOCH_NS).max(1);
        summary.wished_epoch_ns = begin.sources.iter().find_map(|facts| facts.wished_epoch_ns);
    }

    fn reported(&mut self, said: &SourceSaid, now_ns: u64) {
        let summary = &mut self.summary;
        if let Health::Gone(reason) = &said.health {
            let ended = &mut summary.sources_ended;
            ended
                .entry(said.source.clone())
                .or_insert_with(|| reason.clone());
        }
        add(&mut summary.units_reported, said.units);
        add(&mut summary.unmapped_units, said.lost.outside_memory);
        summary.reports_with_lost_units += u64::from(said.lost.overflow);
        for (&reason, pages) in &said.ignored {
            add(&mut summary.pages_ignored, *pages);
            add(summary.ignored.entry(reason).or_default(), *pages);
        }
        if said.units > 0 {
            summary.first_report_monotonic_ns.get_or_insert(now_ns);
        }
        if (said.units > 0 || said.lost.overflow)
            && let Some(row) = self.row(now_ns)
        {
            add(&mut row.units_reported, said.units);
            row.lost_units |= said.lost.overflow;
        }
    }

    fn moved(&mut self, moved: &Moved, now_ns: u64) {
        let (route, pages) = (moved.route, moved.folio.pages);
        if self.summary.dry_run && self.summary.would_move.len() < ROWS_MAX {
            self.summary.would_move.push(WouldMove {
                monotonic_ns: now_ns,
                frame: moved.folio.head.0,
                pages,
                source_node: route.source,
                target_node: route.target,
                heat: moved.heat,
                origin: moved.origin.clone(),
            });
        }
        self.summary.folios_promoted += 1;
        add(&mut self.summary.pages_promoted, pages);
        self.summary
            .first_promotion_monotonic_ns
            .get_or_insert(now_ns);
        add(self.routes.entry(route).or_default(), pages);
        self.last_promotion_ns = Some(self.passed(now_ns));
        if let Some(row) = self.row(now_ns) {
            add(&mut row.pages_promoted, pages);
        }
    }

    /// Whole epochs since the run began.
    pub fn epoch(&self, now_ns: u64) -> u64 {
        self.passed(now_ns) / self.summary.epoch_ns.max(1)
    }

    fn passed(&self, now_ns: u64) -> u64 {
        now_ns.saturating_sub(self.summary.start_monotonic_ns)
    }

    /// Pages have been promoted, but none for some epochs, as these are now. Whether any waits, others
    /// know.
    pub fn is_stable(&self, now_ns: u64) -> bool {
        let longest = self.epochs_ns.values().max().copied();
        let epoch_ns = longest.unwrap_or(self.summary.epoch_ns).max(1);
        let passed = self.passed(now_ns) / epoch_ns;
        let last = self.last_promotion_ns;
        last.is_some_and(|last_ns| passed > last_ns / epoch_ns + STABLE_EPOCHS)
    }

    /// The run is over, with its last line.
    pub fn finish(self) -> Summary {
        let mut summary = self.summary;
        summary.duration_ns = self.last_ns.saturating_sub(summary.start_monotonic_ns);
        let routes = self.routes.into_iter();
        summary.routes = routes
            .map(|(route, pages)| RoutePages {
                source_node: route.source,
                target_node: route.target,
                pages,
            })
            .collect();
        summary
    }

    /// The row of the current epoch; none when there are too many.
    fn row(&mut self, now_ns: u64) -> Option<&mut EpochRow> {
        let epoch = self.epoch(now_ns);
        let rows = &mut self.summary.epochs;
        if rows.last().is_none_or(|row| row.epoch != epoch) {
            if rows.len() >= ROWS_MAX {
                return None;
            }
            rows.push(EpochRow {
                epoch,
                ..EpochRow::default()
            });
        }
        rows.last_mut()
    }
}

/// A source may say any number.
fn add(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more);
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_found(f)?;
        self.write_done(f)?;
        self.write_moves(f)?;
        if self.epochs.is_empty() {
            return Ok(());
        }
        let length = match self.wished_epoch_ns {
            Some(wished_ns) => words::granted_epoch(self.epoch_ns, wished_ns),
            None => words::epoch(self.epoch_ns),
        };
        writeln!(f, "\nby epochs of {length}:")?;
        writeln!(f, "epoch    units selected promoted  refused  waiting")?;
        for row in &self.epochs {
            writeln!(
                f,
                "{:5} {:8} {:8} {:8} {:8} {:8}{}",
                row.epoch,
                row.units_reported,
                row.pages_selected,
                row.pages_promoted,
                row.folios_refused,
                row.folios_waiting,
                if row.lost_units { "  (units lost)" } else { "" }
            )?;
        }
        Ok(())
    }
}

impl Summary {
    /// What the source found.
    fn write_found(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = words::count(self.units_reported, "hot unit", "hot units");
        let time = words::span(self.duration_ns);
        write!(f, "{} reported {units} in {time}", self.source)?;
        self.write_first(f, self.first_report_monotonic_ns)?;
        writeln!(f)?;
        if self.reports_with_lost_units > 0 {
            let times = words::times(self.reports_with_lost_units);
            writeln!(f, "  its list overflowed {times}, so more units were hot")?;
        }
        if self.unmapped_units > 0 {
            let units = words::count(self.unmapped_units, "of them lies", "of them lie");
            writeln!(f, "  {units} in no page of this machine")?;
        }
        for (reason, pages) in &self.ignored {
            let pages = words::count(*pages, "page", "pages");
            writeln!(f, "  not taken into account, {reason}: {pages}")?;
        }
        for (source, reason) in &self.sources_ended {
            writeln!(f, "  {source} ended before the run did: {reason}")?;
        }
        Ok(())
    }

    /// What became of it.
    fn write_done(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pages = words::count(self.pages_promoted, "page", "pages");
        let verb = match self.dry_run {
            true => "would have promoted",
            false => "promoted",
        };
        write!(f, "{} {verb} {pages}", self.actuator)?;
        if self.folios_promoted < self.pages_promoted {
            let folios = words::count(self.folios_promoted, "folio", "folios");
            write!(f, " as {folios}")?;
        }
        if self.pages_selected > 0 {
            let batches = words::count(self.batches, "batch", "batches");
            write!(f, " of {} in {batches}", self.pages_selected)?;
        }
        self.write_first(f, self.first_promotion_monotonic_ns)?;
        writeln!(f)?;
        for route in &self.routes {
            writeln!(
                f,
                "  node {} to node {}: {}",
                route.source_node,
                route.target_node,
                words::count(route.pages, "page", "pages")
            )?;
        }
        for (reason, folios) in &self.refused {
            let folios = words::count(*folios, "folio", "folios");
            writeln!(f, "  refused, {reason}: {folios}")?;
        }
        if self.pages_demoted > 0 {
            let pages = words::count(self.pages_demoted, "page", "pages");
            writeln!(f, "  demoted meanwhile: {pages}")?;
        }
        if self.pages_made_room > 0 {
            let pages = words::count(self.pages_made_room, "cold page", "cold pages");
            writeln!(f, "  demoted to make room: {pages}")?;
        }
        if let Some(judged) = self.usefulness {
            writeln!(f, "  wasted: {judged}")?;
        }
        if self.folios_waiting > 0 {
            let folios = words::count(self.folios_waiting, "folio waits", "folios wait");
            writeln!(f, "  {folios} still")?;
        }
        Ok(())
    }

    /// What a dry run would have moved, the first of it.
    fn write_moves(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.would_move.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nit would move:")?;
        writeln!(f, "        frame  pages  from    to         heat  after")?;
        for one in self.would_move.iter().take(LINES_MAX) {
            let after = one.monotonic_ns.saturating_sub(self.start_monotonic_ns);
            writeln!(
                f,
                "{:#13x} {:6} {:5} {:5} {:8}.{:03}  {}",
                one.frame,
                one.pages,
                one.source_node.0,
                one.target_node.0,
                one.heat / 1000,
                one.heat % 1000,
                words::span(after)
            )?;
        }
        let more = self.folios_promoted.saturating_sub(LINES_MAX as u64);
        match more {
            0 => Ok(()),
            more => writeln!(
                f,
                "and {}, which --ledger FILE lists",
                words::count(more, "folio more", "folios more")
            ),
        }
    }

    /// When something happened for the first time, if it did.
    fn write_first(&self, f: &mut fmt::Formatter<'_>, time: Option<u64>) -> fmt::Result {
        let Some(time) = time else { return Ok(()) };
        let passed = time.saturating_sub(self.start_monotonic_ns);
        write!(f, ", the first after {}", words::span(passed))
    }
}
