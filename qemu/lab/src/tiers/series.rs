// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Counts over time.

use std::fmt::Write;

use serde::Serialize;

use super::counted::Counted;

/// More samples than this are thinned out.
const SAMPLES_MAX: usize = 4096;

/// What was counted from the beginning to a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// The host's time since the beginning, in nanoseconds.
    pub at_ns: u64,
    /// All until then.
    #[serde(flatten)]
    pub counted: Counted,
}

/// Samples of a run, bounded: where it is long they lie further apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// In the order of time.
    samples: Vec<Sample>,
    /// One of so many is kept,
    stride: u64,
    /// of so many so far.
    pushed: u64,
    last: Option<Sample>,
}

impl Default for Series {
    fn default() -> Self {
        Self {
            samples: Vec::new(),
            stride: 1,
            pushed: 0,
            last: None,
        }
    }
}

impl Series {
    /// Adds a sample that is later than all others.
    pub fn push(&mut self, sample: Sample) {
        if self.samples.len() >= SAMPLES_MAX {
            self.samples = self.samples.iter().copied().step_by(2).collect();
            self.stride *= 2;
        }
        if self.pushed.is_multiple_of(self.stride) {
            self.samples.push(sample);
        }
        self.pushed += 1;
        self.last = Some(sample);
    }

    /// All that was counted, and the time of the last sample.
    pub fn total(&self) -> Sample {
        let nothing = Sample {
            at_ns: 0,
            counted: Counted::default(),
        };
        self.last.unwrap_or(nothing)
    }

    /// Those that are kept, the last among them.
    pub fn samples(&self) -> impl Iterator<Item = Sample> {
        let kept = self.samples.iter().copied();
        let last = self.samples.last().copied();
        kept.chain(self.last.filter(|rest| Some(*rest) != last))
    }

    /// What was counted between samples: when each time ended, and what came in it.
    pub(crate) fn intervals(&self) -> impl Iterator<Item = (u64, Counted)> {
        let mut before = Counted::default();
        self.samples().map(move |sample| {
            let counted = sample.counted.since(before);
            before = sample.counted;
            (sample.at_ns, counted)
        })
    }

    /// The CXL memory's share of all lines filled in each of `parts` equal parts of the time; none where nothing was
    /// filled in a part.
    pub fn shares(&self, parts: usize) -> Vec<Option<f64>> {
        let mut of_parts = vec![Counted::default(); parts];
        let end_ns = self.total().at_ns.max(1);
        let parts = parts as u128;
        for (at_ns, counted) in self.intervals() {
            let place = (u128::from(at_ns) * parts).div_ceil(u128::from(end_ns));
            let place = usize::try_from(place.saturating_sub(1)).unwrap_or(0);
            if let Some(part) = of_parts.get_mut(place) {
                part.cxl = part.cxl.plus(counted.cxl);
                part.other = part.other.plus(counted.other);
            }
        }
        of_parts.into_iter().map(Counted::cxl_share).collect()
    }

    /// As a table for other programs: a line for each time between two samples.
    pub fn csv(&self) -> String {
        let mut text =
            "until_ns,instructions,cxl_reads,cxl_writes,other_reads,other_writes\n".to_owned();
        for (at_ns, counted) in self.intervals() {
            let Counted {
                instructions,
                cxl,
                other,
            } = counted;
            let _ = writeln!(
                text,
                "{at_ns},{instructions},{},{},{},{}",
                cxl.reads, cxl.writes, other.reads, other.writes
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tiers::counted::Requests;

    fn sample(at_ns: u64, cxl: u64, other: u64) -> Sample {
        let requests = |reads| Requests {
            reads,
            writes: reads / 2,
        };
        Sample {
            at_ns,
            counted: Counted {
                instructions: at_ns * 3,
                cxl: requests(cxl),
                other: requests(other),
            },
        }
    }

    fn series(samples: impl IntoIterator<Item = Sample>) -> Series {
        let mut series = Series::default();
        samples.into_iter().for_each(|sample| series.push(sample));
        series
    }

    #[test]
    fn shares_are_those_of_their_time() {
        let series = series([
            sample(1, 10, 0),
            sample(2, 20, 10),
            sample(3, 20, 30),
            sample(4, 20, 30),
        ]);
        let shares = series.shares(4);
        assert_eq!(shares, [Some(1.0), Some(0.5), Some(0.0), None]);
        assert_eq!(series.shares(2), [Some(20.0 / 30.0), Some(0.0)]);
        assert_eq!(Series::default().shares(2), [None, None]);
        assert_eq!(
            series.csv(),
            "until_ns,instructions,cxl_reads,cxl_writes,other_reads,other_writes\n\
             1,3,10,5,0,0\n2,3,10,5,10,5\n3,3,0,0,20,10\n4,3,0,0,0,0\n"
        );
    }

    proptest! {
        #[test]
        fn however_many_samples_come_nothing_is_lost(steps in proptest::collection::vec((0..9_u64, 0..9_u64), 1..12_000)) {
            let (mut at, mut cxl, mut other) = (0, 0, 0);
            let samples: Vec<_> = steps.iter().map(|(of_cxl, of_other)| {
                (at, cxl, other) = (at + 1, cxl + of_cxl, other + of_other);
                sample(at, cxl, other)
            }).collect();
            let series = series(samples.iter().copied());
            prop_assert_eq!(Some(&series.total()), samples.last());
            prop_assert!(series.samples.len() <= SAMPLES_MAX);
            prop_assert!(series.samples.len() * 2 + 2 >= samples.len().min(SAMPLES_MAX));
            let sum = series.intervals().fold((0, 0), |sum, (_, counted)| {
                (sum.0 + counted.cxl.reads, sum.1 + counted.other.reads)
            });
            prop_assert_eq!(sum, (cxl, other));
            prop_assert!(series.intervals().zip(series.intervals().skip(1)).all(|(one, next)| one.0 < next.0));
            prop_assert_eq!(series.csv().lines().count(), series.intervals().count() + 1);
        }
    }
}
