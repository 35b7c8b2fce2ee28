// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a report says of each frame.

use std::collections::BTreeMap;

use chmu_machine::memory::PAGE_BYTES;
use chmu_machine::memory::owners::Owner;
use chmu_spec::address::Pfn;

use super::heat::thousandths;
use crate::machine::{Machine, MachineError};
use crate::rejection::Rejection;
use crate::report::{HotExtent, Place, Report};

/// Pages of one report that are taken into account.
const PAGES_MAX: u64 = 1 << 20;

/// Pages that are not taken into account, by reason.
pub(crate) type Ignored = BTreeMap<Rejection, u64>;

/// The accesses of each frame by a report, in thousandths.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shares {
    /// Frames, and the members of the source that name them.
    by_member: Vec<(Pfn, usize, u64)>,
    /// Who maps a frame, where the source said so.
    owners: BTreeMap<Pfn, Owner>,
    pub(crate) ignored: Ignored,
}

impl Shares {
    /// Finds the frames that a report means, and what each has of a weight that several share.
    ///
    /// A page of a process that is not present, or whose process has ended, is ignored.
    pub(crate) fn of(
        report: &Report,
        machine: &dyn Machine,
        allow_coarse: bool,
    ) -> Result<Shares, MachineError> {
        let mut shares = Shares::default();
        let mut left = PAGES_MAX;
        for extent in &report.extents {
            let pages = extent.place.pages();
            if extent.sharing_pages > 1 && !allow_coarse {
                shares.ignore(Rejection::CoarseUnit, pages);
                continue;
            }
            let taken = pages.min(left);
            left -= taken;
            if pages > taken {
                shares.ignore(Rejection::QueueFull, pages - taken);
            }
            shares.add(extent, taken, machine)?;
        }
        Ok(shares)
    }

    /// Adds the first `pages` of an extent.
    fn add(
        &mut self,
        extent: &HotExtent,
        pages: u64,
        machine: &dyn Machine,
    ) -> Result<(), MachineError> {
        // A weight that is too small to be shared still is one.
        let share = thousandths(extent.weight).div_ceil(extent.sharing_pages.max(1));
        let member = extent.unit.map_or(0, |unit| unit.member);
        match extent.place {
            Place::Frames { start, .. } => {
                for page in 0..pages {
                    match start.0.checked_add(page) {
                        Some(frame) => self.give(Pfn(frame), member, share),
                        None => self.ignore(Rejection::NoPage, 1),
                    }
                }
            }
            Place::Addresses {
                process_id, start, ..
            } => {
                let frames = machine.resolve(process_id, start, pages)?;
                for (page, frame) in (0..).zip(frames) {
                    match frame {
                        Some(frame) => {
                            let address = start.saturating_add(page * PAGE_BYTES);
                            let owner = Owner {
                                process_id,
                                address,
                            };
                            self.owners.entry(frame).or_insert(owner);
                            self.give(frame, member, share);
                        }
                        None => self.ignore(Rejection::NotPresent, 1),
                    }
                }
            }
        }
        Ok(())
    }

    fn give(&mut self, frame: Pfn, member: usize, thousandths: u64) {
        self.by_member.push((frame, member, thousandths));
    }

    /// Counts pages that are not taken into account.
    pub(crate) fn ignore(&mut self, reason: Rejection, pages: u64) {
        if pages > 0 {
            *self.ignored.entry(reason).or_default() += pages;
        }
    }

    /// Who maps a folio, by any of its frames, and where its first page is there.
    pub(crate) fn owner(&self, frames: &[Pfn], head: Pfn) -> Option<Owner> {
        let known = frames
            .iter()
            .find_map(|frame| Some((frame, self.owners.get(frame)?)));
        let (frame, owner) = known?;
        let before = frame.0.checked_sub(head.0)?.checked_mul(PAGE_BYTES)?;
        Some(Owner {
            address: owner.address.checked_sub(before)?,
            ..*owner
        })
    }

    /// Each frame with its accesses, ascending: those of the member that counted most.
    pub(crate) fn take_frames(&mut self) -> Vec<(Pfn, u64)> {
        let mut named = std::mem::take(&mut self.by_member);
        named.sort_unstable();
        let members = named.chunk_by(|one, next| (one.0, one.1) == (next.0, next.1));
        let members = members.map(|same| {
            let shares = same.iter().map(|(.., share)| *share);
            (same[0].0, shares.fold(0, u64::saturating_add))
        });
        let mut frames: Vec<(Pfn, u64)> = Vec::with_capacity(named.len());
        for (frame, share) in members {
            match frames.last_mut() {
                Some((last, most)) if *last == frame => *most = share.max(*most),
                _ => frames.push((frame, share)),
            }
        }
        frames
    }
}
