// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The engine on a machine whose pages move at once.

use std::collections::{BTreeMap, BTreeSet};

use chmu_machine::memory::page_flags::PageFlags;
use chmu_machine::stop::StopFlag;
use proptest::prelude::*;

use super::*;
use crate::actuator::Actuator;
use crate::batch::{Batch, Fate};
use crate::ledger::{Action, Event};
use crate::machine::Machine;
use crate::report::{Facts, Health, HotExtent, Place, Report, SourceKind, UnitPlace, Weight};
use crate::testing::{SLOW, SimulatedMachine, facts};
use chmu_spec::address::Dpa;

mod routes;
mod stale;
mod tuning;

const SOURCE: SourceId = SourceId(0);
const MS: u64 = 1_000_000;

fn engine(policy: Policy) -> Engine {
    let mut engine = Engine::new(policy, 1);
    engine.begin(vec![facts("one"), facts("two")], "simulated", false, 0);
    engine
}

/// No delay, so that tests need not let time pass.
fn prompt() -> Policy {
    Policy {
        batching_delay_ns: 0,
        ..Policy::default()
    }
}

fn extent(frame: u64, pages: u64, accesses: u64) -> HotExtent {
    HotExtent {
        place: Place::Frames {
            start: Pfn(frame),
            pages,
        },
        weight: Weight::accesses(accesses),
        sharing_pages: 1,
        unit: None,
    }
}

fn report(extents: Vec<HotExtent>, now_ns: u64) -> Report {
    Report {
        handed_out_ns: now_ns,
        earliest_access_ns: now_ns,
        extents,
        ..Report::default()
    }
}

/// The engine and the machine that it works on.
struct Bench {
    engine: Engine,
    machine: SimulatedMachine,
    events: Vec<Event>,
}

impl Bench {
    fn new(machine: SimulatedMachine, policy: Policy) -> Bench {
        let mut engine = engine(policy);
        let events = engine.drain_ledger();
        Bench {
            engine,
            machine,
            events,
        }
    }

    fn offer(&mut self, extents: Vec<HotExtent>, now_ns: u64) {
        self.offer_from(SOURCE, extents, now_ns);
    }

    fn offer_from(&mut self, source: SourceId, extents: Vec<HotExtent>, now_ns: u64) {
        let report = report(extents, now_ns);
        self.engine
            .offer(source, &report, Health::Good, &self.machine, now_ns)
            .unwrap();
    }

    /// Makes a batch and moves it; none when there is none.
    fn step(&mut self, now_ns: u64) -> Option<Batch> {
        let batch = self.engine.next_batch(&self.machine, now_ns).unwrap()?;
        let stop = StopFlag::new().unwrap();
        let fates = self.machine.clone().promote_batch(&batch, &stop).unwrap();
        self.engine.completed(&batch, &fates, now_ns, now_ns + 1);
        Some(batch)
    }

    fn run(&mut self, now_ns: u64) -> BTreeSet<u64> {
        while self.step(now_ns).is_some() {}
        self.promoted()
    }

    fn promoted(&self) -> BTreeSet<u64> {
        self.machine.promoted().into_iter().collect()
    }

    /// Refusals since the last call, by reason.
    fn refused(&mut self) -> BTreeMap<Rejection, u64> {
        let mut refused = BTreeMap::new();
        for event in self.events() {
            if let Action::Refused(one) = event.action {
                *refused.entry(one.reason).or_default() += 1;
            }
        }
        refused
    }

    /// Pages that reports named in vain since the last call, by reason.
    fn ignored(&mut self) -> BTreeMap<Rejection, u64> {
        let mut ignored = BTreeMap::new();
        for event in self.events() {
            if let Action::Source(said) = event.action {
                ignored.extend(said.ignored);
            }
        }
        ignored
    }

    fn events(&mut self) -> Vec<Event> {
        let events = self.engine.drain_ledger();
        self.events.extend(events.iter().cloned());
        events
    }
}

