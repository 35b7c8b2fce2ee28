// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause

use proptest::prelude::*;

use super::super::{Decided, Decision, VERSION};
use super::*;

#[test]
fn everything_that_happened_is_in_it() {
    let status = status_after(eventful());
    assert_eq!(status.version, VERSION);
    assert_eq!(status.program.as_deref(), Some("1.2.3"));
    assert_eq!(
        (status.started_ns, status.time_ns),
        (1_000_000_000, 16_500_000_000)
    );
    let up = status.routes.iter().find(|row| row.route == UP).unwrap();
    assert_eq!((up.folios_waiting, up.pages_waiting), (1, 1));
    assert_eq!(up.oldest_ns, 10_500_000_000);
    assert_eq!((up.folios_moved, up.pages_moved.total), (1, 512));
    assert_eq!(up.pages_moving, 0);
    let far = status.routes.iter().find(|row| row.route == FAR).unwrap();
    assert_eq!((far.folios_waiting, far.folios_moved), (1, 0));
    assert_eq!(
        (status.folios_to_retry, status.retries, status.batches),
        (1, 1, 1)
    );
    let source = &status.sources[0];
    assert_eq!((source.reports, source.units.total), (2, 104));
    assert_eq!((source.last_units, source.most_units), (64, 64));
    assert_eq!(
        (
            source.overflows,
            source.units_dropped,
            source.outside_memory
        ),
        (1, 4, 2)
    );
    assert_eq!(source.health, Health::Degraded("late".to_owned()));
    assert_eq!(status.sources[1].reports, 0);
    assert_eq!(status.refused[&Rejection::Pinned].total, 2);
    assert_eq!(status.ignored[&Rejection::TopTier], 6);
    assert_eq!((status.ping_pong_folios, status.pages_came_back), (1, 1));
    assert_eq!(status.demotions.len(), 1);
    assert_eq!(
        status.demotions[0].pages.total, 9,
        "the page that came back is one of them"
    );
    assert_eq!(status.spill_limit, Some(120));
    let json = serde_json::to_string(&status).unwrap();
    assert_eq!(serde_json::from_str::<Status>(&json).unwrap(), status);
}

#[test]
fn the_latest_decisions_are_told_equal_ones_together() {
    let decisions = status_after(eventful()).decisions;
    assert!(matches!(decisions[0].what, Decided::Tuned { to: 120, .. }));
    assert_eq!(
        decisions[1],
        Decision {
            time_ns: 15_000_000_000,
            what: Decided::Demoted {
                node: NodeId(0),
                pages: 10
            }
        }
    );
    let pinned = Decided::Refused {
        reason: Rejection::Pinned,
        folios: 2,
        last: folio(11, 1),
    };
    assert_eq!(decisions[2].what, pinned);
}

#[test]
fn a_lifted_limit_and_an_ended_run_are_seen() {
    let mut actions = eventful();
    actions.push(held_to(u64::MAX));
    actions.push(ended());
    let status = status_after(actions);
    assert_eq!(status.spill_limit, None);
    assert!(status.has_ended);
    assert_eq!(status.decisions[0].what, Decided::Ended);
    assert!(status.routes.iter().all(|row| row.folios_waiting == 0));
}

#[test]
fn a_run_that_never_ends_needs_no_more_memory() {
    let mut collector = Collector::default();
    collector.note(&Event::new(1, begin(&["a"])));
    for round in 0..20_000 {
        let route = Route {
            source: NodeId(round),
            target: NodeId(0),
        };
        let one = folio(round.into(), 1);
        collector.note(&Event::new(1, moved(1, one, route)));
        collector.note(&Event::new(1, demoted(round, 1, None)));
        let odd = format!("source {round}");
        collector.note(&Event::new(
            1,
            said(&odd, 1, false, Health::Gone(odd.clone())),
        ));
        let tuned = Action::Tuned(Tuned {
            source: Some(odd),
            setting: TunedSetting::Threshold,
            from: None,
            to: 1,
            reason: String::new(),
        });
        collector.note(&Event::new(1, tuned));
    }
    let status = collector.status(1);
    assert!(status.routes.len() <= 1024 && status.demotions.len() <= 1024);
    assert!(status.tuned.len() <= 256 && status.sources.len() == 1);
    assert!(status.decisions.len() <= 16);
}

/// What becomes of a folio next, given what it is: queued, part of the batch of its route, moved,
/// refused or to be tried again.
fn next(history: &[(u64, Action)], head: u64, choice: u8) -> Option<Action> {
    let this = folio(head, head % 3 + 1);
    let route = [UP, FAR][usize::from(choice % 2)];
    let number = history.len() as u64;
    let last = history.iter().rev().find(|(_, action)| names(action, this));
    Some(match (last.map(|(_, action)| action), choice % 3) {
        (Some(Action::Queued(_)), 0) => refused(this, Rejection::Stale, None),
        (Some(Action::Queued(Queued { route, .. })), _) => {
            let route = *route;
            let all = (0..8).map(|head| folio(head, head % 3 + 1));
            let waiting: Vec<_> = all.filter(|one| is_waiting(history, *one, route)).collect();
            batch(number, route, &waiting)
        }
        (Some(Action::Batch(made)), 0) => moved(made.batch, this, route),
        (Some(Action::Batch(made)), 1) => refused(this, Rejection::Pinned, Some(made.batch)),
        (Some(Action::Batch(made)), _) => retried(made.batch, this),
        (_, 0) => return None,
        (_, _) => queued(this, route),
    })
}

