// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Whether a ledger's promotion got slower when it says so, and faster again.

use std::num::NonZeroU64;

use chmu_promotion::ledger::{Action, Event, TunedSetting};

/// The part of a second for which pages may be made up.
const BURST_PART: u64 = 4;

/// The rates that a promotion with at most `rate` pages a second set itself, and what is wrong with them: the
/// first must be half of what was possible or less, all must be kept, and the last be higher than the least.
pub(super) fn judge(events: &[Event], rate: NonZeroU64) -> (Vec<u64>, Vec<String>) {
    let rate = rate.get();
    let changes = events.iter().filter_map(|event| match &event.action {
        Action::Tuned(tuned) if tuned.setting == TunedSetting::PagesPerSecond => {
            Some((event.time_ns, tuned.to, &tuned.reason))
        }
        _ => None,
    });
    let mut changes: Vec<_> = changes.collect();
    changes.sort_by_key(|(time_ns, ..)| *time_ns);
    let rates: Vec<_> = changes.iter().map(|(_, rate, _)| *rate).collect();
    let mut faults = Vec::new();
    let is_lower = |(_, to, reason): &(u64, u64, &String)| {
        *to <= (rate + rate / BURST_PART) / 2 && reason.contains("demotes")
    };
    if !changes.first().is_some_and(is_lower) {
        faults.push(format!("The rate does not go down first: {changes:?}"));
    }
    if rates.last() <= rates.iter().min() {
        faults.push(format!("The rate does not go up again: {changes:?}"));
    }
    for pair in changes.windows(2) {
        if let [(since_ns, rate, _), (until_ns, ..)] = *pair {
            faults.extend(excess(events, rate, since_ns..until_ns));
        }
    }
    (rates, faults)
}

/// What was promoted beyond a rate. A batch counts when it was made: a busy machine moves it later, at whatever
/// rate there is then.
fn excess(events: &[Event], rate: u64, time_ns: std::ops::Range<u64>) -> Option<String> {
    let batches = events.iter().filter_map(|event| match &event.action {
        Action::Batch(batch) if time_ns.contains(&event.time_ns) => Some(batch),
        _ => None,
    });
    let folios = batches.flat_map(|batch| &batch.folios);
    let pages: u64 = folios.map(|folio| folio.pages).sum();
    let passed = u128::from(rate) * u128::from(time_ns.end - time_ns.start) / 1_000_000_000;
    let most = u64::try_from(passed)
        .unwrap_or(u64::MAX)
        .saturating_add(rate / BURST_PART)
        .saturating_add(1);
    (pages > most)
        .then(|| format!("{pages} pages were promoted where {rate} a second allow {most}"))
}

#[cfg(test)]
mod tests {
    use chmu_machine::node::NodeId;
    use chmu_promotion::ledger::{BatchMade, Tuned};
    use chmu_promotion::{Folio, Route};
    use chmu_spec::address::Pfn;

    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;
    const RATE: NonZeroU64 = NonZeroU64::new(100).unwrap();

    fn tuned(second: u64, to: u64) -> Event {
        let tuned = Tuned {
            source: None,
            setting: TunedSetting::PagesPerSecond,
            from: None,
            to,
            reason: "node 0 demotes what is promoted to it".to_owned(),
        };
        Event::new(second * SECOND_NS, Action::Tuned(tuned))
    }

    /// A batch of so many pages in each quarter of these seconds.
    fn batches(seconds: std::ops::Range<u64>, pages: u64) -> impl Iterator<Item = Event> {
        let folios: Vec<_> = (0..pages)
            .map(|frame| Folio {
                head: Pfn(frame),
                pages: 1,
            })
            .collect();
        let route = Route {
            source: NodeId(1),
            target: NodeId(0),
        };
        (seconds.start * 4..seconds.end * 4).map(move |quarter| {
            let made = BatchMade {
                batch: quarter,
                route,
                folios: folios.clone(),
                waiting: 0,
            };
            Event::new(quarter * SECOND_NS / 4, Action::Batch(made))
        })
    }

    /// Down to 50 for ten seconds, at which so many pages go in each quarter of a second, and up again.
    fn ledger(pages: u64) -> Vec<Event> {
        let mut events = vec![tuned(4, 50), tuned(14, 60), tuned(15, u64::MAX)];
        events.extend(batches(0..4, 25));
        events.extend(batches(4..14, pages));
        events.extend(batches(15..18, 25));
        events
    }

    fn faults(events: &[Event]) -> Vec<String> {
        judge(events, RATE).1
    }

    #[test]
    fn a_rate_that_is_kept_is_no_fault() {
        assert!(faults(&ledger(12)).is_empty(), "{:?}", faults(&ledger(12)));
        assert_eq!(judge(&ledger(12), RATE).0, [50, 60, u64::MAX]);
    }

    #[test]
    fn a_rate_that_is_noted_and_not_applied_is_a_fault() {
        for pages in [25, 15] {
            let said = faults(&ledger(pages));
            let expected = format!(
                "{} pages were promoted where 50 a second allow 513",
                pages * 40
            );
            assert_eq!(said, [expected]);
        }
    }

    #[test]
    fn one_large_folio_counts_as_its_pages() {
        let mut events = ledger(12);
        for event in &mut events {
            if let Action::Batch(batch) = &mut event.action {
                batch.folios.truncate(1);
                batch.folios[0].pages = 25;
            }
        }
        assert_eq!(faults(&events).len(), 1);
    }

    #[test]
    fn a_rate_must_go_down_and_up_again() {
        assert_eq!(faults(&[]).len(), 2);
        assert_eq!(faults(&[tuned(4, 50), tuned(5, 25)]).len(), 1);
        assert_eq!(faults(&[tuned(4, 90), tuned(5, u64::MAX)]).len(), 1);
    }
}
