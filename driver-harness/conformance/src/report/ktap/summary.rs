// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What is said of an instance after its last case.

use std::io::{self, Write};

use super::Ktap;
use crate::judge::Verdict;
use crate::report::{causes, profile, skip_reasons, weight};
use crate::run::CaseResult;

impl<W: Write> Ktap<'_, W> {
    /// Writes the summary.
    pub(super) fn summary(&mut self, results: &[CaseResult]) -> io::Result<()> {
        self.causes(results)?;
        self.unjudged(results)?;
        self.skips(results)?;
        self.profile(results)
    }

    fn causes(&mut self, results: &[CaseResult]) -> io::Result<()> {
        let causes = causes(results);
        if causes.is_empty() {
            return Ok(());
        }
        self.line("# failures by cause:")?;
        for (number, cause) in (1..).zip(&causes) {
            let (case, weight) = (cause.first.case, weight(cause.first, self.catalogue));
            self.comment(&format!("  {number}. {case} ({weight})"), "     ")?;
            self.comment(&format!("     {}", cause.found.first()), "     ")?;
            let followers: Vec<_> = cause.followers.iter().map(|one| one.case).collect();
            if !followers.is_empty() {
                let count = followers.len();
                let names = followers.join(", ");
                self.comment(
                    &format!("     {count} may follow from it: {names}"),
                    "     ",
                )?;
            }
        }
        Ok(())
    }

    fn unjudged(&mut self, results: &[CaseResult]) -> io::Result<()> {
        let broken = |result: &CaseResult| match &result.verdict {
            Verdict::Broken(reason) => Some((result.case, reason.clone())),
            _ => None,
        };
        let broken: Vec<_> = results.iter().filter_map(broken).collect();
        if !broken.is_empty() {
            self.line("# could not be judged:")?;
        }
        for (case, reason) in broken {
            self.comment(&format!("  {case}: {reason}"), "    ")?;
        }
        Ok(())
    }

    fn skips(&mut self, results: &[CaseResult]) -> io::Result<()> {
        let reasons = skip_reasons(results);
        if !reasons.is_empty() {
            self.line("# skipped:")?;
        }
        for reason in reasons {
            let count = reason.cases.len();
            self.comment(&format!("  {count:3}  {}", reason.reason), "       ")?;
            if let Some(unlocked_by) = reason.unlocked_by {
                self.comment(&format!("       unlocked by: {unlocked_by}"), "       ")?;
            }
        }
        Ok(())
    }

    fn profile(&mut self, results: &[CaseResult]) -> io::Result<()> {
        let profile: Vec<_> = profile(results).collect();
        if profile.is_empty() {
            return Ok(());
        }
        let width = profile.iter().map(|(case, _)| case.len()).max();
        let width = width.unwrap_or(0);
        self.line("# profile:")?;
        for (case, reading) in profile {
            self.line(format_args!("#   {case:width$}  {reading}"))?;
        }
        Ok(())
    }
}
