// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Every move of a ledger, and the report that it came from.

use std::collections::{BTreeMap, HashMap};

use chmu_machine::memory::PAGE_BYTES;
use chmu_machine::memory::owners::Owner;
use chmu_promotion::ledger::{Action, Demoted};
use chmu_promotion::{Folio, Rejection, Route};
use chmu_spec::address::Pfn;

use super::read::Ledger;

/// A folio's report comes from no further away than this many frames.
const FOLIO_PAGES_MAX: u64 = 1 << 18;

/// A folio that moved, by the ledger's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// Its line, from 1.
    pub line: usize,
    /// The batch that it was part of.
    pub batch: u64,
    /// The frames that it left.
    pub folio: Folio,
    /// From where to where.
    pub route: Route,
    /// When its batch was made.
    pub made_ns: u64,
    /// When the actuator began.
    pub started_ns: u64,
    /// When it had ended.
    pub ended_ns: u64,
    /// What allowed it.
    pub justification: Justification,
}

/// A folio that the engine demoted to make room, by the ledger's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentDown {
    /// Its line, from 1.
    pub line: usize,
    /// The frames that it left.
    pub folio: Folio,
    /// From where to where.
    pub route: Route,
    /// Who mapped its first page, where that is known.
    pub owner: Option<Owner>,
    /// When the actuator began.
    pub started_ns: u64,
    /// When it had ended.
    pub ended_ns: u64,
}

/// What allowed a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Justification {
    /// The folio was reported, and the report is about nothing that left these frames earlier.
    Reported,
    /// The folio was reported only after its batch was made.
    Later,
    /// The folio was never reported.
    Never,
    /// What was reported left these frames with an earlier move.
    AboutEarlier,
}

/// What became of a folio that was handed to an actuator and did not move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Its line, from 1.
    pub line: usize,
    /// The batch that it was part of; none when it was refused before.
    pub batch: Option<u64>,
    /// Why it stayed.
    pub reason: Rejection,
    /// From where to where it should have gone; none where that is not said.
    pub route: Option<Route>,
    /// When that was written down.
    pub time_ns: u64,
}

/// Everything that a ledger says of frames.
#[derive(Debug, Clone, Default)]
pub struct Moves {
    moves: Vec<Move>,
    /// Places in `moves` by the first frame that was left.
    by_head: BTreeMap<u64, Vec<usize>>,
    /// What is said of folios that did not move, by first frame.
    attempts: BTreeMap<u64, Vec<(Folio, Attempt)>>,
    /// Reports by first frame: line, earliest access.
    seen: BTreeMap<u64, Vec<(Folio, usize, u64)>>,
    /// Folios of batches of which the ledger does not say what became of them, by first frame.
    unknown: BTreeMap<u64, (Folio, Route)>,
    /// Pages that the ledger says were demoted, but for those of the engine whose owners it knows.
    demoted_pages: u64,
    sent_down: Vec<SentDown>,
    /// Places in `sent_down` by process.
    sent_by_process: BTreeMap<u32, Vec<usize>>,
    /// The same by the first frame that was left.
    sent_by_head: BTreeMap<u64, Vec<usize>>,
    longest: u64,
}

