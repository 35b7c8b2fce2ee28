// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What came of all trials.

use std::fmt::{self, Write};

use chmu_machine::words::grouped;
use serde::Serialize;

use super::policy::BOUNDS;
use super::spread::Spread;
use super::trial::{Measured, Outcome, Trial};
use super::{Pattern, Plan, Policy};
use crate::tiers::{Figures, Modelled};

/// The form of the JSON.
const VERSION: u32 = 1;
/// Where nothing can be said.
const NOTHING: &str = "-";

/// What came of all trials, for people and programs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The form of this.
    pub v: u32,
    /// The guest's kernel.
    pub kernel: String,
    /// How long hardware takes.
    pub figures: Figures,
    /// How often each workload was run under each policy.
    pub seeds: u64,
    /// Workloads did one part in so many of their rounds.
    pub shortened: u64,
    /// What was run.
    pub workloads: Vec<Pattern>,
    /// What moved pages.
    pub policies: Vec<Policy>,
    /// By workload and policy.
    pub rows: Vec<Row>,
    /// One by one.
    pub trials: Vec<Trial>,
}

/// A workload under a policy; figures of all seeds.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Row {
    /// The workload.
    pub workload: &'static str,
    /// The policy.
    pub policy: String,
    /// The CXL memory's share of the lines filled last.
    pub end_share: Option<Spread>,
    /// Lines filled until nine tenths of the way to that were gone; of the trials in which there was a way.
    pub fills_until_steady: Option<Spread>,
    /// Pages that the kernel moved.
    pub pages_moved: Option<Spread>,
    /// Those that were not hot until then.
    pub wrong_pages: Option<Spread>,
    /// Hot pages that are on faster memory at the end, as a part.
    pub hot_part: Option<Spread>,
    /// Modelled time in nanoseconds, with one miss after the other.
    pub modelled_ns: Option<Spread>,
    /// The part of what there is to win between pages that nobody moves and pages that are on DRAM from the beginning,
    /// in modelled time of the same seed.
    pub gap_closed: Option<Spread>,
    /// Instructions beyond those of the same seed with nobody who moves pages, as a part of these.
    pub more_instructions: Option<Spread>,
    /// Why there are no figures.
    pub reason: Option<String>,
}

impl Comparison {
    pub(super) fn new(plan: &Plan, kernel: String, trials: Vec<Trial>) -> Comparison {
        let rows = plan.patterns.iter().flat_map(|pattern| {
            let trials = &trials;
            let rows = plan.policies.iter();
            rows.map(move |policy| Row::of(pattern, policy, trials, &plan.figures))
        });
        Comparison {
            v: VERSION,
            kernel,
            figures: plan.figures.clone(),
            seeds: plan.seeds,
            shortened: plan.shortened,
            workloads: plan.patterns.clone(),
            policies: plan.policies.clone(),
            rows: rows.collect(),
            trials,
        }
    }

    /// Nothing went wrong; what a kernel cannot do did not.
    pub fn is_complete(&self) -> bool {
        let mut trials = self.trials.iter();
        !trials.any(|trial| matches!(trial.outcome, Outcome::Failed(_)))
    }

    /// As a table for other programs: a line for each trial.
    pub fn csv(&self) -> String {
        let mut text = "workload,policy,seed,instructions,cxl_reads,cxl_writes,other_reads,other_writes,end_share,\
                        fills_until_steady,pages_moved,hot_pages,hot_pages_on_fast,wrong_pages\n"
            .to_owned();
        for trial in &self.trials {
            let Outcome::Measured(one) = &trial.outcome else {
                continue;
            };
            let counted = one.counted;
            let or_empty =
                |number: Option<u64>| number.map_or_else(String::new, |one| one.to_string());
            let share = one
                .end_share
                .map_or_else(String::new, |share| format!("{share:.6}"));
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{},{},{},{},{},{},{},{},{share},{},{},{},{},{}",
                trial.workload,
                trial.policy,
                trial.seed,
                counted.instructions,
                counted.cxl.reads,
                counted.cxl.writes,
                counted.other.reads,
                counted.other.writes,
                or_empty(one.fills_until_steady),
                one.pages_moved,
                one.hot_pages,
                or_empty(one.hot_pages_on_fast),
                or_empty(one.wrong_pages),
            );
        }
        text
    }
}

