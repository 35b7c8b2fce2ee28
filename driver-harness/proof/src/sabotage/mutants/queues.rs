// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Those who carry batches from the queue to the actuator, and change them.

use chmu_promotion::actuator::Actuator;
use chmu_promotion::{Batch, Fate, StopFlag};

use super::super::machine::Shared;
use super::super::run::HandOver;
use super::super::{Mutant, Part};
use crate::verdict::Reason;

fn tried(batch: &Batch, actuator: &mut dyn Actuator) -> Vec<Fate> {
    let stop = StopFlag::new();
    let fates = stop
        .ok()
        .and_then(|stop| actuator.promote_batch(batch, &stop).ok());
    fates.unwrap_or_default()
}

/// Hands the same batch over again when its frames hold something else.
#[derive(Debug)]
struct Twice(Shared);

impl HandOver for Twice {
    fn hand_over(&mut self, batch: &Batch, actuator: &mut dyn Actuator) -> Vec<Fate> {
        let fates = tried(batch, actuator);
        {
            let mut world = self.0.world();
            let late = world.spawn(batch.pages(), (0, 1));
            world.heat(late, &[]);
        }
        tried(batch, actuator);
        fates
    }
}

/// Keeps the last folio of each batch to itself, and says that it moved.
#[derive(Debug)]
struct Shorter;

impl HandOver for Shorter {
    fn hand_over(&mut self, batch: &Batch, actuator: &mut dyn Actuator) -> Vec<Fate> {
        let mut shorter = batch.clone();
        let kept = shorter.candidates.pop();
        let mut fates = tried(&shorter, actuator);
        fates.extend(kept.map(|_| Fate::Moved {
            node: batch.route.target,
        }));
        fates
    }
}

/// Tells the fates in the wrong order.
#[derive(Debug)]
struct Shifted;

impl HandOver for Shifted {
    fn hand_over(&mut self, batch: &Batch, actuator: &mut dyn Actuator) -> Vec<Fate> {
        let mut shorter = batch.clone();
        shorter.candidates.truncate(batch.candidates.len() / 2);
        let mut fates = tried(&shorter, actuator);
        fates.resize(batch.candidates.len(), Fate::Pinned);
        fates.reverse();
        fates
    }
}

/// Adds the neighbour of each folio to the batch.
#[derive(Debug)]
struct Longer;

impl HandOver for Longer {
    fn hand_over(&mut self, batch: &Batch, actuator: &mut dyn Actuator) -> Vec<Fate> {
        let mut longer = batch.clone();
        for candidate in &batch.candidates {
            let mut next = *candidate;
            next.folio.head = candidate.folio.end();
            next.folio.pages = 1;
            longer.candidates.push(next);
        }
        let mut fates = tried(&longer, actuator);
        fates.truncate(batch.candidates.len());
        fates
    }
}

/// Never hands anything over, and says that all moved.
#[derive(Debug)]
struct Idle;

impl HandOver for Idle {
    fn hand_over(&mut self, batch: &Batch, _: &mut dyn Actuator) -> Vec<Fate> {
        let node = batch.route.target;
        vec![Fate::Moved { node }; batch.candidates.len()]
    }
}

pub(super) fn all() -> Vec<Mutant> {
    let mutant = |name, explanation, reason, sabotage| Mutant {
        name,
        part: Part::Queue,
        explanation,
        reason,
        sabotage,
    };
    vec![
        mutant(
            "handed-over-twice",
            "hands a batch over again when its frames hold other pages",
            Reason::ColdPageMoved,
            |parts| parts.hand_over = Box::new(Twice(parts.shared.clone())),
        ),
        mutant(
            "batch-shortened",
            "keeps the last folio of a batch, and says that it moved",
            Reason::SaidMovedButStayed,
            |parts| parts.hand_over = Box::new(Shorter),
        ),
        mutant(
            "fates-exchanged",
            "tells what became of folios in the wrong order",
            Reason::SaidStayedButMoved,
            |parts| parts.hand_over = Box::new(Shifted),
        ),
        mutant(
            "batch-lengthened",
            "adds the neighbour of each folio to a batch",
            Reason::MovedByOthers,
            |parts| parts.hand_over = Box::new(Longer),
        ),
        mutant(
            "idle",
            "hands nothing over, and says that all moved",
            Reason::NotPromoted,
            |parts| parts.hand_over = Box::new(Idle),
        ),
    ]
}
