// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What came of scenarios, as a page and in numbers that another run is held against.

use std::collections::BTreeSet;

use super::result::{Results, Verdict};
use crate::report::{Section, Table};
use crate::runs::{Better, Figure, Outcome};

impl Outcome for Results {
    fn is_good(&self) -> bool {
        self.are_good()
    }

    fn verdict(&self) -> String {
        let [passed, failed, skipped] =
            [Verdict::Pass, Verdict::Fail, Verdict::Skip].map(|one| self.count(one));
        let kernels: BTreeSet<_> = self
            .0
            .iter()
            .map(|result| format!("Linux {}", result.kernel))
            .collect();
        let kernels: Vec<_> = kernels.into_iter().collect();
        format!(
            "{passed} scenarios passed, {failed} failed, {skipped} skipped on {}.",
            kernels.join(" and ")
        )
    }

    /// Whether each passed; how long it took says nothing of it.
    fn figures(&self) -> Vec<Figure> {
        let figures = self.0.iter().flat_map(|result| {
            let name = format!("{} on {}", result.scenario, result.kernel);
            let passed = match result.verdict {
                Verdict::Pass => Some(1.0),
                Verdict::Fail => Some(0.0),
                Verdict::Skip => None,
            };
            [
                Figure::of(format!("{name}: passed"), passed, Better::More),
                Figure::of(
                    format!("{name}: seconds"),
                    Some(result.seconds),
                    Better::Neither,
                ),
            ]
        });
        figures.flatten().collect()
    }

    /// A row for each, and what was counted.
    fn sections(&self) -> Vec<Section> {
        let heads = ["scenario", "kernel", "verdict", "seconds"].map(str::to_owned);
        let rows = self.0.iter().map(|result| {
            vec![
                result.scenario.to_owned(),
                result.kernel.clone(),
                result.verdict.to_string(),
                format!("{:.1}", result.seconds),
            ]
        });
        let reasons = self.0.iter().filter(|result| !result.reasons.is_empty());
        let reasons: Vec<_> = reasons
            .map(|result| {
                (
                    format!("{} on {}", result.scenario, result.kernel),
                    result.reasons.join("; "),
                )
            })
            .collect();
        let counted = self.0.iter().map(|result| {
            let figures = result
                .figures
                .iter()
                .map(|(name, value)| format!("{name}: {value}"));
            let figures: Vec<_> = figures.collect();
            (
                format!("{} on {}", result.scenario, result.kernel),
                figures.join("; "),
            )
        });
        let table = |title: &str, table| Section {
            title: title.to_owned(),
            table: Some(table),
            ..Section::default()
        };
        let all = Table {
            heads: heads.to_vec(),
            rows: rows.collect(),
        };
        let mut sections = vec![table("Scenarios", all)];
        if !reasons.is_empty() {
            sections.push(table(
                "Reasons",
                Table::of_pairs(["scenario", "why it is no pass"], reasons),
            ));
        }
        sections.push(table(
            "Counted",
            Table::of_pairs(["scenario", "what was counted"], counted),
        ));
        sections
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Map;

    use super::*;
    use crate::scenario::ScenarioResult;

    #[test]
    fn one_that_begins_to_fail_is_a_regression() {
        let results = |reasons: &[&str]| {
            let reasons = reasons.iter().map(|&it| it.to_owned()).collect();
            let time = Duration::from_secs(2);
            Results(vec![ScenarioResult::judged(
                "demo",
                "7.3",
                reasons,
                Map::new(),
                time,
            )])
        };
        let (good, bad) = (results(&[]), results(&["no page moved"]));
        let changes = crate::runs::changes(&good.figures(), &bad.figures(), 0.1);
        let worse: Vec<_> = changes
            .iter()
            .filter(|change| change.is_regression)
            .collect();
        assert_eq!(worse[0].name, "demo on 7.3: passed");
        assert_eq!(worse.len(), 1);
        assert_eq!(
            bad.verdict(),
            "0 scenarios passed, 1 failed, 0 skipped on Linux 7.3."
        );
        assert_eq!((good.sections().len(), bad.sections().len()), (2, 3));
    }
}