impl Row {
    fn of(pattern: &Pattern, policy: &Policy, trials: &[Trial], figures: &Figures) -> Row {
        let own = |name: &str| {
            let trials = trials.iter();
            let name = name.to_owned();
            trials.filter(move |trial| trial.workload == pattern.name && trial.policy == name)
        };
        let measured =
            |name: &str| own(name).filter_map(|trial| Some((trial.seed, trial.measured()?)));
        let all: Vec<_> = measured(&policy.name).collect();
        let reason = own(&policy.name).find_map(Trial::reason);
        let spread = |of: &dyn Fn(&Measured) -> Option<f64>| {
            Spread::of(all.iter().filter_map(|(_, one)| of(one)))
        };
        let beside = |name: &str, seed: u64| {
            measured(name)
                .find(|(one, _)| *one == seed)
                .map(|(_, one)| one)
        };
        let time = |one: &Measured| Modelled::of(one.counted, figures).as_it_was.most_ns;
        let gap = |(seed, one): &(u64, &Measured)| {
            let [none, dram] = BOUNDS.map(|name| beside(name, *seed).map(time));
            let (none, dram) = none.zip(dram)?;
            (none > dram).then(|| (none - time(one)) / (none - dram))
        };
        let more = |(seed, one): &(u64, &Measured)| {
            let none = ratio(beside(BOUNDS[0], *seed)?.counted.instructions, 1);
            (none > 0.0).then(|| ratio(one.counted.instructions, 1) / none - 1.0)
        };
        Row {
            workload: pattern.name,
            policy: policy.name.clone(),
            end_share: spread(&|one| one.end_share),
            fills_until_steady: spread(&|one| Some(ratio(one.fills_until_steady?, 1))),
            pages_moved: spread(&|one| Some(ratio(one.pages_moved, 1))),
            wrong_pages: spread(&|one| Some(ratio(one.wrong_pages?, 1))),
            hot_part: spread(&|one| Some(ratio(one.hot_pages_on_fast?, one.hot_pages.max(1)))),
            modelled_ns: spread(&|one| Some(time(one))),
            gap_closed: Spread::of(all.iter().filter_map(gap)),
            more_instructions: Spread::of(all.iter().filter_map(more)),
            reason,
        }
    }

    fn cells(&self) -> [String; 9] {
        let cell = |spread: &Option<Spread>, word: &dyn Fn(f64) -> String| {
            let spread = spread.as_ref();
            spread.map_or_else(|| NOTHING.to_owned(), |spread| spread.words(word))
        };
        let percent = |part: f64| format!("{:.0} %", part * 100.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let count = |number: f64| grouped(number as u64);
        [
            self.policy.clone(),
            cell(&self.end_share, &percent),
            cell(&self.gap_closed, &percent),
            cell(&self.fills_until_steady, &count),
            cell(&self.pages_moved, &count),
            cell(&self.wrong_pages, &count),
            cell(&self.hot_part, &percent),
            cell(&self.modelled_ns, &|ns| format!("{:.2} s", ns / 1e9)),
            cell(&self.more_instructions, &|part| {
                format!("{:+.0} %", part * 100.0)
            }),
        ]
    }
}

const HEADS: [&str; 9] = [
    "policy",
    "CXL's share",
    "gap closed",
    "lines until 90 %",
    "pages moved",
    "wrong",
    "hot on DRAM",
    "modelled",
    "instructions",
];

impl Trial {
    fn measured(&self) -> Option<&Measured> {
        match &self.outcome {
            Outcome::Measured(measured) => Some(measured),
            Outcome::NotThere(_) | Outcome::Failed(_) => None,
        }
    }

