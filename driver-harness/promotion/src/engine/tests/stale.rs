// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Frames that are given to other pages while late reports still name them.
//!
//! Hot pages are accessed all the time, cold ones once, when they are made. A device reports frames
//! with several accesses, some time after these were made, as its own lateness has it. Whatever happens
//! in whatever order, no cold page may be promoted.

use super::*;

/// Frames of the slow node that pages live on.
const FRAMES: u64 = 12;
/// Accesses that make a frame hot: more than a cold page ever has.
const THRESHOLD: u64 = 3;
/// Names of cold pages begin here.
const COLD: u64 = 1 << 32;

/// A device that tells what was accessed, late.
#[derive(Debug)]
struct LateDevice {
    lateness_ns: u64,
    last_poll_ns: u64,
    /// When an access becomes known, and its frame.
    pending: Vec<(u64, u64)>,
}

impl LateDevice {
    fn access(&mut self, frame: u64, times: u64, now_ns: u64, delay_ns: u64) {
        let known_ns = now_ns + delay_ns.min(self.lateness_ns);
        self.pending.extend((0..times).map(|_| (known_ns, frame)));
    }

    fn poll(&mut self, now_ns: u64) -> Report {
        let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
        self.pending.retain(|&(known_ns, frame)| {
            let is_known = known_ns <= now_ns;
            if is_known {
                *counts.entry(frame).or_default() += 1;
            }
            !is_known
        });
        let hot = counts.into_iter().filter(|(_, count)| *count >= THRESHOLD);
        let report = Report {
            handed_out_ns: now_ns,
            // What became known since the last time was made at most so long before.
            earliest_access_ns: self.last_poll_ns.saturating_sub(self.lateness_ns),
            extents: hot.map(|(frame, count)| extent(frame, 1, count)).collect(),
            ..Report::default()
        };
        self.last_poll_ns = now_ns;
        report
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// Time passes, and hot pages are accessed.
    Traffic {
        pass_ns: u64,
        delay_ns: u64,
    },
    /// A cold page is made on the first free frame.
    Allocate {
        delay_ns: u64,
    },
    Poll,
    /// The engine makes a batch.
    Depart,
    /// The actuator moves its pages, and says so later.
    Move,
    /// The engine is told.
    Arrive {
        pass_ns: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let time = || 1..60_u64;
    prop_oneof![
        3 => (time(), 0..200_u64).prop_map(|(pass_ns, delay_ns)| Step::Traffic { pass_ns, delay_ns }),
        3 => (0..200_u64).prop_map(|delay_ns| Step::Allocate { delay_ns }),
        2 => Just(Step::Poll),
        2 => Just(Step::Depart),
        2 => Just(Step::Move),
        2 => time().prop_map(|pass_ns| Step::Arrive { pass_ns }),
    ]
}

/// What decides whether a report's frame is taken for what is there now.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Rule {
    /// The engine as it is.
    Engine,
    /// As it was: a report is of no use for two epochs from the time when a batch was made on.
    TwoEpochs { epoch_ns: u64 },
}

struct World {
    bench: Bench,
    device: LateDevice,
    now_ns: u64,
    cold: u64,
    flight: Option<(Batch, u64, Option<Vec<Fate>>)>,
    rule: Rule,
    departed: BTreeMap<u64, u64>,
}

impl World {
    fn new(lateness_ns: u64, rule: Rule) -> World {
        // Every second frame has a hot page, the others are free.
        let machine = SimulatedMachine::with_pages((SLOW..SLOW + FRAMES).step_by(2));
        (SLOW + 1..SLOW + FRAMES).step_by(2).for_each(|frame| {
            machine.set_flags(frame, PageFlags::BUDDY);
        });
        World {
            bench: Bench::new(machine, prompt()),
            device: LateDevice {
                lateness_ns,
                last_poll_ns: 1000,
                pending: Vec::new(),
            },
            now_ns: 1000,
            cold: COLD,
            flight: None,
            rule,
            departed: BTreeMap::new(),
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Traffic { pass_ns, delay_ns } => {
                self.now_ns += pass_ns;
                for frame in SLOW..SLOW + FRAMES {
                    let is_hot = self
                        .bench
                        .machine
                        .name_at(frame)
                        .is_some_and(|name| name < COLD);
                    if is_hot {
                        self.device.access(frame, THRESHOLD, self.now_ns, delay_ns);
                    }
                }
            }
            Step::Allocate { delay_ns } => self.allocate(delay_ns),
            Step::Poll => self.poll(),
            Step::Depart if self.flight.is_none() => {
                let machine = self.bench.machine.clone();
                let batch = self.bench.engine.next_batch(&machine, self.now_ns).unwrap();
                self.flight = batch.map(|batch| (batch, self.now_ns, None));
                if let Some((batch, ..)) = &self.flight {
                    let heads = batch.heads().into_iter();
                    self.departed
                        .extend(heads.map(|head| (head.0, self.now_ns)));
                }
            }
            Step::Move => {
                if let Some((batch, _, fates @ None)) = &mut self.flight {
                    let stop = StopFlag::new().unwrap();
                    *fates = self.bench.machine.promote_batch(batch, &stop).ok();
                }
            }
            Step::Arrive { pass_ns } => {
                if let Some((batch, started_ns, Some(fates))) = &self.flight {
                    self.now_ns += pass_ns;
                    self.bench
                        .engine
                        .completed(batch, fates, *started_ns, self.now_ns);
                    self.flight = None;
                }
            }
            Step::Depart => {}
        }
    }

