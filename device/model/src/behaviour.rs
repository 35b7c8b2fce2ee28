// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a block does at the steps where devices are known to go wrong. The defaults are the rules;
//! [`Quirk`](crate::Quirk) says what else there is.

use std::fmt;
use std::ops::RangeInclusive;

use chmu_spec::chmu::{BlockHeader, Capabilities0, Capabilities1, InstanceLength, Operation};
use chmu_spec::hotlist::{Entry, maximum_count};
use chmu_spec::register::Register;
use chmu_spec::request::RequestFilter;

use crate::capabilities::Capabilities;
use crate::place::Place;
use crate::rules::Rules;
use crate::settings::Settings;

/// What is done at a step one after the other, each to what the one before it made.
#[derive(Clone)]
pub(crate) struct Chain<F>(Vec<F>);

impl<F> Chain<F> {
    pub(crate) fn add(&mut self, link: F) {
        self.0.push(link);
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, F> {
        self.0.iter()
    }
}

impl<F> Default for Chain<F> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<F: fmt::Debug> fmt::Debug for Chain<F> {
    /// On one line in every form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// What a block does, made once when the block is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Behaviour {
    pub(crate) header: HeaderBehaviour,
    pub(crate) capabilities: CapabilityBehaviour,
    pub(crate) power_on: PowerOnBehaviour,
    pub(crate) registers: RegisterBehaviour,
    pub(crate) settings: SettingsBehaviour,
    pub(crate) operations: OperationBehaviour,
    pub(crate) counting: CountingBehaviour,
    pub(crate) hotlist: HotlistBehaviour,
    pub(crate) entries: EntryBehaviour,
    pub(crate) status: StatusBehaviour,
}

/// How the block header reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeaderBehaviour {
    /// What the header reads as, made of what it should.
    pub(crate) header: fn(BlockHeader) -> BlockHeader,
    /// What the instance length reads as, made of what it should.
    pub(crate) instance_length: fn(InstanceLength) -> InstanceLength,
}

impl Default for HeaderBehaviour {
    fn default() -> Self {
        Self {
            header: |header| header,
            instance_length: |length| length,
        }
    }
}

/// Capability registers and what stands behind them.
#[derive(Debug, Clone)]
pub(crate) struct CapabilityBehaviour {
    /// Turns what the instance is configured to be into what it goes by.
    pub(crate) real: Chain<fn(&mut Capabilities)>,
    /// What the registers read as, made of what they should.
    pub(crate) register_0: Chain<fn(Capabilities0) -> Capabilities0>,
    pub(crate) register_1: Chain<fn(Capabilities1) -> Capabilities1>,
    /// Where the range bitmap and the hotlist are said to be.
    pub(crate) range_bitmap: fn(Place) -> u64,
    pub(crate) hotlist: fn(Place) -> u64,
    /// The counter width in the status, made of what it should be.
    pub(crate) counter_width: fn(u8) -> u8,
}

impl Default for CapabilityBehaviour {
    fn default() -> Self {
        Self {
            real: Chain::default(),
            register_0: Chain::default(),
            register_1: Chain::default(),
            range_bitmap: |place| place.range_bitmap,
            hotlist: |place| place.hotlist.saturating_sub(place.start),
            counter_width: |width| width,
        }
    }
}

/// Values after power-on, and what a function-level reset leaves alone.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PowerOnBehaviour {
    pub(crate) request_code: u8,
    pub(crate) fill_level_threshold: u16,
    pub(crate) ranges_set: bool,
    pub(crate) overflow: bool,
    pub(crate) keeps_configuration: bool,
    pub(crate) keeps_ranges: bool,
    pub(crate) keeps_list: bool,
    pub(crate) keeps_enabled: bool,
}

/// A register's value and the bits that are written.
pub(crate) type Written = (u64, u64);

/// How registers take what is written to them.
#[derive(Debug, Clone)]
pub(crate) struct RegisterBehaviour {
    /// The instance that a write to a word reaches, made of the one that it should.
    pub(crate) reached_instance: fn(usize, word: u64) -> usize,
    /// The bits of a register that a write reaches, of those that it should; `word` has those of
    /// the whole word.
    pub(crate) reached: Chain<fn(&Register, word: u64, lanes: u64) -> u64>,
    /// Whether a write of these bits reaches the range bitmap.
    pub(crate) reaches_ranges: fn(lanes: u64) -> bool,
    /// Whether the configuration at an offset takes new values while the instance is enabled.
    pub(crate) is_never_locked: Chain<fn(offset: u64) -> bool>,
    /// What a configuration register holds after a write, made of what it should.
    pub(crate) kept: Chain<fn(&Register, new: u64, Written) -> u64>,
    /// Overflow and fill level after a write, of those that were set and those that should be.
    pub(crate) status: fn(&Register, old: u64, new: u64, Written) -> u64,
    /// Reading the status clears it.
    pub(crate) status_clears_on_read: bool,
    /// What the head reads as.
    pub(crate) head: fn(u16) -> u16,
    pub(crate) tail_is_writable: bool,
}

