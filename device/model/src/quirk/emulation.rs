// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Public emulations of hotness monitoring units, as the rules that they break.

use super::{Quirk, QuirkSet};

/// A public emulation, by what is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Emulation {
    /// Its name, in kebab case.
    pub name: &'static str,
    /// What it is, as a sentence.
    pub explanation: &'static str,
    quirks: &'static [Quirk],
}

impl Emulation {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self {
            name: "qemu-january-2025",
            explanation: "The first emulation that was mailed for QEMU: it makes units up.",
            quirks: &[
                Quirk::DownSamplingFactorsShifted,
                Quirk::EnableRestartsEpoch,
                Quirk::FilterReadsAndWrites,
                Quirk::RangeIgnored,
                Quirk::CountZero,
                Quirk::UnitRandom,
                Quirk::EpochInMilliseconds,
                Quirk::TailWritable,
                Quirk::OverflowWhenFull,
                Quirk::FunctionResetIgnored,
            ],
        },
        Self {
            name: "qemu-june-2025",
            explanation: "The second emulation that was mailed for QEMU: it counts accesses.",
            quirks: &[
                Quirk::EnableRestartsEpoch,
                Quirk::DisableKeepsCounters,
                Quirk::ResetKeepsList,
                Quirk::ResetKeepsCounters,
                Quirk::FilterReadsAndWrites,
                Quirk::RangeIgnored,
                Quirk::EntryIsAddress,
                Quirk::UnitSizeIgnored,
                Quirk::EpochInMilliseconds,
                Quirk::EpochDrifts,
                Quirk::FullOverwrites,
                Quirk::TailWritable,
                Quirk::LowestFirst,
                Quirk::OverflowWhenFull,
                Quirk::StatusNeedsInterrupts,
                Quirk::FunctionResetIgnored,
            ],
        },
    ];

    /// The emulation with a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|one| one.name == name)
    }

    /// The rules that it breaks.
    pub fn quirks(self) -> QuirkSet {
        self.quirks.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_and_no_emulation_contradicts_itself() {
        for emulation in Emulation::ALL {
            assert_eq!(Emulation::from_name(emulation.name), Some(*emulation));
            assert_eq!(
                emulation.quirks().contradiction(),
                None,
                "{}",
                emulation.name
            );
            assert_eq!(emulation.quirks().iter().count(), emulation.quirks.len());
        }
        assert_eq!(Emulation::from_name("none"), None);
    }
}
