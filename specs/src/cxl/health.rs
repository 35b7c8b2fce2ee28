// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Health of a memory device and the alerts about it (CXL r3.1, 8.2.9.9.3).

/// Offsets in the output of Get Health Info, which memory module events carry as well.
pub mod health_info {
    use std::ops::RangeInclusive;

    /// Health status, 8 bits; 0 is healthy.
    pub const HEALTH_STATUS: usize = 0x00;
    /// Media status, 8 bits; 0 is normal.
    pub const MEDIA_STATUS: usize = 0x01;
    /// Additional status, 8 bits.
    pub const ADDITIONAL_STATUS: usize = 0x02;
    /// Life used, in percent.
    pub const LIFE_USED: usize = 0x03;
    /// Temperature in degrees Celsius, 16 bits, signed: one of [`TEMPERATURES_CELSIUS`], or 0x7fff
    /// where it is not measured.
    pub const TEMPERATURE: usize = 0x04;
    /// What there is of temperatures, from absolute zero to the highest that the field can say.
    pub const TEMPERATURES_CELSIUS: RangeInclusive<i16> = -273..=0x7ffe;
    /// Shutdowns that lost data, 32 bits.
    pub const DIRTY_SHUTDOWNS: usize = 0x06;
    /// Corrected errors of volatile memory, 32 bits.
    pub const CORRECTED_VOLATILE_ERRORS: usize = 0x0a;
    /// Corrected errors of persistent memory, 32 bits.
    pub const CORRECTED_PERSISTENT_ERRORS: usize = 0x0e;
    /// Bytes of the output.
    pub const BYTES: usize = 0x12;

    /// Additional status: lowest bit of the 2 bits about life used.
    pub const LIFE_USED_SHIFT: u8 = 0;
    /// Additional status: lowest bit of the 2 bits about the temperature.
    pub const TEMPERATURE_SHIFT: u8 = 2;
    /// Additional status: corrected errors of volatile memory passed their threshold.
    pub const CORRECTED_VOLATILE_WARNING: u8 = 1 << 4;
    /// Of the 2 bits: all is well.
    pub const NORMAL: u8 = 0;
    /// Of the 2 bits: the warning threshold is passed.
    pub const WARNING: u8 = 1;
    /// Of the 2 bits: the critical threshold is passed.
    pub const CRITICAL: u8 = 2;
}

/// Alerts, a bit for each, as masks of the alert commands.
pub mod alert {
    /// More of the device's life is used than the threshold, in percent.
    pub const LIFE_USED: u8 = 1 << 0;
    /// The device is too warm.
    pub const OVER_TEMPERATURE: u8 = 1 << 1;
    /// The device is too cold.
    pub const UNDER_TEMPERATURE: u8 = 1 << 2;
    /// Corrected errors of volatile memory.
    pub const CORRECTED_VOLATILE_ERRORS: u8 = 1 << 3;
    /// Corrected errors of persistent memory.
    pub const CORRECTED_PERSISTENT_ERRORS: u8 = 1 << 4;
}

/// Offsets in the output of Get Alert Configuration. Temperatures are signed, in degrees Celsius.
pub mod alert_configuration {
    /// Warnings that are on, 8 bits of [`alert`](super::alert).
    pub const VALID: usize = 0x00;
    /// Warnings that a host can set, 8 bits.
    pub const PROGRAMMABLE: usize = 0x01;
    /// Critical life used, in percent.
    pub const LIFE_USED_CRITICAL: usize = 0x02;
    /// Life used to warn of, in percent.
    pub const LIFE_USED_WARNING: usize = 0x03;
    /// Temperature from which it is critically warm, 16 bits.
    pub const OVER_TEMPERATURE_CRITICAL: usize = 0x04;
    /// Temperature below which it is critically cold, 16 bits.
    pub const UNDER_TEMPERATURE_CRITICAL: usize = 0x06;
    /// Warm enough to warn, 16 bits.
    pub const OVER_TEMPERATURE_WARNING: usize = 0x08;
    /// Cold enough to warn, 16 bits.
    pub const UNDER_TEMPERATURE_WARNING: usize = 0x0a;
    /// Corrected errors of volatile memory to warn of, 16 bits.
    pub const CORRECTED_VOLATILE_WARNING: usize = 0x0c;
    /// Bytes of the output.
    pub const BYTES: usize = 0x10;
}

/// Offsets in the input of Set Alert Configuration.
pub mod set_alert_configuration {
    /// Warnings that the command is about, 8 bits of [`alert`](super::alert).
    pub const ACTIONS: usize = 0x00;
    /// Those of them that shall be on, 8 bits.
    pub const ENABLE: usize = 0x01;
    /// Life used to warn of, in percent.
    pub const LIFE_USED_WARNING: usize = 0x02;
    /// Warm enough to warn, 16 bits.
    pub const OVER_TEMPERATURE_WARNING: usize = 0x04;
    /// Cold enough to warn, 16 bits.
    pub const UNDER_TEMPERATURE_WARNING: usize = 0x06;
    /// Corrected errors of volatile memory to warn of, 16 bits.
    pub const CORRECTED_VOLATILE_WARNING: usize = 0x08;
    /// Bytes of the input.
    pub const BYTES: usize = 0x0c;
}
