// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Random capabilities, and random use of a block with two instances.

use chmu_model::{Capabilities, CounterWidths};
use chmu_spec::access::Access;
use chmu_spec::address::Dpa;
use chmu_spec::chmu::{EpochType, Mode};
use chmu_spec::epoch::{EpochLength, EpochScale};
use chmu_spec::request::{AccessKind, RequestFilter, RequestFilters};
use chmu_spec::unit_size::UnitSize;
use proptest::prelude::*;

use super::fixture::{RANGES, Setup};

/// Whether randomised down-sampling takes part: what it draws has no oracle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Randomised {
    Yes,
    /// With factor 1 only, where every gap is 1.
    NoDraws,
}

/// What a driver or the memory's users do.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Write {
        instance: u8,
        offset: u64,
        data: Vec<u8>,
    },
    Configure(u8, Setup),
    /// Configures, writes one byte of it differently, perhaps, and enables.
    Run(u8, Setup, Option<(u64, u8)>),
    Enable(u8),
    Disable(u8),
    Reset(u8),
    Access(Vec<Access<Dpa>>),
    /// Time passes, and the block is told.
    Pass(u64),
    /// Time passes, and the block hears of it with the next step.
    Wait(u64),
    /// Moves the head over this many entries.
    Take {
        instance: u8,
        entries: u16,
        wide: bool,
    },
    PowerOn,
}

impl Step {
    /// The register writes that make it up: instance, offset, bytes.
    pub(crate) fn writes(&self) -> Vec<(u8, u64, Vec<u8>)> {
        match self {
            Self::Write {
                instance,
                offset,
                data,
            } => vec![(*instance, *offset, data.clone())],
            Self::Configure(index, setup) => configuration(*index, setup),
            Self::Run(index, setup, change) => {
                let mut writes = configuration(*index, setup);
                let change = change.map(|(offset, value)| (*index, offset, vec![value]));
                writes.extend(change);
                writes.push((*index, 0x42, vec![1]));
                writes
            }
            Self::Enable(index) => vec![(*index, 0x42, vec![1])],
            Self::Disable(index) => vec![(*index, 0x42, vec![0])],
            Self::Reset(index) => vec![(*index, 0x42, vec![2])],
            Self::Access(_) | Self::Pass(_) | Self::Wait(_) | Self::Take { .. } | Self::PowerOn => {
                Vec::new()
            }
        }
    }
}

fn configuration(index: u8, setup: &Setup) -> Vec<(u8, u64, Vec<u8>)> {
    [
        (0x48, setup.configuration_1().into_bits()),
        (0x50, u64::from(setup.fill_level)),
        (RANGES, setup.ranges),
        (0x40, setup.configuration_0().into_bits()),
    ]
    .map(|(offset, value)| (index, offset, value.to_le_bytes().to_vec()))
    .to_vec()
}

