// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! How often a unit is accessed so that it is hot, or cold, whatever else happens on the machine.
//!
//! Exact traffic counts to the request. Otherwise a prefetcher may add requests to a unit and other
//! programs make units of their own hot: what a case looks at are then the units that it touched,
//! and what it asks for has a margin.

use chmu_spec::address::UnitIndex;
use chmu_spec::hotlist::Entry;
use chmu_spec::unit_size::UnitSize;

use super::Bench;
use super::setup::Setup;
use crate::outcome::{Stop, expect, expect_equal, skip};

/// The threshold of cases about cold units, where the counter allows it: with exact traffic, and
/// without.
const THRESHOLDS: [u64; 2] = [4, 60];
/// What an unexact request may be counted as, at most, and how many requests may come on top.
const MOST_PER_REQUEST: u64 = 16;
const MOST_MORE: u64 = 64;

/// A threshold, and accesses of one epoch that are too few and enough for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dose {
    /// The hotness threshold.
    pub threshold: u32,
    /// So many accesses leave a unit cold, also when a processor makes some more of them.
    pub cold: u64,
    /// So many accesses make it hot, and once only in always-on mode with exact traffic.
    pub hot: u64,
    /// How many cold doses together are a hot one.
    pub parts: u32,
}

impl Bench<'_> {
    /// Whether each request reaches the device exactly once and nothing else does.
    pub fn is_exact(&mut self) -> bool {
        self.subject.traffic().is_none_or(|one| one.is_exact())
    }

    /// A dose for the counters of a configuration; skips the case where they are too narrow to tell
    /// cold from hot.
    pub fn dose(&mut self, setup: &Setup) -> Result<Dose, Stop> {
        let exact = self.is_exact();
        // A count must reach the threshold or pass it.
        let most = setup.largest_count.saturating_sub(1);
        let threshold = THRESHOLDS[usize::from(!exact)].min(most);
        // Without exactness, four times as many requests must still leave a unit cold.
        let least = if exact { 2 } else { 12 };
        if threshold < least {
            return skip(format!(
                "a count of {} at most tells no cold unit from a hot one",
                setup.largest_count
            ));
        }
        let cold = if exact { threshold - 1 } else { threshold / 5 };
        let hot = if exact { threshold + 1 } else { threshold * 2 };
        Ok(Dose {
            threshold: u32::try_from(threshold).unwrap_or(u32::MAX),
            cold,
            hot,
            parts: u32::try_from(threshold / cold + 1).unwrap_or(u32::MAX),
        })
    }

    /// The width of the counters for units of a size, as the status tells it; 32 where it tells
    /// nothing that makes sense, which is a case of its own.
    pub(super) fn counter_width(&mut self, unit_size: UnitSize) -> Result<u8, Stop> {
        let key = (self.under_test.start, unit_size);
        if let Some((_, width)) = self.widths.iter().find(|(known, _)| *known == key) {
            return Ok(*width);
        }
        let register = chmu_spec::chmu::offset::CONFIGURATION_1;
        let is_enabled = self.status()?.enabled();
        let before = self.register(register)?;
        if !is_enabled {
            let configuration = chmu_spec::chmu::Configuration1::from(before)
                .with_unit_size_log2(unit_size.log2_bytes().into());
            self.set_register(register, configuration.into())?;
        }
        let width = match self.status()?.counter_width() {
            width @ 1..=56 => width,
            _ => 32,
        };
        if !is_enabled {
            self.set_register(register, before)?;
            self.widths.push((key, width));
        }
        Ok(width)
    }

    /// Demands that entries have the units of `touches`, and counts that these make.
    pub fn expect_counts(
        &mut self,
        what: impl Into<String>,
        setup: &Setup,
        entries: &[Entry],
        touches: &[(UnitIndex, u64)],
    ) -> Result<(), Stop> {
        let what = what.into();
        let saturated = |count: u64| count.min(setup.largest_count);
        let mut expected: Vec<_> = touches
            .iter()
            .map(|(unit, count)| (*unit, saturated(*count)))
            .collect();
        let mut seen: Vec<_> = entries
            .iter()
            .map(|entry| (entry.unit, entry.count))
            .collect();
        expected.sort();
        seen.sort();
        if self.is_exact() {
            return expect_equal(what, seen, expected);
        }
        let units = |pairs: &[(UnitIndex, u64)]| pairs.iter().map(|(unit, _)| *unit).collect();
        let seen_units: Vec<_> = units(&seen);
        expect_equal(format!("{what}, units"), seen_units, units(&expected))?;
        for ((unit, count), (_, least)) in seen.into_iter().zip(expected) {
            let most = saturated(least.saturating_mul(MOST_PER_REQUEST) + MOST_MORE);
            expect(
                (least..=most).contains(&count),
                format!("{what}, count of unit {unit}"),
                count.to_string(),
                format!("{least} or somewhat more"),
            )?;
        }
        Ok(())
    }
}
