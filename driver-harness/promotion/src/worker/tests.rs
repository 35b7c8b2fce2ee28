// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use chmu_machine::clock;
use chmu_machine::stop::StopFlag;
use chmu_spec::address::Pfn;
use proptest::prelude::*;

use super::*;
use crate::actuator::{DryRun, Limits};
use crate::batch::{Batch, Fate};
use crate::engine::Policy;
use crate::ledger::{Action, LedgerWriter};
use crate::machine::DescribedMachine;
use crate::report::{HotExtent, Place, Report, Weight};
use crate::testing::{SLOW, SimulatedMachine, TOPOLOGY, facts};

/// What a source does when it is asked.
enum Answer {
    Report(Vec<u64>),
    Fail,
    /// Waits until it is told to stop.
    Wait,
}

/// Does what it was told, then is gone.
struct Script {
    facts: Facts,
    answers: VecDeque<Answer>,
    /// Is told of each question.
    asked: Option<Sender<()>>,
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Script")
    }
}

fn script(answers: impl IntoIterator<Item = Answer>) -> Box<Script> {
    Box::new(Script {
        facts: facts("script"),
        answers: answers.into_iter().collect(),
        asked: None,
    })
}

impl HotnessSource for Script {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn poll(&mut self, _: u64, stop: &StopFlag) -> Result<Report, SourceError> {
        if let Some(asked) = &self.asked {
            let _ = asked.send(());
        }
        let now_ns = clock::monotonic_ns();
        let frames = match self.answers.pop_front() {
            Some(Answer::Report(frames)) => frames,
            Some(Answer::Fail) => {
                return Err(SourceError::Wait {
                    unit: "script".into(),
                    source: io::ErrorKind::Other.into(),
                });
            }
            Some(Answer::Wait) => {
                stop.sleep(Duration::MAX);
                Vec::new()
            }
            None => Vec::new(),
        };
        Ok(Report {
            handed_out_ns: now_ns,
            earliest_access_ns: now_ns,
            extents: frames.into_iter().map(extent).collect(),
            ..Report::default()
        })
    }

    fn health(&self) -> Health {
        match self.answers.is_empty() {
            true => Health::Gone("the script is at its end".into()),
            false => Health::Good,
        }
    }
}

fn extent(frame: u64) -> HotExtent {
    HotExtent {
        place: Place::Frames {
            start: Pfn(frame),
            pages: 1,
        },
        weight: Weight::accesses(5),
        sharing_pages: 1,
        unit: None,
    }
}

const IDLE: End = End {
    after: None,
    after_epochs: None,
    when_stable: false,
    when_idle: true,
};

/// A run on the simulated machine, and the events that it wrote.
fn run(
    machine: &SimulatedMachine,
    sources: Vec<Box<dyn HotnessSource>>,
    actuator: Box<dyn Actuator>,
    end: End,
) -> (Result<Summary, RunError>, Vec<Event>) {
    run_with(machine, sources, actuator, end, Policy::default())
}

fn run_with(
    machine: &SimulatedMachine,
    sources: Vec<Box<dyn HotnessSource>>,
    actuator: Box<dyn Actuator>,
    end: End,
    policy: Policy,
) -> (Result<Summary, RunError>, Vec<Event>) {
    let mut events = Vec::new();
    let mut engine = Engine::new(policy, 0);
    let stop = StopFlag::new().unwrap();
    let mut sink = |new: &[Event]| {
        events.extend_from_slice(new);
        Ok(())
    };
    let summary = run_on_machine(
        &mut engine,
        machine,
        Parts {
            sources,
            actuator,
            telemetry: None,
        },
        &mut sink,
        end,
        &stop,
    );
    assert!(stop.is_raised());
    (summary, events)
}

