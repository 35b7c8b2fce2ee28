// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `REGISTERS.md`: the register map as a page for people, printed from the table.

use std::fmt::Write as _;

use crate::chmu::{BLOCK_TABLE, INSTANCE_TABLE};
use crate::register::Register;

const INTRODUCTION: &str = "\
# CHMU registers

Printed from the table in `src/chmu/table.rs`; change that and run
`UPDATE=1 cargo test -p chmu-spec`.

Little-endian. RO: writes are ignored. RW: reads back what was written. RW (disabled): the same, and
writes are ignored while the instance is enabled or an operation is in progress. RW1C: set by the
device, cleared by writing 1. W1S: writing 1 starts an action, reads as 0. Bits that no row names are
reserved: they read as 0 and ignore writes.
";

/// The register map as Markdown, which `specs/REGISTERS.md` holds.
pub fn register_page() -> String {
    let mut page = String::from(INTRODUCTION);
    table(
        &mut page,
        "Block header, from the start of the block",
        BLOCK_TABLE,
    );
    table(
        &mut page,
        "Instance, from the start of the instance",
        INSTANCE_TABLE,
    );
    page
}

fn table(page: &mut String, title: &str, registers: &[Register]) {
    let rows: Vec<[String; 5]> = registers.iter().flat_map(rows).collect();
    let head = ["offset", "register", "bits", "access", "field"].map(String::from);
    let width = |column: usize| {
        let cells = rows.iter().chain([&head]);
        cells.map(|row| row[column].len()).max().unwrap_or(0)
    };
    let widths: [usize; 5] = std::array::from_fn(width);
    let line = |cells: &[String; 5]| {
        let padded: Vec<String> = cells
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        format!("| {} |", padded.join(" | "))
    };
    let rule = widths.map(|width| "-".repeat(width));
    // Writing to a string cannot fail.
    let _ = write!(page, "\n## {title}\n\n{}\n{}\n", line(&head), line(&rule));
    for row in &rows {
        let _ = writeln!(page, "{}", line(row));
    }
}

fn rows(register: &Register) -> impl Iterator<Item = [String; 5]> {
    register.fields.iter().enumerate().map(|(index, field)| {
        let first = |text: String| if index == 0 { text } else { String::new() };
        let bits = if field.low == field.high {
            field.low.to_string()
        } else {
            format!("{}:{}", field.high, field.low)
        };
        let meaning = if field.meaning.is_empty() {
            field.name.to_owned()
        } else {
            format!("{}: {}", field.name, field.meaning)
        };
        [
            first(format!("{:#04x}", register.offset)),
            first(register.name.to_owned()),
            bits,
            field.access.name().to_owned(),
            meaning,
        ]
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_committed_page_is_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("REGISTERS.md");
        let page = register_page();
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, &page).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap();
        assert!(
            committed == page,
            "REGISTERS.md is stale; run UPDATE=1 cargo test -p chmu-spec"
        );
    }
}
