// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! KTAP, version 1 (Linux Documentation/dev-tools/ktap.rst), written line by line as cases end.

use std::fmt::Display;
use std::io::{self, Write};

use super::{InstanceResults, RunDescription, Totals, instance_name, profile};
use crate::catalogue::Catalogue;
use crate::judge::Verdict;
use crate::run::CaseResult;

/// Writes the results of a run. With several instances, each one's cases are a nested test.
#[derive(Debug)]
pub struct Ktap<'a, W> {
    output: W,
    description: &'a RunDescription,
    catalogue: &'a Catalogue,
    indent: &'static str,
    instance: (usize, u8),
    instances_ended: usize,
    cases_ended: usize,
}

impl<'a, W: Write> Ktap<'a, W> {
    /// Writes the head of a run of `instances` instances.
    ///
    /// # Errors
    /// When the output fails.
    pub fn new(
        mut output: W,
        description: &'a RunDescription,
        catalogue: &'a Catalogue,
        instances: usize,
    ) -> io::Result<Self> {
        let indent = match instances {
            1 => "",
            _ => "  ",
        };
        if !indent.is_empty() {
            writeln!(output, "KTAP version 1\n1..{instances}")?;
        }
        Ok(Self {
            output,
            description,
            catalogue,
            indent,
            instance: (0, 0),
            instances_ended: 0,
            cases_ended: 0,
        })
    }

    /// Writes the plan of an instance.
    ///
    /// # Errors
    /// When the output fails.
    pub fn begin_instance(&mut self, instance: (usize, u8), cases: usize) -> io::Result<()> {
        self.instance = instance;
        self.cases_ended = 0;
        self.line("KTAP version 1")?;
        self.line(format_args!("1..{cases}"))
    }

    /// Writes one result.
    ///
    /// # Errors
    /// When the output fails.
    pub fn result(&mut self, result: &CaseResult) -> io::Result<()> {
        self.cases_ended += 1;
        let number = self.cases_ended;
        let CaseResult { case, verdict, .. } = result;
        match verdict {
            Verdict::Passed { reading } => {
                self.line(format_args!("ok {number} {case}"))?;
                match reading {
                    Some(reading) => self.line(format_args!("# reading: {reading}")),
                    None => Ok(()),
                }
            }
            Verdict::Differs(mismatch) => {
                self.line(format_args!("ok {number} {case}"))?;
                self.line(format_args!("# information: {mismatch}"))
            }
            Verdict::Skipped(reason) => {
                self.line(format_args!("ok {number} {case} # SKIP {reason}"))
            }
            Verdict::Failed(mismatch) => {
                self.line(format_args!("not ok {number} {case}"))?;
                self.line(format_args!("# {mismatch}"))?;
                let catalogue = self.catalogue;
                for requirement in result
                    .requirements
                    .iter()
                    .filter_map(|id| catalogue.find(id))
                {
                    self.line(format_args!(
                        "# {}: {}",
                        requirement.id, requirement.statement
                    ))?;
                }
                self.repeat(case)
            }
            Verdict::Broken(reason) => {
                self.line(format_args!("not ok {number} {case}"))?;
                self.line(format_args!("# the device could not be judged: {reason}"))?;
                self.repeat(case)
            }
        }
    }

    /// Writes what follows an instance's last result: its profile and the totals.
    ///
    /// # Errors
    /// When the output fails.
    pub fn end_instance(&mut self, results: &[CaseResult]) -> io::Result<()> {
        let profile: Vec<_> = profile(results).collect();
        if !profile.is_empty() {
            let width = profile.iter().map(|(case, _)| case.len()).max();
            let width = width.unwrap_or(0);
            self.line("# profile:")?;
            for (case, reading) in profile {
                self.line(format_args!("#   {case:width$}  {reading}"))?;
            }
        }
        let totals = Totals::of(results);
        self.line(format_args!("# {totals}"))?;
        self.instances_ended += 1;
        if self.indent.is_empty() {
            return Ok(());
        }
        let (number, name) = (self.instances_ended, instance_name(self.instance));
        let (outcome, directive) = match totals.exit_code() {
            0 => ("ok", ""),
            1 => ("not ok", ""),
            _ => ("ok", " # SKIP nothing ran"),
        };
        writeln!(self.output, "{outcome} {number} instance {name}{directive}")
    }

    /// Writes the totals of all instances, where there are several.
    ///
    /// # Errors
    /// When the output fails.
    pub fn end(mut self, instances: &[InstanceResults]) -> io::Result<()> {
        if !self.indent.is_empty() {
            let all = instances.iter().flat_map(|one| &one.results);
            writeln!(self.output, "# {}", Totals::of(all))?;
        }
        self.output.flush()
    }

    fn repeat(&mut self, case: &str) -> io::Result<()> {
        let repeat = self.description.repeat(self.instance, case);
        self.line(format_args!("# again: {repeat}"))
    }

    /// Whatever a text contains, it stays one line.
    fn line(&mut self, text: impl Display) -> io::Result<()> {
        let text = text.to_string().replace('\n', " ");
        writeln!(self.output, "{}{text}", self.indent)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{description, results, two_instances};
    use super::*;

    fn written(instances: &[InstanceResults]) -> String {
        let (catalogue, description) = (Catalogue::load().unwrap(), description());
        let mut output = Vec::new();
        let mut ktap = Ktap::new(&mut output, &description, &catalogue, instances.len()).unwrap();
        for one in instances {
            ktap.begin_instance(one.instance, one.results.len())
                .unwrap();
            for result in &one.results {
                ktap.result(result).unwrap();
            }
            ktap.end_instance(&one.results).unwrap();
        }
        ktap.end(instances).unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn every_kind_of_result_has_its_form() {
        let instance = InstanceResults {
            instance: (0, 1),
            results: results(),
        };
        let expected = "\
KTAP version 1
1..6
ok 1 a/one
ok 2 a/two
# reading: count >= threshold
ok 3 b/one
# information: the tail: read 1, expected 0
ok 4 b/two # SKIP the block has one instance only
not ok 5 c/one
# the tail: read 1, expected 0
# again: chmu conformance run --transport guest --instance 0.1 c/one
not ok 6 c/two
# the device could not be judged: the socket is closed
# again: chmu conformance run --transport guest --instance 0.1 c/two
# profile:
#   a/two  count >= threshold
# Totals: pass:2 fail:2 skip:1 differs:1
";
        assert_eq!(written(&[instance]), expected);
    }

    #[test]
    fn several_instances_are_nested() {
        let text = written(&two_instances());
        assert!(text.starts_with("KTAP version 1\n1..2\n  KTAP version 1\n  1..6\n  ok 1 a/one\n"));
        assert!(
            text.contains("\nnot ok 1 instance 0.0\n  KTAP version 1\n"),
            "{text}"
        );
        let end = "\nnot ok 2 instance 1.3\n# Totals: pass:4 fail:4 skip:2 differs:2\n";
        assert!(text.ends_with(end), "{text}");
    }
}
