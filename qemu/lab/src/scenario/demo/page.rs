// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the demo found, as a page and in numbers that another run is held against.

use chmu_machine::words;

use super::result::{DemoResult, Verdict};
use super::timeline::Timeline;
use crate::report::{self, Section, Table};
use crate::runs::{Better, Figure, Outcome};

impl Outcome for DemoResult {
    fn is_good(&self) -> bool {
        self.verdict == Verdict::Pass
    }

    fn verdict(&self) -> String {
        match self.verdict {
            Verdict::Pass => format!(
                "{} of {} hot pages were promoted in {}, and {} others.",
                self.promoted_pages - self.wrong_pages_promoted.min(self.promoted_pages),
                self.true_hot_pages,
                words::count(self.batches, "batch", "batches"),
                self.wrong_pages_promoted
            ),
            Verdict::Fail => self.reasons.join("; "),
        }
    }

    /// What must not get worse, and what may differ from run to run.
    #[expect(clippy::cast_precision_loss)]
    fn figures(&self) -> Vec<Figure> {
        let count = |count: u64| Some(count as f64);
        let figures = [
            Figure::of("precision", self.precision, Better::More),
            Figure::of("recall", self.recall, Better::More),
            Figure::of(
                "wrong pages promoted",
                count(self.wrong_pages_promoted),
                Better::Less,
            ),
            Figure::of("corrupt pages", count(self.corrupt_pages), Better::Less),
            Figure::of("accesses lost", count(self.accesses_lost), Better::Less),
            Figure::of("units dropped", count(self.units_dropped), Better::Neither),
            Figure::of("batches", count(self.batches), Better::Neither),
            Figure::of(
                "guest boot, seconds",
                Some(self.guest_boot_seconds),
                Better::Neither,
            ),
        ];
        figures.into_iter().flatten().collect()
    }

    /// As on the terminal.
    fn sections(&self) -> Vec<Section> {
        let rows = self.rows().into_iter();
        let rows = rows.map(|(name, value)| (name.to_owned(), value));
        let mut sections = Vec::new();
        let timeline = self.timeline.as_ref();
        let pictures = timeline.map_or_else(Vec::new, Timeline::pictures);
        if !pictures.is_empty() {
            sections.push(Section {
                title: "Where and when".to_owned(),
                text: "Each cell is some neighbouring pages for some time, the darker the more of them. The strip on the \
                       left has the pages that are hot in truth. pages.csv beside this page has all of it."
                    .to_owned(),
                pictures,
                table: None,
            });
        }
        sections.push(Section {
            title: "What was found".to_owned(),
            text: "Times in the guest are those of an emulated machine: they say nothing about hardware.".to_owned(),
            table: Some(Table::of_pairs(["what", "value"], rows)),
            ..Section::default()
        });
        sections.extend(self.machine.as_ref().map(report::machine_section));
        sections
    }
}
