// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Scribes who write down something else than what happened. Most of them see to it that the sums
//! agree with what they wrote.

use chmu_promotion::Folio;
use chmu_promotion::ledger::{Action, BatchMade, Event, Moved, Queued, Totals};

use super::super::{Mutant, Part};
use crate::verdict::Reason;

/// Sums that agree with the lines.
pub(super) fn add_up(mut events: Vec<Event>) -> Vec<Event> {
    let lines = events.len().saturating_sub(1) as u64;
    let mut totals = Totals {
        lines,
        ..Totals::default()
    };
    for event in &events {
        match &event.action {
            Action::Source(said) => {
                totals.units_reported += said.units;
                totals.reports_with_overflow += u64::from(said.lost.overflow);
            }
            Action::Batch(_) => totals.batches += 1,
            Action::Moved(moved) => {
                totals.folios_moved += 1;
                totals.pages_moved += moved.folio.pages;
            }
            Action::Refused(_) => totals.refused += 1,
            Action::Retried(_) => totals.retried += 1,
            Action::Demotion(_) => totals.demotions += 1,
            Action::Telemetry(_) => drop(totals.usefulness.get_or_insert_default()),
            Action::Judged(judged) => totals.usefulness.get_or_insert_default().add(judged),
            Action::Demoted(demoted) if demoted.sent.is_some() => {
                totals.folios_demoted += 1;
                totals.pages_demoted += demoted.pages;
            }
            Action::Kept(_) => totals.kept += 1,
            _ => {}
        }
    }
    if let Some(Action::End(end)) = events.last_mut().map(|event| &mut event.action) {
        *end = totals;
    }
    events
}

/// The folio of several base pages that moved last.
fn last_move(events: &[Event]) -> Option<(usize, Moved)> {
    let moves = events.iter().enumerate().rev();
    let mut moves = moves.filter_map(|(place, event)| match &event.action {
        Action::Moved(moved) if moved.folio.pages == 1 => Some((place, moved.clone())),
        _ => None,
    });
    moves.next()
}

/// A kind of line, taken out of the ledger.
fn without_all(mut events: Vec<Event>, is_one: fn(&Action) -> bool) -> Vec<Event> {
    events.retain(|event| !is_one(&event.action));
    add_up(events)
}

/// Everything that is said of a folio, taken out of the ledger.
fn without(mut events: Vec<Event>, folio: Folio) -> Vec<Event> {
    events.retain(|event| match &event.action {
        Action::Seen(seen) => seen.folio != folio,
        Action::Queued(queued) => queued.folio != folio,
        Action::Moved(moved) => moved.folio != folio,
        _ => true,
    });
    for event in &mut events {
        if let Action::Batch(batch) = &mut event.action {
            batch.folios.retain(|one| *one != folio);
        }
    }
    events
}

/// A batch of its own for a move, before the end.
fn insert_move(mut events: Vec<Event>, moved: Moved) -> Vec<Event> {
    let Some(end) = events.pop() else {
        return events;
    };
    let batch = BatchMade {
        batch: u64::from(u32::MAX),
        route: moved.route,
        folios: vec![moved.folio],
        waiting: 0,
    };
    let moved = Moved {
        batch: batch.batch,
        started_ns: end.time_ns,
        ended_ns: end.time_ns,
        ..moved
    };
    let queued = Queued {
        folio: moved.folio,
        route: moved.route,
        heat: moved.heat,
        origin: moved.origin.clone(),
    };
    events.push(Event::new(end.time_ns, Action::Queued(queued)));
    events.push(Event::new(end.time_ns, Action::Batch(batch)));
    events.push(Event::new(end.time_ns, Action::Moved(moved)));
    events.push(end);
    events
}

/// Another value of the policy in the first line.
fn with_policy(mut events: Vec<Event>, name: &str, value: u64) -> Vec<Event> {
    if let Some(Action::Begin(begin)) = events.first_mut().map(|event| &mut event.action) {
        begin.policy.insert(name.to_owned(), value.into());
    }
    events
}

