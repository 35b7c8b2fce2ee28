// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Traffic in terms of units.

use std::ops::Range;

use chmu_spec::address::{Dpa, UnitIndex};
use chmu_spec::hotlist::Entry;
use chmu_spec::unit_size::UnitSize;

use super::Bench;
use super::setup::Setup;
use crate::outcome::{Stop, skip, skip_until};
use crate::subject::{Request, Traffic};

/// Requests of one unit go to one cache line after the other.
const LINE_BYTES: u64 = 64;
/// No case makes more requests at once: 96 MiB of this process's memory.
const REQUESTS_MAX: u64 = 4 << 20;

impl Bench<'_> {
    fn traffic(&mut self) -> Result<&mut dyn Traffic, Stop> {
        let path = self.subject.path();
        match self.subject.traffic() {
            Some(traffic) => Ok(traffic),
            None => skip_until(
                format!("the {path} path has no traffic source"),
                "have the device's memory online on nodes of its own, or name an --access-socket",
            ),
        }
    }

    /// Skips the case unless each request reaches the device exactly once and nothing else does.
    pub fn need_exact_traffic(&mut self) -> Result<(), Stop> {
        match self.traffic()?.is_exact() {
            true => Ok(()),
            false => skip_until(
                "the traffic source is not exact",
                "--exact-traffic, on an emulator that reports each access once",
            ),
        }
    }

    /// Device physical addresses that traffic reaches; skips the case where there are none.
    pub fn reachable(&mut self, tee: bool) -> Result<Vec<Range<Dpa>>, Stop> {
        let ranges = self.traffic()?.reachable(tee).to_vec();
        match (ranges.is_empty(), tee) {
            (false, _) => Ok(ranges),
            (true, true) => skip_until(
                "the traffic source has no TEE requests",
                "--transport in-process, which alone makes them",
            ),
            (true, false) => skip_until(
                "the traffic source reaches nothing of the device's memory",
                "have the device's memory online on nodes of its own",
            ),
        }
    }

    /// `count` different units that traffic reaches, ascending; skips the case where there are not
    /// as many.
    pub fn units(&mut self, unit_size: UnitSize, count: usize) -> Result<Vec<UnitIndex>, Stop> {
        let mut units: Vec<UnitIndex> = Vec::with_capacity(count);
        for range in self.reachable(false)? {
            let mut start = range.start;
            while start < range.end && units.len() < count {
                let unit = unit_size.index_of(start);
                if units.last() != Some(&unit) {
                    units.push(unit);
                }
                start = Dpa((unit.0 + 1).saturating_mul(unit_size.bytes()));
            }
        }
        if units.len() < count {
            return skip(format!(
                "traffic reaches {} units, {count} are needed",
                units.len()
            ));
        }
        Ok(units)
    }

    /// Skips the case where it would make more requests at once than this process has memory for.
    pub fn need_requests(&self, count: u64) -> Result<(), Stop> {
        match count <= REQUESTS_MAX {
            true => Ok(()),
            false => skip(format!(
                "it takes {count} requests at once, and no case makes more than {REQUESTS_MAX}"
            )),
        }
    }

    /// Performs requests as they are, all of them in one epoch of every instance that counts.
    pub fn perform(&mut self, requests: &[Request]) -> Result<(), Stop> {
        self.wait_for_good_moment()?;
        let before = self.now();
        self.traffic()?.perform(requests).map_err(Stop::Broken)?;
        self.note_traffic(before)
    }

    /// Accesses each unit as often as it says, by requests that the configuration tracks.
    pub fn touch(&mut self, setup: &Setup, touches: &[(UnitIndex, u64)]) -> Result<(), Stop> {
        let count = touches
            .iter()
            .fold(0_u64, |sum, (_, times)| sum.saturating_add(*times));
        self.need_requests(count)?;
        let reachable = self.reachable(false)?;
        let mut requests = Vec::new();
        for (unit, times) in touches {
            let part = reachable_part(&reachable, setup.unit_size, *unit)?;
            let lines = ((part.end.0 - part.start.0) / LINE_BYTES).max(1);
            requests.extend((0..*times).map(|number| Request {
                dpa: Dpa(part.start.0 + number % lines * LINE_BYTES),
                kind: setup.tracked_kind(),
                tee: false,
            }));
        }
        self.perform(&requests)
    }

    /// Starts, accesses units, lets the epoch end and drains: what an instance makes of an access
    /// pattern.
    pub fn observe(
        &mut self,
        setup: &Setup,
        touches: &[(UnitIndex, u64)],
    ) -> Result<Vec<Entry>, Stop> {
        self.start(setup)?;
        self.touch(setup, touches)?;
        self.end_epoch(setup)?;
        self.drain()
    }
}

/// The first piece of a unit that traffic reaches.
fn reachable_part(
    reachable: &[Range<Dpa>],
    unit_size: UnitSize,
    unit: UnitIndex,
) -> Result<Range<Dpa>, Stop> {
    let start = Dpa(unit.0.saturating_mul(unit_size.bytes()));
    let end = Dpa(start.0.saturating_add(unit_size.bytes()));
    let piece = reachable
        .iter()
        .map(|range| range.start.max(start)..range.end.min(end))
        .find(|piece| piece.start < piece.end);
    match piece {
        Some(piece) => Ok(piece),
        None => skip(format!("traffic does not reach unit {unit} of {unit_size}")),
    }
}
