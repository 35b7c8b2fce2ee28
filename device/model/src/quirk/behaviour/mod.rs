// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What each quirk makes of the behaviour of a block. Nothing else in the model knows quirks.

mod capabilities;
mod counting;
mod registers;
mod reporting;

use crate::behaviour::Behaviour;
use crate::quirk::QuirkSet;

impl Behaviour {
    /// The behaviour of a block that breaks these rules and keeps all others.
    pub(crate) fn new(quirks: QuirkSet) -> Self {
        let mut behaviour = Self::default();
        for quirk in quirks.iter() {
            behaviour.break_header(quirk);
            behaviour.break_capabilities(quirk);
            behaviour.break_real_capabilities(quirk);
            behaviour.break_power_on(quirk);
            behaviour.break_registers(quirk);
            behaviour.break_settings(quirk);
            behaviour.break_operations(quirk);
            behaviour.break_selection(quirk);
            behaviour.break_counting(quirk);
            behaviour.break_hotlist(quirk);
            behaviour.break_entries(quirk);
            behaviour.break_status(quirk);
            behaviour.break_interrupts(quirk);
        }
        behaviour
    }
}
