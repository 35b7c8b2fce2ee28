// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Ways to promote wrongly, each of which the proof must notice for its own reason.
//!
//! The engine and the proof are the real ones; the machine is simulated. Each mutant replaces one part
//! through the engine's own traits: an actuator, a source, a machine, a clock, whoever carries batches
//! from the queue to the actuator, whoever writes the ledger down, or another program on the machine.
//! No right rule is switched off anywhere.

mod machine;
mod mutants;
mod run;
mod world;

#[cfg(test)]
mod tests;

use crate::verdict::{Outcome, Reason, Verdict};
use run::Parts;

/// A way to promote wrongly.
pub struct Mutant {
    /// Its name: words joined by hyphens.
    pub name: &'static str,
    /// The part that it replaces.
    pub part: Part,
    /// What it does wrong.
    pub explanation: &'static str,
    /// The reason for which the proof must fail, whatever else it finds.
    pub reason: Reason,
    sabotage: fn(&mut Parts),
}

/// What a mutant replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// What moves pages.
    Actuator,
    /// What carries batches from the queue to the actuator.
    Queue,
    /// What reports hot pages.
    Source,
    /// What watches fast memory.
    Telemetry,
    /// What the engine asks about the machine.
    Machine,
    /// The engine's clock.
    Clock,
    /// Another program on the machine.
    Others,
    /// Whoever writes the ledger down.
    Ledger,
}

impl Part {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Part::Actuator => "actuator",
            Part::Queue => "queue",
            Part::Source => "source",
            Part::Telemetry => "telemetry",
            Part::Machine => "machine",
            Part::Clock => "clock",
            Part::Others => "others",
            Part::Ledger => "ledger",
        }
    }
}

/// What became of a mutant.
#[derive(Debug, Clone)]
pub struct Hunt {
    /// What the proof found.
    pub verdict: Verdict,
    /// It failed for the mutant's own reason.
    pub is_killed: bool,
}

impl Mutant {
    /// All of them, by part.
    pub fn all() -> Vec<Mutant> {
        mutants::all()
    }

    /// Runs the engine with it, and the proof.
    ///
    /// # Errors
    /// When the run itself fails, so that nothing can be said of the proof.
    pub fn hunt(&self) -> Result<Hunt, String> {
        let mut parts = Parts::honest();
        (self.sabotage)(&mut parts);
        let verdict = parts.run()?;
        let is_killed = verdict.verdict == Outcome::Fail && verdict.finding(self.reason).is_some();
        Ok(Hunt { verdict, is_killed })
    }
}

/// A run in which everything is right, if perhaps not usual.
pub struct HonestRun {
    /// Its name.
    pub name: &'static str,
    /// What is not usual.
    pub explanation: &'static str,
    arrange: fn(&mut Parts),
}

impl HonestRun {
    /// All of them.
    pub fn all() -> Vec<HonestRun> {
        mutants::honest()
    }

    /// What the proof says of it: it must pass.
    ///
    /// # Errors
    /// When the run itself fails.
    pub fn prove(&self) -> Result<Verdict, String> {
        let mut parts = Parts::honest();
        (self.arrange)(&mut parts);
        parts.run()
    }
}