fn setups(randomised: Randomised) -> impl Strategy<Value = Setup> {
    let epochs = [
        (1, 10),
        (1, 12),
        (2, 1),
        (2, 2),
        (1, 30),
        (3, 1),
        (4, 200),
        (5, 10),
        (1, 5),
    ];
    let what = (
        prop::sample::select(RequestFilter::ALL.to_vec()),
        prop_oneof![8 => 0_u32..6, 1 => 6_u32..300],
        prop_oneof![8 => Just(12_u32), 4 => Just(16), 4 => Just(28), 1 => Just(9)],
        prop_oneof![6 => Just(0_u8), 2 => 1_u8..4, 1 => Just(14)],
        any::<[bool; 3]>(),
    );
    let rest = (
        prop::sample::select(epochs.to_vec()),
        prop_oneof![0_u16..6, Just(u16::MAX)],
        prop_oneof![2 => Just(u64::MAX), 1 => 0_u64..16],
    );
    (what, rest).prop_map(move |(what, rest)| {
        let (filter, threshold, log2_bytes, down_sampling_log2, flags) = what;
        let [overflow_interrupt, fill_level_interrupt, always_on] = flags;
        let ((scale, multiplier), fill_level, ranges) = rest;
        Setup {
            filter,
            randomise: fill_level < 3 && (down_sampling_log2 == 0 || randomised == Randomised::Yes),
            overflow_interrupt,
            fill_level_interrupt,
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

fn access() -> impl Strategy<Value = Access<Dpa>> {
    let range = prop_oneof![5 => Just(0), 1 => 0_u64..5];
    let address = (range, 0_u64..2, 0_u64..3)
        .prop_map(|(range, large, page)| Dpa(range << 28 | large << 16 | page << 12));
    let kind = prop::sample::select(vec![AccessKind::Read, AccessKind::Write]);
    (address, kind, prop::bool::weighted(0.2))
        .prop_map(|(dpa, kind, tee)| Access::new(dpa, kind, tee))
}

/// Accesses of which all, or all but a few, are tracked by most setups, and others.
fn batch(length: usize) -> impl Strategy<Value = Vec<Access<Dpa>>> {
    let page = (0_u64..600).prop_map(|page| Access::read(Dpa(page << 12)));
    let mixed = prop_oneof![500 => page.clone(), 1 => access()];
    prop_oneof![
        4 => prop::collection::vec(access(), length),
        1 => prop::collection::vec(page, length),
        1 => prop::collection::vec(mixed, length),
    ]
}

/// Both instances run and see more accesses at once than fit a batch.
pub(crate) fn large_batches() -> impl Strategy<Value = Vec<Step>> {
    let lengths = prop::sample::select(vec![0_usize, 1, 1023, 1024, 1025, 2049]);
    let accesses = lengths.prop_flat_map(batch);
    let step = prop_oneof![
        4 => accesses.prop_map(Step::Access),
        1 => (0_u64..12_000_000).prop_map(Step::Pass),
        1 => takes(),
    ];
    let setup = || setups(Randomised::NoDraws);
    let steps = prop::collection::vec(step, 1..8);
    (setup(), setup(), steps).prop_map(|(first, second, steps)| {
        // An operation is over by then.
        let begin = [
            Step::Run(0, first, None),
            Step::Run(1, second, None),
            Step::Pass(4_000_000),
        ];
        begin.into_iter().chain(steps).collect()
    })
}

fn writes() -> impl Strategy<Value = Step> {
    let offsets = vec![
        0x40_u64, 0x48, 0x50, 0x60, 0x68, RANGES, 0x00, 0x18, 0x58, 0x70,
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

fn runs(randomised: Randomised) -> impl Strategy<Value = Step> {
    // Request code, mode and epoch scale.
    let change = (prop::sample::select(vec![0x40_u64, 0x4d, 0x4e]), 0_u8..8);
    let change = prop::option::weighted(0.2, change);
    (0_u8..2, setups(randomised), change)
        .prop_map(|(index, setup, change)| Step::Run(index, setup, change))
}

fn clears() -> impl Strategy<Value = Step> {
    (0_u8..2, 0_u8..4).prop_map(|(instance, bits)| Step::Write {
        instance,
        offset: 0x65,
        data: vec![bits],
    })
}

fn takes() -> impl Strategy<Value = Step> {
    (0_u8..2, 0_u16..7, any::<bool>()).prop_map(|(instance, entries, wide)| Step::Take {
        instance,
        entries,
        wide,
    })
}

/// The bytes that move a head, alone or with the tail.
pub(crate) fn head_bytes(head: u64, wide: bool) -> Vec<u8> {
    head.to_le_bytes()[..if wide { 4 } else { 2 }].to_vec()
}

pub(crate) fn steps(randomised: Randomised) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => writes(),
        4 => clears(),
        2 => (0_u8..2, setups(randomised)).prop_map(|(index, setup)| Step::Configure(index, setup)),
        8 => runs(randomised),
        4 => (0_u8..2).prop_map(Step::Enable),
        2 => (0_u8..2).prop_map(Step::Disable),
        2 => (0_u8..2).prop_map(Step::Reset),
        12 => prop::collection::vec(access(), 0..40).prop_map(Step::Access),
        6 => (0_u64..3_000_000).prop_map(Step::Pass),
        6 => (0_u64..3_000_000).prop_map(Step::Wait),
        8 => takes(),
        1 => Just(Step::PowerOn),
    ];
    prop::collection::vec(step, 1..80)
}

fn capabilities() -> impl Strategy<Value = Capabilities> {
    let numbers = (
        2_u16..9,
        prop_oneof![1 => 1_u8..3, 4 => 3_u8..=10],
        prop_oneof![Just(0), 0_u64..3_000_000],
    );
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
