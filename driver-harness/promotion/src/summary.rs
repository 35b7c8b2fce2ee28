// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What one run of promotion did, in all and epoch by epoch.

use std::collections::BTreeMap;
use std::fmt;

use chmu_machine::node::NodeId;
use chmu_machine::words;
use serde::Serialize;

use crate::outcome::Outcome;
use crate::rejection::Rejection;
use crate::report::{HotExtent, Report};

/// After so many epochs without a promotion, after one with some, the run is stable.
const STABLE_EPOCHS: u64 = 3;
/// So many epochs have a row; later ones count in the sums only.
const ROWS_MAX: usize = 10_000;

/// The whole run. Times are nanoseconds of `CLOCK_MONOTONIC`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// What found the pages.
    pub source: String,
    /// What moved them.
    pub actuator: &'static str,
    /// When the run began.
    pub start_monotonic_ns: u64,
    /// How long it took.
    pub duration_ns: u64,
    /// Length of an epoch of `epochs`: the longest that a unit has.
    pub epoch_ns: u64,
    /// Length of an epoch as it was asked for; none where nothing has epochs.
    pub wished_epoch_ns: Option<u64>,
    /// Hot units reported.
    pub units_reported: u64,
    /// Reports at which the source had found more units than it could tell.
    pub reports_with_lost_units: u64,
    /// Hot units that lie in no page of this machine.
    pub unmapped_units: u64,
    /// Pages handed to the actuator.
    pub pages_selected: u64,
    /// Pages that arrived on their target.
    pub pages_promoted: u64,
    /// The same by way.
    pub routes: Vec<RoutePages>,
    /// Frames that were not promoted.
    pub pages_rejected: u64,
    /// The same by reason.
    pub rejected: BTreeMap<Rejection, u64>,
    /// Frames that still waited at the end.
    pub pages_waiting: u64,
    /// Calls of the actuator.
    pub batches: u64,
    /// When the first hot unit was reported.
    pub first_report_monotonic_ns: Option<u64>,
    /// When the first page had arrived.
    pub first_promotion_monotonic_ns: Option<u64>,
    /// The first 10,000 epochs in which something was reported or done.
    pub epochs: Vec<EpochRow>,
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
    /// Frames that were not promoted.
    pub pages_rejected: u64,
    /// Frames that waited at its end.
    pub pages_waiting: u64,
}

/// Collects a report step by step.
#[derive(Debug)]
pub struct Recorder {
    report: Summary,
    outcome: Outcome,
    last_promotion_epoch: Option<u64>,
}

impl Recorder {
    /// A run that begins at `now_ns`.
    pub fn new(source: &str, actuator: &'static str, epoch_ns: u64, now_ns: u64) -> Recorder {
        Recorder {
            report: Summary {
                source: source.to_owned(),
                actuator,
                start_monotonic_ns: now_ns,
                duration_ns: 0,
                epoch_ns: epoch_ns.max(1),
                wished_epoch_ns: None,
                units_reported: 0,
                reports_with_lost_units: 0,
                unmapped_units: 0,
                pages_selected: 0,
                pages_promoted: 0,
                routes: Vec::new(),
                pages_rejected: 0,
                rejected: BTreeMap::new(),
                pages_waiting: 0,
                batches: 0,
                first_report_monotonic_ns: None,
                first_promotion_monotonic_ns: None,
                epochs: Vec::new(),
            },
            outcome: Outcome::default(),
            last_promotion_epoch: None,
        }
    }

    /// Notes what length of an epoch was asked for.
    #[must_use]
    pub fn with_wished_epoch(mut self, epoch_ns: u64) -> Recorder {
        self.report.wished_epoch_ns = Some(epoch_ns);
        self
    }

    /// The source handed out a report.
    pub fn reported(&mut self, from_source: &Report, now_ns: u64) {
        let lost = from_source.lost;
        let units = units(&from_source.extents);
        let report = &mut self.report;
        report.units_reported += units;
        report.unmapped_units += lost.outside_memory;
        report.reports_with_lost_units += u64::from(lost.overflow);
        if units > 0 {
            report.first_report_monotonic_ns.get_or_insert(now_ns);
        }
        if (units > 0 || lost.overflow)
            && let Some(row) = self.row(now_ns)
        {
            row.units_reported += units;
            row.lost_units |= lost.overflow;
        }
    }

