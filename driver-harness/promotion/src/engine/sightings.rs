// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Pages that were reported again and again, where one report alone says little.
//!
//! Below the usual settings a source reports every page that is touched at all: by a program that reads
//! its memory through once, or by a cache that writes back what was written long ago. Neither comes back;
//! a page that is hot does.

use std::collections::BTreeMap;

use chmu_spec::address::Pfn;

/// Windows in which a page is reported before it is believed to be hot.
const WINDOWS: u8 = 3;
/// A page that was not reported for so many windows is forgotten.
const APART: u64 = 4;

/// The frames that a source reported lately.
#[derive(Debug, Default)]
pub(super) struct Sightings {
    window: u64,
    /// In how many windows a frame was reported, and in which last.
    seen: BTreeMap<Pfn, (u8, u64)>,
}

impl Sightings {
    /// The next window begins.
    pub(super) fn begin_window(&mut self) {
        self.window += 1;
        let window = self.window;
        self.seen.retain(|_, (_, last)| *last + APART >= window);
    }

    /// Takes note of a frame; says whether it was reported often enough.
    pub(super) fn see(&mut self, frame: Pfn) -> bool {
        let window = self.window;
        let (windows, last) = self.seen.entry(frame).or_insert((1, window));
        if *last != window {
            *windows = windows.saturating_add(1);
            *last = window;
        }
        *windows >= WINDOWS
    }

    /// Other settings report other pages.
    pub(super) fn forget(&mut self) {
        self.seen.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_believed_in_the_third_window() {
        let mut sightings = Sightings::default();
        let (often, once) = (Pfn(1), Pfn(2));
        assert!(!sightings.see(once));
        for believed in [false, false, true, true] {
            assert_eq!(sightings.see(often), believed);
            assert_eq!(sightings.see(often), believed, "the same window");
            sightings.begin_window();
        }
        assert!(!sightings.see(once));
        sightings.forget();
        assert!(!sightings.see(often));
    }

    #[test]
    fn sightings_far_apart_are_forgotten() {
        let mut sightings = Sightings::default();
        for apart in [APART, APART + 1] {
            let frame = Pfn(apart);
            let mut believed = false;
            for _ in 0..WINDOWS {
                believed = sightings.see(frame);
                (0..apart).for_each(|_| sightings.begin_window());
            }
            assert_eq!(believed, apart == APART);
        }
    }
}