proptest! {
    #[test]
    fn exactly_the_reported_pages_of_the_slow_node_move(
        offered in proptest::collection::vec((0..60_u64, 1..9_u64), 0..80),
        fast in proptest::collection::vec(0..60_u64, 0..10),
    ) {
        let machine = SimulatedMachine::with_pages((0..60).chain(SLOW..SLOW + 70));
        let mut bench = Bench::new(machine, Policy { batch_folios: 8, ..prompt() });
        let slow = offered.iter().map(|&(frame, pages)| extent(SLOW + frame, pages, 1));
        let extents = slow.chain(fast.iter().map(|&frame| extent(frame, 1, 1)));
        bench.offer(extents.collect(), 5);
        let expected: BTreeSet<_> =
            offered.iter().flat_map(|&(frame, pages)| SLOW + frame..SLOW + frame + pages).collect();
        prop_assert_eq!(bench.run(5), expected.clone());
        let events = bench.events();
        let mut moved = BTreeSet::new();
        for event in &events {
            match &event.action {
                Action::Batch(batch) => {
                    prop_assert!((1..=8).contains(&batch.folios.len()));
                    prop_assert!(batch.folios.is_sorted());
                    prop_assert_eq!(batch.route, Route { source: NodeId(1), target: NodeId(0) });
                }
                Action::Moved(one) => prop_assert!(moved.insert(one.folio.head.0)),
                _ => {}
            }
        }
        prop_assert_eq!(moved, expected);
    }

    #[test]
    fn the_ledgers_sums_are_those_of_its_lines(
        offered in proptest::collection::vec((0..40_u64, 1..20_u64), 1..60),
        held in proptest::collection::vec((0..40_u64, 0..4_usize), 0..10),
    ) {
        let machine = SimulatedMachine::with_pages(SLOW..SLOW + 40);
        let fates = [Fate::Busy, Fate::Pinned, Fate::Stayed, Fate::Refused { errno: 1 }];
        held.iter().for_each(|&(frame, fate)| machine.hold(SLOW + frame, fates[fate]));
        let mut bench = Bench::new(machine, Policy { waiting_max: 20, ..prompt() });
        for (step, &(frame, accesses)) in (1..).zip(&offered) {
            bench.offer(vec![extent(SLOW + frame, 1, accesses)], step * 50 * MS);
            bench.step(step * 50 * MS);
        }
        bench.engine.end(u64::MAX);
        bench.events();
        let count = |wanted: fn(&Action) -> bool| {
            bench.events.iter().filter(|event| wanted(&event.action)).count() as u64
        };
        let last = bench.events.last().map(|event| event.action.clone());
        let Some(Action::End(totals)) = last else { panic!("{last:?}") };
        prop_assert_eq!(totals.lines, bench.events.len() as u64 - 1);
        prop_assert_eq!(totals.batches, count(|action| matches!(action, Action::Batch(_))));
        prop_assert_eq!(totals.folios_moved, count(|action| matches!(action, Action::Moved(_))));
        prop_assert_eq!(totals.refused, count(|action| matches!(action, Action::Refused(_))));
        prop_assert_eq!(totals.retried, count(|action| matches!(action, Action::Retried(_))));
        prop_assert_eq!(totals.units_reported, offered.len() as u64);
        prop_assert!(bench.events.is_sorted_by_key(|event| event.time_ns));
    }
}

#[test]
fn what_never_moves_is_told_by_reason() {
    let machine = SimulatedMachine::with_pages(SLOW..SLOW + 5);
    machine.set_flags(SLOW, PageFlags::BUDDY);
    machine.set_flags(SLOW + 2, PageFlags::HUGE | PageFlags::COMPOUND_HEAD);
    let mut bench = Bench::new(
        machine,
        Policy {
            minimum_heat: 2,
            ..prompt()
        },
    );
    let hot = [SLOW, SLOW + 2, SLOW + 3, SLOW + 9, 0x9_0000, 1 << 50];
    let mut extents: Vec<_> = hot.iter().map(|&frame| extent(frame, 1, 2)).collect();
    extents.push(extent(SLOW + 4, 1, 1));
    bench.offer(extents, 1);
    let expected = [
        (Rejection::NoPage, 1),
        (Rejection::Free, 1),
        (Rejection::Hugetlb, 1),
        (Rejection::UnknownNode, 2),
    ];
    assert_eq!(bench.ignored(), BTreeMap::from(expected));
    assert_eq!(bench.run(1), BTreeSet::from([SLOW + 3]));
}

