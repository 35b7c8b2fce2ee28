// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Exact accessed bits of a process that shares its userfaultfd: one for each page and window of time.
//!
//! In a window the process's pages are protected, and the first access to each ends that, at the cost of a
//! fault; what was accessed is then scanned. One bit does not tell a page that is used all the time from one that
//! was used once, but many windows do: an epoch has [`WINDOWS`] of them, up to [`EPOCHS_MAX`] times as many where
//! these do not tell enough, with pauses between, in which pages that are in use cost nothing.
//!
//! How long a window must be depends on the process. In long ones every page is accessed, so windows begin short,
//! and get longer only until there is a group of pages that is in nearly all (`groups.rs`). A process may
//! become faster afterwards, so that its cold pages are in nearly all windows too: each window is followed by one of
//! a quarter of its length, and where pages are in nearly all of those, an epoch tells nothing and windows get
//! shorter. What is told was accessed at most about five times less often than what is accessed most. Where windows
//! cannot get shorter, as on a busy machine, pages in nearly all of the short ones are hot, and who is accessed more
//! often cannot be known. A page is told when it was hot in two epochs, one after the other.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use chmu_machine::clock;
use chmu_machine::memory::AccessedRun;
use chmu_machine::memory::userfaultfd::{SharedUserfaultfd, UserfaultfdError};
use chmu_machine::stop::StopFlag;
use chmu_machine::words;

use super::groups::Groups;
use super::{HotnessSource, SourceError};
use crate::report::{Facts, Health, Knowledge, Lost, Report, SourceKind, Tuning, WeightKind};
use pace::Pace;
use windows::{Unit, Windows};

mod pace;
#[cfg(test)]
mod tests;
mod windows;

/// The shortest window, with which it begins, and the longest.
const WINDOW: RangeInclusive<Duration> = Duration::from_micros(500)..=Duration::from_millis(1024);
/// Windows of an epoch,
const WINDOWS: u64 = 20;
/// which may be so many times as long.
const EPOCHS_MAX: u64 = 4;
/// After so many it is looked at whether they are much too short: few pages tell, and chance has its share.
const LOOK_AFTER: u64 = 5;
/// A short window is one part in so many of a window.
const SHORT_PART: u64 = 4;
/// Nobody wakes up in time on a busy machine. All pages share a window, so that a longer one does not tell less of
/// which are accessed more often than others; but windows must be so many times as long as the short ones,
const CONTRAST: u64 = 3;
/// and one that is longer than so many times what it was to be, or a short one that is as long as a window, is none.
const LONGER_MAX: [u64; 2] = [3, SHORT_PART];
/// Windows of this length cannot be had when so many in a row were none, or so many short ones.
const LATE_MAX: [u64; 2] = [5, 12];
/// How late a window ends at least is expected from those before: one that ended later counts for one part in so many.
const LATENESS_PART: u64 = 16;
/// So many short windows of an epoch tell enough.
const SHORT_LEAST: u64 = 10;
/// From a window to the next is twice its length, half of that more or less.
const PERIOD_WINDOWS: u64 = 2;
/// 2^32 divided by the golden ratio: multiples of it, modulo 2^32, lie as far from each other as can be.
const GOLDEN_STEP: u32 = 0x9e37_79b9;

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
        self.protect(runs)
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
    pace: Pace,
    /// Windows of an epoch that must find a page accessed, where somebody wished for a number.
    threshold: Option<u64>,
    phase: Phase,
    /// When the phase began, and when it is to end.
    began_ns: u64,
    next_ns: u64,
    /// How long a window was to be slept through.
    wait_ns: u64,
    /// Where in a range the last pause ended, in parts of 2^32.
    step: u32,
    /// Of this epoch: the windows, and the short ones.
    windows: Windows,
    short: Windows,
    /// How many windows there were when they were last judged.
    judged: u64,
    epoch_begin_ns: u64,
    before: Option<Before>,
    /// No access that the next report tells of was made before.
    earliest_ns: u64,
    /// Windows in a row that ended too late, and short ones.
    late: [u64; 2],
    /// How late windows and short ones end at least.
    lateness_ns: [u64; 2],
    is_late_said: bool,
    health: Health,
}

