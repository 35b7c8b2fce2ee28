// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One DAMON worker (kdamond), set up once and kept: how it is told to pass over its regions once.
//!
//! Kernels that count passes (`max_nr_snapshots`) make one and then idle. Older ones make one pass
//! after another for as long as they are on, and answer each question a tenth of a second later, so
//! that a second pass over frames that hold other pages by then is hard to avoid by looking. There,
//! DAMON sleeps for an hour before its first pass. Switching it off wakes it: it makes that one pass,
//! and ends. It is never switched off before it sleeps, and nothing is read from it.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use chmu_machine::memory::PAGE_BYTES;
use chmu_machine::node::NodeId;
use chmu_machine::stop::StopFlag;
use chmu_machine::sysfs_file::{self, SysfsError};

use super::slots::Slots;
use crate::damon::DamonError;
use crate::damon::control::{self, ControlFile};
use crate::damon::ownership::{self, MARK_UPDATE_US};

/// The longest time that a pass over one batch may take.
const PASS_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two looks at DAMON.
const LOOK_PAUSE: Duration = Duration::from_micros(300);

/// DAMON's times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Intervals {
    /// Between two looks at memory.
    sample_us: u64,
    /// Between two summaries of these.
    aggregate_us: u64,
    /// Between two passes, and before the first.
    apply_us: u64,
}

/// A pass begins as soon as it is allowed.
const COUNTED_INTERVALS: Intervals = Intervals {
    sample_us: 1000,
    aggregate_us: 200_000,
    apply_us: 1000,
};
/// A pass begins when DAMON is switched off; by itself only after an hour, since the kernel takes no
/// longer time than 71 minutes.
const LONE_INTERVALS: Intervals = Intervals {
    sample_us: 3_600_000_000,
    aggregate_us: 7_200_000_000,
    apply_us: 3_600_000_000,
};

/// How one pass over the regions is had.
#[derive(Debug)]
enum Passes {
    /// A limit bounds them; DAMON stays on, and idles between them.
    Counted {
        limit: ControlFile,
        snapshots: ControlFile,
        applied_bytes: ControlFile,
        /// Newer kernels can be told to idle.
        pause: Option<ControlFile>,
        /// What was counted until now.
        done: u64,
        bytes: u64,
    },
    /// DAMON is switched on and off for each.
    Lone {
        /// The number of its thread.
        thread: ControlFile,
        procfs: PathBuf,
    },
}

#[derive(Debug)]
pub(super) struct Kdamond {
    state_path: PathBuf,
    state: ControlFile,
    target_file: ControlFile,
    pub(super) slots: Slots,
    passes: Passes,
    target: Option<NodeId>,
    is_on: bool,
    pub(super) pass_timeout: Duration,
}

impl Kdamond {
    /// Sets up the worker in `folder`, which the kernel has just made.
    pub(super) fn set_up(folder: &Path, procfs: &Path) -> Result<Kdamond, DamonError> {
        let context = folder.join("contexts/0");
        let scheme = context.join("schemes/0");
        control::write(&folder.join("contexts/nr_contexts"), "1")?;
        check_operations(&context)?;
        control::write(&context.join("operations"), "paddr")?;
        control::write(&context.join("targets/nr_targets"), "1")?;
        control::write(&context.join("schemes/nr_schemes"), "1")?;
        let counts = scheme.join("stats/max_nr_snapshots").exists();
        let passes = match counts {
            true => counted(&context, &scheme)?,
            false => Passes::Lone {
                thread: ControlFile::to_read(&folder.join("pid"))?,
                procfs: procfs.to_owned(),
            },
        };
        let intervals = match counts {
            true => COUNTED_INTERVALS,
            false => LONE_INTERVALS,
        };
        set_attributes(&context.join("monitoring_attrs"), intervals)?;
        set_scheme(&scheme, intervals)?;
        Ok(Kdamond {
            state_path: folder.join("state"),
            state: ControlFile::to_write(&folder.join("state"))?,
            target_file: ControlFile::to_write(&scheme.join("target_nid"))?,
            slots: Slots::new(context.join("targets/0/regions")),
            passes,
            target: None,
            is_on: false,
            pass_timeout: PASS_TIMEOUT,
        })
    }

