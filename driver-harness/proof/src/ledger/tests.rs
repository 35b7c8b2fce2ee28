// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use std::collections::BTreeMap;
use std::fs;

use chmu_machine::node::NodeId;
use chmu_promotion::Policy;
use chmu_promotion::ledger::{
    Action, BatchMade, Begin, Event, Moved, Queued, Refused, Seen, SourceSaid, Totals,
};
use chmu_promotion::report::{Facts, Health, Knowledge, Lost, SourceKind, WeightKind};
use chmu_promotion::{Folio, Rejection, Route};
use chmu_spec::address::Pfn;

use super::*;

pub(crate) const SLOW: NodeId = NodeId(1);
pub(crate) const FAST: NodeId = NodeId(0);
/// When the first batch is handed over; each later one comes so much after the one before.
pub(crate) const BATCH_NS: u64 = 1_000_000_000;

pub(crate) fn folio(head: u64, pages: u64) -> Folio {
    Folio {
        head: Pfn(head),
        pages,
    }
}

pub(crate) fn route() -> Route {
    Route {
        source: SLOW,
        target: FAST,
    }
}

pub(crate) fn begin(policy: &[(&str, u64)]) -> Event {
    let setting = |(name, value): &(&str, u64)| ((*name).to_owned(), serde_json::json!(value));
    let mut settings = Policy::default().settings();
    settings.extend(policy.iter().map(setting));
    Event::new(
        0,
        Action::Begin(Begin {
            program: "0".into(),
            sources: vec![source()],
            actuator: "test".into(),
            dry_run: false,
            seed: 1,
            policy: settings,
        }),
    )
}

/// The only source.
fn source() -> Facts {
    Facts {
        name: "test".into(),
        kind: SourceKind::Stream,
        unit_bytes: None,
        granted_epoch_ns: None,
        wished_epoch_ns: None,
        knows: Knowledge::default(),
        counts: WeightKind::Accesses,
    }
}

pub(crate) fn seen(folio: Folio, earliest_access_ns: u64, time_ns: u64) -> Event {
    Event::new(
        time_ns,
        Action::Seen(Seen {
            folio,
            node: SLOW,
            heat: 1000,
            origin: vec!["test".into()],
            earliest_access_ns,
        }),
    )
}

pub(crate) fn batch(number: u64, folios: &[Folio], time_ns: u64) -> Event {
    Event::new(
        time_ns,
        Action::Batch(BatchMade {
            batch: number,
            route: route(),
            folios: folios.to_vec(),
            waiting: 0,
        }),
    )
}

pub(crate) fn moved(number: u64, folio: Folio, time_ns: u64) -> Event {
    Event::new(
        time_ns,
        Action::Moved(Moved {
            batch: number,
            folio,
            route: route(),
            heat: 1000,
            origin: vec!["test".into()],
            started_ns: time_ns - 1000,
            ended_ns: time_ns,
        }),
    )
}

pub(crate) fn stayed(number: u64, folio: Folio, time_ns: u64) -> Event {
    Event::new(
        time_ns,
        Action::Refused(Refused {
            folio,
            reason: Rejection::Pinned,
            errno: None,
            batch: Some(number),
            route: Some(route()),
            origin: Vec::new(),
        }),
    )
}

fn said(seen: &Seen, time_ns: u64) -> Event {
    let said = SourceSaid {
        source: "test".into(),
        handed_out_ns: time_ns,
        earliest_access_ns: seen.earliest_access_ns.min(time_ns),
        units: 1,
        pages: 1,
        lost: Lost::default(),
        ignored: BTreeMap::new(),
        health: Health::Good,
    };
    Event::new(time_ns, Action::Source(said))
}

fn queued(folio: Folio, time_ns: u64) -> Event {
    let queued = Queued {
        folio,
        route: route(),
        heat: 1000,
        origin: vec!["test".into()],
    };
    Event::new(time_ns, Action::Queued(queued))
}

