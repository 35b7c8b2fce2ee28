// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The way of hot pages through the crate, on a machine whose pages move at once.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use chmu_machine::clock;
use chmu_machine::memory::PAGE_BYTES;
use chmu_machine::memory::page_flags::{PageFlags, PageFlagsError};
use chmu_machine::node::NodeId;
use chmu_machine::sysfs_file::SysfsError;
use chmu_machine::topology::Topology;
use chmu_machine::watermarks::Headroom;
use chmu_spec::address::Pfn;
use proptest::prelude::*;

use super::*;
use crate::actuator::{Actuator, ActuatorError, Limits};
use crate::report::{Facts, HotExtent, Knowledge, Place, Report, SourceKind, Weight, WeightKind};
use crate::source::{HotnessSource, SourceError};

/// The first frame of the guest's node 1; node 0 has frame 0.
const SLOW: u64 = 0x10_0000;

/// A sysfs tree of a guest: node 0 with processors, node 1 the CXL memory from 4 GiB on.
fn guest() -> tempfile::TempDir {
    let sysfs = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = sysfs.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("devices/system/node/online", "0-1\n");
    write("devices/system/node/has_cpu", "0\n");
    write("devices/system/node/has_memory", "0-1\n");
    for (node, distance, free) in [(0, "10 20", 1_900_000), (1, "20 10", 1_048_576)] {
        write(
            &format!("devices/system/node/node{node}/distance"),
            distance,
        );
        write(
            &format!("devices/system/node/node{node}/meminfo"),
            &format!("Node {node} MemTotal:  2097152 kB\nNode {node} MemFree:  {free} kB\n"),
        );
        write(
            &format!("devices/system/node/node{node}/access1/initiators/node0/uevent"),
            "",
        );
    }
    write("devices/system/memory/block_size_bytes", "8000000\n");
    for block in 0..16 {
        write(
            &format!("devices/system/node/node0/memory{block}/state"),
            "online",
        );
    }
    for block in 32..40 {
        write(
            &format!("devices/system/node/node1/memory{block}/state"),
            "online",
        );
    }
    write(
        "devices/virtual/memory_tiering/memory_tier4/nodelist",
        "0\n",
    );
    write(
        "devices/virtual/memory_tiering/memory_tier37/nodelist",
        "1\n",
    );
    sysfs
}

static TOPOLOGY: LazyLock<Topology> = LazyLock::new(|| Topology::read(guest().path()).unwrap());

/// A machine in which pages move at once, for good and for all to see.
#[derive(Debug, Default)]
struct World {
    flags: BTreeMap<u64, PageFlags>,
    pinned: BTreeSet<u64>,
    /// Pages that only appear on the reclaim lists after these are brought up to date.
    kept_back: BTreeSet<u64>,
    batches: Vec<(Vec<u64>, NodeId)>,
    topology: Topology,
    headroom: Headroom,
}

#[derive(Debug, Clone, Default)]
struct Fake(Arc<Mutex<World>>);

impl Fake {
    fn with_pages(frames: impl IntoIterator<Item = u64>) -> Fake {
        let flags = PageFlags::LRU | PageFlags::ANON;
        Fake(Arc::new(Mutex::new(World {
            flags: frames.into_iter().map(|frame| (frame, flags)).collect(),
            topology: TOPOLOGY.clone(),
            ..World::default()
        })))
    }

    fn change(&self, change: impl FnOnce(&mut World)) {
        change(&mut self.0.lock().unwrap());
    }

    fn promoter(&self, policy: Policy) -> Promoter {
        Promoter::new(Box::new(self.clone()), Box::new(self.clone()), policy)
    }

    fn moved(&self) -> BTreeSet<u64> {
        let world = self.0.lock().unwrap();
        let gone = |flags: &PageFlags| flags.contains(PageFlags::BUDDY);
        let frames = world.flags.iter().filter(|(_, flags)| gone(flags));
        frames.map(|(&frame, _)| frame).collect()
    }
}

impl Machine for Fake {
    fn topology(&self) -> Result<Topology, SysfsError> {
        Ok(self.0.lock().unwrap().topology.clone())
    }

    fn headroom(&self) -> Result<Headroom, SysfsError> {
        Ok(self.0.lock().unwrap().headroom.clone())
    }

    fn flags(&self, frame: Pfn) -> Result<PageFlags, PageFlagsError> {
        let world = self.0.lock().unwrap();
        let flags = world.flags.get(&frame.0).copied();
        match world.kept_back.contains(&frame.0) {
            true => Ok(PageFlags::ANON),
            false => Ok(flags.unwrap_or(PageFlags::NOPAGE)),
        }
    }

    fn drain_reclaim_batches(&self) -> io::Result<()> {
        self.0.lock().unwrap().kept_back.clear();
        Ok(())
    }
}

