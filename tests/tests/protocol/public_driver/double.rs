// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A double of the public drivers: what they do to registers when a user starts, drains and stops
//! a unit, written down from what is known of them, register by register.
//!
//! They take the range bitmap to reach from its own offset up to that of the hotlist, and map no
//! more of a block than its header and its instances.

use std::ops::Range;

use anyhow::{Result, bail, ensure};

use super::machine::Machine;
use super::window::Window;

const HEADER_BYTES: u64 = 0x10;
/// Drivers wait so long for an operation, and look so often.
const OPERATION_LOOKS: u32 = 100;
const LOOK_INTERVAL_NS: u64 = 1_000_000;
/// Words of a bitmap that are compared; the default memory needs one.
const PICTURED_WORDS: u64 = 8;

/// Where the drivers differ.
#[derive(Debug, Clone, Copy)]
pub(super) struct Variant {
    /// Bytes of an access to head and tail.
    pub(super) index_bytes: usize,
    /// Zeroes the word behind the last whole word of the bitmap.
    pub(super) word_behind: bool,
    /// Uses units that have no fill-level interrupt, by polling.
    pub(super) polls: bool,
}

/// The driver that was posted first, and two that followed.
pub(super) const VARIANTS: [Variant; 3] = [
    Variant {
        index_bytes: 2,
        word_behind: true,
        polls: false,
    },
    Variant {
        index_bytes: 4,
        word_behind: false,
        polls: true,
    },
    Variant {
        index_bytes: 8,
        word_behind: false,
        polls: true,
    },
];

/// How much of a block a driver maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Header and instances, as the public drivers do.
    Instances,
    /// Everything, as a driver does that knows of lists behind the instances.
    Everything,
}

/// What a unit can do, as far as drivers look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Abilities {
    pub(super) message: u32,
    pub(super) fill_level_interrupt: bool,
    overflow_interrupt: bool,
    request: u64,
    minimum_epoch: (u64, u64),
    pub(super) entries: u64,
    log2_unit: u64,
    pub(super) always_on: bool,
    pub(super) overlapping_ranges: bool,
    bitmap: u64,
    hotlist: u64,
}

/// A unit and its driver.
#[derive(Debug)]
pub(super) struct Driver {
    variant: Variant,
    window: Window,
    /// Bytes of the block's header and instances.
    instances_bytes: u64,
    /// Where the unit starts in its block.
    start: u64,
    pub(super) abilities: Abilities,
}

/// Instances of a block, and the bytes of each.
pub(super) fn instances(machine: &mut Machine, place: (u32, u64)) -> Result<(u64, u64)> {
    let header = Window::map(place, HEADER_BYTES);
    let instances = header.load(machine, 0, 8)? >> 8 & 0xff;
    Ok((instances, header.load(machine, 8, 8)? & 0xffff))
}

impl Driver {
    /// Looks at a unit and prepares to drive it.
    pub(super) fn probe(
        machine: &mut Machine,
        place: (u32, u64),
        instance: u64,
        variant: Variant,
        reach: Reach,
    ) -> Result<Self> {
        let (instances, length) = instances(machine, place)?;
        let instances_bytes = HEADER_BYTES + instances * length;
        let window = match reach {
            Reach::Instances => Window::map(place, instances_bytes),
            Reach::Everything => Window::map(place, u64::MAX),
        };
        let start = HEADER_BYTES + instance * length;
        let mut read = |offset| window.load(machine, start + offset, 8);
        let (first, second) = (read(0)?, read(8)?);
        let (bitmap, hotlist) = (read(0x10)?, read(0x18)?);
        let requests = first >> 8 & 0x3f;
        ensure!(requests != 0, "the unit tracks no requests");
        ensure!(second & 1 << 4 != 0, "the unit has no units of 4 KiB");
        ensure!(second & 1 << 32 != 0, "the unit always samples");
        Ok(Self {
            variant,
            abilities: Abilities {
                message: u32::try_from(first & 0xf)?,
                overflow_interrupt: first & 1 << 4 != 0,
                fill_level_interrupt: first & 1 << 5 != 0,
                // The last kind that is tracked is the most comprehensive one.
                request: u64::from(requests.ilog2()) + 1,
                minimum_epoch: (first >> 32 & 0xf, first >> 36 & 0xfff),
                entries: first >> 48,
                log2_unit: 12,
                always_on: second & 1 << 48 == 0,
                overlapping_ranges: second & 1 << 51 != 0,
                bitmap,
                hotlist,
            },
            window,
            instances_bytes,
            start,
        })
    }

