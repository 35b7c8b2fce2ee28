// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Time on the bench.
//!
//! A clock that is moved by hand stands still while a case works. On one that runs by itself,
//! traffic is kept inside one epoch, and what came too late is told from what the device does
//! wrong: [`Stop::Late`].

use std::collections::BTreeSet;
use std::time::Duration;

use chmu_driver::transport::Width;
use chmu_spec::address::UnitIndex;
use chmu_spec::chmu::{EpochType, Mode, Status, offset};
use chmu_spec::hotlist::{Entry, next_index};

use super::running::{Awaited, Running, SHORTEST_EPOCH, Seen, TOLERANCE};
use super::setup::Setup;
use super::{Bench, CROWDED_OUT, LISTING_WAIT};
use crate::outcome::{Stop, fail, skip};

/// What it ends with when the machine is slow.
const LONGEST_EPOCH: Duration = Duration::from_millis(6400);
/// After a reset a function answers within this (PCI Express 6.6.2: 100 ms, and up to a second while it asks for retries).
const READY_WAIT: Duration = Duration::from_secs(1);
/// Between two looks at a list or a status.
const LISTING_STEP: Duration = Duration::from_millis(1);

impl Bench<'_> {
    /// The time since the bench was set up, on the device's clock.
    pub fn now(&self) -> Duration {
        match self.subject.has_manual_clock() {
            true => self.moved,
            false => self.subject.clock().unwrap_or_else(|| self.start.elapsed()),
        }
    }

    /// Lets time pass.
    pub fn pass(&mut self, time: Duration) -> Result<(), Stop> {
        self.moved += time;
        self.subject.pass_time(time).map_err(Stop::Broken)
    }

    /// Lets time pass until `moment`.
    pub fn pass_until(&mut self, moment: Duration) -> Result<(), Stop> {
        match moment.checked_sub(self.now()) {
            Some(time) => self.pass(time),
            None => Ok(()),
        }
    }

    /// Ends the case as late when `moment` is over; what was read meanwhile says nothing then.
    pub fn need_before(&self, moment: Duration) -> Result<(), Stop> {
        match self.subject.has_manual_clock() || self.now() < moment {
            true => Ok(()),
            false => Err(Stop::Late),
        }
    }

    /// Lets the current epoch of the instance under test end, and what it lists be seen: on a clock
    /// that runs by itself until all units are listed that the epoch's traffic made hot, or
    /// [`LISTING_WAIT`] has passed after its latest end.
    pub fn end_epoch(&mut self, setup: &Setup) -> Result<(), Stop> {
        let epoch = setup.epoch_duration();
        if self.subject.has_manual_clock() {
            return match setup.mode {
                Mode::AlwaysOn => Ok(()),
                Mode::Epoch => self.pass(epoch),
            };
        }
        let place = self.under_test;
        let Some(index) = self.running.iter().position(|one| one.place == place) else {
            return self.pass(epoch + epoch * TOLERANCE / 100 + LISTING_WAIT);
        };
        let running = &self.running[index];
        let (units, from) = (running.awaited.units(), running.awaited.from);
        let (earliest, latest) = match running.kind {
            None => (Duration::ZERO, self.now()),
            Some(_) => (running.earliest_end(), running.latest_end()),
        };
        let mut seen = None;
        match units.is_empty() {
            true => {
                self.pass_until(latest)?;
                self.await_listing()?;
            }
            false => {
                self.pass_until(earliest)?;
                seen = self.await_units(units, from, latest + LISTING_WAIT)?;
            }
        }
        if let Some(running) = self.running.get_mut(index) {
            running.end(seen, LISTING_WAIT);
        }
        Ok(())
    }

    /// Lets entries be seen that are due.
    pub fn await_listing(&mut self) -> Result<(), Stop> {
        match self.subject.has_manual_clock() {
            true => Ok(()),
            // Some devices go by when they were looked at.
            false => {
                self.tail()?;
                self.pass(LISTING_WAIT)
            }
        }
    }

    /// Waits until units are listed or the list is full; says between which two looks that came.
    /// Skips the case where others took the room of units that would have had some.
    fn await_units(
        &mut self,
        mut missing: BTreeSet<UnitIndex>,
        from: Option<u16>,
        deadline: Duration,
    ) -> Result<Option<Seen>, Stop> {
        let size = self.capabilities_0()?.hotlist_entries();
        let has_room = missing.len() < usize::from(size.saturating_sub(1));
        let width = self.status()?.counter_width();
        let mut index = from.unwrap_or(0);
        let mut not_yet = None;
        loop {
            let look = self.now();
            let (head, tail) = (self.head()?, self.tail()?);
            let seen = Seen {
                not_yet,
                by: self.now(),
            };
            if index < size && tail < size {
                for word in self.words_of_list(index, tail, size)? {
                    missing.remove(&Entry::decode(word, width).unit);
                }
                index = tail;
            }
            if missing.is_empty() {
                return Ok(Some(seen));
            }
            let is_full = tail < size && next_index(tail, size) == head;
            let is_crowded = is_full && has_room && !self.is_exact();
            // What filled the list may be from before this epoch.
            if is_full && !is_crowded && Some(index) != from {
                return Ok(Some(seen));
            }
            not_yet = Some(look);
            if self.now() >= deadline {
                return if is_crowded {
                    skip(CROWDED_OUT)
                } else {
                    Ok(None)
                };
            }
            self.pass(LISTING_STEP)?;
        }
    }

    /// The status, as soon as it is as it should be or [`LISTING_WAIT`] has passed.
    pub fn status_once(&mut self, is_right: impl Fn(Status) -> bool) -> Result<Status, Stop> {
        let deadline = self.now() + LISTING_WAIT;
        loop {
            let status = self.status()?;
            let is_over = self.subject.has_manual_clock() || self.now() >= deadline;
            if is_over || is_right(status) {
                return Ok(status);
            }
            self.pass(LISTING_STEP)?;
        }
    }

    /// Waits until the function answers after a reset, as the first header no longer reads as all ones; fails after
    /// a second.
    pub fn await_answers(&mut self) -> Result<(), Stop> {
        let Some(header) = self.blocks.first().map(|block| block.start) else {
            return Ok(());
        };
        let deadline = self.now() + READY_WAIT;
        while self.read_at(header, Width::Eight)? == u64::MAX {
            if self.now() >= deadline {
                let what = format!("the first CHMU header {READY_WAIT:?} after a reset");
                return fail(what, "all ones", "its value");
            }
            self.pass(LISTING_STEP)?;
        }
        Ok(())
    }

    /// Between which two moments the first epoch of the instance under test began, as long as no end
    /// was waited for; now where it does not count.
    pub fn began(&self) -> [Duration; 2] {
        let place = self.under_test;
        let running = self.running.iter().find(|one| one.place == place);
        running.map_or([self.now(); 2], |running| running.began)
    }

    /// From now on the instance under test counts; `before` its enable was written.
    pub(super) fn count_epochs(&mut self, setup: &Setup, before: Duration) -> Result<(), Stop> {
        self.forget_epochs();
        let kind = match setup.mode {
            Mode::AlwaysOn => None,
            Mode::Epoch => self.capabilities_0()?.epoch_type(),
        };
        self.running.push(Running {
            place: self.under_test,
            epoch: setup.epoch_duration(),
            kind,
            began: [before, self.now()],
            epochs_over: 0,
            traffic: None,
            awaited: Awaited::default(),
        });
        Ok(())
    }

    /// The instance under test counts no longer.
    pub(super) fn forget_epochs(&mut self) {
        let place = self.under_test;
        self.running.retain(|running| running.place != place);
    }

    /// Waits until traffic fits into the current epoch of every instance.
    pub(super) fn wait_for_good_moment(&mut self) -> Result<(), Stop> {
        if self.subject.has_manual_clock() {
            return Ok(());
        }
        loop {
            let now = self.now();
            let mut start = now;
            let mut is_new_epoch = false;
            for running in &mut self.running {
                let epochs_over = running.epochs_over;
                start = running.find_start(now).ok_or(Stop::Late)?.max(start);
                is_new_epoch |= running.epochs_over != epochs_over;
            }
            if start == now && !is_new_epoch {
                return Ok(());
            }
            self.pass_until(start)?;
            // A device that looks at its clock now and then ends its epochs before it answers.
            for running in &self.running {
                self.read_at(running.place.start.plus(offset::STATUS), Width::Eight)?;
            }
        }
    }

    /// Takes note of traffic from `before` until now, which must have been within one epoch.
    pub(super) fn note_traffic(&mut self, before: Duration) -> Result<(), Stop> {
        if self.subject.has_manual_clock() {
            return Ok(());
        }
        let now = self.now();
        for running in &mut self.running {
            let end = match running.kind {
                Some(EpochType::Global) => running.earliest_end(),
                Some(EpochType::PerCounter) => {
                    let first = running.traffic.map_or(before, |[first, _]| first);
                    first + running.epoch * (100 - TOLERANCE) / 100
                }
                None => continue,
            };
            if now > end {
                return Err(Stop::Late);
            }
            let first = running.traffic.map_or(before, |[first, _]| first);
            running.traffic = Some([first, now]);
        }
        Ok(())
    }

    /// Doubles the epochs of the cases to come; says whether they can be longer at all.
    pub(crate) fn lengthen_epochs(&mut self) -> bool {
        let longer = self.unhurried_epoch * 2;
        let possible = longer <= LONGEST_EPOCH;
        if possible {
            self.unhurried_epoch = longer;
        }
        possible
    }

    /// Goes back to the shortest epochs.
    pub(crate) fn shorten_epochs(&mut self) {
        self.unhurried_epoch = SHORTEST_EPOCH;
    }
}
