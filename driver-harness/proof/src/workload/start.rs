// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where a workload's pages are before anything is promoted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chmu_machine::memory::page_flags::{PageFlags, PageFlagsFile};
use chmu_machine::memory::page_map;
use chmu_promotion::Folio;
use chmu_spec::address::Pfn;

/// Pages of the largest folio that moves as one, and its alignment.
const FOLIO_PAGES_MAX: u64 = 512;

/// Frames and folios, where the kernel shows them.
#[derive(Debug, Default)]
pub(super) struct Start {
    /// The frame of each page.
    pub(super) frames: Option<Vec<u64>>,
    /// Folios of several pages that hold any of them, by frame.
    pub(super) large_folios: Option<Vec<Folio>>,
}

/// Looks at this process's own pages.
pub(super) fn look(address: u64, pages: u64) -> Start {
    let mapped = page_map::read(std::process::id(), address, pages);
    let mapped = mapped.inspect_err(|error| log::info!("The state file names no frames: {error}"));
    let Ok(mapped) = mapped else {
        return Start::default();
    };
    let frames: Option<Vec<u64>> = mapped
        .frames
        .into_iter()
        .map(|frame| frame.map(|frame| frame.0))
        .collect();
    let large_folios = frames.as_deref().and_then(large_folios);
    Start {
        frames,
        large_folios,
    }
}

/// Folios of several pages that hold any of these frames; none when the kernel hides them.
pub(crate) fn large_folios(frames: &[u64]) -> Option<Vec<Folio>> {
    let flags = PageFlagsFile::open(Path::new("/proc/kpageflags"));
    let flags = flags
        .inspect_err(|error| log::info!("The state file names no folios: {error}"))
        .ok()?;
    let frames: Vec<_> = frames.iter().map(|frame| Pfn(*frame)).collect();
    let is_part = PageFlags::COMPOUND_HEAD | PageFlags::COMPOUND_TAIL;
    let mut blocks = BTreeMap::new();
    for (frame, found) in frames.iter().zip(flags.read_each(&frames).ok()?) {
        let start = frame.0 - frame.0 % FOLIO_PAGES_MAX;
        if found.intersects(is_part) && !blocks.contains_key(&start) {
            blocks.insert(
                start,
                flags.read_range(start..start + FOLIO_PAGES_MAX).ok()?,
            );
        }
    }
    let folios = blocks
        .into_iter()
        .flat_map(|(start, flags)| folios_of(start, &flags));
    let sorted: BTreeSet<_> = frames.iter().copied().collect();
    let holds_any = |folio: &Folio| sorted.range(folio.head..folio.end()).next().is_some();
    Some(folios.filter(holds_any).collect())
}

/// The folios of several pages in an aligned block of frames.
fn folios_of(start: u64, flags: &[PageFlags]) -> Vec<Folio> {
    let is_head = |flags: &PageFlags| flags.contains(PageFlags::COMPOUND_HEAD);
    let is_tail = |flags: &&PageFlags| flags.contains(PageFlags::COMPOUND_TAIL);
    let heads = (start..)
        .zip(flags)
        .enumerate()
        .filter(|(_, (_, flags))| is_head(flags));
    let folio = |(place, (frame, _)): (usize, (u64, &PageFlags))| Folio {
        head: Pfn(frame),
        pages: 1 + flags[place + 1..].iter().take_while(is_tail).count() as u64,
    };
    heads.map(folio).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folios_are_told_by_heads_and_tails() {
        let (head, tail) = (PageFlags::COMPOUND_HEAD, PageFlags::COMPOUND_TAIL);
        let flags = [
            tail,
            PageFlags::LRU,
            head,
            tail,
            head,
            tail,
            tail,
            PageFlags::LRU,
        ];
        let folio = |head, pages| Folio {
            head: Pfn(head),
            pages,
        };
        assert_eq!(folios_of(512, &flags), [folio(514, 2), folio(516, 3)]);
        assert_eq!(folios_of(0, &[]), []);
    }
}
