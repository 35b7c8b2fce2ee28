// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Alerts: the thresholds of the device's maker, and those that hosts set.

use chmu_spec::cxl::health::{alert, alert_configuration, set_alert_configuration as set};
use chmu_spec::cxl::mailbox::ReturnCode;

use super::readings::{Level, Levels, Readings};
use crate::bytes::{byte, i16_at, put, u16_at};

const LIFE_USED_CRITICAL_PERCENT: u8 = 95;
const OVER_TEMPERATURE_CRITICAL_CELSIUS: i16 = 95;
const UNDER_TEMPERATURE_CRITICAL_CELSIUS: i16 = 0;

/// Warnings that hosts can set: there is no persistent memory.
const PROGRAMMABLE: u8 = alert::LIFE_USED
    | alert::OVER_TEMPERATURE
    | alert::UNDER_TEMPERATURE
    | alert::CORRECTED_VOLATILE_ERRORS;

/// The thresholds from which the device warns, as a host can set them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AlertConfiguration {
    /// Warnings that are on, as bits of [`alert`].
    valid: u8,
    life_used_percent: u8,
    over_temperature_celsius: i16,
    under_temperature_celsius: i16,
    corrected_errors: u16,
}

impl Default for AlertConfiguration {
    fn default() -> Self {
        Self {
            valid: alert::LIFE_USED | alert::OVER_TEMPERATURE | alert::UNDER_TEMPERATURE,
            life_used_percent: 80,
            over_temperature_celsius: 85,
            under_temperature_celsius: 5,
            corrected_errors: 0,
        }
    }
}

impl AlertConfiguration {
    /// The output of Get Alert Configuration.
    pub(super) fn output(&self) -> Vec<u8> {
        let mut output = vec![0; alert_configuration::BYTES];
        let bytes = [
            (alert_configuration::VALID, self.valid),
            (alert_configuration::PROGRAMMABLE, PROGRAMMABLE),
            (
                alert_configuration::LIFE_USED_CRITICAL,
                LIFE_USED_CRITICAL_PERCENT,
            ),
            (
                alert_configuration::LIFE_USED_WARNING,
                self.life_used_percent,
            ),
        ];
        for (offset, value) in bytes {
            put(&mut output, offset, &[value]);
        }
        let words = [
            (
                alert_configuration::OVER_TEMPERATURE_CRITICAL,
                OVER_TEMPERATURE_CRITICAL_CELSIUS.to_le_bytes(),
            ),
            (
                alert_configuration::UNDER_TEMPERATURE_CRITICAL,
                UNDER_TEMPERATURE_CRITICAL_CELSIUS.to_le_bytes(),
            ),
            (
                alert_configuration::OVER_TEMPERATURE_WARNING,
                self.over_temperature_celsius.to_le_bytes(),
            ),
            (
                alert_configuration::UNDER_TEMPERATURE_WARNING,
                self.under_temperature_celsius.to_le_bytes(),
            ),
            (
                alert_configuration::CORRECTED_VOLATILE_WARNING,
                self.corrected_errors.to_le_bytes(),
            ),
        ];
        for (offset, value) in words {
            put(&mut output, offset, &value);
        }
        output
    }

    /// Set Alert Configuration: all of it, or nothing when a part is not possible.
    pub(super) fn set(&mut self, input: &[u8]) -> Result<(), ReturnCode> {
        let actions = byte(input, set::ACTIONS);
        let enable = byte(input, set::ENABLE);
        if actions & !PROGRAMMABLE != 0 {
            return Err(ReturnCode::InvalidInput);
        }
        let mut next = *self;
        next.valid = self.valid & !actions | enable & actions;
        let enabled = |alert: u8| actions & enable & alert != 0;
        if enabled(alert::LIFE_USED) {
            next.life_used_percent = byte(input, set::LIFE_USED_WARNING);
        }
        if enabled(alert::OVER_TEMPERATURE) {
            next.over_temperature_celsius = i16_at(input, set::OVER_TEMPERATURE_WARNING);
        }
        if enabled(alert::UNDER_TEMPERATURE) {
            next.under_temperature_celsius = i16_at(input, set::UNDER_TEMPERATURE_WARNING);
        }
        if enabled(alert::CORRECTED_VOLATILE_ERRORS) {
            next.corrected_errors = u16_at(input, set::CORRECTED_VOLATILE_WARNING);
        }
        if !next.is_possible() {
            return Err(ReturnCode::InvalidInput);
        }
        *self = next;
        Ok(())
    }

    /// A warning comes before things are critical.
    fn is_possible(&self) -> bool {
        self.life_used_percent < LIFE_USED_CRITICAL_PERCENT
            && self.over_temperature_celsius < OVER_TEMPERATURE_CRITICAL_CELSIUS
            && self.under_temperature_celsius > UNDER_TEMPERATURE_CRITICAL_CELSIUS
    }

    /// How bad things are; a threshold that is reached counts.
    pub(super) fn levels(&self, readings: &Readings) -> Levels {
        let warned = |alert: u8, reached: bool| self.valid & alert != 0 && reached;
        let level = |critical: bool, warning: bool| match (critical, warning) {
            (true, _) => Level::Critical,
            (false, true) => Level::Warning,
            (false, false) => Level::Normal,
        };
        let life_used = readings.life_used_percent;
        let celsius = readings.temperature_celsius;
        let too_warm = celsius >= self.over_temperature_celsius;
        let too_cold = celsius <= self.under_temperature_celsius;
        let errors_reached = readings.corrected_errors >= self.corrected_errors.into();
        Levels {
            life_used: level(
                life_used >= LIFE_USED_CRITICAL_PERCENT,
                warned(alert::LIFE_USED, life_used >= self.life_used_percent),
            ),
            temperature: level(
                celsius >= OVER_TEMPERATURE_CRITICAL_CELSIUS
                    || celsius <= UNDER_TEMPERATURE_CRITICAL_CELSIUS,
                warned(alert::OVER_TEMPERATURE, too_warm)
                    || warned(alert::UNDER_TEMPERATURE, too_cold),
            ),
            corrected_errors: level(
                false,
                warned(alert::CORRECTED_VOLATILE_ERRORS, errors_reached),
            ),
        }
    }
}
