// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What happens inside a function, for logs and tests.

use std::fmt;

use chmu_spec::cxl::event::EventLog;
use chmu_spec::cxl::mailbox::ReturnCode;

/// Something that happened in a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FunctionEvent {
    /// Something happened in a hotness monitoring unit.
    Monitor {
        /// Which block, from 0.
        block: usize,
        /// What happened in it.
        event: chmu_model::Event,
    },
    /// A mailbox command was carried out or refused.
    MailboxCommand {
        /// The command's opcode, known or not.
        opcode: u16,
        /// What the mailbox answered.
        return_code: ReturnCode,
    },
    /// A record was written to an event log, or lost because the log is full.
    Recorded {
        /// The log that the record was meant for.
        log: EventLog,
        /// The log was full, and the record is counted only.
        lost: bool,
    },
    /// A driver asked for a decoder that cannot be.
    DecoderRefused {
        /// Which decoder, from 0.
        decoder: usize,
        /// What is wrong with what the driver asked for.
        refusal: DecoderRefusal,
    },
    /// The host physical addresses that the function decodes changed;
    /// [`Function::windows`](crate::Function::windows) has the new ones.
    WindowsChanged,
    /// A driver reset the function; decoders and memory live on.
    FunctionLevelReset,
    /// The machine reset the device to its power-on state.
    DeviceReset,
}

impl fmt::Display for FunctionEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Monitor { block, event } => write!(f, "CHMU {block}: {event}"),
            Self::MailboxCommand {
                opcode,
                return_code,
            } => write!(
                f,
                "mailbox command {opcode:#06x} ends with code {:#04x}",
                return_code.code()
            ),
            Self::Recorded { log, lost: false } => {
                write!(f, "the {} event log has a new record", log.name())
            }
            Self::Recorded { log, lost: true } => {
                write!(f, "the {} event log is full, a record is lost", log.name())
            }
            Self::DecoderRefused { decoder, refusal } => {
                write!(f, "HDM decoder {decoder} is not committed: {refusal}")
            }
            Self::WindowsChanged => f.write_str("the decoded host physical addresses changed"),
            Self::FunctionLevelReset => f.write_str("function-level reset"),
            Self::DeviceReset => f.write_str("device reset"),
        }
    }
}

/// Why a decoder is not committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecoderRefusal {
    /// The interleave codes are reserved, or name more than one way.
    #[error("a driver can commit only 1 way here: the registers do not tell the position")]
    Interleave,
    /// The window is empty or leaves 64 bits.
    #[error("the window is empty or ends beyond the last address")]
    Window,
    /// The window does not lie behind that of the lower decoder.
    #[error("the window does not start behind the window of the decoder before")]
    Overlap,
    /// The device has no such memory.
    #[error("the window and the skipped bytes leave the device's memory")]
    Capacity,
}