impl Actuator for Fake {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn limits(&self) -> Limits {
        Limits {
            frames_max: 8,
            sees_unmapped: true,
            obeys_cpusets: true,
            is_dry: false,
        }
    }

    fn promote_batch(&mut self, batch: &Batch, _: &StopFlag) -> Result<Vec<Fate>, ActuatorError> {
        let mut world = self.0.lock().unwrap();
        let mut fates = Vec::new();
        for Candidate { folio, .. } in &batch.candidates {
            if world.pinned.contains(&folio.head.0) {
                fates.push(Fate::Stayed);
                continue;
            }
            for frame in folio.head.0..folio.end().0 {
                world.flags.insert(frame, PageFlags::BUDDY);
            }
            fates.push(Fate::Moved {
                node: batch.route.target,
            });
        }
        let heads = batch.heads().iter().map(|frame| frame.0).collect();
        world.batches.push((heads, batch.route.target));
        Ok(fates)
    }
}

/// Nobody says stop.
fn running() -> StopFlag {
    StopFlag::new().unwrap()
}

/// Steps until no page waits.
fn promote_all(promoter: &mut Promoter) -> Outcome {
    let mut total = promoter.step(0, &running()).unwrap();
    while promoter.waiting() > 0 {
        total.add(&promoter.step(0, &running()).unwrap());
    }
    total
}

fn rejected(outcome: &Outcome, rejection: Rejection) -> u64 {
    outcome.rejected.get(&rejection).copied().unwrap_or(0)
}

proptest! {
    #[test]
    fn exactly_the_offered_pages_of_the_slow_node_move(
        offered in proptest::collection::vec(0..60_u64, 0..80),
        fast in proptest::collection::vec(0..60_u64, 0..10),
    ) {
        let fake = Fake::with_pages((0..60).chain(SLOW..SLOW + 60));
        let mut promoter = fake.promoter(Policy::default());
        for frame in &offered {
            promoter.offer_frame(Pfn(SLOW + frame), 1, 0);
        }
        for frame in &fast {
            promoter.offer_frame(Pfn(*frame), 1, 0);
        }
        let outcome = promote_all(&mut promoter);
        let expected: BTreeSet<_> = offered.iter().map(|frame| SLOW + frame).collect();
        prop_assert_eq!(fake.moved(), expected.clone());
        prop_assert_eq!(outcome.promoted(), expected.len() as u64);
        let fast: BTreeSet<_> = fast.into_iter().collect();
        prop_assert_eq!(rejected(&outcome, Rejection::TopTier), fast.len() as u64);
        let world = fake.0.lock().unwrap();
        for (frames, target) in &world.batches {
            prop_assert!((1..=8).contains(&frames.len()));
            prop_assert_eq!(*target, NodeId(0));
        }
        prop_assert_eq!(outcome.batches, world.batches.len() as u64);
    }
}

#[test]
fn frames_that_cannot_move_are_counted_by_reason() {
    let fake = Fake::with_pages(SLOW..SLOW + 5);
    fake.change(|world| {
        world.flags.insert(SLOW, PageFlags::BUDDY);
        world.flags.insert(SLOW + 1, PageFlags::empty());
        world
            .flags
            .insert(SLOW + 2, PageFlags::HUGE | PageFlags::COMPOUND_HEAD);
        world.flags.insert(0x9_0000, PageFlags::LRU);
    });
    let policy = Policy {
        minimum_count: 2,
        ..Policy::default()
    };
    let mut promoter = fake.promoter(policy);
    for frame in (SLOW..SLOW + 4).chain([0x9_0000, 1 << 50]) {
        promoter.offer_frame(Pfn(frame), 2, 0);
    }
    promoter.offer_frame(Pfn(SLOW + 4), 1, 0);
    let outcome = promoter.step(0, &running()).unwrap();
    for reason in [
        Rejection::Free,
        Rejection::NotLru,
        Rejection::Hugetlb,
        Rejection::UnknownNode,
        Rejection::NoPage,
        Rejection::BelowMinimumHeat,
    ] {
        assert_eq!(rejected(&outcome, reason), 1, "{reason:?}");
    }
    assert_eq!((outcome.rejected(), outcome.promoted()), (6, 1));
    assert_eq!(fake.moved(), BTreeSet::from([SLOW, SLOW + 3]));
}

