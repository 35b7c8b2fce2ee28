// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A process made up of pages that are accessed every so often.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex};

use chmu_machine::memory::PAGE_BYTES;
use proptest::prelude::*;

use super::*;
use crate::report::Place;

const PROCESS: u32 = 4;
const BEGIN_NS: u64 = 1_000_000_000;

/// When a page is accessed.
#[derive(Debug, Clone)]
enum Page {
    /// Then, ascending.
    At(Vec<u64>),
    /// So often in a second, at random.
    Random(f64),
    /// In turn with others: once in so many nanoseconds, which begin then.
    InTurn(u64, u64),
}

#[derive(Debug, Default)]
struct Process {
    now_ns: u64,
    pages: Vec<Page>,
    /// Bits, as of `looked_ns`.
    is_set: Vec<bool>,
    looked_ns: u64,
    random: Random,
    /// From then on, all is so many times as fast as it is to be.
    speeds: Vec<(u64, f64)>,
    has_ended: bool,
    has_new_program: bool,
    /// When bits were cleared.
    clears: BTreeSet<u64>,
    timer_slack_ns: u64,
    /// How late sleepers wake up, in turn, besides; never where there is none.
    late_ns: Vec<u64>,
    wakes: usize,
}

impl Process {
    /// Sets the bits of what was accessed until now.
    fn look(&mut self) {
        let (from, until) = (self.looked_ns, self.now_ns);
        self.looked_ns = until;
        let mut past = self.speeds.iter().filter(|(since, _)| *since <= from);
        let speed = past.next_back().map_or(1.0, |(_, speed)| *speed);
        for (page, is_set) in self.pages.iter().zip(&mut self.is_set) {
            *is_set = *is_set
                || match page {
                    Page::At(times) => {
                        let next = times.partition_point(|&time| time < from);
                        times.get(next).is_some_and(|&time| time < until)
                    }
                    &Page::Random(per_second) => {
                        let expected = speed * per_second * (until - from) as f64 / 1e9;
                        self.random.part() > (-expected).exp()
                    }
                    &Page::InTurn(period_ns, first_ns) => {
                        let turns = |time: u64| (time - first_ns) / period_ns;
                        turns(until) > turns(from)
                    }
                };
        }
    }
}

type Shared = Arc<Mutex<Process>>;

#[derive(Debug)]
struct Bits(Shared);

impl AccessedBits for Bits {
    fn accessed(&mut self) -> Result<Vec<AccessedRun>, UserfaultfdError> {
        let mut process = self.0.lock().unwrap();
        if process.has_ended || process.has_new_program {
            return Err(UserfaultfdError::Scan {
                process_id: PROCESS,
                source: io::ErrorKind::InvalidInput.into(),
            });
        }
        process.look();
        let pages = (0..).zip(&process.is_set).filter(|(_, is_set)| **is_set);
        Ok(pages
            .map(|(page, _)| {
                let start = page * PAGE_BYTES;
                AccessedRun {
                    addresses: start..start + PAGE_BYTES,
                    is_huge: false,
                }
            })
            .collect())
    }

    fn clear(&mut self, runs: &[AccessedRun]) -> Result<(), UserfaultfdError> {
        let mut process = self.0.lock().unwrap();
        process.look();
        let now_ns = process.now_ns;
        process.clears.insert(now_ns);
        for run in runs {
            let page = usize::try_from(run.addresses.start / PAGE_BYTES).unwrap();
            process.is_set[page] = false;
        }
        Ok(())
    }

    fn has_ended(&self) -> bool {
        self.0.lock().unwrap().has_ended
    }

    fn now_ns(&self) -> u64 {
        self.0.lock().unwrap().now_ns
    }

    fn sleep_until(&mut self, time_ns: u64, stop: &StopFlag) -> bool {
        let mut process = self.0.lock().unwrap();
        process.now_ns = process.now_ns.max(time_ns);
        // A timer is never exact, and so never in step with the process.
        let slack_ns = process.timer_slack_ns.max(1);
        process.now_ns += process.random.below(slack_ns);
        let late = process.wakes.checked_rem(process.late_ns.len());
        process.now_ns += late.map_or(0, |turn| process.late_ns[turn]);
        process.wakes += 1;
        stop.is_raised()
    }
}

/// A process with these pages.
fn process(pages: Vec<Page>) -> Shared {
    Arc::new(Mutex::new(Process {
        now_ns: BEGIN_NS,
        looked_ns: BEGIN_NS,
        // Filled before anybody looked.
        is_set: vec![true; pages.len()],
        pages,
        ..Process::default()
    }))
}