fn names(action: &Action, this: Folio) -> bool {
    match action {
        Action::Queued(queued) => queued.folio == this,
        Action::Batch(made) => made.folios.contains(&this),
        Action::Moved(moved) => moved.folio == this,
        Action::Refused(refused) => refused.folio == this,
        Action::Retried(retried) => retried.folio == this,
        _ => false,
    }
}

/// By the last line that names it.
fn is_waiting(history: &[(u64, Action)], this: Folio, on: Route) -> bool {
    let last = history.iter().rev().find(|(_, action)| names(action, this));
    matches!(last, Some((_, Action::Queued(queued))) if queued.route == on)
}

proptest! {
    #[test]
    fn what_waits_and_moves_is_what_the_last_line_of_each_folio_says(
        steps in prop::collection::vec((0_u64..8, any::<u8>(), 0_u64..3_000_000_000), 1..120),
    ) {
        let mut collector = Collector::default();
        let mut history = Vec::new();
        let mut now_ns = 0;
        for (head, choice, passed_ns) in steps {
            now_ns += passed_ns;
            let Some(action) = next(&history, head, choice) else { continue };
            collector.note(&Event::new(now_ns, action.clone()));
            history.push((now_ns, action));
        }
        let status = collector.status(now_ns);
        let all: Vec<_> = (0..8).map(|head| folio(head, head % 3 + 1)).collect();
        let last = |this: Folio| history.iter().rev().find(|(_, action)| names(action, this));
        for route in [UP, FAR] {
            let waiting: Vec<_> = all.iter().filter(|one| is_waiting(&history, **one, route)).collect();
            let oldest = waiting.iter().filter_map(|one| last(**one)).map(|(time_ns, _)| now_ns - time_ns).max();
            let moving: u64 = all
                .iter()
                .filter(|one| matches!(last(**one), Some((_, Action::Batch(made))) if made.route == route))
                .map(|one| one.pages)
                .sum();
            let row = status.routes.iter().find(|row| row.route == route);
            prop_assert_eq!(row.map_or(0, |row| row.folios_waiting), waiting.len() as u64);
            prop_assert_eq!(row.map_or(0, |row| row.pages_waiting), waiting.iter().map(|one| one.pages).sum::<u64>());
            prop_assert_eq!(row.map_or(0, |row| row.oldest_ns), oldest.unwrap_or(0));
            prop_assert_eq!(row.map_or(0, |row| row.pages_moving), moving);
        }
        let to_retry = all.iter().filter(|one| matches!(last(**one), Some((_, Action::Retried(_)))));
        prop_assert_eq!(status.folios_to_retry, to_retry.count() as u64);
    }
}

#[test]
fn room_that_was_made_is_told_apart_from_what_others_demoted() {
    let telemetry = |health| {
        Action::Telemetry(TelemetrySaid {
            name: "damon".to_owned(),
            health,
        })
    };
    let mut actions = vec![
        begin(&["one"]),
        telemetry(Health::Good),
        made_room(2, folio(30, 4), DOWN),
        made_room(2, folio(40, 1), DOWN),
        kept(2, folio(50, 1)),
        demoted(0, 9, None),
    ];
    let status = status_after(actions.clone());
    let [room] = &status.room_made[..] else {
        panic!("{:?}", status.room_made);
    };
    assert_eq!((room.route, room.folios, room.pages.total), (DOWN, 2, 5));
    assert_eq!((status.folios_kept, status.pages_came_back), (1, 0));
    assert_eq!(status.demotions[0].pages.total, 9);
    assert_eq!(status.decisions.len(), 2, "{:?}", status.decisions);
    let screen = status.to_string();
    assert!(screen.contains("\nroom made: 0 -> 1 5 ("), "{screen}");
    assert!(
        screen.contains("batch 2, 0 -> 1: demoted 2 folios, 5 pages"),
        "{screen}"
    );
    let text = super::super::prometheus::text(&status);
    for line in [
        "chmu_promotion_room_made_pages_total{from=\"0\",to=\"1\"} 5",
        "chmu_promotion_room_kept_folios_total 1",
        "chmu_promotion_fast_memory_watched 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}");
    }
    actions.push(telemetry(Health::Gone("DAMON is off".to_owned())));
    let text = super::super::prometheus::text(&status_after(actions));
    assert!(text.contains("chmu_promotion_fast_memory_watched 0\n"));
}
