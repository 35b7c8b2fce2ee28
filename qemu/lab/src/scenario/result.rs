// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What came of scenarios, for people and programs.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

/// What came of a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Everything that must hold holds.
    Pass,
    /// The reasons say what does not.
    Fail,
    /// The reasons say what is missing.
    Skip,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Fail => "FAIL",
            Self::Skip => "skip",
        })
    }
}

/// A scenario's result on one kernel.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScenarioResult {
    /// The scenario's name.
    pub scenario: &'static str,
    /// The guest's kernel release; empty when the guest did not boot.
    pub kernel: String,
    /// What came of it.
    pub verdict: Verdict,
    /// Why it is no pass, a sentence each.
    pub reasons: Vec<String>,
    /// What was counted.
    pub figures: Map<String, Value>,
    /// How long it took, without the boot.
    pub seconds: f64,
}

impl ScenarioResult {
    /// The result of what was found: reasons make a failure.
    pub(super) fn judged(
        scenario: &'static str,
        kernel: &str,
        reasons: Vec<String>,
        figures: Map<String, Value>,
        time: Duration,
    ) -> Self {
        Self {
            scenario,
            kernel: kernel.to_owned(),
            verdict: match reasons.is_empty() {
                true => Verdict::Pass,
                false => Verdict::Fail,
            },
            reasons,
            figures,
            seconds: time.as_secs_f64(),
        }
    }
}

impl ScenarioResult {
    /// The result in one line, for those who wait for the others.
    pub(super) fn line(&self) -> String {
        let reasons = self.reasons.join("; ").replace('\n', " ");
        let colon = if reasons.is_empty() { "" } else { ": " };
        format!("{}: {}{colon}{reasons}", self.scenario, self.verdict)
    }
}

/// Results in the order in which the scenarios ran.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(transparent)]
pub struct Results(pub Vec<ScenarioResult>);

impl Results {
    /// No scenario failed; one that was skipped did not.
    pub fn are_good(&self) -> bool {
        let mut results = self.0.iter();
        !results.any(|result| result.verdict == Verdict::Fail)
    }

    pub(super) fn count(&self, verdict: Verdict) -> usize {
        let results = self.0.iter();
        results.filter(|result| result.verdict == verdict).count()
    }
}

/// A line for each, and the reasons below.
impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = |of: fn(&ScenarioResult) -> usize| self.0.iter().map(of).max().unwrap_or(0);
        let names = widest(|result| result.scenario.len());
        let kernels = widest(|result| result.kernel.len());
        for result in &self.0 {
            let ScenarioResult {
                scenario,
                kernel,
                verdict,
                seconds,
                ..
            } = result;
            writeln!(
                f,
                "{scenario:names$}  {kernel:kernels$}  {verdict}  {seconds:6.1} s"
            )?;
            for reason in &result.reasons {
                writeln!(f, "{:names$}  {}", "", reason.replace('\n', "\n    "))?;
            }
        }
        writeln!(
            f,
            "\n{} passed, {} failed, {} skipped",
            self.count(Verdict::Pass),
            self.count(Verdict::Fail),
            self.count(Verdict::Skip)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(reasons: &[&str]) -> ScenarioResult {
        let reasons = reasons.iter().map(|&it| it.to_owned()).collect();
        let time = Duration::from_millis(1500);
        ScenarioResult::judged("demo", "7.3", reasons, Map::new(), time)
    }

    #[test]
    fn one_reason_is_enough_to_fail() {
        assert_eq!(result(&[]).verdict, Verdict::Pass);
        assert_eq!(result(&["no"]).verdict, Verdict::Fail);
        assert!(Results(vec![result(&[])]).are_good());
        assert!(!Results(vec![result(&[]), result(&["no"])]).are_good());
    }

    #[test]
    fn a_line_says_all() {
        assert_eq!(result(&[]).line(), "demo: pass");
        assert_eq!(result(&["a\nb", "c"]).line(), "demo: FAIL: a b; c");
    }

    #[test]
    fn the_table_says_why() {
        let text = Results(vec![result(&[]), result(&["2 cold pages\nwere promoted"])]).to_string();
        let expected = "demo  7.3  pass     1.5 s\ndemo  7.3  FAIL     1.5 s\n      2 cold pages\n    \
                        were promoted\n\n1 passed, 1 failed, 0 skipped\n";
        assert_eq!(text, expected);
    }
}
