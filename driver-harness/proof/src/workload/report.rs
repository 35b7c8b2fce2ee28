// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a workload says at its end.

use std::fmt;
use std::time::Duration;

use chmu_machine::node::NodeId;
use chmu_machine::words;
use serde::{Deserialize, Serialize};

use super::checks::Checks;
use super::{Accesses, Verification};

/// What came of a workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkloadReport {
    /// Its process.
    pub process_id: u32,
    /// The node that its pages were put on.
    pub node: NodeId,
    /// Whole rounds; in one there are as many visits as hot pages.
    pub rounds: u64,
    /// Its accesses.
    #[serde(flatten)]
    pub accesses: Accesses,
    /// Accesses to cold pages among these.
    pub cold_accesses: u64,
    /// How long it touched its pages.
    pub seconds: f64,
    /// What was found by looking at each word accessed.
    pub checks: Checks,
    /// What all words of all pages were found to hold at the end.
    #[serde(flatten)]
    pub verification: Verification,
}

impl WorkloadReport {
    /// No word was wrong at any time.
    pub fn is_right(&self) -> bool {
        self.verification.corrupt_pages == 0 && self.checks.wrong_words == 0
    }
}

impl fmt::Display for WorkloadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Accesses { reads, writes } = self.accesses;
        let loads = words::count(reads, "load", "loads");
        let stores = words::count(writes, "store", "stores");
        let rounds = words::count(self.rounds, "whole round", "rounds");
        let time = Duration::try_from_secs_f64(self.seconds).unwrap_or_default();
        let time = words::span(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        write!(f, "{loads} and {stores} in {rounds} and {time}")?;
        if self.cold_accesses > 0 {
            write!(f, ", {} of them to cold pages", self.cold_accesses)?;
        }
        let Verification {
            pages_checked,
            corrupt_pages,
            wrong_words,
        } = &self.verification;
        if self.checks.wrong_words > 0 {
            let wrong = words::count(self.checks.wrong_words, "access", "accesses");
            let outdated = self.checks.outdated_words;
            write!(
                f,
                "\n{wrong} found a wrong word, {outdated} of them an outdated one"
            )?;
        }
        let checked = words::count(*pages_checked, "page", "pages");
        let corrupt = match corrupt_pages {
            0 => "none is".to_owned(),
            1 => "1 is".to_owned(),
            several => format!("{several} are"),
        };
        writeln!(f, "\n{checked} checked, {corrupt} corrupt")?;
        for wrong in wrong_words {
            writeln!(
                f,
                "page {} word {}: {:#018x} instead of {:#018x}",
                wrong.page, wrong.place, wrong.found, wrong.expected
            )?;
        }
        Ok(())
    }
}
