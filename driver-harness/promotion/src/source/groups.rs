// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the numbers of windows of time in which pages were accessed tell together.
//!
//! Pages that are accessed about equally often make a heap: in few of the windows when these are short, in all of
//! them when they are long. Windows serve when the heap of the hottest pages is at the top and the next one is far
//! below. The slope of a heap falls faster and faster (its logarithm is concave), so that what it has at one
//! distance bounds what it has beyond.

/// Parts of all windows that are told apart.
const PARTS: u64 = 20;
/// Pages may be hot from so many parts of all windows on.
const LEAST: u64 = 15;
/// In nearly all windows.
const NEARLY: u64 = 19;
/// How far below a threshold a heap is looked at, and again below that.
const STEP: u64 = 3;
/// What lies just below a threshold is at most one part in so many of what is above,
const NEAR_PART: u64 = 8;
/// and what is expected above of a heap that lies below is at most one page in so many.
const STRAYS_PART: u64 = 4;
/// Beside so many hot pages one may be accessed in nearly all short windows, by chance: those of one epoch, and those
/// of two.
const CHANCE_PART: u64 = 64;
const CHANCE_PART_OF_TWO: u64 = 256;
/// What is between is large beside the hot pages when it is more than one part in so many.
const LARGE_PART: u64 = 4;

/// How many pages were accessed in how many of so many windows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    windows: u64,
    /// Pages by the number of their windows, ascending, each at least 1.
    pages: Vec<(u64, u64)>,
}

/// What windows of this length tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Groups {
    /// Pages that were accessed in at least so many are hot, and others are not.
    Apart {
        /// So many.
        least: u64,
    },
    /// No page is accessed in nearly all.
    TooShort,
    /// Pages that are accessed less often are accessed in many as well.
    TooLong,
    /// More windows may tell.
    Unclear,
}

impl Shape {
    /// From the number of windows of each page.
    pub(super) fn of(windows: u64, hits: impl Iterator<Item = u64>) -> Shape {
        let mut pages = std::collections::BTreeMap::new();
        hits.for_each(|hits| *pages.entry(hits).or_default() += 1);
        Shape {
            windows,
            pages: pages.into_iter().collect(),
        }
    }

    /// Pages with at least so many windows.
    fn with(&self, least: u64) -> u64 {
        let hit = self.pages.iter().filter(|(hits, _)| *hits >= least);
        hit.map(|(_, pages)| pages).sum()
    }

    /// Pages in at least so many parts of all windows.
    fn from(&self, part: u64) -> u64 {
        self.with(self.least(part))
    }

    fn least(&self, part: u64) -> u64 {
        (part * self.windows).div_ceil(PARTS)
    }

    /// Whether no page was in more than a few of these, although some are in use.
    pub(super) fn are_much_too_short(&self) -> bool {
        !self.pages.is_empty() && self.from(LEAST) == 0
    }

    /// Whether pages are in nearly all of these short windows, of two epochs with so many hot pages.
    pub(super) fn are_too_long(&self, hot: u64) -> bool {
        self.in_nearly_all() * CHANCE_PART_OF_TWO > hot
    }

    /// Pages in nearly all windows.
    fn in_nearly_all(&self) -> u64 {
        self.from(NEARLY)
    }

    /// The threshold above which the hottest pages are alone; the one below which least is expected.
    fn valley(&self) -> Option<u64> {
        let alone = (LEAST..=PARTS).filter_map(|part| Some((self.strays(part)?, part)));
        let (_, part) = alone.min()?;
        Some(self.least(part))
    }

    /// Bounds the pages in at least `part` of all windows that belong to a heap below, in thousandths of a page;
    /// none when that is too many, or nothing is there.
    fn strays(&self, part: u64) -> Option<u64> {
        let hot = self.from(part);
        let near = self.from(part - STEP) - hot;
        let far = self.from(part - 2 * STEP) - hot - near;
        // Each step up a slope is at least as steep as the one before: near * (near / far + (near / far)^2 + ...).
        let strays = match near {
            0 => 0,
            _ => (1000 * near * near).checked_div(far.saturating_sub(near))?,
        };
        let is_alone = hot > 0 && near * NEAR_PART <= hot && strays * STRAYS_PART <= 1000;
        is_alone.then_some(strays)
    }

    /// What these windows tell, beside those of a quarter of their length where there are any. `is_last` when no more
    /// will be added.
    pub(super) fn groups(&self, short: Option<&Shape>, is_last: bool) -> Groups {
        let hot = self.from(LEAST);
        let far_too_hot = short.map_or(0, Shape::in_nearly_all);
        if far_too_hot * CHANCE_PART > hot {
            return Groups::TooLong;
        }
        if let Some(least) = self.valley() {
            return Groups::Apart { least };
        }
        let between = self.from(LEAST - STEP) - self.in_nearly_all();
        let is_top_empty = match is_last {
            // A heap whose slope reaches up there has no page in all of so many windows.
            true => self.with(self.windows) == 0,
            false => self.in_nearly_all() == 0,
        };
        match (is_top_empty, is_last) {
            (true, _) if self.pages.is_empty() => Groups::Unclear,
            (true, _) if far_too_hot == 0 => Groups::TooShort,
            (false, true) if between * LARGE_PART > self.in_nearly_all() => Groups::TooLong,
            _ => Groups::Unclear,
        }
    }
}
