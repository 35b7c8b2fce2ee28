// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Time on the bench.
//!
//! A clock that is moved by hand stands still while a case works. On one that runs by itself,
//! traffic is kept inside one epoch, and what came too late is told from what the device does
//! wrong: [`Stop::Late`].

use std::time::Duration;

use chmu_driver::transport::Width;
use chmu_spec::chmu::{EpochType, Mode, offset};

use super::{Bench, InstancePlace, Setup};
use crate::case::Stop;

/// What a case begins with on a clock that runs by itself.
pub(super) const SHORTEST_EPOCH: Duration = Duration::from_millis(100);
/// What it ends with when the machine is slow.
const LONGEST_EPOCH: Duration = Duration::from_millis(6400);
/// Traffic that is to fill one epoch does not begin later than this, in hundredths.
const LAST_START: u32 = 80;
/// Two clocks differ, in hundredths of an epoch.
const TOLERANCE: u32 = 10;

/// An enabled instance. Times are those of [`Bench::now`].
#[derive(Debug)]
pub(super) struct Running {
    place: InstancePlace,
    epoch: Duration,
    /// None in always-on mode.
    kind: Option<EpochType>,
    /// Its first epoch began between these two.
    enabled: [Duration; 2],
    /// How many epochs were over when the current one began, as far as cases care.
    epochs_over: u32,
    /// When the traffic of the current epoch began and ended.
    traffic: Option<[Duration; 2]>,
}

impl Running {
    /// The latest start of the current epoch.
    fn start(&self) -> Duration {
        self.enabled[1] + self.epoch * self.epochs_over
    }

    /// The earliest end of the current epoch.
    fn earliest_end(&self) -> Duration {
        self.enabled[0] + self.epoch * (self.epochs_over + 1)
    }

    /// When the current epoch is over for sure.
    fn latest_end(&self) -> Duration {
        let end = match (self.kind, self.traffic) {
            (Some(EpochType::PerCounter), Some([_, last])) => last + self.epoch,
            _ => self.start() + self.epoch,
        };
        end + self.epoch * TOLERANCE / 100
    }

    /// Goes to the epoch in which traffic can begin at `now` or soon after, and says when.
    fn find_start(&mut self, now: Duration) -> Duration {
        if self.kind != Some(EpochType::Global) || self.traffic.is_some() {
            return now;
        }
        while now > self.start() + self.epoch * LAST_START / 100 {
            self.epochs_over += 1;
        }
        match self.epochs_over {
            0 => now,
            _ => now.max(self.start() + self.epoch * TOLERANCE / 100),
        }
    }
}

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

#[cfg(test)]
mod tests {
    use chmu_driver::transport::BarOffset;

    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// Epochs of 100 ms; the first one began between 10 and 12 ms.
    fn running(kind: Option<EpochType>) -> Running {
        Running {
            place: InstancePlace {
                block: 0,
                instance: 0,
                start: BarOffset { bar: 4, offset: 16 },
            },
            epoch: ms(100),
            kind,
            enabled: [ms(10), ms(12)],
            epochs_over: 0,
            traffic: None,
        }
    }

    #[test]
    fn traffic_begins_at_once_or_in_the_next_epoch() {
        let mut global = running(Some(EpochType::Global));
        assert_eq!(global.find_start(ms(50)), ms(50));
        assert_eq!(global.find_start(ms(92)), ms(92));
        assert_eq!(global.find_start(ms(93)), ms(122), "a tenth after 112 ms");
        assert_eq!(global.find_start(ms(150)), ms(150));
        assert_eq!(global.find_start(ms(1000)), ms(1022));
        assert_eq!(global.earliest_end(), ms(1110));
        assert_eq!(global.latest_end(), ms(1122));
    }

    #[test]
    fn traffic_of_one_epoch_stays_in_it() {
        let mut global = running(Some(EpochType::Global));
        global.traffic = Some([ms(20), ms(21)]);
        assert_eq!(global.find_start(ms(95)), ms(95));
        assert_eq!(global.epochs_over, 0);
    }

    #[test]
    fn a_units_own_epoch_begins_with_its_traffic() {
        let mut own = running(Some(EpochType::PerCounter));
        assert_eq!(own.find_start(ms(95)), ms(95));
        own.traffic = Some([ms(300), ms(305)]);
        assert_eq!(own.latest_end(), ms(415));
    }

    #[test]
    fn without_epochs_every_moment_is_good() {
        assert_eq!(running(None).find_start(ms(111)), ms(111));
    }
}
