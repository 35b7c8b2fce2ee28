// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One unit of a source: how far back its lists reach, and where its entries lie.

use std::time::Duration;

use chmu_driver::device::{Drained, Settings, Unit, UnitError};
use chmu_driver::translation::Translation;
use chmu_spec::address::{Dpa, HpaRange};
use chmu_spec::chmu::Mode;
use chmu_spec::hotlist::Entry;

use crate::report::{HotExtent, Place, UnitPlace, Weight};

/// How long after an access a device may still count it for an epoch that began later.
///
/// A device that answers a read of its registers has ended all epochs that were over by then, however
/// busy it was: those that it ended late are in the list that is read after. What remains is the way of
/// an access to the counters, and of an entry to memory; this is far more than either takes. Lines that
/// a cache writes back count when it does so, which nothing bounds.
pub(super) const LATENESS: Duration = Duration::from_millis(20);

/// A unit that counts, and where its memory appears in the host.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) unit: Unit,
    pub(super) translation: Translation,
    /// Why it reports nothing any more.
    pub(super) ended: Option<String>,
    /// When it began to count with the settings of now.
    counts_since: Duration,
    /// When the last reading began after which no hot unit waited for room in the list.
    caught_up_at: Duration,
    /// The last reading left the list full, so that hot units may wait; when it began.
    full_at: Option<Duration>,
}

impl Member {
    pub(super) fn new(unit: Unit, translation: Translation) -> Member {
        let now = unit.transport().now();
        Member {
            unit,
            translation,
            ended: None,
            counts_since: now,
            caught_up_at: now,
            full_at: None,
        }
    }

    pub(super) fn lives(&self) -> bool {
        self.ended.is_none()
    }

    /// Lets it count; what it counts is new from now on.
    pub(super) fn enable(&mut self) -> Result<(), UnitError> {
        self.counts_since = self.unit.transport().now();
        self.caught_up_at = self.counts_since;
        self.full_at = None;
        self.unit.enable()
    }

    pub(super) fn epoch(&self) -> Duration {
        let epoch = self
            .unit
            .settings()
            .map(|settings| settings.epoch.nanoseconds());
        Duration::from_nanos(epoch.unwrap_or(0))
    }

    /// Reads its list. Returns before which time no access was made that an entry counts.
    pub(super) fn drain(
        &mut self,
        entries: &mut Vec<Entry>,
    ) -> Result<(Drained, Duration), UnitError> {
        let begin = self.unit.transport().now();
        let drained = self.unit.drain(entries)?;
        let earliest = self.earliest();
        self.note(begin, drained);
        Ok((drained, earliest))
    }

    /// Entries of the next reading are of epochs that had not ended when the last one began, and so began
    /// at most an epoch before. Without epochs, counters begin with the unit.
    fn earliest(&self) -> Duration {
        let is_always_on = |settings: &Settings| settings.mode == Mode::AlwaysOn;
        let begin = match self.unit.settings().is_some_and(is_always_on) {
            true => self.counts_since,
            false => self.caught_up_at.saturating_sub(self.epoch()),
        };
        // A reset, as before counting, leaves no count of what was before.
        begin.max(self.counts_since).saturating_sub(LATENESS)
    }

    /// Hot units that find no room wait for it, on devices that postpone them: as long as some may, what
    /// comes later can be of any epoch since.
    fn note(&mut self, begin: Duration, drained: Drained) {
        let capabilities = self.unit.capabilities();
        let is_full = drained.entries >= capabilities.hotlist_entries.saturating_sub(1);
        if !capabilities.postponed_insertion {
            self.caught_up_at = begin;
        } else if is_full {
            self.full_at = Some(begin);
        } else {
            let settled = self.epoch().saturating_add(LATENESS);
            match self.full_at {
                Some(full_at) if begin.saturating_sub(full_at) < settled => {}
                _ => {
                    self.full_at = None;
                    self.caught_up_at = begin;
                }
            }
        }
    }

    /// Adds the entry as pages of the host; false when it lies in none.
    pub(super) fn add_extents(
        &self,
        member: usize,
        entry: Entry,
        extents: &mut Vec<HotExtent>,
    ) -> bool {
        let Some((dpa, ranges)) = self.pages_of(entry) else {
            return false;
        };
        let places: Vec<_> = ranges.into_iter().map(Place::of_range).collect();
        let sharing_pages = places.iter().map(Place::pages).sum::<u64>().max(1);
        extents.extend(places.iter().map(|&place| HotExtent {
            place,
            weight: Weight::accesses(entry.count),
            sharing_pages,
            unit: Some(UnitPlace { member, dpa }),
        }));
        !places.is_empty()
    }

    /// Where the entry's unit starts in the device, and the pages of the host that hold it.
    fn pages_of(&self, entry: Entry) -> Option<(Dpa, Vec<HpaRange>)> {
        let size = self.unit.settings()?.unit_size;
        let start = size.start_of(entry.unit)?;
        let end = Dpa(start.0.checked_add(size.bytes())?);
        Some((start, self.translation.pages(start..end)))
    }
}
