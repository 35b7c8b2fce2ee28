// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What each quirk makes of the behaviour of a block. Nothing else in the model knows quirks.

use chmu_spec::chmu::{
    BlockHeader, Capabilities1, EpochType, INSTANCE_REGISTERS_BYTES, InstanceLength, Operation,
    offset,
};
use chmu_spec::epoch::{EpochLength, EpochScale};
use chmu_spec::hotlist::{Entry, maximum_count};
use chmu_spec::register::{FieldAccess, Register};
use chmu_spec::request::{AccessKind, RequestFilter, RequestFilters};
use chmu_spec::unit_size::{UnitSize, UnitSizes};

use crate::behaviour::{Backlog, Behaviour, Full, OtherHeads};
use crate::quirk::Quirk;
use crate::rules::{Comparison, Rules, classes};
use crate::tracker::Clearing;

/// How long a slow operation takes.
const SECOND_NS: u64 = 1_000_000_000;

/// How long operations take at least whose course is the quirk.
const VISIBLE_OPERATION_NS: u64 = 5_000_000;

/// log2 of the largest unit of an instance that takes no larger ones.
const CAPPED_UNIT_LOG2: u32 = 21;

/// log2 of the smallest unit of an instance that takes no smaller ones.
const ROUNDED_UNIT_LOG2: u32 = 16;

impl Behaviour {
    /// The behaviour of a block with a quirk, or by the rules.
    pub(crate) fn new(quirk: Option<Quirk>) -> Self {
        let mut behaviour = Self::default();
        if let Some(quirk) = quirk {
            behaviour.break_header(quirk);
            behaviour.break_capabilities(quirk);
            behaviour.break_real_capabilities(quirk);
            behaviour.break_power_on(quirk);
            behaviour.break_registers(quirk);
            behaviour.break_settings(quirk);
            behaviour.break_operations(quirk);
            behaviour.break_selection(quirk);
            behaviour.break_counting(quirk);
            behaviour.break_hotlist(quirk);
            behaviour.break_entries(quirk);
            behaviour.break_status(quirk);
            behaviour.break_interrupts(quirk);
        }
        behaviour
    }

    fn break_header(&mut self, quirk: Quirk) {
        let header = &mut self.header;
        match quirk {
            Quirk::HeaderVersionZero => header.header = |header| header.with_version(0),
            Quirk::HeaderInstancesOneMore => {
                header.header =
                    |header| header.with_instances(header.instances().saturating_add(1));
            }
            Quirk::HeaderReservedBits => {
                header.header =
                    |header| BlockHeader::from_bits(header.into_bits() | 0xffff_ffff_0000_00f0);
            }
            Quirk::HeaderLengthOfRegisters => {
                header.instance_length = |_| InstanceLength::from_bits(INSTANCE_REGISTERS_BYTES);
            }
            _ => {}
        }
    }

    fn break_capabilities(&mut self, quirk: Quirk) {
        let read = &mut self.capabilities;
        match quirk {
            Quirk::HotlistSizeOneMore => {
                read.register_0 =
                    |one| one.with_hotlist_entries(one.hotlist_entries().saturating_add(1));
            }
            Quirk::HotlistSizeOneLess => {
                read.register_0 =
                    |one| one.with_hotlist_entries(one.hotlist_entries().saturating_sub(1));
            }
            Quirk::EpochScaleFromZero => {
                read.register_0 = |one| {
                    one.with_minimum_epoch_scale(one.minimum_epoch_scale().saturating_sub(1))
                        .with_maximum_epoch_scale(one.maximum_epoch_scale().saturating_sub(1))
                };
            }
            Quirk::EpochBoundsSwapped => {
                read.register_0 = |one| {
                    one.with_minimum_epoch_scale(one.maximum_epoch_scale())
                        .with_minimum_epoch_multiplier(one.maximum_epoch_multiplier())
                        .with_maximum_epoch_scale(one.minimum_epoch_scale())
                        .with_maximum_epoch_multiplier(one.minimum_epoch_multiplier())
                };
            }
            Quirk::TrackableRequestsShifted => {
                read.register_0 = |one| one.with_trackable_requests(one.trackable_requests() << 1);
            }
            Quirk::CapabilityReservedBits => {
                read.register_1 =
                    |one| Capabilities1::from_bits(one.into_bits() | 0xffe0_0000_0000_0000);
            }
            Quirk::UnitSizesShifted => {
                read.register_1 = |one| one.with_unit_sizes(one.unit_sizes() << 1);
            }
            Quirk::DownSamplingFactorsShifted => {
                read.register_1 =
                    |one| one.with_down_sampling_factors(one.down_sampling_factors() << 1);
            }
            Quirk::RangeOffsetFromBlock => {
                read.range_bitmap = |place| place.range_bitmap.saturating_add(place.start);
            }
            Quirk::HotlistOffsetFromBlock => read.hotlist = |place| place.hotlist,
            Quirk::CounterWidthOneMore => {
                read.counter_width = |width| match width {
                    0 => 0,
                    width => width.saturating_add(1),
                };
            }
            Quirk::CounterWidthNever => read.counter_width = |_| 0,
            _ => {}
        }
    }

