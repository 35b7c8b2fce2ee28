// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A device that counts, set wrongly in each of the known ways, from which the tuner must get out.

use std::collections::BTreeSet;

use chmu_spec::address::Pfn;
use proptest::prelude::*;

use super::*;

const MS: u64 = 1_000_000;
const PAGES: u64 = 4096;
/// Accesses that make a page hot at all.
const LEAST: u64 = 32;
/// Windows that show what the settings lead to.
const LAST: usize = 60;

/// Pages with steady traffic, counted by a device with a list of limited length.
struct Device {
    settings: Settings,
    ranges: Vec<WatchedRange>,
    list: usize,
    counter_max: u64,
    hot: u64,
    /// Accesses of a hot page in 100 ms, and of a cold one.
    traffic: (u64, u64),
    /// After so long others are hot.
    moves_ns: Option<u64>,
    now_ns: u64,
    reported: BTreeSet<u64>,
}

impl Device {
    fn new(settings: Settings) -> Device {
        Device {
            settings,
            ranges: whole(),
            list: 256,
            counter_max: u64::MAX,
            hot: 100,
            traffic: (400, 1),
            moves_ns: None,
            now_ns: 0,
            reported: BTreeSet::new(),
        }
    }

    /// Whether a page is hot at a time: neighbours are, then the next ones.
    fn is_hot(&self, page: u64, now_ns: u64) -> bool {
        let turn = self.moves_ns.map_or(0, |moves_ns| now_ns / moves_ns);
        (page + PAGES - turn * self.hot % PAGES) % PAGES < self.hot
    }

    /// Accesses of a page in an epoch, the hot sets of its time considered.
    fn accesses(&self, page: u64) -> u64 {
        let steps = match self.moves_ns {
            None => 1,
            Some(moves_ns) => (4 * self.settings.epoch_ns).div_ceil(moves_ns),
        };
        let step_ns = self.settings.epoch_ns / steps;
        let each = |number| match self.is_hot(page, self.now_ns + number * step_ns) {
            true => self.traffic.0 * step_ns,
            false => self.traffic.1 * step_ns,
        };
        let sum: u64 = (0..steps).map(each).sum();
        (sum / (100 * MS)).min(self.counter_max)
    }

    fn watches(&self, page: u64) -> bool {
        self.ranges.iter().any(|range| match *range {
            WatchedRange::Frames { start, pages } => (start.0..start.0 + pages).contains(&page),
            WatchedRange::Device { .. } => false,
        })
    }

    fn window(&mut self) -> Window {
        let watched = (0..PAGES).filter(|page| self.watches(*page));
        let found = watched.filter(|page| self.accesses(*page) >= self.settings.threshold);
        let found: Vec<_> = found.collect();
        self.now_ns += self.settings.epoch_ns;
        let overflow = found.len() > self.list;
        let units: BTreeSet<_> = found.into_iter().take(self.list).collect();
        let again = units.intersection(&self.reported).count() as u64;
        self.reported = units;
        Window {
            units: self.reported.len() as u64,
            again,
            overflow,
        }
    }

    fn take(&mut self, wish: &Tuning) -> Tuning {
        let settings = &mut self.settings;
        settings.threshold = wish.threshold.unwrap_or(settings.threshold);
        settings.epoch_ns = wish.epoch_ns.unwrap_or(settings.epoch_ns);
        settings.unit_bytes = wish.unit_bytes.unwrap_or(settings.unit_bytes);
        if let Some(ranges) = &wish.ranges {
            self.ranges.clone_from(ranges);
        }
        self.reported.clear();
        wish.clone()
    }
}

fn whole() -> Vec<WatchedRange> {
    vec![WatchedRange::Frames {
        start: Pfn(0),
        pages: PAGES,
    }]
}

fn settings(threshold: u64, epoch_ns: u64) -> Settings {
    Settings {
        threshold,
        epoch_ns,
        unit_bytes: PAGE_BYTES,
    }
}

/// What the last windows were like.
#[derive(Debug)]
struct Result {
    overflows: usize,
    /// Pages that are hot when they are reported, of those reported, in percent.
    right: usize,
    /// Hot pages that were reported at least once.
    found: usize,
    settings: Settings,
}

/// Lets so many windows pass, and looks at the last of them.
fn run(device: &mut Device, fixed: Fixed, windows: usize) -> Result {
    let last = windows.min(LAST);
    let bounds = Bounds {
        threshold: (LEAST, device.counter_max.min(1 << 24)),
        epoch_ns: (MS, 10_000 * MS),
        ranges: whole(),
    };
    let mut tuner = Tuner::new(device.settings, bounds, fixed);
    let (mut overflows, mut right, mut all, mut found) = (0, 0, 0, BTreeSet::new());
    for number in 0..windows {
        let window = device.window();
        if number + last >= windows {
            overflows += usize::from(window.overflow);
            let is_hot = |page: &&u64| device.is_hot(**page, device.now_ns - 1);
            right += device.reported.iter().filter(is_hot).count();
            all += device.reported.len();
            found.extend(
                device
                    .reported
                    .iter()
                    .copied()
                    .filter(|page| *page < device.hot),
            );
        }
        if let Some(change) = tuner.window(window) {
            let granted = device.take(&change.wish);
            tuner.granted(&granted);
        }
    }
    Result {
        overflows,
        right: right * 100 / all.max(1),
        found: found.len(),
        settings: device.settings,
    }
}

