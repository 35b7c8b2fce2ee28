// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The device's health, and when it is worth an alert.

use chmu_spec::cxl::event::{EventLog, memory_module};
use chmu_spec::cxl::health::health_info;

use super::alerts::AlertConfiguration;
use super::readings::{Level, Levels, Readings};
use crate::bytes::put;

/// Something of the device's health that the outside can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Condition {
    /// The temperature in degrees Celsius, one of [`health_info::TEMPERATURES_CELSIUS`].
    Temperature(i16),
    /// Life used, in percent, 0 to 100.
    LifeUsed(u8),
}

/// A change of health, as a memory module event tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) event_type: u8,
    pub(super) log: EventLog,
}

/// What is measured of the device, and how bad each of it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Health {
    readings: Readings,
    levels: Levels,
}

impl Default for Health {
    /// A new card in a machine that cools it.
    fn default() -> Self {
        Self {
            readings: Readings {
                temperature_celsius: 40,
                life_used_percent: 0,
                corrected_errors: 0,
            },
            levels: Levels {
                life_used: Level::Normal,
                temperature: Level::Normal,
                corrected_errors: Level::Normal,
            },
        }
    }
}

impl Health {
    pub(super) fn set(&mut self, condition: Condition) {
        let readings = &mut self.readings;
        match condition {
            Condition::Temperature(celsius) => readings.temperature_celsius = celsius,
            Condition::LifeUsed(percent) => readings.life_used_percent = percent,
        }
    }

    pub(super) fn count_corrected_error(&mut self) {
        let errors = &mut self.readings.corrected_errors;
        *errors = errors.saturating_add(1);
    }

    /// Power was lost: what is counted since power-on starts anew.
    pub(super) fn power_on(&mut self) {
        self.readings.corrected_errors = 0;
    }

    /// Judges anew, and tells what changed.
    pub(super) fn judge(&mut self, alerts: &AlertConfiguration) -> Vec<Change> {
        let levels = alerts.levels(&self.readings);
        let before = self.levels;
        self.levels = levels;
        let all = [
            (
                memory_module::LIFE_USED_CHANGE,
                before.life_used,
                levels.life_used,
            ),
            (
                memory_module::TEMPERATURE_CHANGE,
                before.temperature,
                levels.temperature,
            ),
            (
                memory_module::HEALTH_STATUS_CHANGE,
                before.corrected_errors,
                levels.corrected_errors,
            ),
        ];
        let changed = all.into_iter().filter(|(_, before, now)| before != now);
        changed
            .map(|(event_type, _, now)| Change {
                event_type,
                log: now.log(),
            })
            .collect()
    }

    /// The output of Get Health Info. A volatile device loses nothing in a shutdown.
    pub(super) fn output(&self) -> Vec<u8> {
        let mut output = vec![0; health_info::BYTES];
        let Levels {
            life_used,
            temperature,
            corrected_errors,
        } = self.levels;
        let mut status = life_used.code() << health_info::LIFE_USED_SHIFT
            | temperature.code() << health_info::TEMPERATURE_SHIFT;
        if corrected_errors != Level::Normal {
            status |= health_info::CORRECTED_VOLATILE_WARNING;
        }
        put(&mut output, health_info::ADDITIONAL_STATUS, &[status]);
        let life_used = [self.readings.life_used_percent];
        put(&mut output, health_info::LIFE_USED, &life_used);
        let temperature = self.readings.temperature_celsius.to_le_bytes();
        put(&mut output, health_info::TEMPERATURE, &temperature);
        let errors = self.readings.corrected_errors.to_le_bytes();
        put(&mut output, health_info::CORRECTED_VOLATILE_ERRORS, &errors);
        output
    }
}
