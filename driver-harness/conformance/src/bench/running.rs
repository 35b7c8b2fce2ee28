// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The epochs of an enabled instance, on a clock that runs by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chmu_spec::address::UnitIndex;
use chmu_spec::chmu::EpochType;

use super::place::InstancePlace;

/// What a case begins with on a clock that runs by itself.
pub(super) const SHORTEST_EPOCH: Duration = Duration::from_millis(100);
/// Of the current epoch, traffic leaves so much free at the end, in hundredths.
const LEFT_FREE: u32 = 20;
/// How much the clocks of a device and of this machine may differ, in hundredths: of each epoch, so
/// that it adds up.
pub const TOLERANCE: u32 = 6;

/// An enabled instance. Times are those of [`Bench::now`](super::Bench::now).
#[derive(Debug)]
pub(super) struct Running {
    pub(super) place: InstancePlace,
    pub(super) epoch: Duration,
    /// None in always-on mode.
    pub(super) kind: Option<EpochType>,
    /// An epoch began between these two: the first one, or the one after an end that was seen.
    pub(super) began: [Duration; 2],
    /// How many epochs were over since when the current one began, as far as cases care.
    pub(super) epochs_over: u32,
    /// When the traffic of the current epoch began and ended.
    pub(super) traffic: Option<[Duration; 2]>,
    /// Units that the traffic of the current epoch makes hot, and the tail before it.
    pub(super) awaited: Awaited,
}

/// What traffic made of units since an epoch began, and from where on the list names the hot ones.
#[derive(Debug, Default)]
pub(super) struct Awaited {
    /// Units and their requests that count.
    pub(super) counts: BTreeMap<UnitIndex, u64>,
    /// So many make a unit hot.
    pub(super) hot: u64,
    pub(super) from: Option<u16>,
}

/// Between which two looks the end of an epoch was seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// The last look that did not show it, if there was one, began at this time.
    pub(super) not_yet: Option<Duration>,
    /// The first look that showed it was over by this time.
    pub(super) by: Duration,
}

impl Awaited {
    /// The units that must be listed.
    pub(super) fn units(&self) -> BTreeSet<UnitIndex> {
        let hot = self.counts.iter().filter(|(_, count)| **count >= self.hot);
        hot.map(|(unit, _)| *unit).collect()
    }
}

impl Running {
    /// The latest start of the current epoch.
    fn start(&self) -> Duration {
        self.began[1] + self.epoch * self.epochs_over * (100 + TOLERANCE) / 100
    }

    /// The earliest end of the current epoch.
    pub(super) fn earliest_end(&self) -> Duration {
        match (self.kind, self.traffic) {
            (Some(EpochType::PerCounter), Some([first, _])) => {
                first + self.epoch * (100 - TOLERANCE) / 100
            }
            _ => self.began[0] + self.epoch * (self.epochs_over + 1) * (100 - TOLERANCE) / 100,
        }
    }

    /// When the current epoch is over for sure.
    pub(super) fn latest_end(&self) -> Duration {
        match (self.kind, self.traffic) {
            (Some(EpochType::PerCounter), Some([_, last])) => {
                last + self.epoch * (100 + TOLERANCE) / 100
            }
            _ => self.began[1] + self.epoch * (self.epochs_over + 1) * (100 + TOLERANCE) / 100,
        }
    }

    /// The current epoch is over; `seen` is when that was seen, if it was, up to `wait` after it was so.
    pub(super) fn end(&mut self, seen: Option<Seen>, wait: Duration) {
        match seen {
            Some(Seen { not_yet, by }) => {
                let earliest = self.earliest_end().min(by);
                let not_before = not_yet.unwrap_or_default().saturating_sub(wait);
                self.began = [earliest.max(not_before), by];
                self.epochs_over = 0;
            }
            None => self.epochs_over += 1,
        }
        self.traffic = None;
        self.awaited.from = None;
        // Without epochs, units that are not hot yet go on counting.
        let (hot, goes_on) = (self.awaited.hot, self.kind.is_none());
        self.awaited
            .counts
            .retain(|_, count| goes_on && *count < hot);
    }

