// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A full target whose cold pages make room.

use std::collections::BTreeSet;

use chmu_machine::memory::page_flags::PageFlags;
use chmu_machine::stop::StopFlag;
use proptest::prelude::*;

use super::*;
use crate::actuator::Actuator;
use crate::aggregate::SourceId;
use crate::batch::{Batch, Direction, Fate};
use crate::engine::Policy;
use crate::ledger::Event;
use crate::rejection::Rejection;
use crate::report::{HotExtent, Place, Report, Weight};
use crate::testing::{SLOW, SimulatedMachine, facts};

/// Where the fast node's own pages begin: beyond those that pages are promoted to.
const OWN: u64 = 0x4000;
const FAST_NODE: NodeId = NodeId(0);
const SECOND: u64 = 1_000_000_000;

struct Bench {
    engine: Engine,
    machine: SimulatedMachine,
    now_ns: u64,
}

impl Bench {
    /// `cold` pages on every other frame of the fast node, and hot ones on the slow node.
    fn new(cold: u64, hot: u64, policy: Policy) -> Bench {
        let own = (0..cold).map(|number| OWN + 2 * number);
        let machine = SimulatedMachine::with_pages(own.chain(SLOW..SLOW + hot));
        machine.find_owners();
        let policy = Policy {
            batching_delay_ns: 0,
            demote_coldest: true,
            ..policy
        };
        let mut engine = Engine::new(policy, 1);
        engine.begin(vec![facts("one")], "simulated", false, 0);
        engine.use_telemetry("simulated", 500, 0);
        Bench {
            engine,
            machine,
            now_ns: SECOND,
        }
    }

    fn offer(&mut self, frames: impl IntoIterator<Item = u64>) {
        let extent = |frame| HotExtent {
            place: Place::Frames {
                start: Pfn(frame),
                pages: 1,
            },
            weight: Weight::accesses(100),
            sharing_pages: 1,
            unit: None,
        };
        let report = Report {
            handed_out_ns: self.now_ns,
            earliest_access_ns: self.now_ns,
            extents: frames.into_iter().map(extent).collect(),
            ..Report::default()
        };
        let offered = self.engine.offer(
            SourceId(0),
            &report,
            Health::Good,
            &self.machine,
            self.now_ns,
        );
        offered.unwrap();
    }

    /// The next question about room, after as many turns as the search takes.
    fn ask(&mut self) -> Option<Watch> {
        loop {
            let watch = self.engine.next_watch(&self.machine, self.now_ns).unwrap();
            match watch {
                // Nobody answers what became of promotions.
                Some(watch) if watch.idle_ns != IDLE_NS => self.answer(None),
                Some(watch) => return Some(watch),
                None if self.engine.is_searching() => {}
                None => return None,
            }
        }
    }

    fn answer(&mut self, watched: Option<Watched>) {
        let answered = self.engine.watched(watched, &self.machine, self.now_ns);
        answered.unwrap();
    }

    /// Asks and answers, with these pages in use.
    fn watch(&mut self, is_used: impl Fn(u64) -> bool) {
        while let Some(Watch { frames, idle_ns }) = self.ask() {
            assert!(frames.windows(2).all(|pair| pair[1].0 > pair[0].0 + 1));
            self.now_ns += 5 * SECOND;
            let used = frames.iter();
            let used = used.map(|frame| self.machine.name_at(frame.0).is_none_or(&is_used));
            let watched = Watched {
                accessed: used.collect(),
                idle_ns,
                until_ns: self.now_ns,
            };
            self.answer(Some(watched));
        }
    }

    /// Moves everything that is due.
    fn step(&mut self) -> Vec<Batch> {
        let stop = StopFlag::new().unwrap();
        let mut batches = Vec::new();
        while let Some(batch) = self.engine.next_batch(&self.machine, self.now_ns).unwrap() {
            let fates = self.machine.clone().promote_batch(&batch, &stop).unwrap();
            let now_ns = self.now_ns;
            self.engine.completed(&batch, &fates, now_ns, now_ns + 1);
            batches.push(batch);
        }
        batches
    }

    fn events(&mut self) -> Vec<Event> {
        self.engine.drain_ledger()
    }
}