#[test]
fn what_sources_report_is_promoted_until_they_end() {
    let machine = SimulatedMachine::with_pages(SLOW..SLOW + 20);
    let first = script([
        Answer::Report(vec![SLOW + 8, SLOW + 9]),
        Answer::Report(vec![SLOW]),
    ]);
    let second = script([Answer::Report((SLOW..SLOW + 4).collect())]);
    let (summary, events) = run(
        &machine,
        vec![first, second],
        Box::new(machine.clone()),
        IDLE,
    );
    let summary = summary.unwrap();
    assert_eq!((summary.units_reported, summary.pages_promoted), (7, 6));
    let mut moved = machine.promoted();
    moved.sort_unstable();
    assert_eq!(moved, [0, 1, 2, 3, 8, 9].map(|page| SLOW + page));
    assert!(matches!(events[0].action, Action::Begin(_)));
    assert!(matches!(events[events.len() - 1].action, Action::End(_)));
}

#[test]
fn a_source_that_waits_is_woken_at_the_end() {
    let machine = SimulatedMachine::default();
    let end = End {
        after: Some(Duration::from_millis(20)),
        ..End::default()
    };
    let sources: Vec<Box<dyn HotnessSource>> = vec![script([Answer::Wait, Answer::Wait])];
    let (summary, _) = run(&machine, sources, Box::new(machine.clone()), end);
    assert_eq!(summary.unwrap().pages_promoted, 0);
}

#[test]
fn a_source_that_fails_costs_only_itself() {
    let machine = SimulatedMachine::with_pages(SLOW..SLOW + 2);
    let failing = || script([Answer::Fail, Answer::Wait]);
    let good = script([Answer::Report(vec![SLOW])]);
    let (summary, _) = run(
        &machine,
        vec![failing(), good],
        Box::new(machine.clone()),
        IDLE,
    );
    assert_eq!(summary.unwrap().pages_promoted, 1);
    let (summary, _) = run(
        &machine,
        vec![failing(), failing()],
        Box::new(machine.clone()),
        IDLE,
    );
    assert!(matches!(summary, Err(RunError::Source(_))));
}

#[test]
fn a_ledger_that_cannot_be_written_ends_the_run() {
    let machine = SimulatedMachine::with_pages(SLOW..SLOW + 2);
    let full = Path::new("/dev/full");
    let Ok(mut writer) = LedgerWriter::create(full) else {
        return;
    };
    let mut sink = |events: &[Event]| writer.write(events);
    let mut engine = Engine::new(Policy::default(), 0);
    let stop = StopFlag::new().unwrap();
    let sources: Vec<Box<dyn HotnessSource>> = vec![script([Answer::Wait, Answer::Wait])];
    let actuator = Box::new(machine.clone());
    let run = run_on_machine(
        &mut engine,
        &machine,
        Parts {
            sources,
            actuator,
            telemetry: None,
        },
        &mut sink,
        IDLE,
        &stop,
    );
    assert_eq!(
        run.unwrap_err().to_string(),
        "Cannot write the ledger /dev/full"
    );
}

/// Moves pages as the machine does, after something else has happened.
#[derive(Debug)]
struct Patient {
    machine: SimulatedMachine,
    wait: Mutex<Receiver<()>>,
    waited: Sender<bool>,
}

impl Actuator for Patient {
    fn name(&self) -> &'static str {
        "patient"
    }

    fn limits(&self) -> Limits {
        self.machine.limits()
    }

    fn promote_batch(
        &mut self,
        batch: &Batch,
        stop: &StopFlag,
    ) -> Result<Vec<Fate>, ActuatorError> {
        let came = self
            .wait
            .lock()
            .unwrap()
            .recv_timeout(Duration::from_secs(60))
            .is_ok();
        let _ = self.waited.send(came);
        self.machine.promote_batch(batch, stop)
    }
}

#[test]
fn lists_are_drained_while_a_batch_moves() {
    let machine = SimulatedMachine::with_pages(SLOW..SLOW + 2);
    let (asked, wait) = mpsc::channel();
    let (waited, result) = mpsc::channel();
    let patient = Patient {
        machine: machine.clone(),
        wait: Mutex::new(wait),
        waited,
    };
    // The first two questions are answered before there is a batch at all.
    let mut source = script([Answer::Report(vec![SLOW]), Answer::Report(vec![SLOW + 1])]);
    source.asked = Some(asked);
    let (summary, _) = run(&machine, vec![source], Box::new(patient), IDLE);
    assert_eq!(summary.unwrap().pages_promoted, 2);
    assert!(result.iter().all(|came| came));
}

