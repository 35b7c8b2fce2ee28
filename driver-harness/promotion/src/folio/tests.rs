// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::testing::SimulatedMachine;

/// Folios from frame 0 on, by the logarithm of their pages, each where its size lets it start.
fn folios(orders: &[u32]) -> Vec<Folio> {
    let mut folios = Vec::new();
    let mut next = 0_u64;
    for &order in orders {
        let pages = 1 << order;
        let head = next.next_multiple_of(pages);
        folios.push(Folio {
            head: Pfn(head),
            pages,
        });
        next = head + pages;
    }
    folios
}

proptest! {
    #[test]
    fn every_frame_is_found_in_its_folio(
        orders in proptest::collection::vec(prop_oneof![3 => Just(0_u32), 2 => 1..10_u32], 1..20),
        picks in proptest::collection::vec(any::<prop::sample::Index>(), 1..60),
    ) {
        let folios = folios(&orders);
        let machine = SimulatedMachine::default();
        folios.iter().for_each(|&folio| machine.place(folio, 0));
        let end = folios.last().map_or(1, |folio| usize::try_from(folio.end().0).unwrap());
        let frames: Vec<_> = picks.iter().map(|pick| Pfn(pick.index(end) as u64)).collect();
        let view = FolioView::look(&machine, &frames).unwrap();
        let mut found = BTreeSet::new();
        for &frame in &frames {
            let holds = |folio: &&Folio| folio.head <= frame && frame < folio.end();
            match folios.iter().find(holds) {
                Some(folio) => {
                    prop_assert_eq!(view.of(frame).unwrap().folio, *folio);
                    found.insert(folio.head);
                }
                None => prop_assert_eq!(view.of(frame), Err(Rejection::NoPage)),
            }
        }
        let outside: BTreeSet<_> = frames.iter().filter(|frame| view.of(**frame).is_err()).collect();
        let reads = machine.reads();
        prop_assert!(reads <= 2 * found.len() + outside.len(), "{reads} reads of {}", found.len());
    }
}

#[test]
fn all_frames_of_a_huge_page_cost_two_reads() {
    let machine = SimulatedMachine::default();
    let huge = Folio {
        head: Pfn(1024),
        pages: 512,
    };
    machine.place(huge, 0);
    let frames: Vec<_> = (1024..1536).map(Pfn).collect();
    let view = FolioView::look(&machine, &frames).unwrap();
    assert!(
        frames
            .iter()
            .all(|&frame| view.of(frame).unwrap().folio == huge)
    );
    assert_eq!(machine.reads(), 2);
}

#[test]
fn what_never_moves_is_told_by_its_flags() {
    let machine = SimulatedMachine::default();
    machine.set_flags(5, PageFlags::BUDDY);
    machine.set_flags(6, PageFlags::HUGE | PageFlags::COMPOUND_TAIL);
    machine.set_flags(9, PageFlags::COMPOUND_TAIL);
    let view = FolioView::look(&machine, &[Pfn(4), Pfn(5), Pfn(6), Pfn(9)]).unwrap();
    assert_eq!(view.of(Pfn(4)), Err(Rejection::NoPage));
    assert_eq!(view.of(Pfn(5)), Err(Rejection::Free));
    assert_eq!(view.of(Pfn(6)), Err(Rejection::Hugetlb));
    // A tail behind something that is no head: split between two looks.
    assert!(view.of(Pfn(9)).is_err());
    assert_eq!(view.of(Pfn(7)), Err(Rejection::NoPage), "never looked at");
}
