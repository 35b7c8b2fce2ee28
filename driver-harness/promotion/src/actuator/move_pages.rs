// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Pages moved by `move_pages(2)`: those of processes, and only while their owner is known.
//!
//! The kernel heeds the cpuset of each process, and pages that several processes map move with
//! `CAP_SYS_NICE` only.

use std::collections::BTreeMap;
use std::io;

use chmu_machine::memory::numa::{self, Placement, Sharing};
use chmu_machine::memory::owners::Owners;
use chmu_machine::memory::page_flags::{PageFlags, PageFlagsFile};
use chmu_machine::memory::page_map::{PageMap, PageMapError};
use chmu_machine::node::NodeId;
use chmu_machine::stop::StopFlag;

use super::damon::Places;
use super::fates::{self, Look, Meanwhile, Stayers};
use super::room::Room;
use super::{Actuator, ActuatorError, Limits, by_process};
use crate::batch::{Batch, Candidate, Fate, Route};

/// Each call makes every processor hand over its pages: worth it for many pages only.
const BATCH_FRAMES: usize = 4096;
/// Calls for the pages of one process: the kernel ends a call early when a page refuses.
const CALLS_MAX: usize = 4;

/// Looks the owners up, then moves their pages.
#[derive(Debug)]
pub struct MovePages {
    owners: Owners,
    places: Places,
    page_flags: PageFlagsFile,
    stayers: Stayers,
}

impl MovePages {
    /// Moves pages of these owners, and of those that a batch names.
    ///
    /// # Errors
    /// When page flags cannot be read: only root may.
    pub fn new(owners: Owners, places: Places) -> Result<MovePages, ActuatorError> {
        Ok(MovePages {
            owners,
            page_flags: PageFlagsFile::open(&places.procfs.join("kpageflags"))?,
            places,
            stayers: Stayers::default(),
        })
    }

    /// Looks for the owners that nobody has named.
    fn name_owners(&self, candidates: &mut [Candidate]) -> Result<(), ActuatorError> {
        let nameless: Vec<_> = (0..candidates.len())
            .filter(|&place| candidates[place].owner.is_none())
            .collect();
        if nameless.is_empty() {
            return Ok(());
        }
        let folios: Vec<_> = nameless
            .iter()
            .map(|&place| candidates[place].folio)
            .map(|folio| folio.head.0..folio.end().0)
            .collect();
        let found = self.owners.find(&folios)?;
        for error in &found.skipped {
            log::debug!("No owner there: {error}");
        }
        for (number, owner) in found.owners {
            candidates[nameless[number]].owner = Some(owner);
        }
        Ok(())
    }

    /// What became of the pages that were tried and not refused.
    fn judge(
        &mut self,
        candidates: &[Candidate],
        before: &[PageFlags],
        places: &[Option<Placement>],
        route: Route,
    ) -> Result<Vec<Fate>, ActuatorError> {
        let heads: Vec<_> = candidates.iter().map(|one| one.folio.head).collect();
        let after = self.page_flags.read_each(&heads)?;
        let looks: Vec<_> = (0..candidates.len())
            .map(|place| Look {
                pages: candidates[place].folio.pages,
                before: before[place],
                after: after[place],
                place: places[place],
            })
            .collect();
        let room = Room::of(&self.places.procfs, route.target);
        let meanwhile = Meanwhile::default();
        let judged = fates::judge(&looks, route, meanwhile, |pages| room.holds(pages));
        Ok(judged.fates)
    }
}

impl Actuator for MovePages {
    fn name(&self) -> &'static str {
        "move-pages"
    }

    fn limits(&self) -> Limits {
        Limits {
            frames_max: BATCH_FRAMES,
            sees_unmapped: false,
            obeys_cpusets: true,
            is_dry: false,
        }
    }

    fn promote_batch(
        &mut self,
        batch: &Batch,
        stop: &StopFlag,
    ) -> Result<Vec<Fate>, ActuatorError> {
        let mut candidates = batch.candidates.clone();
        self.name_owners(&mut candidates)?;
        let target = batch.route.target;
        let before = self.page_flags.read_each(&batch.heads())?;
        let mut known: Vec<Option<Fate>> = candidates
            .iter()
            .zip(&before)
            .map(
                |(one, flags)| match (one.owner, flags.contains(PageFlags::HUGE)) {
                    (_, true) => Some(Fate::Hugetlb),
                    (None, false) => {
                        fates::obstacle(one.folio.pages, *flags).or(Some(Fate::Unmapped))
                    }
                    (Some(_), false) => None,
                },
            )
            .collect();
        let mut places = vec![None; candidates.len()];
        for (process_id, pages) in by_process(&candidates) {
            let open = |(place, _): &(usize, u64)| known[*place].is_none();
            let pages: Vec<_> = pages.into_iter().filter(open).collect();
            if stop.is_raised() {
                let untried = pages.iter().map(|(place, _)| *place);
                untried.for_each(|place| known[place] = Some(Fate::Stayed));
                continue;
            }
            for (place, outcome) in of_process(process_id, &pages, &candidates, target) {
                match outcome {
                    Ok(now) => places[place] = Some(now),
                    Err(fate) => known[place] = Some(fate),
                }
            }
        }
        let judged = self.judge(&candidates, &before, &places, batch.route)?;
        let mut fates = Vec::new();
        for ((known, judged), candidate) in known.into_iter().zip(judged).zip(&candidates) {
            let fate = known.unwrap_or(judged);
            fates.push(self.stayers.judge(candidate.folio.head, fate));
        }
        Ok(fates)
    }

    fn another(&self) -> Option<Box<dyn Actuator>> {
        let another = MovePages::new(self.owners.clone(), self.places.clone()).ok()?;
        Some(Box::new(another))
    }
}

