// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which commands there are, and the log that says so.

use std::ops::RangeInclusive;

use chmu_spec::cxl::event::clear;
use chmu_spec::cxl::health::set_alert_configuration;
use chmu_spec::cxl::mailbox::{
    COMMAND_EFFECTS_ENTRY_BYTES, COMMAND_EFFECTS_LOG, ReturnCode, effect, opcode,
};
use chmu_spec::cxl::poison::{CLEAR_BYTES, INJECT_BYTES, query};
use chmu_spec::native::to_usize;

use super::PAYLOAD_BYTES;
use crate::bytes::u32_at;

/// A command: what the command effects log says of it, and how long its input is.
pub(super) struct Command {
    opcode: u16,
    input_bytes: RangeInclusive<usize>,
    effects: u16,
}

const fn command(opcode: u16, input_bytes: usize, effects: u16) -> Command {
    Command {
        opcode,
        input_bytes: input_bytes..=input_bytes,
        effects,
    }
}

/// The commands. Linux reacts to what is listed here with interfaces, so what stands behind them
/// must work: firmware can be shown but not written, and there is no persistent memory.
const COMMANDS: &[Command] = &[
    command(opcode::GET_EVENT_RECORDS, 1, 0),
    Command {
        opcode: opcode::CLEAR_EVENT_RECORDS,
        input_bytes: clear::HANDLES..=PAYLOAD_BYTES,
        effects: effect::IMMEDIATE_LOG_CHANGE,
    },
    command(opcode::GET_EVENT_INTERRUPT_POLICY, 0, 0),
    // The fifth byte is for dynamic capacity events, which hosts of CXL 3 know of.
    Command {
        opcode: opcode::SET_EVENT_INTERRUPT_POLICY,
        input_bytes: 4..=5,
        effects: effect::IMMEDIATE_CONFIGURATION_CHANGE,
    },
    command(opcode::GET_FIRMWARE_INFO, 0, 0),
    command(opcode::GET_TIMESTAMP, 0, 0),
    command(opcode::SET_TIMESTAMP, 8, effect::IMMEDIATE_POLICY_CHANGE),
    command(opcode::GET_SUPPORTED_LOGS, 0, 0),
    command(opcode::GET_LOG, 24, 0),
    command(opcode::IDENTIFY, 0, 0),
    command(opcode::GET_PARTITION_INFO, 0, 0),
    command(opcode::GET_HEALTH_INFO, 0, 0),
    command(opcode::GET_ALERT_CONFIGURATION, 0, 0),
    command(
        opcode::SET_ALERT_CONFIGURATION,
        set_alert_configuration::BYTES,
        effect::IMMEDIATE_POLICY_CHANGE,
    ),
    command(opcode::GET_POISON_LIST, query::BYTES, 0),
    command(
        opcode::INJECT_POISON,
        INJECT_BYTES,
        effect::IMMEDIATE_DATA_CHANGE,
    ),
    command(
        opcode::CLEAR_POISON,
        CLEAR_BYTES,
        effect::IMMEDIATE_DATA_CHANGE,
    ),
    command(
        opcode::SANITIZE,
        0,
        effect::IMMEDIATE_DATA_CHANGE | effect::SECURITY_STATE_CHANGE | effect::BACKGROUND,
    ),
    command(opcode::GET_SECURITY_STATE, 0, 0),
];

impl Command {
    /// The command with an opcode, if there is one.
    pub(super) fn with_opcode(opcode: u16) -> Option<&'static Self> {
        COMMANDS.iter().find(|command| command.opcode == opcode)
    }

    /// Whether it takes an input of so many bytes.
    pub(super) fn takes(&self, input_bytes: usize) -> bool {
        self.input_bytes.contains(&input_bytes)
    }

    /// Whether it is about what is in the memory.
    pub(super) fn needs_memory(&self) -> bool {
        matches!(
            self.opcode,
            opcode::GET_POISON_LIST | opcode::INJECT_POISON | opcode::CLEAR_POISON
        )
    }
}

/// The command effects log: opcode and effects of each command, 2 bytes each.
fn command_effects() -> Vec<u8> {
    let entry = |command: &Command| {
        let [a, b] = command.opcode.to_le_bytes();
        let [c, d] = command.effects.to_le_bytes();
        [a, b, c, d]
    };
    let entries: Vec<[u8; COMMAND_EFFECTS_ENTRY_BYTES]> = COMMANDS.iter().map(entry).collect();
    entries.into_flattened()
}

/// The output of Get Supported Logs: one log, the command effects.
pub(super) fn supported_logs() -> Vec<u8> {
    let bytes = u32::try_from(command_effects().len()).unwrap_or(0);
    let mut output = vec![1, 0, 0, 0, 0, 0, 0, 0];
    output.extend_from_slice(&COMMAND_EFFECTS_LOG);
    output.extend_from_slice(&bytes.to_le_bytes());
    output
}

/// The output of Get Log: a part of the command effects log.
///
/// # Errors
/// For another log, and for bytes beyond its end.
pub(super) fn get_log(input: &[u8]) -> Result<Vec<u8>, ReturnCode> {
    let (log, _) = input.split_at(input.len().min(COMMAND_EFFECTS_LOG.len()));
    if log != COMMAND_EFFECTS_LOG {
        return Err(ReturnCode::InvalidLog);
    }
    let position = |offset| to_usize(u32_at(input, offset).into());
    let (start, bytes) = (position(16), position(20));
    let end = start.checked_add(bytes).ok_or(ReturnCode::InvalidInput)?;
    let part = command_effects().get(start..end).map(<[u8]>::to_vec);
    part.ok_or(ReturnCode::InvalidInput)
}
