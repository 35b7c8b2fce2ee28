// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! How soon a policy has done what it does.

use serde::Serialize;

use crate::tiers::{Counted, Series};

/// Into so many parts a run is divided, as far as it was looked at so often.
const PARTS: u64 = 100;
/// The state at the end is that of one part in so many of these.
const END_PARTS: usize = 5;
/// So much of the way from the beginning to the end must be gone.
const PART_OF_THE_WAY: f64 = 0.9;
/// With less between beginning and end there is no way to speak of.
const LEAST_WAY: f64 = 0.1;

/// The CXL memory's share of the lines filled in one part of a run; parts have about as many lines each.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Part {
    /// Lines filled from the beginning to the end of it.
    pub until_fills: u64,
    /// The share.
    pub cxl_share: f64,
}

/// What became of the CXL memory's share of the lines filled.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Steady {
    /// In the last fifth of all lines.
    pub(super) end_share: Option<f64>,
    /// Lines that were filled until the share had come nine tenths of the way from the first of it to the last; none
    /// where it fell by less than a tenth of all lines.
    pub(super) fills: Option<u64>,
    /// One after the other, a hundred at most.
    pub(super) parts: Vec<Part>,
}

pub(super) fn steady(series: &Series) -> Steady {
    let parts = parts(series);
    let last = &parts[parts.len() - parts.len() / END_PARTS..];
    let sum = |all: &[(u64, Counted)]| {
        all.iter()
            .fold(Counted::default(), |sum, (_, one)| sum.plus(*one))
    };
    let end_share = sum(last).cxl_share();
    let share = |part: &(u64, Counted)| part.1.cxl_share().unwrap_or(0.0);
    // Before the workload begins others have a little to do.
    let begin = parts
        .iter()
        .enumerate()
        .max_by(|(_, one), (_, other)| share(one).total_cmp(&share(other)));
    let fills = begin.zip(end_share).and_then(|((place, begin), end)| {
        let way = share(begin) - end;
        let goal = share(begin) - PART_OF_THE_WAY * way;
        let mut there = parts[place..].iter().filter(|part| share(part) <= goal);
        there
            .next()
            .filter(|_| way >= LEAST_WAY)
            .map(|(until, _)| *until)
    });
    let parts = parts.iter().filter_map(|(until_fills, counted)| {
        Some(Part {
            until_fills: *until_fills,
            cxl_share: counted.cxl_share()?,
        })
    });
    Steady {
        end_share,
        fills,
        parts: parts.collect(),
    }
}

/// What was counted in parts with about equally many lines filled, and how many lines were filled by the end of each.
fn parts(series: &Series) -> Vec<(u64, Counted)> {
    let least = fills(series.total().counted) / PARTS + 1;
    let (mut parts, mut gone, mut part) = (Vec::new(), 0_u64, Counted::default());
    for (_, counted) in series.intervals() {
        gone = gone.saturating_add(fills(counted));
        part = part.plus(counted);
        if fills(part) >= least {
            parts.push((gone, std::mem::take(&mut part)));
        }
    }
    parts
}

fn fills(counted: Counted) -> u64 {
    counted.cxl.reads.saturating_add(counted.other.reads)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiers::{Requests, Sample};

    /// Each step has so many lines from CXL memory of a hundred.
    fn series(steps: &[u64]) -> Series {
        let mut series = Series::default();
        let (mut at_ns, mut cxl, mut other) = (0, 0, 0);
        for step in steps {
            (at_ns, cxl, other) = (at_ns + 1, cxl + step, other + 100 - step);
            let requests = |reads| Requests { reads, writes: 0 };
            let counted = Counted {
                instructions: 0,
                cxl: requests(cxl),
                other: requests(other),
            };
            series.push(Sample { at_ns, counted });
        }
        series
    }

    #[test]
    fn the_way_is_from_the_beginning_to_the_last_fifth() {
        let steady = steady(&series(&[90, 90, 50, 20, 10, 10, 10, 10, 10, 10]));
        assert_eq!(steady.end_share, Some(0.1));
        // 0.9 - 0.9 * 0.8 is 0.18.
        assert_eq!(steady.fills, Some(500));
        let parts: Vec<_> = steady
            .parts
            .iter()
            .map(|part| (part.until_fills, part.cxl_share))
            .collect();
        assert_eq!(
            (parts.len(), parts[2], parts[9]),
            (10, (300, 0.5), (1000, 0.1))
        );
    }

    #[test]
    fn where_nothing_changes_there_is_no_way() {
        let same = steady(&series(&[90, 91, 89, 90, 85]));
        assert_eq!((same.end_share, same.fills), (Some(0.85), None));
        let worse = steady(&series(&[10, 90, 90, 90, 90]));
        assert_eq!(worse.fills, None);
        let begun = steady(&series(&[0, 90, 90, 10, 10]));
        assert_eq!((begun.end_share, begun.fills), (Some(0.1), Some(400)));
        let nothing = steady(&Series::default());
        assert_eq!((nothing.end_share, nothing.fills), (None, None));
    }
}
