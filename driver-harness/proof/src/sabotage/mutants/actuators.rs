// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Actuators that do something else than they should.

use std::fmt;

use chmu_promotion::actuator::{Actuator, ActuatorError, Limits};
use chmu_promotion::{Batch, Candidate, Direction, Fate, StopFlag};
use chmu_spec::address::Pfn;

use super::super::machine::{HonestActuator, Shared};
use super::super::run::Parts;
use super::super::world::{FAR, FAST, PageNumber, SLOW, World, node_of};
use super::super::{Mutant, Part};
use crate::verdict::Reason;

/// What becomes of a candidate; the number counts candidates from 0.
pub(super) type Way = fn(&HonestActuator, &Candidate, u64) -> Fate;

/// Treats each candidate of batches in one direction in its way, and others as it should.
struct Saboteur {
    honest: HonestActuator,
    direction: Direction,
    way: Way,
    candidates: u64,
}

impl fmt::Debug for Saboteur {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Saboteur")
    }
}

impl Actuator for Saboteur {
    fn name(&self) -> &'static str {
        self.honest.name()
    }

    fn limits(&self) -> Limits {
        self.honest.limits()
    }

    fn promote_batch(
        &mut self,
        batch: &Batch,
        stop: &StopFlag,
    ) -> Result<Vec<Fate>, ActuatorError> {
        if batch.direction != self.direction {
            return self.honest.promote_batch(batch, stop);
        }
        let mut fates = Vec::new();
        for candidate in &batch.candidates {
            fates.push((self.way)(&self.honest, candidate, self.candidates));
            self.candidates += 1;
        }
        Ok(fates)
    }
}

/// Has batches in one direction sabotaged.
pub(super) fn replace(parts: &mut Parts, direction: Direction, way: Way) {
    parts.actuator = Box::new(Saboteur {
        honest: HonestActuator(parts.shared.clone()),
        direction,
        way,
        candidates: 0,
    });
}

const SAID: Fate = Fate::Moved { node: FAST };

fn page_at(world: &World, frame: Pfn) -> Option<PageNumber> {
    world.frames.get(&frame).copied()
}

/// The page that is promoted, after it was.
fn promoted(actuator: &HonestActuator, candidate: &Candidate) -> (Fate, Option<PageNumber>) {
    let page = page_at(&actuator.0.world(), candidate.folio.head);
    (actuator.promote(candidate, FAST), page)
}

/// Does something with the page that was promoted.
fn afterwards(
    actuator: &HonestActuator,
    candidate: &Candidate,
    change: impl FnOnce(&mut World, PageNumber),
) -> Fate {
    let (fate, page) = promoted(actuator, candidate);
    if let Some(page) = page {
        change(&mut actuator.0.world(), page);
    }
    fate
}

/// Moves another page of the slow node, found by its number, as it is.
fn move_other(shared: &Shared, number: PageNumber) -> bool {
    let mut world = shared.world();
    let is_slow = world.pages.get(number).and_then(|page| page.frame);
    is_slow.is_some_and(|frame| node_of(frame) == SLOW) && world.migrate(&[number], FAST)
}

macro_rules! mutants {
    ($($name:literal, $reason:ident, $explanation:literal, $way:expr;)*) => {
        vec![$(Mutant {
            name: $name,
            part: Part::Actuator,
            explanation: $explanation,
            reason: Reason::$reason,
            sabotage: |parts| replace(parts, Direction::Promotion, $way),
        }),*]
    };
}

