// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Several quirks of one device.

use std::fmt::{self, Display};

use super::Quirk;

/// Bits of a word of the set.
const WORD_BITS: usize = 64;
const WORDS: usize = 3;
const _: () = assert!(Quirk::ALL.len() <= WORDS * WORD_BITS);

/// Rules that a device breaks at once, in the order of [`Quirk::ALL`].
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct QuirkSet([u64; WORDS]);

impl QuirkSet {
    /// No rule is broken.
    pub const NONE: Self = Self([0; WORDS]);

    /// Whether the rule is broken.
    pub fn has(self, quirk: Quirk) -> bool {
        let (word, bit) = place(quirk);
        self.0.get(word).is_some_and(|bits| bits >> bit & 1 == 1)
    }

    /// Breaks one more rule.
    pub fn insert(&mut self, quirk: Quirk) {
        let (word, bit) = place(quirk);
        if let Some(bits) = self.0.get_mut(word) {
            *bits |= 1 << bit;
        }
    }

    /// Keeps a rule again.
    pub fn remove(&mut self, quirk: Quirk) {
        let (word, bit) = place(quirk);
        if let Some(bits) = self.0.get_mut(word) {
            *bits &= !(1 << bit);
        }
    }

    /// The broken rules, in the order of [`Quirk::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Quirk> {
        Quirk::ALL.iter().copied().filter(move |one| self.has(*one))
    }

    /// Whether no rule is broken.
    pub fn is_empty(self) -> bool {
        self == Self::NONE
    }

    /// Two of the set of which a device has only one, if there are such: both say what is done at the same step. Of these
    /// the later in [`Quirk::ALL`] acts.
    pub fn contradiction(self) -> Option<(Quirk, Quirk)> {
        ALTERNATIVES.iter().find_map(|group| {
            let mut both = group.iter().copied().filter(|one| self.has(*one));
            Some((both.next()?, both.next()?))
        })
    }
}

fn place(quirk: Quirk) -> (usize, u32) {
    let number = quirk as u32;
    ((number >> 6) as usize, number & 63)
}

impl FromIterator<Quirk> for QuirkSet {
    fn from_iter<I: IntoIterator<Item = Quirk>>(quirks: I) -> Self {
        let mut set = Self::NONE;
        quirks.into_iter().for_each(|quirk| set.insert(quirk));
        set
    }
}

impl From<Quirk> for QuirkSet {
    fn from(quirk: Quirk) -> Self {
        [quirk].into_iter().collect()
    }
}

impl fmt::Debug for QuirkSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// The names, separated by commas; nothing for the empty set.
impl Display for QuirkSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Quirk::name).collect();
        f.write_str(&names.join(", "))
    }
}

