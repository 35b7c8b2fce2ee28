// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One DAMON worker that watches memory, and what it has found.
//!
//! DAMON looks at one page of each region for all of it, splits regions at random and joins those that
//! are alike. A scheme that does nothing lets the regions through that are hot enough, and the kernel
//! shows these on request, once for each aggregation interval. A region of one page that touches no other
//! is never joined with any: DAMON looks at that page.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chmu_machine::memory::PAGE_BYTES;
use chmu_machine::sysfs_file::{self, SysfsError};
use chmu_spec::address::Pfn;

use super::control::{self, ControlFile};
use super::ownership::{self, MARK_UPDATE_US, MARK_WATCH_US};
use super::workers::Worker;
use super::{DamonError, Places};

/// Regions that DAMON keeps, at least and at most: its own defaults.
const REGIONS: Range<u64> = 10..1000;
/// Regions of one reading that are looked at: more than there can be.
const REGIONS_READ_MAX: usize = 4096;

/// What is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Watched {
    /// Ranges of frames.
    Frames(Vec<Range<u64>>),
    /// A process.
    Process(u32),
    /// Ranges of addresses of a process.
    Addresses(u32, Vec<Range<u64>>),
}

/// How it is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// Between two looks at a region.
    pub(crate) sample: Duration,
    /// Looks in an aggregation interval.
    pub(crate) looks: u32,
    /// Which regions are shown.
    pub(crate) shown: Shown,
}

/// Regions that are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// In which at least so many looks of an aggregation interval found an access.
    Hot(u64),
    /// Of a single page, to which no look of so many aggregation intervals found an access.
    IdlePages(u32),
}

impl Attributes {
    /// Looks in an aggregation interval that must find an access.
    pub(crate) fn threshold(&self) -> u64 {
        match self.shown {
            Shown::Hot(threshold) => threshold,
            Shown::IdlePages(_) => 0,
        }
    }

    /// Over which it counts.
    pub(crate) fn epoch(&self) -> Duration {
        self.sample * self.looks
    }
}

/// Neighbouring pages that DAMON takes for equally hot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Region {
    /// Physical or virtual address of the first byte.
    pub(crate) start: u64,
    /// How many pages.
    pub(crate) pages: u64,
    /// Looks that found an access.
    pub(crate) looks: u64,
}

/// A worker that watches until it is dropped.
#[derive(Debug)]
pub(crate) struct Monitor {
    state_path: PathBuf,
    state: ControlFile,
    regions: PathBuf,
    attributes: Attributes,
    /// Dropped after it was switched off.
    _worker: Worker,
}

impl Monitor {
    /// Sets up a worker and switches it on.
    ///
    /// # Errors
    /// When DAMON cannot watch this, or somebody else uses it.
    pub(crate) fn start(
        places: &Places,
        watched: &Watched,
        attributes: Attributes,
    ) -> Result<Monitor, DamonError> {
        let worker = Worker::claim(places)?;
        let folder = worker.folder();
        let context = folder.join("contexts/0");
        control::write(&folder.join("contexts/nr_contexts"), "1")?;
        set_watched(&context, watched)?;
        set_attributes(&context, watched, &attributes)?;
        set_scheme(&context.join("schemes"), &attributes)?;
        let monitor = Monitor {
            state_path: folder.join("state"),
            state: ControlFile::to_write(&folder.join("state"))?,
            regions: context.join("schemes/0/tried_regions"),
            attributes,
            _worker: worker,
        };
        match monitor.state.write("on") {
            Err(error) if control::is_busy(&error) => Err(DamonError::Busy(error)),
            result => Ok(result.map(|()| monitor)?),
        }
    }

    /// The regions that are shown of the last aggregation interval; waits for its end.
    pub(crate) fn read(&self) -> Result<Vec<Region>, DamonError> {
        let folders = self.read_folders()?;
        let regions = folders.into_iter().map(|folder| {
            let number = |name: &str| sysfs_file::number(&folder.join(name));
            let (start, end) = (number("start")?, number("end")?);
            Ok(Region {
                start,
                pages: end.saturating_sub(start) / PAGE_BYTES,
                looks: number("nr_accesses")?,
            })
        });
        let regions: Result<Vec<_>, SysfsError> = regions.collect();
        let is_hot =
            |region: &Region| region.pages > 0 && region.looks >= self.attributes.threshold();
        Ok(regions?.into_iter().filter(is_hot).collect())
    }