fn source(process: &Shared) -> UserfaultfdSource {
    UserfaultfdSource::new(Box::new(Bits(Arc::clone(process))), PROCESS)
}

fn hot_pages(report: &Report) -> BTreeSet<u64> {
    let pages = report.extents.iter().flat_map(|extent| match extent.place {
        Place::Addresses {
            process_id: PROCESS,
            start,
            pages,
        } => (0..pages).map(move |page| start / PAGE_BYTES + page),
        place => panic!("{place:?}"),
    });
    pages.collect()
}

/// Each so many nanoseconds from `first` on, for some seconds.
fn every(period_ns: u64, first_ns: u64) -> Page {
    let times = (0..).map(|access| BEGIN_NS + first_ns + access * period_ns);
    Page::At(
        times
            .take_while(|time| *time < BEGIN_NS + 5_000_000_000)
            .collect(),
    )
}

#[test]
fn a_page_in_use_is_hot_and_one_that_is_touched_now_and_then_is_not() {
    let millisecond = 1_000_000;
    let process = process(vec![
        every(910_007, 0),
        every(100 * millisecond, 3),
        Page::At(vec![]),
        every(790_001, 1),
        every(9 * millisecond, 1),
    ]);
    let mut source = source(&process);
    let stop = StopFlag::new().unwrap();
    let mut poll = || source.poll(u64::MAX, &stop).unwrap();
    let first = poll();
    assert_eq!(first.extents, [], "once is not enough");
    let report = poll();
    assert_eq!(hot_pages(&report), BTreeSet::from([0, 3]));
    assert_eq!(report.extents[0].weight.value, WINDOWS);
    assert!((BEGIN_NS..first.handed_out_ns).contains(&report.earliest_access_ns));
    assert!(poll().earliest_access_ns >= first.handed_out_ns);
}

/// Random numbers.
#[derive(Debug)]
struct Random(u64);

impl Default for Random {
    fn default() -> Random {
        Random(1)
    }
}

impl Random {
    /// Below so many.
    fn below(&mut self, below: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    /// Between 0 and 1.
    fn part(&mut self) -> f64 {
        self.below(1 << 30) as f64 / f64::from(1 << 30)
    }
}

/// Hot pages first, each accessed so often in a second, and cold ones so many times less often.
#[derive(Debug, Clone, Copy)]
struct Made {
    hot: u64,
    pages: u64,
    per_second: f64,
    ratio: f64,
    /// Hot pages take turns, as those of `chmu workload` do.
    in_turn: bool,
}

impl Made {
    fn process(self) -> Shared {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let period_ns = (1e9 / self.per_second) as u64;
        let hot = |page: u64| match self.in_turn {
            true => Page::InTurn(period_ns, page * period_ns / self.hot),
            false => Page::Random(self.per_second),
        };
        let cold = Page::Random(self.per_second / self.ratio);
        let pages = (0..self.pages).map(|page| match page < self.hot {
            true => hot(page),
            false => cold.clone(),
        });
        let process = process(pages.collect());
        process.lock().unwrap().timer_slack_ns = 20_000;
        process
    }

    /// Follows it until nearly all hot pages are told, and for as long again; fails when that is not within
    /// `most_ns`, or a cold page is told.
    fn is_told(self, process: &Shared, source: &mut UserfaultfdSource, most_ns: u64) {
        let mut told = BTreeSet::new();
        let now_ns = || process.lock().unwrap().now_ns;
        let begin_ns = now_ns();
        let mut end_ns = begin_ns + most_ns;
        let mut is_over = false;
        let mut epochs = Vec::new();
        while now_ns() < end_ns {
            told.extend(hot_pages(
                &source.poll(end_ns, &StopFlag::new().unwrap()).unwrap(),
            ));
            let cold: Vec<_> = told.iter().filter(|page| **page >= self.hot).collect();
            assert!(cold.is_empty(), "{self:?}: {} cold pages", cold.len());
            if is_over {
                epochs.push(source.facts().granted_epoch_ns);
            }
            if !is_over && told.len() as u64 * 100 >= self.hot * 95 {
                is_over = true;
                end_ns = now_ns() + (now_ns() - begin_ns);
            }
        }
        epochs.dedup();
        assert!(epochs.len() <= 3, "{self:?} goes to and fro: {epochs:?}");
        assert!(is_over, "{self:?}: {} of {} are told", told.len(), self.hot);
    }