#[test]
fn a_huge_page_moves_once_as_a_whole() {
    let fake = Fake::with_pages(SLOW..SLOW + 600);
    fake.change(|world| {
        let thp = PageFlags::LRU | PageFlags::THP;
        world.flags.insert(SLOW, thp | PageFlags::COMPOUND_HEAD);
        for frame in SLOW + 1..SLOW + 512 {
            world
                .flags
                .insert(frame, PageFlags::THP | PageFlags::COMPOUND_TAIL);
        }
    });
    let mut promoter = fake.promoter(Policy::default());
    for frame in [SLOW + 511, SLOW + 7, SLOW, SLOW + 513] {
        promoter.offer_frame(Pfn(frame), 1, 0);
    }
    let outcome = promoter.step(0, &running()).unwrap();
    assert_eq!((outcome.pages_selected, outcome.promoted()), (513, 513));
    let world = fake.0.lock().unwrap();
    assert_eq!(world.batches, [(vec![SLOW, SLOW + 513], NodeId(0))]);
}

#[test]
fn a_tail_without_head_is_no_candidate() {
    let fake = Fake::with_pages(SLOW..SLOW + 2);
    fake.change(|world| {
        world.flags.insert(SLOW + 1, PageFlags::COMPOUND_TAIL);
    });
    let mut promoter = fake.promoter(Policy::default());
    promoter.offer_frame(Pfn(SLOW + 1), 1, 0);
    let outcome = promoter.step(0, &running()).unwrap();
    assert_eq!(rejected(&outcome, Rejection::NotLru), 1);
}

#[test]
fn pages_kept_back_by_a_processor_are_found() {
    let fake = Fake::with_pages(SLOW..SLOW + 2);
    fake.change(|world| world.kept_back = BTreeSet::from([SLOW]));
    let mut promoter = fake.promoter(Policy::default());
    promoter.offer_frame(Pfn(SLOW), 1, 0);
    assert_eq!(promoter.step(0, &running()).unwrap().promoted(), 1);
}

#[test]
fn a_page_that_stays_is_tried_twice() {
    let fake = Fake::with_pages(SLOW..SLOW + 2);
    fake.change(|world| world.pinned = BTreeSet::from([SLOW]));
    let mut promoter = fake.promoter(Policy::default());
    promoter.offer_frame(Pfn(SLOW), 1, 0);
    promoter.offer_frame(Pfn(SLOW + 1), 1, 0);
    let first = promoter.step(0, &running()).unwrap();
    assert_eq!(
        (first.promoted(), first.rejected(), promoter.waiting()),
        (1, 0, 1)
    );
    let second = promoter.step(1, &running()).unwrap();
    assert_eq!(rejected(&second, Rejection::Stayed), 1);
    assert_eq!((promoter.waiting(), second.batches), (0, 1));
}

#[test]
fn reports_about_pages_that_have_just_moved_are_dropped() {
    let fake = Fake::with_pages(SLOW..SLOW + 2);
    let policy = Policy {
        settle_ns: 100,
        ..Policy::default()
    };
    let mut promoter = fake.promoter(policy);
    promoter.offer_frame(Pfn(SLOW), 1, 0);
    promoter.step(0, &running()).unwrap();
    // The frame is given to a new page.
    fake.change(|world| {
        world.flags.insert(SLOW, PageFlags::LRU);
    });
    promoter.offer_frame(Pfn(SLOW), 1, 99);
    let outcome = promoter.step(99, &running()).unwrap();
    assert_eq!(rejected(&outcome, Rejection::RecentlyMoved), 1);
    assert_eq!(outcome.promoted(), 0);
    promoter.offer_frame(Pfn(SLOW), 1, 100);
    assert_eq!(promoter.step(100, &running()).unwrap().promoted(), 1);
}

#[test]
fn a_full_target_takes_no_more() {
    let fake = Fake::with_pages(SLOW..SLOW + 8);
    fake.change(|world| {
        world.headroom = Headroom::of([(NodeId(0), 3 * PAGE_BYTES)]);
    });
    let mut promoter = fake.promoter(Policy::default());
    for frame in SLOW..SLOW + 8 {
        promoter.offer_frame(Pfn(frame), frame, 0);
    }
    let outcome = promoter.step(0, &running()).unwrap();
    assert_eq!(rejected(&outcome, Rejection::TargetFull), 5);
    assert_eq!(fake.moved(), (SLOW + 5..SLOW + 8).collect());
}

#[test]
fn the_rate_leaves_the_colder_pages_waiting() {
    let fake = Fake::with_pages(SLOW..SLOW + 100);
    let policy = Policy {
        pages_per_second: Some(40),
        ..Policy::default()
    };
    let mut promoter = fake.promoter(policy);
    for frame in 0..100 {
        promoter.offer_frame(Pfn(SLOW + frame), frame, 0);
    }
    // No more than the actuator takes at once, then the rest of the first quarter second's share.
    assert_eq!(promoter.step(0, &running()).unwrap().promoted(), 8);
    assert_eq!(promoter.step(0, &running()).unwrap().promoted(), 2);
    assert_eq!(promoter.step(0, &running()).unwrap(), Outcome::default());
    assert_eq!(
        promoter.step(100_000_000, &running()).unwrap().promoted(),
        4
    );
    assert_eq!(fake.moved(), (SLOW + 86..SLOW + 100).collect());
    assert_eq!(promoter.waiting(), 86);
}

