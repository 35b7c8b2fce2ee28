// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What came of all trials, to be looked at and to be held against another run.

use chmu_machine::words::grouped;

use super::result::{Comparison, Row};
use super::table::{HEADS, cells};
use super::{Pattern, Policy, Trial};
use crate::report::{
    Bar, Colour, Group, Line, Picture, Section, Table, bars, lines, machine_section,
};
use crate::runs::{Better, Figure, Outcome};
use crate::spread::Spread;
use crate::topology::Topology;

const GAP_TEXT: &str = "The part of the modelled time between pages that nobody moves (0 %) and pages that are on DRAM \
    from the beginning (100 %) that a policy wins, what moving pages costs the guest's processors included. The median \
    of all seeds; the whisker goes from the least to the most.";
const SHARE_TITLE: &str = "The CXL memory's share of the lines filled, seed 1";
const MOVED_TITLE: &str = "Pages that the kernel moved; red: those that had not been hot";

impl Outcome for Comparison {
    fn is_good(&self) -> bool {
        self.is_complete()
    }

    fn verdict(&self) -> String {
        let failed = self.failed_trials();
        let mut words = match failed {
            0 => String::new(),
            _ => format!("{failed} of {} trials failed. ", self.trials.len()),
        };
        let tried = self.policies.iter().filter(|policy| !policy.is_bound);
        let closed: Vec<_> = tried.filter_map(|policy| self.closed(policy)).collect();
        match closed.is_empty() {
            true => words.push_str("Nothing was measured that could be compared."),
            false => words.push_str(&format!(
                "Of the gap between pages that nobody moves and pages on DRAM is closed, by workload: {}.",
                closed.join("; ")
            )),
        }
        words
    }

    fn figures(&self) -> Vec<Figure> {
        let figures = self.rows.iter().flat_map(|row| {
            let of = |what: &str, spread: Option<Spread>, better| {
                let name = format!("{}, {}: {what}", row.workload, row.policy);
                Figure::of(name, spread.map(|spread| spread.median), better)
            };
            let is_bound = self
                .policies
                .iter()
                .any(|one| one.name == row.policy && one.is_bound);
            let [more, less] = match is_bound {
                true => [Better::Neither; 2],
                false => [Better::More, Better::Less],
            };
            [
                of("gap closed", row.gap_closed, more),
                of("hot pages on DRAM", row.hot_part, more),
                of("pages moved", row.pages_moved, less),
                of("wrong pages", row.wrong_pages, less),
                of("lines until 90 %", row.fills_until_steady, less),
            ]
        });
        figures.flatten().collect()
    }

    fn sections(&self) -> Vec<Section> {
        let mut sections = vec![Section {
            title: "Gap closed".to_owned(),
            text: GAP_TEXT.to_owned(),
            pictures: vec![self.overview()],
            table: None,
        }];
        sections.extend(self.workloads.iter().map(|pattern| self.section(pattern)));
        let policies = self.policies.iter();
        let policies = policies.map(|policy| (policy.name.clone(), policy.summary.clone()));
        sections.push(Section {
            title: "Policies".to_owned(),
            table: Some(Table::of_pairs(["policy", "what it does"], policies)),
            ..Section::default()
        });
        let times = &self.figures;
        let own = [
            ("kernel", format!("Linux {}", self.kernel)),
            ("seeds", self.seeds.to_string()),
            (
                "rounds",
                format!("one part in {} of each workload's", self.shortened),
            ),
            (
                "modelled",
                format!(
                    "{} ns from a miss to a line of DRAM, {} ns to one of CXL memory, one miss after the other",
                    times.other_ns, times.cxl_ns
                ),
            ),
        ];
        let own = own.map(|(name, value)| (name.to_owned(), value));
        sections.push(machine_section(&Topology::default()));
        sections.push(Section {
            title: "What was run".to_owned(),
            table: Some(Table::of_pairs(["what", "which"], own)),
            ..Section::default()
        });
        sections
    }
}

impl Comparison {
    fn closed(&self, policy: &Policy) -> Option<String> {
        let rows = self.rows.iter().filter(|row| row.policy == policy.name);
        let gaps = Spread::of(rows.filter_map(|row| Some(row.gap_closed?.median)))?;
        let (least, most) = (percent(gaps.least), percent(gaps.most));
        Some(match least == most {
            true => format!("{least} by {policy}"),
            false => format!("{least} to {most} by {policy}"),
        })
    }

    /// The gap that each policy closes, by workload.
    pub fn overview(&self) -> Picture {
        let groups = self.workloads.iter().map(|pattern| Group {
            name: pattern.name.to_owned(),
            bars: self
                .tried(pattern)
                .map(|(policy, row)| self.bar(policy, row, row.gap_closed, percent))
                .collect(),
        });
        let groups: Vec<_> = groups.collect();
        bars("Gap closed", &groups, 1.0, percent)
    }