    /// Where the next passes move pages to.
    pub(super) fn set_target(&mut self, target: NodeId) -> Result<(), DamonError> {
        if self.target != Some(target) {
            self.target_file.write(&target.to_string())?;
            self.target = Some(target);
        }
        Ok(())
    }

    /// Makes one pass over the regions, and returns after its end. Returns how many pages it moved,
    /// where the kernel counts that.
    ///
    /// # Errors
    /// When DAMON refuses, or the pass does not end in time; it is off then.
    pub(super) fn pass(
        &mut self,
        regions: usize,
        stop: &StopFlag,
    ) -> Result<Option<u64>, DamonError> {
        let passed = match self.passes {
            Passes::Counted { .. } => self.counted_pass(regions, stop),
            Passes::Lone { .. } => self.lone_pass(regions).map(|()| None),
        };
        if passed.is_err() && self.is_on {
            // Nothing may move any more once the caller hears of it.
            self.switch_off()?;
        }
        passed
    }

    /// Switches it off, after the end of a pass in progress.
    pub(super) fn switch_off(&mut self) -> Result<(), DamonError> {
        if self.is_on {
            if let Passes::Lone { .. } = self.passes {
                self.wait_until_asleep(0)?;
            }
            self.is_on = false;
            ownership::switch_off(&self.state_path)?;
        }
        Ok(())
    }

    fn switch_on(&mut self) -> Result<(), DamonError> {
        match self.state.write("on") {
            Ok(()) => {
                self.is_on = true;
                Ok(())
            }
            Err(error) if control::is_busy(&error) => Err(DamonError::Busy(error)),
            Err(error) => Err(error.into()),
        }
    }

    fn counted_pass(&mut self, regions: usize, stop: &StopFlag) -> Result<Option<u64>, DamonError> {
        let is_on = self.is_on;
        let Passes::Counted {
            limit,
            pause,
            done,
            bytes,
            ..
        } = &mut self.passes
        else {
            return Ok(None);
        };
        if !is_on {
            // It counts from the start each time.
            (*done, *bytes) = (0, 0);
        }
        let wanted = *done + 1;
        limit.write(&wanted.to_string())?;
        if let Some(pause) = pause {
            pause.write("N")?;
        }
        match is_on {
            true => self.state.write("commit")?,
            false => self.switch_on()?,
        }
        if !self.wait_for_count(wanted, regions, stop)? {
            // Off means that the pass, if it began, has ended; what it moved is to be seen.
            self.switch_off()?;
            return Ok(None);
        }
        let Passes::Counted {
            applied_bytes,
            pause,
            done,
            bytes,
            ..
        } = &mut self.passes
        else {
            return Ok(None);
        };
        let applied = applied_bytes.number()?;
        let moved = applied.saturating_sub(*bytes) / PAGE_BYTES;
        (*done, *bytes) = (wanted, applied);
        if let Some(pause) = pause {
            pause.write("Y")?;
            self.state.write("commit")?;
        }
        Ok(Some(moved))
    }

    /// Asks DAMON for its counters until it has made the pass; false when told to stop before.
    fn wait_for_count(
        &self,
        wanted: u64,
        regions: usize,
        stop: &StopFlag,
    ) -> Result<bool, DamonError> {
        let Passes::Counted { snapshots, .. } = &self.passes else {
            return Ok(false);
        };
        let deadline = Instant::now() + self.pass_timeout;
        loop {
            self.state.write("update_schemes_stats")?;
            if snapshots.number()? >= wanted {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                return Err(self.timeout(regions));
            }
            if stop.sleep(LOOK_PAUSE) {
                return Ok(false);
            }
        }
    }