    /// Whether the driver makes a unit of it.
    pub(super) fn takes(&self) -> bool {
        self.abilities.fill_level_interrupt || self.variant.polls
    }

    /// Whether the list lies inside of what the driver maps.
    pub(super) fn is_near(&self) -> bool {
        let Abilities {
            hotlist, entries, ..
        } = self.abilities;
        self.start + hotlist + 8 * entries <= self.instances_bytes
    }

    /// Words of the bitmap as the driver sees it.
    pub(super) fn bitmap_words(&self) -> u64 {
        (self.abilities.hotlist - self.abilities.bitmap) / 8
    }

    /// An epoch, at least.
    pub(super) fn epoch_ns(&self) -> u64 {
        let (scale, multiplier) = self.abilities.minimum_epoch;
        let scale_ns = match scale {
            1 => 100_000,
            2 => 1_000_000,
            3 => 10_000_000,
            4 => 100_000_000,
            _ => 1_000_000_000,
        };
        scale_ns * multiplier
    }

    /// Resets, programs and enables the unit: all of the bitmap, half of the list as fill level.
    pub(super) fn start(&mut self, machine: &mut Machine, threshold: u64) -> Result<()> {
        ensure!(
            self.load(machine, 0x60)? & 1 == 0,
            "the unit counts already"
        );
        let reset = 1 << 17;
        self.store(machine, 0x40, reset)?;
        self.finish(machine)?;
        let words = self.bitmap_words();
        self.program(machine, |driver, machine| {
            let bitmap = driver.abilities.bitmap;
            for word in 0..words {
                driver.store(machine, bitmap + 8 * word, u64::MAX)?;
            }
            if driver.variant.word_behind {
                driver.store(machine, bitmap + 8 * words, 0)?;
            }
            Ok(())
        })?;
        self.enable(machine, threshold)
    }

    /// Starts the unit as a careful driver would: on one range of 256 MiB, within the bitmap.
    pub(super) fn start_on_range(
        &mut self,
        machine: &mut Machine,
        range: u64,
        threshold: u64,
    ) -> Result<()> {
        self.program(machine, |driver, machine| {
            driver.store(machine, driver.abilities.bitmap, 1 << range)
        })?;
        self.enable(machine, threshold)
    }

    fn program(
        &mut self,
        machine: &mut Machine,
        write_ranges: impl FnOnce(&mut Self, &mut Machine) -> Result<()>,
    ) -> Result<()> {
        let Abilities {
            log2_unit,
            always_on,
            minimum_epoch: (scale, multiplier),
            entries,
            ..
        } = self.abilities;
        let mode = u64::from(always_on) << 40;
        self.store(
            machine,
            0x48,
            log2_unit | mode | scale << 48 | multiplier << 52,
        )?;
        write_ranges(self, machine)?;
        self.store(machine, 0x50, entries / 2)
    }

    fn enable(&mut self, machine: &mut Machine, threshold: u64) -> Result<()> {
        let Abilities {
            request,
            overflow_interrupt,
            fill_level_interrupt,
            ..
        } = self.abilities;
        let width = self.load(machine, 0x60)? >> 32 & 0xff;
        ensure!(threshold < 1 << width, "counters have {width} bits");
        let interrupts = u64::from(overflow_interrupt) << 9 | u64::from(fill_level_interrupt) << 10;
        let enable = 1 << 16;
        self.store(
            machine,
            0x40,
            request | interrupts | enable | threshold << 32,
        )?;
        self.finish(machine)?;
        ensure!(
            self.is_counting(machine)?,
            "no operation is in progress, and the unit does not count"
        );
        Ok(())
    }

    /// Whether the status says so.
    pub(super) fn is_counting(&self, machine: &mut Machine) -> Result<bool> {
        Ok(self.load(machine, 0x60)? & 1 == 1)
    }

