// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A cost against what it is judged by.

use std::fmt;

use serde::Serialize;

use super::Subject;
use crate::columns::Columns;
use crate::runs::Better;
use crate::spread::Spread;

/// What a cost must keep.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// Its ratio is no more.
    RatioAtMost(f64),
    /// Its ratio is no less.
    RatioAtLeast(f64),
    /// It is itself no more.
    ValueAtMost(f64),
}

/// A cost, and the same by other means.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measurement {
    /// Of what.
    pub subject: Subject,
    /// What costs, on what work.
    pub name: String,
    /// Of value and floor.
    pub unit: String,
    /// The middle of all rounds.
    pub value: f64,
    /// What it is held against, in the same rounds: the middle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floor: Option<f64>,
    /// Of value and floor of a round, or of floor and value where more is better.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<Spread>,
    /// Whose the floor is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<String>,
    /// None where a cost is only told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Whether it keeps its target; nothing without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub met: Option<bool>,
}

impl Measurement {
    /// Costs of rounds, held against floors of the same rounds; `against` names these.
    pub(super) fn against(
        (subject, name): (Subject, String),
        (values, floors): (&[f64], &[f64]),
        against: &str,
        target: Option<Target>,
    ) -> Self {
        let ratios = values.iter().zip(floors).map(|(one, floor)| one / floor);
        let middle = |all: &[f64]| Spread::of(all.iter().copied()).map(|spread| spread.median);
        Self {
            subject,
            name,
            unit: "s".to_owned(),
            value: middle(values).unwrap_or(f64::NAN),
            floor: middle(floors),
            ratio: Spread::of(ratios),
            against: Some(against.to_owned()),
            target,
            met: None,
        }
        .judged()
    }

    /// Says whether it keeps its target.
    pub(super) fn judged(self) -> Self {
        Self {
            met: self.target.map(|target| self.keeps(target)),
            ..self
        }
    }

    /// What a change of its ratio means.
    pub(super) fn better(&self) -> Better {
        match self.target {
            Some(Target::RatioAtLeast(_)) => Better::More,
            _ => Better::Less,
        }
    }

    /// Whether it keeps a target, judged by the middle of its rounds.
    fn keeps(&self, target: Target) -> bool {
        let ratio = self.ratio.map(|ratio| ratio.median);
        match target {
            Target::RatioAtMost(most) => ratio.is_some_and(|ratio| ratio <= most),
            Target::RatioAtLeast(least) => ratio.is_some_and(|ratio| ratio >= least),
            Target::ValueAtMost(most) => self.value <= most,
        }
    }

    pub(super) fn cells(&self) -> [String; 7] {
        let nothing = || "-".to_owned();
        let number = |value: f64| format!("{value:.3}");
        [
            self.name.clone(),
            format!("{} {}", number(self.value), self.unit),
            self.floor.map_or_else(nothing, number),
            self.ratio
                .map_or_else(nothing, |ratio| ratio.words(|one| format!("{one:.2}"))),
            self.against.clone().unwrap_or_else(nothing),
            self.target
                .map_or_else(nothing, |target| target.to_string()),
            match self.met {
                Some(true) => "yes".to_owned(),
                Some(false) => "no".to_owned(),
                None => nothing(),
            },
        ]
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RatioAtMost(most) => write!(f, "ratio <= {most}"),
            Self::RatioAtLeast(least) => write!(f, "ratio >= {least}"),
            Self::ValueAtMost(most) => write!(f, "value <= {most}"),
        }
    }
}

pub(super) const HEADS: [&str; 7] = [
    "cost", "value", "floor", "ratio", "against", "target", "kept",
];

/// A line for each, in columns.
pub(super) fn write_table(f: &mut fmt::Formatter<'_>, measurements: &[Measurement]) -> fmt::Result {
    let rows: Vec<_> = measurements.iter().map(Measurement::cells).collect();
    let columns = Columns::of(HEADS, &rows, &[0, 4, 6]);
    for row in [HEADS.map(str::to_owned)].iter().chain(&rows) {
        writeln!(f, "{}", columns.line(row))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_ratio_of_the_rounds_is_judged_and_not_that_of_the_middles() {
        // The machine is twice as slow in the second round, for both.
        let measured = |target| {
            Measurement::against(
                (Subject::Plugin, "armed".to_owned()),
                (&[1.4, 2.8, 1.5], &[1.0, 2.0, 1.0]),
                "no plugin",
                Some(target),
            )
        };
        let kept = measured(Target::RatioAtMost(1.4));
        assert_eq!(
            (kept.met, kept.value, kept.floor),
            (Some(true), 1.5, Some(1.0))
        );
        assert_eq!(measured(Target::RatioAtMost(1.39)).met, Some(false));
        assert_eq!(measured(Target::RatioAtLeast(1.41)).met, Some(false));
        assert_eq!(measured(Target::ValueAtMost(1.5)).met, Some(true));
    }

    #[test]
    fn a_round_that_was_not_measured_keeps_no_target() {
        let nothing = Measurement::against(
            (Subject::Plugin, "armed".to_owned()),
            (&[], &[]),
            "no plugin",
            Some(Target::RatioAtMost(2.0)),
        );
        assert_eq!(nothing.met, Some(false));
    }
}
