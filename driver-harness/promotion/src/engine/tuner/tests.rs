// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A device that counts, set wrongly in each of the known ways, from which the tuner must get out.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::engine::sightings::Sightings;
use crate::report::WatchedRange;
use chmu_spec::address::Pfn;

const MS: u64 = 1_000_000;
const PAGES: u64 = 4096;
/// Accesses that make a page hot at all.
const LEAST: u64 = 4;
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
        let overflow = found.len() > self.list;
        let weights = found.iter().take(self.list);
        let weights = weights.map(|page| self.accesses(*page)).collect();
        let units: BTreeSet<_> = found.iter().copied().take(self.list).collect();
        let window = Window {
            before: self.reported.len() as u64,
            again: units.intersection(&self.reported).count() as u64,
            overflow,
            ..Window::of(weights, self.settings.threshold)
        };
        self.reported = units;
        self.now_ns += self.settings.epoch_ns;
        window
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
        Tuning {
            threshold: Some(settings.threshold),
            epoch_ns: Some(settings.epoch_ns),
            unit_bytes: Some(settings.unit_bytes),
            ranges: Some(self.ranges.clone()),
        }
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

fn tunable(device: &Device) -> Tunable {
    Tunable {
        settings: device.settings,
        bounds: Bounds {
            threshold: (LEAST, device.counter_max.min(1 << 24)),
            epoch_ns: (MS, 10_000 * MS),
            ranges: whole(),
            parts: 1024,
        },
        fixed: Fixed::default(),
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
    let mut tuner = Tuner::new(tunable(device), fixed);
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
            tuner.granted(Some(&granted));
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

/// On a starved machine what is hot comes and goes. However the epoch changes because of it, nothing more
/// to report is no reason to call less hot.
#[test]
fn another_epoch_is_no_reason_to_look_for_less() {
    let device = usual((400, 1));
    let mut tuner = Tuner::new(tunable(&device), Fixed::default());
    let restless = |again| Window {
        units: 40,
        before: 40,
        again,
        hottest: 400,
        ..Window::default()
    };
    let mut asked = Vec::new();
    let windows = (0..20).map(|number| restless(10 - number / 2));
    for window in windows.chain((0..200).map(|_| Window::default())) {
        if let Some(change) = tuner.window(window) {
            let granted = Tuning {
                threshold: change.wish.threshold,
                epoch_ns: change.wish.epoch_ns,
                ..Tuning::default()
            };
            tuner.granted(Some(&granted));
            asked.push(change.wish);
        }
    }
    assert!(
        asked.iter().any(|wish| wish.epoch_ns > Some(100 * MS)),
        "{asked:?}"
    );
    assert_eq!(tuner.settings().threshold, 32, "{asked:?}");
}

#[test]
fn it_escapes_from_watching_more_than_the_list_holds() {
    let mut device = Device::new(settings(64, 100 * MS));
    device.hot = 1000;
    device.list = 128;
    let mut tuner = Tuner::new(tunable(&device), Fixed::default());
    let (mut overflows, mut found) = (0, BTreeSet::new());
    for number in 0..800 {
        let window = device.window();
        if number >= 300 {
            overflows += usize::from(window.overflow);
            found.extend(device.reported.iter().copied());
        }
        if let Some(change) = tuner.window(window) {
            let granted = device.take(&change.wish);
            tuner.granted(Some(&granted));
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
    let mut tuner = Tuner::new(tunable(&Device::new(coarse)), Fixed::default());
    let window = Window {
        units: 5,
        ..Window::default()
    };
    let change = tuner.window(window).unwrap();
    assert_eq!(change.wish.unit_bytes, Some(PAGE_BYTES));
    // The device has no smaller ones.
    let granted = tuner.granted(Some(&Tuning {
        unit_bytes: Some(2 << 20),
        ..Tuning::default()
    }));
    let kept = Granted {
        setting: TunedSetting::UnitBytes,
        from: 2 << 20,
        to: 2 << 20,
    };
    assert_eq!(granted, [kept]);
    assert!((0..15).all(|_| tuner.window(window).is_none()));
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

/// A device whose reported pages are promoted at once, or in their third window below the usual settings, unless the
/// tuner doubts the report.
struct Machine {
    device: Device,
    tuner: Tuner,
    sightings: Sightings,
    promoted: BTreeSet<u64>,
    noise: u64,
    /// How long it takes on average until a cold page is visited again, with so many accesses at once.
    cold_visits: Option<(u64, u64)>,
}

impl Machine {
    fn new(device: Device, noise: u64) -> Machine {
        Machine {
            tuner: Tuner::new(tunable(&device), Fixed::default()),
            device,
            sightings: Sightings::default(),
            promoted: BTreeSet::new(),
            noise,
            cold_visits: None,
        }
    }

    fn chance(&mut self, page: u64) -> u64 {
        self.noise = self
            .noise
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(page | 1);
        self.noise >> 20
    }

    /// Accesses of a page in this epoch: up to a fifth more or less than usual.
    fn accesses(&mut self, page: u64) -> u64 {
        if let Some((apart_ns, accesses)) = self.cold_visits.filter(|_| page >= self.device.hot) {
            let visits = self.device.settings.epoch_ns / apart_ns
                + u64::from(
                    self.chance(page) % apart_ns < self.device.settings.epoch_ns % apart_ns,
                );
            return visits * accesses;
        }
        self.device.accesses(page) * (80 + self.chance(page) % 41) / 100
    }

    fn epochs(&mut self, epochs: usize, is_idle: bool) {
        for _ in 0..epochs {
            let mut found = Vec::new();
            for page in (0..PAGES / 4).filter(|_| !is_idle) {
                if self.promoted.contains(&page) || !self.device.watches(page) {
                    continue;
                }
                let accesses = self.accesses(page);
                if accesses >= self.device.settings.threshold {
                    found.push((page, accesses));
                }
            }
            self.device.now_ns += self.device.settings.epoch_ns;
            let overflow = found.len() > self.device.list;
            found.truncate(self.device.list);
            let weights: Vec<_> = found.iter().map(|(_, weight)| *weight).collect();
            let hottest = weights.iter().max().copied().unwrap_or(0);
            let window = Window {
                overflow,
                ..Window::of(weights, self.device.settings.threshold)
            };
            self.sightings.begin_window();
            let change = self.tuner.window(window);
            if change.is_none() && !self.tuner.doubts(overflow, hottest) {
                let is_low = self.tuner.is_low();
                let sightings = &mut self.sightings;
                let believed = found
                    .iter()
                    .filter(|(page, _)| !is_low || sightings.see(Pfn(*page)));
                self.promoted.extend(believed.map(|(page, _)| *page));
            }
            if let Some(change) = change {
                let granted = self.device.take(&change.wish);
                self.tuner.granted(Some(&granted));
                self.sightings.forget();
            }
        }
    }

    /// Pages that are hot and were promoted, and pages that are cold and were.
    fn right_and_wrong(&self) -> (u64, u64) {
        let is_hot = |page: &&u64| **page < self.device.hot;
        let right = self.promoted.iter().filter(is_hot).count() as u64;
        (right, self.promoted.len() as u64 - right)
    }
}

/// 100 ms and 32 accesses, and a list of 256 units.
fn usual(traffic: (u64, u64)) -> Device {
    let mut device = Device::new(settings(32, 100 * MS));
    device.traffic = traffic;
    device
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However hot the hot pages are, however long nothing happened before, and however long after:
    /// they are promoted, and no other page is.
    #[test]
    fn hot_pages_are_found_and_cold_ones_left(
        hot in 64..5_000_u64, part in 20..1_000_u64, idle in 0..600_usize, noise: u64,
    ) {
        // Hot by the usual settings is what is touched 320 times a second.
        let mut device = usual((hot, (hot / part).min(26)));
        device.list = 4096;
        let mut machine = Machine::new(device, noise);
        machine.epochs(idle, true);
        machine.epochs(400, false);
        prop_assert_eq!(machine.right_and_wrong(), (100, 0), "{:?}", machine.device.settings);
        prop_assert!(machine.tuner.is_settled());
        machine.epochs(1_000, false);
        prop_assert_eq!(machine.right_and_wrong(), (100, 0), "{:?}", machine.device.settings);
    }

    /// The same with pages that are not hot by the usual settings, but hotter than all others.
    #[test]
    fn what_is_hot_on_a_slow_machine_is_found(hot in 6..30_u64, idle in 0..100_usize, noise: u64) {
        let mut machine = Machine::new(usual((hot, 0)), noise);
        machine.epochs(idle, true);
        machine.epochs(400, false);
        prop_assert_eq!(machine.right_and_wrong(), (100, 0), "{:?}", machine.device.settings);
    }

    /// All pages are hot by the usual settings, some more than others.
    #[test]
    fn an_overflowing_list_promotes_no_cold_page(
        cold in 41..2_000_u64, times in 6..50_u64, list in 100..1_000_usize, noise: u64,
    ) {
        let mut device = usual((cold * times, cold));
        device.list = list;
        let mut machine = Machine::new(device, noise);
        machine.epochs(150, false);
        prop_assert_eq!(machine.right_and_wrong(), (100, 0), "{:?}", machine.device.settings);
        prop_assert!(machine.tuner.is_settled());
    }
}

#[test]
fn settings_below_the_usual_ones_end_when_something_is_hot_by_those() {
    let mut machine = Machine::new(usual((3_000, 20)), 1);
    machine.epochs(400, true);
    let low = machine.device.settings;
    assert!(
        low.threshold < LEAST * 2 && low.epoch_ns > 100 * MS,
        "{low:?}"
    );
    machine.epochs(20, false);
    assert_eq!(machine.device.settings, settings(32, 100 * MS));
    assert_eq!(machine.right_and_wrong(), (100, 0));
}

/// Equally hot pages of which a short list holds a part: those that are less hot by then, as on a machine
/// that others slow down, are promoted too.
#[test]
fn what_a_list_had_no_room_for_is_found_when_it_is_less_hot() {
    let mut device = usual((400, 1));
    (device.hot, device.list) = (500, 63);
    let mut machine = Machine::new(device, 1);
    while machine.right_and_wrong().0 == 0 {
        machine.epochs(1, false);
    }
    machine.device.traffic = (60, 0);
    machine.epochs(60, false);
    assert!(!machine.tuner.is_settled(), "{:?}", machine.device.settings);
    machine.epochs(2_000, false);
    assert_eq!(
        machine.right_and_wrong(),
        (500, 0),
        "{:?}",
        machine.device.settings
    );
    assert!(machine.tuner.is_settled());
}

/// The same where the machine stands still while memory is watched in parts, and hurries afterwards: a few
/// pages are above the next threshold for a moment, which is not all that is hot.
#[test]
fn what_a_list_had_no_room_for_is_found_after_a_standstill() {
    let mut device = usual((400, 1));
    (device.hot, device.list) = (500, 63);
    let mut machine = Machine::new(device, 1);
    while machine.tuner.parts == 1 {
        machine.epochs(1, false);
    }
    machine.device.traffic = (0, 0);
    while machine.tuner.parts > 1 {
        machine.epochs(1, false);
    }
    machine.device.traffic = (400, 1);
    let before = machine.device.settings.threshold;
    while machine.device.settings.threshold <= before {
        machine.epochs(1, false);
    }
    let all = machine.device.hot;
    (machine.device.hot, machine.device.traffic) = (20, (2_000, 1));
    machine.epochs(3, false);
    (machine.device.hot, machine.device.traffic) = (all, (400, 1));
    machine.epochs(30, false);
    let (right, _) = machine.right_and_wrong();
    assert!(
        right == all || !machine.tuner.is_settled(),
        "{right} of {all}"
    );
    machine.epochs(2_000, false);
    assert_eq!(
        machine.right_and_wrong(),
        (500, 0),
        "{:?}",
        machine.device.settings
    );
}

#[test]
fn what_a_source_does_not_take_is_asked_for_once() {
    let device = usual((1, 1));
    let mut tuner = Tuner::new(tunable(&device), Fixed::default());
    let mut asked = Vec::new();
    for _ in 0..2_000 {
        if let Some(change) = tuner.window(Window::default()) {
            let granted = tuner.granted(None);
            assert!(granted.iter().all(|one| one.from == one.to), "{granted:?}");
            asked.push(change.wish);
        }
    }
    // A lower threshold, and then a longer epoch.
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert_eq!(tuner.settings(), device.settings);
}

/// Cold pages that are visited now and then, with several accesses at once, are left, also on a slow machine.
#[test]
fn visits_make_no_page_hot_on_a_slow_machine() {
    for (noise, hot) in (0..).zip([6, 8, 9, 12, 17, 29]) {
        for accesses in [4, 5, 8] {
            let mut machine = Machine::new(usual((hot, 0)), noise);
            machine.cold_visits = Some((500_000 * MS, accesses));
            machine.epochs(100, true);
            machine.epochs(2_000, false);
            let settings = machine.device.settings;
            let found = machine.right_and_wrong();
            assert_eq!(found, (100, 0), "{hot} {accesses} {settings:?}");
        }
    }
}

/// On a slow machine a page reaches a low threshold now and then, and most of its kind do not.
#[test]
fn nothing_is_found_while_what_is_reported_barely_reaches_a_low_threshold() {
    let device = usual((1, 0));
    let mut tuner = Tuner::new(tunable(&device), Fixed::default());
    let take = |tuner: &mut Tuner, window: Window| {
        let change = tuner.window(window)?;
        tuner.granted(Some(&change.wish));
        Some((tuner.settings().threshold, tuner.settings().epoch_ns / MS))
    };
    let empty = |tuner: &mut Tuner, windows: usize| -> Vec<_> {
        let empties = std::iter::repeat_n(Window::default(), windows);
        empties.filter_map(|window| take(tuner, window)).collect()
    };
    let lower = empty(&mut tuner, 2 * EMPTY_WINDOWS);
    assert_eq!(lower, [(16, 100), (8, 100)]);
    // At the lowest threshold an epoch that is longer finds more.
    for (threshold, next) in [(8, (4, 100)), (4, (4, 200))] {
        let barely = Window::of(vec![threshold, threshold + 1, threshold], threshold);
        assert_eq!(take(&mut tuner, barely), None);
        assert!(!tuner.is_settled());
        assert_eq!(take(&mut tuner, barely), Some(next));
    }
    let well = Window::of(vec![8, 10, 9], 4);
    assert_eq!(
        [well; LOOKS].map(|window| take(&mut tuner, window)),
        [None; LOOKS]
    );
    assert!(tuner.is_settled());
    // What was hot has been promoted: what barely reaches the threshold now is cold.
    let cold = Window::of(vec![4, 5, 4], 4);
    let looks = [cold; 2 * WINDOWS].map(|window| take(&mut tuner, window));
    assert_eq!(looks, [None; 2 * WINDOWS]);
    assert!(tuner.is_settled());
}
