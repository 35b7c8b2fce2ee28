// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Whether promotions were of use, as far as telemetry of fast memory tells: one is wasted whose page nobody
//! used for a whole window afterwards.
//!
//! A page is known by its owner, who is asked where it is before it is watched and afterwards. Of one that is
//! elsewhere by then, or of which telemetry does not say that it watched for as long, nothing is known.
//! Room on a full target comes first, and more pages than can be watched are not.

use std::collections::{BTreeMap, VecDeque};

use chmu_machine::memory::owners::Owner;
use chmu_machine::node::NodeId;
use chmu_spec::address::Pfn;

use super::Engine;
use crate::batch::Folio;
use crate::ledger::{Action, Judged, Wasted};
use crate::machine::{Machine, MachineError};
use crate::telemetry::{Watch, Watched};

/// A promotion is wasted when the page had no access for so long.
pub(super) const WINDOW_NS: u64 = 10_000_000_000;
/// Promotions that wait to be watched; of more the latest are not.
const WAITING_MAX: usize = 4096;
/// Folios that are watched at a time.
const WATCHED_MAX: usize = 128;

/// A folio that was promoted.
#[derive(Debug, Clone, Copy)]
struct Arrival {
    owner: Owner,
    node: NodeId,
    pages: u64,
    arrived_ns: u64,
}

/// Promotions of which nobody knows yet whether they were of use.
#[derive(Debug, Default)]
pub(super) struct Usefulness {
    waiting: VecDeque<Arrival>,
    /// Those that are watched, by the frames in which they are, ascending.
    watched: Vec<(Pfn, Arrival)>,
}

impl Usefulness {
    /// Whether telemetry watches some.
    pub(super) fn is_watching(&self) -> bool {
        !self.watched.is_empty()
    }

    /// Nobody tells any more.
    pub(super) fn clear(&mut self) {
        *self = Usefulness::default();
    }

    /// A folio arrived on its target.
    pub(super) fn arrived(&mut self, owner: Owner, node: NodeId, pages: u64, arrived_ns: u64) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(Arrival {
                owner,
                node,
                pages,
                arrived_ns,
            });
        }
    }
}

impl Engine {
    /// Promotions that telemetry is to watch next, if some wait.
    pub(super) fn next_promotions(
        &mut self,
        machine: &dyn Machine,
        most: usize,
        now_ns: u64,
    ) -> Result<Option<Watch>, MachineError> {
        let waiting = &mut self.usefulness.waiting;
        let next = waiting.len().min(most).min(WATCHED_MAX);
        let next: Vec<_> = waiting.drain(..next).collect();
        let mut found = BTreeMap::new();
        let mut unknown = 0;
        for (arrival, frame) in locate(next, machine)? {
            match frame.filter(|frame| self.routes.is_on(*frame, arrival.node)) {
                Some(frame) => drop(found.insert(frame, arrival)),
                None => unknown += arrival.pages,
            }
        }
        let mut end = None;
        for (frame, arrival) in found {
            // Telemetry tells no neighbours apart: one of them has its turn later.
            match end.is_some_and(|end| frame <= end) {
                true => self.usefulness.waiting.push_back(arrival),
                false => {
                    end = Some(Pfn(frame.0.saturating_add(arrival.pages)));
                    self.usefulness.watched.push((frame, arrival));
                }
            }
        }
        if unknown > 0 {
            self.note_judged(
                Judged {
                    pages_unknown: unknown,
                    ..Judged::default()
                },
                now_ns,
            );
        }
        let frames: Vec<_> = self
            .usefulness
            .watched
            .iter()
            .map(|(frame, _)| *frame)
            .collect();
        Ok((!frames.is_empty()).then_some(Watch {
            frames,
            idle_ns: WINDOW_NS,
        }))
    }

    /// Telemetry tells what it saw of promotions; none when it saw nothing.
    pub(super) fn judge_promotions(
        &mut self,
        seen: Option<&Watched>,
        machine: &dyn Machine,
        now_ns: u64,
    ) -> Result<(), MachineError> {
        let watched = std::mem::take(&mut self.usefulness.watched);
        let (frames, arrivals): (Vec<_>, Vec<_>) = watched.into_iter().unzip();
        let mut judged = Judged::default();
        for (place, (arrival, now)) in locate(arrivals, machine)?.into_iter().enumerate() {
            let frame = frames[place];
            let is_there = now == Some(frame);
            let accessed = seen.and_then(|seen| seen.accessed.get(place));
            match (accessed, seen) {
                (Some(true), _) if is_there => judged.pages_used += arrival.pages,
                (Some(false), Some(seen)) if is_there && covers(seen, arrival.arrived_ns) => {
                    judged.pages_wasted += arrival.pages;
                    let wasted = Wasted {
                        folio: Folio {
                            head: frame,
                            pages: arrival.pages,
                        },
                        node: arrival.node,
                        owner: arrival.owner,
                        arrived_ns: arrival.arrived_ns,
                        idle_ns: seen.idle_ns,
                        idle_until_ns: seen.until_ns,
                    };
                    self.note(now_ns, Action::Wasted(wasted));
                }
                _ => judged.pages_unknown += arrival.pages,
            }
        }
        self.note_judged(judged, now_ns);
        Ok(())
    }

    fn note_judged(&mut self, judged: Judged, now_ns: u64) {
        self.note(now_ns, Action::Judged(judged));
    }
}

/// Whether what was seen is of a whole window since a page arrived.
fn covers(seen: &Watched, arrived_ns: u64) -> bool {
    seen.idle_ns >= WINDOW_NS && seen.until_ns.saturating_sub(seen.idle_ns) >= arrived_ns
}

/// Where each page is now, as its owner sees it; each process is asked once.
fn locate(
    arrivals: Vec<Arrival>,
    machine: &dyn Machine,
) -> Result<Vec<(Arrival, Option<Pfn>)>, MachineError> {
    let mut processes: BTreeMap<u32, (Vec<usize>, Vec<u64>)> = BTreeMap::new();
    for (place, arrival) in arrivals.iter().enumerate() {
        let (places, addresses) = processes.entry(arrival.owner.process_id).or_default();
        places.push(place);
        addresses.push(arrival.owner.address);
    }
    let mut found: Vec<_> = arrivals
        .into_iter()
        .map(|arrival| (arrival, None))
        .collect();
    for (process_id, (places, addresses)) in processes {
        let frames = machine.resolve_each(process_id, &addresses)?;
        for (place, frame) in places.into_iter().zip(frames) {
            found[place].1 = frame;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