    fn break_real_capabilities(&mut self, quirk: Quirk) {
        let real = &mut self.capabilities.real;
        match quirk {
            Quirk::UnitSizeRefused => {
                *real = |one| {
                    let largest = one.unit_sizes.iter().last();
                    let others = one.unit_sizes.iter().filter(|size| Some(*size) != largest);
                    one.unit_sizes = others.collect();
                };
            }
            Quirk::AcceptsUntrackableRequest => {
                *real = |one| one.trackable_requests = RequestFilters::EVERY;
            }
            Quirk::AcceptsUnitSize => {
                *real = |one| one.unit_sizes = UnitSizes::from_bits(u32::MAX);
            }
            Quirk::AcceptsDownSampling => *real = |one| one.down_sampling_factors = u16::MAX,
            Quirk::AcceptsOverlappingRange => *real = |one| one.overlapping_ranges = true,
            Quirk::AcceptsShortEpoch => {
                *real = |one| {
                    let shortest = EpochLength::new(EpochScale::HundredMicroseconds, 1);
                    one.minimum_epoch = shortest.unwrap_or(one.minimum_epoch);
                };
            }
            Quirk::AcceptsLongEpoch => {
                *real = |one| {
                    let longest = EpochLength::new(EpochScale::Second, 0xfff);
                    one.maximum_epoch = longest.unwrap_or(one.maximum_epoch);
                };
            }
            Quirk::AcceptsUnsupportedInterrupt => {
                *real = |one| {
                    one.overflow_interrupt = true;
                    one.fill_level_interrupt = true;
                };
            }
            Quirk::EpochPerCounterIsGlobal => *real = |one| one.epoch_type = EpochType::Global,
            Quirk::EpochGlobalIsPerCounter => *real = |one| one.epoch_type = EpochType::PerCounter,
            Quirk::OperationTakesASecond => *real = |one| one.operation_delay_ns = SECOND_NS,
            Quirk::EnabledBeforeDone | Quirk::OperationCodesSwapped => {
                *real = |one| {
                    one.operation_delay_ns = one.operation_delay_ns.max(VISIBLE_OPERATION_NS);
                };
            }
            Quirk::InterruptWrongMessage => {
                *real = |one| one.message_number = one.message_number.saturating_add(1) & 0xf;
            }
            _ => {}
        }
    }

    fn break_power_on(&mut self, quirk: Quirk) {
        let power_on = &mut self.power_on;
        match quirk {
            Quirk::PowerOnRequestCode => power_on.request_code = 6,
            Quirk::PowerOnFillLevel => power_on.fill_level_threshold = u16::MAX,
            Quirk::PowerOnRangesSet => power_on.ranges_set = true,
            Quirk::PowerOnStatusSet => power_on.overflow = true,
            Quirk::FunctionResetKeepsConfiguration => power_on.keeps_configuration = true,
            Quirk::FunctionResetKeepsRanges => power_on.keeps_ranges = true,
            Quirk::FunctionResetKeepsList => power_on.keeps_list = true,
            Quirk::FunctionResetKeepsEnabled => power_on.keeps_enabled = true,
            _ => {}
        }
    }

