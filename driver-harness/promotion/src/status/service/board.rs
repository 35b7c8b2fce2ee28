// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where the engine's thread and the one that hands out the status meet.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chmu_machine::clock;

use crate::ledger::Event;
use crate::status::{Collector, Status};

/// A copy is handed out for so long before another is made.
const FRESH: Duration = Duration::from_millis(100);

/// Whose time a run lives by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Time {
    /// The machine's: what waits grows older while nothing happens.
    Machine,
    /// The events': nothing passes between them.
    Events,
}

/// What is known of a run. Clones are the same board.
#[derive(Debug, Clone)]
pub struct Board {
    time: Time,
    collector: Arc<Mutex<Collector>>,
}

impl Board {
    /// A board that nothing is on.
    pub fn new(time: Time) -> Board {
        Board {
            time,
            collector: Arc::default(),
        }
    }

    /// Takes events of the ledger into account, in their order.
    pub fn note(&self, events: &[Event]) {
        let mut collector = self.lock();
        events.iter().for_each(|event| collector.note(event));
    }

    /// How the run is now.
    pub fn status(&self) -> Status {
        let now_ns = match self.time {
            Time::Machine => clock::monotonic_ns(),
            Time::Events => 0,
        };
        self.lock().status(now_ns)
    }

    fn lock(&self) -> MutexGuard<'_, Collector> {
        self.collector
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Copies of what is on a board, not more often than makes sense.
#[derive(Debug)]
pub(super) struct Copies {
    board: Board,
    last: Option<(Instant, Status)>,
}

impl Copies {
    pub(super) fn of(board: Board) -> Copies {
        Copies { board, last: None }
    }

    /// How the run was a moment ago.
    pub(super) fn recent(&mut self) -> &Status {
        if let Some((made, _)) = &self.last
            && made.elapsed() >= FRESH
        {
            self.last = None;
        }
        let board = &self.board;
        let (_, status) = self
            .last
            .get_or_insert_with(|| (Instant::now(), board.status()));
        status
    }

    /// How the run is now.
    pub(super) fn newest(&mut self) -> &Status {
        self.last = None;
        self.recent()
    }
}