/// Raises the flag while it moves pages.
#[derive(Debug)]
struct Stopper {
    machine: SimulatedMachine,
}

impl Actuator for Stopper {
    fn name(&self) -> &'static str {
        "stopper"
    }

    fn limits(&self) -> Limits {
        self.machine.limits()
    }

    fn promote_batch(
        &mut self,
        batch: &Batch,
        stop: &StopFlag,
    ) -> Result<Vec<Fate>, ActuatorError> {
        stop.raise();
        self.machine.promote_batch(batch, stop)
    }
}

#[test]
fn reports_that_wait_at_the_end_are_counted() {
    let machine = SimulatedMachine::with_pages(SLOW..SLOW + 9);
    let (asked, wait) = mpsc::channel();
    let reports = (0..3).map(|page| Answer::Report(vec![SLOW + page]));
    let mut source = script(reports.chain([Answer::Wait, Answer::Wait]));
    source.asked = Some(asked);
    let stop = StopFlag::new().unwrap();
    let mut events = Vec::new();
    let mut sink = |new: &[Event]| {
        let is_report = |event: &Event| matches!(event.action, Action::Source(_));
        if new.iter().any(is_report) && !stop.is_raised() {
            // Whoever is asked for the fourth time has sent three reports.
            (0..4).for_each(|_| wait.recv_timeout(Duration::from_secs(60)).unwrap());
            stop.raise();
        }
        events.extend_from_slice(new);
        Ok(())
    };
    let mut engine = Engine::new(Policy::default(), 0);
    let summary = run_on_machine(
        &mut engine,
        &machine,
        Parts {
            sources: vec![source],
            actuator: Box::new(machine.clone()),
            telemetry: None,
        },
        &mut sink,
        IDLE,
        &stop,
    );
    let summary = summary.unwrap();
    assert_eq!(summary.units_reported, 3);
    let ignored = [(crate::Rejection::RunEnded, 2)].into();
    assert_eq!(summary.ignored, ignored, "the first was looked at");
    let last = events.last().map(|event| &event.action);
    assert!(matches!(last, Some(Action::End(totals)) if totals.units_reported == 3));
}

#[test]
fn what_moves_when_it_is_time_to_stop_is_written_down() {
    let machine = SimulatedMachine::with_pages(SLOW..SLOW + 2);
    let source = script([Answer::Report(vec![SLOW]), Answer::Wait, Answer::Wait]);
    let stopper = Stopper {
        machine: machine.clone(),
    };
    let (summary, events) = run(&machine, vec![source], Box::new(stopper), IDLE);
    assert_eq!(summary.unwrap().pages_promoted, 1);
    let last: Vec<_> = events
        .iter()
        .rev()
        .take(2)
        .map(|event| &event.action)
        .collect();
    assert!(
        matches!(last[..], [Action::End(_), Action::Moved(_)]),
        "{last:?}"
    );
}

/// Reports as fast as it is listened to, and gives up in the end.
#[derive(Debug)]
struct Flood {
    facts: Facts,
    report: Report,
    left: usize,
}

impl HotnessSource for Flood {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn poll(&mut self, _: u64, _: &StopFlag) -> Result<Report, SourceError> {
        self.left -= 1;
        let now_ns = clock::monotonic_ns();
        Ok(Report {
            handed_out_ns: now_ns,
            earliest_access_ns: now_ns,
            ..self.report.clone()
        })
    }

    fn health(&self) -> Health {
        match self.left {
            0 => Health::Gone("the flood is over".into()),
            _ => Health::Good,
        }
    }
}

#[test]
fn pages_are_promoted_while_reports_keep_coming() {
    const REPORTS: usize = 5_000;
    let machine = SimulatedMachine::with_pages(SLOW..SLOW + 512);
    let flood = Flood {
        facts: facts("flood"),
        report: Report {
            extents: (SLOW..SLOW + 512).map(extent).collect(),
            ..Report::default()
        },
        left: REPORTS,
    };
    let stopper = Stopper {
        machine: machine.clone(),
    };
    let (summary, events) = run(&machine, vec![Box::new(flood)], Box::new(stopper), IDLE);
    assert!(summary.unwrap().pages_promoted > 0);
    let is_report = |event: &&Event| matches!(event.action, Action::Source(_));
    let reports = events.iter().filter(is_report).count();
    assert!(reports < REPORTS, "the flood was over before a page moved");
}

