// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the lab's own parts cost, each against a floor of the same run and a target.

mod engine;
mod measurement;
mod page;
mod plugin;
mod programs;

use std::fmt;

use anyhow::Result;
use chmu_machine::words;
use serde::Serialize;

pub use measurement::{Measurement, Target};
pub use programs::BenchPrograms;

use crate::machine::Software;
use crate::progress::Progress;

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// QEMU's plugin: processor time of QEMU for the same work, by what looks at accesses.
    Plugin,
    /// The promotion engine in a guest: batches by DAMON against one call of `move_pages`.
    Engine,
}

impl Subject {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Plugin, Self::Engine];
}

/// What came of a bench.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// Version of this form.
    pub v: u32,
    /// The guest's kernel.
    pub kernel: String,
    /// How often each was measured.
    pub rounds: u32,
    /// Processes that wanted to run on this machine before and after, on average over a minute: figures of a busy one
    /// are those of another machine.
    pub load: [f64; 2],
    /// In the order of the subjects.
    pub measurements: Vec<Measurement>,
}

/// The form of [`Measured`].
const VERSION: u32 = 1;

/// Measures subjects, each in so many rounds; the software has the programs' guest file.
///
/// # Errors
/// When a guest does not boot, or the user stops the lab.
pub fn measure(
    subjects: &[Subject],
    rounds: u32,
    (software, programs): (&Software, &BenchPrograms),
    progress: &Progress,
) -> Result<Measured> {
    let before = load();
    let (mut kernel, mut measurements) = (String::new(), Vec::new());
    for subject in subjects {
        let (release, more) = match subject {
            Subject::Plugin => plugin::measure(rounds, (software, programs), progress)?,
            Subject::Engine => engine::measure(rounds, software, progress)?,
        };
        kernel = release;
        measurements.extend(more);
    }
    Ok(Measured {
        v: VERSION,
        kernel,
        rounds,
        load: [before, load()],
        measurements,
    })
}

/// Nothing where the kernel does not tell.
fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = text.split(' ').next().and_then(|word| word.parse().ok());
    load.unwrap_or_default()
}

/// A line for each measurement.
impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        measurement::write_table(f, &self.measurements)?;
        let [before, after] = self.load;
        writeln!(
            f,
            "Linux {} in the guest; the middle of {}, with the least and the most; load {before:.1} before, \
             {after:.1} after.",
            self.kernel,
            words::count(self.rounds.into(), "round", "rounds")
        )
    }
}
