// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A page that nobody uses. Once whoever watches memory calls it idle, they have looked for long enough, and what they
//! do not call idle was used. Without it nobody can tell pages that are all in use from eyes that are shut.

use chmu_machine::memory::Buffer;
use chmu_machine::memory::page_map::{PageMap, PageMapError};
use chmu_spec::address::Pfn;

/// One of these is next to none of the watched frames, nearly always.
const PAGES: u64 = 8;

/// Pages of this program, written once and never again.
#[derive(Debug)]
pub(super) struct Witness {
    pages: Buffer,
}

impl Witness {
    /// Takes the pages; none when the kernel gives none.
    pub(super) fn new() -> Option<Witness> {
        let pages = Buffer::map(PAGES).inspect_err(|error| {
            log::debug!("No page bears witness to how long fast memory is watched: {error}");
        });
        let mut pages = pages.ok()?;
        (0..PAGES).for_each(|page| pages.write(page, 0, 1));
        Some(Witness { pages })
    }

    /// The frame in which one of them is now, apart from all of these; none where the kernel does not say or none is.
    pub(super) fn frame_apart_from(&self, frames: &[Pfn]) -> Option<Pfn> {
        let own: Result<_, PageMapError> = PageMap::open(std::process::id())
            .and_then(|map| map.frames(self.pages.address(), self.pages.pages()));
        first_apart(own.ok()?.into_iter().flatten(), frames)
    }
}

/// The first that is neither one of `frames`, which are ascending, nor next to one: DAMON takes neighbours that are
/// alike for one.
fn first_apart(mut own: impl Iterator<Item = Pfn>, frames: &[Pfn]) -> Option<Pfn> {
    own.find(|own| {
        let after = frames.partition_point(|frame| frame.0.saturating_add(1) < own.0);
        frames
            .get(after)
            .is_none_or(|next| next.0 > own.0.saturating_add(1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_next_to_a_watched_one_is_passed_over() {
        let watched = [Pfn(10), Pfn(20), Pfn(30)];
        let first = |own: &[u64]| first_apart(own.iter().copied().map(Pfn), &watched);
        assert_eq!(first(&[9, 10, 11, 19, 31, 12]), Some(Pfn(12)));
        assert_eq!(first(&[8]), Some(Pfn(8)));
        assert_eq!(first(&[32]), Some(Pfn(32)));
        assert_eq!(first(&[29, 30, 31]), None);
        assert_eq!(first(&[]), None);
        assert_eq!(first_apart([Pfn(5)].into_iter(), &[]), Some(Pfn(5)));
    }
}