/// What goes on until the next look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Pause,
    Window,
    ShortWindow,
}

/// The epoch before, with windows of the same length.
#[derive(Debug)]
struct Before {
    hot: BTreeMap<Unit, u64>,
    short: Windows,
}

impl UserfaultfdSource {
    /// Watches a process through a copy of its userfaultfd.
    ///
    /// # Errors
    /// When the kernel cannot do it, the process has none to share, or its rights forbid it.
    pub fn of_process(process_id: u32) -> Result<UserfaultfdSource, SourceError> {
        if !Path::new("/proc").join(process_id.to_string()).exists() {
            return Err(SourceError::NoProcess { process_id });
        }
        let bits = SharedUserfaultfd::of_process(process_id)?;
        Ok(UserfaultfdSource::new(Box::new(bits), process_id))
    }

    fn new(bits: Box<dyn AccessedBits>, process_id: u32) -> UserfaultfdSource {
        let now_ns = bits.now_ns();
        let pace = Pace::new(&WINDOW);
        UserfaultfdSource {
            bits,
            process_id,
            facts: Facts {
                name: format!("userfaultfd:{process_id}"),
                kind: SourceKind::AccessedBits,
                unit_bytes: None,
                granted_epoch_ns: Some(epoch_ns(pace.window_ns())),
                wished_epoch_ns: None,
                knows: Knowledge {
                    processes: true,
                    ..Knowledge::default()
                },
                counts: counts(pace.window_ns()),
            },
            pace,
            threshold: None,
            phase: Phase::Pause,
            began_ns: now_ns,
            next_ns: now_ns,
            wait_ns: 0,
            step: 0,
            windows: Windows::default(),
            short: Windows::default(),
            judged: 0,
            epoch_begin_ns: now_ns,
            before: None,
            earliest_ns: now_ns,
            late: [0; 2],
            lateness_ns: [0; 2],
            is_late_said: false,
            health: Health::Good,
        }
    }

    /// Begins or ends a window; what an epoch found, when it is over.
    fn step(&mut self) -> Result<Option<Report>, UserfaultfdError> {
        let runs = self.bits.accessed()?;
        let window_ns = self.pace.window_ns();
        let length_ns = self.bits.now_ns().saturating_sub(self.began_ns);
        match self.phase {
            Phase::Pause => {
                if self.windows.count == 0 && self.short.count == 0 {
                    self.epoch_begin_ns = self.bits.now_ns();
                }
                self.begin(&runs, Phase::Window, window_ns)?;
                Ok(None)
            }
            Phase::Window => {
                if self.is_one(length_ns, window_ns) {
                    self.windows.add(&runs, length_ns);
                }
                self.begin(&runs, Phase::ShortWindow, window_ns / SHORT_PART)?;
                Ok(None)
            }
            Phase::ShortWindow => {
                if self.is_one(length_ns, window_ns / SHORT_PART) {
                    self.short.add(&runs, length_ns);
                }
                self.phase = Phase::Pause;
                self.next_ns = self.bits.now_ns().saturating_add(self.pause_ns());
                Ok(self.judge())
            }
        }
    }

    /// How long the next pause is: never the same for long, or windows would keep step with a process that does
    /// all it does in turn.
    fn pause_ns(&mut self) -> u64 {
        let window_ns = self.pace.window_ns();
        let mean_ns = window_ns.saturating_mul(PERIOD_WINDOWS - 1) - window_ns / SHORT_PART;
        self.step = self.step.wrapping_add(GOLDEN_STEP);
        let part_ns = (u128::from(window_ns) * u128::from(self.step)) >> u32::BITS;
        (mean_ns - window_ns / 2).saturating_add(u64::try_from(part_ns).unwrap_or(window_ns))
    }