    fn break_registers(&mut self, quirk: Quirk) {
        let registers = &mut self.registers;
        let never_locked = &mut registers.is_never_locked;
        match quirk {
            Quirk::RequestsWritableWhileEnabled => {
                *never_locked = |offset| offset == offset::CONFIGURATION_0;
            }
            Quirk::UnitWritableWhileEnabled => {
                *never_locked = |offset| offset == offset::CONFIGURATION_1;
            }
            Quirk::FillLevelWritableWhileEnabled => {
                *never_locked = |offset| offset == offset::CONFIGURATION_2;
            }
            Quirk::RangesWritableWhileEnabled => {
                *never_locked = |offset| offset >= INSTANCE_REGISTERS_BYTES;
            }
            Quirk::ConfigurationReservedBits => {
                registers.kept = |register, new, (value, lanes)| {
                    let reserved = register.reserved() & lanes;
                    (new & !reserved) | (value & reserved)
                };
            }
            Quirk::ThresholdTruncated => {
                registers.kept = |register, new, _| match register.offset {
                    offset::CONFIGURATION_0 => new & 0x0000_00ff_ffff_ffff,
                    _ => new,
                };
            }
            Quirk::HalfWriteClobbers => {
                registers.reached = |register, _, lanes| {
                    let half = register.width == 64 && lanes.count_ones() == 32;
                    if half { u64::MAX } else { lanes }
                };
            }
            Quirk::NarrowWriteIgnored => {
                registers.reached = |register, _, lanes| {
                    unless(is_configuration(register) && lanes.count_ones() < 32, lanes)
                };
            }
            Quirk::HeadShortWriteIgnored => {
                registers.reached =
                    |register, word, lanes| unless(is_head(register) && !is_wide(word), lanes);
            }
            Quirk::HeadWideWriteIgnored => {
                registers.reached =
                    |register, word, lanes| unless(is_head(register) && is_wide(word), lanes);
            }
            Quirk::HeadOfFirstInstance => {
                registers.reached_instance = |index, word| match (index, word) {
                    (1, offset::HOTLIST_HEAD) => 0,
                    _ => index,
                };
            }
            Quirk::RangeNarrowWriteIgnored => {
                registers.reaches_ranges = |lanes| lanes == u64::MAX;
            }
            Quirk::HeadReadsZero => registers.head = |_| 0,
            Quirk::TailWritable => registers.tail_is_writable = true,
            _ => {}
        }
    }

    fn break_settings(&mut self, quirk: Quirk) {
        let settings = &mut self.settings;
        match quirk {
            Quirk::AcceptsReservedRequestCode => {
                settings.reserved_request_code = Some(RequestFilter::AllReadWrite);
            }
            Quirk::AcceptsMode => settings.reserved_mode_is_epoch = true,
            Quirk::AcceptsEpochCodes => settings.reserved_epoch_is_shortest = true,
            Quirk::AcceptsWideThreshold => settings.threshold_fits = |_, _| true,
            Quirk::RefusesLargestThreshold => {
                settings.threshold_fits =
                    |threshold, width| u64::from(threshold) < maximum_count(width);
            }
            Quirk::RefusesShortestEpoch => {
                settings.epoch_fits =
                    |length_ns, bounds| bounds.contains(&length_ns) && length_ns != *bounds.start();
            }
            Quirk::RefusesLongestEpoch => {
                settings.epoch_fits =
                    |length_ns, bounds| bounds.contains(&length_ns) && length_ns != *bounds.end();
            }
            _ => {}
        }
    }

    fn break_operations(&mut self, quirk: Quirk) {
        let operations = &mut self.operations;
        match quirk {
            Quirk::InProgressNeverClears => {
                operations.shown =
                    |operation, counts| operation.or(counts.then_some(Operation::Enable));
            }
            Quirk::OperationCodesSwapped => {
                operations.shown = |operation, _| match operation {
                    Some(Operation::Enable) => Some(Operation::Disable),
                    Some(Operation::Disable) => Some(Operation::Enable),
                    other => other,
                };
            }
            Quirk::EnabledBeforeDone => {
                operations.shows_enabled = |activity| activity.counts || activity.is_being_enabled;
            }
            Quirk::DisableKeepsCounting => {
                operations.disable_keeps_counting = true;
                operations.shows_enabled = |activity| activity.counts && activity.enable;
            }
            Quirk::RefusedEnableBitSticks => operations.refused_enable_sticks = true,
            Quirk::EnableEmptiesList => operations.enable_empties_list = true,
            Quirk::DisableEmptiesList => operations.disable_empties_list = true,
            Quirk::DisableKeepsCounters => operations.disable_keeps_counters = true,
            Quirk::DisableLosesConfiguration => operations.disable_loses_configuration = true,
            Quirk::ResetIgnored => operations.reset_acts = false,
            Quirk::ResetBitSticks => operations.reset_bit_sticks = true,
            Quirk::ResetKeepsList => operations.reset_keeps_list = true,
            Quirk::ResetKeepsStatus => operations.reset_keeps_status = true,
            Quirk::ResetKeepsCounters => operations.reset_keeps_counters = true,
            Quirk::ResetKeepsEnabled => operations.reset_keeps_enabled = true,
            Quirk::ResetLosesConfiguration => operations.reset_loses_configuration = true,
            Quirk::ResetLosesRanges => operations.reset_loses_ranges = true,
            _ => {}
        }
    }

