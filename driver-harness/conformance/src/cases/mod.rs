// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The cases, a file per area.
//!
//! Looks that do not depend on each other go through [`Bench::each`](crate::bench::Bench::each), and all that they find is
//! reported: filters, kinds of interrupt, status bits, instances, offers. Where a case ends with the first mismatch, a step
//! builds on the one before: what is on a list depends on what was taken off it, a bit that rises on the one that was
//! cleared, a count on the epochs before. After a step that went otherwise, the next would be judged by a state that the
//! device is not in, and say of a rule what is true of another. Cases of sampling take one look each.

mod address;
mod always_on;
mod backlog;
mod capability;
mod configuration;
mod counter;
mod discovery;
mod epoch;
mod fill_level;
mod filter;
mod hotlist;
mod instance;
mod interrupt;
mod operation;
mod order;
mod range;
mod refusal;
mod register;
mod reset;
mod sampling;
mod status;
mod stress;
mod threshold;

use crate::case::Case;

/// All cases, by area, in the order in which a report shows them.
pub fn all() -> Vec<Case> {
    [
        discovery::CASES,
        capability::CASES,
        // A reset that takes the decoders away would be blamed on whatever follows it.
        reset::FIRST,
        register::CASES,
        configuration::CASES,
        refusal::CASES,
        operation::CASES,
        epoch::CASES,
        always_on::CASES,
        threshold::CASES,
        counter::CASES,
        filter::CASES,
        sampling::CASES,
        range::CASES,
        hotlist::CASES,
        backlog::CASES,
        status::CASES,
        fill_level::CASES,
        interrupt::CASES,
        instance::CASES,
        reset::CASES,
        address::CASES,
        order::CASES,
        stress::CASES,
    ]
    .concat()
}

/// The cases whose names match one of `patterns`; all without a pattern. A pattern is a name, an
/// area, or a name with `*` for any text.
pub fn matching(patterns: &[String]) -> Vec<Case> {
    let chosen =
        |case: &Case| patterns.is_empty() || patterns.iter().any(|one| fits(one, case.name));
    all().into_iter().filter(chosen).collect()
}

/// Whether a pattern names a case.
fn fits(pattern: &str, name: &str) -> bool {
    pattern == name
        || pattern == super::case::area(name)
        || (pattern.contains('*') && fits_wildcards(pattern, name))
}

fn fits_wildcards(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(after_head) = name.strip_prefix(head) else {
        return false;
    };
    (0..=after_head.len())
        .filter(|&at| after_head.is_char_boundary(at))
        .any(|at| fits_wildcards(rest, &after_head[at..]))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::catalogue::Catalogue;

    #[test]
    fn patterns_are_names_areas_and_wildcards() {
        assert!(fits("hotlist/wraps", "hotlist/wraps"));
        assert!(fits("hotlist", "hotlist/wraps"));
        assert!(fits("*/wraps", "hotlist/wraps"));
        assert!(fits("hotlist/*-reset", "hotlist/empty-after-reset"));
        assert!(!fits("hot", "hotlist/wraps"));
        assert!(!fits("range", "hotlist/wraps"));
    }

    #[test]
    fn every_case_checks_a_requirement_and_every_requirement_has_its_cases() {
        let catalogue = Catalogue::load().unwrap();
        let cases: BTreeSet<_> = all().iter().map(|case| case.name).collect();
        assert_eq!(cases.len(), all().len(), "a name is used twice");
        for Case {
            name, explanation, ..
        } in all()
        {
            assert!(explanation.ends_with('.'), "{name}: {explanation}");
        }
        for case in &cases {
            assert!(
                catalogue.checked_by(case).next().is_some(),
                "{case} checks nothing"
            );
        }
        for requirement in catalogue.requirements() {
            for case in &requirement.cases {
                assert!(
                    cases.contains(case.as_str()),
                    "{} names {case}",
                    requirement.id
                );
            }
        }
    }
}
