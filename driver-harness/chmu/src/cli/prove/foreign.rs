// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A program that says nothing of itself, and what a device counted of it.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use chmu_machine::words;
use chmu_proof::observation::{Observation, ObservedNode, Rates};
use clap::CommandFactory;
use clap::error::ErrorKind;

use crate::cli::{Arguments, values};

/// An observer looks several times a second.
const LOOK_TIME: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Options {
    /// A running program that has no truth of its own; needs --observed.
    #[arg(long, value_name = "PROCESS")]
    pid: Option<u32>,
    /// What chmu observe wrote of that program, or still writes.
    #[arg(long, value_name = "FILE", requires = "pid")]
    observed: Option<PathBuf>,
    /// Only its pages at these addresses, in hexadecimal as in /proc/PID/maps.
    #[arg(long, value_name = "START-END", value_parser = values::addresses, requires = "pid")]
    range: Option<Range<u64>>,
    /// Accesses a second, as the device saw them, from which on a page that was observed is hot.
    #[arg(long, value_name = "RATE", default_value_t = 200)]
    hot_from: u64,
    /// Accesses a second below which a page that was observed is cold; what lies between is neither.
    #[arg(long, value_name = "RATE", default_value_t = 50)]
    cold_below: u64,
    /// The greatest part of the moved pages that may be neither.
    #[arg(long, value_name = "PART", value_parser = values::part, default_value = "0.05")]
    pub(super) maximum_unclear: f64,
}

impl Options {
    /// What was observed, and in a sentence how; none when no program is named.
    pub(super) fn observed(&self) -> anyhow::Result<Option<(Vec<ObservedNode>, String)>> {
        let Some(process_id) = self.pid else {
            return Ok(None);
        };
        let refused =
            |message: &str| Arguments::command().error(ErrorKind::ArgumentConflict, message);
        let Some(path) = &self.observed else {
            return Err(refused(
                "A foreign program has no truth of its own: give --observed with what chmu observe wrote. \
                 That takes the exact counts of an emulated device; silicon has none, and there nothing of \
                 a foreign program can be proved exactly",
            )
            .into());
        };
        if self.cold_below == 0 || self.cold_below > self.hot_from {
            return Err(refused("--cold-below is at least 1, and at most --hot-from").into());
        }
        let observation = Observation::of_running(path, process_id, LOOK_TIME)?;
        let rates = Rates {
            hot_from: self.hot_from,
            cold_below: self.cold_below,
        };
        let addresses = self.range.clone().unwrap_or(0..u64::MAX);
        let nodes = observation.by_node(&addresses, rates);
        ensure!(
            !nodes.is_empty(),
            "{} names no page of process {process_id} {}",
            path.display(),
            match self.range {
                Some(_) => "in that range",
                None => "in memory whose accesses a device counts",
            }
        );
        Ok(Some((nodes, self.told(&observation))))
    }

    fn told(&self, observation: &Observation) -> String {
        let exact = match observation.missing() {
            Some(0) => "exact".to_owned(),
            Some(missing) => format!(
                "but for {}",
                words::count(missing, "lost access", "lost accesses")
            ),
            None => "with gaps, so that no page is surely cold".to_owned(),
        };
        format!(
            "an emulated device's counts by page, which no real device has, {exact}: {} of process {}, hot \
             from {} accesses a second on, cold below {}",
            words::span(observation.time_ns()),
            observation.process_id,
            self.hot_from,
            self.cold_below
        )
    }
}
