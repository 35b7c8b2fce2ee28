// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What this machine has of what the lab needs, and how to get the rest.

mod machine;
mod software;

use std::fmt;

use serde::Serialize;

use crate::cache::Cache;
use crate::platform::PlatformOptions;

/// How it stands with one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// There, and good enough.
    Ok,
    /// Not there, but the lab fetches it by itself.
    Fetch,
    /// Not as it should be; the demonstration runs all the same.
    Warning,
    /// Not there, and nothing runs without it.
    Missing,
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Ok => "ok",
            Self::Fetch => "fetch",
            Self::Warning => "warning",
            Self::Missing => "missing",
        })
    }
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub subject: &'static str,
    /// How it stands.
    pub state: State,
    /// What was found.
    pub detail: String,
    /// What to do, when there is something to do.
    pub fix: Option<String>,
}

impl Finding {
    fn new(subject: &'static str, state: State, detail: impl Into<String>) -> Self {
        Self {
            subject,
            state,
            detail: detail.into(),
            fix: None,
        }
    }

    fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}

/// Looks at everything. Reads and tries; changes and fetches nothing.
///
/// # Errors
/// When there is no place for a cache.
pub fn examine(options: &PlatformOptions) -> anyhow::Result<Vec<Finding>> {
    let cache = Cache::open()?;
    let mut findings = vec![machine::architecture()];
    findings.extend(software::platform(options, &cache));
    let fetches = findings.iter().any(|finding| finding.state == State::Fetch);
    if fetches {
        findings.push(software::mirror());
    }
    findings.push(machine::disk(&cache, fetches));
    findings.push(machine::memory());
    findings.push(software::static_linking());
    findings.push(software::test_runner());
    findings.push(machine::user());
    Ok(findings)
}

/// Whether the demonstration can run.
pub fn is_ready(findings: &[Finding]) -> bool {
    findings
        .iter()
        .all(|finding| finding.state != State::Missing)
}

/// The findings as aligned lines; what to do is below the finding it belongs to.
pub fn table(findings: &[Finding]) -> String {
    let widths = findings.iter().map(|finding| finding.subject.len());
    let width = widths.max().unwrap_or(0);
    let mut table = String::new();
    for finding in findings {
        let (subject, state, detail) = (finding.subject, finding.state, &finding.detail);
        table.push_str(&format!("{subject:width$}  {state:7}  {detail}\n"));
        if let Some(fix) = &finding.fix {
            table.push_str(&format!("{:width$}           {fix}\n", ""));
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_aligned() {
        let findings = [
            Finding::new("QEMU", State::Ok, "11.1.3"),
            Finding::new("Static linking", State::Missing, "no libc.a").fix("Install libc6-dev"),
        ];
        assert_eq!(
            table(&findings),
            "QEMU            ok       11.1.3\n\
             Static linking  missing  no libc.a\n                         Install libc6-dev\n"
        );
    }

    #[test]
    fn only_what_is_missing_keeps_the_demonstration_from_running() {
        let states = [State::Ok, State::Fetch, State::Warning];
        let mut findings: Vec<Finding> = states.map(|state| Finding::new("it", state, "")).to_vec();
        assert!(is_ready(&findings));
        findings.push(Finding::new("it", State::Missing, ""));
        assert!(!is_ready(&findings));
    }

    #[test]
    fn findings_are_json_objects() {
        let finding = Finding::new("QEMU", State::Ok, "11.1.3");
        assert_eq!(
            serde_json::to_string(&finding).unwrap(),
            r#"{"subject":"QEMU","state":"ok","detail":"11.1.3","fix":null}"#
        );
    }
}
