// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A program that says nothing of itself, in right worlds and wrong ones.

use std::collections::{BTreeMap, BTreeSet};

use chmu_machine::node::NodeId;
use chmu_promotion::Folio;
use chmu_promotion::ledger::Event;
use chmu_spec::address::Pfn;

use super::*;
use crate::evidence::Whereabouts;
use crate::ledger::tests::{BATCH_NS, FAST, SLOW, begin, close, folio, ledger, run_of};
use crate::observation::{Left, Observation, ObservedNode, ObservedPage, Rates};

const HEAP: u64 = 0x7000_0000;
const PAGES: u64 = 100;
/// The first batch of a ledger is made when a second is over; these were watched for nine before.
const BEGIN_NS: u64 = 0;
const RATES: Rates = Rates {
    hot_from: 200,
    cold_below: 50,
};

/// Pages 10 to 19 are hot; 20 is neither. All of them were watched from the beginning.
fn observation() -> Observation {
    let page = |page: u64| {
        let count = match page {
            10..20 => 90_000,
            20 => 9_000,
            _ => 30,
        };
        ObservedPage {
            address: HEAP + page * 4096,
            frame: 512 + page,
            node: SLOW,
            seen_ns: BEGIN_NS,
            left: None,
            is_last: true,
            sure: count,
            possible: count,
            most_in_a_second: count.min(2_000),
        }
    };
    Observation {
        v: Observation::VERSION,
        process_id: 7,
        process_start_ticks: 1,
        observer_id: 8,
        observer_start_ticks: 2,
        is_finished: true,
        addresses: (0, u64::MAX),
        begin_ns: BEGIN_NS,
        end_ns: 90 * BATCH_NS,
        looks: 450,
        accesses_missing: 0,
        gaps: 0,
        pages_left_out: 0,
        large_folios: Some(Vec::new()),
        pages: (0..PAGES).map(page).collect(),
    }
}

/// A world: what was observed, where the pages are now, and the ledger.
struct World {
    observation: Observation,
    whereabouts: Vec<Whereabouts>,
    events: Vec<Event>,
}

fn at(node: NodeId, frame: u64) -> Whereabouts {
    Whereabouts::Present {
        node,
        frame: Some(Pfn(frame)),
    }
}

impl World {
    /// Exactly these pages were promoted, and the ledger says so of those in `told`.
    fn promoted(pages: &[u64], told: &[u64]) -> World {
        let mut world = World {
            observation: observation(),
            whereabouts: (0..PAGES).map(|page| at(SLOW, 512 + page)).collect(),
            events: match told {
                [] => vec![begin(&[])],
                _ => {
                    let folios: Vec<Folio> = told.iter().map(|page| folio(512 + page, 1)).collect();
                    run_of(&folios)
                }
            },
        };
        for page in pages {
            world.moves(*page);
        }
        world
    }

    /// A page leaves for faster memory; the copy of it is counted too.
    fn moves(&mut self, page: u64) {
        let place = usize::try_from(page).unwrap();
        self.whereabouts[place] = at(FAST, 90_000 + page);
        let observed = &mut self.observation.pages[place];
        observed.left = Some(Left {
            after_ns: 80 * BATCH_NS,
            by_ns: 81 * BATCH_NS,
        });
        observed.possible += 64;
    }

    fn verdict(&self) -> Verdict {
        self.verdict_of(0..u64::MAX)
    }

    fn verdict_of(&self, addresses: std::ops::Range<u64>) -> Verdict {
        let [observed]: [ObservedNode; 1] = self
            .observation
            .by_node(&addresses, RATES)
            .try_into()
            .unwrap();
        let is_inside = |page: &&ObservedPage| addresses.contains(&page.address);
        let pages = self.observation.pages.iter().zip(&self.whereabouts);
        let whereabouts = pages
            .filter(|(page, _)| is_inside(page))
            .map(|(_, place)| *place);
        let evidence = Evidence {
            witnesses: vec![Witness {
                truth: Truth::Observed(observed),
                whereabouts: whereabouts.collect(),
            }],
            ledger: Some(ledger(close(self.events.clone()))),
            targets: BTreeMap::from([(SLOW, vec![FAST])]),
            demotion_targets: BTreeMap::from([(FAST, vec![SLOW])]),
            now_ns: 100 * BATCH_NS,
        };
        judge(&evidence, &Demands::default(), "an oracle")
    }
}

fn reasons(verdict: &Verdict) -> BTreeSet<Reason> {
    verdict
        .findings
        .iter()
        .map(|finding| finding.reason)
        .collect()
}

const HOT: [u64; 10] = [10, 11, 12, 13, 14, 15, 16, 17, 18, 19];

#[test]
fn hot_pages_that_moved_pass_and_content_is_not_claimed() {
    let verdict = World::promoted(&HOT, &HOT).verdict();
    assert_eq!(verdict.verdict, Outcome::Pass, "{verdict}");
    for judgement in &verdict.claims {
        let expected = match judgement.claim {
            Claim::Content => Outcome::NotClaimed,
            _ => Outcome::Pass,
        };
        assert_eq!(judgement.outcome, expected, "{judgement:?}");
    }
    assert_eq!((verdict.recall, verdict.precision), (Some(1.0), Some(1.0)));
    assert_eq!(
        (verdict.counts.unclear_pages, verdict.counts.true_hot_pages),
        (1, 10)
    );
    let text = verdict.to_string();
    assert!(text.contains("not claimed"), "{text}");
    assert!(
        text.contains("nobody knows what a foreign program wrote"),
        "{text}"
    );
}

