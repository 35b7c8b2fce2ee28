// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Mailbox commands: opcodes, return codes and payloads (CXL r3.1, 8.2.9).

/// Opcodes of the commands, each named as the specification names it.
pub mod opcode {
    /// Get Event Records.
    pub const GET_EVENT_RECORDS: u16 = 0x0100;
    /// Clear Event Records.
    pub const CLEAR_EVENT_RECORDS: u16 = 0x0101;
    /// Get Event Interrupt Policy.
    pub const GET_EVENT_INTERRUPT_POLICY: u16 = 0x0102;
    /// Set Event Interrupt Policy.
    pub const SET_EVENT_INTERRUPT_POLICY: u16 = 0x0103;
    /// Get FW Info.
    pub const GET_FIRMWARE_INFO: u16 = 0x0200;
    /// Get Timestamp.
    pub const GET_TIMESTAMP: u16 = 0x0300;
    /// Set Timestamp.
    pub const SET_TIMESTAMP: u16 = 0x0301;
    /// Get Supported Logs.
    pub const GET_SUPPORTED_LOGS: u16 = 0x0400;
    /// Get Log.
    pub const GET_LOG: u16 = 0x0401;
    /// Identify Memory Device.
    pub const IDENTIFY: u16 = 0x4000;
    /// Get Partition Info.
    pub const GET_PARTITION_INFO: u16 = 0x4100;
    /// Get Health Info.
    pub const GET_HEALTH_INFO: u16 = 0x4200;
    /// Get Alert Configuration.
    pub const GET_ALERT_CONFIGURATION: u16 = 0x4201;
    /// Set Alert Configuration.
    pub const SET_ALERT_CONFIGURATION: u16 = 0x4202;
    /// Get Poison List.
    pub const GET_POISON_LIST: u16 = 0x4300;
    /// Inject Poison.
    pub const INJECT_POISON: u16 = 0x4301;
    /// Clear Poison.
    pub const CLEAR_POISON: u16 = 0x4302;
    /// Sanitize.
    pub const SANITIZE: u16 = 0x4400;
    /// Get Security State.
    pub const GET_SECURITY_STATE: u16 = 0x4500;
}

/// How a command ended, as the mailbox status says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReturnCode {
    /// The command was carried out.
    Success = 0x00,
    /// The command goes on in the background.
    BackgroundStarted = 0x01,
    /// The input makes no sense.
    InvalidInput = 0x02,
    /// The device has no such command.
    Unsupported = 0x03,
    /// The device or its memory is in use.
    Busy = 0x06,
    /// The memory is being sanitized.
    MediaDisabled = 0x07,
    /// A handle names no record, or not the oldest.
    InvalidHandle = 0x0e,
    /// The device has no memory there.
    InvalidPhysicalAddress = 0x0f,
    /// The device holds all the injected poison that it can.
    InjectPoisonLimitReached = 0x10,
    /// The input is too short or too long.
    InvalidPayloadLength = 0x16,
    /// The device has no such log.
    InvalidLog = 0x17,
}

impl ReturnCode {
    /// The code that stands for it in the registers.
    pub const fn code(self) -> u16 {
        self as u16
    }
}

/// What a command changes, as the command effects log (CEL) says it.
pub mod effect {
    /// The command changes the configuration at once.
    pub const IMMEDIATE_CONFIGURATION_CHANGE: u16 = 1 << 1;
    /// Data in the memory, at once.
    pub const IMMEDIATE_DATA_CHANGE: u16 = 1 << 2;
    /// The command changes a policy at once.
    pub const IMMEDIATE_POLICY_CHANGE: u16 = 1 << 3;
    /// The command changes a log at once.
    pub const IMMEDIATE_LOG_CHANGE: u16 = 1 << 4;
    /// The command changes the security state.
    pub const SECURITY_STATE_CHANGE: u16 = 1 << 5;
    /// The command goes on in the background.
    pub const BACKGROUND: u16 = 1 << 6;
}

/// UUID of the command effects log, as it lies in a payload.
pub const COMMAND_EFFECTS_LOG: [u8; 16] = [
    0x0d, 0xa9, 0xc0, 0xb5, 0xbf, 0x41, 0x4b, 0x78, 0x8f, 0x79, 0x96, 0xb1, 0x62, 0x3b, 0x3f, 0x17,
];

/// Bytes of an entry of the command effects log: opcode and effects.
pub const COMMAND_EFFECTS_ENTRY_BYTES: usize = 4;

/// Bytes of the output of Get Security State; 0 is no security.
pub const SECURITY_STATE_BYTES: usize = 4;

/// Offsets in the output of Identify Memory Device. Capacities are in multiples of 256 MiB.
pub mod identify {
    /// Firmware revision, 16 bytes of ASCII.
    pub const FIRMWARE_REVISION: usize = 0x00;
    /// Total capacity, 64 bits, in multiples of 256 MiB.
    pub const TOTAL_CAPACITY: usize = 0x10;
    /// Capacity that is volatile only, 64 bits, in multiples of 256 MiB.
    pub const VOLATILE_CAPACITY: usize = 0x18;
    /// Records that each of the four event logs holds, 16 bits each.
    pub const EVENT_LOG_SIZES: usize = 0x30;
    /// Records that the poison list holds, 24 bits.
    pub const POISON_LIST_RECORDS: usize = 0x3c;
    /// Lines that a host can poison, 16 bits.
    pub const INJECT_POISON_LIMIT: usize = 0x3f;
    /// Bytes of the output.
    pub const BYTES: usize = 0x45;
}

/// Offsets in the output of Get Partition Info. Capacities are in multiples of 256 MiB.
pub mod partition_info {
    /// Active volatile capacity, 64 bits.
    pub const ACTIVE_VOLATILE: usize = 0x00;
    /// Bytes of the output.
    pub const BYTES: usize = 0x20;
}
