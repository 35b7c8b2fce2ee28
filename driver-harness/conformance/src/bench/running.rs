// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The epochs of an enabled instance, on a clock that runs by itself.

use std::time::Duration;

use chmu_spec::chmu::EpochType;

use super::place::InstancePlace;

/// What a case begins with on a clock that runs by itself.
pub(super) const SHORTEST_EPOCH: Duration = Duration::from_millis(100);
/// Traffic that is to fill one epoch does not begin later than this, in hundredths.
const LAST_START: u32 = 80;
/// Two clocks differ, in hundredths of an epoch.
pub(super) const TOLERANCE: u32 = 10;

/// An enabled instance. Times are those of [`Bench::now`].
#[derive(Debug)]
pub(super) struct Running {
    pub(super) place: InstancePlace,
    pub(super) epoch: Duration,
    /// None in always-on mode.
    pub(super) kind: Option<EpochType>,
    /// Its first epoch began between these two.
    pub(super) enabled: [Duration; 2],
    /// How many epochs were over when the current one began, as far as cases care.
    pub(super) epochs_over: u32,
    /// When the traffic of the current epoch began and ended.
    pub(super) traffic: Option<[Duration; 2]>,
}

impl Running {
    /// The latest start of the current epoch.
    fn start(&self) -> Duration {
        self.enabled[1] + self.epoch * self.epochs_over
    }

    /// The earliest end of the current epoch.
    pub(super) fn earliest_end(&self) -> Duration {
        self.enabled[0] + self.epoch * (self.epochs_over + 1)
    }

    /// When the current epoch is over for sure.
    pub(super) fn latest_end(&self) -> Duration {
        let end = match (self.kind, self.traffic) {
            (Some(EpochType::PerCounter), Some([_, last])) => last + self.epoch,
            _ => self.start() + self.epoch,
        };
        end + self.epoch * TOLERANCE / 100
    }

    /// Goes to the epoch in which traffic can begin at `now` or soon after, and says when.
    pub(super) fn find_start(&mut self, now: Duration) -> Duration {
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
