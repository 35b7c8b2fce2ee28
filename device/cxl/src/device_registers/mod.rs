// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! BAR2: memory device registers. A mailbox command runs while its doorbell is written.

mod alerts;
mod command_set;
mod commands;
mod event_log;
mod firmware;
mod health;
mod media_event;
mod poison;
mod readings;
mod record;
mod sanitize;
mod timestamp;

#[cfg(test)]
mod tests;

use std::num::Saturating;

use chmu_spec::cxl::device::{
    ARRAY_ENTRY_BYTES, ArrayEntry, ArrayHeader, MEDIA_DISABLED, MEDIA_READY, MailboxCommand,
    MailboxStatus, MemoryDeviceStatus, capability, mailbox,
};
use chmu_spec::cxl::event::{EventLog, policy};
use chmu_spec::cxl::mailbox::ReturnCode;
use chmu_spec::native::to_usize;
use chmu_spec::register::WriteRules;

use crate::bar::Bar;
use crate::event::FunctionEvent;
use crate::host::FunctionHost;
use crate::register_space::{RegisterSpace, written_bits};

use commands::MemoryDevice;

pub use health::Condition;
pub use media_event::{MediaEvent, Transaction};

/// Bytes of BAR2, of which the registers take the start.
const BAR_BYTES: u64 = 0x1_0000;

/// Where device status, memory device status and mailbox lie.
const DEVICE_STATUS: u32 = 0x80;
const MEMORY_STATUS: u32 = 0x88;
const MAILBOX: u32 = 0x100;

/// log2 of the bytes of a mailbox payload. Every access to it traps, so it is small.
const PAYLOAD_LOG2: u8 = 11;

/// Bytes of a mailbox payload.
const PAYLOAD_BYTES: usize = 1 << PAYLOAD_LOG2;

/// Vector of the event logs.
const EVENT_VECTOR: u16 = 0;

/// What the registers count, for statistics.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) mailbox_commands: Saturating<u64>,
    pub(crate) event_records: Saturating<u64>,
    pub(crate) event_records_lost: Saturating<u64>,
    pub(crate) event_interrupts: Saturating<u64>,
}

/// The registers behind BAR2, and the memory device that their mailbox talks to.
#[derive(Debug)]
pub(crate) struct DeviceRegisters {
    space: RegisterSpace,
    device: MemoryDevice,
    counts: Counts,
}

impl DeviceRegisters {
    /// Registers of a device of `capacity_bytes` of memory; `interrupts` says that it has vectors.
    pub(crate) fn new(capacity_bytes: u64, interrupts: bool) -> Self {
        let mut space = RegisterSpace::new(BAR_BYTES);
        define_capability_array(&mut space);
        let status = MemoryDeviceStatus::new()
            .with_media_status(MEDIA_READY)
            .with_mailbox_ready(true);
        let fixed = WriteRules::default();
        space.define(MEMORY_STATUS.into(), 8, status.into_bits(), fixed);
        let mut capabilities = u32::from(PAYLOAD_LOG2);
        let mut control = WriteRules::default();
        if interrupts {
            capabilities |= mailbox::BACKGROUND_INTERRUPTS;
            control.writable = mailbox::BACKGROUND_INTERRUPT_ENABLE.into();
        }
        space.define(at(mailbox::CAPABILITIES), 4, capabilities.into(), fixed);
        space.define(at(mailbox::CONTROL), 4, 0, control);
        let command = MailboxCommand::new()
            .with_opcode(u16::MAX)
            .with_payload_bytes(0x1f_ffff);
        let command = WriteRules {
            writable: command.into_bits(),
            clearable: 0,
        };
        space.define(at(mailbox::COMMAND), 8, 0, command);
        let payload = WriteRules {
            writable: u64::MAX,
            clearable: 0,
        };
        for offset in (at(mailbox::PAYLOAD)..).step_by(8).take(PAYLOAD_BYTES / 8) {
            space.define(offset, 8, 0, payload);
        }
        Self {
            space,
            device: MemoryDevice::new(capacity_bytes, interrupts),
            counts: Counts::default(),
        }
    }

    /// BAR2: nothing of it can be mapped, as everything acts when it is written.
    pub(crate) fn bar() -> Bar {
        Bar {
            size_bytes: BAR_BYTES,
            mappable_areas: Vec::new(),
        }
    }

    pub(crate) fn read(
        &mut self,
        now_ns: u64,
        offset: u64,
        data: &mut [u8],
        host: &mut impl FunctionHost,
    ) {
        self.advance(now_ns, host);
        self.space.read(offset, data);
    }

    /// Writes. The memory is in use while a host can reach it.
    pub(crate) fn write(
        &mut self,
        now_ns: u64,
        memory_in_use: bool,
        offset: u64,
        data: &[u8],
        host: &mut impl FunctionHost,
    ) {
        self.advance(now_ns, host);
        self.space.write(offset, data);
        let written = written_bits(at(mailbox::CONTROL), 4, offset, data);
        if written & u64::from(mailbox::DOORBELL) != 0 {
            self.run_command(now_ns, memory_in_use, host);
        }
    }

    /// Lets time pass for the command in the background, and tells the host when it is done.
    pub(crate) fn advance(&mut self, now_ns: u64, host: &mut impl FunctionHost) {
        if !self.device.is_sanitizing() {
            return;
        }
        let has_ended = self.device.advance(now_ns);
        self.show_background();
        self.show_event_status();
        let control = self.space.get(at(mailbox::CONTROL), 4);
        let is_wanted = control & u64::from(mailbox::BACKGROUND_INTERRUPT_ENABLE) != 0;
        if has_ended && is_wanted {
            host.interrupt(EVENT_VECTOR);
        }
    }