    fn section(&self, pattern: &Pattern) -> Section {
        let rows = self.rows.iter().filter(|row| row.workload == pattern.name);
        let moved = Group {
            name: String::new(),
            bars: self
                .tried(pattern)
                .map(|(policy, row)| Bar {
                    wrong: row.wrong_pages.map_or(0.0, |wrong| wrong.median),
                    ..self.bar(policy, row, row.pages_moved, count)
                })
                .collect(),
        };
        let reasons = rows.clone().filter_map(|row| {
            let reason = row.reason.as_ref()?;
            Some(format!(" {}: {reason}.", row.policy))
        });
        Section {
            title: pattern.name.to_owned(),
            text: format!("{}.{}", pattern.summary, reasons.collect::<String>()),
            pictures: vec![
                lines(SHARE_TITLE, "lines filled", &self.lines(pattern), short),
                bars(MOVED_TITLE, &[moved], 0.0, short),
            ],
            table: Some(Table {
                heads: HEADS.map(str::to_owned).to_vec(),
                rows: rows.map(|row| cells(row).to_vec()).collect(),
            }),
        }
    }

    /// What is measured against the bounds.
    fn tried(&self, pattern: &Pattern) -> impl Iterator<Item = (&Policy, &Row)> {
        let policies = self.policies.iter().filter(|policy| !policy.is_bound);
        policies.filter_map(|policy| {
            let mut rows = self.rows.iter();
            let row = rows.find(|row| row.workload == pattern.name && row.policy == policy.name)?;
            Some((policy, row))
        })
    }

    fn bar(
        &self,
        policy: &Policy,
        row: &Row,
        spread: Option<Spread>,
        words: fn(f64) -> String,
    ) -> Bar {
        let nothing = match row.reason {
            Some(_) => "not tried",
            None => "-",
        };
        Bar {
            name: policy.name.clone(),
            colour: self.colour(policy),
            value: spread.map(|spread| spread.median),
            spread: spread.map(|spread| (spread.least, spread.most)),
            wrong: 0.0,
            words: spread.map_or_else(|| nothing.to_owned(), |spread| spread.words(words)),
        }
    }

    fn lines(&self, pattern: &Pattern) -> Vec<Line> {
        let lines = self.policies.iter().filter_map(|policy| {
            let trials = self.trials.iter();
            let mut trials =
                trials.filter(|one| one.workload == pattern.name && one.policy == policy.name);
            let measured = trials.find_map(Trial::measured)?;
            #[expect(clippy::cast_precision_loss)]
            let points = measured
                .parts
                .iter()
                .map(|part| (part.until_fills as f64, part.cxl_share));
            Some(Line {
                name: policy.name.clone(),
                colour: self.colour(policy),
                is_bound: policy.is_bound,
                points: points.collect(),
            })
        });
        lines.collect()
    }

    /// The same in each run, for what the lab has.
    fn colour(&self, policy: &Policy) -> Colour {
        let before = self
            .policies
            .iter()
            .take_while(|one| one.name != policy.name);
        Colour(policy.place(before.count()))
    }
}

fn percent(part: f64) -> String {
    format!("{:.0} %", part * 100.0)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn count(number: f64) -> String {
    grouped(number as u64)
}

/// A count for the end of an axis.
fn short(number: f64) -> String {
    match number {
        1e6.. => format!("{} M", number / 1e6),
        1e3.. => format!("{} k", number / 1e3),
        _ => format!("{number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::result::tests::comparison;
    use crate::report::Page;
    use crate::runs::{Outcome, changes};

    #[test]
    fn a_page_has_each_policy_in_its_colour_and_says_what_was_not_tried() {
        let comparison = comparison();
        let page = Page {
            title: String::new(),
            is_good: true,
            verdict: comparison.verdict(),
            command: String::new(),
            sections: comparison.sections(),
        };
        let html = page.html().unwrap();
        for text in [
            "90 % by chmu.",
            "class=\"c6\"",
            "not tried",
            "userfaultfd: no RWP.",
        ] {
            assert!(html.contains(text), "{text} is missing in {html}");
        }
        assert_eq!(html.matches("<svg").count(), 4);
    }

    #[test]
    fn a_policy_that_closes_less_is_a_regression_and_a_bound_is_none() {
        let before = comparison().figures();
        let worse = |policy: &str, value| {
            let mut after = before.clone();
            let name = format!("uniform, {policy}: gap closed");
            after
                .iter_mut()
                .find(|figure| figure.name == name)
                .unwrap()
                .value = value;
            changes(&before, &after, 0.1)
                .iter()
                .any(|change| change.is_regression)
        };
        assert!(worse("chmu", 0.5) && !worse("chmu", 0.85) && !worse("none", -1.0));
    }
}
