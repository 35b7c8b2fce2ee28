// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Runs for people and programs.

use std::fmt;

use serde::Serialize;

use super::Run;

/// Runs, the newest last.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Listing(pub Vec<Run>);

/// A line for each.
impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|run| run.name.len()).max().unwrap_or(0);
        for run in &self.0 {
            let facts = &run.facts;
            let good = if facts.is_good { "done" } else { "FAIL" };
            writeln!(
                f,
                "{:names$}  {good}  {:6.0} s  {}",
                run.name, facts.seconds, facts.verdict
            )?;
        }
        match self.0.len() {
            0 => writeln!(
                f,
                "No run was kept yet; compare, demo and scenario keep theirs."
            ),
            _ => Ok(()),
        }
    }
}

/// What is known of it, and where its files are.
impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts = &self.facts;
        writeln!(f, "{}", facts.command)?;
        writeln!(f, "{}", facts.verdict)?;
        writeln!(
            f,
            "{}, {:.0} s, lab {}, QEMU {}",
            facts.date, facts.seconds, facts.lab, facts.qemu
        )?;
        let names = facts.figures.iter().map(|figure| figure.name.len()).max();
        for figure in &facts.figures {
            writeln!(
                f,
                "  {:names$}  {:>16.3}",
                figure.name,
                figure.value,
                names = names.unwrap_or(0)
            )?;
        }
        writeln!(f, "{}", self.folder.join(super::PAGE).display())
    }
}
