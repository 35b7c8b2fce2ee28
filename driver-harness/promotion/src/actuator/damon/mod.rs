// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Pages moved by DAMON: one pass of its scheme `migrate_hot` over physical address ranges
//! (Documentation/admin-guide/mm/damon/usage.rst, mm/damon/paddr.c).
//!
//! DAMON is used as a mover only: its access pattern lets every region through, so that a pass
//! moves exactly the frames of the batch, wherever their owners are and also if they have none.
//! Newer kernels count passes and stop after the one that was asked for; with older ones a pass is
//! one start, switched off before the next is due.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use chmu_machine::memory::PAGE_BYTES;
use chmu_machine::memory::page_flags::{PageFlags, PageFlagsFile};
use chmu_machine::node::NodeId;
use chmu_machine::refusal::{Host, Refusal, unmounted};
use chmu_machine::stop::StopFlag;
use chmu_machine::sysfs_file::{self, SysfsError};
use chmu_spec::address::Pfn;

use super::{Actuator, ActuatorError, Limits, regions};
use crate::batch::{Batch, Fate};

mod control;
mod slots;

use slots::Slots;

/// The longest time that a pass over one batch may take.
const PASS_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two looks at DAMON's counters.
const LOOK_PAUSE: Duration = Duration::from_micros(500);
/// Modules that keep DAMON for themselves while enabled.
const EXCLUSIVE_MODULES: [&str; 3] = ["damon_stat", "damon_reclaim", "damon_lru_sort"];

/// DAMON's times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Intervals {
    /// Between two looks at memory.
    sample_us: u32,
    /// Between two summaries of these, between which older kernels answer no question.
    aggregate_us: u32,
    /// Between two passes, and before the first.
    apply_us: u32,
}

/// A pass begins as soon as it is allowed.
const COUNTED_INTERVALS: Intervals = Intervals {
    sample_us: 1000,
    aggregate_us: 200_000,
    apply_us: 1000,
};
/// The first pass is seen and DAMON switched off long before a second one. Looks at memory are rare:
/// with many regions they take their time.
const LONE_INTERVALS: Intervals = Intervals {
    sample_us: 20_000,
    aggregate_us: 20_000,
    apply_us: 100_000,
};

/// Why DAMON does not move pages.
#[derive(Debug, thiserror::Error)]
pub enum DamonError {
    /// There is no DAMON.
    #[error("There is no {}: {refusal}", folder.display())]
    Absent {
        /// Where it should be.
        folder: PathBuf,
        /// Why not, and what helps.
        refusal: Refusal,
    },
    /// It does not work on physical addresses.
    #[error(
        "DAMON has no operations on physical addresses, only {found}; the kernel lacks \
         CONFIG_DAMON_PADDR"
    )]
    NoPhysicalAddresses {
        /// What it works on.
        found: String,
    },
    /// It does not know how to move pages.
    #[error("DAMON does not know migrate_hot; that takes Linux 6.11 or newer")]
    NoMigration(#[source] SysfsError),
    /// This user may not set it up.
    #[error("Cannot set DAMON up: {refusal}")]
    Refused {
        /// Why not, and what helps.
        refusal: Refusal,
        /// What the kernel said.
        source: SysfsError,
    },
    /// A module keeps DAMON for itself.
    #[error(
        "The module {module} keeps DAMON for itself; switch it off by writing N to {}, or start \
         the kernel with {module}.enabled=0", switch.display()
    )]
    Exclusive {
        /// The module.
        module: &'static str,
        /// Its switch.
        switch: PathBuf,
    },
    /// Somebody else has set DAMON up.
    #[error(
        "Another program has set up {kdamonds} DAMON workers; end it, or if none runs write 0 to {}",
        file.display()
    )]
    Occupied {
        /// How many workers there are.
        kdamonds: u64,
        /// The file that holds their number.
        file: PathBuf,
    },
    /// DAMON does not start although nothing that is known to keep it does.
    #[error("DAMON is busy with another user's work; end that before promoting pages")]
    Busy(#[source] SysfsError),
    /// A file of DAMON cannot be used.
    #[error(transparent)]
    Sysfs(#[from] SysfsError),
    /// A pass does not end.
    #[error("DAMON has not passed over {regions} regions within {} s", timeout.as_secs())]
    Timeout {
        /// How many regions it was given.
        regions: usize,
        /// How long it was waited for.
        timeout: Duration,
    },
}

/// How one pass over the regions is had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passes {
    /// `max_nr_snapshots` bounds them; DAMON stays on, and idle where it has `pause`.
    Counted {
        /// It can be told to idle.
        pause: bool,
    },
    /// DAMON is switched on and off for each.
    Lone,
}

