// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What is said of a run.

use std::fmt;

use chmu_machine::words::grouped;
use serde::Serialize;

use super::counted::Counted;
use super::figures::Figures;
use super::modelled::{MISSES_AT_ONCE, Modelled, Span};
use super::series::{Sample, Series};

/// The version of its JSON form.
const VERSION: u32 = 1;
/// Columns of the picture.
const COLUMNS: usize = 60;
/// From nothing to all; a part without any line filled is blank.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What each tier served in a run, and what that would take.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    v: u32,
    counted: Counted,
    /// The devices' share of lines filled.
    cxl_share: Option<f64>,
    figures: Figures,
    modelled: Modelled,
    /// What was counted until each time.
    samples: Vec<Sample>,
    #[serde(skip)]
    shares: Vec<Option<f64>>,
}

impl Report {
    /// Of what was recorded, by these figures of hardware.
    pub fn new(series: &Series, figures: Figures) -> Report {
        let counted = series.total().counted;
        Report {
            v: VERSION,
            counted,
            cxl_share: counted.cxl_share(),
            modelled: Modelled::of(counted, &figures),
            figures,
            samples: series.samples().collect(),
            shares: series.shares(COLUMNS),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counted {
            instructions,
            cxl,
            other,
        } = self.counted;
        let share = |of: u64, all: u64| {
            #[expect(clippy::cast_precision_loss)]
            match all {
                0 => "none".to_owned(),
                all => format!("{:.1} %", 100.0 * of as f64 / all as f64),
            }
        };
        writeln!(
            f,
            "{:25} {:>18} {:>18} {:>10}",
            "memory", "CXL", "other", "CXL's share"
        )?;
        for (name, cxl, other) in [
            ("lines filled", cxl.reads, other.reads),
            ("lines written back", cxl.writes, other.writes),
        ] {
            let share = share(cxl, cxl.saturating_add(other));
            writeln!(
                f,
                "{name:25} {:>18} {:>18} {share:>11}",
                grouped(cxl),
                grouped(other)
            )?;
        }
        writeln!(f, "{:25} {:>18}", "instructions", grouped(instructions))?;
        let picture: String = self.shares.iter().map(|share| bar(*share)).collect();
        writeln!(f, "{:25} {}", "CXL's share of fills", picture.trim_end())?;
        self.fmt_modelled(f)
    }
}

impl Report {
    fn fmt_modelled(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { other_ns, cxl_ns } = self.figures;
        writeln!(
            f,
            "modelled time             with {other_ns} ns to other and {cxl_ns} ns to CXL memory, and {MISSES_AT_ONCE} misses \
             to one at a time"
        )?;
        for (name, span) in [
            ("  as it was", self.modelled.as_it_was),
            ("  all in other memory", self.modelled.all_other),
            ("  all in CXL memory", self.modelled.all_cxl),
        ] {
            let Span { least_ns, most_ns } = span;
            writeln!(
                f,
                "{name:25} {:.3} to {:.3} s",
                least_ns / 1e9,
                most_ns / 1e9
            )?;
        }
        if let Some((least, most)) = self.modelled.fills_of_a_move {
            writeln!(
                f,
                "  a page moved in 10 us   pays after {least:.0} to {most:.0} lines filled from it"
            )?;
        }
        Ok(())
    }
}

/// A share as a column of a picture.
fn bar(share: Option<f64>) -> char {
    let Some(share) = share else { return ' ' };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let height = (share.clamp(0.0, 1.0) * 8.0) as usize;
    BARS[height.min(BARS.len() - 1)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiers::counted::Requests;

    #[test]
    fn people_see_shares_times_and_a_picture() {
        let mut series = Series::default();
        for at in 1..=60 {
            let requests = |reads| Requests { reads, writes: 7 };
            series.push(Sample {
                at_ns: at * 100_000_000,
                counted: Counted {
                    instructions: at * 1_000_000_000,
                    cxl: requests(at.min(30) * 1_000_000),
                    other: requests(at.saturating_sub(30) * 1_000_000),
                },
            });
        }
        let report = Report::new(&series, "90:190".parse().unwrap());
        let expected = format!(
            "memory                                   CXL              other CXL's share\n\
             lines filled                      30,000,000         30,000,000      50.0 %\n\
             lines written back                         7                  7      50.0 %\n\
             instructions                  60,000,000,000\n\
             CXL's share of fills      {}{}\n\
             modelled time             with 90 ns to other and 190 ns to CXL memory, and 4 misses to one at a time\n  \
               as it was               17.100 to 23.400 s\n  \
               all in other memory     16.350 to 20.400 s\n  \
               all in CXL memory       17.850 to 26.400 s\n  \
               a page moved in 10 us   pays after 100 to 400 lines filled from it\n",
            "█".repeat(30),
            "▁".repeat(30),
        );
        assert_eq!(report.to_string(), expected);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!((&json["v"], &json["cxl_share"]), (&1.into(), &0.5.into()));
        assert_eq!(json["samples"].as_array().map(Vec::len), Some(60));
    }

    #[test]
    fn a_run_in_which_nothing_was_counted_has_a_report_too() {
        let report = Report::new(&Series::default(), Figures::default());
        let text = report.to_string();
        assert!(
            text.contains("none") && text.contains("0.000 to 0.000 s"),
            "{text}"
        );
        // Where CXL memory is no slower, moving never pays.
        let same = Report::new(&Series::default(), "90:90".parse().unwrap());
        assert!(!same.to_string().contains("pays"));
        serde_json::to_string(&same).unwrap();
    }
}