#[test]
fn a_huge_page_moves_once_as_a_whole() {
    let machine = SimulatedMachine::with_pages([SLOW + 513]);
    let huge = Folio {
        head: Pfn(SLOW),
        pages: 512,
    };
    machine.place(huge, 7);
    let mut bench = Bench::new(machine, prompt());
    let extents = [SLOW + 511, SLOW + 7, SLOW, SLOW + 513].map(|frame| extent(frame, 1, 1));
    bench.offer(extents.to_vec(), 1);
    let batch = bench.step(1).unwrap();
    assert_eq!((batch.pages(), batch.candidates.len()), (513, 2));
    assert_eq!(bench.promoted(), BTreeSet::from([7, SLOW + 513]));
    let folios = batch.candidates.len();
    assert!(
        bench.machine.reads() <= 3 * folios,
        "{} reads",
        bench.machine.reads()
    );
}

#[test]
fn a_sparse_huge_page_stays_where_only_dense_ones_move() {
    let machine = SimulatedMachine::default();
    let huge = Folio {
        head: Pfn(SLOW),
        pages: 512,
    };
    machine.place(huge, 7);
    let policy = Policy {
        large_folios: LargeFolios::Dense(50),
        ..prompt()
    };
    let mut bench = Bench::new(machine, policy);
    bench.offer(vec![extent(SLOW, 255, 9)], 1);
    assert_eq!(bench.run(1), BTreeSet::new());
    bench.offer(vec![extent(SLOW + 255, 1, 9)], 2);
    assert_eq!(bench.run(2), BTreeSet::from([7]));
}

#[test]
fn a_unit_of_several_pages_is_taken_only_where_that_is_allowed() {
    let coarse = |allow_coarse_units| {
        let machine = SimulatedMachine::with_pages(SLOW..SLOW + 2);
        let mut bench = Bench::new(
            machine,
            Policy {
                allow_coarse_units,
                minimum_heat: 5,
                ..prompt()
            },
        );
        let shared = |accesses| HotExtent {
            sharing_pages: 2,
            ..extent(SLOW, 2, accesses)
        };
        bench.offer(vec![shared(9)], 1);
        assert_eq!(bench.run(1), BTreeSet::new());
        bench.offer(vec![shared(10)], u64::MAX / 2);
        (bench.run(u64::MAX / 2), bench.ignored())
    };
    let (moved, ignored) = coarse(false);
    assert_eq!(
        (moved, ignored[&Rejection::CoarseUnit]),
        (BTreeSet::new(), 2)
    );
    // Nine accesses are 4.5 for each page.
    assert_eq!(coarse(true).0, BTreeSet::from([SLOW, SLOW + 1]));
}

#[test]
fn one_access_is_never_counted_twice() {
    let machine = SimulatedMachine::with_pages(SLOW..SLOW + 3);
    let mut bench = Bench::new(machine, prompt());
    let by = |member, accesses, frame| HotExtent {
        unit: Some(UnitPlace {
            member,
            dpa: Dpa(frame),
        }),
        ..extent(frame, 1, accesses)
    };
    // Small units of one member add up; another member, or another source, may have seen the same.
    bench.offer(vec![by(0, 10, SLOW), by(0, 5, SLOW), by(1, 12, SLOW)], 1);
    bench.offer_from(
        SourceId(1),
        vec![extent(SLOW, 1, 14), extent(SLOW + 1, 1, 14)],
        1,
    );
    bench.run(1);
    let heats: BTreeMap<_, _> = bench
        .events()
        .into_iter()
        .filter_map(|event| match event.action {
            Action::Moved(moved) => Some((moved.folio.head.0, (moved.heat, moved.origin))),
            _ => None,
        })
        .collect();
    let both = vec!["one".to_owned(), "two".to_owned()];
    assert_eq!(heats[&SLOW], (15_000, both));
    assert_eq!(heats[&(SLOW + 1)], (14_000, vec!["two".to_owned()]));
}

