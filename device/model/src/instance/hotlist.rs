// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The hotlist's indices and the backlog behind it. The entries lie with the host.

use std::collections::VecDeque;

use chmu_spec::hotlist::{next_index, occupancy};

use crate::behaviour::{Backlog, Full, HotlistBehaviour, OtherHeads};

/// Hot units that wait for room, at most.
const BACKLOG_ENTRIES: usize = 1 << 16;

/// What became of a hot unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placed {
    /// To be stored at this index, which the tail has passed.
    Listed(u16),
    /// Waits for room.
    Waiting,
    /// Lost.
    Lost,
}

/// Indices of a ring of entries, one of which always stays free.
#[derive(Debug)]
pub(crate) struct Hotlist {
    size: u16,
    head: u16,
    tail: u16,
    /// Encoded entries; none without postponed insertion.
    backlog: Option<VecDeque<u64>>,
    behaviour: HotlistBehaviour,
}

impl Hotlist {
    /// An empty list of `size` entries, 2 or more.
    pub(crate) fn new(size: u16, postponed_insertion: bool, behaviour: HotlistBehaviour) -> Self {
        Self {
            size,
            head: 0,
            tail: 0,
            backlog: postponed_insertion.then(VecDeque::new),
            behaviour,
        }
    }

    pub(crate) fn head(&self) -> u16 {
        self.head
    }

    pub(crate) fn tail(&self) -> u16 {
        self.tail
    }

    /// Entries that the host has not taken.
    pub(crate) fn occupancy(&self) -> u16 {
        occupancy(self.head, self.tail, self.size)
    }

    /// Whether one more entry would make a full list look empty.
    pub(crate) fn is_full(&self) -> bool {
        next_index(self.tail, self.size) == self.head
    }

    /// Moves the head; refused when `head` is not between the old head and the tail.
    pub(crate) fn set_head(&mut self, head: u16) -> bool {
        let accepted = match self.behaviour.other_heads {
            _ if head < self.size && occupancy(self.head, head, self.size) <= self.occupancy() => {
                Some(head)
            }
            OtherHeads::PastTail if head < self.size => Some(head),
            OtherHeads::OutOfRange if head >= self.size => head.checked_rem(self.size),
            _ => None,
        };
        self.head = accepted.unwrap_or(self.head);
        accepted.is_some()
    }

    /// Moves the tail, as a driver should not be able to.
    pub(crate) fn set_tail(&mut self, tail: u16) {
        if tail < self.size {
            self.tail = tail;
        }
    }

    /// Empties list and backlog and starts again at index 0.
    pub(crate) fn clear(&mut self) {
        self.head = 0;
        self.tail = 0;
        self.clear_backlog();
    }

    /// Forgets the units that wait for room.
    pub(crate) fn clear_backlog(&mut self) {
        if let Some(backlog) = &mut self.backlog {
            backlog.clear();
        }
    }

    /// Finds a place for an encoded entry.
    pub(crate) fn place(&mut self, entry: u64) -> Placed {
        let waiting = self
            .backlog
            .as_ref()
            .is_some_and(|backlog| !backlog.is_empty());
        if !waiting && let Some(index) = self.claim() {
            return Placed::Listed(index);
        }
        let Some(backlog) = &mut self.backlog else {
            return Placed::Lost;
        };
        if self.behaviour.backlog == Backlog::Lost {
            return Placed::Waiting;
        }
        let has_room = backlog.len() < BACKLOG_ENTRIES && backlog.try_reserve(1).is_ok();
        if !has_room {
            return Placed::Lost;
        }
        backlog.push_back(entry);
        Placed::Waiting
    }

    /// The oldest waiting entry with its index, when there is room for it.
    pub(crate) fn refill(&mut self) -> Option<(u16, u64)> {
        if self.backlog.as_ref().is_none_or(VecDeque::is_empty) {
            return None;
        }
        let index = self.claim()?;
        let backlog = self.backlog.as_mut()?;
        let entry = match self.behaviour.backlog {
            Backlog::NewestFirst => backlog.pop_back()?,
            Backlog::OldestFirst | Backlog::Lost => backlog.pop_front()?,
        };
        Some((index, entry))
    }

    /// Moves the tail over one free index.
    fn claim(&mut self) -> Option<u16> {
        let next = next_index(self.tail, self.size);
        let meets = next == self.head;
        match self.behaviour.full {
            Full::OneFree if meets => return None,
            Full::TwoFree if meets || next_index(next, self.size) == self.head => return None,
            Full::Overwrites if meets => self.head = next_index(self.head, self.size),
            Full::OneFree | Full::TwoFree | Full::LooksEmpty | Full::Overwrites => {}
        }
        Some(std::mem::replace(&mut self.tail, next))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Place,
        Head(u16),
        Refill,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => Just(Step::Place),
            2 => (0_u16..12).prop_map(Step::Head),
            1 => Just(Step::Refill),
        ];
        proptest::collection::vec(step, 0..200)
    }

    proptest! {
        /// The oracle is a queue whose front is the head.
        #[test]
        fn the_ring_equals_a_queue(size in 2_u16..10, postponed: bool, steps in steps()) {
            let mut list = Hotlist::new(size, postponed, HotlistBehaviour::default());
            let mut queue = VecDeque::new();
            let mut waiting = VecDeque::new();
            let room = usize::from(size) - 1;
            for (number, step) in (0_u64..).zip(steps) {
                match step {
                    Step::Place => {
                        let placed = list.place(number);
                        if waiting.is_empty() && queue.len() < room {
                            queue.push_back(number);
                            prop_assert!(matches!(placed, Placed::Listed(_)));
                        } else if postponed {
                            waiting.push_back(number);
                            prop_assert_eq!(placed, Placed::Waiting);
                        } else {
                            prop_assert_eq!(placed, Placed::Lost);
                        }
                    }
                    Step::Head(head) => {
                        let head_before = list.head();
                        let wanted = (u32::from(head) + u32::from(size) - u32::from(head_before))
                            % u32::from(size);
                        let fits = head < size && usize::try_from(wanted).unwrap() <= queue.len();
                        prop_assert_eq!(list.set_head(head), fits);
                        if fits {
                            queue.drain(..usize::try_from(wanted).unwrap());
                        }
                    }
                    Step::Refill => {
                        let refilled = list.refill().map(|(_, entry)| entry);
                        let expected = if queue.len() < room { waiting.pop_front() } else { None };
                        prop_assert_eq!(refilled, expected);
                        queue.extend(expected);
                    }
                }
                prop_assert_eq!(usize::from(list.occupancy()), queue.len());
                prop_assert!(list.head() < size && list.tail() < size);
            }
        }
    }
}