    /// The first frames of these regions alone, which takes a third of the time.
    pub(crate) fn read_starts(&self) -> Result<Vec<Pfn>, DamonError> {
        let folders = self.read_folders()?;
        let starts = folders.into_iter().map(|folder| {
            let start = sysfs_file::number(&folder.join("start"))?;
            Ok(Pfn(start / PAGE_BYTES))
        });
        let starts: Result<_, SysfsError> = starts.collect();
        Ok(starts?)
    }

    /// A folder for each region; waits for the end of the aggregation interval.
    fn read_folders(&self) -> Result<Vec<PathBuf>, DamonError> {
        self.state.write("update_schemes_tried_regions")?;
        let folders = sysfs_file::numbered(&self.regions, "").into_iter();
        let folders = folders.map(|(_, folder)| folder);
        Ok(folders.take(REGIONS_READ_MAX).collect())
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        if let Err(error) = ownership::switch_off(&self.state_path) {
            log::warn!("DAMON goes on watching: {error}; chmu reset takes it back");
        }
    }
}

fn set_watched(context: &Path, watched: &Watched) -> Result<(), DamonError> {
    let operations = match watched {
        Watched::Frames(_) => "paddr",
        Watched::Process(_) => "vaddr",
        Watched::Addresses(..) => "fvaddr",
    };
    // Newer kernels say what DAMON can work on.
    if let Ok(found) = sysfs_file::text(&context.join("avail_operations"))
        && !found.split_whitespace().any(|one| one == operations)
    {
        let found = found.replace('\n', ", ");
        return Err(DamonError::NoOperations { operations, found });
    }
    control::write(&context.join("operations"), operations)?;
    control::write(&context.join("targets/nr_targets"), "1")?;
    let target = context.join("targets/0");
    if let Watched::Process(process_id) | Watched::Addresses(process_id, _) = watched {
        control::write(&target.join("pid_target"), &process_id.to_string())?;
    }
    let bytes = |range: &Range<u64>| {
        range.start.saturating_mul(PAGE_BYTES)..range.end.saturating_mul(PAGE_BYTES)
    };
    let ranges = match watched {
        Watched::Process(_) => Vec::new(),
        Watched::Addresses(_, ranges) => ranges.clone(),
        Watched::Frames(ranges) => ranges.iter().map(bytes).collect(),
    };
    let regions = target.join("regions");
    control::write(&regions.join("nr_regions"), &ranges.len().to_string())?;
    for (number, range) in ranges.iter().enumerate() {
        let region = regions.join(number.to_string());
        for (name, address) in [("start", range.start), ("end", range.end)] {
            control::write(&region.join(name), &address.to_string())?;
        }
    }
    Ok(())
}

fn set_attributes(
    context: &Path,
    watched: &Watched,
    attributes: &Attributes,
) -> Result<(), SysfsError> {
    let update_us = match watched {
        Watched::Frames(_) => MARK_UPDATE_US,
        Watched::Process(_) | Watched::Addresses(..) => MARK_WATCH_US,
    };
    let folder = context.join("monitoring_attrs");
    for (name, time_us) in [
        ("sample_us", attributes.sample.as_micros()),
        ("aggr_us", attributes.epoch().as_micros()),
        ("update_us", update_us.into()),
    ] {
        control::write(&folder.join("intervals").join(name), &time_us.to_string())?;
    }
    // The maximum first: it must not be below the minimum at any time.
    control::write(&folder.join("nr_regions/max"), &REGIONS.end.to_string())?;
    control::write(&folder.join("nr_regions/min"), &REGIONS.start.to_string())
}

/// The scheme does nothing to the regions that are shown.
fn set_scheme(schemes: &Path, attributes: &Attributes) -> Result<(), SysfsError> {
    control::write(&schemes.join("nr_schemes"), "1")?;
    let scheme = schemes.join("0");
    control::write(&scheme.join("action"), "stat")?;
    let (bytes, looks, intervals) = match attributes.shown {
        Shown::Hot(_) => (0..=u64::MAX, u32::MAX, 0),
        Shown::IdlePages(intervals) => (PAGE_BYTES..=PAGE_BYTES, 0, intervals),
    };
    let pattern = scheme.join("access_pattern");
    let intervals = intervals.into()..=u32::MAX.into();
    for (quantity, range) in [("sz", bytes), ("age", intervals)] {
        let quantity = pattern.join(quantity);
        control::write(&quantity.join("min"), &range.start().to_string())?;
        control::write(&quantity.join("max"), &range.end().to_string())?;
    }
    for (end, looks) in [("max", looks.into()), ("min", attributes.threshold())] {
        control::write(&pattern.join("nr_accesses").join(end), &looks.to_string())?;
    }
    Ok(())
}