/// Moves pages of one process, given by their candidate's number and their address. Returns where
/// each is afterwards, or why it was not tried.
fn of_process(
    process_id: u32,
    pages: &[(usize, u64)],
    candidates: &[Candidate],
    target: NodeId,
) -> Vec<(usize, Result<Placement, Fate>)> {
    let mut outcomes = Vec::new();
    let mut addresses = BTreeMap::new();
    let map = match PageMap::open(process_id) {
        Ok(map) => map,
        Err(error) => {
            let fate = fate_of_map(&error);
            return pages.iter().map(|(place, _)| (*place, Err(fate))).collect();
        }
    };
    for &(place, address) in pages {
        let folio = candidates[place].folio;
        match map.frame(address) {
            Ok(Some(frame)) if (folio.head..folio.end()).contains(&frame) => {
                addresses.insert(address, place);
            }
            // Another page is there by now.
            Ok(_) => outcomes.push((place, Err(Fate::Gone))),
            Err(error) => outcomes.push((place, Err(fate_of_map(&error)))),
        }
    }
    let wanted: Vec<_> = addresses.keys().copied().collect();
    let places = addresses.into_values();
    outcomes.extend(places.zip(move_all(process_id, &wanted, target)));
    outcomes
}

/// Calls until each page has arrived or had its turn.
fn move_all(process_id: u32, addresses: &[u64], target: NodeId) -> Vec<Result<Placement, Fate>> {
    let mut outcomes = vec![Err(Fate::Stayed); addresses.len()];
    let mut waiting: Vec<usize> = (0..addresses.len()).collect();
    for _ in 0..CALLS_MAX {
        if waiting.is_empty() {
            break;
        }
        let wanted: Vec<_> = waiting.iter().map(|&place| addresses[place]).collect();
        let moved = move_once(process_id, &wanted, target)
            .and_then(|said| Ok((said, numa::query_pages(process_id, &wanted)?)));
        let (said, now) = match moved {
            Ok(moved) => moved,
            Err(error) => {
                let fate = fate_of_call(&error);
                waiting
                    .iter()
                    .for_each(|&place| outcomes[place] = Err(fate));
                break;
            }
        };
        let mut left = Vec::new();
        for ((&place, said), now) in waiting.iter().zip(said).zip(now) {
            outcomes[place] = match (said, now) {
                (_, Placement::Node(node)) if node == target => Ok(now),
                (Placement::Not(errno), _) if is_final(errno) => Err(Fate::Refused { errno }),
                _ => {
                    // Not tried, when the call ended before its turn.
                    if said == Placement::Not(libc::ENODATA) {
                        left.push(place);
                    }
                    Ok(now)
                }
            };
        }
        if left.len() == waiting.len() {
            break;
        }
        waiting = left;
    }
    outcomes
}

/// One call; without the right to move shared pages, those that are not.
fn move_once(process_id: u32, addresses: &[u64], target: NodeId) -> io::Result<Vec<Placement>> {
    match numa::move_pages(process_id, addresses, target, Sharing::Shared) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            numa::move_pages(process_id, addresses, target, Sharing::Exclusive)
        }
        result => result,
    }
}

/// Whether the kernel refuses a page for good: it is shared and this user may not move such, or is
/// no page that could move.
fn is_final(errno: i32) -> bool {
    matches!(errno, libc::EACCES | libc::EFAULT | libc::EINVAL)
}

/// What a call that failed as a whole means for each of its pages.
fn fate_of_call(error: &io::Error) -> Fate {
    match error.raw_os_error() {
        Some(libc::ESRCH) => Fate::Gone,
        // The target is not among the nodes that the process's cpuset allows.
        Some(libc::EACCES) => Fate::CpusetForbids,
        Some(errno) => Fate::Refused { errno },
        None => Fate::Stayed,
    }
}

/// What it means that a process's frames cannot be read.
fn fate_of_map(error: &PageMapError) -> Fate {
    match error {
        PageMapError::Hidden { .. } => Fate::Refused { errno: libc::EPERM },
        PageMapError::Read { source, .. } => match source.raw_os_error() {
            Some(errno @ (libc::EPERM | libc::EACCES)) => Fate::Refused { errno },
            // It has ended.
            _ => Fate::Gone,
        },
    }
}

#[cfg(test)]
mod tests;
