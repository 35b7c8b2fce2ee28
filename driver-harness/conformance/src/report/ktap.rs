// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! KTAP, version 1 (Linux Documentation/dev-tools/ktap.rst), written line by line as cases end.

mod summary;

use std::fmt::Display;
use std::io::{self, Write};

use super::text::wrap;
use super::{Ending, InstanceResults, RunDescription, Totals, instance_name, weight};
use crate::catalogue::Catalogue;
use crate::judge::Verdict;
use crate::outcome::Mismatches;
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
    /// Writes the head of a run of `instances` instances, none of a run that does not begin.
    ///
    /// # Errors
    /// When the output fails.
    pub fn new(
        output: W,
        description: &'a RunDescription,
        catalogue: &'a Catalogue,
        instances: usize,
    ) -> io::Result<Self> {
        let mut ktap = Self {
            output,
            description,
            catalogue,
            indent: "",
            instance: (0, 0),
            instances_ended: 0,
            cases_ended: 0,
        };
        ktap.line("KTAP version 1")?;
        for (name, value) in &description.facts {
            // What the capability registers say in words fills screens; the other forms have it.
            let value = match name.starts_with("instance ") {
                true => value.split(" (").next().unwrap_or(value),
                false => value,
            };
            match &**name {
                // It is there to be copied.
                "command" => ktap.line(format_args!("# {name}: {value}"))?,
                _ => ktap.comment(&format!("{name}: {value}"), "    ")?,
            }
        }
        if instances > 1 {
            ktap.line(format_args!("1..{instances}"))?;
            ktap.indent = "  ";
        }
        Ok(ktap)
    }

    /// Writes the plan of an instance.
    ///
    /// # Errors
    /// When the output fails.
    pub fn begin_instance(&mut self, instance: (usize, u8), cases: usize) -> io::Result<()> {
        self.instance = instance;
        self.cases_ended = 0;
        if !self.indent.is_empty() {
            self.line("KTAP version 1")?;
        }
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
        let weight = weight(result, self.catalogue);
        match verdict {
            Verdict::Passed { reading } => {
                self.line(format_args!("ok {number} {case} # {weight}"))?;
                match reading {
                    Some(reading) => self.comment(&format!("reading: {reading}"), "  "),
                    None => Ok(()),
                }
            }
            Verdict::Differs(found) => {
                self.line(format_args!("ok {number} {case} # {weight}"))?;
                self.mismatches("information: ", found)
            }
            Verdict::Skipped(skip) => {
                self.line(format_args!("ok {number} {case} # SKIP {skip} ({weight})"))
            }
            Verdict::Failed(found) => {
                self.line(format_args!("not ok {number} {case} # {weight}"))?;
                self.mismatches("", found)?;
                let catalogue = self.catalogue;
                let requirements = result.requirements.iter();
                for one in requirements.filter_map(|id| catalogue.find(id)) {
                    let (id, level, status) = (&one.id, one.level, one.status.name());
                    let statement = &one.statement;
                    self.comment(&format!("{id} ({level}, {status}): {statement}"), "  ")?;
                }
                self.repeat(case)
            }
            Verdict::Broken(reason) => {
                self.line(format_args!("not ok {number} {case} # ERROR {weight}"))?;
                self.comment(&format!("could not be judged: {reason}"), "  ")?;
                self.repeat(case)
            }
        }
    }

    /// Writes what follows an instance's last result: causes of failures, what was skipped and why, its profile and
    /// the totals.
    ///
    /// # Errors
    /// When the output fails.
    pub fn end_instance(&mut self, results: &[CaseResult]) -> io::Result<()> {
        self.summary(results)?;
        let totals = Totals::of(results);
        let planned = self.description.planned;
        match totals.all() == planned {
            true => self.line(format_args!("# Totals: {totals}"))?,
            false => self.line(format_args!(
                "# Not complete: {} of {planned} cases ran, {totals}",
                totals.all()
            ))?,
        }
        self.instances_ended += 1;
        if self.indent.is_empty() {
            return Ok(());
        }
        let (number, name) = (self.instances_ended, instance_name(self.instance));
        let (outcome, directive) = match totals.exit_code() {
            _ if totals.all() != planned => ("not ok", " # ERROR not complete"),
            0 => ("ok", ""),
            1 => ("not ok", ""),
            5 => ("not ok", " # ERROR some cases could not be judged"),
            _ => ("ok", " # SKIP nothing ran"),
        };
        writeln!(self.output, "{outcome} {number} instance {name}{directive}")
    }

    /// Writes the totals of all instances, where there are several, or why the run ended before its time.
    ///
    /// # Errors
    /// When the output fails.
    pub fn end(mut self, instances: &[InstanceResults], ending: &Ending) -> io::Result<()> {
        let several = !self.indent.is_empty();
        self.indent = "";
        if let Some(left) = &ending.left {
            self.comment(left, "  ")?;
        }
        match &ending.early {
            Some(early) => self.line(format_args!("Bail out! {early}"))?,
            None if several => {
                let all = instances.iter().flat_map(|one| &one.results);
                self.line(format_args!("# Totals: {}", Totals::of(all)))?;
            }
            None => {}
        }
        self.output.flush()
    }

    fn mismatches(&mut self, head: &str, found: &Mismatches) -> io::Result<()> {
        for mismatch in found.iter() {
            self.comment(&format!("{head}{mismatch}"), "  ")?;
        }
        match found.more() {
            0 => Ok(()),
            more => self.comment(&format!("and {more} more"), "  "),
        }
    }

    fn repeat(&mut self, case: &str) -> io::Result<()> {
        let repeat = self.description.repeat(self.instance, case);
        self.line(format_args!("# again: {repeat}"))
    }

    /// A text for people, in lines that fit a terminal.
    fn comment(&mut self, text: &str, indent: &str) -> io::Result<()> {
        for line in wrap(text, indent) {
            self.line(format_args!("# {line}"))?;
        }
        Ok(())
    }

    /// Whatever a text contains, it stays one line.
    fn line(&mut self, text: impl Display) -> io::Result<()> {
        let text = text.to_string().replace(char::is_control, " ");
        writeln!(self.output, "{}{text}", self.indent)
    }
}

#[cfg(test)]
mod tests;