    fn reason(&self) -> Option<String> {
        match &self.outcome {
            Outcome::Measured(_) => None,
            Outcome::NotThere(reason) => Some(reason.clone()),
            Outcome::Failed(reason) => Some(format!("FAILED: {reason}")),
        }
    }
}

#[expect(clippy::cast_precision_loss)]
fn ratio(count: u64, of: u64) -> f64 {
    count as f64 / of as f64
}

/// A table for each workload.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for pattern in &self.workloads {
            writeln!(f, "{}: {}", pattern.name, pattern.summary)?;
            let rows: Vec<_> = self
                .rows
                .iter()
                .filter(|row| row.workload == pattern.name)
                .collect();
            let cells: Vec<_> = rows.iter().map(|row| row.cells()).collect();
            let widths: Vec<_> = (0..HEADS.len())
                .map(|column| {
                    let cells = cells.iter().map(|row| row[column].chars().count());
                    cells.chain([HEADS[column].len()]).max().unwrap_or(0)
                })
                .collect();
            line(f, &HEADS.map(str::to_owned), &widths)?;
            for (row, cells) in rows.iter().zip(&cells) {
                line(f, cells, &widths)?;
                if let Some(reason) = &row.reason {
                    writeln!(f, "  {:width$}  {reason}", "", width = widths[0])?;
                }
            }
            writeln!(f)?;
        }
        let (seeds, times) = (self.seeds, &self.figures);
        writeln!(
            f,
            "Linux {}; the middle of {seeds} seeds, with the least and the most. CXL's share: of the lines filled in the \
             last fifth. Modelled: {} ns from a miss to a line of DRAM, {} ns to one of CXL memory, one miss after the \
             other; what there is to win is the gap between none and dram.",
            self.kernel, times.other_ns, times.cxl_ns
        )
    }
}

fn line(f: &mut fmt::Formatter<'_>, cells: &[String; 9], widths: &[usize]) -> fmt::Result {
    let mut text = String::from(" ");
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        // Names to the left, figures to the right.
        let _ = match column {
            0 => write!(text, " {cell:width$}"),
            _ => write!(text, "  {cell:>width$}"),
        };
    }
    writeln!(f, "{}", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiers::{Counted, Requests};

    fn trial(policy: &str, seed: u64, cxl: u64, moved: u64) -> Trial {
        let requests = |reads| Requests { reads, writes: 0 };
        Trial {
            workload: "uniform",
            policy: policy.to_owned(),
            seed,
            outcome: Outcome::Measured(Measured {
                counted: Counted {
                    instructions: 1_000_000 + moved * 1000,
                    cxl: requests(cxl),
                    other: requests(1_000_000 - cxl),
                },
                end_share: Some(ratio(cxl, 1_000_000)),
                fills_until_steady: (moved > 0).then_some(200_000),
                pages_moved: moved,
                hot_pages: 512,
                hot_pages_on_fast: (policy != "dram").then_some(moved.min(512)),
                wrong_pages: (policy != "dram").then_some(0),
            }),
        }
    }

    fn comparison() -> Comparison {
        let policies = ["none", "dram", "chmu", "userfaultfd"];
        let plan = Plan {
            patterns: vec!["uniform".parse().unwrap()],
            policies: policies.map(|name| name.parse().unwrap()).to_vec(),
            seeds: 2,
            shortened: 1,
            figures: "100:200".parse().unwrap(),
        };
        let mut trials = Vec::new();
        for seed in 1..=2 {
            trials.push(trial("none", seed, 1_000_000, 0));
            trials.push(trial("dram", seed, 0, 0));
            trials.push(trial("chmu", seed, 100_000 * seed, 500));
            trials.push(Trial {
                outcome: Outcome::NotThere("no RWP".to_owned()),
                ..trial("userfaultfd", seed, 0, 0)
            });
        }
        Comparison::new(&plan, "7.3".to_owned(), trials)
    }

    #[test]
    fn the_gap_is_between_the_bounds_of_the_same_seed() {
        let comparison = comparison();
        let row = &comparison.rows[2];
        let gap = row.gap_closed.unwrap();
        assert!(
            (gap.median - 0.9).abs() < 0.01 && (gap.least - 0.8).abs() < 0.01,
            "{gap:?}"
        );
        assert_eq!(row.hot_part.unwrap().median, 500.0 / 512.0);
        assert_eq!(row.more_instructions.unwrap().median, 0.5);
        let [none, dram] = [0, 1].map(|row| comparison.rows[row].gap_closed.unwrap().median);
        assert_eq!((none, dram), (0.0, 1.0));
        assert!(comparison.is_complete());
        assert_eq!(comparison.csv().lines().count(), 7);
    }

    #[test]
    fn a_trial_that_fails_makes_no_figures_and_is_told() {
        let mut comparison = comparison();
        comparison.trials[0].outcome = Outcome::Failed("it broke".to_owned());
        assert!(!comparison.is_complete());
        let text = comparison.to_string();
        assert!(text.contains("no RWP"), "{text}");
        assert!(text.contains("90 % (80 % to 90 %)"), "{text}");
        assert!(text.lines().all(|line| line.len() < 400), "{text}");
    }
}