#[test]
fn a_full_target_gives_up_as_many_cold_pages_as_are_wanted() {
    let mut bench = Bench::new(100, 10, Policy::default());
    bench.machine.set_headroom(0, 3);
    bench.offer(SLOW..SLOW + 10);
    assert_eq!(bench.step().len(), 1, "three have room");
    bench.machine.set_headroom(0, 0);
    bench.now_ns += SECOND;
    bench.offer(SLOW + 3..SLOW + 10);
    bench.watch(|_| false);
    assert!(bench.engine.is_making_room());
    let batches = bench.step();
    assert_eq!(batches.len(), 1);
    assert_eq!(batches[0].direction, Direction::Demotion);
    assert_eq!(
        batches[0].route,
        Route {
            source: FAST_NODE,
            target: NodeId(1)
        }
    );
    assert_eq!(bench.machine.sent_down().len(), 7);
    bench.machine.set_headroom(0, 7);
    bench.now_ns += SECOND;
    bench.offer(SLOW + 3..SLOW + 10);
    bench.step();
    assert_eq!(bench.machine.promoted().len(), 10);
    // Nobody waits any more, so nobody is asked.
    bench.machine.set_headroom(0, 0);
    assert_eq!(bench.ask(), None);
    assert!(!bench.engine.is_making_room());
    bench.engine.end(bench.now_ns);
    let events = bench.events();
    let sent = events.iter().filter_map(|event| match &event.action {
        Action::Demoted(demoted) => demoted.sent,
        _ => None,
    });
    let sent: Vec<_> = sent.collect();
    assert_eq!(sent.len(), 7);
    assert!(
        sent.iter()
            .all(|sent| sent.idle_ns == 4 * SECOND && sent.owner.is_some())
    );
    let Some(Action::End(totals)) = events.last().map(|event| &event.action) else {
        panic!("no end");
    };
    assert_eq!(
        (totals.demotions, totals.pages_demoted, totals.kept),
        (1, 7, 0)
    );
}

#[test]
fn nothing_is_demoted_without_the_wish_a_lack_of_room_or_telemetry() {
    let mut bench = Bench::new(100, 10, Policy::default());
    bench.offer(SLOW..SLOW + 10);
    assert_eq!(bench.ask(), None, "there is room");
    for (wished, watched) in [(false, true), (true, false)] {
        let mut bench = Bench::new(100, 10, Policy::default());
        bench.engine.policy.demote_coldest = wished;
        if !watched {
            bench.engine.telemetry_gone("gone".to_owned(), 0);
        }
        bench.machine.set_headroom(0, 0);
        bench.offer(SLOW..SLOW + 10);
        assert_eq!(bench.ask(), None);
        assert!(!bench.engine.is_making_room());
    }
}

#[test]
fn a_page_that_was_promoted_or_reported_of_late_is_not_demoted() {
    let mut bench = Bench::new(2, 8, Policy::default());
    bench.machine.set_headroom(0, 4);
    bench.offer(SLOW..SLOW + 4);
    bench.step();
    let promoted: BTreeSet<_> = bench.machine.promoted().into_iter().collect();
    assert_eq!(promoted.len(), 4);
    // A source that knows of fast memory reports one of its pages.
    bench.offer([OWN]);
    bench.machine.set_headroom(0, 0);
    bench.offer(SLOW + 4..SLOW + 8);
    bench.watch(|_| false);
    bench.step();
    assert_eq!(bench.machine.sent_down(), [OWN + 2]);
    // When the window is over, they may go.
    bench.now_ns += 40 * SECOND;
    bench.offer(SLOW + 4..SLOW + 8);
    bench.watch(|_| false);
    bench.step();
    let names: BTreeSet<_> = bench.machine.sent_down().into_iter().collect();
    assert!(names.contains(&OWN), "{names:x?}");
    assert!(names.intersection(&promoted).next().is_some(), "{names:x?}");
}

#[test]
fn nothing_that_nobody_maps_goes_after_a_promotion_of_such_a_page() {
    let mut bench = Bench::new(20, 8, Policy::default());
    bench.machine.hide_owners();
    bench.machine.set_headroom(0, 4);
    bench.offer(SLOW..SLOW + 4);
    bench.step();
    bench.machine.set_headroom(0, 0);
    bench.offer(SLOW + 4..SLOW + 8);
    bench.watch(|_| false);
    assert_eq!(bench.step(), []);
    bench.now_ns += 40 * SECOND;
    bench.offer(SLOW + 4..SLOW + 8);
    bench.watch(|_| false);
    bench.step();
    assert_eq!(bench.machine.sent_down().len(), 4);
}

