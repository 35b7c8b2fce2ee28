// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! From reports to the windows that the tuner looks at, and from its changes to wishes.

use std::collections::BTreeMap;

use chmu_spec::address::Pfn;

use super::Engine;
use super::sightings::Sightings;
use super::tuner::{Change, Tuner, Window};
use crate::aggregate::{Origin, SourceId};
use crate::batch::Folio;
use crate::ledger::{Action, Tuned};
use crate::report::{HotExtent, Place, Report, Tuning};

/// After a pause of more epochs than these it is not said how many were empty.
const EMPTY_MAX: u64 = 32;
/// After so many empty windows what was hot before them is compared with nothing any more.
const COMPARED_MAX: u32 = 2;

/// One source's windows.
#[derive(Debug)]
pub(super) struct Watch {
    tuner: Tuner,
    /// The source was asked for other settings, for this reason; reports of the old ones may come
    /// until it took them, and in the first report after that.
    asked: Option<&'static str>,
    is_mixed: bool,
    /// When the window began that is still open.
    start_ns: Option<u64>,
    overflow: bool,
    /// The greatest weight of each place.
    places: BTreeMap<Place, u64>,
    last_places: BTreeMap<Place, u64>,
    /// Empty windows since those.
    empty: u32,
    /// Folios that moved since the window began.
    moved: Vec<Folio>,
    /// What was reported by settings below the usual ones.
    sightings: Sightings,
}

/// What is to be done with a report.
pub(super) enum Sight {
    /// It counts.
    Clear,
    /// It counts for pages that were in earlier ones too.
    Dim,
    /// The settings are such that it does not tell what is hot.
    Doubted,
}

impl Watch {
    fn new(tuner: Tuner) -> Watch {
        Watch {
            tuner,
            asked: None,
            is_mixed: false,
            start_ns: None,
            overflow: false,
            places: BTreeMap::new(),
            last_places: BTreeMap::new(),
            empty: 0,
            moved: Vec::new(),
            sightings: Sightings::default(),
        }
    }

    /// Takes a report into account, of whose extents these may be promoted still; returns the change
    /// that it leads to, if any.
    fn report(&mut self, report: &Report, extents: &[&HotExtent]) -> (Sight, Option<Change>) {
        if self.asked.is_some() || std::mem::take(&mut self.is_mixed) {
            return (Sight::Doubted, None);
        }
        let now_ns = report.handed_out_ns;
        let epoch_ns = self.tuner.settings().epoch_ns.max(1);
        let start_ns = *self.start_ns.get_or_insert(now_ns);
        let mut change = None;
        // A device's epochs and the time at which their reports come differ by a part of one.
        let passed = now_ns.saturating_sub(start_ns).saturating_add(epoch_ns / 2) / epoch_ns;
        for _ in 0..passed.min(EMPTY_MAX) {
            change = change.or_else(|| self.close());
        }
        if passed > 0 {
            self.start_ns = Some(now_ns);
        }
        let weights = extents.iter().map(|extent| extent.weight.value);
        let hottest = weights.max().unwrap_or(0);
        let is_doubted = change.is_some() || self.tuner.doubts(report.lost.overflow, hottest);
        self.overflow |= report.lost.overflow;
        for extent in extents {
            let weight = self.places.entry(extent.place).or_default();
            *weight = extent.weight.value.max(*weight);
        }
        match is_doubted {
            true => (Sight::Doubted, change),
            false if self.tuner.is_low() => (Sight::Dim, None),
            false => (Sight::Clear, None),
        }
    }

    /// The open window ends.
    fn close(&mut self) -> Option<Change> {
        let places = std::mem::take(&mut self.places);
        let mut window = Window {
            overflow: std::mem::take(&mut self.overflow),
            ..Window::of(
                places.values().copied().collect(),
                self.tuner.settings().threshold,
            )
        };
        self.empty = match places.is_empty() {
            true => self.empty.saturating_add(1),
            false => 0,
        };
        if self.empty == 0 || self.empty > COMPARED_MAX {
            window.before = self.last_places.len() as u64;
            let again = self
                .last_places
                .keys()
                .filter(|place| places.contains_key(place));
            window.again = again.count() as u64;
            self.last_places = places;
        }
        for folio in std::mem::take(&mut self.moved) {
            forget(&mut self.last_places, folio);
        }
        self.sightings.begin_window();
        let change = self.tuner.window(window);
        if change.is_some() {
            self.last_places.clear();
            self.sightings.forget();
        }
        change
    }

