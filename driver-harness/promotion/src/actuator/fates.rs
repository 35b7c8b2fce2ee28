// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What became of folios that an actuator tried to move, told from what is seen before and after.

use std::collections::BTreeMap;

use chmu_machine::memory::numa::Placement;
use chmu_machine::memory::page_flags::PageFlags;
use chmu_spec::address::Pfn;

use crate::batch::{Fate, Route};

/// So often in a row a folio stays without a visible reason until something must hold it.
const STAYS_UNTIL_PINNED: u8 = 3;
/// More folios are not remembered.
const STAYERS_MAX: usize = 1 << 14;

/// One folio that was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    /// How many pages it has.
    pub(super) pages: u64,
    /// Its first frame just before.
    pub(super) before: PageFlags,
    /// Its first frame afterwards.
    pub(super) after: PageFlags,
    /// Where its owner has it afterwards, when the owner is known and says so.
    pub(super) place: Option<Placement>,
}

/// What the machine did while folios were tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Meanwhile {
    /// So many pages were moved, these or others, where the kernel counts that.
    pub(super) moved: Option<u64>,
    /// A page that was to go to the target may have been given memory of another node.
    pub(super) may_stray: bool,
}

/// The fates of all that were tried together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Judged {
    /// In the order of the looks.
    pub(super) fates: Vec<Fate>,
    /// How many pages the kernel counted, and how many the fates say, where these differ.
    pub(super) difference: Option<(u64, u64)>,
}

/// Why a folio cannot be tried, by the flags of its first frame.
pub(super) fn obstacle(pages: u64, flags: PageFlags) -> Option<Fate> {
    let nobody = PageFlags::NOPAGE | PageFlags::BUDDY | PageFlags::OFFLINE;
    let is_large = flags.contains(PageFlags::COMPOUND_HEAD);
    if flags.intersects(nobody) {
        Some(Fate::Gone)
    } else if flags.contains(PageFlags::HUGE) {
        Some(Fate::Hugetlb)
    } else if flags.contains(PageFlags::COMPOUND_TAIL) || is_large != (pages > 1) {
        // It was split or became part of a larger one.
        Some(Fate::Gone)
    } else if !flags.contains(PageFlags::LRU) {
        Some(Fate::NotLru)
    } else {
        None
    }
}

/// What became of each; `has_room` says whether the target has room for so many pages now.
pub(super) fn judge(
    looks: &[Look],
    route: Route,
    meanwhile: Meanwhile,
    has_room: impl Fn(u64) -> bool,
) -> Judged {
    let moved = Fate::Moved { node: route.target };
    let mut fates: Vec<_> = looks
        .iter()
        .map(|look| seen(look, route).unwrap_or_else(|| stayed(look, &has_room)))
        .collect();
    let pages_moved = |fates: &[Fate]| -> u64 {
        let both = looks.iter().zip(fates);
        both.filter(|(_, fate)| matches!(fate, Fate::Moved { .. }))
            .map(|(look, _)| look.pages)
            .sum()
    };
    let left = pages_moved(&fates);
    let most = meanwhile.moved.unwrap_or(left);
    let unowned = |look: &Look| look.place.is_none();
    if most > left {
        // Some frames that look as before may hold other pages by now, and nobody knows which.
        let stayers = fates.iter_mut().zip(looks);
        for (fate, _) in stayers.filter(|(fate, look)| **fate != moved && unowned(look)) {
            *fate = Fate::Unseen;
        }
    } else if most == 0 {
        // What left its frame was freed.
        let gone = fates.iter_mut().zip(looks);
        for (fate, _) in gone.filter(|(fate, look)| **fate == moved && unowned(look)) {
            *fate = Fate::Gone;
        }
    }
    let told = pages_moved(&fates);
    if meanwhile.may_stray {
        let left = fates.iter_mut().zip(looks);
        for (fate, _) in left.filter(|(fate, look)| **fate == moved && unowned(look)) {
            *fate = Fate::Unseen;
        }
    }
    Judged {
        fates,
        difference: (most < told).then_some((most, told)),
    }
}

/// The fate of a folio that is not where it was; none when it looks as if it was.
fn seen(look: &Look, route: Route) -> Option<Fate> {
    match look.place {
        Some(Placement::Node(node)) if node == route.source => None,
        Some(Placement::Node(node)) => Some(Fate::Moved { node }),
        // Its owner has let it go.
        Some(Placement::Not(_)) => Some(Fate::Gone),
        None if is_same(look) => None,
        None => Some(Fate::Moved { node: route.target }),
    }
}

/// Whether the first frame may hold the same folio as before.
fn is_same(look: &Look) -> bool {
    let kind = PageFlags::ANON
        | PageFlags::KSM
        | PageFlags::HUGE
        | PageFlags::COMPOUND_HEAD
        | PageFlags::COMPOUND_TAIL
        | PageFlags::THP;
    // A page that was taken off the reclaim lists and put back waits in its processor's own list.
    let is_used = look
        .after
        .intersects(PageFlags::LRU | PageFlags::MMAP | PageFlags::UPTODATE);
    let is_free = look.after.intersects(PageFlags::BUDDY | PageFlags::NOPAGE);
    is_used && !is_free && look.before & kind == look.after & kind
}

/// Why a folio that is where it was did not move, as far as that shows.
fn stayed(look: &Look, has_room: &impl Fn(u64) -> bool) -> Fate {
    let busy = PageFlags::LOCKED | PageFlags::WRITEBACK;
    if (look.before | look.after).intersects(busy) {
        Fate::Busy
    } else if !look.before.contains(PageFlags::LRU) {
        Fate::NotLru
    } else if !has_room(look.pages) {
        Fate::TargetFull
    } else {
        Fate::Stayed
    }
}

/// Folios that stayed the last time they were tried, and how often in a row.
#[derive(Debug, Default)]
pub(super) struct Stayers(BTreeMap<Pfn, u8>);

impl Stayers {
    /// Replaces [`Fate::Stayed`] by [`Fate::Pinned`] for a folio that has stayed several times:
    /// neither locked nor in writeback, with room on the target, it has users that no flag shows.
    pub(super) fn judge(&mut self, head: Pfn, fate: Fate) -> Fate {
        if fate != Fate::Stayed {
            self.0.remove(&head);
            return fate;
        }
        if self.0.len() >= STAYERS_MAX {
            self.0.clear();
        }
        let stays = self.0.entry(head).or_default();
        *stays += 1;
        match *stays >= STAYS_UNTIL_PINNED {
            true => {
                self.0.remove(&head);
                Fate::Pinned
            }
            false => Fate::Stayed,
        }
    }
}

#[cfg(test)]
mod tests;
