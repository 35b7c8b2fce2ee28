// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Hotness through a kernel driver of hotness monitoring units, by the performance-monitoring unit that it
//! makes of each (`cxl_hmu_memX.Y.Z`).
//!
//! No released kernel has such a driver; names, settings and layout are those of the public patches.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chmu_driver::device::{
    DeviceError, Selection, Settings, SettingsError, Surroundings, Wishes, find_units, identify,
};
use chmu_driver::translation::{self, Translation, TranslationError};
use chmu_machine::clock;
use chmu_machine::names::instead;
use chmu_machine::stop::StopFlag;
use chmu_machine::sysfs_file::{self, SysfsError};
use chmu_spec::address::Dpa;
use chmu_spec::cxl::dvsec::block_id;
use chmu_spec::hotlist::Entry;

use super::{HotnessSource, SourceError};
use crate::report::{
    Facts, HotExtent, Knowledge, Place, Report, SourceKind, UnitPlace, Weight, WeightKind,
};
use aux_buffer::AuxBuffer;
pub use aux_buffer::AuxError;
use event::{Attributes, Event};

mod aux_buffer;
mod event;
mod format;

/// Below sysfs.
const DEVICES: &str = "bus/event_source/devices";
/// How the driver's units are called.
const PREFIX: &str = "cxl_hmu_";
/// Memory of one bit of a unit's range bitmap, in which the driver counts ranges.
const RANGE_BYTES: u64 = 256 << 20;
/// The driver reads a list that fills; its buffer is looked at this often.
const POLL: Duration = Duration::from_millis(50);
/// As for a unit that is read directly.
const LATENESS_NS: u64 = 20_000_000;

