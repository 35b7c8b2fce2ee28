// SPDX-License-Identifier: GPL-2.0-or-later
//! Which accesses of each vCPU have no effect: all that the callback of an access looks at.
//!
//! The words of all vCPUs lie in one array, in a block for each at a fixed distance, so that the way from
//! the callback's arguments to the word that answers it is as short as can be. A vCPU's words are
//! written by its own thread alone, but for the one by which others call it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chmu_ring::LINE_BYTES;

use super::place;
use crate::vcpu::{MAX_ACCESS_BYTES, ends_in_line, next_line_in_page};

/// In a shortcut: the cached line is dirty already, so a store has nothing to do either.
const KNOWN_DIRTY: u64 = 1;
/// Canonical addresses repeat their bit 56, or 47, in the bits above. All but one of the copies
/// make room for the generation.
pub(super) const FIRST_GENERATION: u64 = 1 << 57;
pub(super) const LAST_GENERATION: u64 = 63 << 57;
/// In the generation of a vCPU that has to look up from its accesses: no shortcut matches it, because
/// bit 63 of a canonical address is that of bit 56.
const CALLED: u64 = 1 << 63;
/// No shortcut has this value: it is of generation 0.
const NO_SHORTCUT: u64 = 0;

/// Words of a block before its shortcuts: two lines of the host, so that the words of two vCPUs never
/// share one.
const HEADER_WORDS: usize = 16;
/// Where in the header the generation is.
const GENERATION: usize = 8;

/// The shortcuts of all vCPUs.
#[derive(Debug, Clone)]
pub(crate) struct Shortcuts {
    words: Arc<[AtomicU64]>,
    /// Shortcuts of each vCPU, a power of two.
    lines: usize,
    /// Words of each vCPU.
    stride: usize,
}

/// The shortcuts of one vCPU, for its thread.
#[derive(Debug)]
pub(crate) struct VcpuShortcuts {
    all: Shortcuts,
    start: usize,
}

impl Shortcuts {
    /// No shortcuts yet, with room for those of `lines` lines of each vCPU, a power of two.
    pub(crate) fn new(vcpus: u32, lines: usize) -> Self {
        debug_assert!(lines.is_power_of_two());
        let stride = HEADER_WORDS + lines;
        let words = (0..vcpus as usize * stride).map(|word| {
            AtomicU64::new(match word % stride {
                GENERATION => FIRST_GENERATION,
                _ => NO_SHORTCUT,
            })
        });
        Self {
            words: words.collect(),
            lines,
            stride,
        }
    }

    /// Those of one vCPU, which is there.
    pub(crate) fn of_vcpu(&self, vcpu: u32) -> VcpuShortcuts {
        VcpuShortcuts {
            all: self.clone(),
            start: vcpu as usize * self.stride,
        }
    }

    /// Whether an access of up to [`MAX_ACCESS_BYTES`] at `virtual_address` stays inside the caches
    /// and changes nothing, as most do.
    #[inline]
    pub(crate) fn is_settled(&self, vcpu: u32, virtual_address: u64, is_store: bool) -> bool {
        let start = vcpu as usize * self.stride;
        self.is_line_settled(start, virtual_address, is_store)
            && (ends_in_line(virtual_address, MAX_ACCESS_BYTES)
                || next_line_in_page(virtual_address)
                    .is_none_or(|next| self.is_line_settled(start, next, is_store)))
    }

    /// Has each vCPU look up before its next access, which no shortcut settles.
    pub(crate) fn call_all(&self) {
        for block in self.words.chunks(self.stride) {
            if let Some(generation) = block.get(GENERATION) {
                generation.fetch_or(CALLED, Ordering::SeqCst);
            }
        }
    }

    #[inline]
    fn is_line_settled(&self, start: usize, virtual_address: u64, is_store: bool) -> bool {
        let found = (
            self.words.get(start + GENERATION),
            self.words.get(self.place_of(start, virtual_address)),
        );
        let (Some(generation), Some(word)) = found else {
            return false;
        };
        let clean = line_of(virtual_address) ^ generation.load(Ordering::Relaxed);
        let word = word.load(Ordering::Relaxed);
        word == clean | KNOWN_DIRTY || !is_store && word == clean
    }

    #[inline]
    fn place_of(&self, start: usize, virtual_address: u64) -> usize {
        start + HEADER_WORDS + place(virtual_address, self.lines)
    }
}

impl VcpuShortcuts {
    /// Whether an access to the line of `virtual_address` stays inside the caches and changes
    /// nothing.
    #[inline]
    pub(crate) fn is_line_settled(&self, virtual_address: u64, is_store: bool) -> bool {
        self.all
            .is_line_settled(self.start, virtual_address, is_store)
    }

    /// Takes note that accesses to the line of `virtual_address` are settled: loads, and stores too
    /// if the line is dirty.
    #[inline]
    pub(crate) fn learn(&self, virtual_address: u64, is_dirty: bool) {
        let shortcut = line_of(virtual_address) ^ self.generation();
        let place = self.all.place_of(self.start, virtual_address);
        if let Some(word) = self.all.words.get(place) {
            word.store(
                shortcut | (u64::from(is_dirty) * KNOWN_DIRTY),
                Ordering::Relaxed,
            );
        }
    }

    /// Takes the shortcut of a virtual line away, unless that of another has taken its place. One
    /// too many costs a question to QEMU.
    #[inline]
    pub(super) fn forget(&self, line: u32) {
        let place = self.all.place_of(self.start, u64::from(line) * LINE_BYTES);
        if let Some(word) = self.all.words.get(place) {
            let found = word.load(Ordering::Relaxed);
            let is_another = virtual_line(found) != line;
            // No branch: nobody could predict it.
            let kept = found & 0_u64.wrapping_sub(u64::from(is_another));
            word.store(kept, Ordering::Relaxed);
        }
    }

    /// Forgets which virtual line is which cached line; the lines stay.
    pub(crate) fn forget_all(&self) {
        let words = &self.all.words;
        let block = words.get(self.start..self.start + self.all.stride);
        let Some((header, shortcuts)) =
            block.and_then(|block| block.split_at_checked(HEADER_WORDS))
        else {
            return;
        };
        let before = self.generation();
        let next = if before == LAST_GENERATION {
            for word in shortcuts {
                word.store(NO_SHORTCUT, Ordering::Relaxed);
            }
            FIRST_GENERATION
        } else {
            before + FIRST_GENERATION
        };
        // The bit of a call stays, whenever it comes.
        header[GENERATION].fetch_xor(before ^ next, Ordering::Relaxed);
    }

    /// Whether others have called this vCPU since it was asked last.
    #[inline]
    pub(crate) fn take_call(&self) -> bool {
        let Some(word) = self.all.words.get(self.start + GENERATION) else {
            return false;
        };
        word.load(Ordering::Relaxed) & CALLED != 0
            && word.fetch_and(!CALLED, Ordering::SeqCst) & CALLED != 0
    }

    fn generation(&self) -> u64 {
        let word = self.all.words.get(self.start + GENERATION);
        word.map_or(FIRST_GENERATION, |word| {
            word.load(Ordering::Relaxed) & !CALLED
        })
    }
}

#[inline]
fn line_of(address: u64) -> u64 {
    address & !(LINE_BYTES - 1)
}

/// The low bits of the number of a virtual line; above the largest array's length, so many that
/// two lines in use hardly ever agree in them.
#[inline]
#[allow(clippy::cast_possible_truncation)]
pub(super) fn virtual_line(address_or_shortcut: u64) -> u32 {
    (address_or_shortcut / LINE_BYTES) as u32
}
