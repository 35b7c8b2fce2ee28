// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The registers of an instance, byte lane by byte lane, by the rules of the register table.

use chmu_spec::chmu::{
    BLOCK_HEADER_BYTES, Capabilities0, Configuration0, Configuration1, Configuration2,
    INSTANCE_TABLE, Status, offset,
};
use chmu_spec::register::{FieldAccess, Register};

use crate::behaviour::{Activity, PerCondition, PowerOnBehaviour};
use crate::event::{Event, Fault};
use crate::host::Host;
use crate::word::WordWrite;

use super::Instance;

/// The configuration.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Registers {
    pub(super) configuration_0: Configuration0,
    pub(super) configuration_1: Configuration1,
    pub(super) configuration_2: Configuration2,
}

/// What a driver wrote to a register, as the register numbers its bits.
#[derive(Debug, Clone, Copy)]
struct Written {
    value: u64,
    lanes: u64,
}

impl Registers {
    pub(super) fn power_on(behaviour: PowerOnBehaviour) -> Self {
        let fill_level = behaviour.fill_level_threshold;
        Self {
            configuration_0: Configuration0::new().with_request_code(behaviour.request_code),
            configuration_1: Configuration1::new(),
            configuration_2: Configuration2::new().with_fill_level_threshold(fill_level),
        }
    }

    /// Forgets the configuration.
    pub(super) fn clear_configuration(&mut self) {
        *self = Self::default();
    }
}

impl Instance {
    /// The 8 bytes at an offset from the start of the instance, a multiple of 8.
    pub(crate) fn read_word(&self, word: u64) -> u64 {
        if let Some(index) = self.range_word(word) {
            return self.ranges.word(index);
        }
        registers_of(word).fold(0, |read, register| {
            let shift = register.offset.saturating_sub(word).saturating_mul(8);
            let shift = u32::try_from(shift).unwrap_or(u32::MAX);
            read | self
                .register(register.offset)
                .checked_shl(shift)
                .unwrap_or(0)
        })
    }

    /// A driver's write. `range_is_taken` says that another instance tracks the same range and
    /// would not share it.
    pub(crate) fn write(
        &mut self,
        now_ns: u64,
        write: WordWrite,
        range_is_taken: bool,
        host: &mut impl Host,
    ) {
        if let Some(index) = self.range_word(write.word) {
            return self.write_range(index, write, host);
        }
        for register in registers_of(write.word) {
            let (value, lanes) = write.part(register.offset, register.width);
            let reached = self.behaviour.registers.reached.iter();
            let lanes = reached.fold(lanes, |lanes, link| link(register, write.lanes, lanes));
            if lanes != 0 {
                let written = Written { value, lanes };
                self.write_register(now_ns, register, written, range_is_taken, host);
            }
        }
    }

    fn write_register(
        &mut self,
        now_ns: u64,
        register: &Register,
        Written { value, lanes }: Written,
        range_is_taken: bool,
        host: &mut impl Host,
    ) {
        let old = self.register(register.offset);
        let locked = self.is_locked(register.offset);
        let new = register.write(old, value, lanes, locked);
        let asked = register.write(old, value, lanes, false);
        let switch_ignored = self.ignores_switch(register, old, asked, value & lanes);
        let change_ignored = new != asked && !is_plain_stop(register, old, asked, value & lanes);
        if switch_ignored || change_ignored {
            let offset = register.offset;
            self.note(Fault::Locked { offset }, host);
        }
        let kept = self.behaviour.registers.kept.iter();
        let kept = kept.fold(new, |new, link| link(register, new, (value, lanes)));
        match register.offset {
            offset::CONFIGURATION_0 => {
                let started = register.started(value, lanes);
                let reset = Configuration0::from_bits(started).reset();
                let new = Configuration0::from_bits(kept);
                self.write_configuration_0(now_ns, new, reset, range_is_taken, host);
            }
            offset::CONFIGURATION_1 => {
                self.registers.configuration_1 = Configuration1::from_bits(kept);
            }
            offset::CONFIGURATION_2 => {
                self.registers.configuration_2 = Configuration2::from_bits(kept);
            }
            offset::STATUS => {
                let left = (self.behaviour.registers.status)(register, old, new, (value, lanes));
                let left = Status::from_bits(left);
                self.status.write(PerCondition {
                    overflow: left.overflow(),
                    fill_level: left.fill_level(),
                });
            }
            offset::HOTLIST_HEAD => self.write_head(new, host),
            offset::HOTLIST_TAIL if self.behaviour.registers.tail_is_writable => {
                let tail = (old & !lanes) | (value & lanes);
                self.hotlist
                    .set_tail(u16::try_from(tail).unwrap_or(u16::MAX));
            }
            _ => {}
        }
    }

    /// The message number follows the messages that the host grants.
    fn shown_capabilities_0(&self) -> u64 {
        let shown = Capabilities0::from_bits(self.advertised.capabilities_0);
        let number = shown.message_number() & self.message_mask;
        shown.with_message_number(number).into_bits()
    }

    /// What a register reads as.
    fn register(&self, offset: u64) -> u64 {
        match offset {
            offset::CAPABILITIES_0 => self.shown_capabilities_0(),
            offset::CAPABILITIES_1 => self.advertised.capabilities_1,
            offset::RANGE_BITMAP_OFFSET => self.advertised.range_bitmap,
            offset::HOTLIST_OFFSET => self.advertised.hotlist,
            offset::CONFIGURATION_0 => self.registers.configuration_0.into_bits(),
            offset::CONFIGURATION_1 => self.registers.configuration_1.into_bits(),
            offset::CONFIGURATION_2 => self.registers.configuration_2.into_bits(),
            offset::STATUS => self.status().into_bits(),
            offset::HOTLIST_HEAD => {
                let head = self.behaviour.registers.head;
                u64::from(head(self.hotlist.head()))
            }
            offset::HOTLIST_TAIL => u64::from(self.hotlist.tail()),
            _ => 0,
        }
    }