    fn break_selection(&mut self, quirk: Quirk) {
        let rules = &mut self.counting.rules;
        match quirk {
            Quirk::ReadsAndWritesSwapped => {
                *rules = |rules, settings| {
                    rules.tracked = classes(|kind, tee| {
                        let other = match kind {
                            AccessKind::Read => AccessKind::Write,
                            AccessKind::Write => AccessKind::Read,
                        };
                        settings.filter.tracks(other, tee)
                    });
                };
            }
            Quirk::FilterIgnored => *rules = |rules, _| rules.tracked = classes(|_, _| true),
            Quirk::TeeTracked => {
                *rules = |rules, settings| {
                    rules.tracked = classes(|kind, _| settings.filter.tracks(kind, false));
                };
            }
            Quirk::TeeDropped => {
                *rules = |rules, settings| {
                    rules.tracked = classes(|kind, tee| settings.filter.tracks(kind, tee) && !tee);
                };
            }
            Quirk::RangeIgnored => *rules = |rules, _| rearrange(rules, |_, _| true),
            Quirk::RangeInverted => {
                *rules = |rules, _| rearrange(rules, |rules, range| !rules.ranges.has(range));
            }
            Quirk::RangeShifted => {
                *rules = |rules, _| {
                    rearrange(rules, |rules, range| {
                        let before = range.checked_sub(1);
                        before.is_some_and(|range| rules.ranges.has(range))
                    });
                };
            }
            Quirk::RangeGranularityDoubled => {
                *rules = |rules, _| rearrange(rules, |rules, range| rules.ranges.has(range >> 1));
            }
            Quirk::DownSamplingIgnored => *rules = |rules, _| rules.down_sampling_log2 = 0,
            Quirk::DownSamplingDoubled => {
                *rules = |rules, _| {
                    rules.down_sampling_log2 = rules.down_sampling_log2.saturating_add(1).min(15);
                };
            }
            Quirk::DownSamplingHalved => {
                *rules = |rules, _| {
                    rules.down_sampling_log2 = rules.down_sampling_log2.saturating_sub(1);
                };
            }
            Quirk::RandomisedNotRandom => *rules = |rules, _| rules.randomise = false,
            Quirk::RandomisedAlways => *rules = |rules, _| rules.randomise = true,
            Quirk::InstancesShareCounters => self.counting.counts_per_request = |enabled| enabled,
            _ => {}
        }
    }