#[test]
fn pages_kept_back_by_a_processor_are_found() {
    let machine = SimulatedMachine::with_pages(SLOW..SLOW + 2);
    machine.keep_back(SLOW);
    let mut bench = Bench::new(machine, prompt());
    bench.offer(vec![extent(SLOW, 1, 1)], 1);
    assert_eq!(bench.run(1).len(), 1);
    assert_eq!(bench.machine.drains(), 1);
}

#[test]
fn a_page_that_is_busy_is_tried_three_times_with_growing_pauses() {
    let machine = SimulatedMachine::with_pages([SLOW]);
    machine.hold(SLOW, Fate::Busy);
    let mut bench = Bench::new(machine, prompt());
    bench.offer(vec![extent(SLOW, 1, 1)], 0);
    let mut tries = Vec::new();
    for millisecond in 0..1000 {
        if bench.step(millisecond * MS).is_some() {
            tries.push(millisecond);
        }
    }
    assert_eq!(tries, [0, 101, 502]);
    assert_eq!(bench.refused(), BTreeMap::from([(Rejection::Busy, 1)]));
    // It is left alone for a while, and said once.
    bench.machine.let_go(SLOW);
    bench.offer(vec![extent(SLOW, 1, 1)], 2_000 * MS);
    assert_eq!(bench.run(2_000 * MS), BTreeSet::new());
    bench.offer(vec![extent(SLOW, 1, 1)], 62_000 * MS);
    assert_eq!(bench.run(62_000 * MS).len(), 1);
}

#[test]
fn what_nobody_explains_is_tried_again_only_when_it_is_hot_again() {
    let machine = SimulatedMachine::with_pages([SLOW]);
    machine.hold(SLOW, Fate::Stayed);
    let mut bench = Bench::new(machine, prompt());
    bench.offer(vec![extent(SLOW, 1, 1)], 1);
    assert!(bench.step(1).is_some());
    bench.machine.let_go(SLOW);
    assert!(bench.step(5_000 * MS).is_none());
    bench.offer(vec![extent(SLOW, 1, 1)], 6_000 * MS);
    assert_eq!(bench.run(6_000 * MS).len(), 1);
}

#[test]
fn a_page_that_is_known_by_its_owner_is_tried_again_by_itself() {
    let machine = SimulatedMachine::with_pages([SLOW]);
    machine.tell_owners();
    machine.hold(SLOW, Fate::Stayed);
    let mut bench = Bench::new(machine, prompt());
    bench.offer(vec![extent(SLOW, 1, 1)], 1);
    assert!(bench.step(1).is_some());
    bench.machine.let_go(SLOW);
    assert_eq!(bench.run(200 * MS).len(), 1);
}

#[test]
fn frames_of_a_list_are_tried_again_by_themselves() {
    let machine = SimulatedMachine::with_pages([SLOW]);
    machine.hold(SLOW, Fate::Stayed);
    let mut bench = Bench::new(machine, prompt());
    bench.engine = Engine::new(prompt(), 1);
    let list = Facts {
        kind: SourceKind::List,
        ..facts("list")
    };
    bench.engine.begin(vec![list], "simulated", false, 0);
    bench.offer(vec![extent(SLOW, 1, 1)], 0);
    let mut tries = Vec::new();
    for millisecond in 0..1000 {
        if millisecond == 500 {
            bench.machine.let_go(SLOW);
        }
        if bench.step(millisecond * MS).is_some() {
            tries.push(millisecond);
        }
    }
    assert_eq!((tries, bench.promoted().len()), (vec![0, 101, 502], 1));
}

#[test]
fn a_page_that_its_process_has_elsewhere_by_now_is_left() {
    for is_elsewhere in [false, true] {
        let mut bench = Bench::new(SimulatedMachine::with_pages([SLOW]), prompt());
        let mut addresses = extent(SLOW, 1, 1);
        addresses.place = Place::Addresses {
            process_id: 7,
            start: SLOW * 4096,
            pages: 1,
        };
        bench.offer(vec![addresses], 1);
        let folio = |frame| Folio {
            head: Pfn(frame),
            pages: 1,
        };
        if is_elsewhere {
            // Another page, of the same kind, is where it was.
            bench.machine.place(folio(SLOW), 99);
            bench.machine.place(folio(SLOW + 5), SLOW);
        }
        assert_eq!(bench.run(1).len(), usize::from(!is_elsewhere));
        let left = bench.refused().get(&Rejection::AnotherPage).copied();
        assert_eq!(left, is_elsewhere.then_some(1));
    }
}