    fn lone_pass(&mut self, regions: usize) -> Result<(), DamonError> {
        let start = Instant::now();
        self.switch_on()?;
        let on = start.elapsed();
        self.wait_until_asleep(regions)?;
        let asleep = start.elapsed();
        self.is_on = false;
        let off = ownership::switch_off(&self.state_path);
        let end = start.elapsed();
        log::debug!("DAMON was on after {on:?}, asleep after {asleep:?}, off after {end:?}");
        Ok(off?)
    }

    /// Waits until the worker's thread sleeps before its first pass, or has ended. Idle sleep, `I`, is
    /// what it does there and nowhere before.
    fn wait_until_asleep(&self, regions: usize) -> Result<(), DamonError> {
        let Passes::Lone { thread, procfs } = &self.passes else {
            return Ok(());
        };
        let deadline = Instant::now() + self.pass_timeout;
        loop {
            // The kernel says -1 of a worker that has ended.
            let Ok(thread) = thread.number() else {
                return Ok(());
            };
            match thread_state(procfs, thread)? {
                Some('I') | None => return Ok(()),
                Some(_) if Instant::now() >= deadline => return Err(self.timeout(regions)),
                Some(_) => thread::sleep(LOOK_PAUSE),
            }
        }
    }

    fn timeout(&self, regions: usize) -> DamonError {
        DamonError::Timeout {
            regions,
            timeout: self.pass_timeout,
        }
    }
}

fn counted(context: &Path, scheme: &Path) -> Result<Passes, SysfsError> {
    let pause = context.join("pause");
    let statistics = scheme.join("stats");
    Ok(Passes::Counted {
        limit: ControlFile::to_write(&statistics.join("max_nr_snapshots"))?,
        snapshots: ControlFile::to_read(&statistics.join("nr_snapshots"))?,
        applied_bytes: ControlFile::to_read(&statistics.join("sz_applied"))?,
        pause: match pause.exists() {
            true => Some(ControlFile::to_write(&pause)?),
            false => None,
        },
        done: 0,
        bytes: 0,
    })
}

fn set_attributes(attributes: &Path, intervals: Intervals) -> Result<(), SysfsError> {
    for (file, value) in [
        ("intervals/update_us", MARK_UPDATE_US),
        ("intervals/sample_us", intervals.sample_us),
        ("intervals/aggr_us", intervals.aggregate_us),
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
    Ok(())
}

/// The scheme moves whatever is in the regions.
fn set_scheme(scheme: &Path, intervals: Intervals) -> Result<(), DamonError> {
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

/// The state of a thread, a letter; none when it has ended.
fn thread_state(procfs: &Path, thread: u64) -> Result<Option<char>, SysfsError> {
    let path = procfs.join(thread.to_string()).join("stat");
    let Ok(text) = sysfs_file::text(&path) else {
        return Ok(None);
    };
    // The name before it is in brackets and may hold anything.
    let state = text.rsplit_once(')');
    let state = state.and_then(|(_, rest)| rest.trim_start().chars().next());
    match state {
        Some(state) => Ok(Some(state)),
        None => Err(sysfs_file::content(&path, text, "state of a thread")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threads_state_comes_after_its_name() {
        let procfs = tempfile::tempdir().unwrap();
        std::fs::create_dir(procfs.path().join("9")).unwrap();
        let stat = procfs.path().join("9/stat");
        std::fs::write(&stat, "9 (kdamond.0 (x) R) I 2 0 0\n").unwrap();
        assert_eq!(thread_state(procfs.path(), 9).unwrap(), Some('I'));
        assert_eq!(thread_state(procfs.path(), 10).unwrap(), None);
        std::fs::write(&stat, "nothing\n").unwrap();
        assert!(thread_state(procfs.path(), 9).is_err());
    }
}