impl Moves {
    /// Reads a ledger. A dry run moves nothing.
    pub fn of(ledger: &Ledger) -> Moves {
        let mut found = Moves::default();
        let mut batches = HashMap::new();
        for (line, event) in (1..).zip(ledger.events()) {
            match &event.action {
                Action::Seen(seen) => {
                    let entry = (seen.folio, line, seen.earliest_access_ns);
                    found.stretch(seen.folio);
                    found.seen.entry(seen.folio.head.0).or_default().push(entry);
                }
                Action::Batch(batch) => {
                    batches.insert(batch.batch, (line, event.time_ns));
                    for &folio in &batch.folios {
                        found.stretch(folio);
                        found.unknown.insert(folio.head.0, (folio, batch.route));
                    }
                }
                Action::Moved(moved) if !ledger.begin().dry_run => {
                    found.unknown.remove(&moved.folio.head.0);
                    // A move without a batch is a fault of its own.
                    let made = batches.get(&moved.batch).copied();
                    let (made_line, made_ns) = made.unwrap_or((line, moved.started_ns));
                    let justification = found.justify(moved.folio, made_line);
                    found.stretch(moved.folio);
                    let place = found.moves.len();
                    found
                        .by_head
                        .entry(moved.folio.head.0)
                        .or_default()
                        .push(place);
                    found.moves.push(Move {
                        line,
                        batch: moved.batch,
                        folio: moved.folio,
                        route: moved.route,
                        made_ns,
                        started_ns: moved.started_ns,
                        ended_ns: moved.ended_ns,
                        justification,
                    });
                }
                Action::Refused(refused) => {
                    if refused.batch.is_some() {
                        found.unknown.remove(&refused.folio.head.0);
                    }
                    let attempt = Attempt {
                        line,
                        batch: refused.batch,
                        reason: refused.reason,
                        route: refused.route,
                        time_ns: event.time_ns,
                    };
                    found.attempt(refused.folio, attempt);
                }
                Action::Retried(retried) => {
                    found.unknown.remove(&retried.folio.head.0);
                    let attempt = Attempt {
                        line,
                        batch: Some(retried.batch),
                        reason: retried.reason,
                        route: None,
                        time_ns: event.time_ns,
                    };
                    found.attempt(retried.folio, attempt);
                }
                Action::Demotion(made) => {
                    for &folio in &made.folios {
                        found.stretch(folio);
                        found.unknown.insert(folio.head.0, (folio, made.route));
                    }
                }
                Action::Kept(kept) => drop(found.unknown.remove(&kept.folio.head.0)),
                Action::Demoted(demoted) => found.demoted(line, demoted),
                _ => {}
            }
        }
        found.look_for_later_reports();
        found
    }

    /// All moves in the order of the ledger.
    pub fn all(&self) -> &[Move] {
        &self.moves
    }

    fn demoted(&mut self, line: usize, demoted: &Demoted) {
        let (Some(sent), Some(folio)) = (demoted.sent, demoted.folio) else {
            self.demoted_pages = self.demoted_pages.saturating_add(demoted.pages);
            return;
        };
        self.unknown.remove(&folio.head.0);
        self.stretch(folio);
        let place = self.sent_down.len();
        match sent.owner {
            Some(owner) => {
                let places = self.sent_by_process.entry(owner.process_id).or_default();
                places.push(place);
            }
            None => self.demoted_pages = self.demoted_pages.saturating_add(demoted.pages),
        }
        let places = self.sent_by_head.entry(folio.head.0).or_default();
        places.push(place);
        self.sent_down.push(SentDown {
            line,
            folio,
            route: sent.route,
            owner: sent.owner,
            started_ns: sent.started_ns,
            ended_ns: sent.ended_ns,
        });
    }

    /// Folios that the engine demoted, in the order of the ledger.
    pub fn sent_down(&self) -> &[SentDown] {
        &self.sent_down
    }

    /// The first demotion by the engine, from a time on, of a page that its process has at an address.
    pub fn sent_from_address(&self, owner: Owner, since_ns: u64) -> Option<SentDown> {
        let places = self.sent_by_process.get(&owner.process_id);
        let sent = places.into_iter().flatten();
        let mut sent = sent.filter_map(|place| self.sent_down.get(*place).copied());
        sent.find(|one| {
            let first = one.owner.map_or(u64::MAX, |owner| owner.address);
            let end = first.saturating_add(one.folio.pages.saturating_mul(PAGE_BYTES));
            one.started_ns >= since_ns && (first..end).contains(&owner.address)
        })
    }

    /// The same of a page that was in a frame.
    pub fn sent_from_frame(&self, frame: Pfn, since_ns: u64) -> Option<SentDown> {
        let near = self.sent_by_head.range(self.first_head(frame.0)..=frame.0);
        let places = near.flat_map(|(_, places)| places);
        let sent = places.filter_map(|place| self.sent_down.get(*place).copied());
        let sent = sent.filter(|one| holds(one.folio, frame) && one.started_ns >= since_ns);
        sent.min_by_key(|one| one.line)
    }

    /// Pages that the ledger says were demoted, but for those of the engine whose owners it knows.
    pub fn demoted_pages(&self) -> u64 {
        self.demoted_pages
    }

