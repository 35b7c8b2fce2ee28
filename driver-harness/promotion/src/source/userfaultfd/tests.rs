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

#[derive(Debug, Default)]
struct Process {
    now_ns: u64,
    /// For each page the times of its accesses, ascending.
    accesses: Vec<Vec<u64>>,
    /// When each page's bit was cleared.
    cleared_ns: Vec<u64>,
    has_ended: bool,
    has_new_program: bool,
    /// When bits were cleared.
    clears: BTreeSet<u64>,
    /// How late sleepers wake up, in turn; never where there is none.
    late_ns: Vec<u64>,
    wakes: usize,
}

type Shared = Arc<Mutex<Process>>;

#[derive(Debug)]
struct Bits(Shared);

impl AccessedBits for Bits {
    fn accessed(&mut self) -> Result<Vec<AccessedRun>, UserfaultfdError> {
        let process = self.0.lock().unwrap();
        if process.has_ended || process.has_new_program {
            return Err(UserfaultfdError::Scan {
                process_id: PROCESS,
                source: io::ErrorKind::InvalidInput.into(),
            });
        }
        let is_set = |page: usize| {
            let since = process.cleared_ns[page];
            let mut times = process.accesses[page].iter();
            times.any(|&time| since <= time && time < process.now_ns)
        };
        let pages = (0..process.accesses.len()).filter(|&page| is_set(page));
        Ok(pages
            .map(|page| {
                let start = page as u64 * PAGE_BYTES;
                AccessedRun {
                    addresses: start..start + PAGE_BYTES,
                    is_huge: false,
                }
            })
            .collect())
    }

