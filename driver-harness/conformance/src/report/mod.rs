// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Results for people and programs.

pub mod json;
pub mod junit;
pub mod ktap;

use std::fmt::{self, Display};

use super::judge::Verdict;
use super::run::CaseResult;

/// What was run, for the heads of reports and for the commands that repeat it.
#[derive(Debug, Clone)]
pub struct RunDescription {
    /// The device, as users name it.
    pub device: String,
    /// The path to it.
    pub path: &'static str,
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

/// How many results of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Totals {
    /// Cases that passed.
    pub passed: usize,
    /// Cases whose device does otherwise where it may.
    pub differs: usize,
    /// Cases that do not apply.
    pub skipped: usize,
    /// Cases that failed, broken ones included.
    pub failed: usize,
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
                Verdict::Failed(_) | Verdict::Broken(_) => &mut totals.failed,
            };
            *counter += 1;
        }
        totals
    }

    /// kselftest's exit code: 0 all pass, 1 failures, 4 nothing ran.
    pub fn exit_code(self) -> u8 {
        match self {
            Self { failed: 1.., .. } => 1,
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
        } = self;
        write!(
            f,
            "Totals: pass:{passed} fail:{failed} skip:{skipped} differs:{differs}"
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
                unlocked_by: None,
            }),
            Verdict::Failed(mismatch()),
            Verdict::Broken("the socket is closed".into()),
        ];
        let names = ["a/one", "a/two", "b/one", "b/two", "c/one", "c/two"];
        let result = |(case, verdict)| CaseResult {
            case,
            requirements: vec!["CHMU-EXAMPLE-001".into()],
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
            device: "0000:35:00.0".into(),
            path: "guest",
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
                failed: 2
            }
        );
        assert_eq!(totals.exit_code(), 1);
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