#[test]
fn a_cold_page_that_moved_fails_whoever_says_so() {
    let with_cold: Vec<u64> = HOT.into_iter().chain([50]).collect();
    let told = World::promoted(&with_cold, &with_cold).verdict();
    assert_eq!(
        reasons(&told),
        BTreeSet::from([Reason::ColdPageMoved]),
        "{told}"
    );
    let found = &told.finding(Reason::ColdPageMoved).unwrap().examples[0];
    assert_eq!((found.page, found.address), (None, Some(HEAP + 50 * 4096)));
    let by_hand = World::promoted(&with_cold, &HOT).verdict();
    let expected = BTreeSet::from([Reason::ColdPageMoved, Reason::MovedByOthers]);
    assert_eq!(reasons(&by_hand), expected, "{by_hand}");
}

#[test]
fn hot_pages_moved_by_others_or_by_nobody_are_told() {
    let by_hand = World::promoted(&HOT, &HOT[..9]).verdict();
    assert_eq!(reasons(&by_hand), BTreeSet::from([Reason::MovedByOthers]));
    let invented = World::promoted(&HOT[..9], &HOT).verdict();
    assert!(
        reasons(&invented).contains(&Reason::SaidMovedButStayed),
        "{invented}"
    );
    let forgotten = World::promoted(&HOT[..9], &HOT[..9]).verdict();
    assert_eq!(reasons(&forgotten), BTreeSet::from([Reason::NotPromoted]));
    let nothing = World::promoted(&[], &[]).verdict();
    assert_eq!(nothing.verdict, Outcome::Fail);
}

#[test]
fn the_frames_of_promoted_pages_do_not_speak_for_whoever_has_them_next() {
    // A cold page left, and its frame is hot from then on: only what was before counts.
    let with_cold: Vec<u64> = HOT.into_iter().chain([50]).collect();
    let mut world = World::promoted(&with_cold, &with_cold);
    world.observation.pages[50].sure = 30;
    world.observation.pages[50].possible = 30 + 64;
    assert_eq!(
        reasons(&world.verdict()),
        BTreeSet::from([Reason::ColdPageMoved])
    );
}

#[test]
fn pages_that_are_neither_speak_neither_for_nor_against() {
    let with_unclear: Vec<u64> = HOT.into_iter().chain([20]).collect();
    let few = World::promoted(&with_unclear, &with_unclear).verdict();
    assert_eq!(few.counts.unclear_pages_moved, 1);
    assert_eq!(
        few.outcome(Claim::Precision),
        Outcome::Unproved,
        "1 of 11 is more than 0.05"
    );
    assert_eq!(reasons(&few), BTreeSet::new());
    assert_eq!((few.recall, few.precision), (Some(1.0), Some(1.0)));
}

#[test]
fn counts_that_are_not_exact_prove_no_page_cold() {
    let with_cold: Vec<u64> = HOT.into_iter().chain([50]).collect();
    let mut world = World::promoted(&with_cold, &with_cold);
    world.observation.accesses_missing = 1000;
    assert_eq!(
        reasons(&world.verdict()),
        BTreeSet::from([Reason::ColdPageMoved])
    );
    world.observation.accesses_missing = 1_000_000;
    let lost = world.verdict();
    assert_eq!(
        (reasons(&lost), lost.verdict),
        (BTreeSet::new(), Outcome::Unproved)
    );
    world.observation.accesses_missing = 0;
    world.observation.gaps = 1;
    assert_eq!(world.verdict().verdict, Outcome::Unproved);
}

#[test]
fn pages_that_moved_after_the_last_look_are_not_known() {
    let with_cold: Vec<u64> = HOT.into_iter().chain([50]).collect();
    let mut world = World::promoted(&with_cold, &with_cold);
    world.observation.pages[50].left = None;
    let verdict = world.verdict();
    assert_eq!(verdict.counts.unclear_pages_moved, 1);
    assert_eq!(verdict.verdict, Outcome::Unproved, "{verdict}");
}

#[test]
fn a_page_that_left_early_was_not_watched_for_long_enough_to_be_cold() {
    let with_cold: Vec<u64> = HOT.into_iter().chain([50]).collect();
    let mut world = World::promoted(&with_cold, &with_cold);
    world.observation.pages[50].left = Some(Left {
        after_ns: 3 * BATCH_NS,
        by_ns: 4 * BATCH_NS,
    });
    assert_eq!(world.verdict().counts.unclear_pages_moved, 1);
}

#[test]
fn memory_that_a_program_gives_back_or_takes_anew_is_nobodys_fault() {
    let mut world = World::promoted(&HOT, &HOT);
    world.whereabouts[60] = Whereabouts::Absent(libc::ENOENT);
    world.whereabouts[61] = at(SLOW, 7777);
    world.whereabouts[10] = Whereabouts::Absent(libc::ENOENT);
    let verdict = world.verdict();
    assert_eq!(verdict.verdict, Outcome::Pass, "{verdict}");
    assert_eq!(verdict.counts.absent_pages, 2);
    assert_eq!(verdict.counts.true_hot_pages, 9);
}

#[test]
fn a_page_on_a_third_node_fails_and_a_range_leaves_others_out() {
    let mut world = World::promoted(&HOT, &HOT);
    world.whereabouts[11] = at(NodeId(2), 90_011);
    let verdict = world.verdict();
    let expected = BTreeSet::from([Reason::ThirdNode, Reason::OtherNodeThanSaid]);
    assert_eq!(reasons(&verdict), expected, "{verdict}");
    let beyond = HEAP + 12 * 4096..u64::MAX;
    let others = world.verdict_of(beyond);
    assert_eq!(others.verdict, Outcome::Pass, "{others}");
    assert_eq!(others.counts.pages, PAGES - 12);
    assert_eq!(others.ledger.unwrap().foreign_pages_moved, 2);
}
