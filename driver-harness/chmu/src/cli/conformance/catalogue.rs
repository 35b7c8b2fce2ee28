// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `chmu conformance list` and `chmu conformance explain`.

use std::fmt::{self, Display};
use std::process::ExitCode;

use anyhow::Context;
use chmu_conformance::case::Case;
use chmu_conformance::cases;
use chmu_conformance::catalogue::{Catalogue, Requirement};
use chmu_cxl::Profile;
use chmu_machine::names::instead;
use chmu_model::{Emulation, Quirk};
use clap::error::ErrorKind;
use serde::Serialize;

use super::super::output::Format;

#[derive(Debug, clap::Args)]
pub(super) struct ListOptions {
    /// The form of the list on stdout.
    #[arg(short, long, value_enum, default_value = "human")]
    output: Format,
    /// Lists the rules instead that a device in this process can be told to break, and the public emulations whose broken
    /// rules --like takes.
    #[arg(long)]
    quirks: bool,
    /// Lists the ready-made devices instead that can be in this process.
    #[arg(long, conflicts_with = "quirks")]
    profiles: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct ExplainOptions {
    /// A requirement, such as CHMU-HOTLIST-007, or a case, such as hotlist/wraps.
    #[arg(value_name = "ID|CASE")]
    name: String,
    /// The form of the explanation on stdout.
    #[arg(short, long, value_enum, default_value = "human")]
    output: Format,
}

/// The cases and the requirements that they check.
#[derive(Debug, Serialize)]
struct List<'a> {
    cases: Vec<CaseEntry<'a>>,
    requirements: &'a [Requirement],
}

#[derive(Debug, Serialize)]
struct CaseEntry<'a> {
    case: &'static str,
    explanation: &'static str,
    reads_only: bool,
    requirements: Vec<&'a str>,
}

/// Requirements with the cases that check them.
#[derive(Debug, Serialize)]
struct Explanation<'a> {
    requirements: Vec<&'a Requirement>,
    cases: Vec<CaseEntry<'a>>,
}

impl<'a> CaseEntry<'a> {
    fn new(case: &Case, catalogue: &'a Catalogue) -> Self {
        let requirements = catalogue.checked_by(case.name);
        Self {
            case: case.name,
            explanation: case.explanation,
            reads_only: case.reads_only,
            requirements: requirements.map(|entry| entry.id.as_str()).collect(),
        }
    }
}

/// Names of values that an option takes.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Names(Vec<Named>);

#[derive(Debug, Serialize)]
struct Named {
    name: &'static str,
    explanation: &'static str,
}

impl Names {
    fn quirks() -> Self {
        let quirks = Quirk::ALL.iter().map(|quirk| Named {
            name: quirk.name(),
            explanation: quirk.explanation(),
        });
        let emulations = Emulation::ALL.iter().map(|emulation| Named {
            name: emulation.name,
            explanation: emulation.explanation,
        });
        Self(quirks.chain(emulations).collect())
    }

    fn profiles() -> Self {
        let profiles = Profile::ALL.iter().map(|profile| Named {
            name: profile.name(),
            explanation: profile.explanation(),
        });
        Self(profiles.collect())
    }
}

impl Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|named| named.name.len()).max();
        let width = width.unwrap_or(0);
        for Named { name, explanation } in &self.0 {
            writeln!(f, "{name:width$}  {explanation}")?;
        }
        Ok(())
    }
}

pub(super) fn list(options: &ListOptions) -> anyhow::Result<ExitCode> {
    match (options.quirks, options.profiles) {
        (true, _) => options.output.print(&Names::quirks())?,
        (_, true) => options.output.print(&Names::profiles())?,
        (false, false) => return list_cases(options),
    }
    Ok(ExitCode::SUCCESS)
}

