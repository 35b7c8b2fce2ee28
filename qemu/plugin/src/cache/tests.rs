// SPDX-License-Identifier: GPL-2.0-or-later
use std::collections::HashMap;

use proptest::prelude::*;

use super::model::Model;
use super::shortcuts::{FIRST_GENERATION, LAST_GENERATION};
use super::*;

mod shared;

const LINES: usize = 64;
const WAYS: usize = 4;
const SMALL: CacheLevel = CacheLevel {
    lines: LINES,
    ways: WAYS,
};
/// Lines so many bytes apart are rivals in it.
const SPAN: u64 = (LINES / WAYS) as u64 * LINE_BYTES;
const PAGE_BYTES: u64 = 4096;

/// The caches of some vCPUs, used as the plugin uses them.
struct Caches {
    all: Shortcuts,
    vcpus: Vec<(Cache, VcpuShortcuts)>,
    shared: Option<Arc<dyn SharedLevel>>,
}

impl Caches {
    fn new(vcpus: u32, private: CacheLevel, shared: Option<CacheLevel>) -> Self {
        let all = Shortcuts::new(vcpus, private.lines);
        let shared = shared.map(shared_level);
        let vcpu = |index| (Cache::new(private, shared.clone()), all.of_vcpu(index));
        let vcpus = (0..vcpus).map(vcpu).collect();
        Self { all, vcpus, shared }
    }

    fn small() -> Self {
        Self::new(1, SMALL, None)
    }

    /// What a vCPU does: look whether the access is settled, else ask for the physical address.
    fn drive_on(
        &mut self,
        vcpu: usize,
        address: u64,
        physical: u64,
        is_store: bool,
    ) -> MemoryTraffic {
        let (cache, shortcuts) = &mut self.vcpus[vcpu];
        if shortcuts.is_line_settled(address, is_store) {
            MemoryTraffic::default()
        } else {
            cache.access(shortcuts, address, physical, is_store)
        }
    }

    fn drive(&mut self, address: u64, physical: u64, is_store: bool) -> MemoryTraffic {
        self.drive_on(0, address, physical, is_store)
    }

    /// `address` is where the line is for the processor, and its shortcut no rival of others.
    fn load(&mut self, address: u64) -> MemoryTraffic {
        self.drive(0x7f00_0000_0000 + address, address, false)
    }

    fn is_settled(&self, address: u64, is_store: bool) -> bool {
        self.all.is_settled(0, address, is_store)
    }

    fn forget(&self, vcpu: usize) {
        self.vcpus[vcpu].1.forget_all();
    }

    fn clear(&mut self) {
        let (cache, shortcuts) = &mut self.vcpus[0];
        cache.drop_lines(shortcuts, &|_| true);
    }
}

fn filled(address: u64) -> MemoryTraffic {
    MemoryTraffic {
        filled: Some(address),
        ..MemoryTraffic::default()
    }
}

#[test]
fn a_line_is_filled_once_and_written_back_when_it_leaves() {
    let mut caches = Caches::small();
    let quiet = MemoryTraffic::default();
    assert_eq!(caches.drive(0x1008, 0x8008, false), filled(0x8000));
    assert_eq!(caches.drive(0x1010, 0x8010, false), quiet);
    assert!(!caches.is_settled(0x1000, true));
    assert_eq!(caches.drive(0x102f, 0x802f, true), quiet);
    assert!(caches.is_settled(0x1000, true));
    for rival in 1..WAYS as u64 {
        let address = 0x8000 + rival * SPAN;
        assert_eq!(caches.load(address), filled(address), "{rival}");
    }
    let expected = MemoryTraffic {
        written_back: [Some(0x8000), None],
        filled: Some(0x10000),
    };
    assert_eq!(caches.load(0x10000), expected);
    assert_eq!(caches.drive(0x1000, 0x8000, false), filled(0x8000));
}

/// A kernel copies pages in whatever pieces its processor likes.
#[test]
fn a_copy_between_rivals_fills_each_line_once() {
    for bytes in [1, 8] {
        let mut caches = Caches::small();
        let (from, to) = (0x10_0000, 0x20_0000);
        let mut traffic = Vec::new();
        for offset in (0..PAGE_BYTES).step_by(bytes) {
            for (address, is_store) in [(from + offset, false), (to + offset, true)] {
                traffic.push(caches.drive(address, address, is_store));
            }
        }
        // What is in the cache yet leaves.
        for line in 0..2 * LINES as u64 {
            traffic.push(caches.load(0x30_0000 + line * LINE_BYTES));
        }
        for line in (0..PAGE_BYTES).step_by(64) {
            let count = |matches: &dyn Fn(&MemoryTraffic) -> bool| {
                traffic.iter().filter(|it| matches(it)).count()
            };
            for page in [from, to] {
                assert_eq!(count(&|it| it.filled == Some(page + line)), 1, "{line:#x}");
            }
            assert_eq!(count(&|it| it.written_back[0] == Some(from + line)), 0);
            assert_eq!(count(&|it| it.written_back[0] == Some(to + line)), 1);
        }
    }
}