#[test]
fn what_is_another_page_by_now_stays() {
    let mut bench = Bench::new(4, 4, Policy::default());
    bench.machine.set_headroom(0, 0);
    bench.offer(SLOW..SLOW + 4);
    bench.watch(|_| false);
    // Another page is in a frame that was watched.
    bench.machine.place(
        Folio {
            head: Pfn(OWN),
            pages: 1,
        },
        7,
    );
    bench.step();
    assert_eq!(bench.machine.sent_down(), [OWN + 2, OWN + 4, OWN + 6]);
}

#[test]
fn an_answer_is_as_good_however_late_it_comes() {
    let mut bench = Bench::new(4, 4, Policy::default());
    bench.machine.set_headroom(0, 0);
    bench.offer(SLOW..SLOW + 4);
    let watch = bench.ask().unwrap();
    let until_ns = bench.now_ns + 4 * SECOND;
    // Reading what was seen takes longer than watching did.
    bench.now_ns += 9 * SECOND;
    bench.offer(SLOW..SLOW + 4);
    let watched = Watched {
        accessed: vec![false; watch.frames.len()],
        idle_ns: watch.idle_ns,
        until_ns,
    };
    bench.answer(Some(watched));
    bench.step();
    assert_eq!(bench.machine.sent_down().len(), 4);
}

#[test]
fn telemetry_that_saw_nothing_is_asked_again_after_a_while() {
    let mut bench = Bench::new(4, 4, Policy::default());
    bench.machine.set_headroom(0, 0);
    bench.offer(SLOW..SLOW + 4);
    let first = bench.ask();
    assert!(first.is_some());
    assert_eq!(bench.ask(), None, "one question at a time");
    bench.answer(None);
    assert_eq!(bench.step(), []);
    assert_eq!(bench.ask(), None, "too soon");
    bench.now_ns += REST_NS;
    assert_eq!(bench.ask(), first);
}

#[test]
fn frames_that_processors_keep_back_are_waited_for_before_more_pages_go() {
    let mut bench = Bench::new(40, 6, Policy::default());
    let offer_and_step = |bench: &mut Bench| {
        bench.offer(SLOW..SLOW + 6);
        bench.watch(|_| false);
        bench.step();
        bench.machine.sent_down().len()
    };
    // What processors keep back of old is nothing to wait for.
    bench.machine.set_kept_back(0, 30);
    assert_eq!(offer_and_step(&mut bench), 6);
    bench.now_ns += SECOND;
    assert_eq!(offer_and_step(&mut bench), 6, "they are in the lists");
    bench.machine.set_kept_back(0, 4);
    bench.now_ns += SECOND;
    assert_eq!(offer_and_step(&mut bench), 8, "somebody took two");
    bench.machine.set_kept_back(0, 30);
    bench.now_ns += 20 * SECOND;
    assert_eq!(offer_and_step(&mut bench), 14, "nobody gives them back");
}

#[test]
fn what_stays_is_said_and_not_tried_again_soon() {
    let mut bench = Bench::new(2, 4, Policy::default());
    bench.machine.set_headroom(0, 0);
    bench.machine.hold(OWN, Fate::Busy);
    bench.offer(SLOW..SLOW + 4);
    bench.watch(|_| false);
    bench.step();
    assert_eq!(bench.machine.sent_down(), [OWN + 2]);
    let events = bench.events();
    let kept = events.iter().filter_map(|event| match &event.action {
        Action::Kept(kept) => Some((kept.folio.head.0, kept.reason)),
        _ => None,
    });
    assert_eq!(kept.collect::<Vec<_>>(), [(OWN, Rejection::Busy)]);
    bench.now_ns += SECOND;
    bench.offer(SLOW..SLOW + 4);
    bench.watch(|_| false);
    assert_eq!(bench.step(), []);
}

