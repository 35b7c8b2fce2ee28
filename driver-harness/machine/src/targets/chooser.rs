// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One among equals. The kernel takes one at random; here the same machine, seed and sequence of
//! requests give the same sequence of targets.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::node::NodeId;
use crate::watermarks::Headroom;

/// How one of several equally good nodes is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// Each in turn.
    #[default]
    RoundRobin,
    /// The one with most memory above its watermarks; the first where that is equal or not known.
    Headroom,
}

/// Chooses, and remembers whose turn it is for each source node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chooser {
    choice: Choice,
    seed: u64,
    turns: BTreeMap<NodeId, u64>,
}

impl Chooser {
    /// Begins with the turn that the seed names: with 0, the first of the equals has it.
    pub fn new(choice: Choice, seed: u64) -> Chooser {
        Chooser {
            choice,
            seed,
            turns: BTreeMap::new(),
        }
    }

    /// How it chooses.
    pub fn choice(&self) -> Choice {
        self.choice
    }

    /// One of the equals; none when there are none. A turn is used up only where there is a choice.
    pub(super) fn choose(
        &mut self,
        source: NodeId,
        equals: &[NodeId],
        headroom: &Headroom,
    ) -> Option<NodeId> {
        match (equals, self.choice) {
            ([] | [_], _) => equals.first().copied(),
            (_, Choice::Headroom) => {
                let room = |node: &&NodeId| Reverse(headroom.bytes(**node).unwrap_or(0));
                equals.iter().min_by_key(room).copied()
            }
            (_, Choice::RoundRobin) => {
                let turn = self.turns.entry(source).or_insert(self.seed);
                let count = u64::try_from(equals.len()).unwrap_or(u64::MAX);
                let index = usize::try_from(*turn % count).unwrap_or(0);
                *turn = turn.wrapping_add(1);
                equals.get(index).copied()
            }
        }
    }
}