/// Adds the lines that lead to those that are seen, and to those in batches.
pub(crate) fn with_causes(events: Vec<Event>) -> Vec<Event> {
    let mut all = Vec::new();
    for event in events {
        match &event.action {
            Action::Seen(seen) => all.push(said(seen, event.time_ns)),
            Action::Batch(batch) => {
                let waited = batch.folios.iter();
                all.extend(waited.map(|folio| queued(*folio, event.time_ns)));
            }
            _ => {}
        }
        all.push(event);
    }
    all
}

/// Closes a ledger with sums that agree with its lines, and the lines that these must follow.
pub(crate) fn close(events: Vec<Event>) -> Vec<Event> {
    add_up(with_causes(events))
}

/// Closes a ledger as it is.
fn add_up(mut events: Vec<Event>) -> Vec<Event> {
    let mut totals = Totals {
        lines: events.len() as u64,
        ..Totals::default()
    };
    for event in &events {
        match &event.action {
            Action::Source(said) => totals.units_reported += said.units,
            Action::Batch(_) => totals.batches += 1,
            Action::Moved(moved) => {
                totals.folios_moved += 1;
                totals.pages_moved += moved.folio.pages;
            }
            Action::Refused(_) => totals.refused += 1,
            Action::Retried(_) => totals.retried += 1,
            Action::Demotion(_) => totals.demotions += 1,
            Action::Telemetry(_) => drop(totals.usefulness.get_or_insert_default()),
            Action::Judged(judged) => totals.usefulness.get_or_insert_default().add(judged),
            Action::Demoted(demoted) if demoted.sent.is_some() => {
                totals.folios_demoted += 1;
                totals.pages_demoted += demoted.pages;
            }
            _ => {}
        }
    }
    let last_ns = events.last().map_or(0, |event| event.time_ns);
    events.push(Event::new(last_ns, Action::End(totals)));
    events
}

/// A ledger of a run that moved these folios in one batch each, without its end.
pub(crate) fn run_of(folios: &[Folio]) -> Vec<Event> {
    let mut events = vec![begin(&[])];
    for (number, &folio) in (1..).zip(folios) {
        let time_ns = number * BATCH_NS;
        events.push(seen(folio, time_ns - 400_000_000, time_ns - 300_000_000));
        events.push(batch(number, &[folio], time_ns - 2000));
        events.push(moved(number, folio, time_ns));
    }
    events
}

pub(crate) fn ledger(events: Vec<Event>) -> Ledger {
    Ledger::of_events(events).unwrap()
}

fn faults(events: Vec<Event>) -> Vec<FaultKind> {
    let faults = ledger(events).faults(false);
    faults.into_iter().map(|fault| fault.kind).collect()
}

#[test]
fn an_honest_ledger_has_no_fault() {
    let two = [folio(10, 1), folio(512, 512)];
    assert_eq!(faults(close(run_of(&two))), []);
    assert_eq!(faults(close(vec![begin(&[])])), []);
}

#[test]
fn each_fault_is_found() {
    let one = folio(10, 1);
    let honest = || run_of(&[one, folio(11, 1)]);
    let mut late = honest();
    late[3].time_ns = 1;
    let mut batch_missing = honest();
    batch_missing.remove(2);
    let mut twice = honest();
    twice.push(moved(2, folio(11, 1), 2 * BATCH_NS));
    let mut again = honest();
    again.push(begin(&[]));
    let mut no_fate = honest();
    no_fate.pop();
    let mut same_number = honest();
    same_number.push(batch(2, &[], 2 * BATCH_NS));
    let mut after_end = close(honest());
    after_end.push(seen(one, 5 * BATCH_NS, 6 * BATCH_NS));
    for (events, kinds) in [
        (honest(), vec![FaultKind::Unfinished]),
        (close(late), vec![FaultKind::Order]),
        (close(batch_missing), vec![FaultKind::FateInvented]),
        (close(twice), vec![FaultKind::FateInvented]),
        (close(no_fate), vec![FaultKind::FateMissing]),
        (close(same_number), vec![FaultKind::Order]),
        (after_end, vec![FaultKind::Order, FaultKind::Unfinished]),
    ] {
        let found = faults(events);
        assert!(
            kinds.iter().all(|kind| found.contains(kind)),
            "{kinds:?}: {found:?}"
        );
    }
    assert!(faults(close(again)).contains(&FaultKind::Order));
}