    /// The worker made a step, after which so many frames wait.
    pub fn stepped(&mut self, outcome: &Outcome, pages_waiting: usize, now_ns: u64) {
        self.outcome.add(outcome);
        self.report.pages_waiting = pages_waiting as u64;
        if outcome.promoted() > 0 {
            self.report
                .first_promotion_monotonic_ns
                .get_or_insert(now_ns);
            self.last_promotion_epoch = Some(self.epoch(now_ns));
        }
        if *outcome != Outcome::default()
            && let Some(row) = self.row(now_ns)
        {
            row.pages_selected += outcome.pages_selected;
            row.pages_promoted += outcome.promoted();
            row.pages_rejected += outcome.rejected();
            row.pages_waiting = pages_waiting as u64;
        }
    }

    /// Whole epochs since the run began.
    pub fn epoch(&self, now_ns: u64) -> u64 {
        let passed = now_ns.saturating_sub(self.report.start_monotonic_ns);
        passed / self.report.epoch_ns
    }

    /// Pages have been promoted, but none for some epochs, and none waits.
    pub fn is_stable(&self, now_ns: u64) -> bool {
        let last = self.last_promotion_epoch;
        self.report.pages_waiting == 0
            && last.is_some_and(|last| self.epoch(now_ns) > last + STABLE_EPOCHS)
    }

    /// The run ends.
    pub fn finish(self, now_ns: u64) -> Summary {
        let mut report = self.report;
        report.duration_ns = now_ns.saturating_sub(report.start_monotonic_ns);
        report.pages_selected = self.outcome.pages_selected;
        report.pages_promoted = self.outcome.promoted();
        report.pages_rejected = self.outcome.rejected();
        report.batches = self.outcome.batches;
        let routes = self.outcome.pages_promoted.into_iter();
        report.routes = routes
            .map(|(route, pages)| RoutePages {
                source_node: route.source,
                target_node: route.target,
                pages,
            })
            .collect();
        report.rejected = self.outcome.rejected;
        report
    }

