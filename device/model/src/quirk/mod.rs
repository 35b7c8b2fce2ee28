// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Rules that a block can be told to break, one at a time or several: what real devices get wrong.
//!
//! A conformance suite is worth what it finds: each quirk is a device that it must not accept.

mod behaviour;
mod emulation;
mod list;
mod set;

pub use emulation::Emulation;
pub use list::Quirk;
pub use set::QuirkSet;

/// The part of the unit whose rule a quirk breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// What the block header says.
    Header,
    /// What the capability registers say, and where they lead.
    Capabilities,
    /// Values after power-on and after a function-level reset.
    PowerOn,
    /// Configuration registers and how they are written.
    Configuration,
    /// Configurations that must be refused.
    Refusal,
    /// Enable, disable and reset.
    Operation,
    /// Which requests are counted.
    Selection,
    /// Counters, thresholds and the meaning of an entry.
    Counting,
    /// How long epochs last, and what ends with them.
    Epoch,
    /// The ring of entries and the backlog behind it.
    Hotlist,
    /// When status bits are set and cleared.
    Status,
    /// When interrupts are sent, and which.
    Interrupt,
    /// How drivers find the blocks of a function.
    Discovery,
    /// The function around the blocks.
    Function,
}

impl Layer {
    /// The name of the part in lists of quirks.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Capabilities => "capabilities",
            Self::PowerOn => "power-on",
            Self::Configuration => "configuration",
            Self::Refusal => "refusal",
            Self::Operation => "operation",
            Self::Selection => "selection",
            Self::Counting => "counting",
            Self::Epoch => "epoch",
            Self::Hotlist => "hotlist",
            Self::Status => "status",
            Self::Interrupt => "interrupt",
            Self::Discovery => "discovery",
            Self::Function => "function",
        }
    }
}

impl Quirk {
    /// The quirk with a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|quirk| quirk.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_lead_back() {
        let names: BTreeSet<&str> = Quirk::ALL.iter().map(|quirk| quirk.name()).collect();
        assert_eq!(names.len(), Quirk::ALL.len());
        for quirk in Quirk::ALL {
            assert_eq!(Quirk::from_name(quirk.name()), Some(*quirk));
            let kebab = |letter: char| matches!(letter, 'a'..='z' | '0'..='9' | '-');
            assert!(quirk.name().chars().all(kebab), "{}", quirk.name());
        }
        assert_eq!(Quirk::from_name("none"), None);
    }

    #[test]
    fn names_and_variants_are_the_same_words() {
        for quirk in Quirk::ALL {
            let words = quirk.name().split('-').flat_map(|word| {
                let (first, rest) = word.split_at(1);
                [first.to_uppercase(), rest.to_owned()]
            });
            assert_eq!(format!("{quirk:?}"), words.collect::<String>());
        }
    }

    #[test]
    fn explanations_are_single_sentences_and_differ() {
        let mut seen = BTreeSet::new();
        for quirk in Quirk::ALL {
            let explanation = quirk.explanation();
            assert!(seen.insert(explanation), "{explanation}");
            assert!(explanation.starts_with(char::is_uppercase), "{explanation}");
            assert!(explanation.ends_with('.'), "{explanation}");
            assert!(!explanation.contains(". "), "{explanation}");
            assert!(!quirk.layer().name().is_empty());
        }
    }
}