#[test]
fn a_caller_who_knows_the_target_names_it() {
    let fake = Fake::with_pages((0..2).chain(SLOW..SLOW + 2));
    let policy = Policy {
        destination: Destination::Node(NodeId(1)),
        ..Policy::default()
    };
    let mut promoter = fake.promoter(policy);
    promoter.offer_frame(Pfn(0), 1, 0);
    promoter.offer_frame(Pfn(SLOW), 1, 0);
    let outcome = promoter.step(0, &running()).unwrap();
    assert_eq!(rejected(&outcome, Rejection::AlreadyThere), 1);
    let route = Route {
        source: NodeId(0),
        target: NodeId(1),
    };
    assert_eq!(outcome.pages_promoted, BTreeMap::from([(route, 1)]));
}

#[test]
fn outcomes_add_up() {
    let fake = Fake::with_pages(SLOW..SLOW + 20);
    let mut promoter = fake.promoter(Policy::default());
    let mut total = Outcome::default();
    for frame in [SLOW, SLOW + 1, 1 << 50] {
        promoter.offer_frame(Pfn(frame), 1, 0);
        total.add(&promoter.step(0, &running()).unwrap());
    }
    assert_eq!(
        (total.promoted(), total.batches, total.rejected()),
        (2, 2, 1)
    );
}

/// Hands out what it was given, then nothing.
#[derive(Debug)]
struct Script {
    facts: Facts,
    reports: Vec<Report>,
}

impl Script {
    fn new(reports: Vec<Report>) -> Script {
        let facts = Facts {
            name: "script".into(),
            kind: SourceKind::Stream,
            unit_bytes: None,
            granted_epoch_ns: None,
            wished_epoch_ns: None,
            knows: Knowledge::default(),
            counts: WeightKind::Accesses,
        };
        Script { facts, reports }
    }
}

impl HotnessSource for Script {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn poll(&mut self, _: u64, _: &StopFlag) -> Result<Report, SourceError> {
        Ok(self.reports.pop().unwrap_or_default())
    }
}

#[test]
fn what_a_source_reports_is_promoted_until_the_end() {
    let fake = Fake::with_pages(SLOW..SLOW + 20);
    fake.change(|world| world.pinned = BTreeSet::from([SLOW]));
    let mut promoter = fake.promoter(Policy::default());
    let unit = |frame: u64, pages: u64| HotExtent {
        place: Place::Frames {
            start: Pfn(frame),
            pages,
        },
        weight: Weight::accesses(5),
        sharing_pages: pages,
        unit: None,
    };
    let report = |extents: Vec<HotExtent>| Report {
        extents,
        ..Report::default()
    };
    let mut source = Script::new(vec![
        report(vec![unit(SLOW + 8, 2)]),
        report(vec![unit(SLOW, 4), unit(SLOW + 3, 1)]),
    ]);
    let mut recorder = Recorder::new("script", promoter.actuator(), 1, 0);
    let steps = Cell::new(0);
    let is_over = |_: &Recorder| {
        steps.set(steps.get() + 1);
        steps.get() > 4
    };
    promote_reported(
        &mut source,
        &mut promoter,
        &mut recorder,
        Duration::ZERO,
        &running(),
        is_over,
    )
    .unwrap();
    let report = recorder.finish(clock::monotonic_ns());
    let expected = [1, 2, 3, 8, 9].map(|page| SLOW + page);
    assert_eq!(fake.moved(), BTreeSet::from(expected));
    assert_eq!((report.units_reported, report.pages_promoted), (3, 5));
    assert_eq!(report.rejected[&Rejection::Stayed], 1);
    assert!(report.first_report_monotonic_ns <= report.first_promotion_monotonic_ns);
}

#[test]
fn a_list_is_promoted_to_its_end() {
    let fake = Fake::with_pages(SLOW..SLOW + 20);
    fake.change(|world| world.pinned = BTreeSet::from([SLOW]));
    let mut promoter = fake.promoter(Policy::default());
    for frame in SLOW..SLOW + 10 {
        promoter.offer_frame(Pfn(frame), u64::MAX, 0);
    }
    let mut recorder = Recorder::new("list", promoter.actuator(), 1, 0);
    promote_waiting(&mut promoter, &mut recorder, &running()).unwrap();
    let report = recorder.finish(clock::monotonic_ns());
    assert_eq!((report.pages_promoted, report.pages_waiting), (9, 0));
    assert_eq!(report.rejected[&Rejection::Stayed], 1);
}