    /// The row of the current epoch; none when there are too many.
    fn row(&mut self, now_ns: u64) -> Option<&mut EpochRow> {
        let epoch = self.epoch(now_ns);
        let rows = &mut self.report.epochs;
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

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_found(f)?;
        self.write_done(f)?;
        if self.epochs.is_empty() {
            return Ok(());
        }
        let length = match self.wished_epoch_ns {
            Some(wished_ns) => words::granted_epoch(self.epoch_ns, wished_ns),
            None => words::epoch(self.epoch_ns),
        };
        writeln!(f, "\nby epochs of {length}:")?;
        writeln!(f, "epoch    units selected promoted rejected  waiting")?;
        for row in &self.epochs {
            writeln!(
                f,
                "{:5} {:8} {:8} {:8} {:8} {:8}{}",
                row.epoch,
                row.units_reported,
                row.pages_selected,
                row.pages_promoted,
                row.pages_rejected,
                row.pages_waiting,
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
        Ok(())
    }

    /// What became of it.
    fn write_done(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pages = words::count(self.pages_promoted, "page", "pages");
        write!(f, "{} promoted {pages}", self.actuator)?;
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
        for (reason, frames) in &self.rejected {
            let frames = words::count(*frames, "frame", "frames");
            writeln!(f, "  rejected, {reason}: {frames}")?;
        }
        if self.pages_waiting > 0 {
            let frames = words::count(self.pages_waiting, "frame waits", "frames wait");
            writeln!(f, "  {frames} still")?;
        }
        Ok(())
    }

    /// When something happened for the first time, if it did.
    fn write_first(&self, f: &mut fmt::Formatter<'_>, time: Option<u64>) -> fmt::Result {
        let Some(time) = time else { return Ok(()) };
        let passed = time.saturating_sub(self.start_monotonic_ns);
        write!(f, ", the first after {}", words::span(passed))
    }
}

/// Units that the extents mean: those of one unit follow one another.
fn units(extents: &[HotExtent]) -> u64 {
    let places = extents.iter().map(|extent| extent.unit);
    let again = places
        .clone()
        .skip(1)
        .zip(places)
        .filter(|(next, last)| next.is_some() && next == last);
    (extents.len() - again.count()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Route;
    use crate::report::{Lost, Place, UnitPlace, Weight};
    use chmu_spec::address::{Dpa, Pfn};

    /// Units of two pages that an interleave puts apart.
    fn report_of(units: u64) -> Report {
        let extents = (0..units * 2).map(|number| HotExtent {
            place: Place::Frames {
                start: Pfn(number * 2),
                pages: 1,
            },
            weight: Weight::accesses(1),
            sharing_pages: 2,
            unit: Some(UnitPlace {
                member: 0,
                dpa: Dpa(number / 2 * 8192),
            }),
        });
        Report {
            extents: extents.collect(),
            ..Report::default()
        }
    }

    fn outcome(pages: u64) -> Outcome {
        let route = Route {
            source: NodeId(1),
            target: NodeId(0),
        };
        Outcome {
            pages_selected: pages,
            pages_promoted: BTreeMap::from([(route, pages)]),
            rejected: BTreeMap::from([(Rejection::NotLru, 1)]),
            batches: 1,
        }
    }

    #[test]
    fn steps_of_one_epoch_are_one_row() {
        let mut recorder = Recorder::new("unit", "damon", 100, 1000);
        recorder.reported(&report_of(0), 1010);
        recorder.reported(&report_of(3), 1120);
        recorder.stepped(&outcome(2), 1, 1130);
        recorder.reported(&report_of(2), 1140);
        recorder.stepped(&outcome(1), 0, 1199);
        recorder.stepped(&Outcome::default(), 0, 1250);
        recorder.stepped(&outcome(4), 5, 1350);
        let report = recorder.finish(1400);
        assert_eq!(report.first_report_monotonic_ns, Some(1120));
        assert_eq!(report.first_promotion_monotonic_ns, Some(1130));
        assert_eq!((report.units_reported, report.pages_promoted), (5, 7));
        assert_eq!(report.rejected[&Rejection::NotLru], 3);
        assert_eq!((report.routes.len(), report.routes[0].pages), (1, 7));
        assert_eq!((report.duration_ns, report.pages_waiting), (400, 5));
        let first = EpochRow {
            epoch: 1,
            units_reported: 5,
            lost_units: false,
            pages_selected: 3,
            pages_promoted: 3,
            pages_rejected: 2,
            pages_waiting: 0,
        };
        assert_eq!(report.epochs[0], first);
        assert_eq!((report.epochs.len(), report.epochs[1].epoch), (2, 3));
        let text = report.to_string();
        assert!(
            text.starts_with("unit reported 5 hot units in 400 ns, the first after 120 ns\n"),
            "{text}"
        );
        for part in [
            "\ndamon promoted 7 pages of 7 in 3 batches, the first after 130 ns\n",
            "\n  rejected, not on a reclaim list: 3 frames\n",
            "\n  5 frames wait still\n",
        ] {
            assert!(text.contains(part), "{part:?} is missing in: {text}");
        }
    }

    #[test]
    fn a_run_without_events_is_two_lines() {
        let mut recorder = Recorder::new("unit", "damon", 1_000_000, 0).with_wished_epoch(50_000);
        recorder.reported(&report_of(0), 10);
        let report = recorder.finish(2_000_000_000);
        assert_eq!(
            report.to_string(),
            "unit reported no hot unit in 2.00 s\ndamon promoted no page\n"
        );
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(
            (&json["epoch_ns"], &json["wished_epoch_ns"]),
            (&1_000_000.into(), &50_000.into())
        );
    }

    #[test]
    fn an_epoch_that_differs_from_the_wish_is_said() {
        let mut recorder = Recorder::new("unit", "damon", 1_000_000, 0).with_wished_epoch(50_000);
        recorder.reported(&report_of(1), 10);
        let text = recorder.finish(2_000_000_000).to_string();
        assert!(
            text.contains("\nby epochs of 1ms (50.0 us were asked for):\n"),
            "{text}"
        );
    }

    #[test]
    fn a_run_is_stable_when_nothing_more_moves() {
        let mut recorder = Recorder::new("unit", "damon", 100, 0);
        assert!(!recorder.is_stable(10_000));
        recorder.stepped(&outcome(1), 0, 10_050);
        assert!(!recorder.is_stable(10_350));
        assert!(recorder.is_stable(10_400));
        recorder.stepped(&Outcome::default(), 1, 10_360);
        assert!(!recorder.is_stable(10_400));
    }

    #[test]
    fn rows_do_not_grow_for_ever() {
        let mut recorder = Recorder::new("unit", "damon", 1, 0);
        for now_ns in 0..ROWS_MAX as u64 + 10 {
            recorder.stepped(&outcome(1), 0, now_ns);
        }
        assert!(recorder.is_stable(ROWS_MAX as u64 + 13));
        assert!(!recorder.is_stable(ROWS_MAX as u64 + 12));
        let report = recorder.finish(0);
        assert_eq!(report.epochs.len(), ROWS_MAX);
        assert_eq!(report.pages_promoted, ROWS_MAX as u64 + 10);
    }

    #[test]
    fn lost_units_are_told_even_alone() {
        let mut recorder = Recorder::new("unit", "damon", 100, 0);
        let lost = Report {
            lost: Lost {
                overflow: true,
                ..Lost::default()
            },
            ..Report::default()
        };
        recorder.reported(&lost, 50);
        let report = recorder.finish(100);
        assert_eq!(report.reports_with_lost_units, 1);
        assert!(report.epochs[0].lost_units);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["first_report_monotonic_ns"], serde_json::Value::Null);
    }
}