#[test]
fn a_batch_that_does_not_come_back_is_said() {
    let mut bench = Bench::new(2, 4, Policy::default());
    bench.machine.set_headroom(0, 0);
    bench.offer(SLOW..SLOW + 4);
    bench.watch(|_| false);
    let batch = bench
        .engine
        .next_batch(&bench.machine, bench.now_ns)
        .unwrap();
    assert_eq!(batch.map(|batch| batch.candidates.len()), Some(2));
    assert_eq!(bench.engine.batches_moving(), 1);
    bench.engine.end(bench.now_ns);
    let events = bench.events();
    let unheard = events.iter().filter(
        |event| matches!(&event.action, Action::Kept(kept) if kept.reason == Rejection::Unheard),
    );
    assert_eq!(unheard.count(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever is in use, and however much is wanted: no page in use goes, no more than lack, and as
    /// many as lack where there are enough.
    #[test]
    fn only_idle_pages_go_and_no_more_than_lack(
        used in proptest::collection::btree_set(0..60_u64, 0..60),
        hot in 1..40_u64,
        room in 0..10_u64,
        rounds in 1..6,
        batch_folios in 1..50_usize,
    ) {
        let policy = Policy { batch_folios, ..Policy::default() };
        let mut bench = Bench::new(60, hot, policy);
        let is_used = |name: u64| used.contains(&((name - OWN) / 2));
        bench.machine.set_headroom(0, 0);
        let mut lacked = 0;
        for _ in 0..rounds {
            bench.offer(SLOW..SLOW + hot);
            bench.machine.set_headroom(0, room);
            bench.watch(|name| (OWN..SLOW).contains(&name) && is_used(name));
            let before = bench.machine.sent_down().len() as u64;
            let wanted = hot.min(batch_folios as u64);
            // Only what makes room: the target stays as it is.
            if let Some(batch) = bench.engine.next_batch(&bench.machine, bench.now_ns).unwrap()
                && batch.direction == Direction::Demotion
            {
                let stop = StopFlag::new().unwrap();
                let fates = bench.machine.clone().promote_batch(&batch, &stop).unwrap();
                bench.engine.completed(&batch, &fates, bench.now_ns, bench.now_ns + 1);
            } else {
                break;
            }
            let gone = bench.machine.sent_down().len() as u64 - before;
            prop_assert!(gone <= wanted.saturating_sub(room));
            lacked += wanted.saturating_sub(room);
            bench.now_ns += REST_NS;
        }
        for name in bench.machine.sent_down() {
            prop_assert!((OWN..SLOW).contains(&name), "{name:#x} is not of the fast node");
            prop_assert!(!is_used(name), "{name:#x} is in use");
        }
        let idle = 60 - used.len() as u64;
        prop_assert!(bench.machine.sent_down().len() as u64 <= lacked.min(idle));
        if room == 0 && idle == 60 {
            prop_assert!(!bench.machine.sent_down().is_empty());
        }
    }
}

#[test]
fn a_page_is_watched_again_only_after_all_others() {
    // Nothing else than the hand keeps a page that was in use from being watched again.
    let policy = Policy {
        cool_down_ns: 0,
        ..Policy::default()
    };
    let mut bench = Bench::new(60, 2, policy);
    bench.machine.set_headroom(0, 0);
    let mut watched = Vec::new();
    let mut turns = 0;
    while watched.len() < 60 {
        bench.offer(SLOW..SLOW + 2);
        let watch = loop {
            match bench.engine.next_watch(&bench.machine, bench.now_ns) {
                Ok(Some(watch)) => break watch,
                other => assert_eq!(other.unwrap(), None),
            }
            assert!(bench.engine.is_searching());
            turns += 1;
        };
        let answer = Watched {
            accessed: vec![true; watch.frames.len()],
            idle_ns: watch.idle_ns,
            until_ns: bench.now_ns,
        };
        bench.answer(Some(answer));
        watched.extend(watch.frames.iter().map(|frame| frame.0));
        bench.now_ns += REST_NS;
    }
    // 18 at a time: the last six and the first twelve make the fourth question.
    let first: BTreeSet<_> = watched.iter().take(54).collect();
    assert_eq!(first.len(), 54, "some are watched twice before others are");
    assert_eq!(watched.iter().collect::<BTreeSet<_>>().len(), 60);
    assert!(turns > 1, "all of a large node is looked at in one go");
}

#[test]
fn a_node_without_pages_that_can_move_is_looked_at_once_and_then_rests() {
    let mut bench = Bench::new(0, 4, Policy::default());
    bench.machine.set_headroom(0, 0);
    bench
        .machine
        .set_flags(OWN, PageFlags::LRU | PageFlags::UNEVICTABLE);
    bench.offer(SLOW..SLOW + 4);
    assert_eq!(bench.ask(), None);
    assert!(!bench.engine.is_making_room());
    let reads = bench.machine.reads();
    assert_eq!(bench.ask(), None);
    assert_eq!(bench.machine.reads(), reads, "it rests");
}