impl Default for RegisterBehaviour {
    fn default() -> Self {
        Self {
            reached_instance: |index, _| index,
            reached: Chain::default(),
            reaches_ranges: |_| true,
            is_never_locked: Chain::default(),
            kept: Chain::default(),
            status: |_, _, new, _| new,
            status_clears_on_read: false,
            head: |head| head,
            tail_is_writable: false,
        }
    }
}

/// Which configurations are refused.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SettingsBehaviour {
    /// Whether a counter of so many bits can reach a threshold.
    pub(crate) threshold_fits: fn(threshold: u32, counter_width: u8) -> bool,
    /// What a reserved request code stands for.
    pub(crate) reserved_request_code: Option<RequestFilter>,
    /// A reserved mode stands for epoch mode.
    pub(crate) reserved_mode_is_epoch: bool,
    /// Codes that are no epoch stand for the shortest.
    pub(crate) reserved_epoch_is_shortest: bool,
    /// Whether an epoch lies within the bounds.
    pub(crate) epoch_fits: fn(length_ns: u64, RangeInclusive<u64>) -> bool,
}

impl Default for SettingsBehaviour {
    fn default() -> Self {
        Self {
            threshold_fits: |threshold, width| u64::from(threshold) <= maximum_count(width),
            reserved_request_code: None,
            reserved_mode_is_epoch: false,
            reserved_epoch_is_shortest: false,
            epoch_fits: |length_ns, bounds| bounds.contains(&length_ns),
        }
    }
}

/// What an instance does, of which the enabled bit of the status tells.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Activity {
    pub(crate) counts: bool,
    pub(crate) is_being_enabled: bool,
    /// The enable bit of the configuration.
    pub(crate) enable: bool,
}

/// Enable, disable and reset.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OperationBehaviour {
    /// The operation in the status, of that in progress and whether the instance counts.
    pub(crate) shown: fn(Option<Operation>, counts: bool) -> Option<Operation>,
    /// The enabled bit of the status.
    pub(crate) shows_enabled: fn(Activity) -> bool,
    /// The enable bit after the enable was refused.
    pub(crate) refused_enable_sticks: bool,
    /// An enable of an enabled instance begins a global epoch.
    pub(crate) enable_restarts_epoch: bool,
    pub(crate) enable_empties_list: bool,
    pub(crate) disable_empties_list: bool,
    pub(crate) disable_keeps_counting: bool,
    pub(crate) disable_keeps_counters: bool,
    pub(crate) disable_loses_configuration: bool,
    pub(crate) reset_acts: bool,
    pub(crate) reset_bit_sticks: bool,
    pub(crate) reset_keeps_list: bool,
    pub(crate) reset_keeps_status: bool,
    pub(crate) reset_keeps_counters: bool,
    pub(crate) reset_keeps_enabled: bool,
    pub(crate) reset_loses_configuration: bool,
    pub(crate) reset_loses_ranges: bool,
}

impl Default for OperationBehaviour {
    fn default() -> Self {
        Self {
            shown: |operation, _| operation,
            shows_enabled: |activity| activity.counts,
            refused_enable_sticks: false,
            enable_restarts_epoch: false,
            enable_empties_list: false,
            disable_empties_list: false,
            disable_keeps_counting: false,
            disable_keeps_counters: false,
            disable_loses_configuration: false,
            reset_acts: true,
            reset_bit_sticks: false,
            reset_keeps_list: false,
            reset_keeps_status: false,
            reset_keeps_counters: false,
            reset_keeps_enabled: false,
            reset_loses_configuration: false,
            reset_loses_ranges: false,
        }
    }
}

/// Which requests count, how much and for how long.
#[derive(Debug, Clone)]
pub(crate) struct CountingBehaviour {
    /// Turns the rules of an enable into those that it goes by.
    pub(crate) rules: Chain<fn(&mut Rules, &Settings)>,
    /// How often a request moves a counter, by the number of enabled instances.
    pub(crate) counts_per_request: fn(enabled: usize) -> usize,
}

