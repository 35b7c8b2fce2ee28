// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The list of rules that the device can be told to break.

use std::fmt::Write;

use chmu_model::Quirk;

/// One quirk a line: name, what it concerns, what it does.
pub fn list() -> String {
    let width = Quirk::ALL.iter().map(|quirk| quirk.name().len()).max();
    let width = width.unwrap_or_default();
    Quirk::ALL.iter().fold(String::new(), |mut text, quirk| {
        let (name, layer) = (quirk.name(), quirk.layer().name());
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:width$}  {layer}: {}", quirk.explanation());
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_quirk_is_a_line_that_starts_with_its_name() {
        let list = list();
        let names = list.lines().map(|line| line.split(' ').next().unwrap());
        assert!(names.eq(Quirk::ALL.iter().map(|quirk| quirk.name())));
    }
}
