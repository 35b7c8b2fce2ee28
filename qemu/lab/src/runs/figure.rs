// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A run in numbers that another run can be held against.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a change of a figure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// The more the better.
    More,
    /// The less the better.
    Less,
    /// Neither is better.
    Neither,
}

/// A number that a run came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// What it is; no two of a run have the same.
    pub name: String,
    /// The number.
    pub value: f64,
    /// What a change means.
    pub better: Better,
}

impl Figure {
    /// A figure; none where there is no number.
    pub fn of(name: impl Into<String>, value: Option<f64>, better: Better) -> Option<Self> {
        Some(Self {
            name: name.into(),
            value: value.filter(|value| value.is_finite())?,
            better,
        })
    }
}

/// What became of a figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// What it is.
    pub name: String,
    /// In the first run; none where only the second has it.
    pub before: Option<f64>,
    /// In the second.
    pub after: Option<f64>,
    /// It is worse by more than the limit, or is not there any more.
    pub is_regression: bool,
}

/// Each figure of either run, in the order of the first; worse by more than the `limit`-th part is a regression.
pub fn changes(before: &[Figure], after: &[Figure], limit: f64) -> Vec<Change> {
    let later: BTreeMap<_, _> = after
        .iter()
        .map(|one| (one.name.as_str(), one.value))
        .collect();
    let mut changes: Vec<_> = before
        .iter()
        .map(|figure| {
            let after = later.get(figure.name.as_str()).copied();
            Change {
                name: figure.name.clone(),
                before: Some(figure.value),
                after,
                is_regression: after.is_none_or(|after| is_worse(figure, after, limit)),
            }
        })
        .collect();
    let new = after
        .iter()
        .filter(|one| before.iter().all(|other| other.name != one.name));
    changes.extend(new.map(|figure| Change {
        name: figure.name.clone(),
        before: None,
        after: Some(figure.value),
        is_regression: false,
    }));
    changes
}

fn is_worse(before: &Figure, after: f64, limit: f64) -> bool {
    let worse = match before.better {
        Better::More => before.value - after,
        Better::Less => after - before.value,
        Better::Neither => return false,
    };
    worse > before.value.abs() * limit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(all: &[(&str, f64, Better)]) -> Vec<Figure> {
        let figures = all
            .iter()
            .map(|(name, value, better)| Figure::of(*name, Some(*value), *better));
        figures.map(Option::unwrap).collect()
    }

    #[test]
    fn worse_by_more_than_the_limit_is_a_regression_and_so_is_what_is_gone() {
        use Better::{Less, More, Neither};
        let regressions = |before: &[_], after: &[_]| {
            let changes = changes(&figures(before), &figures(after), 0.1);
            let worse = changes.into_iter().filter(|change| change.is_regression);
            worse.map(|change| change.name).collect::<Vec<_>>()
        };
        let before = [
            ("recall", 1.0, More),
            ("wrong", 0.0, Less),
            ("moved", 500.0, Less),
            ("seconds", 9.0, Neither),
        ];
        let set = |place: usize, value| {
            let mut after = before;
            after[place].1 = value;
            regressions(&before, &after)
        };
        assert!(regressions(&before, &before).is_empty());
        assert!(set(0, 0.91).is_empty());
        assert_eq!(set(0, 0.89), ["recall"]);
        assert_eq!(set(1, 1.0), ["wrong"]);
        assert!(set(2, 550.0).is_empty() && set(2, 3.0).is_empty());
        assert_eq!(set(2, 551.0), ["moved"]);
        assert!(set(3, 900.0).is_empty());
        assert_eq!(regressions(&before, &before[1..]), ["recall"]);
        assert!(regressions(&before[1..], &before).is_empty());
        // Less than nothing is worse, too.
        assert_eq!(
            regressions(&[("gap", -0.2, More)], &[("gap", -0.3, More)]),
            ["gap"]
        );
    }

    #[test]
    fn what_is_no_number_is_no_figure() {
        assert_eq!(Figure::of("x", Some(f64::NAN), Better::More), None);
        assert_eq!(Figure::of("x", None, Better::More), None);
    }
}
