// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Rules that a block can be told to break, one at a time: what real devices get wrong.

/// The part of the unit whose rule a quirk breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layer {
    /// Status bits.
    Status,
}

impl Layer {
    /// The name in lists.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
        }
    }
}

macro_rules! quirks {
    ($($layer:ident: $quirk:ident, $name:literal, $explanation:literal;)+) => {
        /// One broken rule.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Quirk {
            $(#[doc = $explanation] $quirk,)+
        }

        impl Quirk {
            /// All quirks.
            pub const ALL: &[Self] = &[$(Self::$quirk),+];

            /// The name in configuration files and reports, in kebab case.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$quirk => $name,)+
                }
            }

            /// Which rule is broken and how devices get it wrong, as a sentence.
            pub const fn explanation(self) -> &'static str {
                match self {
                    $(Self::$quirk => $explanation,)+
                }
            }

            /// The part of the unit whose rule is broken.
            pub const fn layer(self) -> Layer {
                match self {
                    $(Self::$quirk => Layer::$layer,)+
                }
            }
        }
    };
}

quirks! {
    Status: OverflowNeverSet, "overflow-never-set",
        "The overflow bit stays clear when hot units are lost.";
    Status: FillLevelNeverSet, "fill-level-never-set",
        "The fill-level bit stays clear however many entries the list holds.";
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
}