/// One DAMON worker (kdamond), set up when made and removed when dropped.
#[derive(Debug)]
pub struct Damon {
    page_flags: PageFlagsFile,
    folders: Folders,
    slots: Slots,
    passes: Passes,
    target: Option<NodeId>,
    is_on: bool,
    snapshots: u64,
    applied_bytes: u64,
    pass_timeout: Duration,
}

#[derive(Debug, Clone)]
struct Folders {
    kdamonds: PathBuf,
    context: PathBuf,
    scheme: PathBuf,
    state: PathBuf,
}

impl Damon {
    /// Sets up a worker below `sysfs`, which is `/sys` but for tests; `page_flags` shows what became of
    /// pages.
    pub fn set_up(sysfs: &Path, page_flags: PageFlagsFile) -> Result<Damon, DamonError> {
        let kdamonds = sysfs.join("kernel/mm/damon/admin/kdamonds");
        let count_file = kdamonds.join("nr_kdamonds");
        if !count_file.exists() {
            return Err(DamonError::Absent {
                refusal: without_damon(sysfs),
                folder: kdamonds,
            });
        }
        check_exclusive(sysfs)?;
        match sysfs_file::number(&count_file)? {
            0 => control::write(&count_file, "1").map_err(refused)?,
            count => {
                return Err(DamonError::Occupied {
                    kdamonds: count,
                    file: count_file,
                });
            }
        }
        let context = kdamonds.join("0/contexts/0");
        let folders = Folders {
            scheme: context.join("schemes/0"),
            state: kdamonds.join("0/state"),
            context,
            kdamonds,
        };
        // From here on, dropping it removes the worker again.
        let mut damon = Damon {
            page_flags,
            slots: Slots::new(folders.context.join("targets/0/regions")),
            folders,
            passes: Passes::Lone,
            target: None,
            is_on: false,
            snapshots: 0,
            applied_bytes: 0,
            pass_timeout: PASS_TIMEOUT,
        };
        damon.configure()?;
        Ok(damon)
    }

    fn configure(&mut self) -> Result<(), DamonError> {
        let Folders {
            kdamonds,
            context,
            scheme,
            ..
        } = self.folders.clone();
        control::write(&kdamonds.join("0/contexts/nr_contexts"), "1")?;
        check_operations(&context)?;
        control::write(&context.join("operations"), "paddr")?;
        control::write(&context.join("targets/nr_targets"), "1")?;
        control::write(&context.join("schemes/nr_schemes"), "1")?;
        let pause = context.join("pause").exists();
        self.passes = match scheme.join("stats/max_nr_snapshots").exists() {
            true => Passes::Counted { pause },
            false => Passes::Lone,
        };
        let intervals = match self.passes {
            Passes::Counted { .. } => COUNTED_INTERVALS,
            Passes::Lone => LONE_INTERVALS,
        };
        let attributes = context.join("monitoring_attrs");
        for (file, value) in [
            ("intervals/sample_us", intervals.sample_us),
            ("intervals/aggr_us", intervals.aggregate_us),
            ("intervals/update_us", 1_000_000_000),
            ("nr_regions/min", 3),
            ("nr_regions/max", 1_000_000),
        ] {
            control::write(&attributes.join(file), &value.to_string())?;
        }
        // With a probe that has weight, DAMON does not clear the accessed bits of page tables.
        if attributes.join("probes/nr_probes").exists() {
            control::write(&attributes.join("probes/nr_probes"), "1")?;
            control::write(&attributes.join("probes/0/weight"), "1")?;
        }
        control::write(&scheme.join("action"), "migrate_hot").map_err(unknown_action)?;
        let apply_us = intervals.apply_us.to_string();
        control::write(&scheme.join("apply_interval_us"), &apply_us)?;
        let pattern = scheme.join("access_pattern");
        for (quantity, most) in [
            ("sz", u64::MAX),
            ("nr_accesses", u32::MAX.into()),
            ("age", u32::MAX.into()),
        ] {
            control::write(&pattern.join(quantity).join("min"), "0")?;
            control::write(&pattern.join(quantity).join("max"), &most.to_string())?;
        }
        Ok(())
    }