/// Reports at given times, then gone.
#[derive(Debug)]
struct Timed {
    facts: Facts,
    reports: VecDeque<Report>,
}

impl HotnessSource for Timed {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn poll(&mut self, _: u64, _: &StopFlag) -> Result<Report, SourceError> {
        Ok(self.reports.pop_front().unwrap_or_default())
    }

    fn health(&self) -> Health {
        match self.reports.is_empty() {
            true => Health::Gone("no more".into()),
            false => Health::Good,
        }
    }
}

fn inline(reports: &[(u64, u64, u64)], seed: u64, policy: &Policy) -> (Summary, String) {
    inline_until(reports, seed, policy, End::default())
}

fn inline_until(
    reports: &[(u64, u64, u64)],
    seed: u64,
    policy: &Policy,
    end: End,
) -> (Summary, String) {
    let mut now_ns = 0;
    let reports = reports.iter().map(|&(pause_ns, frame, accesses)| {
        now_ns += pause_ns;
        let extent = HotExtent {
            weight: Weight::accesses(accesses),
            ..extent(SLOW + frame)
        };
        Report {
            handed_out_ns: now_ns,
            earliest_access_ns: now_ns,
            extents: vec![extent],
            ..Report::default()
        }
    });
    let source = Timed {
        facts: facts("timed"),
        reports: reports.collect(),
    };
    let machine = DescribedMachine::new(TOPOLOGY.clone());
    let mut engine = Engine::new(policy.clone(), seed);
    let mut lines = Vec::new();
    let mut writer = LedgerWriter::new(&mut lines, Path::new("lines"));
    let mut sink = |events: &[Event]| writer.write(events);
    let stop = StopFlag::new().unwrap();
    let source = Box::new(source);
    let actuator = Box::new(DryRun);
    let summary = run_inline(
        &mut engine,
        &machine,
        source,
        actuator,
        &mut sink,
        end,
        &stop,
    );
    drop(writer);
    (summary.unwrap(), String::from_utf8(lines).unwrap())
}

proptest! {
    #[test]
    fn the_same_stream_leads_to_the_same_lines(
        reports in proptest::collection::vec((0..300_000_000_u64, 0..50_u64, 1..100_u64), 1..60),
        rate in prop_oneof![Just(None), (1..50_u64).prop_map(Some)],
    ) {
        let policy = Policy { pages_per_second: rate, minimum_heat: 20, ..Policy::default() };
        let (summary, lines) = inline(&reports, 1, &policy);
        let (again, same_lines) = inline(&reports, 1, &policy);
        prop_assert_eq!(&lines, &same_lines);
        prop_assert_eq!(&summary, &again);
        prop_assert_eq!(summary.folios_waiting, 0);
        // Each folio is decided on once, and nothing that was not hot enough.
        let ledger = crate::ledger::Ledger::parse(lines.as_bytes(), Path::new("lines")).unwrap();
        prop_assert!(ledger.is_complete());
        let mut moved = Vec::new();
        for event in &ledger.events {
            if let Action::Moved(one) = &event.action {
                moved.push(one.folio.head.0 - SLOW);
            }
        }
        let count = moved.len();
        moved.sort_unstable();
        moved.dedup();
        prop_assert_eq!(moved.len(), count);
        for frame in &moved {
            let all: u64 = reports.iter().filter(|one| one.1 == *frame).map(|one| one.2).sum();
            prop_assert!(all >= 20);
        }
        for (_, frame, accesses) in &reports {
            prop_assert!(*accesses < 20 || rate.is_some() || moved.contains(frame));
        }
    }
}

/// Panics over its second batch.
#[derive(Debug)]
struct Clumsy {
    machine: SimulatedMachine,
    batches: u32,
}

