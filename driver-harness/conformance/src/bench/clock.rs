// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Time on the bench.
//!
//! A clock that is moved by hand stands still while a case works. On one that runs by itself,
//! traffic is kept inside one epoch, and what came too late is told from what the device does
//! wrong: [`Stop::Late`].

use std::time::Duration;

use chmu_driver::transport::Width;
use chmu_spec::chmu::{EpochType, Mode, offset};

use super::Bench;
use super::running::{Running, SHORTEST_EPOCH, TOLERANCE};
use super::setup::Setup;
use crate::outcome::Stop;

/// What it ends with when the machine is slow.
const LONGEST_EPOCH: Duration = Duration::from_millis(6400);

impl Bench<'_> {
    /// The time since the bench was set up, on the device's clock.
    pub fn now(&self) -> Duration {
        match self.subject.has_manual_clock() {
            true => self.moved,
            false => self.start.elapsed(),
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

    /// Lets the current epoch of the instance under test end; returns at once in always-on mode.
    pub fn end_epoch(&mut self, setup: &Setup) -> Result<(), Stop> {
        let epoch = setup.epoch_duration();
        if setup.mode == Mode::AlwaysOn {
            return Ok(());
        }
        if self.subject.has_manual_clock() {
            return self.pass(epoch);
        }
        let place = self.under_test;
        let Some(running) = self.running.iter().find(|running| running.place == place) else {
            return self.pass(epoch + epoch * TOLERANCE / 100);
        };
        self.pass_until(running.latest_end())?;
        for running in self.running.iter_mut().filter(|one| one.place == place) {
            running.epochs_over += 1;
            running.traffic = None;
        }
        Ok(())
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
            enabled: [before, self.now()],
            epochs_over: 0,
            traffic: None,
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
        let now = self.now();
        let starts = self.running.iter_mut().map(|one| one.find_start(now));
        let start = starts.max().unwrap_or(now);
        if start > now {
            self.pass_until(start)?;
            // A device that looks at its clock now and then ends its epochs before it answers.
            for running in &self.running {
                self.read_at(running.place.start.plus(offset::STATUS), Width::Eight)?;
            }
        }
        Ok(())
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
                Some(EpochType::PerCounter) => before + running.epoch,
                None => continue,
            };
            if now + running.epoch * TOLERANCE / 200 > end {
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