fn list_cases(options: &ListOptions) -> anyhow::Result<ExitCode> {
    let catalogue = load()?;
    let cases = cases::all();
    let list = List {
        cases: cases
            .iter()
            .map(|case| CaseEntry::new(case, &catalogue))
            .collect(),
        requirements: catalogue.requirements(),
    };
    options.output.print(&list)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn explain(options: &ExplainOptions) -> anyhow::Result<ExitCode> {
    let catalogue = load()?;
    let Some(explanation) = find(&catalogue, &options.name) else {
        let requirements = catalogue.requirements().iter().map(|one| one.id.as_str());
        let all = cases::all();
        let names: Vec<_> = requirements
            .chain(all.iter().map(|case| case.name))
            .collect();
        let message = format!(
            "no requirement and no case is named {:?}; {}",
            options.name,
            instead(&options.name, &names, "chmu conformance list")
        );
        return Err(clap::Error::raw(ErrorKind::InvalidValue, message).into());
    };
    options.output.print(&explanation)?;
    Ok(ExitCode::SUCCESS)
}

fn load() -> anyhow::Result<Catalogue> {
    Catalogue::load().context("The catalogue of this program is damaged")
}

/// A requirement with its cases, or a case with its requirements.
fn find<'a>(catalogue: &'a Catalogue, name: &str) -> Option<Explanation<'a>> {
    let all = cases::all();
    let is_meant = |case: &&Case| match catalogue.find(name) {
        Some(requirement) => requirement.cases.iter().any(|one| one == case.name),
        None => case.name == name,
    };
    let cases: Vec<_> = all.iter().filter(is_meant).collect();
    let requirements = match catalogue.find(name) {
        Some(requirement) => vec![requirement],
        None => catalogue.checked_by(name).collect(),
    };
    let cases = cases
        .into_iter()
        .map(|case| CaseEntry::new(case, catalogue))
        .collect();
    (!requirements.is_empty()).then_some(Explanation {
        requirements,
        cases,
    })
}

impl Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |text: fn(&CaseEntry<'_>) -> usize| self.cases.iter().map(text).max();
        let case_width = width(|entry| entry.case.len()).unwrap_or(0);
        let id_width = width(|entry| entry.requirements.join(" ").len()).unwrap_or(0);
        for entry in &self.cases {
            let CaseEntry {
                case, explanation, ..
            } = entry;
            let ids = entry.requirements.join(" ");
            writeln!(f, "{case:case_width$}  {ids:id_width$}  {explanation}")?;
        }
        let reading = self.cases.iter().filter(|entry| entry.reads_only).count();
        writeln!(
            f,
            "\n{} cases, {reading} of them only read, for {} requirements",
            self.cases.len(),
            self.requirements.len()
        )
    }
}

impl Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for requirement in &self.requirements {
            let Requirement {
                id,
                statement,
                level,
                status,
                source,
                readings,
                ..
            } = requirement;
            writeln!(f, "{id}\n  {statement}")?;
            writeln!(
                f,
                "  level   {level}\n  status  {status}\n  source  {source}"
            )?;
            for (index, reading) in readings.iter().enumerate() {
                let (head, mark) = match index {
                    0 => ("reading", " (this project's decision)"),
                    _ => ("", ""),
                };
                writeln!(f, "  {head:7} {reading}{mark}")?;
            }
        }
        for entry in &self.cases {
            let note = if entry.reads_only {
                " (only reads)"
            } else {
                ""
            };
            writeln!(f, "{}{note}\n  {}", entry.case, entry.explanation)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_and_cases_are_explained() {
        let catalogue = Catalogue::load().unwrap();
        let by_id = find(&catalogue, "chmu-threshold-001").unwrap().to_string();
        assert_eq!(
            by_id,
            find(&catalogue, "threshold/equal-count")
                .unwrap()
                .to_string()
        );
        let expected = "\
CHMU-THRESHOLD-001
  A unit whose count equals the threshold is hot.
  level   must
  status  split: implementations differ; each reading is accepted unless the run is strict, and \
where there is one only, the source says who does otherwise
";
        assert!(by_id.starts_with(expected), "{by_id}");
        assert!(by_id.contains("  reading count >= threshold (this project's decision)\n"));
        let end = "threshold/equal-count\n  \
                   Accesses a unit exactly as often as the threshold says.\n";
        assert!(by_id.ends_with(end), "{by_id}");
        assert!(find(&catalogue, "hotlist").is_none());
    }

    #[test]
    fn the_list_counts() {
        let catalogue = Catalogue::load().unwrap();
        let cases = cases::all();
        let list = List {
            cases: cases
                .iter()
                .map(|case| CaseEntry::new(case, &catalogue))
                .collect(),
            requirements: catalogue.requirements(),
        };
        let text = list.to_string();
        assert_eq!(text.lines().count(), cases.len() + 2);
        let end = format!(" for {} requirements\n", catalogue.requirements().len());
        assert!(text.ends_with(&end), "{text}");
    }
}