impl Actuator for Clumsy {
    fn name(&self) -> &'static str {
        "clumsy"
    }

    fn limits(&self) -> Limits {
        self.machine.limits()
    }

    fn promote_batch(
        &mut self,
        batch: &Batch,
        stop: &StopFlag,
    ) -> Result<Vec<Fate>, ActuatorError> {
        self.batches += 1;
        assert!(self.batches < 2, "two are too many");
        self.machine.promote_batch(batch, stop)
    }
}

/// Folios that moved, and those refused, by the ledger; its sums must be those of its lines.
fn accounts(events: &[Event]) -> (u64, std::collections::BTreeMap<crate::Rejection, u64>) {
    let mut moved = 0;
    let mut refused = std::collections::BTreeMap::new();
    for event in events {
        match &event.action {
            Action::Moved(_) => moved += 1,
            Action::Refused(one) => *refused.entry(one.reason).or_default() += 1,
            _ => {}
        }
    }
    let Some(Action::End(totals)) = events.last().map(|event| &event.action) else {
        panic!("{events:?}");
    };
    assert_eq!(
        (totals.folios_moved, totals.refused),
        (moved, refused.values().sum())
    );
    (moved, refused)
}

#[test]
fn an_actuator_that_panics_ends_the_run_with_a_sentence() {
    let machine = SimulatedMachine::with_pages(SLOW..SLOW + 100);
    let source = script([
        Answer::Report((SLOW..SLOW + 100).collect()),
        Answer::Wait,
        Answer::Wait,
    ]);
    let clumsy = Clumsy {
        machine: machine.clone(),
        batches: 0,
    };
    let policy = Policy {
        batch_folios: 64,
        ..Policy::default()
    };
    let (summary, events) = run_with(&machine, vec![source], Box::new(clumsy), IDLE, policy);
    let Err(RunError::Actuator(error)) = summary else {
        panic!("{summary:?}");
    };
    let sentence = "The actuator panicked: two are too many; please report this";
    assert_eq!(error.to_string(), sentence);
    let (moved, refused) = accounts(&events);
    assert_eq!((moved, refused[&crate::Rejection::Stayed]), (64, 36));
}

/// Does not come back until it is let go, whatever it is told.
#[derive(Debug)]
struct Stuck {
    machine: SimulatedMachine,
    wait: Mutex<Receiver<()>>,
}

impl Actuator for Stuck {
    fn name(&self) -> &'static str {
        "stuck"
    }

    fn limits(&self) -> Limits {
        self.machine.limits()
    }

    fn promote_batch(
        &mut self,
        batch: &Batch,
        stop: &StopFlag,
    ) -> Result<Vec<Fate>, ActuatorError> {
        let _ = self.wait.lock().unwrap().recv();
        self.machine.promote_batch(batch, stop)
    }
}

#[test]
fn an_actuator_that_does_not_come_back_keeps_nobody() {
    let machine = SimulatedMachine::with_pages(SLOW..SLOW + 3);
    let source = script([
        Answer::Report((SLOW..SLOW + 3).collect()),
        Answer::Wait,
        Answer::Wait,
    ]);
    let (let_go, wait) = mpsc::channel();
    let stuck = Stuck {
        machine: machine.clone(),
        wait: Mutex::new(wait),
    };
    let end = End {
        after: Some(Duration::from_millis(200)),
        ..End::default()
    };
    let (summary, events) = run(&machine, vec![source], Box::new(stuck), end);
    let sentence = "The actuator stuck does not come back from 1 batch; nobody knows whether what it was \
                    to move has moved";
    assert_eq!(summary.unwrap_err().to_string(), sentence);
    let (moved, refused) = accounts(&events);
    assert_eq!((moved, refused[&crate::Rejection::Unheard]), (0, 3));
    drop(let_go);
}

/// Panics when it is asked, or does not come back until it is let go.
#[derive(Debug)]
struct Wayward {
    facts: Facts,
    wait: Option<Mutex<Receiver<()>>>,
    /// Dropped with it, after it was said to be gone.
    _alive: Option<Sender<()>>,
}

