// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Hotness from hotness monitoring units.

use std::collections::BTreeMap;
use std::os::fd::AsRawFd;
use std::time::Duration;

use chmu_driver::device::{Settings, Unit, UnitError, UnitStatistics};
use chmu_driver::translation::Translation;
use chmu_driver::transport::Width;
use chmu_machine::clock;
use chmu_machine::stop::StopFlag;

use super::{HotnessSource, SourceError};
use crate::report::{Facts, Health, Knowledge, Report, SourceKind, Tunable, Tuning, WeightKind};
use member::Member;

mod member;
mod open;
mod retune;

pub use open::{Claims, OpenError, ProgrammedUnits};

/// A list is read at least this often, whatever the interrupts do.
const POLL_MAX: Duration = Duration::from_millis(100);
/// A list is polled no more often than this.
const POLL_MIN: Duration = Duration::from_millis(1);

/// One or several units that count, and where their memory appears in the host.
#[derive(Debug)]
pub struct ChmuSource {
    facts: Facts,
    members: Vec<Member>,
    /// What was read and not handed out yet.
    kept: Option<Report>,
}

fn longest_epoch(members: &[Member]) -> Duration {
    let longest = members.iter().map(Member::epoch).max();
    longest.unwrap_or_default()
}

impl ChmuSource {
    fn new(members: Vec<Member>, wished_epoch_ns: Option<u64>) -> ChmuSource {
        let names: Vec<_> = members.iter().map(|member| member.unit.name()).collect();
        let facts = Facts {
            name: names.join(","),
            kind: SourceKind::Chmu,
            unit_bytes: None,
            granted_epoch_ns: None,
            wished_epoch_ns,
            knows: Knowledge {
                frames: true,
                some_nodes_only: true,
                ..Knowledge::default()
            },
            counts: WeightKind::Accesses,
        };
        let mut source = ChmuSource {
            facts,
            members,
            kept: None,
        };
        source.renew_facts();
        source
    }

    fn renew_facts(&mut self) {
        let settings = self.units().filter_map(Unit::settings);
        let unit_bytes = settings.map(|settings| settings.unit_size.bytes()).max();
        self.facts.unit_bytes = unit_bytes;
        self.facts.granted_epoch_ns = Some(nanoseconds(self.epoch()));
    }

    /// The longest epoch of the units, as these were programmed.
    pub fn epoch(&self) -> Duration {
        longest_epoch(&self.members)
    }

    /// The units, in the order of the source's name.
    pub fn units(&self) -> impl Iterator<Item = &Unit> {
        self.members.iter().map(|member| &member.unit)
    }

    /// Where the memory of each unit appears, in the same order.
    pub fn translations(&self) -> impl Iterator<Item = &Translation> {
        self.members.iter().map(|member| &member.translation)
    }

    /// The time after so long on the clock that the units live by, which [`HotnessSource::poll`] takes.
    pub fn deadline_ns(&self, timeout: Duration) -> u64 {
        nanoseconds(now(&self.members).saturating_add(timeout))
    }

    /// What was read so far, by unit.
    pub fn statistics(&self) -> BTreeMap<String, UnitStatistics> {
        self.units()
            .map(|unit| (unit.name().to_owned(), unit.statistics()))
            .collect()
    }

    /// Whether every unit announces by interrupts that its list should be read.
    pub fn has_interrupts(&self) -> bool {
        self.units().all(|unit| {
            let sends = unit.settings().is_some_and(Settings::has_interrupts);
            sends && unit.can_interrupt()
        })
    }

    /// Waits for an interrupt, at most `timeout`, and reads the lists after it; none when none came.
    ///
    /// # Errors
    /// When waiting fails, or no unit can be read any more.
    pub fn after_interrupt(
        &mut self,
        timeout: Duration,
        stop: &StopFlag,
    ) -> Result<Option<Report>, SourceError> {
        let interrupts = |source: &Self| {
            let units = source.units();
            units.map(|unit| unit.statistics().interrupts).sum::<u64>()
        };
        let before = interrupts(self);
        self.wait(timeout, stop)?;
        match interrupts(self) > before {
            true => self.collect().map(Some),
            false => Ok(None),
        }
    }

    /// Reads every unit's list.
    ///
    /// A unit that fails, or whose device is gone, reports nothing any more, and the others go on; an
    /// error when it was the last one.
    fn collect(&mut self) -> Result<Report, SourceError> {
        let mut report = self.kept.take().unwrap_or_else(|| Report {
            earliest_access_ns: u64::MAX,
            ..Report::default()
        });
        let mut entries = Vec::new();
        let mut failed = None;
        for number in 0..self.members.len() {
            let member = &mut self.members[number];
            if !member.lives() {
                continue;
            }
            entries.clear();
            match member.drain(&mut entries) {
                Ok((drained, earliest)) => {
                    report.earliest_access_ns =
                        report.earliest_access_ns.min(nanoseconds(earliest));
                    report.lost.overflow |= drained.overflow;
                    for entry in &entries {
                        if !member.add_extents(number, *entry, &mut report.extents) {
                            report.lost.outside_memory += 1;
                        }
                    }
                }
                Err(error) => failed = Some(self.end_member(number, error)),
            }
        }
        let now_ns = nanoseconds(now(&self.members));
        report.handed_out_ns = now_ns;
        report.earliest_access_ns = report.earliest_access_ns.min(now_ns);
        match failed {
            Some(error) if !self.lives() => Err(error),
            _ => Ok(report),
        }
    }

