// SPDX-License-Identifier: GPL-2.0-or-later
//! The caches as they are described, slow and exact: no virtual addresses, no shortcuts, no bits. One
//! vCPU's access is over before the next one's begins.

use std::collections::HashMap;

use chmu_ring::{CacheLevel, LINE_BYTES};

use super::MemoryTraffic;

/// The caches of some vCPUs.
#[derive(Debug)]
pub(super) struct Model {
    private: Vec<Level>,
    shared: Option<Level>,
}

/// One cache: the places of each set that were ever used.
#[derive(Debug, Clone)]
struct Level {
    shape: CacheLevel,
    sets: HashMap<u64, Vec<Option<Line>>>,
}

#[derive(Debug, Clone, Copy)]
struct Line {
    number: u64,
    is_dirty: bool,
    is_recent: bool,
}

/// What became of an access to a level.
struct Outcome {
    is_hit: bool,
    /// The number of the dirty line that left.
    written_back: Option<u64>,
}

impl Model {
    pub(super) fn new(vcpus: usize, private: CacheLevel, shared: Option<CacheLevel>) -> Self {
        Self {
            private: vec![Level::new(private); vcpus],
            shared: shared.map(Level::new),
        }
    }

    pub(super) fn access(&mut self, vcpu: usize, physical: u64, is_store: bool) -> MemoryTraffic {
        let number = physical / LINE_BYTES;
        let outcome = self.private[vcpu].access(number, is_store);
        let mut traffic = MemoryTraffic::default();
        if outcome.is_hit {
            return traffic;
        }
        let address = |number: u64| number * LINE_BYTES;
        match &mut self.shared {
            None => {
                traffic.written_back[0] = outcome.written_back.map(address);
                traffic.filled = Some(address(number));
            }
            Some(shared) => {
                if let Some(victim) = outcome.written_back {
                    traffic.written_back[0] = shared.access(victim, true).written_back.map(address);
                }
                let fetched = shared.access(number, false);
                traffic.written_back[1] = fetched.written_back.map(address);
                traffic.filled = (!fetched.is_hit).then_some(address(number));
            }
        }
        traffic
    }

    /// Drops lines from the private level of one vCPU.
    pub(super) fn drop_private(&mut self, vcpu: usize, is_dropped: impl Fn(u64) -> bool) {
        self.private[vcpu].drop_lines(is_dropped);
    }

    /// Drops lines from the shared level.
    pub(super) fn drop_shared(&mut self, is_dropped: impl Fn(u64) -> bool) {
        if let Some(shared) = &mut self.shared {
            shared.drop_lines(is_dropped);
        }
    }
}

impl Level {
    fn new(shape: CacheLevel) -> Self {
        Self {
            shape,
            sets: HashMap::new(),
        }
    }

    fn access(&mut self, number: u64, makes_dirty: bool) -> Outcome {
        let ways = self.shape.ways;
        let set_count = (self.shape.lines / ways) as u64;
        let set = self.sets.entry(number % set_count).or_default();
        let found = set
            .iter()
            .position(|line| line.is_some_and(|line| line.number == number));
        let mut outcome = Outcome {
            is_hit: found.is_some(),
            written_back: None,
        };
        let way = found.unwrap_or_else(|| {
            let new = Line {
                number,
                is_dirty: false,
                is_recent: false,
            };
            let empty = set.iter().position(Option::is_none);
            if empty.is_none() && set.len() < ways {
                set.push(Some(new));
                return set.len() - 1;
            }
            let old = set
                .iter()
                .position(|line| line.is_some_and(|line| !line.is_recent));
            let way = empty.or(old).unwrap();
            let left = set[way].replace(new);
            let dirty = left.filter(|left| left.is_dirty);
            outcome.written_back = dirty.map(|left| left.number);
            way
        });
        let line = set[way].as_mut().unwrap();
        line.is_dirty |= makes_dirty;
        line.is_recent = true;
        if set.iter().flatten().filter(|line| line.is_recent).count() == ways {
            for (other, line) in set.iter_mut().enumerate() {
                line.as_mut().unwrap().is_recent = other == way;
            }
        }
        outcome
    }

    fn drop_lines(&mut self, is_dropped: impl Fn(u64) -> bool) {
        for place in self.sets.values_mut().flatten() {
            if place.is_some_and(|line| is_dropped(line.number * LINE_BYTES)) {
                *place = None;
            }
        }
    }
}
