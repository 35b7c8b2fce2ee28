// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The regions of DAMON's monitoring target, each two files that stay open.
//!
//! Making the files costs more than writing them, so their number only grows; those that a batch
//! does not need name frames that no machine has, which DAMON passes over.

use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use chmu_machine::memory::PAGE_BYTES;
use chmu_machine::sysfs_file::SysfsError;

use crate::damon::control;

/// So many slots more are made at once.
const SLOTS_STEP: usize = 64;
/// DAMON compares each old region with each new one: with more it gets slow.
const SLOTS_MAX: usize = 1024;
/// Files that the rest of the program may need.
const OTHER_FILES: u64 = 64;
/// The longest address: its prefix, sixteen digits, the line's end.
const ADDRESS_TEXT: usize = 19;
/// The first frame of unused slots: physical addresses have at most 52 bits.
const NO_FRAME: u64 = 1 << 40;

#[derive(Debug)]
struct Slot {
    start: File,
    end: File,
    frames: Range<u64>,
}

/// All slots of the target.
#[derive(Debug)]
pub(super) struct Slots {
    folder: PathBuf,
    slots: Vec<Slot>,
    limit: usize,
}

impl Slots {
    /// `folder` is the target's `regions`; `sharers` have the files that may be open between them.
    pub(super) fn new(folder: PathBuf, sharers: u64) -> Slots {
        Slots {
            folder,
            slots: Vec::new(),
            limit: slot_limit(raise_file_limit() / sharers),
        }
    }

    /// How many regions fit.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes of all regions, unused slots included.
    pub(super) fn bytes(&self) -> u64 {
        let frames = self
            .slots
            .iter()
            .map(|slot| slot.frames.end - slot.frames.start);
        frames.sum::<u64>().saturating_mul(PAGE_BYTES)
    }

    /// Writes the regions, at most [`Slots::limit`]: ranges of frames, ascending.
    pub(super) fn program(&mut self, regions: &[Range<u64>]) -> Result<(), SysfsError> {
        if regions.len() > self.slots.len() {
            let wanted = regions.len().next_multiple_of(SLOTS_STEP);
            let wanted = wanted.max(self.slots.len().saturating_mul(2));
            self.make(wanted.min(self.limit))?;
        }
        for number in 0..self.slots.len() {
            let frames = regions.get(number).cloned();
            self.write(number, frames.unwrap_or_else(|| unused(number)))?;
        }
        Ok(())
    }

    /// Makes `count` slots; the kernel forgets those it had.
    fn make(&mut self, count: usize) -> Result<(), SysfsError> {
        self.slots.clear();
        control::write(&self.folder.join("nr_regions"), &count.to_string())?;
        for number in 0..count {
            let slot = self.folder.join(number.to_string());
            self.slots.push(Slot {
                start: open(&slot.join("start"))?,
                end: open(&slot.join("end"))?,
                frames: 0..0,
            });
        }
        Ok(())
    }

    fn write(&mut self, number: usize, frames: Range<u64>) -> Result<(), SysfsError> {
        let slot = &mut self.slots[number];
        if slot.frames == frames {
            return Ok(());
        }
        for (file, name, frame) in [
            (&slot.start, "start", frames.start),
            (&slot.end, "end", frames.end),
        ] {
            let mut text = [0; ADDRESS_TEXT];
            let value = address_text(frame.saturating_mul(PAGE_BYTES), &mut text);
            file.write_all_at(value, 0)
                .map_err(|source| SysfsError::Write {
                    path: self.folder.join(number.to_string()).join(name),
                    value: String::from_utf8_lossy(value).into_owned(),
                    source,
                })?;
        }
        slot.frames = frames;
        Ok(())
    }
}

/// An address as the kernel takes it: the shorter, the less there is to read for it.
fn address_text(address: u64, text: &mut [u8; ADDRESS_TEXT]) -> &[u8] {
    let mut start = text.len() - 1;
    text[start] = b'\n';
    let mut rest = address;
    loop {
        start -= 1;
        text[start] = b"0123456789abcdef"[(rest & 0xf) as usize];
        rest >>= 4;
        if rest == 0 {
            break;
        }
    }
    start -= 2;
    text[start..start + 2].copy_from_slice(b"0x");
    &text[start..]
}

/// The frames of a slot without a region, apart from those of its neighbours.
pub(super) fn unused(number: usize) -> Range<u64> {
    let start = NO_FRAME + 2 * number as u64;
    start..start + 1
}

fn open(path: &Path) -> Result<File, SysfsError> {
    let file = OpenOptions::new().write(true).open(path);
    file.map_err(|source| SysfsError::Write {
        path: path.to_owned(),
        value: String::new(),
        source,
    })
}

/// Each slot keeps two files open.
fn slot_limit(file_limit: u64) -> usize {
    let slots = file_limit.saturating_sub(OTHER_FILES) / 2;
    usize::try_from(slots)
        .unwrap_or(SLOTS_MAX)
        .clamp(1, SLOTS_MAX)
}

/// Allows this process as many open files as it may have; returns how many.
fn raise_file_limit() -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a writable rlimit.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return 0;
    }
    let raised = libc::rlimit {
        rlim_cur: limit.rlim_max,
        ..limit
    };
    // SAFETY: `raised` is an initialised rlimit.
    match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } {
        0 => raised.rlim_cur,
        _ => limit.rlim_cur,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_as_many_as_files_may_be_open() {
        assert_eq!(slot_limit(0), 1);
        assert_eq!(slot_limit(1024), 480);
        assert_eq!(slot_limit(4096), SLOTS_MAX);
        assert_eq!(slot_limit(u64::MAX), SLOTS_MAX);
    }

    #[test]
    fn addresses_are_written_in_hexadecimal() {
        for address in [0, 0xf, 0x10, 0x1_2345_6000, u64::MAX] {
            let mut text = [0; ADDRESS_TEXT];
            let expected = format!("{address:#x}\n");
            assert_eq!(address_text(address, &mut text), expected.as_bytes());
        }
    }

    #[test]
    fn unused_slots_are_ascending_and_apart() {
        assert!(unused(0).end < unused(1).start);
        assert!(unused(SLOTS_MAX).end < u64::MAX / PAGE_BYTES);
    }
}