pub(super) fn all() -> Vec<Mutant> {
    mutants! {
        "cold-neighbour", ColdPageMoved, "takes the cold page in the next frame along",
            |actuator, candidate, _| {
                let fate = actuator.promote(candidate, FAST);
                let next = page_at(&actuator.0.world(), candidate.folio.end());
                next.map(|number| move_other(&actuator.0, number));
                fate
            };
        "cold-instead", SaidMovedButStayed, "moves the page in the next frame instead",
            |actuator, candidate, _| {
                let next = page_at(&actuator.0.world(), candidate.folio.end());
                next.map(|number| move_other(&actuator.0, number));
                SAID
            };
        "wrong-process", ColdPageMoved, "moves the page of that number of another process",
            |actuator, _, number| {
                let other = usize::try_from(number).ok();
                let other = other.and_then(|page| actuator.0.world().processes[0].pages.get(page).copied());
                other.map(|number| move_other(&actuator.0, number));
                SAID
            };
        "third-node", ThirdNode, "moves pages to a node farther away, and says that they went to the target",
            |actuator, candidate, _| {
                actuator.promote(candidate, FAR);
                SAID
            };
        "other-node", OtherNodeThanSaid, "moves one page of eight to another node than it says",
            |actuator, candidate, number| match number % 8 {
                0 => {
                    actuator.promote(candidate, FAR);
                    SAID
                }
                _ => actuator.promote(candidate, FAST),
            };
        "says-third-node", NotATarget, "moves pages to a node farther away, and says so",
            |actuator, candidate, _| actuator.promote(candidate, FAR);
        "half-folio", FolioTorn, "moves the first half of a large folio",
            |actuator, candidate, _| {
                if candidate.folio.pages == 1 {
                    return actuator.promote(candidate, FAST);
                }
                let mut world = actuator.0.world();
                let first = page_at(&world, candidate.folio.head);
                let pages = first.and_then(|number| world.folio_of(number)).map(|(_, pages)| pages);
                let pages = pages.unwrap_or_default();
                world.migrate(&pages[..pages.len() / 2], FAST);
                SAID
            };
        "there-and-back", CameBack, "moves one page of sixteen back again",
            |actuator, candidate, number| afterwards(actuator, candidate, |world, page| {
                // Somebody else takes the frame meanwhile, so that it comes back to another one.
                if number % 16 == 1 {
                    world.spawn(1, (0, 1));
                    world.migrate(&[page], SLOW);
                    world.pages[page].pinned = true;
                }
            });
        "cold-there-and-back", ColdPageMoved, "moves a cold page to the target and back",
            |actuator, candidate, _| {
                let fate = actuator.promote(candidate, FAST);
                let mut world = actuator.0.world();
                if let Some(next) = page_at(&world, candidate.folio.end()) {
                    world.migrate(&[next], FAST);
                    world.spawn(1, (0, 1));
                    world.migrate(&[next], SLOW);
                }
                fate
            };
        "content-swapped", WrongContent, "exchanges the content of each page with that of the one before",
            |actuator, candidate, _| afterwards(actuator, candidate, |world, page| {
                if page > 0 {
                    let (before, after) = world.pages.split_at_mut(page);
                    std::mem::swap(&mut before[page - 1].words, &mut after[0].words);
                }
            });
        "word-stale", WrongContent, "leaves one word behind that nobody accesses",
            |actuator, candidate, number| afterwards(actuator, candidate, |world, page| {
                if number == 5 {
                    world.spoil_word(page);
                }
            });
        "dirty-page-lost", OutdatedWord, "drops a dirty page and reads it from its file again",
            |actuator, candidate, number| afterwards(actuator, candidate, |world, page| {
                if number == 5 {
                    world.pages[page].words = world.pages[page].stored.clone();
                }
            });
        "lost-write", OutdatedWord, "copies a page, and loses the write that comes before it is mapped again",
            |actuator, candidate, number| afterwards(actuator, candidate, |world, page| {
                if number == 5 {
                    world.lose_write(page);
                }
            });
        "old-copy-read", OutdatedWord, "leaves a processor with the old mapping of a page",
            |actuator, candidate, number| afterwards(actuator, candidate, |world, page| {
                if number == 5 {
                    world.pages[page].old_copy = Some(world.pages[page].words.clone());
                }
            });
        "page-zeroed", WrongWord, "gives the process an empty page",
            |actuator, candidate, number| afterwards(actuator, candidate, |world, page| {
                if number == 5 {
                    world.pages[page].words.fill(0);
                }
            });
        "page-gone", PageGone, "drops a page",
            |actuator, candidate, number| match number {
                5 => afterwards(actuator, candidate, World::free),
                _ => actuator.promote(candidate, FAST),
            };
        "skipped-pages", NotPromoted, "leaves out one page of eight and calls it pinned",
            |actuator, candidate, number| match number % 8 {
                0 => Fate::Pinned,
                _ => actuator.promote(candidate, FAST),
            };
        "says-moved", SaidMovedButStayed, "says of some pages that they moved, and leaves them",
            |actuator, candidate, _| match candidate.folio.head.0 % 64 {
                33 => SAID,
                _ => actuator.promote(candidate, FAST),
            };
        "says-stayed", SaidStayedButMoved, "says of one page of thirty that it is pinned, and moves it",
            |actuator, candidate, number| {
                let fate = actuator.promote(candidate, FAST);
                if number % 30 == 1 { Fate::Pinned } else { fate }
            };
        "eager", MovedByOthers, "moves hot pages that nobody has asked for yet",
            |actuator, candidate, number| {
                let fate = actuator.promote(candidate, FAST);
                let hot = actuator.0.world().processes[1].state.hot_pages.clone();
                let last = hot.last().filter(|_| number == 0).and_then(|page| usize::try_from(*page).ok());
                let last = last.map(|page| actuator.0.world().processes[1].pages[page]);
                last.map(|number| move_other(&actuator.0, number));
                fate
            };
    }
}
