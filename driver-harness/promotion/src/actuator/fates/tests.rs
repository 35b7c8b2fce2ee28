// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use chmu_machine::node::NodeId;
use proptest::prelude::*;

use super::*;

const TARGET: NodeId = NodeId(0);
const SOURCE: NodeId = NodeId(1);
const ROUTE: Route = Route {
    source: SOURCE,
    target: TARGET,
};
const MOVED: Fate = Fate::Moved { node: TARGET };

fn anonymous() -> PageFlags {
    PageFlags::LRU | PageFlags::ANON | PageFlags::MMAP
}

/// What really happens to a folio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Truth {
    Moved,
    /// It moved, and a page that looks like it lies in its frame already.
    MovedAndReused,
    Freed,
    Stayed,
    Locked,
}

impl Truth {
    fn look(self, pages: u64, is_owned: bool) -> Look {
        let mut before = anonymous();
        if pages > 1 {
            before |= PageFlags::COMPOUND_HEAD | PageFlags::THP;
        }
        let (after, place) = match self {
            Truth::Moved => (PageFlags::BUDDY, Placement::Node(TARGET)),
            Truth::MovedAndReused => (before, Placement::Node(TARGET)),
            Truth::Freed => (PageFlags::empty(), Placement::Not(libc::ENOENT)),
            Truth::Stayed => (before, Placement::Node(SOURCE)),
            Truth::Locked => (before | PageFlags::LOCKED, Placement::Node(SOURCE)),
        };
        Look {
            pages,
            before,
            after,
            place: is_owned.then_some(place),
        }
    }

    fn has_moved(self) -> bool {
        matches!(self, Truth::Moved | Truth::MovedAndReused)
    }
}

fn truth() -> impl Strategy<Value = Truth> {
    prop_oneof![
        4 => Just(Truth::Moved),
        1 => Just(Truth::MovedAndReused),
        1 => Just(Truth::Freed),
        2 => Just(Truth::Stayed),
        1 => Just(Truth::Locked),
    ]
}

proptest! {
    /// What matters most: a frame that holds another page by now is never called one that stayed,
    /// since it would be tried again.
    #[test]
    fn another_page_is_never_tried_for_the_one_that_moved(
        folios in proptest::collection::vec((truth(), prop_oneof![Just(1_u64), Just(512)], any::<bool>()), 1..40),
        elsewhere in 0..3_u64,
    ) {
        let looks: Vec<_> = folios
            .iter()
            .map(|&(truth, pages, is_owned)| truth.look(pages, is_owned))
            .collect();
        let moved: u64 = folios
            .iter()
            .filter(|(truth, ..)| truth.has_moved())
            .map(|(_, pages, _)| pages)
            .sum();
        let judged = judge(&looks, ROUTE, counted(Some(moved + elsewhere)), |_| true);
        let freed = folios.iter().any(|(truth, ..)| *truth == Truth::Freed);
        for (&(truth, _, is_owned), &fate) in folios.iter().zip(&judged.fates) {
            match (truth, is_owned) {
                (Truth::Moved | Truth::MovedAndReused, true) => prop_assert_eq!(fate, MOVED),
                (Truth::Freed, true) => prop_assert_eq!(fate, Fate::Gone),
                (Truth::Stayed, true) => prop_assert_eq!(fate, Fate::Stayed),
                (Truth::Locked, true) => prop_assert_eq!(fate, Fate::Busy),
                // Pages that were freed hide as many that were replaced: the flags tell no more.
                (Truth::MovedAndReused, false) if !freed => {
                    prop_assert!(matches!(fate, Fate::Moved { .. } | Fate::Unseen), "{:?}", fate);
                }
                (Truth::Moved, false) => prop_assert_eq!(fate, MOVED),
                (Truth::Stayed | Truth::Locked, false) => prop_assert_ne!(fate, MOVED),
                _ => {}
            }
        }
    }
}

fn counted(moved: Option<u64>) -> Meanwhile {
    Meanwhile {
        moved,
        may_stray: false,
    }
}

fn single(truth: Truth) -> Look {
    truth.look(1, false)
}

#[test]
fn counts_and_looks_that_agree_say_what_happened() {
    let looks = [Truth::Moved, Truth::Stayed, Truth::Locked].map(single);
    for most in [Some(1), None] {
        let judged = judge(&looks, ROUTE, counted(most), |_| true);
        assert_eq!(judged.fates, [MOVED, Fate::Stayed, Fate::Busy]);
        assert_eq!(judged.difference, None);
    }
    let full = judge(&looks, ROUTE, counted(Some(1)), |_| false);
    assert_eq!(full.fates, [MOVED, Fate::TargetFull, Fate::Busy]);
}

