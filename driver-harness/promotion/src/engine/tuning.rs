// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! From reports to the windows that the tuner looks at, and from its changes to wishes.

use std::collections::BTreeSet;

use super::Engine;
use super::tuner::{Change, Tuner, Window};
use crate::aggregate::{Origin, SourceId};
use crate::ledger::{Action, Tuned};
use crate::report::{Place, Report, Tuning};

/// After a pause of more epochs than these it is not said how many were empty.
const EMPTY_MAX: u64 = 32;

/// One source's windows.
#[derive(Debug)]
pub(super) struct Watch {
    tuner: Tuner,
    /// When the window began that is still open.
    start_ns: Option<u64>,
    window: Window,
    places: BTreeSet<Place>,
    last_places: BTreeSet<Place>,
}

impl Watch {
    /// Takes a report into account; returns the change that it leads to, if any.
    fn report(&mut self, report: &Report) -> Option<Change> {
        let now_ns = report.handed_out_ns;
        let epoch_ns = self.tuner.settings().epoch_ns.max(1);
        let start_ns = *self.start_ns.get_or_insert(now_ns);
        let mut change = None;
        let passed = now_ns.saturating_sub(start_ns) / epoch_ns;
        for _ in 0..passed.min(EMPTY_MAX) {
            change = change.or_else(|| self.close());
        }
        if passed > 0 {
            self.start_ns = Some(now_ns);
        }
        self.window.overflow |= report.lost.overflow;
        self.places
            .extend(report.extents.iter().map(|extent| extent.place));
        change
    }

    /// The open window ends.
    fn close(&mut self) -> Option<Change> {
        let places = std::mem::take(&mut self.places);
        let again = places.intersection(&self.last_places).count();
        let window = Window {
            units: places.len() as u64,
            again: again as u64,
            ..std::mem::take(&mut self.window)
        };
        self.last_places = places;
        let change = self.tuner.window(window);
        if change.is_some() {
            self.last_places.clear();
        }
        change
    }
}

impl Engine {
    /// Adapts a source's settings from now on.
    pub fn tune(&mut self, source: SourceId, tuner: Tuner) {
        let watch = Watch {
            tuner,
            start_ns: None,
            window: Window::default(),
            places: BTreeSet::new(),
            last_places: BTreeSet::new(),
        };
        self.watches.insert(source, watch);
    }

    /// What sources should be asked for.
    pub fn take_wishes(&mut self) -> Vec<(SourceId, Tuning)> {
        std::mem::take(&mut self.wishes)
    }

    /// A source took these settings.
    pub fn retuned(&mut self, source: SourceId, granted: &Tuning) {
        if let Some(watch) = self.watches.get_mut(&source) {
            watch.tuner.granted(granted);
            watch.start_ns = None;
        }
    }

    /// Takes a report into account for the source's settings.
    pub(super) fn watch(&mut self, source: SourceId, report: &Report, now_ns: u64) {
        let watch = self.watches.get_mut(&source);
        let Some(change) = watch.and_then(|watch| watch.report(report)) else {
            return;
        };
        let tuned = Tuned {
            source: self.names(Origin::of(source)).pop(),
            setting: change.setting,
            from: Some(change.from),
            to: change.to,
            reason: change.reason.to_owned(),
        };
        self.note(now_ns, Action::Tuned(tuned));
        self.wishes.push((source, change.wish));
    }
}