    fn set_target(&mut self, target: NodeId) -> Result<(), SysfsError> {
        if self.target != Some(target) {
            let path = self.folders.scheme.join("target_nid");
            control::write(&path, &target.to_string())?;
            self.target = Some(target);
        }
        Ok(())
    }

    fn set_state(&self, state: &str) -> Result<(), SysfsError> {
        control::write(&self.folders.state, state)
    }

    fn switch_on(&mut self) -> Result<(), DamonError> {
        match self.set_state("on") {
            Ok(()) => {
                self.is_on = true;
                Ok(())
            }
            Err(error) if control::is_busy(&error) => Err(DamonError::Busy(error)),
            Err(error) => Err(error.into()),
        }
    }

    fn switch_off(&mut self) -> Result<(), SysfsError> {
        self.is_on = false;
        self.set_state("off")
    }

    fn set_pause(&self, value: &str) -> Result<(), SysfsError> {
        control::write(&self.folders.context.join("pause"), value)
    }

    /// Reads counters of the scheme until the pass is over.
    fn wait_for(
        &self,
        regions: usize,
        is_over: impl Fn(&Self) -> Result<bool, SysfsError>,
    ) -> Result<(), DamonError> {
        let deadline = Instant::now() + self.pass_timeout;
        loop {
            self.set_state("update_schemes_stats")?;
            if is_over(self)? {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let timeout = self.pass_timeout;
                return Err(DamonError::Timeout { regions, timeout });
            }
            thread::sleep(LOOK_PAUSE);
        }
    }

    /// Returns the bytes moved.
    fn move_frames(&mut self, frames: &[Pfn], target: NodeId) -> Result<u64, DamonError> {
        let mut moved_bytes = 0;
        let regions = regions::coalesce(frames);
        for regions in regions.chunks(self.slots.limit()) {
            self.slots.program(regions)?;
            self.set_target(target)?;
            moved_bytes += match self.passes {
                Passes::Counted { pause } => self.counted_pass(regions.len(), pause)?,
                Passes::Lone => self.lone_pass(regions.len())?,
            };
        }
        Ok(moved_bytes)
    }

    fn statistic(&self, name: &str) -> Result<u64, SysfsError> {
        sysfs_file::number(&self.folders.scheme.join("stats").join(name))
    }

    /// Returns the bytes moved.
    fn counted_pass(&mut self, regions: usize, pause: bool) -> Result<u64, DamonError> {
        let snapshots = self.snapshots + 1;
        let limit = self.folders.scheme.join("stats/max_nr_snapshots");
        control::write(&limit, &snapshots.to_string())?;
        if pause {
            self.set_pause("N")?;
        }
        match self.is_on {
            true => self.set_state("commit")?,
            false => self.switch_on()?,
        }
        self.wait_for(regions, |damon| {
            Ok(damon.statistic("nr_snapshots")? >= snapshots)
        })?;
        self.snapshots = snapshots;
        let before = self.applied_bytes;
        self.applied_bytes = self.statistic("sz_applied")?;
        if pause {
            self.set_pause("Y")?;
            self.set_state("commit")?;
        }
        Ok(self.applied_bytes.saturating_sub(before))
    }

