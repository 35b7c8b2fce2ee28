// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use chmu_spec::address::Pfn;

use super::*;
use crate::batch::Folio;
use crate::ledger::{BatchMade, Moved, Refused, Totals};
use crate::report::{Facts, Health, Lost};
use crate::testing::facts;

const ROUTE: Route = Route {
    source: NodeId(1),
    target: NodeId(0),
};

fn folio(pages: u64) -> Folio {
    Folio {
        head: Pfn(7),
        pages,
    }
}

fn begun(epoch_ns: u64, wished_epoch_ns: Option<u64>) -> Recorder {
    let source = Facts {
        granted_epoch_ns: Some(epoch_ns),
        wished_epoch_ns,
        ..facts("unit")
    };
    let begin = Begin {
        program: "1".into(),
        sources: vec![source],
        actuator: "damon".into(),
        dry_run: false,
        seed: 0,
        policy: BTreeMap::new(),
    };
    let mut recorder = Recorder::default();
    recorder.note(&Event::new(1000, Action::Begin(begin)));
    recorder
}

impl Recorder {
    fn said(&mut self, units: u64, overflow: bool, now_ns: u64) {
        let said = SourceSaid {
            source: "unit".into(),
            handed_out_ns: now_ns,
            earliest_access_ns: 0,
            units,
            pages: units,
            lost: Lost {
                overflow,
                ..Lost::default()
            },
            ignored: BTreeMap::from([(Rejection::TopTier, units)]),
            health: Health::Good,
        };
        self.note(&Event::new(now_ns, Action::Source(said)));
    }

    fn batch(&mut self, pages: u64, waiting: u64, now_ns: u64) {
        let batch = BatchMade {
            batch: 1,
            route: ROUTE,
            folios: vec![folio(pages)],
            waiting,
        };
        self.note(&Event::new(now_ns, Action::Batch(batch)));
        let moved = Moved {
            batch: 1,
            folio: folio(pages),
            route: ROUTE,
            heat: 1,
            origin: Vec::new(),
            started_ns: now_ns,
            ended_ns: now_ns,
        };
        self.note(&Event::new(now_ns, Action::Moved(moved)));
        let refused = Refused {
            folio: folio(1),
            reason: Rejection::NotLru,
            errno: None,
            batch: None,
            route: None,
            origin: Vec::new(),
        };
        self.note(&Event::new(now_ns, Action::Refused(refused)));
    }

    fn ended(mut self, waiting: u64, now_ns: u64) -> Summary {
        let totals = Totals {
            waiting,
            ..Totals::default()
        };
        self.note(&Event::new(now_ns, Action::End(totals)));
        self.finish()
    }
}

#[test]
fn steps_of_one_epoch_are_one_row() {
    let mut recorder = begun(100, None);
    recorder.said(0, false, 1010);
    recorder.said(3, false, 1120);
    recorder.batch(2, 1, 1130);
    recorder.said(2, false, 1140);
    recorder.batch(1, 0, 1199);
    recorder.batch(4, 5, 1350);
    let summary = recorder.ended(5, 1400);
    assert_eq!(summary.first_report_monotonic_ns, Some(1120));
    assert_eq!(summary.first_promotion_monotonic_ns, Some(1130));
    assert_eq!((summary.units_reported, summary.pages_promoted), (5, 7));
    assert_eq!(
        (summary.folios_promoted, summary.refused[&Rejection::NotLru]),
        (3, 3)
    );
    assert_eq!(summary.ignored[&Rejection::TopTier], 5);
    assert_eq!((summary.routes.len(), summary.routes[0].pages), (1, 7));
    assert_eq!((summary.duration_ns, summary.folios_waiting), (400, 5));
    let first = EpochRow {
        epoch: 1,
        units_reported: 5,
        lost_units: false,
        pages_selected: 3,
        pages_promoted: 3,
        folios_refused: 2,
        folios_waiting: 0,
    };
    assert_eq!(summary.epochs[0], first);
    assert_eq!((summary.epochs.len(), summary.epochs[1].epoch), (2, 3));
    let text = summary.to_string();
    assert!(
        text.starts_with("unit reported 5 hot units in 400 ns, the first after 120 ns\n"),
        "{text}"
    );
    for part in [
        "\ndamon promoted 7 pages as 3 folios of 7 in 3 batches, the first after 130 ns\n",
        "\n  refused, not on a reclaim list: 3 folios\n",
        "\n  5 folios wait still\n",
    ] {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}

#[test]
fn a_run_without_events_is_two_lines() {
    let summary = begun(1_000_000, Some(50_000)).ended(0, 2_000_001_000);
    assert_eq!(
        summary.to_string(),
        "unit reported no hot unit in 2.00 s\ndamon promoted no page\n"
    );
    let json = serde_json::to_value(&summary).unwrap();
    assert_eq!(
        (&json["epoch_ns"], &json["wished_epoch_ns"]),
        (&1_000_000.into(), &50_000.into())
    );
}

#[test]
fn an_epoch_that_differs_from_the_wish_is_said() {
    let mut recorder = begun(1_000_000, Some(50_000));
    recorder.said(1, false, 1010);
    let text = recorder.ended(0, 2_000_000_000).to_string();
    assert!(
        text.contains("\nby epochs of 1ms (50.0 us were asked for):\n"),
        "{text}"
    );
}

#[test]
fn a_run_is_stable_when_nothing_more_moves() {
    let mut recorder = begun(100, None);
    assert!(!recorder.is_stable(10_000));
    recorder.batch(1, 0, 10_050);
    assert!(!recorder.is_stable(10_350));
    assert!(recorder.is_stable(10_400));
}

#[test]
fn rows_do_not_grow_for_ever() {
    let mut recorder = begun(1, None);
    for now_ns in 1000..1000 + ROWS_MAX as u64 + 10 {
        recorder.batch(1, 0, now_ns);
    }
    let summary = recorder.ended(0, 100_000);
    assert_eq!(summary.epochs.len(), ROWS_MAX);
    assert_eq!(summary.pages_promoted, ROWS_MAX as u64 + 10);
}

#[test]
fn lost_units_are_told_even_alone() {
    let mut recorder = begun(100, None);
    recorder.said(0, true, 1050);
    let summary = recorder.ended(0, 1100);
    assert_eq!(summary.reports_with_lost_units, 1);
    assert!(summary.epochs[0].lost_units);
    let json = serde_json::to_value(&summary).unwrap();
    assert_eq!(json["first_report_monotonic_ns"], serde_json::Value::Null);
}
