// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Exact accessed bits of a process that shares its userfaultfd: one for each page and window of time.
//!
//! In a window the process's pages are protected, and the first access to each ends that, at the cost of a
//! fault; what was accessed is then scanned. One bit does not tell a page that is used all the time from one that
//! was used once, but many windows do: an epoch has [`WINDOWS`] of them, with pauses between, in which pages that
//! are in use cost nothing. How long a window must be depends on the process: they begin short and get longer until
//! most pages that are accessed often are accessed in nearly every one.

use std::time::Duration;

use chmu_machine::clock;
use chmu_machine::memory::AccessedRun;
use chmu_machine::memory::userfaultfd::{SharedUserfaultfd, UserfaultfdError};
use chmu_machine::stop::StopFlag;
use chmu_machine::words;

use super::{HotnessSource, SourceError};
use crate::report::{Facts, Health, Knowledge, Lost, Report, SourceKind, Tuning, WeightKind};
use windows::Windows;

#[cfg(test)]
mod tests;
mod windows;

/// Windows of an epoch.
const WINDOWS: u64 = 20;
/// After so many it is looked at whether they are much too short: few pages tell, and chance has its share.
const LOOK_AFTER: u64 = 5;
/// Windows are too short when fewer of the pages in use than one in so many are nearly always seen: at that look,
/// and at the end of an epoch.
const ONE_IN_AT_LOOK: usize = 8;
const ONE_IN_AT_END: usize = 2;
/// The length of a window at first, and the longest where nobody wishes another.
const WINDOW: Duration = Duration::from_millis(25);
const WINDOW_MAX: Duration = Duration::from_millis(800);
/// The shortest.
const WINDOW_MIN: Duration = Duration::from_millis(1);
/// A window that ends later than it was to, by more than one part in so many of its length, tells nothing: pages that
/// are touched now and then are accessed in long windows too.
const LATE_PART: u64 = 4;
/// A pause is as long as a window.
const PERIOD_WINDOWS: u64 = 2;
/// Windows of an epoch that must find a page accessed: three quarters.
const THRESHOLD: u64 = 15;

/// A process's pages with their accessed bits, and the time.
pub(super) trait AccessedBits: std::fmt::Debug + Send {
    /// The pages whose bits are set, ascending.
    fn accessed(&mut self) -> Result<Vec<AccessedRun>, UserfaultfdError>;
    /// Clears the bits of these pages.
    fn clear(&mut self, runs: &[AccessedRun]) -> Result<(), UserfaultfdError>;
    /// The process is no more.
    fn has_ended(&self) -> bool;
    /// Now, in nanoseconds of the clock that `sleep_until` sleeps by.
    fn now_ns(&self) -> u64;
    /// Sleeps until a time or until told to stop; returns whether it was told so.
    fn sleep_until(&mut self, time_ns: u64, stop: &StopFlag) -> bool;
}

impl AccessedBits for SharedUserfaultfd {
    fn accessed(&mut self) -> Result<Vec<AccessedRun>, UserfaultfdError> {
        SharedUserfaultfd::accessed(self)
    }

    fn clear(&mut self, runs: &[AccessedRun]) -> Result<(), UserfaultfdError> {
        runs.iter().try_for_each(|run| self.protect(&run.addresses))
    }

    fn has_ended(&self) -> bool {
        SharedUserfaultfd::has_ended(self)
    }

    fn now_ns(&self) -> u64 {
        clock::monotonic_ns()
    }

    fn sleep_until(&mut self, time_ns: u64, stop: &StopFlag) -> bool {
        let left_ns = time_ns.saturating_sub(clock::monotonic_ns());
        stop.sleep(Duration::from_nanos(left_ns))
    }
}

/// A process that shares its userfaultfd.
#[derive(Debug)]
pub struct UserfaultfdSource {
    bits: Box<dyn AccessedBits>,
    process_id: u32,
    facts: Facts,
    window_ns: u64,
    /// Somebody wished for this length of windows.
    is_wished: bool,
    threshold: u64,
    windows: Windows,
    /// No access of this epoch's windows was made before.
    epoch_begin_ns: u64,
    /// When the next window begins, or the one that runs ends.
    next_ns: u64,
    is_open: bool,
    /// Windows in a row that ended too late.
    late: u64,
    health: Health,
}

impl UserfaultfdSource {
    /// Watches a process through a copy of its userfaultfd.
    ///
    /// # Errors
    /// When the kernel cannot do it, the process has none to share, or its rights forbid it.
    pub fn of_process(process_id: u32) -> Result<UserfaultfdSource, SourceError> {
        let bits = SharedUserfaultfd::of_process(process_id)?;
        Ok(UserfaultfdSource::new(Box::new(bits), process_id))
    }

    fn new(bits: Box<dyn AccessedBits>, process_id: u32) -> UserfaultfdSource {
        let now_ns = bits.now_ns();
        let window_ns = nanoseconds(WINDOW);
        UserfaultfdSource {
            bits,
            process_id,
            facts: Facts {
                name: format!("userfaultfd:{process_id}"),
                kind: SourceKind::AccessedBits,
                unit_bytes: None,
                granted_epoch_ns: Some(epoch_ns(window_ns)),
                wished_epoch_ns: None,
                knows: Knowledge {
                    processes: true,
                    ..Knowledge::default()
                },
                counts: counts(window_ns),
            },
            window_ns,
            is_wished: false,
            threshold: THRESHOLD,
            windows: Windows::default(),
            epoch_begin_ns: now_ns,
            next_ns: now_ns,
            is_open: false,
            late: 0,
            health: Health::Good,
        }
    }

