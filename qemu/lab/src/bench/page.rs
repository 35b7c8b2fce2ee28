// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A bench as a page, and in numbers that another one is held against.

use chmu_machine::words;

use super::measurement::HEADS;
use super::{Measured, Measurement};
use crate::report::{Section, Table};
use crate::runs::{Better, Figure, Outcome};

impl Outcome for Measured {
    /// A missed target is a finding and no failure.
    fn is_good(&self) -> bool {
        true
    }

    fn verdict(&self) -> String {
        let judged = self.measurements.iter().filter_map(|one| one.met);
        let judged: Vec<_> = judged.collect();
        let met = judged.iter().filter(|met| **met).count();
        format!("{met} of {} targets met.", judged.len())
    }

    fn figures(&self) -> Vec<Figure> {
        let figures = self.measurements.iter().map(|one| {
            // Ratios outlive a change of machines; what has none is itself the figure.
            let (value, better) = match one.ratio {
                Some(ratio) => (ratio.median, one.better()),
                None => (one.value, Better::Less),
            };
            let name = match &one.against {
                Some(other) => format!("{}, against {other}", one.name),
                None => one.name.clone(),
            };
            Figure::of(name, Some(value), better)
        });
        figures.flatten().collect()
    }

    fn sections(&self) -> Vec<Section> {
        let all = Table {
            heads: HEADS.map(str::to_owned).to_vec(),
            rows: self
                .measurements
                .iter()
                .map(|one| Measurement::cells(one).to_vec())
                .collect(),
        };
        let [before, after] = self.load;
        vec![Section {
            title: "Costs".to_owned(),
            text: format!(
                "The middle of {}, with the least and the most; Linux {} in the guest; load {before:.1} before, \
                 {after:.1} after.",
                words::count(self.rounds.into(), "round", "rounds"),
                self.kernel
            ),
            table: Some(all),
            ..Section::default()
        }]
    }
}
