// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Hotness from hotness monitoring units.

use std::collections::BTreeMap;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use chmu_driver::device::{
    DeviceError, Selection, Settings, Surroundings, Unit, UnitError, UnitStatistics, Wishes,
    identify, open_units,
};
use chmu_driver::translation::{self, Translation, TranslationError};
use chmu_machine::clock;
use chmu_machine::stop::StopFlag;
use chmu_spec::address::{Dpa, HpaRange};
use chmu_spec::cxl::dvsec::block_id;
use chmu_spec::hotlist::Entry;

use super::{HotnessSource, SourceError};
use crate::report::{
    Facts, HotExtent, Knowledge, Place, Report, SourceKind, UnitPlace, Weight, WeightKind,
};

/// A list is read at least this often, whatever the interrupts do.
const POLL_MAX: Duration = Duration::from_millis(100);
/// A list is polled no more often than this.
const POLL_MIN: Duration = Duration::from_millis(1);
/// How long after an access a unit may still take it into account, beyond its epoch: accesses wait on
/// their way to the counters.
const LATENESS: Duration = Duration::from_millis(20);

/// One or several units that count, and where their memory appears in the host.
#[derive(Debug)]
pub struct ChmuSource {
    facts: Facts,
    members: Vec<Member>,
    poll: Duration,
    /// When the lists were read for the last time.
    last_reading: Duration,
}

#[derive(Debug)]
struct Member {
    unit: Unit,
    translation: Translation,
}

/// Units that cannot be used as a source.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The functions cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// It is unknown where a unit's memory appears.
    #[error("Cannot tell where the memory behind {unit} appears")]
    Translation {
        /// The unit.
        unit: String,
        /// What stands in the way.
        source: Box<TranslationError>,
    },
    /// A unit does not start.
    #[error("Cannot start {unit}")]
    Start {
        /// The unit.
        unit: String,
        /// What stands in the way.
        source: Box<UnitError>,
    },
}

/// Units that are programmed and do not count yet.
#[derive(Debug)]
pub struct ProgrammedUnits {
    members: Vec<Member>,
    wished_epoch_ns: Option<u64>,
}

impl ProgrammedUnits {
    /// Finds the selected units below `sysfs` and programs them.
    pub fn find(
        sysfs: &Path,
        selection: &Selection,
        wishes: &Wishes,
    ) -> Result<ProgrammedUnits, OpenError> {
        let mut members = Vec::new();
        for (function, unit) in open_units(sysfs, selection)? {
            let transport = unit.transport();
            let component = identify(&**transport)?
                .places(block_id::COMPONENT)
                .first()
                .copied();
            let translation = translation::of_function(sysfs, &function, &**transport, component)
                .map_err(|source| untranslated(&unit, source))?;
            members.push((unit, translation));
        }
        ProgrammedUnits::program(members, wishes)
    }

    /// Programs units, each with the place of its memory in the host.
    pub fn program(
        members: Vec<(Unit, Translation)>,
        wishes: &Wishes,
    ) -> Result<ProgrammedUnits, OpenError> {
        let mut programmed = Vec::new();
        for (mut unit, translation) in members {
            let surroundings = Surroundings {
                ranges: translation.dpa_ranges(),
                page_unit: translation.page_unit(),
                interrupts: unit.can_interrupt(),
            };
            let settings = Settings::choose(unit.capabilities(), wishes, surroundings);
            let settings = settings.map_err(|source| not_started(&unit, source.into()))?;
            translation
                .check_unit(settings.unit_size)
                .map_err(|source| untranslated(&unit, source))?;
            let outcome = unit.program(settings);
            outcome.map_err(|source| not_started(&unit, source))?;
            programmed.push(Member { unit, translation });
        }
        Ok(ProgrammedUnits {
            members: programmed,
            wished_epoch_ns: wishes.epoch_ns,
        })
    }

    /// The longest epoch of the units, as these were programmed.
    pub fn epoch(&self) -> Duration {
        longest_epoch(&self.members)
    }

    /// The units.
    pub fn units(&self) -> impl Iterator<Item = &Unit> {
        self.members.iter().map(|member| &member.unit)
    }

    /// Lets the units count.
    pub fn start(mut self) -> Result<ChmuSource, OpenError> {
        let mut poll = POLL_MAX;
        for Member { unit, .. } in &mut self.members {
            if let Some(settings) = unit.settings() {
                let epoch = Duration::from_nanos(settings.epoch.nanoseconds());
                poll = poll.min((epoch / 2).max(POLL_MIN));
            }
            let outcome = unit.enable();
            outcome.map_err(|source| not_started(unit, source))?;
        }
        let names: Vec<_> = self.units().map(Unit::name).collect();
        let units = self.units().filter_map(Unit::settings);
        let unit_bytes = units.map(|settings| settings.unit_size.bytes()).max();
        let facts = Facts {
            name: names.join(","),
            kind: SourceKind::Chmu,
            unit_bytes,
            granted_epoch_ns: Some(nanoseconds(self.epoch())),
            wished_epoch_ns: self.wished_epoch_ns,
            knows: Knowledge {
                frames: true,
                some_nodes_only: true,
                ..Knowledge::default()
            },
            counts: WeightKind::Accesses,
        };
        Ok(ChmuSource {
            facts,
            last_reading: now(&self.members),
            members: self.members,
            poll,
        })
    }
}