/// Why a driver's unit is no source.
#[derive(Debug, thiserror::Error)]
pub enum PerfError {
    /// No driver.
    #[error(
        "No driver of hotness monitoring units is loaded: {} lists no {PREFIX}memX.Y.Z; take chmu, which \
         needs none", folder.display()
    )]
    NoDriver {
        /// Where it would be listed.
        folder: PathBuf,
    },
    /// Another unit.
    #[error("The kernel drives no unit {unit}; {instead}")]
    NoUnit {
        /// What was asked for.
        unit: String,
        /// What there is.
        instead: String,
    },
    /// The kernel does not open it.
    #[error("Cannot open {unit} by perf")]
    Open {
        /// The unit.
        unit: String,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// Its files are not as they should be.
    #[error(transparent)]
    Sysfs(#[from] SysfsError),
    /// The device behind it cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// It is unknown where its memory appears.
    #[error(transparent)]
    Translation(#[from] TranslationError),
    /// It has no settings that serve.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// It writes what no driver writes.
    #[error(transparent)]
    Aux(#[from] AuxError),
}

/// A unit that a kernel driver reads.
#[derive(Debug)]
pub struct PerfSource {
    facts: Facts,
    event: Event,
    buffer: AuxBuffer,
    settings: Settings,
    translation: Translation,
    /// When the look began before the one that found entries last: what comes next is newer.
    entries_since_ns: u64,
    looked_ns: u64,
}

impl PerfSource {
    /// Opens the driver's unit of this name, or its first.
    ///
    /// # Errors
    /// When there is no driver, no such unit, or the kernel refuses.
    pub fn open(sysfs: &Path, unit: Option<&str>) -> Result<PerfSource, PerfError> {
        let folder = sysfs.join(DEVICES);
        let name = choose(&folder, unit)?;
        let device = folder.join(&name);
        let selection = Selection {
            unit: Some(name.clone()),
            ..Selection::default()
        };
        let found = find_units(sysfs, &selection)?.into_iter().next();
        let found = found.and_then(|found| Some((found.function, found.units.into_iter().next()?)));
        let Some((function, unit)) = found else {
            return Err(PerfError::NoUnit {
                unit: name,
                instead: "its device is not there".to_owned(),
            });
        };
        let transport = unit.transport();
        let component = identify(&**transport)?.places(block_id::COMPONENT);
        let component = component.first().copied();
        let translation = translation::of_function(sysfs, &function, &**transport, component)?;
        let surroundings = Surroundings {
            ranges: translation.dpa_ranges(),
            page_unit: translation.page_unit(),
            interrupts: true,
        };
        let settings = Settings::choose(unit.capabilities(), &Wishes::default(), surroundings)?;
        let attributes = attributes(&device, &settings, translation.end())?;
        let processor = sysfs_file::list(&device.join("cpumask"))?.first().copied();
        let processor = processor
            .and_then(|one| i32::try_from(one).ok())
            .unwrap_or(0);
        let now_ns = clock::monotonic_ns();
        let event = Event::open(attributes, processor).map_err(|source| PerfError::Open {
            unit: name.clone(),
            source,
        })?;
        Ok(PerfSource {
            facts: facts(name, &settings),
            event,
            buffer: AuxBuffer::default(),
            settings,
            translation,
            entries_since_ns: now_ns,
            looked_ns: now_ns,
        })
    }

    fn take(&mut self) -> Result<Report, PerfError> {
        let begin_ns = clock::monotonic_ns();
        let mut entries = Vec::new();
        self.buffer.take(&self.event.take(), &mut entries)?;
        let reach_ns = self
            .settings
            .epoch
            .nanoseconds()
            .saturating_add(LATENESS_NS);
        let mut report = Report {
            earliest_access_ns: self.entries_since_ns.saturating_sub(reach_ns),
            ..Report::default()
        };
        for entry in &entries {
            if !self.add_extents(*entry, &mut report.extents) {
                report.lost.outside_memory += 1;
            }
        }
        if !entries.is_empty() {
            self.entries_since_ns = self.looked_ns;
        }
        self.looked_ns = begin_ns;
        report.handed_out_ns = clock::monotonic_ns();
        Ok(report)
    }

    /// False when the entry lies in no memory of this machine.
    fn add_extents(&self, entry: Entry, extents: &mut Vec<HotExtent>) -> bool {
        let size = self.settings.unit_size;
        let unit = size.start_of(entry.unit);
        let unit = unit.and_then(|dpa| Some(dpa..Dpa(dpa.0.checked_add(size.bytes())?)));
        let Some(unit) = unit else {
            return false;
        };
        let ranges = self.translation.pages(unit.clone()).into_iter();
        let places: Vec<_> = ranges.map(Place::of_range).collect();
        let sharing_pages = places.iter().map(Place::pages).sum::<u64>().max(1);
        extents.extend(places.iter().map(|&place| HotExtent {
            place,
            weight: Weight::accesses(entry.count),
            sharing_pages,
            unit: Some(UnitPlace {
                member: 0,
                dpa: unit.start,
            }),
        }));
        !places.is_empty()
    }
}

impl HotnessSource for PerfSource {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn poll(&mut self, deadline_ns: u64, stop: &StopFlag) -> Result<Report, SourceError> {
        loop {
            let report = self.take()?;
            let left = Duration::from_nanos(deadline_ns.saturating_sub(clock::monotonic_ns()));
            let says_something = !report.extents.is_empty() || report.lost.outside_memory > 0;
            if says_something || left.is_zero() || stop.is_raised() {
                return Ok(report);
            }
            let waited = stop.readable(&[self.event.fd()], Some(left.min(POLL)));
            waited.map_err(|source| SourceError::Wait {
                unit: self.facts.name.clone(),
                source,
            })?;
        }
    }
}

fn facts(unit: String, settings: &Settings) -> Facts {
    Facts {
        name: format!("perf:{unit}"),
        kind: SourceKind::Perf,
        unit_bytes: Some(settings.unit_size.bytes()),
        granted_epoch_ns: Some(settings.epoch.nanoseconds()),
        wished_epoch_ns: None,
        knows: Knowledge {
            frames: true,
            some_nodes_only: true,
            ..Knowledge::default()
        },
        counts: WeightKind::Accesses,
    }
}

/// The named unit of the driver, or its first.
fn choose(folder: &Path, unit: Option<&str>) -> Result<String, PerfError> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<_> = names.filter(|name| name.starts_with(PREFIX)).collect();
    names.sort();
    match unit {
        Some(unit) if names.iter().any(|name| name == unit) => Ok(unit.to_owned()),
        Some(unit) if !names.is_empty() => {
            let there: Vec<_> = names.iter().map(String::as_str).collect();
            Err(PerfError::NoUnit {
                unit: unit.to_owned(),
                instead: instead(unit, &there, "chmu list"),
            })
        }
        _ => names.into_iter().next().ok_or_else(|| PerfError::NoDriver {
            folder: folder.to_owned(),
        }),
    }
}

/// Settings as the driver takes them.
fn attributes(device: &Path, settings: &Settings, end: u64) -> Result<Attributes, PerfError> {
    let kind = sysfs_file::number(&device.join("type"))?;
    let mut attributes = Attributes {
        kind: u32::try_from(kind).unwrap_or(u32::MAX),
        ..Attributes::default()
    };
    for (name, value) in [
        ("epoch_type", settings.mode.code().into()),
        ("access_type", settings.filter.code().into()),
        ("epoch_scale", settings.epoch.scale().code().into()),
        ("epoch_multiplier", settings.epoch.multiplier().into()),
        ("downsampling_factor", settings.down_sampling_log2.into()),
        ("hotness_threshold", settings.threshold.into()),
        ("hotness_granual", settings.unit_size.log2_bytes().into()),
        ("range_size", end.div_ceil(RANGE_BYTES)),
    ] {
        format::put(&mut attributes, device, name, value)?;
    }
    Ok(attributes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_the_driver_says_what_is_missing() {
        let sysfs = tempfile::tempdir().unwrap();
        let folder = sysfs.path().join(DEVICES);
        let refusal = |unit| {
            PerfSource::open(sysfs.path(), unit)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            refusal(None),
            format!(
                "No driver of hotness monitoring units is loaded: {} lists no cxl_hmu_memX.Y.Z; take \
                 chmu, which needs none",
                folder.display()
            )
        );
        fs::create_dir_all(folder.join("cxl_hmu_mem0.0.0")).unwrap();
        fs::create_dir_all(folder.join("cpu")).unwrap();
        assert_eq!(
            refusal(Some("cxl_hmu_mem1.0.0")),
            "The kernel drives no unit cxl_hmu_mem1.0.0; did you mean cxl_hmu_mem0.0.0? There are \
             cxl_hmu_mem0.0.0"
        );
    }
}
