// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The catalogue of requirements: `specs/requirements.toml`.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The catalogue as text; it is part of the program, so that a report never cites another edition.
const TEXT: &str = include_str!("../../../specs/requirements.toml");

/// How much a requirement asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// A device that does otherwise is wrong.
    Must,
    /// A device that does otherwise surprises its drivers.
    Should,
    /// Worth knowing; never a failure unless the run is strict.
    Information,
}

/// What public implementations say of a requirement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Agreement {
    /// All do the same.
    Agreed,
    /// They differ; each known reading is accepted unless the run is strict.
    Split,
    /// None says anything; what is asked for is our decision.
    Ours,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Must => "must",
            Self::Should => "should",
            Self::Information => "information",
        })
    }
}

impl Agreement {
    /// A word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Agreed => "agreed",
            Self::Split => "split",
            Self::Ours => "ours",
        }
    }
}

/// The word and what it means.
impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meaning = match self {
            Self::Agreed => "all public implementations do so",
            Self::Split => {
                "implementations differ; each reading is accepted unless the run is strict, and where there is one \
                 only, the source says who does otherwise"
            }
            Self::Ours => "nobody says, this project decided",
        };
        write!(f, "{}: {meaning}", self.name())
    }
}

/// One requirement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// `CHMU-AREA-NNN`; never used again for anything else.
    pub id: String,
    /// What is required, in our own words.
    pub statement: String,
    /// How much it asks for.
    pub level: Level,
    /// What public implementations say.
    pub status: Agreement,
    /// Where it comes from: a clause of the specification, a public driver, a decision.
    pub source: String,
    /// The known readings, our decision first; none where there is only one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readings: Vec<String>,
    /// The cases that check it.
    pub cases: Vec<String>,
}

/// All requirements.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    #[serde(rename = "requirement")]
    requirements: Vec<Requirement>,
}

impl Catalogue {
    /// The catalogue of this program.
    ///
    /// # Errors
    /// When the file it was built with is no catalogue; a test keeps that from happening.
    pub fn load() -> Result<Self, toml::de::Error> {
        toml::from_str(TEXT)
    }

    /// By what two editions of the catalogue are told apart: the number of requirements, and the beginning of the
    /// SHA-256 of the file.
    pub fn edition(&self) -> String {
        let digest = Sha256::digest(TEXT);
        let start: String = digest
            .iter()
            .take(6)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("{} requirements, {start}", self.requirements.len())
    }

    /// All requirements, in the order of the file.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// The requirement with an id, in any case of letters.
    pub fn find(&self, id: &str) -> Option<&Requirement> {
        let mut all = self.requirements.iter();
        all.find(|requirement| requirement.id.eq_ignore_ascii_case(id))
    }

    /// The requirements that a case checks.
    pub fn checked_by(&self, case: &str) -> impl Iterator<Item = &Requirement> {
        let checks =
            move |requirement: &&Requirement| requirement.cases.iter().any(|name| name == case);
        self.requirements.iter().filter(checks)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_are_unique_and_in_order() {
        let catalogue = Catalogue::load().unwrap();
        let ids: BTreeSet<_> = catalogue
            .requirements()
            .iter()
            .map(|entry| &entry.id)
            .collect();
        assert_eq!(ids.len(), catalogue.requirements().len());
        assert!(ids.len() >= 120, "{} requirements", ids.len());
        for id in ids {
            let mut parts = id.split('-');
            assert_eq!(parts.next(), Some("CHMU"), "{id}");
            let area = parts.next().unwrap();
            assert!(
                area.chars().all(|letter| letter.is_ascii_uppercase()),
                "{id}"
            );
            let number = parts.next().unwrap();
            assert!(number.len() == 3 && number.parse::<u16>().is_ok(), "{id}");
            assert_eq!(parts.next(), None, "{id}");
        }
    }

    #[test]
    fn only_what_is_not_agreed_has_several_readings() {
        for requirement in Catalogue::load().unwrap().requirements() {
            let id = &requirement.id;
            assert_ne!(requirement.readings.len(), 1, "{id} has one reading");
            let binds_alone = requirement.readings.is_empty() && requirement.level == Level::Must;
            if requirement.status == Agreement::Split && binds_alone {
                let source = &requirement.source;
                let says_who = source.contains("RFC") || source.contains("NOTES.md");
                assert!(says_who, "{id} does not say who does otherwise");
            }
            assert!(!requirement.cases.is_empty(), "{id} is checked by nothing");
            let distinct: BTreeSet<_> = requirement.readings.iter().collect();
            assert_eq!(
                distinct.len(),
                requirement.readings.len(),
                "{id} repeats a reading"
            );
        }
    }

    #[test]
    fn ids_are_found_in_any_case_of_letters() {
        let catalogue = Catalogue::load().unwrap();
        let found = catalogue.find("chmu-hotlist-001").unwrap();
        assert_eq!(found.id, "CHMU-HOTLIST-001");
        assert!(catalogue.find("CHMU-HOTLIST-999").is_none());
    }
}
