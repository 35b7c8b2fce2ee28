// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Pages that come to lie in the frames that promoted pages have left: nothing may move them.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use chmu_promotion::Route;
use chmu_spec::address::Pfn;
use serde::Serialize;

use super::actuator::Mover;
use super::pages::Pages;

/// How often frames are filled anew.
const ROUNDS: u64 = 5;
/// No machine of the bench has more processors.
const MASK_BITS: usize = 1024;
/// A worker that makes a second pass has made it by then.
const PATIENCE: Duration = Duration::from_millis(400);

/// What became of pages in frames that others had left.
#[derive(Debug, Default, Serialize)]
pub(super) struct Strangers {
    /// Frames that were left and filled by other pages.
    frames_reused: usize,
    /// Of these pages, how many have moved.
    pub(super) moved: usize,
}

impl fmt::Display for Strangers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} frames that promoted pages had left were used again, {} of these pages moved",
            self.frames_reused, self.moved
        )
    }
}

/// Promotes pages, puts others into their frames at once, and looks where those are later.
pub(super) fn check(mover: &mut Mover, count: u64, route: Route) -> Result<Strangers> {
    let mut strangers = Strangers::default();
    for number in 0..ROUNDS {
        let pages = Pages::fill(count, route)?;
        let batch = pages.batch(number)?;
        mover.promote(&batch)?;
        // Frames that were freed wait with the processor that freed them.
        let mut others = Vec::new();
        for processor in 0..processors()? {
            run_on(Some(processor))?;
            others.push(Pages::fill(count, route)?);
        }
        run_on(None)?;
        let left: BTreeSet<_> = batch.heads().into_iter().collect();
        let before = frames(&others)?;
        thread::sleep(PATIENCE);
        let after = frames(&others)?;
        let reused = before
            .iter()
            .zip(&after)
            .filter(|(was, _)| left.contains(was));
        for (was, is) in reused {
            strangers.frames_reused += 1;
            strangers.moved += usize::from(was != is);
        }
    }
    Ok(strangers)
}

fn frames(pages: &[Pages]) -> Result<Vec<Pfn>> {
    let mut frames = Vec::new();
    for pages in pages {
        frames.extend(pages.batch(0)?.heads());
    }
    Ok(frames)
}

fn processors() -> Result<usize> {
    // SAFETY: the call has only numbers to look at.
    let count = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
    Ok(usize::try_from(count)?.min(MASK_BITS))
}

/// Has this thread run on one processor only, or on any.
fn run_on(processor: Option<usize>) -> io::Result<()> {
    let mut mask = [0_u64; MASK_BITS / 64];
    match processor {
        Some(processor) => mask[processor / 64] = 1 << (processor % 64),
        None => mask.fill(u64::MAX),
    }
    // SAFETY: the kernel reads as many bytes of `mask` as it is told it has.
    let result = unsafe { libc::sched_setaffinity(0, size_of_val(&mask), mask.as_ptr().cast()) };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