#[test]
fn a_page_of_another_kind_by_now_is_left() {
    let machine = SimulatedMachine::with_pages([SLOW]);
    machine.tell_owners();
    let mut bench = Bench::new(machine, prompt());
    bench.offer(vec![extent(SLOW, 1, 1)], 1);
    bench
        .machine
        .set_flags(SLOW, PageFlags::LRU | PageFlags::SWAPBACKED);
    assert_eq!(bench.run(1), BTreeSet::new());
    assert_eq!(
        bench.refused(),
        BTreeMap::from([(Rejection::AnotherPage, 1)])
    );
}

#[test]
fn a_frame_with_another_owner_by_now_is_left() {
    let machine = SimulatedMachine::with_pages([SLOW]);
    machine.tell_owners();
    let mut bench = Bench::new(machine, prompt());
    bench.offer(vec![extent(SLOW, 1, 1)], 1);
    let folio = Folio {
        head: Pfn(SLOW),
        pages: 1,
    };
    bench.machine.place(folio, 99);
    assert_eq!(bench.run(1), BTreeSet::new());
    assert_eq!(
        bench.refused(),
        BTreeMap::from([(Rejection::AnotherPage, 1)])
    );
}

#[test]
fn pinned_pages_stay_and_are_said_once() {
    let machine = SimulatedMachine::with_pages([SLOW]);
    machine.hold(SLOW, Fate::Pinned);
    let mut bench = Bench::new(machine, prompt());
    for step in 1..100 {
        bench.offer(vec![extent(SLOW, 1, 1)], step * 100 * MS);
        bench.step(step * 100 * MS);
    }
    assert_eq!(bench.refused(), BTreeMap::from([(Rejection::Pinned, 1)]));
}

#[test]
fn a_full_target_gets_what_it_has_room_for_and_the_rest_waits() {
    let machine = SimulatedMachine::with_pages(SLOW..SLOW + 8);
    machine.set_headroom(0, 100);
    let mut bench = Bench::new(machine, prompt());
    let extents = (SLOW..SLOW + 8).map(|frame| extent(frame, 1, frame));
    bench.offer(extents.collect(), 0);
    bench.machine.set_headroom(0, 3);
    assert!(bench.step(0).is_some());
    assert_eq!(bench.promoted(), (SLOW + 5..SLOW + 8).collect());
    bench.machine.set_headroom(0, 0);
    assert!(bench.step(0).is_none());
    bench.machine.set_headroom(0, 100);
    assert!(bench.step(0).is_none(), "it was full a moment ago");
    let later = bench.engine.next_deadline_ns().unwrap();
    assert_eq!(bench.run(later).len(), 8);
}

#[test]
fn the_rate_leaves_the_colder_pages_waiting() {
    let policy = Policy {
        pages_per_second: Some(40),
        batch_folios: 8,
        ..prompt()
    };
    let mut bench = Bench::new(SimulatedMachine::with_pages(SLOW..SLOW + 100), policy);
    let extents = (0..100).map(|frame| extent(SLOW + frame, 1, frame + 1));
    bench.offer(extents.collect(), 0);
    let mut pages = |now_ns| bench.step(now_ns).map_or(0, |batch| batch.pages());
    assert_eq!([pages(0), pages(0), pages(0)], [8, 2, 0]);
    assert_eq!(pages(100 * MS), 4);
    assert_eq!(bench.promoted(), (SLOW + 86..SLOW + 100).collect());
    assert_eq!(bench.engine.waiting(), 86);
}

#[test]
fn a_caller_who_knows_the_target_names_it() {
    let policy = Policy {
        destination: Destination::Node(NodeId(1)),
        ..prompt()
    };
    let mut bench = Bench::new(SimulatedMachine::with_pages([0, SLOW]), policy);
    bench.offer(vec![extent(0, 1, 1), extent(SLOW, 1, 1)], 1);
    assert_eq!(
        bench.ignored(),
        BTreeMap::from([(Rejection::AlreadyThere, 1)])
    );
    let route = Route {
        source: NodeId(0),
        target: NodeId(1),
    };
    assert_eq!(bench.step(1).unwrap().route, route);
}

