// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Ways to make room wrongly, on a fast node that is full.

use chmu_promotion::ledger::{Action, Event};
use chmu_promotion::telemetry::{Telemetry, TelemetryError, Watch, Watched};
use chmu_promotion::{Direction, Fate, StopFlag};

use super::super::machine::HonestTelemetry;
use super::super::run::{Parts, RESIDENT_PROCESS};
use super::super::world::{FAR, FAST, SLOW, World, node_of};
use super::super::{Mutant, Part};
use super::actuators::{Way, replace};
use super::ledgers::add_up;
use crate::verdict::Reason;

/// Takes what is in use for idle, and the other way round.
#[derive(Debug)]
struct Upside(HonestTelemetry);

impl Telemetry for Upside {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn frames_max(&self) -> usize {
        self.0.frames_max()
    }

    fn watch(&mut self, watch: &Watch, stop: &StopFlag) -> Result<Watched, TelemetryError> {
        let mut watched = self.0.watch(watch, stop)?;
        watched.accessed.iter_mut().for_each(|one| *one = !*one);
        Ok(watched)
    }
}

fn with_actuator(parts: &mut Parts, way: Way) {
    *parts = Parts::full();
    replace(parts, Direction::Demotion, way);
}

fn with_scribe(parts: &mut Parts, scribe: fn(Vec<Event>) -> Vec<Event>) {
    *parts = Parts::full();
    parts.scribe = scribe;
}

/// Sends a page of the program that fills the fast node down, by its number.
fn send_down(world: &mut World, page: usize) {
    let number = world.processes[RESIDENT_PROCESS].pages[page];
    let is_fast = world.pages[number]
        .frame
        .is_some_and(|frame| node_of(frame) == FAST);
    if is_fast {
        world.migrate(&[number], SLOW);
    }
}

const SAID: Fate = Fate::Moved { node: SLOW };
/// A page that is never idle, and the last one, which comes last of all.
const IN_USE: usize = 2;
const LAST: usize = 127;

fn is_sent(action: &Action) -> bool {
    matches!(action, Action::Demoted(demoted) if demoted.sent.is_some())
}

pub(super) fn all() -> Vec<Mutant> {
    let mutant = |name, part, reason, explanation, sabotage| Mutant {
        name,
        part,
        explanation,
        reason,
        sabotage,
    };
    vec![
        mutant(
            "demotes-in-use",
            Part::Telemetry,
            Reason::HotPageDemoted,
            "takes pages in use for idle",
            |parts| {
                *parts = Parts::full();
                let honest = HonestTelemetry(parts.shared.clone());
                parts.telemetry = Some(Box::new(Upside(honest)));
            },
        ),
        mutant(
            "demotes-hot-instead",
            Part::Actuator,
            Reason::MovedByOthers,
            "demotes a page in use in place of a cold one",
            |parts| {
                with_actuator(parts, |actuator, candidate, number| {
                    if number > 0 {
                        return actuator.promote(candidate, SLOW);
                    }
                    send_down(&mut actuator.0.world(), IN_USE);
                    SAID
                });
            },
        ),
        mutant(
            "demotes-unsaid",
            Part::Actuator,
            Reason::MovedByOthers,
            "demotes one page more than it was told",
            |parts| {
                with_actuator(parts, |actuator, candidate, number| {
                    let fate = actuator.promote(candidate, SLOW);
                    if number == 0 {
                        send_down(&mut actuator.0.world(), LAST);
                    }
                    fate
                });
            },
        ),
        mutant(
            "says-demoted",
            Part::Actuator,
            Reason::SaidMovedButStayed,
            "says of one page of eight that it was demoted, and leaves it",
            |parts| {
                with_actuator(parts, |actuator, candidate, number| match number % 8 {
                    0 => SAID,
                    _ => actuator.promote(candidate, SLOW),
                });
            },
        ),
        mutant(
            "demotes-sideways",
            Part::Actuator,
            Reason::NotATarget,
            "sends pages to a node that is no slower, and says so",
            |parts| {
                with_actuator(parts, |actuator, candidate, _| {
                    actuator.promote(candidate, FAR)
                })
            },
        ),
        mutant(
            "demotes-elsewhere",
            Part::Actuator,
            Reason::OtherNodeThanSaid,
            "sends one page of eight to another node than it says",
            |parts| {
                with_actuator(parts, |actuator, candidate, number| match number % 8 {
                    0 => {
                        actuator.promote(candidate, FAR);
                        SAID
                    }
                    _ => actuator.promote(candidate, SLOW),
                });
            },
        ),
        mutant(
            "demotions-left-out",
            Part::Ledger,
            Reason::LedgerFateMissing,
            "leaves out what became of the pages that made room",
            |parts| {
                with_scribe(parts, |mut events| {
                    events.retain(|event| !is_sent(&event.action));
                    add_up(events)
                });
            },
        ),
        mutant(
            "demotions-without-need",
            Part::Ledger,
            Reason::LedgerCauseMissing,
            "demotes although there was room",
            |parts| {
                with_scribe(parts, |mut events| {
                    for event in &mut events {
                        if let Action::Demotion(made) = &mut event.action {
                            made.room_pages = made.wanted_pages;
                        }
                    }
                    events
                });
            },
        ),
    ]
}