pub(super) fn all() -> Vec<Mutant> {
    let mutant = |name, explanation, reason, scribe: fn(&mut super::super::run::Parts)| Mutant {
        name,
        part: Part::Ledger,
        explanation,
        reason,
        sabotage: scribe,
    };
    vec![
        mutant(
            "line-missing",
            "leaves one move out",
            Reason::LedgerFateMissing,
            |parts| {
                parts.scribe = |mut events| {
                    if let Some((place, _)) = last_move(&events) {
                        events.remove(place);
                    }
                    add_up(events)
                };
            },
        ),
        mutant(
            "sums-as-they-were",
            "leaves a report out, and not out of the sums",
            Reason::LedgerTotals,
            |parts| {
                parts.scribe = |mut events| {
                    let report = events
                        .iter()
                        .position(|event| matches!(&event.action, Action::Source(_)));
                    report.map(|place| events.remove(place));
                    events
                };
            },
        ),
        mutant(
            "folio-missing",
            "leaves out everything about a folio that moved",
            Reason::MovedByOthers,
            |parts| {
                parts.scribe = |events| match last_move(&events) {
                    Some((_, moved)) => add_up(without(events, moved.folio)),
                    None => events,
                };
            },
        ),
        mutant(
            "line-invented",
            "says of a folio that was in no batch that it moved",
            Reason::LedgerFateInvented,
            |parts| {
                parts.scribe = |mut events| {
                    if let Some((place, mut moved)) = last_move(&events) {
                        let time_ns = events[place].time_ns;
                        moved.folio.head = moved.folio.end();
                        events.insert(place, Event::new(time_ns, Action::Moved(moved)));
                    }
                    add_up(events)
                };
            },
        ),
        mutant(
            "move-invented",
            "says of a page that stayed that it was in a batch and moved",
            Reason::SaidMovedButStayed,
            |parts| {
                parts.scribe = |events| match last_move(&events) {
                    Some((_, mut moved)) => {
                        moved.folio.head = moved.folio.end();
                        add_up(insert_move(events, moved))
                    }
                    None => events,
                };
            },
        ),
        mutant(
            "moved-twice",
            "says of a folio that it moved twice",
            Reason::MovedTwice,
            |parts| {
                parts.scribe = |events| match last_move(&events) {
                    Some((_, moved)) => add_up(insert_move(events, moved)),
                    None => events,
                };
            },
        ),
        mutant(
            "sources-missing",
            "leaves out that a source said anything",
            Reason::LedgerCauseMissing,
            |parts| {
                parts.scribe =
                    |events| without_all(events, |action| matches!(action, Action::Source(_)));
            },
        ),
        mutant(
            "waiting-missing",
            "leaves out that folios waited",
            Reason::LedgerCauseMissing,
            |parts| {
                parts.scribe =
                    |events| without_all(events, |action| matches!(action, Action::Queued(_)));
            },
        ),
        mutant(
            "reports-missing",
            "leaves out what was reported",
            Reason::NeverReported,
            |parts| {
                parts.scribe =
                    |events| without_all(events, |action| matches!(action, Action::Seen(_)));
            },
        ),
        mutant(
            "reports-late",
            "writes reports down after the moves that they led to",
            Reason::MovedBeforeReported,
            |parts| {
                parts.scribe = |events| {
                    let is_seen = |event: &Event| matches!(&event.action, Action::Seen(_));
                    let (mut seen, mut others): (Vec<_>, Vec<_>) =
                        events.into_iter().partition(is_seen);
                    let end = others.pop();
                    let last_ns = end.as_ref().map_or(0, |event| event.time_ns);
                    seen.iter_mut().for_each(|event| event.time_ns = last_ns);
                    others.into_iter().chain(seen).chain(end).collect()
                };
            },
        ),
        mutant(
            "cut",
            "stops before the end",
            Reason::LedgerUnfinished,
            |parts| {
                parts.scribe = |mut events| {
                    events.pop();
                    events
                };
            },
        ),
        mutant(
            "over-rate",
            "claims a rate that is not kept",
            Reason::OverRate,
            |parts| {
                parts.scribe = |events| with_policy(events, "pages_per_second", 8);
            },
        ),
        mutant(
            "larger-than-allowed",
            "claims smaller batches than it makes",
            Reason::LedgerPolicy,
            |parts| parts.scribe = |events| with_policy(events, "batch_folios", 1),
        ),
        mutant(
            "colder-than-allowed",
            "claims that colder folios stay than it moves",
            Reason::LedgerPolicy,
            |parts| parts.scribe = |events| with_policy(events, "minimum_heat", 1_000_000),
        ),
        mutant(
            "waiting-invented",
            "says that folios wait of which no line says it",
            Reason::LedgerTotals,
            |parts| {
                parts.scribe = |mut events| {
                    if let Some(Action::End(end)) = events.last_mut().map(|event| &mut event.action)
                    {
                        end.waiting += 1_000_000;
                    }
                    events
                };
            },
        ),
        mutant(
            "dry-run-claimed",
            "calls a run dry that moved pages",
            Reason::MovedByOthers,
            |parts| {
                parts.scribe = |mut events| {
                    if let Some(Action::Begin(begin)) =
                        events.first_mut().map(|event| &mut event.action)
                    {
                        begin.dry_run = true;
                    }
                    events
                };
            },
        ),
    ]
}
