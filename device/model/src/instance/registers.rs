// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The registers of an instance, byte lane by byte lane, by the rules of the register table.

use chmu_spec::chmu::{
    BLOCK_HEADER_BYTES, Configuration0, Configuration1, Configuration2, INSTANCE_TABLE, Status,
    offset,
};
use chmu_spec::register::Register;

use crate::event::{Event, Fault};
use crate::host::Host;
use crate::layout::RANGE_BITMAP_OFFSET;
use crate::word::WordWrite;

use super::Instance;

/// What the registers hold; reads of the status put it together with the rest.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Registers {
    pub(super) configuration_0: Configuration0,
    pub(super) configuration_1: Configuration1,
    pub(super) configuration_2: Configuration2,
    pub(super) overflow: bool,
    pub(super) fill_level: bool,
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
            if lanes == 0 {
                continue;
            }
            let old = self.register(register.offset);
            let new = register.write(old, value, lanes, self.is_locked());
            self.note_locked(register, old, (value, lanes), host);
            match register.offset {
                offset::CONFIGURATION_0 => {
                    let reset = Configuration0::from_bits(register.started(value, lanes)).reset();
                    let new = Configuration0::from_bits(new);
                    self.write_configuration_0(now_ns, new, reset, range_is_taken, host);
                }
                offset::CONFIGURATION_1 => {
                    self.registers.configuration_1 = Configuration1::from_bits(new);
                }
                offset::CONFIGURATION_2 => {
                    self.registers.configuration_2 = Configuration2::from_bits(new);
                }
                offset::STATUS => {
                    let new = Status::from_bits(new);
                    self.registers.overflow = new.overflow();
                    self.registers.fill_level = new.fill_level();
                }
                offset::HOTLIST_HEAD => self.write_head(new, host),
                _ => {}
            }
        }
    }

    /// What a register reads as.
    fn register(&self, offset: u64) -> u64 {
        match offset {
            offset::CAPABILITIES_0 => self.capabilities.register_0(),
            offset::CAPABILITIES_1 => self.capabilities.register_1(),
            offset::RANGE_BITMAP_OFFSET => RANGE_BITMAP_OFFSET,
            offset::HOTLIST_OFFSET => self.place.hotlist.saturating_sub(self.place.start),
            offset::CONFIGURATION_0 => self.registers.configuration_0.into_bits(),
            offset::CONFIGURATION_1 => self.registers.configuration_1.into_bits(),
            offset::CONFIGURATION_2 => self.registers.configuration_2.into_bits(),
            offset::STATUS => self.status().into_bits(),
            offset::HOTLIST_HEAD => u64::from(self.hotlist.head()),
            offset::HOTLIST_TAIL => u64::from(self.hotlist.tail()),
            _ => 0,
        }
    }

    fn status(&self) -> Status {
        let unit_size = self.registers.configuration_1.unit_size();
        let counter_width = unit_size
            .filter(|size| self.capabilities.unit_sizes.contains(*size))
            .map_or(0, |size| self.capabilities.counter_widths.of(size));
        Status::new()
            .with_enabled(self.is_enabled())
            .with_operation_code(
                self.operation
                    .as_ref()
                    .map_or(0, |operation| operation.code()),
            )
            .with_counter_width(counter_width)
            .with_overflow(self.registers.overflow)
            .with_fill_level(self.registers.fill_level)
    }

    /// Whether the configuration is fixed.
    fn is_locked(&self) -> bool {
        self.is_enabled() || self.operation.is_some()
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
        let enable = if self.operation.is_some() {
            old.enable()
        } else {
            new.enable()
        };
        self.registers.configuration_0 = new.with_enable(enable);
        if reset {
            self.reset(now_ns, host);
        } else if enable && !old.enable() {
            self.enable(now_ns, range_is_taken, host);
        } else if old.enable() && !enable {
            self.disable(now_ns, host);
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
        if self.is_locked() {
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
        let inside = word.checked_sub(RANGE_BITMAP_OFFSET)?;
        if inside < self.ranges.bytes() {
            usize::try_from(inside >> 3).ok()
        } else {
            None
        }
    }

    /// Reports a write that would have changed what is fixed.
    fn note_locked(
        &self,
        register: &Register,
        old: u64,
        (value, lanes): (u64, u64),
        host: &mut impl Host,
    ) {
        let unlocked = register.write(old, value, lanes, false);
        if unlocked != register.write(old, value, lanes, self.is_locked()) {
            let offset = register.offset;
            self.note(Fault::Locked { offset }, host);
        }
    }

    fn note(&self, fault: Fault, host: &mut impl Host) {
        host.event(Event::Fault {
            instance: Some(self.place.number),
            fault,
        });
    }
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