    /// A folio's pages will not be reported again: they moved.
    fn moved(&mut self, folio: Folio) {
        forget(&mut self.last_places, folio);
        self.moved.push(folio);
    }
}

/// Leaves out the frames of a folio.
fn forget(places: &mut BTreeMap<Place, u64>, folio: Folio) {
    let at = |start: Pfn| Place::Frames { start, pages: 0 };
    let inside = places.range(at(folio.head)..at(folio.end()));
    let inside: Vec<_> = inside.map(|(place, _)| *place).collect();
    for place in inside {
        places.remove(&place);
    }
}

impl Engine {
    /// Adapts a source's settings from now on.
    pub fn tune(&mut self, source: SourceId, tuner: Tuner) {
        self.watches.insert(source, Watch::new(tuner));
    }

    /// What sources should be asked for.
    pub fn take_wishes(&mut self) -> Vec<(SourceId, Tuning)> {
        std::mem::take(&mut self.wishes)
    }

    /// Whether no source's settings are about to change.
    pub fn is_settled(&self) -> bool {
        self.watches.values().all(|watch| watch.tuner.is_settled())
    }

    /// A source that was asked for other settings has these; none when it took nothing. What it hands
    /// out from now on is of these, but for the first report, which has what it found before.
    pub fn retuned(&mut self, source: SourceId, granted: Option<&Tuning>, now_ns: u64) {
        let name = self.names(Origin::of(source)).pop();
        let Some(watch) = self.watches.get_mut(&source) else {
            return;
        };
        let reason = watch.asked.take().unwrap_or_default();
        watch.is_mixed = true;
        watch.start_ns = None;
        for granted in watch.tuner.granted(granted) {
            let tuned = Tuned {
                source: name.clone(),
                setting: granted.setting,
                from: Some(granted.from),
                to: granted.to,
                reason: reason.to_owned(),
            };
            self.note(now_ns, Action::Tuned(tuned));
        }
    }

    /// Takes a report into account for the source's settings.
    pub(super) fn watch(&mut self, source: SourceId, report: &Report) -> Sight {
        let Some(watch) = self.watches.get_mut(&source) else {
            return Sight::Clear;
        };
        // What a page left says nothing of what will be reported again.
        let is_void = |extent: &HotExtent| match extent.place {
            Place::Frames { start, .. } => self.settling.is_void(start, report.earliest_access_ns),
            Place::Addresses { .. } => false,
        };
        let extents: Vec<_> = report
            .extents
            .iter()
            .filter(|extent| !is_void(extent))
            .collect();
        let (sight, change) = watch.report(report, &extents);
        if let Some(change) = change {
            watch.asked = Some(change.reason);
            self.wishes.push((source, change.wish));
        }
        sight
    }

    /// Takes note of frames in a report that is not clear; leaves those that are believed to be hot and
    /// says how many are not.
    pub(super) fn doubt(
        &mut self,
        source: SourceId,
        sight: &Sight,
        frames: &mut Vec<(Pfn, u64)>,
    ) -> u64 {
        let Some(watch) = self.watches.get_mut(&source) else {
            return 0;
        };
        let reported = frames.len();
        match sight {
            Sight::Clear => (),
            Sight::Dim => frames.retain(|(frame, _)| watch.sightings.see(*frame)),
            Sight::Doubted => {
                if watch.tuner.is_low() {
                    frames.iter().for_each(|(frame, _)| {
                        watch.sightings.see(*frame);
                    });
                }
                frames.clear();
            }
        }
        (reported - frames.len()) as u64
    }

    /// A folio is to move: that its frames are not hot again is no wonder.
    pub(super) fn watch_move(&mut self, folio: Folio) {
        self.watches
            .values_mut()
            .for_each(|watch| watch.moved(folio));
    }
}
