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
use chmu_machine::{clock, wait};
use chmu_spec::address::Dpa;
use chmu_spec::cxl::dvsec::block_id;
use chmu_spec::hotlist::Entry;

use super::{Batch, HotUnit, HotnessSource, SourceError};

/// A list is read at least this often, whatever the interrupts do.
const POLL_MAX: Duration = Duration::from_millis(100);
/// A list is polled no more often than this.
const POLL_MIN: Duration = Duration::from_millis(1);

/// One or several units that count, and where their memory appears in the host.
#[derive(Debug)]
pub struct ChmuSource {
    name: String,
    members: Vec<Member>,
    poll: Duration,
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
        Ok(ChmuSource {
            name: names.join(","),
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
    pub fn after_interrupt(&mut self, timeout: Duration) -> Result<Option<Batch>, SourceError> {
        let interrupts = |source: &Self| {
            let units = source.units();
            units.map(|unit| unit.statistics().interrupts).sum::<u64>()
        };
        let before = interrupts(self);
        self.wait(timeout)?;
        match interrupts(self) > before {
            true => self.collect().map(Some),
            false => Ok(None),
        }
    }

    /// Time on the clock that the units live by.
    fn now(&self) -> Duration {
        let first = self.members.first();
        let now = first.map(|member| member.unit.transport().now());
        now.unwrap_or_else(|| Duration::from_nanos(clock::monotonic_ns()))
    }

    /// Reads every unit's list.
    fn collect(&mut self) -> Result<Batch, SourceError> {
        let mut batch = Batch::default();
        let mut entries = Vec::new();
        for (number, member) in self.members.iter_mut().enumerate() {
            entries.clear();
            let drained = member.unit.drain(&mut entries);
            let drained = drained.map_err(|source| broken(&member.unit, source))?;
            batch.lost_units |= drained.overflow;
            for entry in &entries {
                match member.hot_unit(number, *entry) {
                    Some(unit) => batch.units.push(unit),
                    None => batch.unmapped_units += 1,
                }
            }
        }
        batch.time = self.now();
        Ok(batch)
    }

    /// Waits until a unit has something to say, at most `timeout`.
    fn wait(&mut self, timeout: Duration) -> Result<(), SourceError> {
        if let [member] = &mut *self.members {
            let waited = member.unit.wait(timeout);
            return waited.map_err(|source| broken(&member.unit, source));
        }
        let events: Option<Vec<_>> = self
            .units()
            .map(|unit| {
                let interrupts = unit.settings().is_some_and(Settings::has_interrupts);
                let message = unit.capabilities().message_number.into();
                let event = unit.transport().interrupt_event(message)?;
                interrupts.then(|| event.as_raw_fd())
            })
            .collect();
        match (events, self.members.first_mut()) {
            (Some(events), _) => {
                wait::readable(&events, Some(timeout)).map_err(|source| SourceError::Wait {
                    unit: self.name.clone(),
                    source,
                })?;
                for member in &mut self.members {
                    let waited = member.unit.wait(Duration::ZERO);
                    waited.map_err(|source| broken(&member.unit, source))?;
                }
            }
            (None, Some(member)) => member.unit.transport().pause(timeout),
            (None, None) => {}
        }
        Ok(())
    }
}

impl Member {
    /// The entry as pages of the host; none when it lies in none.
    fn hot_unit(&self, number: usize, entry: Entry) -> Option<HotUnit> {
        let size = self.unit.settings()?.unit_size;
        let start = size.start_of(entry.unit)?;
        let end = Dpa(start.0.checked_add(size.bytes())?);
        let ranges = self.translation.pages(start..end);
        (!ranges.is_empty()).then_some(HotUnit {
            ranges,
            count: entry.count,
            dpa: Some(start),
            member: number,
        })
    }
}

impl HotnessSource for ChmuSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn next_batch(&mut self, timeout: Duration) -> Result<Batch, SourceError> {
        let start = self.now();
        loop {
            let batch = self.collect()?;
            let left = timeout.saturating_sub(self.now().saturating_sub(start));
            let found = !batch.units.is_empty() || batch.lost_units || batch.unmapped_units > 0;
            if found || left.is_zero() {
                return Ok(batch);
            }
            self.wait(left.min(self.poll))?;
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