    /// Begins or ends a window; what an epoch found, when it is over.
    fn step(&mut self) -> Result<Option<Report>, UserfaultfdError> {
        let begin_ns = self.bits.now_ns();
        let runs = self.bits.accessed()?;
        if !self.is_open {
            if self.windows.count == 0 {
                self.epoch_begin_ns = begin_ns;
            }
            self.bits.clear(&runs)?;
            self.is_open = true;
            self.next_ns = self.bits.now_ns().saturating_add(self.window_ns);
            return Ok(None);
        }
        let is_late = begin_ns.saturating_sub(self.next_ns) > self.window_ns / LATE_PART;
        self.is_open = false;
        let pause_ns = self.window_ns.saturating_mul(PERIOD_WINDOWS - 1);
        self.next_ns = self.bits.now_ns().saturating_add(pause_ns);
        if is_late {
            self.note_late();
            return Ok(None);
        }
        self.late = 0;
        self.windows.add(&runs);
        if self.windows.count == LOOK_AFTER && self.lengthen(ONE_IN_AT_LOOK) {
            self.windows = Windows::default();
        }
        match self.windows.count {
            WINDOWS => Ok(Some(self.end_epoch())),
            _ => Ok(None),
        }
    }

    /// The machine is too busy to end a window in time.
    fn note_late(&mut self) {
        self.late += 1;
        if self.late == WINDOWS {
            log::warn!(
                "{}: {WINDOWS} windows in a row ended too late to tell hot pages, as the machine is busy; a longer \
                 --epoch makes them longer",
                self.facts.name
            );
        }
    }

    /// Tells what the windows found, and begins others.
    fn end_epoch(&mut self) -> Report {
        let report = Report {
            extents: self
                .windows
                .hot(self.threshold, self.process_id, self.facts.counts),
            lost: Lost {
                overflow: self.windows.overflow,
                ..Lost::default()
            },
            ..self.nothing()
        };
        self.lengthen(ONE_IN_AT_END);
        self.windows = Windows::default();
        self.epoch_begin_ns = self.bits.now_ns();
        report
    }

    /// Makes windows longer where these tell too little; whether it did.
    fn lengthen(&mut self, one_in: usize) -> bool {
        let longer_ns = self.window_ns.saturating_mul(2);
        let is_possible = !self.is_wished && longer_ns <= nanoseconds(WINDOW_MAX);
        let threshold = (self.threshold * self.windows.count).div_ceil(WINDOWS);
        let lengthens = is_possible && self.windows.are_short(threshold, one_in);
        if lengthens {
            self.set_window(longer_ns);
        }
        lengthens
    }

    fn set_window(&mut self, window_ns: u64) {
        self.window_ns = window_ns;
        self.facts.granted_epoch_ns = Some(epoch_ns(window_ns));
        self.facts.counts = counts(window_ns);
    }

    fn nothing(&self) -> Report {
        Report {
            handed_out_ns: self.bits.now_ns(),
            earliest_access_ns: self.epoch_begin_ns,
            ..Report::default()
        }
    }

    fn gone(&mut self, reason: String) -> Report {
        self.health = Health::Gone(reason);
        self.nothing()
    }
}

impl HotnessSource for UserfaultfdSource {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn poll(&mut self, deadline_ns: u64, stop: &StopFlag) -> Result<Report, SourceError> {
        loop {
            let until_ns = self.next_ns.min(deadline_ns);
            if self.bits.sleep_until(until_ns, stop) || until_ns < self.next_ns {
                return Ok(self.nothing());
            }
            let step = self.step();
            if self.bits.has_ended() {
                let reason = format!("Process {} has ended", self.process_id);
                return Ok(self.gone(reason));
            }
            match step {
                Ok(Some(report)) => return Ok(report),
                Ok(None) => {}
                // The process has given its memory up, as by starting another program.
                Err(error) => return Ok(self.gone(words::describe(&error))),
            }
        }
    }

    fn retune(&mut self, wish: &Tuning) -> Result<Tuning, SourceError> {
        if let Some(wished_ns) = wish.epoch_ns {
            let window_ns = wished_ns / WINDOWS / PERIOD_WINDOWS;
            self.set_window(window_ns.max(nanoseconds(WINDOW_MIN)));
            self.facts.wished_epoch_ns = Some(wished_ns);
            self.is_wished = true;
        }
        self.threshold = wish.threshold.unwrap_or(self.threshold).clamp(1, WINDOWS);
        // What was counted with other settings counts no more.
        self.windows = Windows::default();
        Ok(Tuning {
            threshold: Some(self.threshold),
            epoch_ns: self.facts.granted_epoch_ns,
            ..Tuning::default()
        })
    }

    fn health(&self) -> Health {
        self.health.clone()
    }
}

fn epoch_ns(window_ns: u64) -> u64 {
    window_ns.saturating_mul(WINDOWS * PERIOD_WINDOWS)
}

fn counts(window_ns: u64) -> WeightKind {
    WeightKind::Intervals {
        interval_ns: window_ns,
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
