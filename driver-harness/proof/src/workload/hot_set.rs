// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which pages are hot: chosen by chance, but the same ones for the same seed.

use std::collections::BTreeSet;

/// `hot` of the pages 0 to `pages - 1`, in the order they are visited.
pub fn choose(pages: u64, hot: u64, seed: u64) -> Vec<u64> {
    let mut random = fastrand::Rng::with_seed(seed);
    // Floyd's sampling: every set is equally likely and nothing is as large as `pages`.
    let mut chosen = BTreeSet::new();
    for last in pages.saturating_sub(hot)..pages {
        let candidate = random.u64(..=last);
        if !chosen.insert(candidate) {
            chosen.insert(last);
        }
    }
    let mut order: Vec<_> = chosen.into_iter().collect();
    random.shuffle(&mut order);
    order
}

/// The pages 0 to `pages - 1` that are not in `hot`.
pub fn others(pages: u64, hot: &[u64]) -> Vec<u64> {
    let hot: BTreeSet<_> = hot.iter().collect();
    (0..pages).filter(|page| !hot.contains(page)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_hot_pages_are_as_many_as_asked_for(
            pages in 1..2000_u64, wanted in 0..2500_u64, seed: u64,
        ) {
            let hot = choose(pages, wanted, seed);
            prop_assert_eq!(hot.len() as u64, wanted.min(pages));
            let distinct: BTreeSet<_> = hot.iter().copied().collect();
            prop_assert_eq!(distinct.len(), hot.len());
            prop_assert!(hot.iter().all(|&page| page < pages));
            prop_assert_eq!(&choose(pages, wanted, seed), &hot);

            let cold = others(pages, &hot);
            prop_assert_eq!(cold.len() + hot.len(), usize::try_from(pages).unwrap());
            prop_assert!(cold.iter().all(|page| !distinct.contains(page)));
        }
    }

    #[test]
    fn another_seed_chooses_other_pages() {
        assert_ne!(choose(1000, 100, 1), choose(1000, 100, 2));
    }

    #[test]
    fn every_part_of_the_buffer_gets_hot_pages() {
        let hot = choose(1 << 14, 1 << 10, 3);
        for quarter in 0..4_u64 {
            let count = hot.iter().filter(|&page| page >> 12 == quarter).count();
            assert!((192..=320).contains(&count), "{count} in {quarter}");
        }
    }
}
