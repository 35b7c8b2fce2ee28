// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The list of rules that the device can be told to break.

use std::fmt::Write;

use chmu_model::{Emulation, Quirk};

/// One quirk a line: name, what it concerns, what it does; then the emulations and their quirks.
pub fn list() -> String {
    let width = Quirk::ALL.iter().map(|quirk| quirk.name().len()).max();
    let width = width.unwrap_or_default();
    let mut text = String::new();
    // Writing to a string cannot fail.
    for quirk in Quirk::ALL {
        let (name, layer) = (quirk.name(), quirk.layer().name());
        let _ = writeln!(text, "{name:width$}  {layer}: {}", quirk.explanation());
    }
    let _ = writeln!(text, "\nSeveral at once, with --like:");
    for emulation in Emulation::ALL {
        let Emulation {
            name, explanation, ..
        } = emulation;
        let _ = writeln!(text, "{name:width$}  {explanation} {}", emulation.quirks());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_quirk_is_a_line_that_starts_with_its_name() {
        let list = list();
        let (quirks, emulations) = list.split_once("\n\n").unwrap();
        let names = |text: &str| -> Vec<String> {
            let words = text.lines().map(|line| line.split(' ').next());
            words.map(|word| word.unwrap().to_owned()).collect()
        };
        assert!(
            names(quirks)
                .iter()
                .eq(Quirk::ALL.iter().map(|quirk| quirk.name()))
        );
        let all = Emulation::ALL.iter().map(|one| one.name);
        assert!(names(emulations)[1..].iter().eq(all));
    }
}