#[test]
fn pages_that_a_caller_names_move_first_and_at_once() {
    let machine = SimulatedMachine::with_pages(SLOW..SLOW + 4);
    let mut bench = Bench::new(machine, Policy::default());
    bench.offer(vec![extent(SLOW, 1, 1000)], 1);
    assert!(bench.step(1).is_none(), "a batch is delayed for others");
    let frames = [Pfn(SLOW + 3), Pfn(0x7_0000)];
    let machine = bench.machine.clone();
    bench
        .engine
        .promote_pagevec(&frames, Some(NodeId(0)), Mode::Now, &machine, 1)
        .unwrap();
    assert_eq!(bench.step(1).unwrap().heads(), [Pfn(SLOW), Pfn(SLOW + 3)]);
    assert_eq!(bench.refused(), BTreeMap::from([(Rejection::NoPage, 1)]));
}

#[test]
fn a_batch_is_delayed_for_others_but_not_for_long() {
    let mut bench = Bench::new(
        SimulatedMachine::with_pages(SLOW..SLOW + 4),
        Policy::default(),
    );
    assert_eq!(bench.engine.next_deadline_ns(), None);
    bench.offer(vec![extent(SLOW, 1, 1)], 10 * MS);
    assert_eq!(bench.engine.next_deadline_ns(), Some(30 * MS));
    assert!(bench.step(30 * MS - 1).is_none());
    assert!(bench.step(30 * MS).is_some());
    assert_eq!(bench.engine.next_deadline_ns(), None);
}

#[test]
fn what_waited_too_long_is_old_news() {
    let policy = Policy {
        pages_per_second: Some(1),
        ..prompt()
    };
    let mut bench = Bench::new(SimulatedMachine::with_pages(SLOW..SLOW + 4), policy);
    bench.offer(
        (0..4)
            .map(|frame| extent(SLOW + frame, 1, 4 - frame))
            .collect(),
        0,
    );
    assert_eq!(bench.step(0).unwrap().heads(), [Pfn(SLOW)]);
    assert!(bench.step(10_001 * MS).is_none());
    assert_eq!(bench.refused(), BTreeMap::from([(Rejection::Stale, 3)]));
}

#[test]
fn a_page_that_comes_back_is_stopped_and_counted() {
    let machine = SimulatedMachine::with_pages([SLOW]);
    machine.tell_owners();
    let mut bench = Bench::new(machine, prompt());
    let again = |bench: &mut Bench, now_ns| {
        // Somebody demotes the page to the frame that it had.
        let folio = Folio {
            head: Pfn(SLOW),
            pages: 1,
        };
        bench.machine.place(folio, SLOW);
        bench.offer(vec![extent(SLOW, 1, 1)], now_ns);
        bench.step(now_ns).is_some()
    };
    assert!(again(&mut bench, 1));
    assert!(!again(&mut bench, 1_000 * MS));
    assert!(!again(&mut bench, 2_000 * MS));
    let events = bench.events();
    let back = events
        .iter()
        .filter(|event| matches!(event.action, Action::Demoted(_)));
    assert_eq!(back.count(), 1);
    assert!(again(&mut bench, 40_000 * MS));
}

#[test]
fn promotion_slows_down_when_the_target_demotes_as_much() {
    let machine = SimulatedMachine::with_pages(SLOW..SLOW + 20_000);
    let mut bench = Bench::new(machine, prompt());
    let mut by_second = Vec::new();
    for second in 0..20 {
        let first = SLOW + second * 1000;
        bench.offer(
            (first..first + 1000)
                .map(|frame| extent(frame, 1, 1))
                .collect(),
            second * 1000 * MS,
        );
        let before = bench.promoted().len();
        bench.run(second * 1000 * MS);
        let moved = bench.promoted().len() - before;
        bench.machine.demote(moved as u64);
        by_second.push(moved);
    }
    assert_eq!(by_second[0], 1000);
    assert!(by_second[19] < 100, "{by_second:?}");
    let is_tuned = |event: &Event| matches!(event.action, Action::Tuned(_));
    assert!(bench.events().iter().any(is_tuned));
}

