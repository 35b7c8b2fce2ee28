// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! From what a user asks for to units that count.

use std::path::Path;
use std::time::Duration;

use chmu_driver::device::ownership::{Found, OwnershipError, Registry};
use chmu_driver::device::{
    DeviceError, FoundUnits, Selection, Settings, Surroundings, Unit, UnitError, Wishes,
    find_units, identify,
};
use chmu_driver::translation::{self, Translation, TranslationError};
use chmu_machine::words;
use chmu_spec::cxl::dvsec::block_id;

use super::member::Member;
use super::{ChmuSource, longest_epoch};

/// Units that cannot be used as a source.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The functions cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A unit has another owner.
    #[error(transparent)]
    Owned(#[from] OwnershipError),
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

/// How units are claimed from others.
#[derive(Debug, Clone, Default)]
pub struct Claims {
    /// Where owners are known from.
    pub registry: Registry,
    /// Units that somebody else uses are taken nonetheless.
    pub take_over: bool,
    /// Where a device's unit is in use, another of its units does, as long as both may watch the same
    /// memory.
    pub step_aside: bool,
}

/// Units that are programmed and do not count yet.
#[derive(Debug)]
pub struct ProgrammedUnits {
    members: Vec<Member>,
    wished_epoch_ns: Option<u64>,
}

impl ProgrammedUnits {
    /// Finds the selected units below `sysfs`, becomes their owner and programs them.
    ///
    /// # Errors
    /// When a unit cannot be found, used or programmed, or has another owner.
    pub fn find(
        sysfs: &Path,
        selection: &Selection,
        wishes: &Wishes,
        claims: &Claims,
    ) -> Result<ProgrammedUnits, OpenError> {
        let mut members = Vec::new();
        for found in find_units(sysfs, selection)? {
            let Some((function, unit)) = claims.first_of(found)? else {
                continue;
            };
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
            warn_of_sharing(&unit, &settings, &translation);
            let outcome = unit.program(settings);
            outcome.map_err(|source| not_started(&unit, source))?;
            programmed.push(Member::new(unit, translation));
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

    /// Pages of the host that one unit covers, at most.
    pub fn pages_of_a_unit(&self) -> u64 {
        let pages = self.members.iter().filter_map(|member| {
            let size = member.unit.settings()?.unit_size;
            Some(member.translation.pages_of_unit(size))
        });
        pages.max().unwrap_or(0)
    }

    /// The units.
    pub fn units(&self) -> impl Iterator<Item = &Unit> {
        self.members.iter().map(|member| &member.unit)
    }

    /// Lets the units count.
    ///
    /// # Errors
    /// When one does not start.
    pub fn start(mut self) -> Result<ChmuSource, OpenError> {
        for member in &mut self.members {
            let outcome = member.enable();
            outcome.map_err(|source| not_started(&member.unit, source))?;
        }
        Ok(ChmuSource::new(self.members, self.wished_epoch_ns))
    }
}

impl Claims {
    /// The first unit of a function that can be owned; an error of the first one when none can.
    fn first_of(
        &self,
        found: FoundUnits,
    ) -> Result<Option<(chmu_driver::device::PciFunction, Unit)>, OwnershipError> {
        let mut refused = None;
        for mut unit in found.units {
            // Beside one that is in use, only if the device says that both may watch the same memory.
            if refused.is_some() && !unit.capabilities().overlapping_ranges {
                continue;
            }
            match self.registry.claim(&mut unit, self.take_over) {
                Ok(how) => {
                    tell(unit.name(), how);
                    return Ok(Some((found.function, unit)));
                }
                Err(error) if self.step_aside => {
                    refused.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        refused.map_or(Ok(None), Err)
    }
}

fn tell(unit: &str, found: Found) {
    match found {
        Found::Free => {}
        Found::Abandoned { process_id } => log::warn!(
            "{unit} was left counting by process {process_id}, which has ended; it is taken back"
        ),
        Found::TakenOver => log::warn!("{unit} is taken over from whoever uses it"),
    }
}

fn warn_of_sharing(unit: &Unit, settings: &Settings, translation: &Translation) {
    let pages = translation.pages_of_unit(settings.unit_size);
    if pages > 1 {
        log::warn!(
            "A unit of {} in {} covers up to {}, and does not say which of them is hot",
            settings.unit_size,
            unit.name(),
            words::count(pages, "page", "pages")
        );
    }
}

fn not_started(unit: &Unit, source: UnitError) -> OpenError {
    OpenError::Start {
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
