// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which folios of a batch DAMON moves in one pass.
//!
//! Folios whose first frames follow one another are one region, and DAMON moves a region's by one call. In that call
//! kernels of our time (mm/vmscan.c, `alloc_migrate_folio`, 6.12 among them) keep to the target only until it has
//! taken a folio: the next that finds no room there goes to any node that has some. So where a target may run full,
//! neighbours go in different passes, and each call has one folio.

use crate::batch::Candidate;

/// Places of candidates, pass by pass, each at most `most` folios. Neighbours are apart when `may_fill`, which is only
/// asked when there are any.
pub(super) fn of(
    candidates: &[Candidate],
    most: usize,
    may_fill: impl FnOnce() -> bool,
) -> Vec<Vec<usize>> {
    let mut places: Vec<_> = (0..candidates.len()).collect();
    places.sort_unstable_by_key(|&place| candidates[place].folio.head);
    let mut others = Vec::new();
    let follows = |before: &usize, place: &usize| {
        let [before, place] = [before, place].map(|place| candidates[*place].folio.head.0);
        place - before <= 1
    };
    let has_neighbours = places.windows(2).any(|pair| follows(&pair[0], &pair[1]));
    if has_neighbours && may_fill() {
        let mut last: Option<usize> = None;
        places.retain(|place| {
            let stays = !last.as_ref().is_some_and(|last| follows(last, place));
            match stays {
                true => last = Some(*place),
                false => others.push(*place),
            }
            stays
        });
    }
    let passes = [places, others];
    let passes = passes.iter().flat_map(|places| places.chunks(most.max(1)));
    passes.map(<[usize]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use chmu_spec::address::Pfn;
    use proptest::prelude::*;

    use super::*;
    use crate::batch::Folio;

    proptest! {
        #[test]
        fn each_folio_has_its_turn_once_and_neighbours_are_apart_where_a_target_may_run_full(
            heads in proptest::collection::hash_set(0..60_u64, 0..50),
            most in 1..20_usize,
            may_fill in any::<bool>(),
        ) {
            let candidate = |head| Candidate { folio: Folio { head: Pfn(head), pages: 1 }, owner: None };
            let candidates: Vec<_> = heads.iter().copied().map(candidate).collect();
            let passes = of(&candidates, most, || may_fill);
            let mut turns: Vec<_> = passes.iter().flatten().copied().collect();
            turns.sort_unstable();
            prop_assert_eq!(turns, (0..candidates.len()).collect::<Vec<_>>());
            for pass in &passes {
                prop_assert!(!pass.is_empty() && pass.len() <= most);
                let mut heads: Vec<_> = pass.iter().map(|&place| candidates[place].folio.head.0).collect();
                heads.sort_unstable();
                prop_assert!(!may_fill || heads.windows(2).all(|pair| pair[1] - pair[0] > 1));
            }
            if !may_fill {
                prop_assert_eq!(passes.len(), candidates.len().div_ceil(most));
            }
        }
    }
}