    /// Takes note that a unit reports nothing any more; returns the failure.
    fn end_member(&mut self, number: usize, error: UnitError) -> SourceError {
        let member = &mut self.members[number];
        let unit = member.unit.name().to_owned();
        let reason = match error {
            UnitError::Gone => gone(&member.unit),
            ref error => format!("{unit} failed: {error}"),
        };
        log::warn!("{reason}");
        member.ended = Some(reason);
        let source = Box::new(error);
        SourceError::Unit { unit, source }
    }

    fn lives(&self) -> bool {
        self.members.iter().any(Member::lives)
    }

    /// How long to wait before the lists are read again.
    fn pause(&self) -> Duration {
        let epochs = self.members.iter().map(|member| member.epoch() / 2);
        let shortest = epochs.min().unwrap_or(POLL_MAX);
        shortest.clamp(POLL_MIN, POLL_MAX)
    }

    /// Waits until a unit has something to say, at most `timeout`, or until it is time to stop.
    fn wait(&mut self, timeout: Duration, stop: &StopFlag) -> Result<(), SourceError> {
        let mut living: Vec<_> = self.members.iter_mut().filter(|one| one.lives()).collect();
        let events: Option<Vec<_>> = living
            .iter()
            .map(|Member { unit, .. }| {
                let interrupts = unit.settings().is_some_and(Settings::has_interrupts);
                let message = unit.capabilities().message_number.into();
                let event = unit.transport().interrupt_event(message)?;
                interrupts.then(|| event.as_raw_fd())
            })
            .collect();
        let failed = |unit: &Unit, source: UnitError| SourceError::Unit {
            unit: unit.name().to_owned(),
            source: Box::new(source),
        };
        match (events, &mut *living) {
            (Some(events), living) => {
                let waited = stop.readable(&events, Some(timeout));
                waited.map_err(|source| SourceError::Wait {
                    unit: self.facts.name.clone(),
                    source,
                })?;
                for member in living {
                    let waited = member.unit.wait(Duration::ZERO);
                    waited.map_err(|source| failed(&member.unit, source))?;
                }
                Ok(())
            }
            (None, [member]) => member
                .unit
                .wait(timeout)
                .map_err(|source| failed(&member.unit, source)),
            (None, [member, ..]) => {
                member.unit.transport().pause(timeout);
                Ok(())
            }
            (None, []) => Ok(()),
        }
    }
}

/// How a device does not answer, in words.
fn gone(unit: &Unit) -> String {
    let config = unit.transport().read_config(0, Width::Four);
    let also = match config {
        Ok(u32::MAX) | Err(_) => "neither its registers nor its configuration space answer",
        Ok(_) => "its registers do not answer, although its configuration space does",
    };
    format!("The device of {} is gone: {also}", unit.name())
}

/// Time on the clock that the units live by.
fn now(members: &[Member]) -> Duration {
    let now = members.first().map(|member| member.unit.transport().now());
    now.unwrap_or_else(|| Duration::from_nanos(clock::monotonic_ns()))
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl HotnessSource for ChmuSource {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn poll(&mut self, deadline_ns: u64, stop: &StopFlag) -> Result<Report, SourceError> {
        let deadline = Duration::from_nanos(deadline_ns);
        loop {
            let report = self.collect()?;
            let left = deadline.saturating_sub(now(&self.members));
            let lost = report.lost.overflow || report.lost.outside_memory > 0;
            let says_something = !report.extents.is_empty() || lost || !self.lives();
            if says_something || left.is_zero() || stop.is_raised() {
                return Ok(report);
            }
            self.wait(left.min(self.pause()), stop)?;
        }
    }

    fn tunable(&self) -> Option<Tunable> {
        retune::tunable(&self.members, &self.tuning())
    }

    /// Programs what changes. Entries read before are kept for the next report; counts of the epoch that
    /// has begun are lost.
    fn retune(&mut self, wish: &Tuning) -> Result<Tuning, SourceError> {
        let kept = self.collect()?;
        for number in 0..self.members.len() {
            let member = &mut self.members[number];
            let settings = member.closest(number, wish);
            let changed = settings.filter(|settings| Some(settings) != member.unit.settings());
            let Some(settings) = changed.filter(|_| member.lives()) else {
                continue;
            };
            if let Err(error) = member.reprogram(settings) {
                let failure = self.end_member(number, error);
                if !self.lives() {
                    return Err(failure);
                }
            }
        }
        self.kept = Some(kept);
        self.renew_facts();
        Ok(self.tuning())
    }

    fn health(&self) -> Health {
        let reasons: Vec<_> = self
            .members
            .iter()
            .filter_map(|member| member.ended.clone())
            .collect();
        match (reasons.is_empty(), self.lives()) {
            (true, _) => Health::Good,
            (false, true) => Health::Degraded(reasons.join("; ")),
            (false, false) => Health::Gone(reasons.join("; ")),
        }
    }
}

impl ChmuSource {
    /// The settings of now: the highest threshold, the longest epoch and the largest unit of all.
    fn tuning(&self) -> Tuning {
        let settings = || self.units().filter_map(Unit::settings);
        let members = self.members.iter().enumerate();
        Tuning {
            threshold: settings().map(|settings| settings.threshold.into()).max(),
            epoch_ns: self.facts.granted_epoch_ns,
            unit_bytes: self.facts.unit_bytes,
            ranges: Some(
                members
                    .flat_map(|(number, member)| member.ranges(number))
                    .collect(),
            ),
        }
    }
}