#[test]
fn what_leads_to_a_move_is_missed() {
    let whole = with_causes(run_of(&[folio(10, 1), folio(512, 512)]));
    assert_eq!(faults(add_up(whole.clone())), []);
    let kinds: [fn(&Action) -> bool; 2] = [
        |action| matches!(action, Action::Source(_)),
        |action| matches!(action, Action::Queued(_)),
    ];
    for is_one in kinds {
        let mut events = whole.clone();
        events.retain(|event| !is_one(&event.action));
        assert_eq!(faults(add_up(events)), [FaultKind::CauseMissing; 2]);
    }
    // A folio that waited once is not twice in a batch for that.
    let mut again = whole;
    again.push(batch(3, &[folio(10, 1)], 3 * BATCH_NS));
    again.push(stayed(3, folio(10, 1), 3 * BATCH_NS));
    assert_eq!(faults(add_up(again)), [FaultKind::CauseMissing]);
}

#[test]
fn sums_that_disagree_with_the_lines_are_found() {
    type Change = fn(&mut Totals);
    let changes: [Change; 8] = [
        |totals| totals.lines += 1,
        |totals| totals.units_reported += 1,
        |totals| totals.reports_with_overflow += 1,
        |totals| totals.batches += 1,
        |totals| totals.folios_moved -= 1,
        |totals| totals.pages_moved += 1,
        |totals| totals.refused += 1,
        |totals| totals.retried += 1,
    ];
    for change in changes {
        let mut events = close(run_of(&[folio(10, 1)]));
        let Some(Action::End(totals)) = events.last_mut().map(|event| &mut event.action) else {
            panic!("the ledger has no end");
        };
        change(totals);
        assert_eq!(faults(events), [FaultKind::Totals]);
    }
}

#[test]
fn a_killed_run_may_lack_its_end_but_nothing_before() {
    let events = with_causes(run_of(&[folio(10, 1)]));
    assert_eq!(ledger(events[..5].to_vec()).faults(true), []);
    // A run that has its end was not killed.
    let finished = ledger(close(events[..5].to_vec())).faults(true);
    assert_eq!(finished[0].kind, FaultKind::FateMissing);
    let mut invented = events;
    invented.push(moved(9, folio(3, 1), 2 * BATCH_NS));
    assert_eq!(ledger(invented).faults(true).len(), 1);
}

#[test]
fn a_file_is_read_as_it_was_written_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let mut events = close(run_of(&[folio(10, 1)]));
    events.insert(
        1,
        Event::new(
            0,
            Action::Source(SourceSaid {
                source: "test".into(),
                handed_out_ns: 1,
                earliest_access_ns: 0,
                units: 3,
                pages: 4,
                lost: Lost::default(),
                ignored: BTreeMap::new(),
                health: Health::Good,
            }),
        ),
    );
    let line = |event| serde_json::to_string(event).unwrap() + "\n";
    let text: String = events.iter().map(line).collect();
    let read = |text: &str, killed| {
        fs::write(&path, text).unwrap();
        Ledger::read(&path, killed).map_err(|error| error.to_string())
    };
    assert_eq!(read(&text, false).unwrap().events(), events);
    let cut = &text[..text.len() - 20];
    let message = read(cut, false).unwrap_err();
    assert!(
        message.contains("ends in the middle of line 8"),
        "{message}"
    );
    assert_eq!(read(cut, true).unwrap().events().len(), 7);
    let refused = [
        (
            text.replace(
                "\"v\":1,\"t\":0,\"e\":\"source\"",
                "\"v\":2,\"t\":0,\"e\":\"source\"",
            ),
            "Line 2",
        ),
        (text.replace("\"ended_ns\"", "\"ends\""), "Line 7"),
        (text.replace("\"units\":3,", ""), "Line 2"),
        ("{}\n".to_owned(), "Line 1"),
        (String::new(), "does not start"),
        (
            text.lines()
                .skip(1)
                .map(|line| format!("{line}\n"))
                .collect(),
            "does not begin a run",
        ),
    ];
    for (text, complaint) in refused {
        let message = read(&text, true).unwrap_err();
        assert!(message.contains(complaint), "{message}");
    }
}

