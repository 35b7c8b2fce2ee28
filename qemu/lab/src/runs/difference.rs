// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Two runs side by side.

use std::fmt;

use anyhow::{Result, ensure};
use serde::Serialize;

use super::{Change, Run, changes};

/// What changed between two runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// The first run's name.
    pub before: String,
    /// The second's.
    pub after: String,
    /// Worse by more than this part is a regression.
    pub limit: f64,
    /// The second failed, and the first did not.
    pub began_to_fail: bool,
    /// Each figure of either.
    pub figures: Vec<Change>,
}

impl Difference {
    /// Between two runs of the same verb.
    ///
    /// # Errors
    /// When they are of different verbs.
    pub fn between(before: &Run, after: &Run, limit: f64) -> Result<Self> {
        ensure!(
            before.facts.verb == after.facts.verb,
            "{} is a run of {}, and {} one of {}: they have no figures in common",
            before.name,
            before.facts.verb,
            after.name,
            after.facts.verb
        );
        Ok(Self {
            before: before.name.clone(),
            after: after.name.clone(),
            limit,
            began_to_fail: before.facts.is_good && !after.facts.is_good,
            figures: changes(&before.facts.figures, &after.facts.figures, limit),
        })
    }

    /// The second is worse.
    pub fn is_regression(&self) -> bool {
        self.began_to_fail || self.figures.iter().any(|change| change.is_regression)
    }
}

/// A line for each figure, those that are worse marked.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} -> {}", self.before, self.after)?;
        let names = self.figures.iter().map(|change| change.name.len()).max();
        let names = names.unwrap_or(0);
        let value =
            |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |one| format!("{one:.3}"));
        for change in &self.figures {
            let mark = if change.is_regression { "  WORSE" } else { "" };
            writeln!(
                f,
                "  {:names$}  {:>16}  {:>16}{mark}",
                change.name,
                value(change.before),
                value(change.after)
            )?;
        }
        if self.began_to_fail {
            writeln!(f, "The second run failed, and the first did not.")?;
        }
        let worse = self
            .figures
            .iter()
            .filter(|change| change.is_regression)
            .count();
        match self.is_regression() {
            false => writeln!(
                f,
                "No figure is worse by more than {:.0} %.",
                self.limit * 100.0
            ),
            true => writeln!(
                f,
                "Of {} figures {worse} are worse by more than {:.0} %, or gone.",
                self.figures.len(),
                self.limit * 100.0
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::runs::{Better, Facts, Figure};

    fn run(verb: &str, is_good: bool, recall: f64) -> Run {
        let figures = [Figure::of("recall", Some(recall), Better::More)];
        Run {
            name: format!("{verb}-{recall}"),
            folder: PathBuf::new(),
            facts: Facts {
                is_good,
                figures: figures.into_iter().flatten().collect(),
                ..Facts::now(verb, String::new(), 1.0, String::new())
            },
        }
    }

    #[test]
    fn the_second_is_held_against_the_first() {
        let between = |before: &Run, after: &Run| Difference::between(before, after, 0.1).unwrap();
        let good = run("demo", true, 1.0);
        assert!(!between(&good, &good).is_regression());
        let worse = between(&good, &run("demo", true, 0.5));
        assert!(
            worse.is_regression() && worse.to_string().contains("0.500  WORSE"),
            "{worse}"
        );
        assert!(between(&good, &run("demo", false, 1.0)).is_regression());
        assert!(!between(&run("demo", false, 1.0), &good).is_regression());
        let error = Difference::between(&good, &run("compare", true, 1.0), 0.1).unwrap_err();
        assert!(
            error.to_string().contains("demo-1 is a run of demo"),
            "{error}"
        );
    }
}
