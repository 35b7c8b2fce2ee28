// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What this machine has of what the lab needs, and how to get the rest.

mod machine;
mod software;
mod toolchain;

use std::fmt;

use serde::Serialize;

use crate::cache::Cache;
use crate::platform::PlatformOptions;
use crate::progress::Progress;

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

/// All that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Report {
    /// In the order in which a user mends them.
    pub findings: Vec<Finding>,
}

/// Looks at everything. Reads and tries; changes and fetches nothing.
pub fn examine(options: &PlatformOptions, progress: &Progress) -> Report {
    progress.step("Looking at this machine");
    let cache = Cache::open();
    let mut findings = vec![machine::architecture()];
    findings.extend(software::platform(options, cache.as_ref().ok()));
    let fetches = findings.iter().any(|finding| finding.state == State::Fetch);
    if fetches {
        progress.step("Asking Debian's mirror");
        findings.push(software::mirror());
    }
    findings.push(match &cache {
        Ok(cache) => machine::disk(cache, fetches),
        Err(error) => software::no_cache(error),
    });
    findings.push(machine::memory());
    progress.step("Linking a program");
    findings.extend(toolchain::compiler());
    findings.push(toolchain::test_runner());
    findings.push(machine::user());
    Report { findings }
}

impl Report {
    /// Whether the demonstration can run.
    pub fn is_ready(&self) -> bool {
        let mut findings = self.findings.iter();
        findings.all(|finding| finding.state != State::Missing)
    }
}

/// Aligned lines; what to do is below the finding it belongs to.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.findings.iter().map(|finding| finding.subject.len());
        let width = widths.max().unwrap_or(0);
        for finding in &self.findings {
            let (subject, state, detail) = (finding.subject, finding.state, &finding.detail);
            writeln!(f, "{subject:width$}  {state:7}  {detail}")?;
            if let Some(fix) = &finding.fix {
                writeln!(f, "{:width$}           {fix}", "")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_aligned() {
        let findings = vec![
            Finding::new("QEMU", State::Ok, "11.1.3"),
            Finding::new("Static linking", State::Missing, "no libc.a").fix("Install libc6-dev"),
        ];
        assert_eq!(
            Report { findings }.to_string(),
            "QEMU            ok       11.1.3\n\
             Static linking  missing  no libc.a\n                         Install libc6-dev\n"
        );
    }

    #[test]
    fn only_what_is_missing_keeps_the_demonstration_from_running() {
        let states = [State::Ok, State::Fetch, State::Warning];
        let findings = states.map(|state| Finding::new("it", state, "")).to_vec();
        let mut report = Report { findings };
        assert!(report.is_ready());
        report.findings.push(Finding::new("it", State::Missing, ""));
        assert!(!report.is_ready());
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
