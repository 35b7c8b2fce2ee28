// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Random use of a whole block, step by step against the naive model.

use chmu_model::{Access, Capabilities, CounterWidths, Quirk};
use chmu_spec::address::Dpa;
use chmu_spec::chmu::{EpochType, Mode};
use chmu_spec::epoch::{EpochLength, EpochScale};
use chmu_spec::request::{AccessKind, RequestFilter, RequestFilters};
use chmu_spec::unit_size::UnitSize;
use proptest::prelude::*;

use super::fixture::{Bench, CAPACITY_BYTES, Setup};
use super::oracle::Oracle;

/// What a driver or the memory's users do.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Write {
        instance: u8,
        offset: u64,
        data: Vec<u8>,
    },
    Configure(u8, Setup),
    Enable(u8),
    Disable(u8),
    Reset(u8),
    Access(Vec<Access>),
    /// Time passes, and the block is told.
    Pass(u64),
    /// Time passes, and the block hears of it with the next step.
    Wait(u64),
    /// Moves the head over this many entries.
    Take(u8, u16),
    PowerOn,
}

fn setups() -> impl Strategy<Value = Setup> {
    let epochs = [(1, 10), (1, 30), (2, 1), (2, 7), (3, 1), (4, 200), (1, 5)];
    let what = (
        prop::sample::select(RequestFilter::ALL.to_vec()),
        prop_oneof![8 => 0_u32..6, 1 => Just(300)],
        prop_oneof![8 => Just(12_u32), 4 => Just(16), 4 => Just(28), 1 => Just(9)],
        prop_oneof![6 => Just(0_u8), 2 => 1_u8..4, 1 => Just(14)],
        any::<(bool, bool)>(),
    );
    let rest = (
        prop::sample::select(epochs.to_vec()),
        prop_oneof![0_u16..6, Just(u16::MAX)],
        prop_oneof![Just(u64::MAX), 0_u64..16],
    );
    (what, rest).prop_map(|(what, rest)| {
        let (filter, threshold, log2_bytes, down_sampling_log2, (interrupts, always_on)) = what;
        let ((scale, multiplier), fill_level, ranges) = rest;
        Setup {
            filter,
            // What is drawn at random has no oracle, but every gap at factor 1 is 1.
            randomise: down_sampling_log2 == 0 && fill_level == 3,
            interrupts,
            threshold,
            unit_size: UnitSize::from_log2_bytes(log2_bytes).unwrap(),
            down_sampling_log2,
            mode: if always_on {
                Mode::AlwaysOn
            } else {
                Mode::Epoch
            },
            epoch: EpochLength::from_codes(scale, multiplier).unwrap(),
            fill_level,
            ranges,
        }
    })
}

fn accesses() -> impl Strategy<Value = Vec<Access>> {
    let address = (0_u64..5, 0_u64..3, 0_u64..3)
        .prop_map(|(range, large, page)| Dpa(range << 28 | large << 16 | page << 12));
    let kind = prop::sample::select(vec![AccessKind::Read, AccessKind::Write]);
    let access = (address, kind, prop::bool::weighted(0.2)).prop_map(|(dpa, kind, tee)| Access {
        dpa,
        kind,
        tee,
    });
    prop::collection::vec(access, 0..40)
}

fn writes() -> impl Strategy<Value = Step> {
    let offsets = vec![
        0x40_u64, 0x48, 0x50, 0x60, 0x68, 0x100, 0x00, 0x18, 0x58, 0x70,
    ];
    let value = prop_oneof![
        any::<u64>(),
        0_u64..16,
        Just(u64::MAX),
        Just(0x10000),
        Just(0x20000)
    ];
    (
        0_u8..2,
        prop::sample::select(offsets),
        0_u32..=3,
        0_u64..8,
        value,
    )
        .prop_map(|(instance, word, log2_bytes, slot, value)| {
            let bytes = 1 << log2_bytes;
            // Randomised down-sampling stays off: a random draw has no oracle.
            let value = if word == 0x40 { value & !0x100 } else { value };
            let offset = word + slot * bytes % 8;
            let data = value.to_le_bytes()[..usize::try_from(bytes).unwrap()].to_vec();
            let data = if word == 0x40 && offset == 0x41 {
                data.iter().map(|byte| byte & !1).collect()
            } else {
                data
            };
            Step::Write {
                instance,
                offset,
                data,
            }
        })
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => writes(),
        6 => (0_u8..2, setups()).prop_map(|(index, setup)| Step::Configure(index, setup)),
        8 => (0_u8..2).prop_map(Step::Enable),
        2 => (0_u8..2).prop_map(Step::Disable),
        1 => (0_u8..2).prop_map(Step::Reset),
        12 => accesses().prop_map(Step::Access),
        6 => (0_u64..4_000_000).prop_map(Step::Pass),
        6 => (0_u64..4_000_000).prop_map(Step::Wait),
        6 => (0_u8..2, 0_u16..7).prop_map(|(index, entries)| Step::Take(index, entries)),
        1 => Just(Step::PowerOn),
    ];
    prop::collection::vec(step, 1..80)
}