#[test]
fn when_more_moved_than_left_frames_may_hold_anything() {
    let looks = [Truth::Moved, Truth::MovedAndReused, Truth::Stayed].map(single);
    let judged = judge(&looks, ROUTE, counted(Some(2)), |_| true);
    assert_eq!(judged.fates, [MOVED, Fate::Unseen, Fate::Unseen]);
}

#[test]
fn pages_that_left_without_being_moved_are_gone() {
    let looks = [Truth::Freed, Truth::Stayed].map(single);
    let judged = judge(&looks, ROUTE, counted(Some(0)), |_| true);
    assert_eq!(judged.fates, [Fate::Gone, Fate::Stayed]);
}

#[test]
fn a_page_that_may_be_on_another_node_is_said_to_have_arrived_only_by_its_owner() {
    let mut looks = [Truth::Moved, Truth::Moved, Truth::Moved, Truth::Stayed].map(single);
    looks[0].place = Some(Placement::Node(TARGET));
    looks[1].place = Some(Placement::Node(NodeId(2)));
    let judge_if = |may_stray| {
        let moved = Some(3);
        judge(&looks, ROUTE, Meanwhile { moved, may_stray }, |_| false)
    };
    let strayed = Fate::Moved { node: NodeId(2) };
    let judged = judge_if(true);
    assert_eq!(
        judged.fates,
        [MOVED, strayed, Fate::Unseen, Fate::TargetFull]
    );
    assert_eq!(judged.difference, None);
    assert_eq!(judge_if(false).fates[2], MOVED);
}

#[test]
fn a_difference_that_cannot_be_explained_is_said() {
    let looks = [Truth::Moved, Truth::Freed, Truth::Stayed].map(single);
    let judged = judge(&looks, ROUTE, counted(Some(1)), |_| true);
    assert_eq!(judged.difference, Some((1, 2)));
}

#[test]
fn a_page_of_another_kind_is_another_page() {
    let mut look = single(Truth::Stayed);
    look.after.remove(PageFlags::ANON);
    let judged = judge(&[look], ROUTE, counted(None), |_| true);
    assert_eq!(judged.fates, [MOVED]);
    // One that was taken off the reclaim lists in vain is not.
    for used in [PageFlags::MMAP, PageFlags::UPTODATE] {
        let mut look = single(Truth::Stayed);
        look.after = PageFlags::ANON | used;
        let judged = judge(&[look], ROUTE, counted(None), |_| true);
        assert_eq!(judged.fates, [Fate::Stayed]);
        look.before.remove(PageFlags::LRU);
        let judged = judge(&[look], ROUTE, counted(None), |_| true);
        assert_eq!(judged.fates, [Fate::NotLru]);
    }
}

#[test]
fn what_cannot_move_is_not_tried() {
    let thp = anonymous() | PageFlags::THP;
    for (pages, flags, fate) in [
        (1, anonymous(), None),
        (512, thp | PageFlags::COMPOUND_HEAD, None),
        (1, PageFlags::NOPAGE, Some(Fate::Gone)),
        (1, PageFlags::BUDDY, Some(Fate::Gone)),
        (
            512,
            PageFlags::HUGE | PageFlags::COMPOUND_HEAD,
            Some(Fate::Hugetlb),
        ),
        (512, anonymous(), Some(Fate::Gone)),
        (1, thp | PageFlags::COMPOUND_HEAD, Some(Fate::Gone)),
        (
            1,
            PageFlags::THP | PageFlags::COMPOUND_TAIL,
            Some(Fate::Gone),
        ),
        (1, PageFlags::MMAP | PageFlags::ANON, Some(Fate::NotLru)),
    ] {
        assert_eq!(obstacle(pages, flags), fate, "{flags:?}");
    }
}

#[test]
fn what_stays_again_and_again_is_held_by_somebody() {
    let mut stayers = Stayers::default();
    let head = Pfn(7);
    for _ in 0..2 {
        assert_eq!(stayers.judge(head, Fate::Stayed), Fate::Stayed);
        assert_eq!(stayers.judge(head, Fate::Stayed), Fate::Stayed);
        assert_eq!(stayers.judge(Pfn(8), Fate::Stayed), Fate::Stayed);
        // Once it is busy, all is open again.
        assert_eq!(stayers.judge(head, Fate::Busy), Fate::Busy);
        assert_eq!(stayers.judge(Pfn(8), MOVED), MOVED);
    }
    let fates: Vec<_> = (0..4).map(|_| stayers.judge(head, Fate::Stayed)).collect();
    assert_eq!(
        fates,
        [Fate::Stayed, Fate::Stayed, Fate::Pinned, Fate::Stayed]
    );
}
