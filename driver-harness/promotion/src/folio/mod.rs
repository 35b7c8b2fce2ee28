// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! From frames to what moves when they are promoted: the folios that they belong to.
//!
//! Frames are looked at together. Those that lie close share a read; a frame that is part of a larger
//! folio costs one read more, of the aligned block that such a folio cannot leave, and all frames of
//! that block share it. So a base page costs at most one read, and a huge page two, however many of its
//! pages were reported.

use chmu_machine::memory::page_flags::PageFlags;
use chmu_spec::address::Pfn;

use crate::batch::Folio;
use crate::machine::{Machine, MachineError};
use crate::rejection::Rejection;

#[cfg(test)]
mod tests;

/// Pages of the largest folio that moves, a transparent huge page of x86, and its alignment: a folio of
/// a power of two of pages starts at a multiple of that.
pub(crate) const FOLIO_PAGES_MAX: u64 = 512;
/// Frames closer than this are read together: the words between cost less than another call.
const GAP_FRAMES: u64 = 8;
const COMPOUND: PageFlags = PageFlags::COMPOUND_HEAD.union(PageFlags::COMPOUND_TAIL);

/// A folio at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    /// Its frames.
    pub(crate) folio: Folio,
    /// Flags of its first page.
    pub(crate) flags: PageFlags,
}

/// What frames are part of, looked at once.
#[derive(Debug, Clone, Default)]
pub(crate) struct FolioView {
    /// By frame, ascending.
    looks: Vec<(Pfn, Result<Look, Rejection>)>,
}

impl FolioView {
    /// Looks at all of `frames`; one that is named twice is looked at once.
    pub(crate) fn look(machine: &dyn Machine, frames: &[Pfn]) -> Result<FolioView, MachineError> {
        let mut frames = frames.to_vec();
        frames.sort_unstable();
        frames.dedup();
        let mut view = FolioView {
            looks: Vec::with_capacity(frames.len()),
        };
        for frames in frames.chunk_by(|one, next| block_start(*one) == block_start(*next)) {
            view.look_at_block(machine, frames)?;
        }
        Ok(view)
    }

    /// Looks at frames of one aligned block: run by run, and as a whole as soon as one is part of a
    /// larger folio.
    fn look_at_block(&mut self, machine: &dyn Machine, frames: &[Pfn]) -> Result<(), MachineError> {
        for run in frames.chunk_by(|one, next| next.0 - one.0 <= GAP_FRAMES) {
            let (first, last) = (run[0].0, run[run.len() - 1].0);
            let flags = machine.flags(first..last.saturating_add(1))?;
            let flags_of = |frame: Pfn| {
                let place = usize::try_from(frame.0 - first).ok();
                let known = place.and_then(|place| flags.get(place));
                known.copied().unwrap_or(PageFlags::NOPAGE)
            };
            if run
                .iter()
                .any(|frame| flags_of(*frame).intersects(COMPOUND))
            {
                let start = block_start(run[0]);
                let block = machine.flags(start..start.saturating_add(FOLIO_PAGES_MAX))?;
                let rest = frames.iter().filter(|frame| **frame >= run[0]);
                self.looks
                    .extend(rest.map(|frame| (*frame, in_block(start, &block, *frame))));
                return Ok(());
            }
            self.looks.extend(
                run.iter()
                    .map(|frame| (*frame, alone(*frame, flags_of(*frame)))),
            );
        }
        Ok(())
    }

    /// Looks at some frames once more.
    pub(crate) fn look_again(
        &mut self,
        machine: &dyn Machine,
        frames: &[Pfn],
    ) -> Result<(), MachineError> {
        for (frame, look) in FolioView::look(machine, frames)?.looks {
            match self.place(frame) {
                Ok(place) => self.looks[place].1 = look,
                Err(place) => self.looks.insert(place, (frame, look)),
            }
        }
        Ok(())
    }

    /// The folio that a frame was part of, or why there is none that can move. A frame that was not
    /// looked at is none.
    pub(crate) fn of(&self, frame: Pfn) -> Result<Look, Rejection> {
        match self.place(frame) {
            Ok(place) => self.looks[place].1,
            Err(_) => Err(Rejection::NoPage),
        }
    }

    fn place(&self, frame: Pfn) -> Result<usize, usize> {
        self.looks.binary_search_by_key(&frame, |(frame, _)| *frame)
    }
}

/// The first frame of the aligned block that a frame is in.
fn block_start(frame: Pfn) -> u64 {
    frame.0 - frame.0 % FOLIO_PAGES_MAX
}

/// A frame that is part of no larger folio.
fn alone(frame: Pfn, flags: PageFlags) -> Result<Look, Rejection> {
    check(flags)?;
    let folio = Folio {
        head: frame,
        pages: 1,
    };
    Ok(Look { folio, flags })
}

/// The folio of a frame by the flags of its aligned block. All come from one read, but a folio may be
/// split while that goes on: what does not fit together is a page in the middle of a change.
fn in_block(start: u64, block: &[PageFlags], frame: Pfn) -> Result<Look, Rejection> {
    let is_tail = |flags: &PageFlags| flags.contains(PageFlags::COMPOUND_TAIL);
    let at = usize::try_from(frame.0 - start).unwrap_or(usize::MAX);
    let before = block.get(..=at).ok_or(Rejection::NotLru)?;
    check(block[at])?;
    let head = before
        .iter()
        .rposition(|flags| !is_tail(flags))
        .ok_or(Rejection::NotLru)?;
    let flags = block[head];
    check(flags)?;
    if !flags.contains(PageFlags::COMPOUND_HEAD) {
        // The frame may stand for itself alone; a tail behind it is of a folio that was split meanwhile.
        return match head == at {
            true => alone(frame, flags),
            false => Err(Rejection::NotLru),
        };
    }
    let tails = block[head + 1..]
        .iter()
        .take_while(|flags| is_tail(flags))
        .count();
    let folio = Folio {
        head: Pfn(start.saturating_add(head as u64)),
        pages: 1 + tails as u64,
    };
    Ok(Look { folio, flags })
}

/// Whether there is a page that migration could ever take. That it is on a reclaim list is asked just
/// before it moves: a page that is used for the first time comes to one later.
fn check(flags: PageFlags) -> Result<(), Rejection> {
    if flags.contains(PageFlags::NOPAGE) {
        Err(Rejection::NoPage)
    } else if flags.contains(PageFlags::HUGE) {
        Err(Rejection::Hugetlb)
    } else if flags.contains(PageFlags::BUDDY) {
        Err(Rejection::Free)
    } else {
        Ok(())
    }
}
