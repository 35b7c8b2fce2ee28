// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What workloads do with their pages: `chmu workload` with these options, so that the truth is known.

use std::fmt;
use std::str::FromStr;

use chmu_machine::names::instead;
use serde::Serialize;

/// A workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Pattern {
    /// As users name it.
    pub name: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// Of `chmu workload`.
    pub options: &'static str,
    /// A round visits as many pages as are hot.
    pub rounds: u64,
    /// After so many, other pages are hot.
    pub move_rounds: Option<u64>,
    /// Nobody maps its pages.
    pub is_unmapped: bool,
}

const UNIFORM: Pattern = Pattern {
    name: "uniform",
    summary: "512 of 4,096 pages are hot, all alike",
    options: "--pages 4096 --hot-pages 512",
    rounds: 480,
    move_rounds: None,
    is_unmapped: false,
};

/// All that there are.
pub const ALL: [Pattern; 6] = [
    UNIFORM,
    Pattern {
        name: "zipf",
        summary: "of 1,024 hot pages of 4,096 the n-th is visited as often as 1/n",
        options: "--pages 4096 --hot-pages 1024 --distribution zipf",
        rounds: 240,
        ..UNIFORM
    },
    Pattern {
        name: "moving",
        summary: "512 of 4,096 pages are hot, and others after a third and two thirds of the time",
        rounds: 720,
        move_rounds: Some(240),
        ..UNIFORM
    },
    Pattern {
        name: "noisy",
        summary: "512 of 4,096 pages are hot, and a third of all accesses are to the others",
        options: "--pages 4096 --hot-pages 512 --cold-percent 33",
        ..UNIFORM
    },
    Pattern {
        name: "writes",
        summary: "512 of 4,096 pages are hot, and six accesses in ten are writes",
        options: "--pages 4096 --hot-pages 512 --write-percent 60",
        ..UNIFORM
    },
    Pattern {
        name: "page-cache",
        summary: "512 of 4,096 pages of a file are hot, which is read and written and not mapped",
        options: "--pages 4096 --hot-pages 512 --backing file:/dev/shm/pages",
        is_unmapped: true,
        ..UNIFORM
    },
];

/// No pattern.
#[derive(Debug, thiserror::Error)]
#[error("{name:?} is no workload that can be compared; {instead}", instead = instead(name, &ALL.map(|one| one.name), ""))]
pub struct PatternError {
    name: String,
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(name: &str) -> Result<Self, PatternError> {
        let found = ALL.into_iter().find(|pattern| pattern.name == name);
        found.ok_or_else(|| PatternError {
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_and_others_are_refused() {
        for pattern in ALL {
            assert_eq!(pattern.name.parse::<Pattern>().unwrap(), pattern);
        }
        let error = "zpif".parse::<Pattern>().unwrap_err().to_string();
        assert!(error.contains("did you mean zipf?"), "{error}");
    }
}