    /// Goes to the epoch in which traffic can begin at `now` or soon after, and says when; none
    /// when so many epochs are over that nobody knows where one begins.
    pub(super) fn find_start(&mut self, now: Duration) -> Option<Duration> {
        if self.kind != Some(EpochType::Global) || self.traffic.is_some() {
            return Some(now);
        }
        let left_free = self.epoch * LEFT_FREE / 100;
        while now + left_free > self.earliest_end() {
            self.epochs_over += 1;
            if self.start() + left_free > self.earliest_end() {
                return None;
            }
        }
        Some(match self.epochs_over {
            0 => now,
            _ => now.max(self.start()),
        })
    }
}

#[cfg(test)]
mod tests {
    use chmu_driver::transport::BarOffset;

    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn seen(not_yet: Option<u64>, by: u64) -> Seen {
        Seen {
            not_yet: not_yet.map(ms),
            by: ms(by),
        }
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
            began: [ms(10), ms(12)],
            epochs_over: 0,
            traffic: None,
            awaited: Awaited::default(),
        }
    }

    #[test]
    fn traffic_begins_at_once_or_in_the_next_epoch() {
        let mut global = running(Some(EpochType::Global));
        assert_eq!(global.find_start(ms(50)), Some(ms(50)));
        assert_eq!(global.find_start(ms(84)), Some(ms(84)));
        assert_eq!(
            global.find_start(ms(85)),
            Some(ms(118)),
            "106 % after 12 ms"
        );
        assert_eq!(global.find_start(ms(150)), Some(ms(150)));
        assert_eq!(global.earliest_end(), ms(198));
        assert_eq!(global.latest_end(), ms(224));
    }

    #[test]
    fn what_clocks_differ_by_adds_up_until_an_end_is_seen() {
        let mut global = running(Some(EpochType::Global));
        assert_eq!(
            global.find_start(ms(700)),
            None,
            "nobody knows where epochs begin"
        );
        let mut global = running(Some(EpochType::Global));
        global.end(Some(seen(Some(109), 110)), ms(30));
        assert_eq!(global.began, [ms(104), ms(110)]);
        assert_eq!(global.find_start(ms(110)), Some(ms(110)));
        global.end(None, ms(30));
        assert_eq!(global.earliest_end(), ms(292));
        assert_eq!(global.latest_end(), ms(322));
    }

    #[test]
    fn a_late_look_says_little_of_when_an_epoch_began() {
        let mut global = running(Some(EpochType::Global));
        global.end(Some(seen(None, 180)), ms(30));
        assert_eq!(global.began, [ms(104), ms(180)]);
        let mut global = running(Some(EpochType::Global));
        global.end(Some(seen(Some(150), 180)), ms(30));
        assert_eq!(global.began, [ms(120), ms(180)]);
    }

    #[test]
    fn traffic_of_one_epoch_stays_in_it() {
        let mut global = running(Some(EpochType::Global));
        global.traffic = Some([ms(20), ms(21)]);
        assert_eq!(global.find_start(ms(95)), Some(ms(95)));
        assert_eq!(global.epochs_over, 0);
    }

    #[test]
    fn a_units_own_epoch_begins_with_its_traffic() {
        let mut own = running(Some(EpochType::PerCounter));
        assert_eq!(own.find_start(ms(95)), Some(ms(95)));
        own.traffic = Some([ms(300), ms(305)]);
        assert_eq!(own.earliest_end(), ms(394));
        assert_eq!(own.latest_end(), ms(411));
    }

    #[test]
    fn without_epochs_every_moment_is_good() {
        assert_eq!(running(None).find_start(ms(111)), Some(ms(111)));
    }
}
