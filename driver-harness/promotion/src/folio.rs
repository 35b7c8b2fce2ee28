// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! From a frame to what moves when it is promoted: the folio it belongs to.

use chmu_machine::memory::page_flags::{PageFlags, PageFlagsError};
use chmu_spec::address::Pfn;

use crate::batch::Folio;
use crate::machine::Machine;
use crate::rejection::Rejection;

/// Pages of the largest folio that moves: a transparent huge page of x86.
const FOLIO_PAGES_MAX: u64 = 512;

/// The folio that `frame` belongs to now, or why it cannot move.
pub(super) fn of_frame(
    machine: &dyn Machine,
    frame: Pfn,
) -> Result<Result<Folio, Rejection>, PageFlagsError> {
    let mut flags = machine.flags(frame)?;
    let mut head = frame;
    while flags.contains(PageFlags::COMPOUND_TAIL) && frame.0 - head.0 < FOLIO_PAGES_MAX {
        let Some(before) = head.0.checked_sub(1) else {
            break;
        };
        head = Pfn(before);
        flags = machine.flags(head)?;
    }
    if let Err(rejection) = check(flags) {
        return Ok(Err(rejection));
    }
    let is_compound = flags.contains(PageFlags::COMPOUND_HEAD);
    if frame != head && !is_compound {
        // The folio was split between two looks: the frame that was reported may be anything now.
        return Ok(Err(Rejection::NotLru));
    }
    let mut pages = 1;
    while is_compound
        && pages < FOLIO_PAGES_MAX
        && machine
            .flags(Pfn(head.0.saturating_add(pages)))?
            .contains(PageFlags::COMPOUND_TAIL)
    {
        pages += 1;
    }
    Ok(Ok(Folio { head, pages }))
}

/// Whether migration would take a page with these flags.
fn check(flags: PageFlags) -> Result<(), Rejection> {
    if flags.contains(PageFlags::NOPAGE) {
        Err(Rejection::NoPage)
    } else if flags.contains(PageFlags::HUGE) {
        Err(Rejection::Hugetlb)
    } else if flags.contains(PageFlags::BUDDY) {
        Err(Rejection::Free)
    } else if flags.contains(PageFlags::LRU) {
        Ok(())
    } else {
        Err(Rejection::NotLru)
    }
}
