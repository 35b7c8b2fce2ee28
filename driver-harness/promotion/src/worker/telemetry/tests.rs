// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Runs on a machine whose fast memory is watched.

use std::sync::mpsc::{self, Receiver};

use chmu_machine::stop::StopFlag;
use chmu_spec::address::Pfn;

use super::*;
use crate::engine::{Engine, Policy};
use crate::ledger::{Action, Event};
use crate::report::{Facts, Health, HotExtent, Place, Report, Weight};
use crate::source::{HotnessSource, SourceError};
use crate::telemetry::Watched;
use crate::testing::{SLOW, SimulatedMachine, facts};
use crate::worker::{End, Parts, run_on_machine};

const OWN: u64 = 0x4000;
const COLD: u64 = 8;

/// Reports the same pages until it is told that room was made, or that nobody can make any.
#[derive(Debug)]
struct Insistent {
    facts: Facts,
    until: Receiver<()>,
    is_over: bool,
}

impl HotnessSource for Insistent {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn poll(&mut self, _: u64, _: &StopFlag) -> Result<Report, SourceError> {
        self.is_over = self.until.recv_timeout(Duration::from_millis(5)).is_ok();
        let now_ns = chmu_machine::clock::monotonic_ns();
        Ok(Report {
            handed_out_ns: now_ns,
            earliest_access_ns: now_ns,
            extents: vec![HotExtent {
                place: Place::Frames {
                    start: Pfn(SLOW),
                    pages: 4,
                },
                weight: Weight::accesses(400),
                sharing_pages: 1,
                unit: None,
            }],
            ..Report::default()
        })
    }

    fn health(&self) -> Health {
        match self.is_over {
            true => Health::Gone("over".to_owned()),
            false => Health::Good,
        }
    }
}

/// Calls everything idle, or fails.
#[derive(Debug)]
struct Simulated {
    fails: bool,
}

impl Telemetry for Simulated {
    fn name(&self) -> &'static str {
        "simulated"
    }

    fn frames_max(&self) -> usize {
        100
    }

    fn watch(&mut self, watch: &Watch, _: &StopFlag) -> Result<Watched, TelemetryError> {
        if self.fails {
            return Err(TelemetryError::NoFastMemory);
        }
        Ok(Watched {
            accessed: vec![false; watch.frames.len()],
            idle_ns: 1,
            until_ns: chmu_machine::clock::monotonic_ns(),
        })
    }
}

/// A run in which no page has room, until an event of this kind.
fn run(fails: bool, is_end: fn(&Action) -> bool) -> (SimulatedMachine, Vec<Event>) {
    let own = (0..COLD).map(|number| OWN + 2 * number);
    let machine = SimulatedMachine::with_pages(own.chain(SLOW..SLOW + 4));
    machine.find_owners();
    machine.set_headroom(0, 0);
    let policy = Policy {
        demote_coldest: true,
        retry_ns: 1,
        ..Policy::default()
    };
    let mut engine = Engine::new(policy, 1);
    let (over, until) = mpsc::channel();
    let mut events = Vec::new();
    let mut sink = |new: &[Event]| {
        if new.iter().any(|event| is_end(&event.action)) {
            let _ = over.send(());
        }
        events.extend_from_slice(new);
        Ok(())
    };
    let parts = Parts {
        sources: vec![Box::new(Insistent {
            facts: facts("one"),
            until,
            is_over: false,
        })],
        actuator: Box::new(machine.clone()),
        telemetry: Some(Box::new(Simulated { fails })),
    };
    let end = End {
        when_idle: true,
        ..End::default()
    };
    let stop = StopFlag::new().unwrap();
    run_on_machine(&mut engine, &machine, parts, &mut sink, end, &stop).unwrap();
    (machine, events)
}

#[test]
fn what_telemetry_calls_idle_makes_room() {
    let is_sent = |action: &Action| matches!(action, Action::Demoted(one) if one.sent.is_some());
    let (machine, events) = run(false, is_sent);
    // The headroom is said to be none for ever, so there may be more than one batch.
    let gone = machine.sent_down().len();
    assert!(gone >= 4 && gone.is_multiple_of(4), "{gone}");
    assert_eq!(
        events.iter().filter(|event| is_sent(&event.action)).count(),
        gone
    );
}

#[test]
fn telemetry_that_fails_is_said_and_the_run_goes_on() {
    let is_gone = |action: &Action| matches!(action, Action::Telemetry(said) if matches!(said.health, Health::Gone(_)));
    let (machine, events) = run(true, is_gone);
    assert_eq!(machine.sent_down().len(), 0);
    let last = events.last().map(|event| &event.action);
    assert!(matches!(last, Some(Action::End(_))));
}