impl Default for CountingBehaviour {
    fn default() -> Self {
        Self {
            rules: Chain::default(),
            counts_per_request: |_| 1,
        }
    }
}

/// Which heads a hotlist accepts beside those between its head and its tail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum OtherHeads {
    #[default]
    None,
    PastTail,
    /// Those beyond the list, modulo its size.
    OutOfRange,
}

/// When a hotlist has no room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Full {
    #[default]
    OneFree,
    TwoFree,
    /// Never: head and tail are equal when it is full, as when it is empty.
    LooksEmpty,
    /// Never: the oldest entry makes room.
    Overwrites,
}

/// What becomes of hot units that wait for room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Backlog {
    #[default]
    OldestFirst,
    NewestFirst,
    Lost,
}

/// The ring of entries and the backlog behind it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct HotlistBehaviour {
    pub(crate) other_heads: OtherHeads,
    pub(crate) full: Full,
    pub(crate) backlog: Backlog,
}

/// Which of the hot units of an epoch come first, and so are kept where room is short.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Order {
    #[default]
    Hottest,
    Coldest,
    Lowest,
}

/// From hot units to entries.
#[derive(Debug, Clone)]
pub(crate) struct EntryBehaviour {
    /// What is said of a hot unit, made of what it is.
    pub(crate) said: Chain<fn(Entry, &Rules) -> Entry>,
    /// The entry for a hot unit.
    pub(crate) encode: fn(Entry, &Rules) -> u64,
    /// How often a hot unit is appended.
    pub(crate) copies: fn(&Rules) -> u8,
    pub(crate) order: Order,
    /// An entry is stored with the next one, after the tail has passed it.
    pub(crate) stored_late: bool,
}

impl Default for EntryBehaviour {
    fn default() -> Self {
        Self {
            said: Chain::default(),
            encode: |entry, rules| entry.encode(rules.counter_width),
            copies: |_| 1,
            order: Order::default(),
            stored_late: false,
        }
    }
}

/// What became of hot units for which the list had no room.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shortage {
    pub(crate) lost: bool,
    pub(crate) waiting: bool,
    /// The list has no room for another entry.
    pub(crate) full: bool,
}

/// Status bits that rose or are set, and interrupts that are enabled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct PerCondition {
    pub(crate) overflow: bool,
    pub(crate) fill_level: bool,
}

impl PerCondition {
    /// Whether a condition holds in both.
    pub(crate) const fn meets(self, other: Self) -> bool {
        self.overflow && other.overflow || self.fill_level && other.fill_level
    }

    /// Whether any of the conditions holds.
    pub(crate) const fn any(self) -> bool {
        self.overflow || self.fill_level
    }

    pub(crate) const fn swapped(self) -> Self {
        Self {
            overflow: self.fill_level,
            fill_level: self.overflow,
        }
    }
}

/// Status bits and interrupts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StatusBehaviour {
    /// The bits have changed places.
    pub(crate) bits_swapped: bool,
    /// Which conditions are looked at, of those that hold, with these interrupts enabled.
    pub(crate) seen: fn(holding: PerCondition, enabled: PerCondition) -> PerCondition,
    /// Whether a shortage of room is an overflow.
    pub(crate) overflows: fn(Shortage) -> bool,
    /// The end of an epoch overflows.
    pub(crate) epoch_overflows: bool,
    /// Whether so many entries are more than the fill-level threshold.
    pub(crate) is_filled: fn(occupancy: u16, threshold: u16) -> bool,
    /// The fill-level bit stays set until it is cleared.
    pub(crate) fill_level_latches: bool,
    /// The fill-level bit is set again after it was cleared.
    pub(crate) fill_level_rearms: bool,
    /// Whether an interrupt is sent for bits that rose, of those that are set, with these
    /// interrupts enabled.
    pub(crate) interrupts: fn(rose: PerCondition, set: PerCondition, enabled: PerCondition) -> bool,
    /// The end of an epoch interrupts.
    pub(crate) epoch_interrupts: bool,
    /// The first rise after a clear sends no interrupt.
    pub(crate) clear_mutes: bool,
}

impl Default for StatusBehaviour {
    fn default() -> Self {
        Self {
            bits_swapped: false,
            seen: |holding, _| holding,
            overflows: |shortage| shortage.lost,
            epoch_overflows: false,
            is_filled: |occupancy, threshold| occupancy > threshold,
            fill_level_latches: true,
            fill_level_rearms: true,
            interrupts: |rose, _, enabled| rose.meets(enabled),
            epoch_interrupts: false,
            clear_mutes: false,
        }
    }
}