    /// So much time is enough: some windows in which a hot page is accessed a few times, at some lengths.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn enough_ns(self) -> u64 {
        (2e9 + 1500e9 / self.per_second) as u64
    }
}

const SEEDS: RangeInclusive<u64> = 1..=3;
const RATES: [f64; 8] = [3.0, 8.0, 20.0, 60.0, 200.0, 700.0, 2000.0, 5000.0];

fn all_rates(
    (hot, pages): (u64, u64),
    rates: &[f64],
    times_as_long: u64,
    late: &mut dyn FnMut() -> Vec<u64>,
) {
    for (seed, &per_second) in SEEDS.flat_map(|seed| rates.iter().map(move |rate| (seed, rate))) {
        for ratio in [5.0, 10.0, 60.0] {
            for in_turn in [false, true] {
                let made = Made {
                    hot,
                    pages,
                    per_second,
                    ratio,
                    in_turn,
                };
                let process = made.process();
                {
                    let mut process = process.lock().unwrap();
                    process.late_ns = late();
                    process.random = Random(seed);
                }
                let most_ns = times_as_long * made.enough_ns();
                made.is_told(&process, &mut source(&process), most_ns);
            }
        }
    }
}

#[test]
fn hot_pages_are_told_and_cold_ones_are_not_however_often_they_are_accessed() {
    all_rates((128, 600), &RATES, 1, &mut Vec::new);
}

#[test]
fn neither_are_they_among_many() {
    all_rates((512, 4096), &[4.0, 100.0, 5000.0], 1, &mut Vec::new);
}

/// A busy machine wakes sleepers up some milliseconds late, half of the time.
fn busy() -> impl FnMut() -> Vec<u64> {
    let mut random = Random::default();
    move || {
        let late = (0..997).map(|_| match random.below(2) {
            0 => 0,
            _ => random.below(8_000_000),
        });
        late.collect()
    }
}

#[test]
fn a_busy_machine_makes_no_page_hot() {
    all_rates((128, 600), &[3.0, 8.0, 20.0, 60.0], 4, &mut busy());
}

/// Pages that are accessed in each of the shortest windows that there are.
const OFTEN: [f64; 4] = [500.0, 5000.0, 20_000.0, 100_000.0];

#[test]
fn pages_that_are_accessed_all_the_time_are_told_on_a_busy_machine_too() {
    let mut busy = busy();
    for (per_second, in_turn) in OFTEN
        .into_iter()
        .flat_map(|rate| [(rate, false), (rate, true)])
    {
        for (hot, pages, late) in [(64, 64, busy()), (64, 64, Vec::new()), (128, 600, busy())] {
            let made = Made {
                hot,
                pages,
                per_second,
                // Cold pages are accessed 20 times in a second.
                ratio: per_second / 20.0,
                in_turn,
            };
            let process = made.process();
            process.lock().unwrap().late_ns = late;
            made.is_told(&process, &mut source(&process), 20_000_000_000);
        }
    }
}

/// What was hot stays hot, and what was not does not become it, when all gets faster or slower.
#[test]
fn a_process_that_gets_faster_has_no_other_hot_pages() {
    for in_turn in [false, true] {
        let made = Made {
            hot: 128,
            pages: 600,
            per_second: 15.0,
            ratio: 10.0,
            in_turn: false,
        };
        let process = made.process();
        let mut source = source(&process);
        made.is_told(&process, &mut source, made.enough_ns());
        for speed in [10.0, 100.0, 1.0, 30.0, 0.5] {
            {
                let mut process = process.lock().unwrap();
                let now_ns = process.now_ns;
                process.speeds.push((now_ns, speed));
            }
            let now = Made {
                per_second: made.per_second * speed,
                in_turn,
                ..made
            };
            made.is_told(&process, &mut source, 2 * now.enough_ns() + 60_000_000_000);
        }
    }
}

