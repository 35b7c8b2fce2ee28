// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What quirks make of capabilities, writes and entries. Without a quirk all of it is the rule.

use chmu_spec::chmu::{Capabilities0, Capabilities1, EpochType, INSTANCE_REGISTERS_BYTES, offset};
use chmu_spec::epoch::{EpochLength, EpochScale};
use chmu_spec::hotlist::{Entry, maximum_count};
use chmu_spec::register::Register;
use chmu_spec::request::RequestFilters;
use chmu_spec::unit_size::{UnitSize, UnitSizes};

use crate::capabilities::Capabilities;
use crate::quirk::Quirk;

use super::Place;

/// How long a slow operation takes.
const SECOND_NS: u64 = 1_000_000_000;

/// How long operations take at least whose course is the quirk.
const VISIBLE_OPERATION_NS: u64 = 5_000_000;

/// The capability registers and offsets, as they read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Advertised {
    pub(super) capabilities_0: u64,
    pub(super) capabilities_1: u64,
    pub(super) range_bitmap: u64,
    pub(super) hotlist: u64,
}

impl Advertised {
    pub(super) fn new(capabilities: &Capabilities, place: Place, quirk: Option<Quirk>) -> Self {
        let mut range_bitmap = place.range_bitmap;
        let mut hotlist = place.hotlist.saturating_sub(place.start);
        match quirk {
            Some(Quirk::RangeOffsetFromBlock) => {
                range_bitmap = range_bitmap.saturating_add(place.start);
            }
            Some(Quirk::HotlistOffsetFromBlock) => hotlist = place.hotlist,
            _ => {}
        }
        Self {
            capabilities_0: capabilities_0(capabilities, quirk).into_bits(),
            capabilities_1: capabilities_1(capabilities, quirk).into_bits(),
            range_bitmap,
            hotlist,
        }
    }
}

fn capabilities_0(capabilities: &Capabilities, quirk: Option<Quirk>) -> Capabilities0 {
    let register = Capabilities0::from_bits(capabilities.register_0());
    let entries = register.hotlist_entries();
    let minimum = register.minimum_epoch_scale();
    let maximum = register.maximum_epoch_scale();
    match quirk {
        Some(Quirk::HotlistSizeOneMore) => register.with_hotlist_entries(entries.saturating_add(1)),
        Some(Quirk::HotlistSizeOneLess) => register.with_hotlist_entries(entries.saturating_sub(1)),
        Some(Quirk::EpochScaleFromZero) => register
            .with_minimum_epoch_scale(minimum.saturating_sub(1))
            .with_maximum_epoch_scale(maximum.saturating_sub(1)),
        Some(Quirk::EpochBoundsSwapped) => register
            .with_minimum_epoch_scale(maximum)
            .with_minimum_epoch_multiplier(register.maximum_epoch_multiplier())
            .with_maximum_epoch_scale(minimum)
            .with_maximum_epoch_multiplier(register.minimum_epoch_multiplier()),
        Some(Quirk::TrackableRequestsShifted) => {
            register.with_trackable_requests(register.trackable_requests() << 1)
        }
        _ => register,
    }
}

fn capabilities_1(capabilities: &Capabilities, quirk: Option<Quirk>) -> Capabilities1 {
    let register = Capabilities1::from_bits(capabilities.register_1());
    match quirk {
        Some(Quirk::CapabilityReservedBits) => {
            Capabilities1::from_bits(register.into_bits() | 0xffe0_0000_0000_0000)
        }
        Some(Quirk::UnitSizesShifted) => register.with_unit_sizes(register.unit_sizes() << 1),
        Some(Quirk::DownSamplingFactorsShifted) => {
            register.with_down_sampling_factors(register.down_sampling_factors() << 1)
        }
        _ => register,
    }
}

/// What the instance goes by, whatever its registers say.
pub(super) fn real_capabilities(mut real: Capabilities, quirk: Option<Quirk>) -> Capabilities {
    match quirk {
        Some(Quirk::UnitSizeRefused) => {
            let largest = real.unit_sizes.iter().last();
            let others = real.unit_sizes.iter().filter(|size| Some(*size) != largest);
            real.unit_sizes = others.collect();
        }
        Some(Quirk::AcceptsUntrackableRequest) => real.trackable_requests = RequestFilters::EVERY,
        Some(Quirk::AcceptsUnitSize) => real.unit_sizes = UnitSizes::from_bits(u32::MAX),
        Some(Quirk::AcceptsDownSampling) => real.down_sampling_factors = u16::MAX,
        Some(Quirk::AcceptsOverlappingRange) => real.overlapping_ranges = true,
        Some(Quirk::AcceptsShortEpoch) => {
            real.minimum_epoch = shortest(EpochScale::HundredMicroseconds, real.minimum_epoch);
        }
        Some(Quirk::AcceptsLongEpoch) => {
            let longest = EpochLength::new(EpochScale::Second, 0xfff);
            real.maximum_epoch = longest.unwrap_or(real.maximum_epoch);
        }
        Some(Quirk::AcceptsUnsupportedInterrupt) => {
            real.overflow_interrupt = true;
            real.fill_level_interrupt = true;
        }
        Some(Quirk::EpochPerCounterIsGlobal) => real.epoch_type = EpochType::Global,
        Some(Quirk::EpochGlobalIsPerCounter) => real.epoch_type = EpochType::PerCounter,
        Some(Quirk::OperationTakesASecond) => real.operation_delay_ns = SECOND_NS,
        Some(Quirk::EnabledBeforeDone | Quirk::OperationCodesSwapped) => {
            real.operation_delay_ns = real.operation_delay_ns.max(VISIBLE_OPERATION_NS);
        }
        Some(Quirk::InterruptWrongMessage) => {
            real.message_number = real.message_number.saturating_add(1) & 0xf;
        }
        _ => {}
    }
    real
}

