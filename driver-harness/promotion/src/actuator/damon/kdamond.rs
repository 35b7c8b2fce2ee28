// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One DAMON worker (kdamond), set up once and kept: how it is told to pass over its regions once.
//!
//! DAMON sleeps before its first pass, and goes on after it until it is switched off; `off` returns when
//! it has ended. It is never switched off before it sleeps, since then it would end without a pass. So
//! nothing is asked of DAMON, which on older kernels answers a tenth of a second later at the earliest.
//!
//! How long it sleeps, and whether `off` wakes it, says [`Wake`]. Whoever is slow, or killed, gets the pass
//! by the clock. There is no other pass over frames that hold other pages by then, and no program has a
//! part in that: see [`Bound`].

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use chmu_machine::node::NodeId;
use chmu_machine::sysfs_file::{self, SysfsError};

use super::slots::{self, Slots};
use crate::batch::Direction;
use crate::damon::DamonError;
use crate::damon::control::{self, ControlFile};
use crate::damon::ownership::{self, MARK_UPDATE_US};

/// The longest time that the worker may take to get to sleep.
const SLEEP_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two looks at DAMON.
const LOOK_PAUSE: Duration = Duration::from_micros(300);
/// Before the first pass, and between others, of a worker that is woken. The kernel lets itself be
/// woken from sleep of more than 20 ms only.
const WOKEN_PASS_US: u64 = 1_000_000;
/// The same of one that is not: no longer than it takes to tell another worker its regions, and not so
/// short that one that a killed run left keeps a processor busy.
const CLOCK_PASS_US: u64 = 1000;
/// A quota begins anew after this: later than the first pass, and long before the second.
const QUOTA_MS: u64 = 300;
/// A quota that lasts for good; the kernel takes more than 31 bits for that.
const QUOTA_FOREVER_MS: u64 = 0xffff_ffff;

/// What begins the pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wake {
    /// Being switched off, within a second. Only one worker of the machine can be, until its pass is over;
    /// whoever does it waits without a look at the worker, which would take its processor.
    SwitchingOff,
    /// The clock, a millisecond after it was switched on; takes a kernel that counts passes.
    Clock,
}

/// What the kernel bounds the passes by.
#[derive(Debug)]
enum Bound {
    /// It counts them, and makes no more than it is told: `max_nr_snapshots`.
    Count,
    /// A quota of one byte that holds from the second pass on, since it is looked at when it begins
    /// anew: as Linux 6.12 has it.
    LaterQuota,
    /// A quota that holds at once: of as many bytes as a batch has.
    Quota(ControlFile),
}

#[derive(Debug)]
pub(super) struct Kdamond {
    state_path: PathBuf,
    state: ControlFile,
    target_file: ControlFile,
    action_file: ControlFile,
    /// The number of its thread.
    thread: ControlFile,
    procfs: PathBuf,
    pub(super) slots: Slots,
    bound: Bound,
    target: Option<NodeId>,
    direction: Direction,
    is_on: bool,
    pub(super) sleep_timeout: Duration,
}

impl Kdamond {
    /// Sets up the worker in `folder`, which the kernel has just made. `sharers` workers have the files
    /// that may be open between them.
    pub(super) fn set_up(
        folder: &Path,
        procfs: &Path,
        wake: Wake,
        sharers: u64,
    ) -> Result<Kdamond, DamonError> {
        let context = folder.join("contexts/0");
        let scheme = context.join("schemes/0");
        control::write(&folder.join("contexts/nr_contexts"), "1")?;
        check_operations(&context)?;
        control::write(&context.join("operations"), "paddr")?;
        control::write(&context.join("targets/nr_targets"), "1")?;
        control::write(&context.join("schemes/nr_schemes"), "1")?;
        set_attributes(&context.join("monitoring_attrs"))?;
        set_scheme(&scheme)?;
        let mut kdamond = Kdamond {
            state_path: folder.join("state"),
            state: ControlFile::to_write(&folder.join("state"))?,
            target_file: ControlFile::to_write(&scheme.join("target_nid"))?,
            action_file: ControlFile::to_write(&scheme.join("action"))?,
            thread: ControlFile::to_read(&folder.join("pid"))?,
            procfs: procfs.to_owned(),
            slots: Slots::new(context.join("targets/0/regions"), sharers),
            bound: Bound::Count,
            target: None,
            direction: Direction::Promotion,
            is_on: false,
            sleep_timeout: SLEEP_TIMEOUT,
        };
        kdamond.bound_passes(&context, &scheme)?;
        let pass_us = match wake {
            Wake::SwitchingOff => WOKEN_PASS_US,
            Wake::Clock => CLOCK_PASS_US,
        };
        set_intervals(&context, &scheme, pass_us)?;
        Ok(kdamond)
    }

    /// Where the next passes move pages to, and by which name.
    fn set_target(&mut self, target: NodeId, direction: Direction) -> Result<(), DamonError> {
        if self.direction != direction {
            self.action_file.write(action(direction))?;
            self.direction = direction;
        }
        if self.target != Some(target) {
            self.target_file.write(&target.to_string())?;
            self.target = Some(target);
        }
        Ok(())
    }

    /// Whether the kernel counts passes and makes no more than it is told, so that a worker may be woken
    /// by [`Wake::Clock`].
    pub(super) fn counts_passes(&self) -> bool {
        matches!(self.bound, Bound::Count)
    }

