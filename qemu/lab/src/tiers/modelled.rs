// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! How long hardware would take for what was counted.
//!
//! Instructions take [`INSTRUCTION_NS`] each, lines filled what their tier takes from a miss to its line, and lines
//! written back, which nobody waits for, the time for which they keep memory busy. Which misses depend on one another
//! nobody sees, so a time is a span: from [`MISSES_AT_ONCE`] at a time to one after the other. All processors' work
//! is one sum. The same counts always give the same times.

use serde::Serialize;

use super::counted::Counted;
use super::figures::Figures;

/// What an instruction takes that misses nothing: four in a nanosecond.
const INSTRUCTION_NS: f64 = 0.25;
/// Most misses that are under way together.
pub(super) const MISSES_AT_ONCE: f64 = 4.0;
/// A line of 64 bytes at 32 GB/s.
const WRITE_BACK_NS: f64 = 2.0;
/// One report has a page moved in near this time.
const MOVE_NS: f64 = 10_000.0;

/// From a time to a time, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Span {
    /// With as many misses at once as there are at most.
    pub least_ns: f64,
    /// With one miss after the other.
    pub most_ns: f64,
}

/// Modelled times.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Modelled {
    /// With every line where it was.
    pub as_it_was: Span,
    /// With all lines in memory at the processor.
    pub all_other: Span,
    /// With all lines in CXL memory, those of the guest's kernel too.
    pub all_cxl: Span,
    /// So many lines filled from other memory in place of CXL memory make up for a page that took 10 us to move: with
    /// one miss after the other, and with as many at once as there are at most. None where CXL memory is no slower.
    pub fills_of_a_move: Option<(f64, f64)>,
}

impl Modelled {
    /// What these counts take by these figures.
    pub fn of(counted: Counted, figures: &Figures) -> Modelled {
        let all = counted.cxl.reads.saturating_add(counted.other.reads);
        let span = |cxl_reads: u64| Span {
            least_ns: time_ns(counted, figures, cxl_reads, MISSES_AT_ONCE),
            most_ns: time_ns(counted, figures, cxl_reads, 1.0),
        };
        let won_ns = figures.cxl_ns - figures.other_ns;
        let fills = |at_once: f64| MOVE_NS * at_once / won_ns;
        Modelled {
            as_it_was: span(counted.cxl.reads),
            all_other: span(0),
            all_cxl: span(all),
            fills_of_a_move: (won_ns > 0.0).then(|| (fills(1.0), fills(MISSES_AT_ONCE))),
        }
    }
}

/// The time if so many of all lines came from CXL memory, with so many misses at once.
#[expect(clippy::cast_precision_loss)]
fn time_ns(counted: Counted, figures: &Figures, cxl_reads: u64, at_once: f64) -> f64 {
    let all = counted.cxl.reads.saturating_add(counted.other.reads);
    let writes = counted.cxl.writes.saturating_add(counted.other.writes);
    let other_reads = all.saturating_sub(cxl_reads);
    let waits = cxl_reads as f64 * figures.cxl_ns + other_reads as f64 * figures.other_ns;
    counted.instructions as f64 * INSTRUCTION_NS + waits / at_once + writes as f64 * WRITE_BACK_NS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tiers::counted::Requests;

    fn requests(reads: u64, writes: u64) -> Requests {
        Requests { reads, writes }
    }

    #[test]
    fn times_are_sums_of_what_was_counted() {
        let counted = Counted {
            instructions: 1000,
            cxl: requests(10, 5),
            other: requests(30, 1),
        };
        let modelled = Modelled::of(counted, &"100:200".parse().unwrap());
        let all = |waits: f64| Span {
            least_ns: 250.0 + waits / 4.0 + 12.0,
            most_ns: 250.0 + waits + 12.0,
        };
        assert_eq!(modelled.as_it_was, all(5000.0));
        assert_eq!(modelled.all_other, all(4000.0));
        assert_eq!(modelled.all_cxl, all(8000.0));
        assert_eq!(modelled.fills_of_a_move, Some((100.0, 400.0)));
    }

    proptest! {
        #[test]
        fn what_was_lies_between_all_here_and_all_there(
            instructions in 0..1_u64 << 50,
            cxl in (0..1_u64 << 40, 0..1_u64 << 40),
            other in (0..1_u64 << 40, 0..1_u64 << 40),
            times in (1..1000_u32, 1..1000_u32),
        ) {
            let counted = Counted {
                instructions,
                cxl: requests(cxl.0, cxl.1),
                other: requests(other.0, other.1),
            };
            let faster = f64::from(times.0.min(times.1));
            let figures = Figures { other_ns: faster, cxl_ns: faster + f64::from(times.0) };
            let modelled = Modelled::of(counted, &figures);
            for of in [|span: Span| span.least_ns, |span: Span| span.most_ns] {
                prop_assert!(of(modelled.all_other) <= of(modelled.as_it_was));
                prop_assert!(of(modelled.as_it_was) <= of(modelled.all_cxl));
            }
            prop_assert!(modelled.as_it_was.least_ns <= modelled.as_it_was.most_ns);
        }
    }
}