    fn break_counting(&mut self, quirk: Quirk) {
        let rules = &mut self.counting.rules;
        match quirk {
            Quirk::CountWraps => *rules = |rules, _| rules.maximum = u32::MAX,
            Quirk::CountSaturatesEarly => *rules = |rules, _| rules.maximum >>= 1,
            Quirk::ThresholdExclusive => {
                *rules = |rules, _| rules.threshold = rules.threshold.saturating_add(1);
            }
            Quirk::ThresholdIgnored => *rules = |rules, _| rules.threshold = 1,
            Quirk::AlwaysOnKeepsCounter => *rules = |rules, _| rules.always_on_frees = false,
            Quirk::AlwaysOnReportsOnce => {
                *rules = |rules, _| {
                    rules.always_on_frees = false;
                    rules.always_on_once = true;
                };
            }
            Quirk::AlwaysOnCountWrong => {
                *rules = |rules, _| rules.always_on_count = rules.maximum;
            }
            Quirk::LargeUnitsCapped => {
                *rules = |rules, _| {
                    let limit = UnitSize::from_log2_bytes(CAPPED_UNIT_LOG2);
                    rules.unit_size = limit.map_or(rules.unit_size, |one| rules.unit_size.min(one));
                };
            }
            Quirk::SmallUnitsRounded => {
                *rules = |rules, _| {
                    let limit = UnitSize::from_log2_bytes(ROUNDED_UNIT_LOG2);
                    rules.unit_size = limit.map_or(rules.unit_size, |one| rules.unit_size.max(one));
                };
            }
            Quirk::EpochTwiceAsLong => {
                *rules = |rules, _| scale_epoch(rules, |epoch_ns| epoch_ns.saturating_mul(2));
            }
            Quirk::EpochHalfAsLong => {
                *rules = |rules, _| scale_epoch(rules, |epoch_ns| epoch_ns >> 1)
            }
            Quirk::EpochMultiplierIgnored => {
                *rules = |rules, settings| {
                    let scale_ns = settings.epoch.map(|epoch| epoch.scale().nanoseconds());
                    scale_epoch(rules, |epoch_ns| scale_ns.unwrap_or(epoch_ns));
                };
            }
            Quirk::EpochDrifts => {
                *rules = |rules, settings| {
                    let epoch_ns = settings.epoch.map(EpochLength::nanoseconds);
                    rules.epoch_drift_ns = epoch_ns.unwrap_or(0) >> 3;
                };
            }
            Quirk::EpochReportsAtThreshold => {
                *rules = |rules, _| rules.comparison = Comparison::AlwaysOn;
            }
            Quirk::EpochKeepsCounters => *rules = |rules, _| rules.clearing = Clearing::None,
            Quirk::EpochKeepsColdCounters => *rules = |rules, _| rules.clearing = Clearing::Hot,
            _ => {}
        }
    }

    fn break_hotlist(&mut self, quirk: Quirk) {
        let hotlist = &mut self.hotlist;
        match quirk {
            Quirk::FullOneEarly => hotlist.full = Full::TwoFree,
            Quirk::FullLooksEmpty => hotlist.full = Full::LooksEmpty,
            Quirk::FullOverwrites => hotlist.full = Full::Overwrites,
            Quirk::HeadPastTail => hotlist.other_heads = OtherHeads::PastTail,
            Quirk::HeadOutOfRange => hotlist.other_heads = OtherHeads::OutOfRange,
            Quirk::BacklogLost => hotlist.backlog = Backlog::Lost,
            Quirk::BacklogReversed => hotlist.backlog = Backlog::NewestFirst,
            _ => {}
        }
    }

    fn break_entries(&mut self, quirk: Quirk) {
        let entries = &mut self.entries;
        match quirk {
            Quirk::CountZero => {
                entries.encode = |one, rules| encode(rules, Entry { count: 0, ..one })
            }
            Quirk::CountOneLess => {
                entries.encode =
                    |one, rules| encode(rules, with_count(one, one.count.saturating_sub(1)));
            }
            Quirk::CountWraps => {
                entries.encode = |one, rules| {
                    encode(
                        rules,
                        with_count(one, one.count & maximum_count(rules.counter_width)),
                    )
                };
            }
            Quirk::DownSamplingScaledBack => {
                entries.encode = |one, rules| {
                    let factor = 1 << (rules.down_sampling_log2 & 0xf);
                    encode(rules, with_count(one, one.count.saturating_mul(factor)))
                };
            }
            Quirk::UnitShifted => {
                entries.encode = |mut one, rules| {
                    one.unit.0 = one.unit.0.saturating_add(1);
                    encode(rules, one)
                };
            }
            Quirk::UnitIsAddress => {
                entries.encode = |mut one, rules| {
                    one.unit.0 <<= rules.unit_size.log2_bytes() & 31;
                    encode(rules, one)
                };
            }
            Quirk::UnitFieldsSwapped => {
                entries.encode = |one, _| one.count << 32 | one.unit.0 & 0xffff_ffff;
            }
            Quirk::EntryBytesSwapped => {
                entries.encode = |one, rules| encode(rules, one).swap_bytes();
            }
            Quirk::EntryTwice => entries.copies = |_| 2,
            Quirk::AlwaysOnReportsTwice => {
                entries.copies = |rules| match rules.comparison {
                    Comparison::AlwaysOn => 2,
                    _ => 1,
                };
            }
            Quirk::ColdestFirst => entries.coldest_first = true,
            Quirk::EntryAfterTail => entries.stored_late = true,
            _ => {}
        }
    }

