// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use proptest::prelude::*;

use super::*;
use crate::aggregate::{HalfLife, SourceId};

fn waiting(head: u64, pages: u64, heat: u64, since_ns: u64) -> Waiting {
    Waiting {
        folio: Folio {
            head: Pfn(head),
            pages,
        },
        heat: HalfLife::of_ns(1000).heat(heat + 1, 0).unwrap(),
        origin: Origin::of(SourceId(0)),
        since_ns,
        identity: None,
        owner: None,
        attempts: 0,
    }
}

proptest! {
    /// Against a list that is sorted anew each time.
    #[test]
    fn the_hottest_wait_and_come_first(
        pushes in proptest::collection::vec((0..40_u64, 1..5_u64, 0..30_u64), 0..120),
        folios_max in 1..50_usize, take in 0..20_usize, pages_max in 0..40_u64,
    ) {
        let mut queue = PromotionQueue::new(folios_max);
        let mut oracle: Vec<Waiting> = Vec::new();
        for (time_ns, (head, pages, heat)) in (0..).zip(pushes) {
            let one = waiting(head, pages, heat, time_ns);
            let pushed = queue.push(one.clone());
            if let Some(known) = oracle.iter_mut().find(|known| known.folio.head == one.folio.head) {
                prop_assert_eq!(pushed, Pushed::Known);
                *known = Waiting { heat: one.heat.max(known.heat), since_ns: known.since_ns, ..one };
            } else {
                oracle.push(one);
                oracle.sort_by_key(|one| (std::cmp::Reverse(one.heat), one.folio.head));
                match oracle.get(folios_max).cloned() {
                    None => prop_assert_eq!(pushed, Pushed::New),
                    Some(out) => {
                        oracle.truncate(folios_max);
                        let expected = [Pushed::Instead(out.clone()), Pushed::Refused(out)];
                        prop_assert!(expected.contains(&pushed), "{:?}", pushed);
                    }
                }
            }
            oracle.sort_by_key(|one| (std::cmp::Reverse(one.heat), one.folio.head));
            prop_assert_eq!(queue.len(), oracle.len());
            prop_assert_eq!(queue.pages(), oracle.iter().map(|one| one.folio.pages).sum::<u64>());
            prop_assert_eq!(queue.oldest_ns(), oracle.iter().map(|one| one.since_ns).min());
        }
        let taken = queue.take(take, pages_max);
        prop_assert_eq!(&taken[..], &oracle[..taken.len()]);
        let pages: u64 = taken.iter().map(|one| one.folio.pages).sum();
        prop_assert!(pages <= pages_max || taken.len() == 1);
        prop_assert!(taken.len() <= take);
        if let Some(next) = oracle.get(taken.len()) {
            let full = taken.len() == take || pages + next.folio.pages > pages_max;
            prop_assert!(full, "one more would have fitted");
        }
    }
}

#[test]
fn those_that_wait_too_long_are_taken_out() {
    let mut queue = PromotionQueue::new(10);
    for (head, since_ns) in [(1, 5), (2, 9), (3, 1)] {
        queue.push(waiting(head, 1, head, since_ns));
    }
    let old: Vec<_> = queue
        .take_older(9)
        .iter()
        .map(|one| one.folio.head.0)
        .collect();
    assert_eq!(old, [3, 1]);
    assert_eq!((queue.len(), queue.oldest_ns()), (1, Some(9)));
}