impl HotnessSource for Wayward {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn poll(&mut self, _: u64, _: &StopFlag) -> Result<Report, SourceError> {
        let wait = self.wait.as_ref().expect("nothing to wait for");
        let _ = wait.lock().unwrap().recv();
        Ok(Report::default())
    }
}

/// Reports a page once another thing is gone, and is gone as well.
#[derive(Debug)]
struct After {
    facts: Facts,
    other: Mutex<Receiver<()>>,
    has_reported: bool,
}

impl HotnessSource for After {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn poll(&mut self, _: u64, _: &StopFlag) -> Result<Report, SourceError> {
        let _ = self.other.lock().unwrap().recv();
        self.has_reported = true;
        let now_ns = clock::monotonic_ns();
        Ok(Report {
            handed_out_ns: now_ns,
            earliest_access_ns: now_ns,
            extents: vec![extent(SLOW)],
            ..Report::default()
        })
    }

    fn health(&self) -> Health {
        match self.has_reported {
            true => Health::Gone("it has reported".into()),
            false => Health::Good,
        }
    }
}

#[test]
fn a_source_that_panics_costs_only_itself() {
    let machine = SimulatedMachine::with_pages(SLOW..SLOW + 2);
    let (alive, other) = mpsc::channel();
    let wayward = Wayward {
        facts: facts("wayward"),
        wait: None,
        _alive: Some(alive),
    };
    let good = After {
        facts: facts("good"),
        other: Mutex::new(other),
        has_reported: false,
    };
    let sources: Vec<Box<dyn HotnessSource>> = vec![Box::new(wayward), Box::new(good)];
    let (summary, events) = run(&machine, sources, Box::new(machine.clone()), IDLE);
    assert_eq!(summary.unwrap().pages_promoted, 1);
    let gone = "The source panicked: nothing to wait for; please report this";
    let is_gone = |event: &Event| match &event.action {
        Action::Source(said) => said.health == Health::Gone(gone.into()),
        _ => false,
    };
    assert!(events.iter().any(is_gone), "{events:?}");
}

#[test]
fn a_source_that_does_not_come_back_keeps_nobody() {
    let machine = SimulatedMachine::with_pages(SLOW..SLOW + 2);
    let (let_go, wait) = mpsc::channel();
    let wayward = Wayward {
        facts: facts("wayward"),
        wait: Some(Mutex::new(wait)),
        _alive: None,
    };
    let good = script([Answer::Report(vec![SLOW]), Answer::Wait, Answer::Wait]);
    let sources: Vec<Box<dyn HotnessSource>> = vec![Box::new(wayward), good];
    let end = End {
        after: Some(Duration::from_millis(300)),
        ..End::default()
    };
    let (summary, _) = run(&machine, sources, Box::new(machine.clone()), end);
    assert_eq!(summary.unwrap().pages_promoted, 1);
    drop(let_go);
}

#[test]
fn a_run_ends_by_the_time_of_its_stream() {
    const TENTH_NS: u64 = 100_000_000;
    let mut reports: Vec<_> = (0..3).map(|frame| (TENTH_NS, frame, 50)).collect();
    reports.push((50 * TENTH_NS, 3, 50));
    let ends = [
        End {
            after: Some(Duration::from_secs(1)),
            ..End::default()
        },
        End {
            after_epochs: Some(4),
            ..End::default()
        },
        End {
            when_stable: true,
            ..End::default()
        },
    ];
    for end in ends {
        let (summary, _) = inline_until(&reports, 1, &Policy::default(), end);
        assert_eq!(summary.pages_promoted, 3, "{end:?}");
    }
    // What waits for its turn has no more time than the run.
    let slow = Policy {
        pages_per_second: Some(1),
        ..Policy::default()
    };
    let (summary, _) = inline_until(&reports, 1, &slow, ends[0]);
    assert!(summary.pages_promoted < 3, "{summary}");
    assert!(summary.duration_ns <= 10 * TENTH_NS, "{summary}");
}

#[test]
fn time_has_an_end() {
    let (summary, _) = inline(&[(u64::MAX, 1, 50)], 1, &Policy::default());
    assert_eq!(summary.units_reported, 1);
}