fn longest_epoch(members: &[Member]) -> Duration {
    let settings = members.iter().filter_map(|member| member.unit.settings());
    let longest = settings.map(|settings| settings.epoch.nanoseconds()).max();
    Duration::from_nanos(longest.unwrap_or(0))
}

fn not_started(unit: &Unit, source: UnitError) -> OpenError {
    OpenError::Start {
        unit: unit.name().to_owned(),
        source: Box::new(source),
    }
}

impl ChmuSource {
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
    fn collect(&mut self) -> Result<Report, SourceError> {
        let begin = now(&self.members);
        let margin = self.epoch().saturating_add(LATENESS);
        let mut report = Report {
            earliest_access_ns: nanoseconds(self.last_reading.saturating_sub(margin)),
            ..Report::default()
        };
        let mut entries = Vec::new();
        for (number, member) in self.members.iter_mut().enumerate() {
            entries.clear();
            let drained = member.unit.drain(&mut entries);
            let drained = drained.map_err(|source| broken(&member.unit, source))?;
            report.lost.overflow |= drained.overflow;
            for entry in &entries {
                if !member.add_extents(number, *entry, &mut report.extents) {
                    report.lost.outside_memory += 1;
                }
            }
        }
        self.last_reading = begin;
        report.handed_out_ns = nanoseconds(now(&self.members));
        Ok(report)
    }

    /// Waits until a unit has something to say, at most `timeout`, or until it is time to stop.
    fn wait(&mut self, timeout: Duration, stop: &StopFlag) -> Result<(), SourceError> {
        let events: Option<Vec<_>> = self
            .units()
            .map(|unit| {
                let interrupts = unit.settings().is_some_and(Settings::has_interrupts);
                let message = unit.capabilities().message_number.into();
                let event = unit.transport().interrupt_event(message)?;
                interrupts.then(|| event.as_raw_fd())
            })
            .collect();
        if let Some(events) = events {
            let waited = stop.readable(&events, Some(timeout));
            waited.map_err(|source| SourceError::Wait {
                unit: self.facts.name.clone(),
                source,
            })?;
            for member in &mut self.members {
                let waited = member.unit.wait(Duration::ZERO);
                waited.map_err(|source| broken(&member.unit, source))?;
            }
            return Ok(());
        }
        match &mut *self.members {
            [member] => member
                .unit
                .wait(timeout)
                .map_err(|source| broken(&member.unit, source)),
            [member, ..] => {
                member.unit.transport().pause(timeout);
                Ok(())
            }
            [] => Ok(()),
        }
    }
}

/// Time on the clock that the units live by.
fn now(members: &[Member]) -> Duration {
    let now = members.first().map(|member| member.unit.transport().now());
    now.unwrap_or_else(|| Duration::from_nanos(clock::monotonic_ns()))
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Member {
    /// Adds the entry as pages of the host; false when it lies in none.
    fn add_extents(&self, member: usize, entry: Entry, extents: &mut Vec<HotExtent>) -> bool {
        let Some((dpa, ranges)) = self.ranges(entry) else {
            return false;
        };
        let places: Vec<_> = ranges.into_iter().map(Place::of_range).collect();
        let sharing_pages = places.iter().map(Place::pages).sum::<u64>().max(1);
        extents.extend(places.iter().map(|&place| HotExtent {
            place,
            weight: Weight::accesses(entry.count),
            sharing_pages,
            unit: Some(UnitPlace { member, dpa }),
        }));
        !places.is_empty()
    }

    /// Where the entry's unit starts in the device, and the pages of the host that hold it.
    fn ranges(&self, entry: Entry) -> Option<(Dpa, Vec<HpaRange>)> {
        let size = self.unit.settings()?.unit_size;
        let start = size.start_of(entry.unit)?;
        let end = Dpa(start.0.checked_add(size.bytes())?);
        Some((start, self.translation.pages(start..end)))
    }
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
            if !report.extents.is_empty() || lost || left.is_zero() || stop.is_raised() {
                return Ok(report);
            }
            self.wait(left.min(self.poll), stop)?;
        }
    }
}

fn broken(unit: &Unit, source: UnitError) -> SourceError {
    SourceError::Unit {
        unit: unit.name().to_owned(),
        source: Box::new(source),
    }
}

fn untranslated(unit: &Unit, source: TranslationError) -> OpenError {
    OpenError::Translation {
        unit: unit.name().to_owned(),
        source: Box::new(source),
    }
}