fn shortest(scale: EpochScale, otherwise: EpochLength) -> EpochLength {
    EpochLength::new(scale, 1).unwrap_or(otherwise)
}

/// The bits that a write reaches: of all writes to registers, those that the quirk takes
/// differently.
pub(super) fn reached_lanes(
    quirk: Option<Quirk>,
    register: &Register,
    word: u64,
    lanes: u64,
) -> u64 {
    let configuration = matches!(
        register.offset,
        offset::CONFIGURATION_0 | offset::CONFIGURATION_1 | offset::CONFIGURATION_2
    );
    let head = register.offset == offset::HOTLIST_HEAD;
    let ignored = match quirk {
        Some(Quirk::NarrowWriteIgnored) => configuration && lanes.count_ones() < 32,
        Some(Quirk::HeadShortWriteIgnored) => head && word.count_ones() <= 16,
        Some(Quirk::HeadWideWriteIgnored) => head && word.count_ones() > 16,
        _ => false,
    };
    let half = register.width == 64 && lanes.count_ones() == 32;
    if ignored {
        0
    } else if quirk == Some(Quirk::HalfWriteClobbers) && half {
        u64::MAX
    } else {
        lanes
    }
}

/// Whether a register of configuration takes new values while the instance is enabled.
pub(super) fn is_never_locked(quirk: Option<Quirk>, offset: u64) -> bool {
    match quirk {
        Some(Quirk::RequestsWritableWhileEnabled) => offset == offset::CONFIGURATION_0,
        Some(Quirk::UnitWritableWhileEnabled) => offset == offset::CONFIGURATION_1,
        Some(Quirk::FillLevelWritableWhileEnabled) => offset == offset::CONFIGURATION_2,
        Some(Quirk::RangesWritableWhileEnabled) => offset >= INSTANCE_REGISTERS_BYTES,
        _ => false,
    }
}

/// What a configuration register holds after a write that made `new` of it by the rules.
pub(super) fn kept(
    quirk: Option<Quirk>,
    register: &Register,
    new: u64,
    (value, lanes): (u64, u64),
) -> u64 {
    match quirk {
        Some(Quirk::ThresholdTruncated) if register.offset == offset::CONFIGURATION_0 => {
            new & 0x0000_00ff_ffff_ffff
        }
        Some(Quirk::ConfigurationReservedBits) => {
            let reserved = register.reserved() & lanes;
            (new & !reserved) | (value & reserved)
        }
        _ => new,
    }
}

/// Overflow and fill level after a write: `old` of them were set, `new` are by the rules.
pub(super) fn status_after_write(
    quirk: Option<Quirk>,
    register: &Register,
    (old, new): (u64, u64),
    (value, lanes): (u64, u64),
) -> u64 {
    let bits = register.mask(chmu_spec::register::FieldAccess::WriteOneToClear);
    match quirk {
        Some(Quirk::StatusPlainWrite) => (old & !(bits & lanes)) | (value & bits & lanes),
        Some(Quirk::StatusNeverClears) => old,
        Some(Quirk::StatusClearsBoth) if new != old => new & !bits,
        Some(Quirk::StatusClearsByAnyWrite) => new & !bits,
        _ => new,
    }
}

/// The entry for a hot unit of an instance with these units and this down-sampling.
pub(super) fn encode(
    quirk: Option<Quirk>,
    mut entry: Entry,
    counter_width: u8,
    (unit_size, down_sampling_log2): (UnitSize, u8),
) -> u64 {
    let unit = &mut entry.unit.0;
    match quirk {
        Some(Quirk::CountZero) => entry.count = 0,
        Some(Quirk::CountOneLess) => entry.count = entry.count.saturating_sub(1),
        Some(Quirk::CountWraps) => entry.count &= maximum_count(counter_width),
        Some(Quirk::DownSamplingScaledBack) => {
            entry.count = entry.count.saturating_mul(1 << (down_sampling_log2 & 0xf));
        }
        Some(Quirk::UnitShifted) => *unit = unit.saturating_add(1),
        Some(Quirk::UnitIsAddress) => *unit <<= unit_size.log2_bytes() & 31,
        Some(Quirk::UnitFieldsSwapped) => return entry.count << 32 | *unit & 0xffff_ffff,
        Some(Quirk::EntryBytesSwapped) => return entry.encode(counter_width).swap_bytes(),
        _ => {}
    }
    entry.encode(counter_width)
}