    /// Begins a window of either kind.
    fn begin(
        &mut self,
        runs: &[AccessedRun],
        phase: Phase,
        length_ns: u64,
    ) -> Result<(), UserfaultfdError> {
        self.began_ns = self.bits.now_ns();
        self.bits.clear(runs)?;
        self.phase = phase;
        let lateness_ns = self.lateness_ns[self.kind()];
        let wait_ns = length_ns.saturating_sub(lateness_ns).max(length_ns / 4);
        self.wait_ns = wait_ns;
        self.next_ns = self
            .began_ns
            .saturating_add(wait_ns)
            .max(self.bits.now_ns());
        Ok(())
    }

    /// Which of the two kinds of windows is open.
    fn kind(&self) -> usize {
        usize::from(self.phase == Phase::ShortWindow)
    }

    /// Whether a window that was so long is one of the length that it was to have.
    fn is_one(&mut self, length_ns: u64, wanted_ns: u64) -> bool {
        let kind = self.kind();
        let lateness_ns = length_ns.saturating_sub(self.wait_ns);
        let known_ns = self.lateness_ns[kind];
        let more_ns = lateness_ns.saturating_sub(known_ns) / LATENESS_PART;
        self.lateness_ns[kind] = lateness_ns.min(known_ns + more_ns);
        let is_one = length_ns <= wanted_ns.saturating_mul(LONGER_MAX[kind]);
        self.late[kind] = match is_one {
            true => 0,
            false => self.late[kind] + 1,
        };
        is_one
    }

    /// The machine is too busy to end windows in time.
    fn note_late(&mut self) {
        self.late = [0; 2];
        if self.pace.flee() {
            self.log("windows end too late, and get longer");
            self.take_window();
            return;
        }
        self.forget();
        if !self.is_late_said {
            self.is_late_said = true;
            log::warn!(
                "{}: windows end too late to tell hot pages, as the machine is busy",
                self.facts.name
            );
        }
    }

    /// Looks at the windows so far; what they found, when they tell enough.
    fn judge(&mut self) -> Option<Report> {
        if self
            .late
            .iter()
            .zip(LATE_MAX)
            .any(|(late, most)| *late >= most)
        {
            self.note_late();
            return None;
        }
        let count = self.windows.count;
        let windows = self.windows.shape();
        if count == LOOK_AFTER && windows.are_much_too_short() {
            self.lengthen();
            return None;
        }
        if count == self.judged || !count.is_multiple_of(WINDOWS) {
            return None;
        }
        self.judged = count;
        self.pace.note_decision();
        let short = self.short.shape();
        let has_short = self.short.count >= SHORT_LEAST;
        let has_contrast = self.short.length_ns() * CONTRAST <= self.windows.length_ns();
        if has_short && !has_contrast && !self.is_asked_for() {
            self.note_late();
            return None;
        }
        let is_last = self.is_last();
        let groups = match has_short {
            true => windows.groups(Some(&short), is_last),
            false => Groups::Unclear,
        };
        match (groups, self.threshold) {
            (_, Some(least)) if self.pace.is_wished() => return self.tell(least),
            (Groups::TooShort, _) => self.lengthen(),
            (Groups::TooLong, _) => return self.shorten(),
            (Groups::Apart { least }, None) => return self.tell(least),
            (_, Some(least)) if has_short => return self.tell(least),
            _ if is_last => {
                self.log("windows do not tell groups of pages apart");
                self.forget();
            }
            _ => {}
        }
        None
    }

    /// Ends an epoch in which pages were hot that `least` windows found accessed.
    fn tell(&mut self, least: u64) -> Option<Report> {
        let hot = self.windows.hot(least);
        if self.is_asked_for() {
            self.earliest_ns = self.epoch_begin_ns;
            return Some(self.end_epoch(hot.clone(), &hot));
        }
        let are_too_long = self.before.as_ref().is_some_and(|before| {
            let short = before.short.shape_with(&self.short);
            short.are_too_long(hot.len() as u64)
        });
        match are_too_long {
            true => self.shorten(),
            false => Some(self.tell_hot_twice(hot)),
        }
    }