    fn break_status(&mut self, quirk: Quirk) {
        let (registers, status) = (&mut self.registers, &mut self.status);
        match quirk {
            Quirk::StatusPlainWrite => {
                registers.status = |register, old, _, (value, lanes)| {
                    let bits = cleared_by_one(register);
                    (old & !(bits & lanes)) | (value & bits & lanes)
                };
            }
            Quirk::StatusNeverClears => registers.status = |_, old, _, _| old,
            Quirk::StatusClearsBoth => {
                registers.status = |register, old, new, _| match new == old {
                    true => new,
                    false => new & !cleared_by_one(register),
                };
            }
            Quirk::StatusClearsByAnyWrite => {
                registers.status = |register, _, new, _| new & !cleared_by_one(register);
            }
            Quirk::StatusClearsOnRead => registers.status_clears_on_read = true,
            Quirk::StatusBitsSwapped => status.bits_swapped = true,
            Quirk::OverflowNeverSet => status.overflows = |_| false,
            Quirk::OverflowWhenWaiting => {
                status.overflows = |shortage| shortage.lost || shortage.waiting;
            }
            Quirk::OverflowEachEpoch => status.epoch_overflows = true,
            Quirk::FillLevelNeverSet => status.is_filled = |_, _| false,
            Quirk::FillLevelAtHalf => {
                status.is_filled = |occupancy, threshold| occupancy > threshold >> 1;
            }
            Quirk::FillLevelNeverRearmed => status.fill_level_rearms = false,
            Quirk::FillLevelNotLatched => status.fill_level_latches = false,
            _ => {}
        }
    }

    fn break_interrupts(&mut self, quirk: Quirk) {
        let status = &mut self.status;
        match quirk {
            Quirk::InterruptNotForOverflow => {
                status.interrupts = |rose, _, enabled| rose.fill_level && enabled.fill_level;
            }
            Quirk::InterruptNotForFillLevel => {
                status.interrupts = |rose, _, enabled| rose.overflow && enabled.overflow;
            }
            Quirk::InterruptThoughDisabled => status.interrupts = |rose, _, _| rose.any(),
            Quirk::InterruptEnablesSwapped => {
                status.interrupts = |rose, _, enabled| rose.meets(enabled.swapped());
            }
            Quirk::InterruptEachInsertion => {
                status.interrupts = |_, set, enabled| set.meets(enabled)
            }
            Quirk::InterruptEachEpoch => status.epoch_interrupts = true,
            Quirk::InterruptOnce => status.clear_mutes = true,
            _ => {}
        }
    }
}

fn unless(ignored: bool, lanes: u64) -> u64 {
    if ignored { 0 } else { lanes }
}

fn is_configuration(register: &Register) -> bool {
    matches!(
        register.offset,
        offset::CONFIGURATION_0 | offset::CONFIGURATION_1 | offset::CONFIGURATION_2
    )
}

fn is_head(register: &Register) -> bool {
    register.offset == offset::HOTLIST_HEAD
}

/// Whether these bits of a word are more than the head.
fn is_wide(word: u64) -> bool {
    word.count_ones() > 16
}

fn cleared_by_one(register: &Register) -> u64 {
    register.mask(FieldAccess::WriteOneToClear)
}

/// Tracks the ranges for which `tracked` holds.
fn rearrange(rules: &mut Rules, tracked: fn(&Rules, u64) -> bool) {
    rules.ranges = rules.ranges.rearranged(|range| tracked(rules, range));
}

fn scale_epoch(rules: &mut Rules, scaled: impl Fn(u64) -> u64) {
    match &mut rules.comparison {
        Comparison::Global { epoch_ns } | Comparison::PerCounter { epoch_ns } => {
            *epoch_ns = scaled(*epoch_ns);
        }
        Comparison::AlwaysOn => {}
    }
}

fn with_count(entry: Entry, count: u64) -> Entry {
    Entry { count, ..entry }
}

fn encode(rules: &Rules, entry: Entry) -> u64 {
    entry.encode(rules.counter_width)
}