    /// Returns the bytes moved.
    fn lone_pass(&mut self, regions: usize) -> Result<u64, DamonError> {
        let bytes = self.slots.bytes();
        self.switch_on()?;
        self.wait_for(regions, |damon| Ok(damon.statistic("sz_tried")? >= bytes))?;
        self.switch_off()?;
        let passes = self.statistic("sz_tried")? / bytes.max(1);
        if passes > 1 {
            log::info!("DAMON made {passes} passes before it was switched off");
        }
        Ok(self.statistic("sz_applied")?)
    }
}

impl Actuator for Damon {
    fn name(&self) -> &'static str {
        "damon"
    }

    fn limits(&self) -> Limits {
        Limits {
            frames_max: self.slots.limit(),
            sees_unmapped: true,
            obeys_cpusets: false,
            is_dry: false,
        }
    }

    fn promote_batch(
        &mut self,
        batch: &Batch,
        _stop: &StopFlag,
    ) -> Result<Vec<Fate>, ActuatorError> {
        let target = batch.route.target;
        let moved_bytes = self.move_frames(&batch.heads(), target)?;
        let moved = Fate::Moved { node: target };
        if moved_bytes >= batch.pages() * PAGE_BYTES {
            return Ok(vec![moved; batch.candidates.len()]);
        }
        let mut fates = Vec::new();
        for head in batch.heads() {
            let flags = self.page_flags.read(head)?;
            fates.push(match flags.contains(PageFlags::LRU) {
                true => Fate::Stayed,
                false => moved,
            });
        }
        Ok(fates)
    }
}

impl Drop for Damon {
    fn drop(&mut self) {
        let off = match self.is_on {
            true => self.switch_off(),
            false => Ok(()),
        };
        let count_file = self.folders.kdamonds.join("nr_kdamonds");
        let removed = off.and_then(|()| control::write(&count_file, "0"));
        if let Err(error) = removed {
            log::warn!(
                "DAMON stays set up: {error}; write 0 to {}",
                count_file.display()
            );
        }
    }
}

/// Newer kernels say what DAMON can work on.
fn check_operations(context: &Path) -> Result<(), DamonError> {
    let Ok(found) = sysfs_file::text(&context.join("avail_operations")) else {
        return Ok(());
    };
    match found.split_whitespace().any(|one| one == "paddr") {
        true => Ok(()),
        false => Err(DamonError::NoPhysicalAddresses {
            found: found.replace('\n', ", "),
        }),
    }
}

fn unknown_action(error: SysfsError) -> DamonError {
    match error.errno() {
        Some(libc::EINVAL) => DamonError::NoMigration(error),
        _ => error.into(),
    }
}

fn refused(source: SysfsError) -> DamonError {
    let refusal = source
        .errno()
        .and_then(|errno| Host::this().write_refusal(errno));
    match refusal {
        Some(refusal) => DamonError::Refused { refusal, source },
        None => source.into(),
    }
}

fn check_exclusive(sysfs: &Path) -> Result<(), DamonError> {
    for module in EXCLUSIVE_MODULES {
        let switch = sysfs.join(format!("module/{module}/parameters/enabled"));
        if sysfs_file::text(&switch).is_ok_and(|value| value == "Y") {
            return Err(DamonError::Exclusive { module, switch });
        }
    }
    Ok(())
}

/// Why there is no DAMON.
fn without_damon(sysfs: &Path) -> Refusal {
    match sysfs.join("kernel").exists() {
        true => Refusal::new(
            "the kernel has no DAMON that programs can set up",
            "build it with CONFIG_DAMON_SYSFS and CONFIG_DAMON_PADDR, or take --actuator \
             move-pages",
        ),
        false => unmounted(sysfs),
    }
}

#[cfg(test)]
mod tests;