    /// A cold page is made, and accessed that once.
    fn allocate(&mut self, delay_ns: u64) {
        let machine = &self.bench.machine;
        let free = (SLOW..SLOW + FRAMES).find(|&frame| machine.name_at(frame).is_none());
        if let Some(frame) = free {
            let head = Pfn(frame);
            machine.place(Folio { head, pages: 1 }, self.cold);
            self.cold += 1;
            self.device.access(frame, 1, self.now_ns, delay_ns);
        }
    }

    fn poll(&mut self) {
        let mut report = self.device.poll(self.now_ns);
        if let Rule::TwoEpochs { epoch_ns } = self.rule {
            let is_settled = |extent: &HotExtent| {
                let Place::Frames { start, .. } = extent.place else {
                    return false;
                };
                let moved_ns = self.departed.get(&start.0);
                moved_ns.is_none_or(|moved_ns| self.now_ns - moved_ns >= 2 * epoch_ns)
            };
            report.extents.retain(is_settled);
            report.earliest_access_ns = self.now_ns;
            // It knew nothing of moves that go on.
            self.bench.engine.settling = Default::default();
        }
        let machine = self.bench.machine.clone();
        let offered = self
            .bench
            .engine
            .offer(SOURCE, &report, Health::Good, &machine, self.now_ns);
        offered.unwrap();
    }

    fn cold_promoted(&self) -> usize {
        self.bench
            .promoted()
            .iter()
            .filter(|name| **name >= COLD)
            .count()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_cold_page_is_promoted_however_late_the_device(
        lateness_ns in 0..200_u64,
        steps in proptest::collection::vec(step(), 1..150),
    ) {
        let mut world = World::new(lateness_ns, Rule::Engine);
        for step in steps {
            world.take(step);
            prop_assert_eq!(world.cold_promoted(), 0);
        }
    }
}

/// A batch takes longer than two epochs, and the device is late by one.
const SLOW_BATCH: [Step; 12] = [
    Step::Traffic {
        pass_ns: 10,
        delay_ns: 0,
    },
    Step::Poll,
    Step::Depart,
    Step::Traffic {
        pass_ns: 150,
        delay_ns: 100,
    },
    Step::Move,
    Step::Arrive { pass_ns: 100 },
    Step::Allocate { delay_ns: 0 },
    Step::Poll,
    Step::Depart,
    Step::Move,
    Step::Arrive { pass_ns: 1 },
    Step::Poll,
];

#[test]
fn a_margin_of_time_from_the_batchs_beginning_is_not_enough() {
    let cold_promoted = |rule| {
        let mut world = World::new(100, rule);
        SLOW_BATCH.into_iter().for_each(|step| world.take(step));
        (world.cold_promoted(), world.bench.promoted().len())
    };
    let hot = usize::try_from(FRAMES / 2).unwrap();
    assert_eq!(cold_promoted(Rule::Engine), (0, hot));
    assert_eq!(
        cold_promoted(Rule::TwoEpochs { epoch_ns: 100 }),
        (1, hot + 1)
    );
}

#[test]
fn a_frame_that_is_hot_again_by_itself_is_promoted_in_time() {
    let mut world = World::new(50, Rule::Engine);
    SLOW_BATCH.into_iter().for_each(|step| world.take(step));
    // A page that is hot by itself comes to a frame that others left.
    world.bench.machine.place(
        Folio {
            head: Pfn(SLOW),
            pages: 1,
        },
        5,
    );
    for _ in 0..20 {
        world.take(Step::Traffic {
            pass_ns: 20,
            delay_ns: 50,
        });
        [
            Step::Poll,
            Step::Depart,
            Step::Move,
            Step::Arrive { pass_ns: 1 },
        ]
        .into_iter()
        .for_each(|step| world.take(step));
    }
    assert!(world.bench.promoted().contains(&5));
}