    /// When the command in the background ends.
    pub(crate) fn next_deadline_ns(&self) -> Option<u64> {
        self.device.sanitizing().deadline_ns()
    }

    /// The memory fails: writes a record to an event log, and tells the host as the interrupt policy
    /// says; returns whether the log had room.
    pub(crate) fn record(
        &mut self,
        now_ns: u64,
        event: &MediaEvent,
        host: &mut impl FunctionHost,
    ) -> bool {
        let has_room = self.device.record(now_ns, event);
        self.tell_recorded(host);
        has_room
    }

    /// The outside changes the device's health, which may be worth an alert.
    pub(crate) fn set_condition(
        &mut self,
        now_ns: u64,
        condition: Condition,
        host: &mut impl FunctionHost,
    ) {
        self.device.set_condition(now_ns, condition);
        self.tell_recorded(host);
    }

    /// A function-level reset: the mailbox is idle again; logs, policy and time live on.
    pub(crate) fn function_level_reset(&mut self) {
        self.space.reset(0..0);
        self.show_event_status();
        self.show_background();
    }

    /// Goes back to the state after power-on.
    pub(crate) fn reset(&mut self) {
        self.device.reset();
        self.function_level_reset();
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    fn run_command(&mut self, now_ns: u64, memory_in_use: bool, host: &mut impl FunctionHost) {
        let command = MailboxCommand::from_bits(self.space.get(at(mailbox::COMMAND), 8));
        let input_bytes = to_usize(command.payload_bytes().into());
        let mut payload = vec![0; PAYLOAD_BYTES];
        self.space.read(at(mailbox::PAYLOAD), &mut payload);
        let input = payload.get(..input_bytes);
        let outcome = self
            .device
            .execute(now_ns, memory_in_use, command.opcode(), input);
        let (return_code, output) = match outcome {
            Ok(output) => (ReturnCode::Success, output),
            Err(return_code) => (return_code, Vec::new()),
        };
        let output_bytes = u32::try_from(output.len()).unwrap_or(0);
        self.space.set_bytes(at(mailbox::PAYLOAD), &output);
        let answer = command.with_payload_bytes(output_bytes);
        self.space.set(at(mailbox::COMMAND), 8, answer.into_bits());
        let status = MailboxStatus::new().with_return_code(return_code.code());
        self.space.set(at(mailbox::STATUS), 8, status.into_bits());
        self.show_background();
        self.counts.mailbox_commands += 1;
        host.event(FunctionEvent::MailboxCommand {
            opcode: command.opcode(),
            return_code,
        });
        self.tell_recorded(host);
    }

    /// Shows new records in the event status, and interrupts as the policy says.
    fn tell_recorded(&mut self, host: &mut impl FunctionHost) {
        self.show_event_status();
        for recorded in self.device.take_recorded() {
            let counter = if recorded.lost {
                &mut self.counts.event_records_lost
            } else {
                &mut self.counts.event_records
            };
            *counter += 1;
            host.event(FunctionEvent::Recorded {
                log: recorded.log,
                lost: recorded.lost,
            });
            let mode = self.device.policy(recorded.log) & policy::MODE;
            if recorded.news && mode == policy::MESSAGE {
                self.counts.event_interrupts += 1;
                host.interrupt(EVENT_VECTOR);
            }
        }
    }

    /// What runs in the background, in the three registers that tell of it.
    fn show_background(&mut self) {
        let runs = self.device.is_sanitizing();
        let status = MailboxStatus::from_bits(self.space.get(at(mailbox::STATUS), 8));
        let status = status.with_background(runs).into_bits();
        self.space.set(at(mailbox::STATUS), 8, status);
        let background = self.device.sanitizing().status().into_bits();
        self.space
            .set(at(mailbox::BACKGROUND_STATUS), 8, background);
        let media = if runs { MEDIA_DISABLED } else { MEDIA_READY };
        let memory = MemoryDeviceStatus::from_bits(self.space.get(MEMORY_STATUS.into(), 8));
        let memory = memory.with_media_status(media).into_bits();
        self.space.set(MEMORY_STATUS.into(), 8, memory);
    }

    /// Device status: which logs hold records.
    fn show_event_status(&mut self) {
        let status = EventLog::ALL
            .into_iter()
            .filter(|log| self.device.has_records(*log))
            .fold(0, |status, log| status | 1 << log.code());
        self.space.set(DEVICE_STATUS.into(), 4, status);
    }
}

/// Offset of a mailbox register in the BAR.
fn at(register: u64) -> u64 {
    u64::from(MAILBOX).saturating_add(register)
}

fn define_capability_array(space: &mut RegisterSpace) {
    let mailbox_bytes = mailbox::PAYLOAD.saturating_add(1 << PAYLOAD_LOG2);
    let entries = [
        (capability::DEVICE_STATUS, DEVICE_STATUS, 8),
        (capability::PRIMARY_MAILBOX, MAILBOX, mailbox_bytes),
        (capability::MEMORY_DEVICE_STATUS, MEMORY_STATUS, 8),
    ];
    let header = ArrayHeader::new().with_version(1).with_entries(3);
    let fixed = WriteRules::default();
    space.define(0, 8, header.into_bits(), fixed);
    let mut start = ARRAY_ENTRY_BYTES;
    for (id, offset, bytes) in entries {
        let entry = ArrayEntry::new()
            .with_id(id)
            .with_version(1)
            .with_offset(offset);
        space.define(start, 8, entry.into_bits(), fixed);
        space.define(start.saturating_add(8), 4, bytes, fixed);
        start = start.saturating_add(ARRAY_ENTRY_BYTES);
    }
}