#[test]
fn rivals_that_fit_into_their_set_are_answered_without_their_physical_address() {
    let mut caches = Caches::small();
    let lines: Vec<_> = (1..WAYS as u64).map(|line| line * SPAN).collect();
    for &line in &lines {
        caches.drive(line, line, true);
    }
    for _ in 0..3 {
        for &line in &lines {
            assert!(caches.is_settled(line, true), "{line:#x}");
        }
    }
}

#[test]
fn nothing_is_settled_in_an_empty_cache() {
    let mut caches = Caches::small();
    for address in [0, 0x1000, u64::MAX] {
        assert!(!caches.is_settled(address, false));
    }
    caches.drive(0, 0, true);
    caches.clear();
    assert!(!caches.is_settled(0, false));
    assert_eq!(caches.drive(0, 0, false), filled(0));
}

/// An access may reach into the next line, and nobody has been asked how long it is.
#[test]
fn the_end_of_a_line_is_settled_with_the_next_line_or_the_page() {
    let mut caches = Caches::small();
    caches.drive(0x1000, 0x8000, false);
    assert!(caches.is_settled(0x1030, false), "at most 16 bytes");
    assert!(!caches.is_settled(0x1031, false));
    caches.drive(0x1040, 0x8040, false);
    assert!(caches.is_settled(0x1031, false));
    assert!(caches.is_settled(0x103f, false));
    assert!(!caches.is_settled(0x103f, true), "both are clean");
    caches.drive(0x1000, 0x8000, true);
    assert!(!caches.is_settled(0x103f, true), "the second is clean");
    caches.drive(0x1040, 0x8040, true);
    assert!(caches.is_settled(0x103f, true));
    caches.drive(0x1fc0, 0x8fc0, false);
    assert!(
        caches.is_settled(0x1fff, false),
        "the next page is not seen"
    );
}

#[test]
fn kernel_and_user_addresses_are_told_apart() {
    let mut caches = Caches::small();
    caches.drive(0x0000_7fff_0000_0000, 0x8000, false);
    assert!(caches.is_settled(0x0000_7fff_0000_0000, false));
    assert!(!caches.is_settled(0xffff_ffff_0000_0000, false));
    assert!(!caches.is_settled(0x00ff_7fff_0000_0000, false));
}

#[test]
fn the_shortcuts_of_vcpus_are_told_apart() {
    let mut caches = Caches::new(3, SMALL, None);
    // The last place of one block, and the first of the next.
    for address in [0x1000 - LINE_BYTES, 0x1000] {
        caches.drive_on(1, address, address, false);
        let settled = [0, 1, 2, 3].map(|vcpu| caches.all.is_settled(vcpu, address, false));
        assert_eq!(settled, [false, true, false, false], "{address:#x}");
    }
    caches.forget(0);
    caches.forget(2);
    assert!(caches.all.is_settled(1, 0x1000, false));
}

#[test]
fn generations_come_round_without_old_shortcuts() {
    let mut caches = Caches::small();
    caches.drive(0x1000, 0x8000, true);
    for _ in 0..2 * (LAST_GENERATION / FIRST_GENERATION) {
        caches.forget(0);
        assert!(!caches.is_settled(0x1000, false));
    }
    let again = caches.drive(0x1000, 0x8000, false);
    assert_eq!(again, MemoryTraffic::default(), "the line was never lost");
}

/// A vCPU that is called has a slow access next, whatever it forgets meanwhile; nothing else changes.
#[test]
fn a_call_reaches_each_vcpu_once() {
    let mut caches = Caches::new(2, SMALL, None);
    for vcpu in 0..2 {
        caches.drive_on(vcpu, 0x1000, 0x8000, true);
    }
    let is_settled = |caches: &Caches, vcpu| caches.all.is_settled(vcpu, 0x1000, true);
    for _ in 0..100 {
        assert!(is_settled(&caches, 0) && is_settled(&caches, 1));
        caches.all.call_all();
        assert!(!is_settled(&caches, 0) && !is_settled(&caches, 1));
        caches.forget(1);
        assert!(!is_settled(&caches, 1));
        assert!(caches.vcpus[0].1.take_call() && !caches.vcpus[0].1.take_call());
        assert!(is_settled(&caches, 0));
        assert!(caches.vcpus[1].1.take_call() && !caches.vcpus[1].1.take_call());
        assert!(!is_settled(&caches, 1), "it was forgotten");
        let again = caches.drive_on(1, 0x1000, 0x8000, true);
        assert_eq!(again, MemoryTraffic::default());
    }
}