    /// Has it make one pass over these regions, to `target`: at some time until [`Kdamond::end`] returns.
    ///
    /// # Errors
    /// When DAMON refuses.
    pub(super) fn begin(&mut self, target: NodeId, direction: Direction) -> Result<(), DamonError> {
        self.set_target(target, direction)?;
        if let Bound::Quota(bytes) = &self.bound {
            bytes.write(&self.slots.bytes().to_string())?;
        }
        self.switch_on()
    }

    /// Tells it its regions, none of which is looked at before [`Kdamond::begin`].
    ///
    /// # Errors
    /// When DAMON refuses.
    pub(super) fn program(&mut self, regions: &[Range<u64>]) -> Result<(), DamonError> {
        // An earlier pass that was late may still go on.
        self.end()?;
        Ok(self.slots.program(regions)?)
    }

    /// Switches it off when it sleeps: it makes its pass, unless it has made it before. Nothing moves any
    /// more when this has returned.
    ///
    /// # Errors
    /// When DAMON refuses or does not get to its pass.
    pub(super) fn end(&mut self) -> Result<(), DamonError> {
        if self.is_on {
            self.wait_until_asleep()?;
            self.is_on = false;
            ownership::switch_off(&self.state_path)?;
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn set_state_file(&mut self, path: &Path) {
        self.state = ControlFile::to_write(path).unwrap();
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

    /// Waits until the worker's thread sleeps before its first pass, or has ended. Idle sleep, `I`, is
    /// what it does there and nowhere before.
    fn wait_until_asleep(&self) -> Result<(), DamonError> {
        let deadline = Instant::now() + self.sleep_timeout;
        loop {
            // The kernel says -1 of a worker that has ended.
            let Ok(thread) = self.thread.number() else {
                return Ok(());
            };
            match thread_state(&self.procfs, thread)? {
                Some('I') | None => return Ok(()),
                Some(_) if Instant::now() >= deadline => {
                    let timeout = self.sleep_timeout;
                    return Err(DamonError::Timeout { timeout });
                }
                Some(_) => thread::sleep(LOOK_PAUSE),
            }
        }
    }

    /// Has the kernel make one pass only, by what it knows.
    fn bound_passes(&mut self, context: &Path, scheme: &Path) -> Result<(), DamonError> {
        let count = scheme.join("stats/max_nr_snapshots");
        if count.exists() {
            return Ok(control::write(&count, "1")?);
        }
        let quota = scheme.join("quotas");
        control::write(&quota.join("bytes"), "1")?;
        control::write(&quota.join("reset_interval_ms"), &QUOTA_MS.to_string())?;
        self.bound = match self.quota_holds_at_once(context, scheme)? {
            false => Bound::LaterQuota,
            true => {
                let forever = QUOTA_FOREVER_MS.to_string();
                control::write(&quota.join("reset_interval_ms"), &forever)?;
                Bound::Quota(ControlFile::to_write(&quota.join("bytes"))?)
            }
        };
        Ok(())
    }

    /// Tries the quota of one byte on a region that has no memory: whether the first passes heed it.
    fn quota_holds_at_once(&mut self, context: &Path, scheme: &Path) -> Result<bool, DamonError> {
        set_intervals(context, scheme, CLOCK_PASS_US)?;
        self.slots.program(&[slots::unused(0)])?;
        self.switch_on()?;
        let tried = self.first_passes(&scheme.join("stats"));
        self.is_on = false;
        ownership::switch_off(&self.state_path)?;
        Ok(tried? == 0)
    }

    /// The bytes that were tried, once there was a pass.
    fn first_passes(&self, statistics: &Path) -> Result<u64, DamonError> {
        let deadline = Instant::now() + self.sleep_timeout;
        loop {
            self.state.write("update_schemes_stats")?;
            if sysfs_file::number(&statistics.join("nr_tried"))? > 0 {
                return Ok(sysfs_file::number(&statistics.join("sz_tried"))?);
            }
            if Instant::now() >= deadline {
                let timeout = self.sleep_timeout;
                return Err(DamonError::Timeout { timeout });
            }
            thread::sleep(LOOK_PAUSE);
        }
    }
}

fn set_intervals(context: &Path, scheme: &Path, pass_us: u64) -> Result<(), SysfsError> {
    let intervals = context.join("monitoring_attrs/intervals");
    // Twice, so that the first pass comes before the first summary.
    for (file, value) in [("sample_us", pass_us), ("aggr_us", 2 * pass_us)] {
        control::write(&intervals.join(file), &value.to_string())?;
    }
    control::write(&scheme.join("apply_interval_us"), &pass_us.to_string())
}

fn set_attributes(attributes: &Path) -> Result<(), SysfsError> {
    for (file, value) in [
        ("intervals/update_us", MARK_UPDATE_US),
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

/// The kernel's two actions do the same to a region; they differ in which comes first under a quota.
fn action(direction: Direction) -> &'static str {
    match direction {
        Direction::Promotion => "migrate_hot",
        Direction::Demotion => "migrate_cold",
    }
}

/// The scheme moves whatever is in the regions.
fn set_scheme(scheme: &Path) -> Result<(), DamonError> {
    let first = action(Direction::Promotion);
    control::write(&scheme.join("action"), first).map_err(unknown_action)?;
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
