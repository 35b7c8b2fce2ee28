// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Results for people and programs.

mod causes;
pub mod facts;
pub mod json;
pub mod junit;
pub mod ktap;
mod skips;
mod text;

use std::fmt::{self, Display};

use super::catalogue::{Agreement, Catalogue, Level, Requirement};
use super::judge::Verdict;
use super::run::CaseResult;

pub use causes::{Cause, causes};
pub use facts::Facts;
pub use skips::{SkipReason, skip_reasons};

/// What was run, for the heads of reports and for the commands that repeat it.
#[derive(Debug, Clone)]
pub struct RunDescription {
    /// What is known of suite, machine and device.
    pub facts: Facts,
    /// The cases that were to run on each instance.
    pub planned: usize,
    /// The command that runs one case again, without instance and case.
    pub repeat_command: String,
}

/// What was run on one instance.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceResults {
    /// Its block and its number in the block.
    pub instance: (usize, u8),
    /// What came of each case.
    pub results: Vec<CaseResult>,
}

impl InstanceResults {
    /// The instance as `--instance` takes it.
    pub fn name(&self) -> String {
        instance_name(self.instance)
    }
}

/// An instance as `--instance` takes it.
pub fn instance_name((block, instance): (usize, u8)) -> String {
    format!("{block}.{instance}")
}

impl RunDescription {
    /// The command that runs one case again on the same instance.
    pub fn repeat(&self, instance: (usize, u8), case: &str) -> String {
        let instance = instance_name(instance);
        format!("{} --instance {instance} {case}", self.repeat_command)
    }
}

/// How a run ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ending {
    /// Why not all cases ran that were to run, if they did not.
    pub early: Option<String>,
    /// What could not be put back, if anything.
    pub left: Option<String>,
}

impl Ending {
    /// What a reader has to know, in a line.
    pub fn problem(&self) -> Option<String> {
        let parts = [&self.early, &self.left].map(Option::as_deref);
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

/// How binding the requirements of a case are, such as `must agreed CHMU-HOTLIST-007`: the most binding one, and how
/// many there are beside it.
pub fn weight(result: &CaseResult, catalogue: &Catalogue) -> String {
    let found = result.requirements.iter();
    let mut found: Vec<_> = found.filter_map(|id| catalogue.find(id)).collect();
    found.sort_by_key(|one| rank(one));
    let Some((first, others)) = found.split_first() else {
        return "information".into();
    };
    let (level, status) = (first.level, first.status.name());
    match others.len() {
        0 => format!("{level} {status} {}", first.id),
        others => format!("{level} {status} {} and {others} more", first.id),
    }
}

/// The most binding comes first: a must of all, down to information that only this project decided on.
fn rank(requirement: &Requirement) -> (u8, u8) {
    let level = match requirement.level {
        Level::Must => 0,
        Level::Should => 1,
        Level::Information => 2,
    };
    let status = match requirement.status {
        Agreement::Agreed => 0,
        Agreement::Split => 1,
        Agreement::Ours => 2,
    };
    (level, status)
}

/// How many results of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Totals {
    /// Cases that passed.
    pub passed: usize,
    /// Cases whose device does otherwise where it may.
    pub differs: usize,
    /// Cases that do not apply.
    pub skipped: usize,
    /// Cases whose device is wrong.
    pub failed: usize,
    /// Cases that could not be judged: nothing is said of the device.
    pub unjudged: usize,
}

impl Totals {
    /// Counts results.
    pub fn of<'a>(results: impl IntoIterator<Item = &'a CaseResult>) -> Self {
        let mut totals = Self::default();
        for result in results {
            let counter = match result.verdict {
                Verdict::Passed { .. } => &mut totals.passed,
                Verdict::Differs(_) => &mut totals.differs,
                Verdict::Skipped(_) => &mut totals.skipped,
                Verdict::Failed(_) => &mut totals.failed,
                Verdict::Broken(_) => &mut totals.unjudged,
            };
            *counter += 1;
        }
        totals
    }

    /// Cases that there are results of.
    pub fn all(self) -> usize {
        self.passed + self.differs + self.skipped + self.failed + self.unjudged
    }

    /// kselftest's exit codes, 0 for all pass, 1 for failures and 4 where nothing ran; 5 where nothing failed, but
    /// some could not be judged.
    pub fn exit_code(self) -> u8 {
        match self {
            Self { failed: 1.., .. } => 1,
            Self { unjudged: 1.., .. } => 5,
            Self {
                passed: 0,
                differs: 0,
                ..
            } => 4,
            _ => 0,
        }
    }
}

impl Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            passed,
            differs,
            skipped,
            failed,
            unjudged,
        } = self;
        write!(
            f,
            "pass:{passed} fail:{failed} error:{unjudged} skip:{skipped} differs:{differs}"
        )
    }
}

/// The device's profile: which of the known readings it follows, by case.
pub fn profile(results: &[CaseResult]) -> impl Iterator<Item = (&'static str, &str)> {
    results.iter().filter_map(|result| match &result.verdict {
        Verdict::Passed {
            reading: Some(reading),
        } => Some((result.case, reading.as_str())),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Mismatch, Mismatches, Skip};

    /// One result of each kind.
    pub(super) fn results() -> Vec<CaseResult> {
        let mismatch = || {
            Mismatches::from(Mismatch {
                what: "the tail".into(),
                read: "1".into(),
                expected: "0".into(),
            })
        };
        let verdicts = [
            Verdict::Passed { reading: None },
            Verdict::Passed {
                reading: Some("count >= threshold".into()),
            },
            Verdict::Differs(mismatch()),
            Verdict::Skipped(Skip {
                reason: "the block has one instance only".into(),
                unlocked_by: Some("another device"),
            }),
            Verdict::Failed(mismatch()),
            Verdict::Broken("the socket is closed".into()),
        ];
        let names = ["a/one", "a/two", "b/one", "b/two", "c/one", "c/two"];
        let result = |(case, verdict)| CaseResult {
            case,
            requirements: vec!["CHMU-DISCOVERY-006".into()],
            verdict,
            seconds: 0.25,
            accesses: None,
        };
        names.into_iter().zip(verdicts).map(result).collect()
    }

    /// Results of the same kinds on two instances.
    pub(super) fn two_instances() -> [InstanceResults; 2] {
        [(0, 0), (1, 3)].map(|instance| InstanceResults {
            instance,
            results: results(),
        })
    }

    pub(super) fn description() -> RunDescription {
        RunDescription {
            facts: vec![
                ("suite".into(), "chmu 0.1.0".into()),
                ("device".into(), "0000:35:00.0".into()),
                ("transport".into(), "guest".into()),
            ],
            planned: 6,
            repeat_command: "chmu conformance run --transport guest".into(),
        }
    }

    #[test]
    fn totals_give_the_exit_code() {
        let totals = Totals::of(&results());
        assert_eq!(
            totals,
            Totals {
                passed: 2,
                differs: 1,
                skipped: 1,
                failed: 1,
                unjudged: 1,
            }
        );
        assert_eq!(totals.exit_code(), 1);
        assert_eq!(totals.all(), 6);
        assert_eq!(Totals::of(&results()[5..]).exit_code(), 5);
        assert_eq!(Totals::of(&results()[..3]).exit_code(), 0);
        assert_eq!(Totals::of(&results()[3..4]).exit_code(), 4);
        assert_eq!(Totals::default().exit_code(), 4);
    }

    #[test]
    fn the_profile_lists_readings() {
        let results = results();
        let profile: Vec<_> = profile(&results).collect();
        assert_eq!(profile, [("a/two", "count >= threshold")]);
    }
}