#[derive(Debug, Clone)]
enum Step {
    Access {
        vcpu: usize,
        page: usize,
        offset: u64,
        is_store: bool,
    },
    Remap {
        page: usize,
        frame: u64,
    },
    Forget,
    /// Lines of one frame leave without a word, as when a device is armed.
    Drop {
        frame: u64,
    },
}

const PAGES: usize = 6;
const FRAMES: u64 = 6;

fn step(vcpus: usize) -> impl Strategy<Value = Step> {
    // Some places are hit more often than others.
    let offset = prop_oneof![0..PAGE_BYTES, 0..4 * LINE_BYTES, Just(SPAN)];
    let access = (0..vcpus, 0..PAGES, offset, any::<bool>());
    prop_oneof![
        40 => access.prop_map(|(vcpu, page, offset, is_store)| Step::Access {
            vcpu,
            page,
            offset,
            is_store,
        }),
        2 => (0..PAGES, 0..FRAMES).prop_map(|(page, frame)| Step::Remap { page, frame }),
        2 => Just(Step::Forget),
        1 => (0..FRAMES).prop_map(|frame| Step::Drop { frame }),
    ]
}

fn shape(lines: std::ops::RangeInclusive<u32>) -> impl Strategy<Value = CacheLevel> {
    let ways = prop::sample::select(vec![4, 8, 16]);
    (lines, ways).prop_map(|(lines, ways)| CacheLevel {
        lines: 1 << lines,
        ways,
    })
}

/// The caches and the model of them, and where the pages are.
struct Compared {
    caches: Caches,
    model: Model,
    frames: [u64; PAGES],
}

impl Compared {
    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        const BASE: u64 = 0x1_0000_0000;
        match step {
            Step::Access {
                vcpu,
                page,
                offset,
                is_store,
            } => {
                let frame = self.frames[page];
                let physical = BASE + frame * PAGE_BYTES + offset;
                let address = 0x7f00_0000_0000 + page as u64 * PAGE_BYTES + offset;
                let traffic = self.caches.drive_on(vcpu, address, physical, is_store);
                prop_assert_eq!(traffic, self.model.access(vcpu, physical, is_store));
            }
            Step::Remap { page, frame } => {
                self.frames[page] = frame;
                (0..self.caches.vcpus.len()).for_each(|vcpu| self.caches.forget(vcpu));
            }
            Step::Forget => self.caches.forget(0),
            Step::Drop { frame } => {
                let is_dropped = |address: u64| (address - BASE) / PAGE_BYTES == frame;
                for (vcpu, (cache, shortcuts)) in self.caches.vcpus.iter_mut().enumerate() {
                    cache.drop_lines(shortcuts, &is_dropped);
                    self.model.drop_private(vcpu, is_dropped);
                }
                if let Some(shared) = &self.caches.shared {
                    shared.drop_lines(&is_dropped);
                }
                self.model.drop_shared(is_dropped);
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever virtual pages share a frame, and however often they are moved, one vCPU's caches
    /// cause exactly the traffic of caches that know physical addresses only; so do those of several
    /// vCPUs that take turns.
    #[test]
    fn traffic_is_that_of_the_model(
        private in shape(6..=7),
        shared in prop::option::of(shape(6..=9)),
        vcpus in 1..=3_usize,
        steps in prop::collection::vec(step(3), 0..2000),
    ) {
        let mut compared = Compared {
            caches: Caches::new(u32::try_from(vcpus).unwrap(), private, shared),
            model: Model::new(vcpus, private, shared),
            frames: [0, 1, 2, 3, 4, 5],
        };
        for mut step in steps {
            if let Step::Access { vcpu, .. } = &mut step {
                *vcpu %= vcpus;
            }
            compared.step(step)?;
        }
    }

}

proptest! {
    /// Misses drive out what is not accessed, whatever was before and whatever else is hit meanwhile.
    #[test]
    fn a_line_stays_through_the_next_miss_and_leaves_with_the_sixth(
        before in prop::collection::vec(0..8_u64, 0..50),
        hits in prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 0..4), 6),
    ) {
        let mut caches = Caches::small();
        let load = |caches: &mut Caches, line: u64| caches.load(line * SPAN).filled.is_some();
        for line in before {
            load(&mut caches, line);
        }
        let watched = 100;
        load(&mut caches, watched);
        load(&mut caches, 101);
        prop_assert!(!load(&mut caches, watched), "the next miss drove it out");
        let mut others = vec![101];
        for hits in hits {
            for hit in hits {
                // A line that has left makes a miss more.
                load(&mut caches, *hit.get(&others));
            }
            let next = 102 + others.len() as u64;
            others.push(next);
            prop_assert!(load(&mut caches, next));
        }
        prop_assert!(load(&mut caches, watched), "six misses left it");
    }
}
