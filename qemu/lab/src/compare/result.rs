// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What came of all trials.

use std::fmt::Write;

use serde::Serialize;

use super::policy::BOUNDS;
use super::trial::{Measured, Outcome, Trial};
use super::{Pattern, Plan, Policy};
use crate::spread::Spread;
use crate::tiers::{Figures, Modelled};

/// The form of the JSON.
const VERSION: u32 = 2;
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
        self.failed_trials() == 0
    }

    pub(super) fn failed_trials(&self) -> usize {
        let trials = self.trials.iter();
        trials
            .filter(|trial| matches!(trial.outcome, Outcome::Failed(_)))
            .count()
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
                quoted(&trial.policy),
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
            let none = float(beside(BOUNDS[0], *seed)?.counted.instructions);
            (none > 0.0).then(|| float(one.counted.instructions) / none - 1.0)
        };
        Row {
            workload: pattern.name,
            policy: policy.name.clone(),
            end_share: spread(&|one| one.end_share),
            fills_until_steady: spread(&|one| Some(float(one.fills_until_steady?))),
            pages_moved: spread(&|one| Some(float(one.pages_moved))),
            wrong_pages: spread(&|one| Some(float(one.wrong_pages?))),
            hot_part: spread(&|one| {
                Some(float(one.hot_pages_on_fast?) / float(one.hot_pages.max(1)))
            }),
            modelled_ns: spread(&|one| Some(time(one))),
            gap_closed: Spread::of(all.iter().filter_map(gap)),
            more_instructions: Spread::of(all.iter().filter_map(more)),
            reason,
        }
    }
}

impl Trial {
    pub(super) fn measured(&self) -> Option<&Measured> {
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
fn float(count: u64) -> f64 {
    count as f64
}

/// A user's policy is called by its path, in which there may be anything.
fn quoted(name: &str) -> String {
    match name.contains([',', '"', '\n']) {
        true => format!("\"{}\"", name.replace('"', "\"\"")),
        false => name.to_owned(),
    }
}

#[cfg(test)]
pub(super) mod tests {
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
                end_share: Some(float(cxl) / 1e6),
                fills_until_steady: (moved > 0).then_some(200_000),
                pages_moved: moved,
                hot_pages: 512,
                hot_pages_on_fast: (policy != "dram").then_some(moved.min(512)),
                wrong_pages: (policy != "dram").then_some(0),
                parts: Vec::new(),
            }),
        }
    }

    pub(in crate::compare) fn comparison() -> Comparison {
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
        assert_eq!(quoted("a, \"b\".sh"), "\"a, \"\"b\"\".sh\"");
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