    /// The moves out of a frame, in the order of the ledger, with their places in [`Moves::all`].
    pub fn out_of(&self, frame: Pfn) -> Vec<(usize, Move)> {
        let near = self.by_head.range(self.first_head(frame.0)..=frame.0);
        let places = near.flat_map(|(_, places)| places).copied();
        let moves = places.filter_map(|place| Some((place, *self.moves.get(place)?)));
        let mut moves: Vec<_> = moves.filter(|(_, one)| holds(one.folio, frame)).collect();
        moves.sort_unstable_by_key(|(place, _)| *place);
        moves
    }

    /// The last that is said, within a time, of a folio at this frame that did not move.
    pub fn last_attempt(&self, frame: Pfn, since_ns: u64) -> Option<Attempt> {
        let near = self.attempts.range(self.first_head(frame.0)..=frame.0);
        let attempts = near.flat_map(|(_, attempts)| attempts);
        let here = attempts.filter(|(folio, one)| holds(*folio, frame) && one.time_ns >= since_ns);
        here.map(|(_, attempt)| *attempt)
            .max_by_key(|attempt| attempt.line)
    }

    /// Where a page at this frame was on its way to when the ledger broke off: it may have arrived.
    pub fn on_its_way(&self, frame: Pfn) -> Option<Route> {
        let near = self.unknown.range(self.first_head(frame.0)..=frame.0);
        let mut here = near.filter(|(_, (folio, _))| holds(*folio, frame));
        here.next_back().map(|(_, (_, route))| *route)
    }

    /// Whether a frame was reported at all.
    pub fn is_seen(&self, frame: Pfn) -> bool {
        let near = self.seen.range(self.first_head(frame.0)..=frame.0);
        near.flat_map(|(_, seen)| seen)
            .any(|(folio, ..)| holds(*folio, frame))
    }

    fn first_head(&self, frame: u64) -> u64 {
        frame.saturating_sub(self.longest)
    }

    fn stretch(&mut self, folio: Folio) {
        self.longest = self.longest.max(folio.pages.min(FOLIO_PAGES_MAX));
    }

    fn attempt(&mut self, folio: Folio, attempt: Attempt) {
        self.stretch(folio);
        self.attempts
            .entry(folio.head.0)
            .or_default()
            .push((folio, attempt));
    }

    /// Looks for the newest report of a folio before its batch was made.
    fn justify(&self, folio: Folio, batch_line: usize) -> Justification {
        let reports = self
            .reports(folio)
            .filter(|(_, line, _)| *line < batch_line);
        let Some((_, _, earliest_access_ns)) = reports.max_by_key(|(_, line, _)| *line) else {
            return Justification::Never;
        };
        let earlier = self
            .by_head
            .range(self.first_head(folio.head.0)..folio.end().0);
        let earlier = earlier
            .flat_map(|(_, places)| places)
            .filter_map(|place| self.moves.get(*place));
        let mut ends = earlier
            .filter(|one| overlap(one.folio, folio))
            .map(|one| one.ended_ns);
        match ends.any(|ended_ns| ended_ns > earliest_access_ns) {
            true => Justification::AboutEarlier,
            false => Justification::Reported,
        }
    }

    fn reports(&self, folio: Folio) -> impl Iterator<Item = (Folio, usize, u64)> {
        let near = self
            .seen
            .range(self.first_head(folio.head.0)..folio.end().0);
        let near = near.flat_map(|(_, seen)| seen).copied();
        near.filter(move |(seen, ..)| overlap(*seen, folio))
    }

    /// Tells a folio that was reported too late from one that never was.
    fn look_for_later_reports(&mut self) {
        for place in 0..self.moves.len() {
            let one = self.moves[place];
            if one.justification == Justification::Never && self.reports(one.folio).next().is_some()
            {
                self.moves[place].justification = Justification::Later;
            }
        }
    }
}

fn holds(folio: Folio, frame: Pfn) -> bool {
    (folio.head..folio.end()).contains(&frame)
}

fn overlap(one: Folio, other: Folio) -> bool {
    one.head < other.end() && other.head < one.end()
}
