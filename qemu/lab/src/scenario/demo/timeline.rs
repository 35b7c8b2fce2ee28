// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! When each page of the workload was reported and when it was promoted, as the ledger has it.

use std::collections::{BTreeMap, BTreeSet};

use chmu_promotion::ledger::{Action, Event};
use chmu_proof::workload::state::State;

use crate::report::{Colour, HeatMap, Picture, heat};

const REPORTED: Colour = Colour(6);
const PROMOTED: Colour = Colour(5);

/// What happened to pages, by their numbers; times are nanoseconds since the first touch of a hot page.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Timeline {
    pages: u64,
    hot: Vec<u64>,
    reported: Vec<(u64, u64)>,
    promoted: Vec<(u64, u64)>,
}

impl Timeline {
    /// Of a workload whose frames are known, and a ledger's events; nothing where they are not.
    pub(super) fn of(state: &State, events: &[Event]) -> Self {
        let frames = state.start_frames.iter().flatten();
        let page_of: BTreeMap<_, _> = frames.copied().zip(0_u64..).collect();
        let start_ns = state.first_touch_monotonic_ns.unwrap_or_default();
        let mut timeline = Self {
            pages: state.pages,
            hot: state.hot_pages.clone(),
            ..Self::default()
        };
        for event in events {
            let (into, folio, time_ns) = match &event.action {
                Action::Seen(seen) => (&mut timeline.reported, seen.folio, event.time_ns),
                Action::Moved(moved) => (&mut timeline.promoted, moved.folio, moved.ended_ns),
                _ => continue,
            };
            let pages = page_of.range(folio.head.0..folio.end().0);
            let passed_ns = time_ns.saturating_sub(start_ns);
            into.extend(pages.map(|(_, page)| (*page, passed_ns)));
        }
        timeline
    }

    /// Maps of all pages over the time that it took; none where nothing is known.
    pub(super) fn pictures(&self) -> Vec<Picture> {
        let last = self.reported.iter().chain(&self.promoted);
        let Some(time_ns) = last.map(|(_, time_ns)| *time_ns).max() else {
            return Vec::new();
        };
        let map = |title, colour, happened: &[(u64, u64)]| {
            let map = HeatMap {
                things: self.pages,
                time_ns,
                marked: self.hot.clone(),
                happened: happened.to_vec(),
                colour,
            };
            heat(
                title,
                ("page; strip: hot ones", "since the first access"),
                &map,
            )
        };
        vec![
            map("Pages as the hotlist told them", REPORTED, &self.reported),
            map("Pages as they were promoted", PROMOTED, &self.promoted),
        ]
    }

    /// A row for each page that was hot, or to which anything happened: first report and last move.
    pub fn csv(&self) -> String {
        let hot: BTreeSet<_> = self.hot.iter().copied().collect();
        let mut rows: BTreeMap<u64, [Option<u64>; 2]> =
            hot.iter().map(|page| (*page, [None; 2])).collect();
        for (page, time_ns) in &self.reported {
            let first = &mut rows.entry(*page).or_default()[0];
            *first = Some(first.map_or(*time_ns, |first| first.min(*time_ns)));
        }
        for (page, time_ns) in &self.promoted {
            rows.entry(*page).or_default()[1] = Some(*time_ns);
        }
        let mut csv = "page,hot,first_reported_ns,promoted_ns\n".to_owned();
        for (page, times) in rows {
            let [reported, promoted] =
                times.map(|time| time.map(|time| time.to_string()).unwrap_or_default());
            let hot = hot.contains(&page);
            csv.push_str(&format!("{page},{hot},{reported},{promoted}\n"));
        }
        csv
    }
}

#[cfg(test)]
mod tests {
    use chmu_promotion::ledger::Event;
    use serde_json::{Value, json};

    use super::super::result::tests::state;
    use super::*;

    fn event(time_ns: u64, mut action: Value) -> Event {
        action["v"] = json!(1);
        action["t"] = json!(time_ns);
        serde_json::from_value(action).unwrap()
    }

    fn seen(time_ns: u64, frame: u64, pages: u64) -> Event {
        let folio = json!({"frame": frame, "pages": pages});
        event(
            time_ns,
            json!({"e": "seen", "folio": folio, "node": 1, "heat": 9, "origin": [], "earliest_access_ns": 0}),
        )
    }

    fn moved(time_ns: u64, frame: u64) -> Event {
        event(
            time_ns + 7,
            json!({"e": "moved", "batch": 1, "folio": {"frame": frame, "pages": 1}, "route": {"from": 1, "to": 0},
                "heat": 9, "origin": [], "started_ns": 0, "ended_ns": time_ns}),
        )
    }

    #[test]
    fn pages_are_told_by_the_frames_that_they_had() {
        let state = State {
            pages: 4,
            start_frames: Some(vec![100, 101, 50, 200]),
            hot_pages: vec![0, 2],
            first_touch_monotonic_ns: Some(1000),
            ..state()
        };
        let events = [
            seen(1500, 100, 2),
            seen(1600, 50, 1),
            seen(1700, 100, 1),
            // A stranger's.
            seen(1800, 7, 1),
            moved(2000, 100),
        ];
        let timeline = Timeline::of(&state, &events);
        assert_eq!(
            timeline.csv(),
            "page,hot,first_reported_ns,promoted_ns\n0,true,500,1000\n1,false,500,\n2,true,600,\n"
        );
        assert_eq!(timeline.pictures().len(), 2);
    }

    #[test]
    fn without_frames_there_is_no_picture() {
        let state = State {
            start_frames: None,
            ..state()
        };
        let timeline = Timeline::of(&state, &[seen(1, 2, 1)]);
        assert!(timeline.pictures().is_empty());
    }
}