#[test]
fn a_move_is_justified_by_an_earlier_report_about_what_its_frames_held() {
    let one = folio(10, 1);
    let justifications = |events| {
        let moves = Moves::of(&ledger(events));
        let all = moves.all().iter().map(|one| one.justification);
        all.collect::<Vec<_>>()
    };
    assert_eq!(justifications(run_of(&[one])), [Justification::Reported]);
    let mut events = run_of(&[one]);
    events.remove(1);
    assert_eq!(justifications(events.clone()), [Justification::Never]);
    events.push(seen(one, BATCH_NS, BATCH_NS + 1));
    assert_eq!(justifications(events), [Justification::Later]);
    // A second page in the same frame needs a report that reaches back no further than the first move.
    for (earliest_ns, justification) in [
        (BATCH_NS - 1, Justification::AboutEarlier),
        (BATCH_NS, Justification::Reported),
    ] {
        let mut events = run_of(&[one]);
        events.push(seen(one, earliest_ns, BATCH_NS + 5));
        events.push(batch(2, &[one], 2 * BATCH_NS));
        events.push(moved(2, one, 2 * BATCH_NS + 1));
        assert_eq!(
            justifications(events),
            [Justification::Reported, justification]
        );
    }
    // A report of one page justifies its folio, and one of a folio its pages.
    let mut events = run_of(&[folio(512, 512)]);
    events[1] = seen(folio(600, 1), 0, 1);
    assert_eq!(justifications(events), [Justification::Reported]);
}

#[test]
fn a_frame_is_found_in_its_folio() {
    let moves = Moves::of(&ledger(run_of(&[folio(512, 512), folio(7, 1)])));
    let lines = |frame| {
        moves
            .out_of(Pfn(frame))
            .iter()
            .map(|(_, one)| one.line)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        [lines(512), lines(1023), lines(7)],
        [vec![4], vec![4], vec![7]]
    );
    assert_eq!(
        [lines(511), lines(1024), lines(8)],
        [const { Vec::<usize>::new() }; 3]
    );
    assert!(moves.is_seen(Pfn(700)) && !moves.is_seen(Pfn(2000)));
}

/// The heat of a line is that of one access.
#[test]
fn the_policy_binds_batches_and_what_waits_for_the_first_time() {
    let one = folio(10, 1);
    let kinds = |policy: &[(&str, u64)], is_put_off: bool| {
        let mut events = vec![begin(policy), seen(one, 1, 2)];
        if is_put_off {
            let refused = Refused {
                folio: one,
                reason: Rejection::TargetFull,
                batch: None,
                route: None,
                errno: None,
                origin: vec!["test".into()],
            };
            events.push(Event::new(3, Action::Refused(refused)));
        }
        events.push(batch(1, &[one], 4000));
        events.push(moved(1, one, 9000));
        faults(close(events))
    };
    assert_eq!(
        kinds(&[("minimum_heat", 1), ("batch_folios", 1)], false),
        []
    );
    assert_eq!(kinds(&[("minimum_heat", 2)], false), [FaultKind::Policy]);
    // What was put off is colder when it waits.
    assert_eq!(kinds(&[("minimum_heat", 2)], true), []);
    let two = [one, folio(20, 1)];
    let batched = |most| {
        let mut events = vec![begin(&[("batch_folios", most)])];
        events.extend(two.map(|folio| seen(folio, 1, 2)));
        events.push(batch(1, &two, 4000));
        events.extend(two.map(|folio| moved(1, folio, 9000)));
        faults(close(events))
    };
    assert_eq!((batched(2), batched(1)), (vec![], vec![FaultKind::Policy]));
}
