// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What came of all trials, for people.

use std::fmt;

use chmu_machine::words::grouped;

use super::result::{Comparison, Row};
use crate::columns::Columns;
use crate::spread::Spread;

/// Where nothing can be said.
const NOTHING: &str = "-";
pub(super) const HEADS: [&str; 9] = [
    "policy",
    "CXL's share",
    "gap closed",
    "lines until 90 %",
    "pages moved",
    "wrong",
    "hot on DRAM",
    "modelled",
    "instructions",
];

/// A table for each workload.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for pattern in &self.workloads {
            writeln!(f, "{}: {}", pattern.name, pattern.summary)?;
            let rows: Vec<_> = self
                .rows
                .iter()
                .filter(|row| row.workload == pattern.name)
                .collect();
            let cells: Vec<_> = rows.iter().map(|row| cells(row)).collect();
            let columns = Columns::of(HEADS, &cells, &[0]);
            writeln!(f, "  {}", columns.line(&HEADS.map(str::to_owned)))?;
            for (row, cells) in rows.iter().zip(&cells) {
                writeln!(f, "  {}", columns.line(cells))?;
                if let Some(reason) = &row.reason {
                    writeln!(f, "  {:width$}  {reason}", "", width = columns.width(0))?;
                }
            }
            writeln!(f)?;
        }
        let times = &self.figures;
        match self.seeds {
            1 => writeln!(f, "Linux {}; one seed.", self.kernel)?,
            seeds => writeln!(
                f,
                "Linux {}; the middle of {seeds} seeds, with the least and the most.",
                self.kernel
            )?,
        }
        writeln!(f, "CXL's share: of the lines filled in the last fifth.")?;
        writeln!(
            f,
            "Modelled: {} ns from a miss to a line of DRAM, {} ns to one of CXL memory, one miss after the other;\n\
             what there is to win is the gap between none and dram.",
            times.other_ns, times.cxl_ns
        )
    }
}

pub(super) fn cells(row: &Row) -> [String; 9] {
    let cell = |spread: &Option<Spread>, word: &dyn Fn(f64) -> String| {
        let spread = spread.as_ref();
        spread.map_or_else(|| NOTHING.to_owned(), |spread| spread.words(word))
    };
    let percent = |part: f64| format!("{:.0} %", part * 100.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let count = |number: f64| grouped(number as u64);
    [
        row.policy.clone(),
        cell(&row.end_share, &percent),
        cell(&row.gap_closed, &percent),
        cell(&row.fills_until_steady, &count),
        cell(&row.pages_moved, &count),
        cell(&row.wrong_pages, &count),
        cell(&row.hot_part, &percent),
        cell(&row.modelled_ns, &|ns| format!("{:.2} s", ns / 1e9)),
        cell(&row.more_instructions, &|part| {
            format!("{:+.0} %", part * 100.0)
        }),
    ]
}