/// Quirks that say what is done at the same step; a device has one of each group at most.
const ALTERNATIVES: &[&[Quirk]] = &[
    &[
        Quirk::HeaderVersionZero,
        Quirk::HeaderInstancesOneMore,
        Quirk::HeaderReservedBits,
    ],
    &[Quirk::CounterWidthOneMore, Quirk::CounterWidthNever],
    &[Quirk::AcceptsWideThreshold, Quirk::RefusesLargestThreshold],
    &[Quirk::RefusesShortestEpoch, Quirk::RefusesLongestEpoch],
    &[Quirk::InProgressNeverClears, Quirk::OperationCodesSwapped],
    &[Quirk::EnabledBeforeDone, Quirk::DisableKeepsCounting],
    &[Quirk::AlwaysOnReportsTwice, Quirk::EntryTwice],
    &[
        Quirk::UnitFieldsSwapped,
        Quirk::EntryIsAddress,
        Quirk::EntryBytesSwapped,
    ],
    &[
        Quirk::FullOneEarly,
        Quirk::FullLooksEmpty,
        Quirk::FullOverwrites,
    ],
    &[Quirk::HeadPastTail, Quirk::HeadOutOfRange],
    &[Quirk::ColdestFirst, Quirk::LowestFirst],
    &[Quirk::BacklogLost, Quirk::BacklogReversed],
    &[
        Quirk::StatusPlainWrite,
        Quirk::StatusNeverClears,
        Quirk::StatusClearsBoth,
        Quirk::StatusClearsByAnyWrite,
    ],
    &[
        Quirk::OverflowNeverSet,
        Quirk::OverflowWhenWaiting,
        Quirk::OverflowWhenFull,
    ],
    &[Quirk::FillLevelNeverSet, Quirk::FillLevelAtHalf],
    &[
        Quirk::InterruptNotForOverflow,
        Quirk::InterruptNotForFillLevel,
        Quirk::InterruptThoughDisabled,
        Quirk::InterruptEnablesSwapped,
        Quirk::InterruptEachInsertion,
    ],
    &[
        Quirk::LocatorOldBlockId,
        Quirk::LocatorUpperBar,
        Quirk::LocatorOffsetTooHigh,
    ],
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviour::Behaviour;
    use crate::quirk::Layer;

    /// What a block with these quirks does, a line a step: steps are functions, which are told apart by their addresses.
    fn steps(quirks: QuirkSet) -> Vec<String> {
        let text = format!("{:#?}", Behaviour::new(quirks));
        let mut steps: Vec<String> = Vec::new();
        for line in text.lines() {
            match steps.last_mut() {
                Some(last) if !line.contains(": ") => last.push_str(line),
                _ => steps.push(line.to_owned()),
            }
        }
        steps
    }

    /// Whether a step has all that one quirk alone makes of it.
    fn has_all(step: &str, alone: &str) -> bool {
        let values = |text: &str| -> Vec<String> {
            let words = text.split(|letter: char| !letter.is_ascii_alphanumeric());
            words
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect()
        };
        let step = values(step);
        values(alone).iter().all(|value| step.contains(value))
    }

    #[test]
    fn two_quirks_act_both_unless_they_are_alternatives() {
        let plain = steps(QuirkSet::NONE);
        let alone: Vec<_> = Quirk::ALL.iter().map(|one| steps((*one).into())).collect();
        let mut clashes = Vec::new();
        // What breaks the function around a block changes no step of it.
        let in_block = |quirk: &Quirk| quirk.layer() != Layer::Discovery;
        let all = || {
            Quirk::ALL
                .iter()
                .zip(&alone)
                .filter(|(quirk, _)| in_block(quirk))
        };
        for (first, steps_of_first) in all() {
            for (second, steps_of_second) in all() {
                let both: QuirkSet = [*first, *second].into_iter().collect();
                let together = steps(both);
                assert_eq!(together.len(), plain.len());
                let acts = |steps_alone: &[String]| {
                    let lines = steps_alone.iter().zip(&plain).zip(&together);
                    let mut changed = lines.filter(|((alone, plain), _)| alone != plain);
                    changed.all(|((alone, _), together)| has_all(together, alone))
                };
                let act = acts(steps_of_first) && acts(steps_of_second);
                if act != both.contradiction().is_none() {
                    clashes.push((first.name(), second.name()));
                }
            }
        }
        assert_eq!(clashes, []);
    }

    #[test]
    fn a_set_has_what_is_put_in_and_says_it() {
        for quirk in Quirk::ALL {
            let mut set = QuirkSet::from(*quirk);
            assert!(set.has(*quirk) && !set.is_empty());
            assert!(set.iter().eq([*quirk]));
            assert_eq!(set.to_string(), quirk.name());
            set.remove(*quirk);
            assert!(set.is_empty());
        }
        let all: QuirkSet = Quirk::ALL.iter().copied().collect();
        assert!(all.iter().eq(Quirk::ALL.iter().copied()));
        assert!(all.contradiction().is_some());
        let two: QuirkSet = [Quirk::UnitShifted, Quirk::CountZero].into_iter().collect();
        assert_eq!(two.to_string(), "count-zero, unit-shifted");
        assert_eq!(two.contradiction(), None);
    }
}
