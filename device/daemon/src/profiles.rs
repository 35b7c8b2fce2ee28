// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The list of ready-made devices.

use std::fmt::Write;

use chmu_cxl::Profile;

/// One profile a line: name and what it is like.
pub fn list() -> String {
    let width = Profile::ALL.iter().map(|profile| profile.name().len());
    let width = width.max().unwrap_or_default();
    Profile::ALL
        .iter()
        .fold(String::new(), |mut text, profile| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{:width$}  {}", profile.name(), profile.explanation());
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_is_a_line_that_starts_with_its_name() {
        let list = list();
        let names = list.lines().map(|line| line.split(' ').next().unwrap());
        assert!(names.eq(Profile::ALL.iter().map(|profile| profile.name())));
    }
}
