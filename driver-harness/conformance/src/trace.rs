// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `specs/TRACE.md`: which cases check each requirement, and how many broken rules these notice.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use chmu_model::Quirk;

use super::catalogue::{Catalogue, Level, Requirement};
use super::mutants::Mutant;

const INTRODUCTION: &str = "\
# From requirements to cases

Printed from `requirements.toml` and the cases of `driver-harness/conformance/src/cases`; change those
and run `UPDATE=1 cargo test -p chmu-conformance trace`.

A must or should that a device does not meet is a failure; information is one in a `--strict` run only. Agreed: all
public implementations do so. Split: they differ, and each known reading passes unless the run is
`--strict`. Ours: nobody says. The last column counts the quirks of `vfio-user-chmu --list-quirks` that one of the
cases notices first, at the first device that shows them.
";

/// The page; `mutants` tells which cases notice which quirk.
pub fn trace_page(catalogue: &Catalogue, mutants: &[Mutant]) -> String {
    let noticed = noticed(mutants);
    let mut page = String::from(INTRODUCTION);
    let requirements = catalogue.requirements();
    for area in requirements.chunk_by(|one, two| area(one) == area(two)) {
        let title = area.first().map_or("", self::area);
        // Writing to a string cannot fail.
        let _ = write!(
            page,
            "\n## {title}\n\n| id | level | status | requirement | cases | quirks |\n\
             | --- | --- | --- | --- | --- | --- |\n"
        );
        for requirement in area {
            let _ = writeln!(page, "{}", row(requirement, &noticed));
        }
    }
    let _ = write!(page, "\n{}", totals(requirements, mutants));
    page
}

/// The area's name within the id: `HOTLIST` of `CHMU-HOTLIST-007`.
fn area(requirement: &Requirement) -> &str {
    requirement.id.split('-').nth(1).unwrap_or_default()
}

/// The quirks that each case notices.
fn noticed(mutants: &[Mutant]) -> BTreeMap<&'static str, BTreeSet<Quirk>> {
    let mut noticed: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for mutant in mutants {
        for case in &mutant.failures.cases {
            noticed.entry(*case).or_default().insert(mutant.quirk);
        }
    }
    noticed
}

fn row(requirement: &Requirement, noticed: &BTreeMap<&str, BTreeSet<Quirk>>) -> String {
    let cases = requirement.cases.iter().map(|case| format!("`{case}`"));
    let quirks: BTreeSet<_> = requirement
        .cases
        .iter()
        .filter_map(|case| noticed.get(case.as_str()))
        .flatten()
        .collect();
    format!(
        "| {} | {} | {} | {} | {} | {} |",
        requirement.id,
        requirement.level,
        requirement.status.name(),
        requirement.statement,
        cases.collect::<Vec<_>>().join(", "),
        quirks.len()
    )
}

fn totals(requirements: &[Requirement], mutants: &[Mutant]) -> String {
    let of = |level: Level| requirements.iter().filter(|one| one.level == level).count();
    let cases: BTreeSet<_> = requirements.iter().flat_map(|one| &one.cases).collect();
    format!(
        "{} requirements ({} must, {} should, {} information), {} cases, {} quirks.\n",
        requirements.len(),
        of(Level::Must),
        of(Level::Should),
        of(Level::Information),
        cases.len(),
        mutants.len()
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::mutants::run_all;

    #[test]
    fn the_committed_page_is_current_and_every_quirk_is_named_for_what_it_breaks() {
        let mutants = run_all(Quirk::ALL, |_| ());
        let survivors: Vec<_> = mutants
            .iter()
            .filter(|mutant| mutant.failures.cases.is_empty())
            .map(|mutant| mutant.quirk.name())
            .collect();
        assert_eq!(survivors, Vec::<&str>::new());
        let blamed_wrongly: Vec<_> = mutants
            .iter()
            .filter(|mutant| mutant.is_misattributed())
            .map(|mutant| (mutant.quirk.name(), &mutant.failures))
            .collect();
        assert!(blamed_wrongly.is_empty(), "{blamed_wrongly:?}");
        assert!(mutants.len() >= 80, "{} quirks", mutants.len());

        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../specs/TRACE.md");
        let page = trace_page(&Catalogue::load().unwrap(), &mutants);
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, &page).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap();
        assert!(
            committed == page,
            "TRACE.md is stale; run UPDATE=1 cargo test -p chmu-conformance trace"
        );
    }
}
