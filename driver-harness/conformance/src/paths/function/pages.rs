// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which device memory some pages show.

use std::collections::HashMap;
use std::ops::Range;

use chmu_driver::translation::Translation;
use chmu_machine::memory::PAGE_BYTES;
use chmu_spec::address::{Dpa, Hpa, Pfn};
use chmu_spec::interleave::DecoderWindow;

/// Pages of this process that show device memory.
#[derive(Debug)]
pub(super) struct Pages {
    translation: Translation,
    /// Page numbers by frame.
    numbers: HashMap<Pfn, u64>,
    reachable: Vec<Range<Dpa>>,
}

impl Pages {
    /// Pages whose frames are `frames`, in this order; those that show none of the device's memory
    /// are left out.
    pub(super) fn new(translation: Translation, frames: &[Option<Pfn>]) -> Self {
        let mut numbers = HashMap::new();
        let mut pieces = Vec::new();
        for (number, frame) in (0..).zip(frames) {
            let Some(frame) = frame else { continue };
            let before = pieces.len();
            for window in translation.windows() {
                add_pieces(window, *frame, &mut pieces);
            }
            if pieces.len() > before {
                numbers.insert(*frame, number);
            }
        }
        pieces.sort_by_key(|piece: &Range<Dpa>| piece.start);
        pieces.dedup_by(|next, last| {
            let touches = next.start == last.end;
            if touches {
                last.end = next.end;
            }
            touches
        });
        Self {
            translation,
            numbers,
            reachable: pieces,
        }
    }

    /// The device memory that the pages show, ascending.
    pub(super) fn reachable(&self) -> &[Range<Dpa>] {
        &self.reachable
    }

    /// The page that shows a byte of device memory, and where in the page it lies.
    pub(super) fn find(&self, dpa: Dpa) -> Option<(u64, u64)> {
        let windows = self.translation.windows().iter();
        let hpa = windows.copied().find_map(|window| window.hpa(dpa))?;
        let number = self.numbers.get(&hpa.pfn())?;
        Some((*number, hpa.0 % PAGE_BYTES))
    }
}

/// The device memory of one window that a frame shows.
fn add_pieces(window: &DecoderWindow, frame: Pfn, pieces: &mut Vec<Range<Dpa>>) {
    let Some(start) = frame.start() else { return };
    let step = match window.interleave.ways() {
        1 => PAGE_BYTES,
        _ => PAGE_BYTES.min(window.interleave.granularity_bytes().into()),
    };
    let mut offset = 0;
    while offset < PAGE_BYTES {
        if let Some(dpa) = window.dpa(Hpa(start.0 + offset)) {
            pieces.push(dpa..Dpa(dpa.0.saturating_add(step)));
        }
        offset += step;
    }
}

#[cfg(test)]
mod tests {
    use chmu_spec::interleave::Interleave;
    use proptest::prelude::*;

    use super::*;

    fn translation(ways: u8, granularity: u32, position: u8) -> Translation {
        let window = DecoderWindow {
            base: Hpa(1 << 32),
            size_bytes: u64::from(ways) << 28,
            interleave: Interleave::new(ways, granularity).unwrap(),
            position,
            dpa_base: Dpa(1 << 28),
        };
        Translation::new(vec![window]).unwrap()
    }

    #[test]
    fn neighbouring_frames_show_one_range() {
        let first = (1 << 20) + 16;
        let frames = [first + 1, first, first + 3, 7].map(|frame| Some(Pfn(frame)));
        let pages = Pages::new(translation(1, 256, 0), &frames);
        let at = |page: u64| Dpa((1 << 28) + page * PAGE_BYTES);
        assert_eq!(pages.reachable(), [at(16)..at(18), at(19)..at(20)]);
        assert_eq!(pages.find(Dpa(at(16).0 + 64)), Some((1, 64)));
        assert_eq!(pages.find(at(18)), None);
        assert_eq!(pages.find(Dpa(0)), None);
    }

    proptest! {
        /// Every byte of the pages belongs to this device or is in no range.
        #[test]
        fn what_is_reachable_is_found(
            ways in prop::sample::select(vec![1_u8, 2, 3, 4, 8]),
            granularity in prop::sample::select(vec![256_u32, 1024, 4096, 16384]),
            position in 0..8_u8,
            frames in prop::collection::btree_set(0..200_u64, 1..40),
        ) {
            let translation = translation(ways, granularity, position % ways);
            let frames: Vec<_> = frames.iter().map(|frame| Some(Pfn((1 << 20) + frame))).collect();
            let pages = Pages::new(translation.clone(), &frames);
            let mut lines = 0;
            for range in pages.reachable() {
                for dpa in (range.start.0..range.end.0).step_by(64) {
                    let (page, offset) = pages.find(Dpa(dpa)).unwrap();
                    let frame = frames[usize::try_from(page).unwrap()].unwrap();
                    let hpa = Hpa(frame.0 * PAGE_BYTES + offset);
                    prop_assert_eq!(translation.windows()[0].dpa(hpa), Some(Dpa(dpa)));
                    lines += 1;
                }
            }
            let own = frames.iter().flatten().flat_map(|frame| {
                (0..64).map(|line| Hpa(frame.0 * PAGE_BYTES + line * 64))
            });
            let own = own.filter(|hpa| translation.windows()[0].dpa(*hpa).is_some());
            prop_assert_eq!(lines, own.count());
        }
    }
}
