// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The latest decisions, equal ones that follow one another taken together.

use std::collections::VecDeque;

use super::{Decided, Decision};

/// Decisions that are remembered.
const KEPT: usize = 16;

/// The latest decisions, oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Decisions(VecDeque<Decision>);

impl Decisions {
    /// Remembers a decision, or adds it to the last one of its kind.
    pub(super) fn push(&mut self, time_ns: u64, what: Decided) {
        if let Some(last) = self.0.back_mut()
            && joined(&mut last.what, &what)
        {
            last.time_ns = time_ns;
            return;
        }
        if self.0.len() >= KEPT {
            self.0.pop_front();
        }
        self.0.push_back(Decision { time_ns, what });
    }

    /// All of them, newest first.
    pub(super) fn newest_first(&self) -> Vec<Decision> {
        self.0.iter().rev().cloned().collect()
    }
}

/// Adds a decision to another of its kind; false when they are of different kinds.
fn joined(old: &mut Decided, new: &Decided) -> bool {
    use Decided::{Demoted, MadeRoom, Moved, Refused, Retried};
    match (old, new) {
        (
            Moved {
                route,
                batch,
                folios,
                pages,
            },
            Moved {
                route: same_route,
                batch: same_batch,
                folios: more_folios,
                pages: more_pages,
            },
        )
        | (
            MadeRoom {
                route,
                batch,
                folios,
                pages,
            },
            MadeRoom {
                route: same_route,
                batch: same_batch,
                folios: more_folios,
                pages: more_pages,
            },
        ) if *route == *same_route && *batch == *same_batch => {
            *folios = folios.saturating_add(*more_folios);
            *pages = pages.saturating_add(*more_pages);
            true
        }
        (
            Refused {
                reason,
                folios,
                last,
            },
            Refused {
                reason: same,
                folios: more,
                last: latest,
            },
        )
        | (
            Retried {
                reason,
                folios,
                last,
            },
            Retried {
                reason: same,
                folios: more,
                last: latest,
            },
        ) if *reason == *same => {
            *folios = folios.saturating_add(*more);
            *last = *latest;
            true
        }
        (
            Demoted { node, pages },
            Demoted {
                node: same,
                pages: more,
            },
        ) if *node == *same => {
            *pages = pages.saturating_add(*more);
            true
        }
        _ => false,
    }
}