/// On a machine that is busier still windows are open for a second more than they were to be, and cold pages be
/// accessed in most of them: those tell nothing. Where they are few the others tell the hot pages.
#[test]
fn windows_that_end_too_late_tell_nothing() {
    for late_in_eight in [1, 5] {
        let mut random = Random::default();
        let made = Made {
            hot: 128,
            pages: 600,
            per_second: 8.0,
            ratio: 10.0,
            in_turn: false,
        };
        let process = made.process();
        process.lock().unwrap().late_ns = (0..997)
            .map(|_| match random.below(8) < late_in_eight {
                true => 600_000_000 + random.below(800_000_000),
                false => 0,
            })
            .collect();
        let mut source = source(&process);
        let wish = Tuning {
            epoch_ns: Some(12_000_000_000),
            ..Tuning::default()
        };
        source.retune(&wish).unwrap();
        if late_in_eight == 1 {
            made.is_told(&process, &mut source, 900_000_000_000);
        }
        let end_ns = process.lock().unwrap().now_ns + 900_000_000_000;
        while process.lock().unwrap().now_ns < end_ns {
            let report = source.poll(end_ns, &StopFlag::new().unwrap()).unwrap();
            assert!(hot_pages(&report).iter().all(|page| *page < made.hot));
        }
        assert_eq!(source.facts().granted_epoch_ns, wish.epoch_ns);
    }
}

proptest! {
    /// Whatever the deadlines: nothing is told of what was accessed before the report's earliest access, that
    /// never goes back, and, where somebody wished for all settings, a page is hot when, and only when, enough
    /// windows have an access to it.
    #[test]
    fn windows_are_what_counts(
        periods_ms in proptest::collection::vec(1..200_u64, 1..8),
        deadlines_ms in proptest::collection::vec(1..400_u64, 1..30),
    ) {
        let accesses: Vec<_> = periods_ms.iter().map(|period| every(period * 1_000_000, period * 777)).collect();
        let process = process(accesses.clone());
        let mut source = source(&process);
        let wish = Tuning { epoch_ns: Some(1_000_000_000), threshold: Some(15), ..Tuning::default() };
        prop_assert_eq!(source.retune(&wish).unwrap().epoch_ns, wish.epoch_ns);
        let stop = StopFlag::new().unwrap();
        let mut earliest = 0;
        for wait in deadlines_ms {
            let deadline_ns = process.lock().unwrap().now_ns + wait * 1_000_000;
            let report = source.poll(deadline_ns, &stop).unwrap();
            prop_assert!(report.earliest_access_ns >= earliest);
            earliest = report.earliest_access_ns;
            prop_assert!(report.handed_out_ns <= deadline_ns);
            if report.handed_out_ns == deadline_ns && report.extents.is_empty() {
                continue;
            }
            let begins: Vec<_> = process.lock().unwrap().clears.iter().copied()
                .filter(|begin| (earliest..report.handed_out_ns).contains(begin))
                // Between them are the short ones.
                .step_by(2).collect();
            prop_assert_eq!(begins.len() as u64, WINDOWS);
            let hits = |page: &Page| begins.iter().filter(|&&begin| {
                let Page::At(times) = page else { panic!() };
                times.iter().any(|time| (begin..begin + 25_000_000).contains(time))
            }).count();
            let expected: BTreeSet<_> = (0..).zip(&accesses)
                .filter(|(_, times)| hits(times) >= 15).map(|(page, _)| page).collect();
            prop_assert_eq!(hot_pages(&report), expected);
        }
    }
}

#[test]
fn a_process_that_ends_or_starts_another_program_is_gone() {
    let stop = StopFlag::new().unwrap();
    let ended = process(vec![Page::At(vec![])]);
    let mut watching = source(&ended);
    ended.lock().unwrap().has_ended = true;
    watching.poll(u64::MAX, &stop).unwrap();
    assert_eq!(
        watching.health(),
        Health::Gone("Process 4 has ended".to_owned())
    );
    let replaced = process(vec![Page::At(vec![])]);
    let mut watching = source(&replaced);
    replaced.lock().unwrap().has_new_program = true;
    watching.poll(u64::MAX, &stop).unwrap();
    let Health::Gone(reason) = watching.health() else {
        panic!()
    };
    assert!(
        reason.contains("Cannot find out which pages of process 4 were accessed"),
        "{reason}"
    );
}

#[test]
fn other_settings_are_taken_within_what_windows_allow() {
    let process = process(vec![every(1_000_000, 0)]);
    let mut source = source(&process);
    let wish = Tuning {
        threshold: Some(400),
        epoch_ns: Some(1),
        ..Tuning::default()
    };
    let granted = source.retune(&wish).unwrap();
    assert_eq!(
        (granted.threshold, granted.epoch_ns),
        (Some(20), Some(20_000_000))
    );
    assert_eq!(source.facts().granted_epoch_ns, Some(20_000_000));
    assert_eq!(source.retune(&Tuning::default()).unwrap(), granted);
}