fn capabilities() -> impl Strategy<Value = Capabilities> {
    let numbers = (2_u16..9, 1_u8..=10, prop_oneof![Just(0), 0_u64..3_000_000]);
    let flags = any::<[bool; 4]>();
    let filters = prop_oneof![3 => Just(0x3f_u8), 1 => 1_u8..0x40];
    (numbers, flags, filters).prop_map(|(numbers, flags, filters)| {
        let (hotlist_entries, width, operation_delay_ns) = numbers;
        let [
            per_counter,
            overlapping_ranges,
            postponed_insertion,
            interrupts,
        ] = flags;
        Capabilities {
            hotlist_entries,
            counter_widths: CounterWidths::uniform(width),
            operation_delay_ns,
            epoch_type: if per_counter {
                EpochType::PerCounter
            } else {
                EpochType::Global
            },
            trackable_requests: RequestFilters::from_bits(filters),
            overlapping_ranges,
            postponed_insertion,
            overflow_interrupt: interrupts,
            fill_level_interrupt: interrupts,
            down_sampling_factors: 0x3fff,
            unit_sizes: [12, 16, 28]
                .into_iter()
                .filter_map(UnitSize::from_log2_bytes)
                .collect(),
            minimum_epoch: EpochLength::new(EpochScale::HundredMicroseconds, 10).unwrap(),
            ..Capabilities::default()
        }
    })
}

pub(crate) fn pairs() -> impl Strategy<Value = Vec<Capabilities>> {
    prop::collection::vec(capabilities(), 2).prop_map(|mut pair| {
        pair[1].message_number = 1;
        pair
    })
}

/// The block and, step by step, what it should be.
pub(crate) struct Pair {
    bench: Bench,
    oracles: Vec<Oracle>,
    sizes: Vec<u64>,
}

impl Pair {
    pub(crate) fn new(capabilities: Vec<Capabilities>, quirk: Option<Quirk>) -> Self {
        Self {
            oracles: capabilities
                .iter()
                .map(|one| Oracle::new(one.clone(), CAPACITY_BYTES))
                .collect(),
            sizes: capabilities
                .iter()
                .map(|one| u64::from(one.hotlist_entries))
                .collect(),
            bench: Bench::of(capabilities, quirk),
        }
    }

    pub(crate) fn take(&mut self, step: &Step) {
        match step {
            Step::Write {
                instance,
                offset,
                data,
            } => self.write(*instance, *offset, data),
            Step::Configure(index, setup) => {
                let values = [
                    (0x48, setup.configuration_1().into_bits()),
                    (0x50, u64::from(setup.fill_level)),
                    (0x100, setup.ranges),
                    (0x40, setup.configuration_0().into_bits()),
                ];
                for (offset, value) in values {
                    self.write(*index, offset, &value.to_le_bytes());
                }
            }
            Step::Enable(index) => self.write(*index, 0x42, &[1]),
            Step::Disable(index) => self.write(*index, 0x42, &[0]),
            Step::Reset(index) => self.write(*index, 0x42, &[2]),
            Step::Access(accesses) => {
                self.bench.access(accesses);
                self.catch_up();
                for oracle in &mut self.oracles {
                    oracle.access(self.bench.now_ns, accesses);
                }
            }
            Step::Pass(ns) => self.bench.pass(*ns),
            Step::Wait(ns) => self.bench.now_ns += ns,
            Step::Take(index, entries) => {
                self.catch_up();
                let which = usize::from(*index);
                let head = (self.oracles[which].head() + u64::from(*entries)) % self.sizes[which];
                self.write(*index, 0x68, &head.to_le_bytes()[..2]);
            }
            Step::PowerOn => {
                self.bench.block.reset();
                self.oracles.iter_mut().for_each(Oracle::power_on);
            }
        }
    }

    fn write(&mut self, index: u8, offset: u64, data: &[u8]) {
        self.bench.instance(index).write_bytes(offset, data);
        self.catch_up();
        let which = usize::from(index);
        let taken = self.oracles[which].excludes(&self.oracles[1 - which]);
        let (word, skip) = (offset / 8 * 8, usize::try_from(offset % 8).unwrap());
        let oracle = &mut self.oracles[which];
        oracle.write(self.bench.now_ns, word, skip, data, taken);
    }

    fn catch_up(&mut self) {
        for oracle in &mut self.oracles {
            oracle.advance(self.bench.now_ns);
        }
    }

    /// Everything that can be seen is the same.
    fn compare(&mut self) -> Result<(), TestCaseError> {
        self.catch_up();
        for (index, oracle) in (0..).zip(&self.oracles) {
            let mut unit = self.bench.instance(index);
            for offset in [0x40, 0x48, 0x50, 0x60, 0x68, 0x100] {
                let (seen, expected) = (unit.read(offset), oracle.word(offset).unwrap());
                prop_assert!(
                    seen == expected,
                    "instance {} at {:#x}: {:#x}, not {:#x}",
                    index,
                    offset,
                    seen,
                    expected
                );
            }
            let statistics = unit.statistics();
            prop_assert_eq!(statistics.units_dropped, oracle.lost);
            let start = self.bench.block.hotlist_areas()[usize::from(index)].start;
            let size = self.sizes[usize::from(index)];
            for (step, entry) in (0..).zip(oracle.list()) {
                let place = start + (oracle.head() + step) % size * 8;
                prop_assert_eq!(self.bench.host.entries.get(&place), Some(&entry));
            }
            let messages = self.bench.host.interrupts.iter();
            let messages = messages.filter(|message| **message == index).count();
            prop_assert_eq!(messages, oracle.interrupts);
        }
        let counting = self.oracles.iter().any(Oracle::is_enabled);
        prop_assert_eq!(self.bench.block.is_counting(), counting);
        let deadlines = self.oracles.iter().filter_map(Oracle::deadline_ns);
        prop_assert_eq!(self.bench.block.next_deadline_ns(), deadlines.min());
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_block_equals_the_naive_model(pair in pairs(), steps in steps()) {
        let mut pair = Pair::new(pair, None);
        for step in &steps {
            pair.take(step);
            pair.compare()?;
        }
    }
}