    fn clear(&mut self, runs: &[AccessedRun]) -> Result<(), UserfaultfdError> {
        let mut process = self.0.lock().unwrap();
        let now_ns = process.now_ns;
        process.clears.insert(now_ns);
        for run in runs {
            let page = usize::try_from(run.addresses.start / PAGE_BYTES).unwrap();
            process.cleared_ns[page] = now_ns;
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
        let late = process.wakes.checked_rem(process.late_ns.len());
        process.now_ns += late.map_or(0, |turn| process.late_ns[turn]);
        process.wakes += 1;
        stop.is_raised()
    }
}

/// Pages of which each is accessed at these times.
fn process(accesses: Vec<Vec<u64>>) -> Shared {
    Arc::new(Mutex::new(Process {
        now_ns: BEGIN_NS,
        cleared_ns: vec![0; accesses.len()],
        accesses,
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
fn every(period_ns: u64, first_ns: u64) -> Vec<u64> {
    let times = (0..).map(|access| BEGIN_NS + first_ns + access * period_ns);
    times
        .take_while(|time| *time < BEGIN_NS + 5_000_000_000)
        .collect()
}

#[test]
fn a_page_in_use_is_hot_and_one_that_is_touched_now_and_then_is_not() {
    let millisecond = 1_000_000;
    let process = process(vec![
        every(millisecond, 0),
        every(100 * millisecond, 3),
        vec![],
        every(9 * millisecond, 1),
        // Filled before anybody looked, and in pauses only.
        vec![BEGIN_NS - 5],
        (0..20)
            .map(|window| BEGIN_NS + window * 50 * millisecond + 30 * millisecond)
            .collect(),
    ]);
    let mut source = source(&process);
    let report = source.poll(u64::MAX, &StopFlag::new().unwrap()).unwrap();
    assert_eq!(hot_pages(&report), BTreeSet::from([0, 3]));
    assert_eq!(report.extents[0].weight.value, WINDOWS);
    assert_eq!(report.earliest_access_ns, BEGIN_NS);
    let next = source.poll(u64::MAX, &StopFlag::new().unwrap()).unwrap();
    assert!(next.earliest_access_ns >= report.handed_out_ns);
}

const HOT: u64 = 128;

/// Random numbers below so many.
fn random() -> impl FnMut(u64) -> u64 {
    let mut state = 1_u64;
    move |below| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    }
}

/// As seen in a guest: hot pages are visited eight times a second, cold ones three times in four seconds, at random.
fn at_random(seconds: u64, random: &mut impl FnMut(u64) -> u64) -> Shared {
    // In each hundredth of the time between two visits there is one with that chance.
    let mut at_random = |period_ns: u64| {
        let steps = (0..seconds * 1_000_000_000 / (period_ns / 100)).filter(|_| random(100) == 0);
        let times: Vec<u64> = steps
            .map(|step| BEGIN_NS + step * (period_ns / 100))
            .collect();
        times
    };
    let hot = (0..HOT).map(|_| at_random(125_000_000));
    let mut accesses: Vec<_> = hot.collect();
    accesses.extend((0..600).map(|_| at_random(1_300_000_000)));
    process(accesses)
}

/// All that is told in so many seconds.
fn told(seconds: u64, process: &Shared, source: &mut UserfaultfdSource) -> BTreeSet<u64> {
    let stop = StopFlag::new().unwrap();
    let mut told = BTreeSet::new();
    while process.lock().unwrap().now_ns < BEGIN_NS + seconds * 1_000_000_000 {
        told.extend(hot_pages(&source.poll(u64::MAX, &stop).unwrap()));
    }
    told
}

/// Windows of the first length tell them apart badly, and are not what is used.
#[test]
fn windows_get_as_long_as_it_takes_to_tell_hot_pages() {
    let process = at_random(50, &mut random());
    let mut source = source(&process);
    let told = told(50, &process, &mut source);
    assert!(told.iter().all(|page| *page < HOT), "{told:?}");
    assert!(told.len() > 121, "{}", told.len());
    assert!(source.facts().granted_epoch_ns > Some(1_000_000_000));
}

/// On a busy machine most windows would be open for a second more than they were to be, and cold pages be accessed
/// in most of them.
#[test]
fn windows_that_end_too_late_tell_nothing() {
    let mut random = random();
    let process = at_random(200, &mut random);
    process.lock().unwrap().late_ns = (0..997)
        .map(|_| match random(8) {
            0..3 => 0,
            _ => 600_000_000 + random(800_000_000),
        })
        .collect();
    let mut source = source(&process);
    let wish = Tuning {
        epoch_ns: Some(12_000_000_000),
        ..Tuning::default()
    };
    source.retune(&wish).unwrap();
    let told = told(200, &process, &mut source);
    assert!(told.iter().all(|page| *page < HOT), "{told:?}");
    assert!(!told.is_empty());
}

proptest! {
    /// Whatever the deadlines: nothing is told of what was accessed before the report's earliest access, that
    /// never goes back, and a page is hot when, and only when, enough windows have an access to it.
    #[test]
    fn windows_are_what_counts(
        periods_ms in proptest::collection::vec(1..200_u64, 1..8),
        deadlines_ms in proptest::collection::vec(1..400_u64, 1..30),
    ) {
        let accesses: Vec<_> = periods_ms.iter().map(|period| every(period * 1_000_000, period * 777)).collect();
        let process = process(accesses.clone());
        let mut source = source(&process);
        let wish = Tuning { epoch_ns: Some(1_000_000_000), ..Tuning::default() };
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
                .filter(|begin| (earliest..report.handed_out_ns).contains(begin)).collect();
            prop_assert_eq!(begins.len() as u64, WINDOWS);
            let hits = |times: &[u64]| begins.iter().filter(|&&begin| {
                times.iter().any(|time| (begin..begin + 25_000_000).contains(time))
            }).count() as u64;
            let expected: BTreeSet<_> = (0..).zip(&accesses)
                .filter(|(_, times)| hits(times) >= THRESHOLD).map(|(page, _)| page).collect();
            prop_assert_eq!(hot_pages(&report), expected);
        }
    }
}

#[test]
fn a_process_that_ends_or_starts_another_program_is_gone() {
    let stop = StopFlag::new().unwrap();
    let ended = process(vec![vec![]]);
    let mut watching = source(&ended);
    ended.lock().unwrap().has_ended = true;
    watching.poll(u64::MAX, &stop).unwrap();
    assert_eq!(
        watching.health(),
        Health::Gone("Process 4 has ended".to_owned())
    );
    let replaced = process(vec![vec![]]);
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
        (Some(20), Some(40_000_000))
    );
    assert_eq!(source.facts().granted_epoch_ns, Some(40_000_000));
    assert_eq!(source.retune(&Tuning::default()).unwrap(), granted);
}
