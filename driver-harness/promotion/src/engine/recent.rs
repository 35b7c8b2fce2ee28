// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Things that are of interest for a while.

use std::collections::{BTreeMap, BTreeSet};

/// A bounded set of things, each until a time. When there are too many, those whose time is over first
/// are forgotten; everything counts as known until then, so that forgetting never lets anything through.
#[derive(Debug, Clone)]
pub(super) struct Recent<K> {
    until_ns: BTreeMap<K, u64>,
    order: BTreeSet<(u64, K)>,
    most: usize,
    forgotten_until_ns: u64,
}

impl<K: Ord + Copy> Recent<K> {
    pub(super) fn new(most: usize) -> Recent<K> {
        Recent {
            until_ns: BTreeMap::new(),
            order: BTreeSet::new(),
            most,
            forgotten_until_ns: 0,
        }
    }

    pub(super) fn insert(&mut self, key: K, until_ns: u64) {
        if let Some(before_ns) = self.until_ns.insert(key, until_ns) {
            self.order.remove(&(before_ns, key));
        }
        self.order.insert((until_ns, key));
        while self.until_ns.len() > self.most
            && let Some((until_ns, key)) = self.order.pop_first()
        {
            self.until_ns.remove(&key);
            self.forgotten_until_ns = self.forgotten_until_ns.max(until_ns);
        }
    }

    pub(super) fn holds(&self, key: &K, now_ns: u64) -> bool {
        let known = self.until_ns.get(key);
        now_ns < self.forgotten_until_ns || known.is_some_and(|until_ns| now_ns < *until_ns)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a list that forgets nothing: whatever is of interest is held, and nothing else unless
        /// something was forgotten.
        #[test]
        fn nothing_of_interest_gets_lost(
            inserts in proptest::collection::vec((0..20_u8, 1..100_u64), 0..60),
            most in 1..30_usize,
            now_ns in 0..120_u64,
        ) {
            let mut recent = Recent::new(most);
            let mut all = BTreeMap::new();
            for (key, until_ns) in inserts {
                recent.insert(key, until_ns);
                all.insert(key, until_ns);
            }
            for key in 0..20_u8 {
                let is_of_interest = all.get(&key).is_some_and(|until_ns| now_ns < *until_ns);
                prop_assert!(recent.holds(&key, now_ns) || !is_of_interest);
                if most >= all.len() {
                    prop_assert_eq!(recent.holds(&key, now_ns), is_of_interest);
                }
            }
            prop_assert!(recent.until_ns.len() <= most);
        }
    }
}
