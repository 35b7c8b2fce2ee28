// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What an outcome means for the requirements that a case checks.

use super::catalogue::{Level, Requirement};
use crate::outcome::{Mismatch, Mismatches, Outcome, Passed, Skip, Stop};

/// What is said of a case that does not come to an end with the longest epochs, either.
const TOO_SLOW: &str =
    "this machine is too slow for the case's epochs, or the instance has none that are long enough";

/// What is said of a device after a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It does what is required; the reading says in which of the known ways.
    Passed {
        /// The reading, where there are several.
        reading: Option<String>,
    },
    /// It does otherwise, and nobody says that it may not.
    Differs(Mismatches),
    /// The case does not apply, for this reason.
    Skipped(Skip),
    /// It does otherwise.
    Failed(Mismatches),
    /// The device could not be reached.
    Broken(String),
}

impl Verdict {
    /// Whether the device must be mended, or the path to it.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Broken(_))
    }
}

/// Judges what came of a case that checks `requirements`. A strict judge takes the first reading
/// only, and information for a must.
pub fn judge(outcome: Outcome, requirements: &[&Requirement], strict: bool) -> Verdict {
    match outcome {
        Ok(Passed::Plainly) => Verdict::Passed { reading: None },
        Ok(Passed::As(reading)) => judge_reading(reading, requirements, strict),
        Err(Stop::Skipped(skip)) => Verdict::Skipped(skip),
        Err(Stop::Broken(error)) => Verdict::Broken(format!("{error:#}")),
        Err(Stop::Late) => Verdict::Broken(TOO_SLOW.into()),
        Err(Stop::Failed(found)) => {
            let binding = |requirement: &&Requirement| requirement.level != Level::Information;
            match strict || requirements.iter().any(binding) {
                true => Verdict::Failed(found),
                false => Verdict::Differs(found),
            }
        }
    }
}

fn judge_reading(reading: &str, requirements: &[&Requirement], strict: bool) -> Verdict {
    let known = |requirement: &&&Requirement| requirement.readings.iter().any(|one| one == reading);
    let Some(requirement) = requirements.iter().find(known) else {
        return Verdict::Broken(format!("The catalogue knows no reading \"{reading}\" here"));
    };
    match requirement.readings.first() {
        Some(ours) if strict && ours != reading => Verdict::Failed(
            Mismatch {
                what: requirement.statement.clone(),
                read: reading.to_owned(),
                expected: ours.clone(),
            }
            .into(),
        ),
        _ => Verdict::Passed {
            reading: Some(reading.to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Agreement;
    use crate::outcome::fail;

    fn requirement(level: Level) -> Requirement {
        Requirement {
            id: "CHMU-EXAMPLE-001".into(),
            statement: "It is so.".into(),
            level,
            status: Agreement::Split,
            source: String::new(),
            readings: vec!["so".into(), "otherwise".into()],
            cases: Vec::new(),
        }
    }

    #[test]
    fn a_known_reading_passes_unless_the_judge_is_strict() {
        let requirement = requirement(Level::Must);
        let judged = |strict| judge(Ok(Passed::As("otherwise")), &[&requirement], strict);
        assert_eq!(
            judged(false),
            Verdict::Passed {
                reading: Some("otherwise".into())
            }
        );
        assert!(judged(true).is_failure());
        let unknown = judge(Ok(Passed::As("never heard of")), &[&requirement], false);
        assert!(matches!(unknown, Verdict::Broken(_)));
    }

    #[test]
    fn information_is_no_failure_unless_the_judge_is_strict() {
        let outcome = || fail("the tail", "1", "0");
        let requirement = requirement(Level::Information);
        assert!(!judge(outcome(), &[&requirement], false).is_failure());
        assert!(judge(outcome(), &[&requirement], true).is_failure());
    }

    #[test]
    fn one_binding_requirement_is_enough() {
        let requirements = [requirement(Level::Information), requirement(Level::Should)];
        let requirements: Vec<_> = requirements.iter().collect();
        assert!(judge(fail("x", "1", "0"), &requirements, false).is_failure());
    }
}
