// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What each quirk makes of the behaviour of a block. Nothing else in the model knows quirks.

mod capabilities;
mod counting;
mod registers;
mod reporting;

use crate::behaviour::Behaviour;
use crate::quirk::Quirk;

impl Behaviour {
    /// The behaviour of a block with a quirk, or by the rules.
    pub(crate) fn new(quirk: Option<Quirk>) -> Self {
        let mut behaviour = Self::default();
        if let Some(quirk) = quirk {
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