#[test]
fn demotions_are_noted_when_nothing_is_promoted_any_more() {
    let mut bench = Bench::new(SimulatedMachine::with_pages(SLOW..SLOW + 4), prompt());
    bench.offer(vec![extent(SLOW, 4, 1)], 1);
    assert_eq!(bench.run(1).len(), 4);
    bench.machine.demote(3);
    let mut demoted = |millisecond: u64, is_last| {
        let machine = bench.machine.clone();
        let now_ns = millisecond * MS;
        bench
            .engine
            .look_for_demotions(&machine, is_last, now_ns)
            .unwrap();
        let pages = bench
            .events()
            .into_iter()
            .filter_map(|event| match event.action {
                Action::Demoted(demoted) => Some(demoted.pages),
                _ => None,
            });
        let pages: u64 = pages.sum();
        bench.machine.demote(1);
        pages
    };
    // Nobody looks more often than once a second, but for the last time; none is noted twice.
    assert_eq!(demoted(500, false), 0);
    assert_eq!(demoted(1_500, false), 4);
    assert_eq!(demoted(1_600, false), 0);
    assert_eq!(demoted(1_700, true), 2);
}

#[test]
fn what_an_actuator_keeps_is_accounted_for_at_the_end() {
    let mut bench = Bench::new(SimulatedMachine::with_pages(SLOW..SLOW + 3), prompt());
    bench.offer(vec![extent(SLOW, 3, 1)], 1);
    let machine = bench.machine.clone();
    assert!(bench.engine.next_batch(&machine, 1).unwrap().is_some());
    bench.engine.end(5);
    assert_eq!(bench.refused(), BTreeMap::from([(Rejection::Unheard, 3)]));
}

#[test]
fn a_dry_run_decides_once_on_each_folio() {
    let machine = SimulatedMachine::with_pages(SLOW..SLOW + 4);
    let mut engine = Engine::new(prompt(), 1);
    engine.begin(vec![facts("one")], "dry-run", true, 0);
    let mut moved = 0;
    for step in 1..9 {
        let report = report(vec![extent(SLOW, 4, 1)], step * 100 * MS);
        engine
            .offer(SOURCE, &report, Health::Good, &machine, step * 100 * MS)
            .unwrap();
        while let Some(batch) = engine.next_batch(&machine, step * 100 * MS).unwrap() {
            let fates = vec![Fate::WouldMove; batch.candidates.len()];
            engine.completed(&batch, &fates, 0, 0);
            moved += fates.len();
        }
    }
    assert_eq!((moved, engine.waiting()), (4, 0));
}

#[test]
fn a_batch_that_failed_as_a_whole_loses_nothing_for_ever() {
    let mut bench = Bench::new(SimulatedMachine::with_pages(SLOW..SLOW + 2), prompt());
    bench.offer(vec![extent(SLOW, 2, 1)], 1);
    let machine = bench.machine.clone();
    let batch = bench.engine.next_batch(&machine, 1).unwrap().unwrap();
    assert!(bench.engine.next_batch(&machine, 1).unwrap().is_none());
    bench.engine.completed(&batch, &[], 1, 2);
    bench.engine.completed(&batch, &[], 1, 2);
    bench.offer(vec![extent(SLOW, 2, 1)], 200 * MS);
    assert_eq!(bench.run(200 * MS).len(), 2);
}

#[test]
fn every_question_has_its_machine() {
    // A machine that is only described answers as the engine needs.
    let machine = crate::machine::DescribedMachine::new(crate::testing::TOPOLOGY.clone());
    let mut engine = engine(prompt());
    let report = report(vec![extent(SLOW, 3, 1), extent(1 << 40, 1, 1)], 1);
    engine
        .offer(SOURCE, &report, Health::Good, &machine, 1)
        .unwrap();
    let batch = engine.next_batch(&machine, 1).unwrap().unwrap();
    assert_eq!(batch.heads(), [Pfn(SLOW), Pfn(SLOW + 1), Pfn(SLOW + 2)]);
    assert_eq!(machine.demoted_pages(NodeId(0)).unwrap(), None);
}
