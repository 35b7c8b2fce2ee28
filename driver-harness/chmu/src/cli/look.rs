// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What can be told of units that somebody else uses, without touching them.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use chmu::program;
use chmu_driver::device::ownership::OwnershipError;
use chmu_driver::device::{Selection, Unit, UnitError, open_units};
use chmu_machine::stop::StopFlag;
use chmu_machine::words;
use chmu_spec::epoch::EpochScale;
use chmu_spec::hotlist::occupancy;
use serde::Serialize;

/// Between two looks at the units.
const PERIOD: Duration = Duration::from_secs(1);

/// A unit that somebody else uses, at one moment.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct InUse<'a> {
    unit: &'a str,
    /// It counts now.
    counts: bool,
    /// Accesses in an epoch that make a unit of memory hot.
    threshold: u32,
    /// Length of an epoch; none where the register holds a reserved code.
    epoch_ns: Option<u64>,
    /// Entries in the list that its owner has not read yet.
    waiting_entries: u16,
    hotlist_entries: u16,
    /// Hot units were lost, and its owner has not taken note yet.
    overflow: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Line<'a> {
    InUse(InUse<'a>),
}

impl fmt::Display for InUse<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let does = match self.counts {
            true => "counts",
            false => "does not count",
        };
        let accesses = words::count(self.threshold.into(), "access", "accesses");
        write!(f, "{} {does}, hot from {accesses} on", self.unit)?;
        if let Some(epoch_ns) = self.epoch_ns {
            let epoch = words::granted_epoch(epoch_ns, epoch_ns);
            write!(f, " in an epoch of {epoch}")?;
        }
        let (waiting, entries) = (self.waiting_entries, self.hotlist_entries);
        write!(f, "; {waiting} of {entries} entries wait to be read")?;
        if self.overflow {
            f.write_str("; it has overflowed")?;
        }
        Ok(())
    }
}

impl InUse<'_> {
    fn look(unit: &Unit) -> Result<InUse<'_>, UnitError> {
        let configuration = unit.configuration()?;
        let state = unit.state()?;
        let second = configuration.second;
        let scale = EpochScale::from_code(second.epoch_scale());
        let hotlist_entries = unit.capabilities().hotlist_entries;
        let is_index = |index: u16| index < hotlist_entries;
        let waiting_entries = match is_index(state.head) && is_index(state.tail) {
            true => occupancy(state.head, state.tail, hotlist_entries),
            false => 0,
        };
        Ok(InUse {
            unit: unit.name(),
            counts: state.status.enabled(),
            threshold: configuration.first.hotness_threshold(),
            epoch_ns: scale.map(|scale| scale.nanoseconds() * u64::from(second.epoch_multiplier())),
            waiting_entries,
            hotlist_entries,
            overflow: state.status.overflow(),
        })
    }
}

/// Prints how the units are, once in each [`PERIOD`], until `stop` is raised or `end` has passed.
pub(super) fn run(
    owned: &OwnershipError,
    selection: &Selection,
    is_json: bool,
    end: Duration,
    stop: &StopFlag,
) -> Result<ExitCode> {
    log::warn!("{owned}; its hotlist stays its owner's, and only its state is shown");
    let units = open_units(Path::new("/sys"), selection)?;
    let start = Instant::now();
    loop {
        for (_, unit) in &units {
            let seen = InUse::look(unit)?;
            match is_json {
                true => {
                    let line = serde_json::to_string(&Line::InUse(seen));
                    program::print(line.map_err(io::Error::other)?)?;
                }
                false => program::print(&seen)?,
            }
        }
        let left = end.saturating_sub(start.elapsed());
        if left.is_zero() || stop.sleep(PERIOD.min(left)) {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_of_somebody_else_is_told_in_a_line() {
        let mut seen = InUse {
            unit: "cxl_hmu_mem0.0.0",
            counts: true,
            threshold: 32,
            epoch_ns: Some(100_000_000),
            waiting_entries: 3,
            hotlist_entries: 1024,
            overflow: false,
        };
        assert_eq!(
            seen.to_string(),
            "cxl_hmu_mem0.0.0 counts, hot from 32 accesses on in an epoch of 100ms; \
             3 of 1024 entries wait to be read"
        );
        let json = serde_json::to_value(Line::InUse(InUse { ..seen })).unwrap();
        assert_eq!(json["in_use"]["waiting_entries"], 3);
        (seen.counts, seen.overflow, seen.epoch_ns) = (false, true, None);
        assert_eq!(
            seen.to_string(),
            "cxl_hmu_mem0.0.0 does not count, hot from 32 accesses on; \
             3 of 1024 entries wait to be read; it has overflowed"
        );
    }
}
