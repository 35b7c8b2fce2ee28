// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The latches of the status register: overflow and fill level, and the interrupts of their rises.

use crate::behaviour::{PerCondition, Shortage, StatusBehaviour};

/// Overflow and fill level, each set by its condition until the driver clears it.
#[derive(Debug)]
pub(super) struct StatusLatches {
    set: PerCondition,
    behaviour: StatusBehaviour,
    /// The fill-level bit was set since power-on.
    fill_level_rose: bool,
    /// The next rise sends no interrupt.
    muted: bool,
}

impl StatusLatches {
    /// The latches after power-on.
    pub(super) fn new(behaviour: StatusBehaviour, overflow: bool) -> Self {
        Self {
            set: PerCondition {
                overflow,
                fill_level: false,
            },
            behaviour,
            fill_level_rose: false,
            muted: false,
        }
    }

    /// What the status register shows, while the list is filled or not.
    pub(super) fn shown(&self, is_filled: bool) -> PerCondition {
        let shown = match self.behaviour {
            StatusBehaviour {
                fill_level_latches: false,
                ..
            } => PerCondition {
                fill_level: is_filled,
                ..self.set
            },
            _ => self.set,
        };
        self.in_place(shown)
    }

    /// Takes what a write of the status register left set.
    pub(super) fn write(&mut self, left: PerCondition) {
        let left = self.in_place(left);
        let cleared =
            self.set.overflow && !left.overflow || self.set.fill_level && !left.fill_level;
        self.muted |= cleared && self.behaviour.clear_mutes;
        self.set = left;
    }

    pub(super) fn clear(&mut self) {
        self.set = PerCondition::default();
    }

    /// Whether so many entries are more than the fill-level threshold.
    pub(super) fn is_filled(&self, occupancy: u16, threshold: u16) -> bool {
        (self.behaviour.is_filled)(occupancy, threshold)
    }

    /// Sets the bits whose condition holds; whether that sends an interrupt, with these enabled.
    pub(super) fn update(
        &mut self,
        shortage: Shortage,
        is_filled: bool,
        enabled: PerCondition,
    ) -> bool {
        let spent = self.fill_level_rose && !self.behaviour.fill_level_rearms;
        let overflows = (self.behaviour.overflows)(shortage);
        let holding = PerCondition {
            overflow: overflows,
            fill_level: is_filled && !spent,
        };
        let seen = (self.behaviour.seen)(holding, enabled);
        let rose = PerCondition {
            overflow: seen.overflow && !self.set.overflow,
            fill_level: seen.fill_level && !self.set.fill_level,
        };
        self.set.overflow |= rose.overflow;
        self.set.fill_level |= rose.fill_level;
        self.fill_level_rose |= rose.fill_level;
        (self.behaviour.interrupts)(rose, self.set, enabled) && !std::mem::take(&mut self.muted)
    }

    /// Ends an epoch; as [`StatusLatches::update`].
    pub(super) fn end_epoch(&mut self, is_filled: bool, enabled: PerCondition) -> bool {
        let overflows = Shortage {
            lost: true,
            ..Shortage::default()
        };
        let interrupts =
            self.behaviour.epoch_overflows && self.update(overflows, is_filled, enabled);
        interrupts || self.behaviour.epoch_interrupts
    }

    fn in_place(&self, bits: PerCondition) -> PerCondition {
        match self.behaviour.bits_swapped {
            true => bits.swapped(),
            false => bits,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: PerCondition = PerCondition {
        overflow: false,
        fill_level: false,
    };
    const BOTH: PerCondition = PerCondition {
        overflow: true,
        fill_level: true,
    };
    const OVERFLOW: PerCondition = PerCondition {
        overflow: true,
        ..NONE
    };
    const FILL_LEVEL: PerCondition = PerCondition {
        fill_level: true,
        ..NONE
    };
    const LOST: Shortage = Shortage {
        lost: true,
        waiting: false,
        full: false,
    };
    const WAITING: Shortage = Shortage {
        lost: false,
        waiting: true,
        full: false,
    };

    fn latches() -> StatusLatches {
        StatusLatches::new(StatusBehaviour::default(), false)
    }

    #[test]
    fn a_bit_rises_once_until_it_is_cleared() {
        let mut latches = latches();
        assert!(latches.update(LOST, false, BOTH));
        assert!(!latches.update(LOST, false, BOTH));
        assert_eq!(latches.shown(false), OVERFLOW);
        latches.write(NONE);
        assert!(latches.update(LOST, true, BOTH));
        assert_eq!(latches.shown(false), BOTH);
        latches.clear();
        assert_eq!(latches.shown(true), NONE);
    }

    #[test]
    fn bits_rise_without_an_interrupt_unless_it_is_enabled() {
        let mut latches = latches();
        assert!(!latches.update(LOST, false, FILL_LEVEL));
        assert!(!latches.update(Shortage::default(), true, OVERFLOW));
        assert_eq!(latches.shown(false), BOTH);
    }

    #[test]
    fn units_that_wait_are_not_lost() {
        let mut latches = latches();
        assert!(!latches.update(WAITING, false, BOTH));
        assert_eq!(latches.shown(false), NONE);
    }

    #[test]
    fn the_end_of_an_epoch_does_nothing_of_its_own() {
        let mut latches = latches();
        assert!(!latches.end_epoch(true, BOTH));
        assert_eq!(latches.shown(true), NONE);
    }

    #[test]
    fn the_threshold_itself_does_not_fill_the_list() {
        let latches = latches();
        assert!(!latches.is_filled(3, 3));
        assert!(latches.is_filled(4, 3));
    }
}
