// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Pages that are promoted, demoted, and hot again.
//!
//! Frames say nothing of that: a page that comes back comes to another frame. A page is known again by
//! its owner, where a source or the machine tells who maps it.

use std::collections::{BTreeMap, BTreeSet};

use chmu_machine::memory::owners::Owner;

/// Pages that are remembered.
const PAGES_MAX: usize = 1 << 18;

/// Pages that were promoted within the window.
#[derive(Debug, Clone)]
pub(super) struct PingPong {
    window_ns: u64,
    pages: BTreeMap<Owner, Page>,
    /// By the time until which they are of interest.
    order: BTreeSet<(u64, Owner)>,
    /// Until when those that were forgotten were of interest.
    forgotten_until_ns: u64,
}

#[derive(Debug, Clone, Copy)]
struct Page {
    until_ns: u64,
    /// It came back: it is not promoted again before then.
    is_stopped: bool,
}

/// What is known of a page that is hot on slow memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Return {
    /// It was not promoted of late.
    First,
    /// It was promoted, and is back: from now on it stays.
    Now,
    /// It came back before, and stays.
    Before,
}

impl PingPong {
    pub(super) fn new(window_ns: u64) -> PingPong {
        PingPong {
            window_ns,
            pages: BTreeMap::new(),
            order: BTreeSet::new(),
            forgotten_until_ns: 0,
        }
    }

    /// Whether a page was promoted within the window, or may have been.
    pub(super) fn is_recent(&self, owner: Owner, now_ns: u64) -> bool {
        let known = self.pages.get(&owner);
        now_ns < self.forgotten_until_ns || known.is_some_and(|page| now_ns < page.until_ns)
    }

    /// A page was promoted.
    pub(super) fn promoted(&mut self, owner: Owner, now_ns: u64) {
        self.set(owner, now_ns, false);
    }

    /// A page is hot on slow memory, at a time when it is not about to be promoted already.
    pub(super) fn is_back(&mut self, owner: Owner, now_ns: u64) -> Return {
        self.expire(now_ns);
        match self.pages.get(&owner) {
            None => Return::First,
            Some(Page {
                is_stopped: true, ..
            }) => Return::Before,
            Some(_) => {
                self.set(owner, now_ns, true);
                Return::Now
            }
        }
    }

    fn set(&mut self, owner: Owner, now_ns: u64, is_stopped: bool) {
        self.remove(owner);
        let until_ns = now_ns.saturating_add(self.window_ns);
        self.pages.insert(
            owner,
            Page {
                until_ns,
                is_stopped,
            },
        );
        self.order.insert((until_ns, owner));
        while self.pages.len() > PAGES_MAX
            && let Some((until_ns, owner)) = self.order.first().copied()
        {
            self.remove(owner);
            self.forgotten_until_ns = self.forgotten_until_ns.max(until_ns);
        }
    }

    fn expire(&mut self, now_ns: u64) {
        while let Some((until_ns, owner)) = self.order.first().copied()
            && until_ns <= now_ns
        {
            self.remove(owner);
        }
    }

    fn remove(&mut self, owner: Owner) {
        if let Some(page) = self.pages.remove(&owner) {
            self.order.remove(&(page.until_ns, owner));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_comes_back_within_the_window_stays_for_another() {
        let mut pages = PingPong::new(100);
        let owner = |address| Owner {
            process_id: 1,
            address,
        };
        assert_eq!(pages.is_back(owner(1), 0), Return::First);
        pages.promoted(owner(1), 10);
        pages.promoted(owner(2), 10);
        assert_eq!(pages.is_back(owner(1), 109), Return::Now);
        assert_eq!(pages.is_back(owner(2), 110), Return::First, "too late");
        assert_eq!(pages.is_back(owner(1), 208), Return::Before);
        assert_eq!(pages.is_back(owner(1), 209), Return::First);
    }
}