fn assert_useful(device: &mut Device, windows: usize) -> Settings {
    let result = run(device, Fixed::default(), windows);
    assert!(result.overflows <= 3, "{result:?}");
    assert!(result.right >= 80, "{result:?}");
    result.settings
}

#[test]
fn good_settings_stay() {
    let mut device = Device::new(settings(64, 100 * MS));
    assert_eq!(assert_useful(&mut device, 100), settings(64, 100 * MS));
}

#[test]
fn it_escapes_from_a_threshold_that_is_too_high() {
    let mut device = Device::new(settings(1_000_000, 100 * MS));
    let found = run(&mut device, Fixed::default(), 600);
    assert_eq!((found.found, found.overflows), (100, 0), "{found:?}");
}

#[test]
fn it_escapes_from_a_threshold_that_is_too_low() {
    let mut device = Device::new(settings(LEAST, 100 * MS));
    device.traffic = (4000, 100);
    let settings = assert_useful(&mut device, 200);
    assert!(settings.threshold > 100);
}

#[test]
fn it_escapes_from_an_epoch_that_is_too_short() {
    let mut device = Device::new(settings(LEAST, 4 * MS));
    let found = run(&mut device, Fixed::default(), 400);
    assert_eq!((found.found, found.right), (100, 100), "{found:?}");
}

#[test]
fn it_escapes_from_an_epoch_in_which_counters_fill_up() {
    let mut device = Device::new(settings(LEAST, 10_000 * MS));
    device.counter_max = 63;
    // Within the whole epoch cold pages fill their counters as well.
    let found = run(&mut device, Fixed::default(), 400);
    assert!(found.overflows <= 3 && found.right >= 80, "{found:?}");
    assert!(found.settings.epoch_ns < 10_000 * MS);
}

#[test]
fn it_escapes_from_a_wrong_time_scale() {
    let mut device = Device::new(settings(LEAST, 3_200 * MS));
    device.moves_ns = Some(800 * MS);
    device.hot = 20;
    let settings = assert_useful(&mut device, 300);
    assert!(settings.epoch_ns <= 800 * MS, "{settings:?}");
}

#[test]
fn it_escapes_from_watching_more_than_the_list_holds() {
    let mut device = Device::new(settings(64, 100 * MS));
    device.hot = 1000;
    device.list = 128;
    let settings = device.settings;
    let bounds = Bounds {
        threshold: (LEAST, 1 << 24),
        epoch_ns: (MS, 10_000 * MS),
        ranges: whole(),
    };
    let mut tuner = Tuner::new(settings, bounds, Fixed::default());
    let (mut overflows, mut found) = (0, BTreeSet::new());
    for number in 0..800 {
        let window = device.window();
        if number >= 300 {
            overflows += usize::from(window.overflow);
            found.extend(device.reported.iter().copied());
        }
        if let Some(change) = tuner.window(window) {
            let granted = device.take(&change.wish);
            tuner.granted(&granted);
        }
    }
    // Each part has its turn, and nothing but what is hot is found there.
    assert_eq!(found, (0..1000).collect());
    assert!(overflows <= 20, "{overflows} of 500 windows");
    assert!(device.ranges != whole());
}

#[test]
fn it_asks_for_smaller_units_once() {
    let mut coarse = settings(64, 100 * MS);
    coarse.unit_bytes = 2 << 20;
    let bounds = Bounds {
        threshold: (LEAST, 1 << 24),
        epoch_ns: (MS, MS),
        ranges: whole(),
    };
    let mut tuner = Tuner::new(coarse, bounds, Fixed::default());
    let window = Window {
        units: 5,
        ..Window::default()
    };
    let change = tuner.window(window).unwrap();
    assert_eq!((change.from, change.to), (2 << 20, PAGE_BYTES));
    // The device has no smaller ones.
    tuner.granted(&Tuning {
        unit_bytes: Some(2 << 20),
        ..Tuning::default()
    });
    assert!((0..50).all(|_| tuner.window(window).is_none()));
}

#[test]
fn what_a_user_fixed_stays() {
    let mut device = Device::new(settings(LEAST, 100 * MS));
    device.traffic = (4000, 100);
    let fixed = Fixed {
        threshold: true,
        epoch: true,
        unit: true,
        ranges: true,
    };
    let result = run(&mut device, fixed, 100);
    assert_eq!(result.settings, settings(LEAST, 100 * MS));
    assert_eq!(result.overflows, 60);
}

proptest! {
    #[test]
    fn parts_are_the_whole(
        lengths in proptest::collection::vec(1..100_u64, 1..5), parts in 1..40_u64,
    ) {
        let mut ranges = Vec::new();
        let mut frames = Vec::new();
        for (number, pages) in (0..).zip(lengths) {
            ranges.push(WatchedRange::Frames { start: Pfn(number * 1000), pages });
            frames.extend(number * 1000..number * 1000 + pages);
        }
        let mut found = Vec::new();
        for part in 0..parts {
            for range in part_of(&ranges, part, parts) {
                let WatchedRange::Frames { start, pages } = range else { panic!() };
                found.extend(start.0..start.0 + pages);
            }
        }
        prop_assert_eq!(found, frames);
    }
}