    /// Answers an interrupt: reads the list, then clears the status bits that were set before.
    /// Returns the entries as unit and count; none when the interrupt was not for this unit.
    pub(super) fn interrupt(&mut self, machine: &mut Machine) -> Result<Option<Vec<(u64, u64)>>> {
        let status = self.load(machine, 0x60)?;
        if status & (1 << 40 | 1 << 41) == 0 {
            return Ok(None);
        }
        let entries = self.drain(machine)?;
        self.store(machine, 0x60, status)?;
        Ok(Some(entries))
    }

    /// Reads the list from head to tail, and moves the head.
    pub(super) fn drain(&mut self, machine: &mut Machine) -> Result<Vec<(u64, u64)>> {
        let Abilities {
            entries, hotlist, ..
        } = self.abilities;
        let width = self.load(machine, 0x60)? >> 32 & 0xff;
        let (head, tail) = self.head_and_tail(machine)?;
        ensure!(
            head < entries && tail < entries,
            "head {head} or tail {tail} lies outside of {entries} entries"
        );
        let occupied = (tail + entries - head) % entries;
        let mut found = Vec::new();
        for step in 0..occupied {
            let entry = self.load(machine, hotlist + (head + step) % entries * 8)?;
            found.push((entry >> width, entry & ((1 << width) - 1)));
        }
        let at = self.start + 0x68;
        let value = tail | tail << 16;
        let index_bytes = self.variant.index_bytes;
        let value = if index_bytes == 2 { tail } else { value };
        self.window.store(machine, at, index_bytes, value)?;
        Ok(found)
    }

    /// Stops the unit and reads what is left.
    pub(super) fn stop(&mut self, machine: &mut Machine) -> Result<Vec<(u64, u64)>> {
        let configuration = self.load(machine, 0x40)?;
        self.store(machine, 0x40, configuration & !(1 << 16))?;
        self.finish(machine)?;
        ensure!(!self.is_counting(machine)?, "the unit counts on");
        self.drain(machine)
    }

    fn head_and_tail(&self, machine: &mut Machine) -> Result<(u64, u64)> {
        let at = self.start + 0x68;
        let bytes = self.variant.index_bytes;
        let head = self.window.load(machine, at, bytes)?;
        let tail = match bytes {
            2 => self.window.load(machine, at + 2, 2)?,
            _ => head >> 16 & 0xffff,
        };
        Ok((head & 0xffff, tail))
    }

    /// Waits until no operation is in progress.
    fn finish(&self, machine: &mut Machine) -> Result<()> {
        for _ in 0..OPERATION_LOOKS {
            if self.load(machine, 0x60)? >> 16 & 0xffff == 0 {
                return Ok(());
            }
            machine.pass(LOOK_INTERVAL_NS)?;
        }
        bail!("an operation takes more than 100 ms")
    }

    fn load(&self, machine: &mut Machine, offset: u64) -> Result<u64> {
        self.window.load(machine, self.start + offset, 8)
    }

    fn store(&mut self, machine: &mut Machine, offset: u64, value: u64) -> Result<()> {
        self.window.store(machine, self.start + offset, 8, value)
    }

    /// Everything that can be read of the unit: registers, the bitmap's first words, and the list.
    pub(super) fn picture(&self, machine: &mut Machine) -> Result<Vec<u64>> {
        let Abilities {
            bitmap,
            hotlist,
            entries,
            ..
        } = self.abilities;
        let bitmap_end = hotlist.min(bitmap + 8 * PICTURED_WORDS);
        let list = hotlist..hotlist + 8 * entries;
        let parts: [Range<u64>; 3] = [0..0x70, bitmap..bitmap_end, list];
        let offsets = parts.into_iter().flat_map(|part| part.step_by(8));
        offsets.map(|offset| self.load(machine, offset)).collect()
    }

    /// Stores of the driver into its hotlist, in words from the list's start, since the last call.
    pub(super) fn stores_into_list(&mut self) -> Vec<u64> {
        let list = self.start + self.abilities.hotlist;
        let stores = std::mem::take(&mut self.window.stores);
        let into_list = stores.into_iter().filter(|store| store.start >= list);
        into_list.map(|store| (store.start - list) / 8).collect()
    }
}