    fn status(&self) -> Status {
        let unit_size = self.registers.configuration_1.unit_size();
        let width = unit_size
            .filter(|size| self.capabilities.unit_sizes.contains(*size))
            .map_or(0, |size| self.capabilities.counter_widths.of(size));
        let status = self.status.shown(self.is_filled());
        Status::new()
            .with_enabled(self.is_shown_enabled())
            .with_operation_code(self.operation_code())
            .with_counter_width((self.behaviour.capabilities.counter_width)(width))
            .with_overflow(status.overflow)
            .with_fill_level(status.fill_level)
    }

    /// Clears what a read of the status should have left alone.
    pub(crate) fn clear_read_status(&mut self) {
        self.status.clear();
    }

    /// Whether the status says enabled.
    fn is_shown_enabled(&self) -> bool {
        (self.behaviour.operations.shows_enabled)(Activity {
            counts: self.is_enabled(),
            is_being_enabled: self.is_being_enabled(),
            enable: self.registers.configuration_0.enable(),
        })
    }

    /// Whether the configuration at an offset is fixed.
    fn is_locked(&self, offset: u64) -> bool {
        let busy = self.is_shown_enabled() || self.operations.is_busy();
        let mut never_locked = self.behaviour.registers.is_never_locked.iter();
        busy && !never_locked.any(|is_never_locked| is_never_locked(offset))
    }

    /// Whether a write of the bits `set` wants to enable or disable the instance while an
    /// operation is in progress.
    fn ignores_switch(&self, register: &Register, old: u64, asked: u64, set: u64) -> bool {
        register.offset == offset::CONFIGURATION_0
            && self.operations.is_busy()
            && !Configuration0::from_bits(set).reset()
            && is_enable_set(old) != is_enable_set(asked)
    }

    /// Acts on what a write made of the first configuration register. While an operation is in
    /// progress, the enable bit stays what it is; a reset is always obeyed.
    fn write_configuration_0(
        &mut self,
        now_ns: u64,
        new: Configuration0,
        reset: bool,
        range_is_taken: bool,
        host: &mut impl Host,
    ) {
        let old = self.registers.configuration_0;
        let enable = if self.operations.is_busy() {
            old.enable()
        } else {
            new.enable()
        };
        self.registers.configuration_0 = new.with_enable(enable);
        if reset && self.behaviour.operations.reset_acts {
            self.reset(now_ns, host);
        } else if enable && !old.enable() {
            self.enable(now_ns, range_is_taken, host);
        } else if old.enable() && !enable {
            self.disable(now_ns, host);
        } else if enable && self.behaviour.operations.enable_restarts_epoch {
            self.restart_epoch(now_ns);
        }
    }

    /// Moves the head and lets waiting units into the room behind it.
    fn write_head(&mut self, head: u64, host: &mut impl Host) {
        let head = u16::try_from(head).unwrap_or(u16::MAX);
        if self.hotlist.set_head(head) {
            self.refill(host);
        } else {
            let fault = Fault::Head {
                head,
                kept: self.hotlist.head(),
                tail: self.hotlist.tail(),
            };
            self.note(fault, host);
        }
    }

    fn write_range(&mut self, index: usize, write: WordWrite, host: &mut impl Host) {
        if !(self.behaviour.registers.reaches_ranges)(write.lanes) {
            return;
        }
        if self.is_locked(write.word) {
            let changed = (self.ranges.word(index) ^ write.value) & write.lanes;
            if changed != 0 {
                self.note(Fault::Locked { offset: write.word }, host);
            }
        } else {
            self.ranges.set_word(index, write.value, write.lanes);
        }
    }

    /// The word of the range bitmap that lies at this offset.
    fn range_word(&self, word: u64) -> Option<usize> {
        let inside = word.checked_sub(self.place.range_bitmap)?;
        if inside < self.ranges.bytes() {
            usize::try_from(inside >> 3).ok()
        } else {
            None
        }
    }

    fn note(&self, fault: Fault, host: &mut impl Host) {
        host.event(Event::Fault {
            instance: Some(self.place.number),
            fault,
        });
    }
}

/// Whether a write of the bits `set` only disables or resets the instance. Drivers do that by
/// writing zeroes to the rest of the register as well, and want no other configuration.
fn is_plain_stop(register: &Register, old: u64, asked: u64, set: u64) -> bool {
    let resets = Configuration0::from_bits(set).reset();
    register.offset == offset::CONFIGURATION_0
        && (resets || is_enable_set(old) && !is_enable_set(asked))
        && set & register.mask(FieldAccess::ReadWriteUnlocked) == 0
}

fn is_enable_set(configuration_0: u64) -> bool {
    Configuration0::from_bits(configuration_0).enable()
}

/// The registers in the word at an offset.
fn registers_of(word: u64) -> impl Iterator<Item = &'static Register> {
    let end = word.saturating_add(8);
    INSTANCE_TABLE
        .iter()
        .filter(move |register| (word..end).contains(&register.offset))
}

// The instance's words are the block's words: both are counted from multiples of 8.
const _: () = assert!(BLOCK_HEADER_BYTES.is_multiple_of(8));
