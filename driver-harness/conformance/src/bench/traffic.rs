// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Traffic in terms of units.

use std::collections::BTreeSet;
use std::ops::Range;

use chmu_spec::address::{Dpa, UnitIndex};
use chmu_spec::chmu::RANGE_BYTES;
use chmu_spec::hotlist::Entry;
use chmu_spec::unit_size::UnitSize;

use super::Bench;
use super::setup::Setup;
use crate::outcome::{Stop, skip, skip_until};
use crate::subject::{Request, Traffic};

/// Requests of one unit go to one cache line after the other.
const LINE_BYTES: u64 = 64;
/// No case makes more requests in an epoch: what a slow path makes in a few seconds.
const REQUESTS_MAX: u64 = 1 << 20;
/// What is remembered of a place that a case accessed; no unit is smaller.
pub(super) const PIECE_BYTES: u64 = 256;
/// Requests that are held in memory at once.
const REQUESTS_AT_ONCE: usize = 1 << 16;

/// Ranges that belong to this process, at least in part.
#[derive(Debug)]
pub(super) struct OwnRanges(Option<BTreeSet<u64>>);

impl OwnRanges {
    /// The bits of a word of the range bitmap.
    pub(super) fn word(&self, index: u64) -> u64 {
        let Some(bits) = &self.0 else {
            return u64::MAX;
        };
        let first = index.saturating_mul(64);
        bits.range(first..first.saturating_add(64))
            .fold(0, |word, bit| word | 1 << (bit - first))
    }
}

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
                "--transport in-process, or socket and --tee-window",
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

    /// Performs requests so that each counts once, all of them in one epoch of every instance that
    /// counts.
    pub fn perform(&mut self, setup: &Setup, requests: &[Request]) -> Result<(), Stop> {
        let factor = usize::try_from(setup.factor()).unwrap_or(usize::MAX);
        let count = requests.len().saturating_mul(factor) as u64;
        let tracked = requests
            .iter()
            .filter(|request| setup.filter.tracks(request.kind, request.tee));
        let counts = tracked.map(|request| (setup.unit_size.index_of(request.dpa), 1));
        self.note_awaited(setup, counts)?;
        let all = requests
            .iter()
            .flat_map(|request| std::iter::repeat_n(*request, factor));
        self.make(count, all)
    }

    /// Performs requests as they are, whatever the down-sampling makes of them.
    pub fn perform_raw(&mut self, requests: &[Request]) -> Result<(), Stop> {
        self.make(requests.len() as u64, requests.iter().copied())
    }

    fn make(
        &mut self,
        count: u64,
        mut requests: impl Iterator<Item = Request>,
    ) -> Result<(), Stop> {
        self.need_requests(count)?;
        self.wait_for_good_moment()?;
        let exact = self.is_exact();
        let before = self.now();
        let mut piece: Vec<Request> = Vec::new();
        loop {
            piece.clear();
            piece.extend(requests.by_ref().take(REQUESTS_AT_ONCE));
            if piece.is_empty() {
                break;
            }
            if !exact {
                self.touched
                    .extend(piece.iter().map(|one| one.dpa.0 / PIECE_BYTES));
            }
            self.traffic()?.perform(&piece).map_err(Stop::Broken)?;
        }
        self.note_traffic(before)
    }

    /// Accesses each unit as often as it says, by requests that the configuration tracks and that
    /// count once each.
    pub fn touch(&mut self, setup: &Setup, touches: &[(UnitIndex, u64)]) -> Result<(), Stop> {
        let reachable = self.reachable(false)?;
        let mut parts = Vec::with_capacity(touches.len());
        let mut count: u64 = 0;
        for (unit, times) in touches {
            let part = reachable_part(&reachable, setup.unit_size, *unit)?;
            let times = times.saturating_mul(setup.factor());
            count = count.saturating_add(times);
            parts.push((part, times));
        }
        let kind = setup.tracked_kind();
        let requests = parts.into_iter().flat_map(|(part, times)| {
            let lines = ((part.end.0 - part.start.0) / LINE_BYTES).max(1);
            (0..times).map(move |number| Request {
                dpa: Dpa(part.start.0 + number % lines * LINE_BYTES),
                kind,
                tee: false,
            })
        });
        self.note_awaited(setup, touches.iter().copied())?;
        self.make(count, requests)
    }

    /// Takes note of requests that count, of which the end of the epoch lists the hot units.
    fn note_awaited(
        &mut self,
        setup: &Setup,
        counts: impl IntoIterator<Item = (UnitIndex, u64)>,
    ) -> Result<(), Stop> {
        if self.subject.has_manual_clock() {
            return Ok(());
        }
        let place = self.under_test;
        let tail = self.tail()?;
        if let Some(running) = self.running.iter_mut().find(|one| one.place == place) {
            running.awaited.hot = setup.hot();
            running.awaited.from.get_or_insert(tail);
            for (unit, count) in counts {
                *running.awaited.counts.entry(unit).or_default() += count;
            }
        }
        Ok(())
    }

    /// The first line of a unit that traffic reaches.
    pub fn first_line(&mut self, unit_size: UnitSize, unit: UnitIndex) -> Result<Dpa, Stop> {
        let reachable = self.reachable(false)?;
        Ok(reachable_part(&reachable, unit_size, unit)?.start)
    }

    /// The bits of ranges that traffic reaches; all where nobody else accesses the memory.
    pub(super) fn own_ranges(&mut self) -> Result<OwnRanges, Stop> {
        if self.is_exact() {
            return Ok(OwnRanges(None));
        }
        let mut bits = BTreeSet::new();
        for range in self.reachable(false)? {
            let last = range.end.0.saturating_sub(1) / RANGE_BYTES;
            bits.extend(range.start.0 / RANGE_BYTES..=last);
        }
        Ok(OwnRanges(Some(bits)))
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

impl Bench<'_> {
    /// As [`Bench::observe`], for a look at the entries of all units, whoever touched them.
    pub fn observe_all<T>(
        &mut self,
        setup: &Setup,
        touches: &[(UnitIndex, u64)],
        look: impl FnOnce(&[Entry]) -> Result<T, Stop>,
    ) -> Result<T, Stop> {
        self.start(setup)?;
        self.touch(setup, touches)?;
        self.end_epoch(setup)?;
        look(&self.peek_all()?)
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