    /// Somebody wished for the length of windows and for how many of them make a page hot.
    fn is_asked_for(&self) -> bool {
        self.threshold.is_some() && self.pace.is_wished()
    }

    /// Ends an epoch in which these pages were hot: tells those that were in the one before, too.
    fn tell_hot_twice(&mut self, hot: BTreeMap<Unit, u64>) -> Report {
        let before = self.before.take().map(|before| before.hot);
        let before = before.unwrap_or_default();
        let both = hot.iter().filter(|(unit, _)| before.contains_key(unit));
        let told = both.map(|(&unit, &hits)| (unit, hits)).collect();
        self.end_epoch(hot, &told)
    }

    fn end_epoch(&mut self, hot: BTreeMap<Unit, u64>, told: &BTreeMap<Unit, u64>) -> Report {
        let windows = std::mem::take(&mut self.windows);
        let report = Report {
            extents: windows::extents(told, self.process_id, self.facts.counts),
            lost: Lost {
                overflow: windows.overflow,
                ..Lost::default()
            },
            ..self.nothing()
        };
        self.earliest_ns = self.epoch_begin_ns;
        let short = std::mem::take(&mut self.short);
        self.before = Some(Before { hot, short });
        self.judged = 0;
        report
    }

    fn lengthen(&mut self) {
        self.log("no page is accessed in nearly all windows");
        match self.pace.lengthen() {
            true => self.take_window(),
            false => self.forget(),
        }
    }

    /// Windows are too long. Where no shorter ones can be had, the short ones tell which pages are hot.
    fn shorten(&mut self) -> Option<Report> {
        if self.pace.shorten() {
            self.log("pages that are accessed less often are in many windows too");
            self.take_window();
            return None;
        }
        if let Groups::Apart { least } = self.short.shape().groups(None, true) {
            let hot = self.windows.among(&self.short.hot(least));
            return Some(self.tell_hot_twice(hot));
        }
        if self.is_last() {
            self.log("pages that are accessed less often are in many short windows too");
            self.forget();
        }
        None
    }

    /// No more windows are added to an epoch.
    fn is_last(&self) -> bool {
        self.windows.count >= WINDOWS * EPOCHS_MAX
    }

    /// Takes over another length of windows.
    fn take_window(&mut self) {
        let window_ns = self.pace.window_ns();
        self.facts.granted_epoch_ns = Some(epoch_ns(window_ns));
        self.facts.counts = counts(window_ns);
        self.forget();
    }

    /// Begins anew: what was counted until now counts no more.
    fn forget(&mut self) {
        self.windows = Windows::default();
        self.short = Windows::default();
        self.judged = 0;
        self.before = None;
        self.epoch_begin_ns = self.bits.now_ns();
        self.earliest_ns = self.epoch_begin_ns;
    }

    fn log(&self, what: &str) {
        log::debug!(
            "{}: {what}, at {:?}; this epoch tells nothing",
            self.facts.name,
            Duration::from_nanos(self.pace.window_ns())
        );
    }

    fn nothing(&self) -> Report {
        Report {
            handed_out_ns: self.bits.now_ns(),
            earliest_access_ns: self.earliest_ns,
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
            self.pace.wish(wished_ns / WINDOWS / PERIOD_WINDOWS);
            self.facts.wished_epoch_ns = Some(wished_ns);
        }
        let wished = wish.threshold.map(|threshold| threshold.clamp(1, WINDOWS));
        self.threshold = wished.or(self.threshold);
        // What was counted with other settings counts no more.
        self.take_window();
        self.phase = Phase::Pause;
        Ok(Tuning {
            threshold: self.threshold,
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
