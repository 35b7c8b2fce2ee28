// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The same workloads under several ways to move pages between tiers, by figures that are true of an emulated machine
//! too: lines that each tier filled, pages moved, and what that would take on hardware.

mod page;
mod pattern;
mod policy;
mod result;
mod steady;
mod table;
mod trial;

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;

use crate::machine::{Interrupted, Machine, MachineOptions, Software};
use crate::progress::Progress;
use crate::side_by_side::{Piece, side_by_side};
use crate::tiers::Figures;
use crate::topology::Topology;

pub use pattern::{ALL as PATTERNS, Pattern, PatternError};
pub use policy::{PagesPlace, Policy, PolicyError};
pub use result::{Comparison, Row};
pub use steady::Part;
pub use trial::{Measured, Outcome, Trial};

use trial::measure;

/// What is compared.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Workloads.
    pub patterns: Vec<Pattern>,
    /// What moves their pages.
    pub policies: Vec<Policy>,
    /// Each workload is run with so many choices of hot pages, from seed 1 on.
    pub seeds: u64,
    /// Workloads do one part in so many of their rounds.
    pub shortened: u64,
    /// How long hardware takes.
    pub figures: Figures,
}

impl Plan {
    /// How many trials that is.
    pub fn trials(&self) -> usize {
        let seeds = usize::try_from(self.seeds).unwrap_or(usize::MAX);
        let each = self.patterns.len().saturating_mul(self.policies.len());
        each.saturating_mul(seeds)
    }

    /// The policies that others are measured against, but for those that are compared anyway.
    ///
    /// # Errors
    /// When the lab's own make no sense.
    pub fn missing_bounds(&self) -> Result<Vec<Policy>, PolicyError> {
        let is_compared = |name: &str| self.policies.iter().any(|policy| policy.name == name);
        let missing = policy::BOUNDS.into_iter().filter(|name| !is_compared(name));
        missing.map(|name| name.parse()).collect()
    }
}

/// Tries all of it, in a guest for each policy and `at_once` guests at a time. A trial that cannot be brought to its end
/// is one result.
///
/// # Errors
/// When a guest does not boot, or the user stops the lab.
pub fn compare(
    plan: &Plan,
    software: &Software,
    at_once: NonZeroUsize,
    progress: &Progress,
) -> Result<Comparison> {
    let policies = plan.policies.iter().map(|policy| Piece {
        name: policy.name.clone(),
        size: 1,
        work: policy,
    });
    let policies: Vec<_> = policies.collect();
    let series = Series {
        plan,
        software,
        begun: AtomicUsize::new(0),
    };
    progress.step(format!("Trying {} policies", policies.len()));
    let done = side_by_side(&policies, at_once, progress, |policy, progress| {
        series.try_policy(policy, progress)
    })?;
    let (kernels, trials): (Vec<_>, Vec<_>) = done.into_iter().unzip();
    let kernel = kernels.into_iter().next().unwrap_or_default();
    Ok(Comparison::new(plan, kernel, trials.concat()))
}

/// All trials of a comparison.
struct Series<'a> {
    plan: &'a Plan,
    software: &'a Software,
    begun: AtomicUsize,
}

impl Series<'_> {
    /// The kernel's release, and what came of all workloads under the policy.
    fn try_policy(&self, policy: &Policy, progress: &Progress) -> Result<(String, Vec<Trial>)> {
        let plan = self.plan;
        let mut trials = Vec::with_capacity(plan.trials());
        let mut kernel = String::new();
        let mut guest = None;
        for pattern in &plan.patterns {
            for seed in 1..=plan.seeds {
                let mut machine = match guest.take() {
                    Some(machine) => machine,
                    None => boot(self.software, progress)?,
                };
                let number = self.begun.fetch_add(1, Ordering::Relaxed) + 1;
                progress.step(format!(
                    "{number} of {}: {pattern} under {policy}, seed {seed}",
                    plan.trials()
                ));
                machine.kernel().clone_into(&mut kernel);
                let outcome = match measure(&mut machine, pattern, policy, (seed, plan.shortened)) {
                    Ok(outcome) => {
                        guest = Some(machine);
                        outcome
                    }
                    Err(error) if error.is::<Interrupted>() => return Err(error),
                    Err(error) => Outcome::Failed(format!("{error:#}")),
                };
                if let Outcome::Failed(reason) | Outcome::NotThere(reason) = &outcome {
                    progress.say(&format!("{pattern} under {policy}: {reason}"));
                }
                trials.push(Trial {
                    workload: pattern.name,
                    policy: policy.name.clone(),
                    seed,
                    outcome,
                });
            }
        }
        if let Some(machine) = guest {
            machine.shut_down()?;
        }
        Ok((kernel, trials))
    }
}

fn boot(software: &Software, progress: &Progress) -> Result<Machine> {
    let options = MachineOptions {
        oracle: true,
        ..MachineOptions::default()
    };
    Machine::start(&Topology::default(), &options, software, progress)
}
