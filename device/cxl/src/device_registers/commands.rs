// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the mailbox commands do.

use chmu_spec::address::Dpa;
use chmu_spec::cxl::CAPACITY_MULTIPLE_BYTES;
use chmu_spec::cxl::event::{EventLog, clear, policy};
use chmu_spec::cxl::mailbox::{ReturnCode, SECURITY_STATE_BYTES, identify, opcode, partition_info};
use chmu_spec::cxl::poison::PoisonSource;

use super::PAYLOAD_BYTES;
use super::alerts::AlertConfiguration;
use super::command_set::{Command, get_log, supported_logs};
use super::event_log::{LOG_RECORDS, Log, Recorded};
use super::firmware;
use super::health::{Condition, Health};
use super::media_event::{MediaEvent, Transaction};
use super::poison::{self, Added, PoisonList};
use super::record::Event;
use super::sanitize::Sanitizing;
use super::timestamp::Timestamp;
use crate::bytes::{byte, put, u64_at};

/// What the mailbox talks to.
#[derive(Debug)]
pub(super) struct MemoryDevice {
    capacity_bytes: u64,
    interrupts: bool,
    timestamp: Timestamp,
    logs: [Log; 4],
    policies: [u8; 4],
    health: Health,
    alerts: AlertConfiguration,
    poison: PoisonList,
    sanitizing: Sanitizing,
    /// What became of records since [`MemoryDevice::take_recorded`].
    recorded: Vec<Recorded>,
}

impl MemoryDevice {
    pub(super) fn new(capacity_bytes: u64, interrupts: bool) -> Self {
        Self {
            capacity_bytes,
            interrupts,
            timestamp: Timestamp::default(),
            logs: Default::default(),
            policies: [policy::NONE; 4],
            health: Health::default(),
            alerts: AlertConfiguration::default(),
            poison: PoisonList::default(),
            sanitizing: Sanitizing::default(),
            recorded: Vec::new(),
        }
    }

    /// Carries a command out. Input that is longer than the payload is none; memory in use is memory
    /// that a host reaches.
    pub(super) fn execute(
        &mut self,
        now_ns: u64,
        memory_in_use: bool,
        opcode: u16,
        input: Option<&[u8]>,
    ) -> Result<Vec<u8>, ReturnCode> {
        let command = Command::with_opcode(opcode).ok_or(ReturnCode::Unsupported)?;
        let input = input
            .filter(|input| command.takes(input.len()))
            .ok_or(ReturnCode::InvalidPayloadLength)?;
        if self.is_sanitizing() && command.needs_memory() {
            return Err(ReturnCode::MediaDisabled);
        }
        match opcode {
            opcode::GET_EVENT_RECORDS => Ok(self.log(byte(input, 0))?.output(PAYLOAD_BYTES)),
            opcode::CLEAR_EVENT_RECORDS => self.clear_event_records(input),
            opcode::GET_EVENT_INTERRUPT_POLICY => Ok(self.policies.to_vec()),
            opcode::SET_EVENT_INTERRUPT_POLICY => self.set_event_interrupt_policy(input),
            opcode::GET_TIMESTAMP => Ok(self.timestamp.now(now_ns).to_le_bytes().to_vec()),
            opcode::SET_TIMESTAMP => {
                self.timestamp.set(now_ns, u64_at(input, 0));
                Ok(Vec::new())
            }
            opcode::GET_SUPPORTED_LOGS => Ok(supported_logs()),
            opcode::GET_LOG => get_log(input),
            opcode::IDENTIFY => Ok(self.identify()),
            opcode::GET_PARTITION_INFO => Ok(self.partition_info()),
            opcode::GET_FIRMWARE_INFO => Ok(firmware::output()),
            opcode::GET_HEALTH_INFO => Ok(self.health.output()),
            opcode::GET_ALERT_CONFIGURATION => Ok(self.alerts.output()),
            opcode::SET_ALERT_CONFIGURATION => {
                self.alerts.set(input)?;
                self.judge_health(now_ns);
                Ok(Vec::new())
            }
            opcode::GET_POISON_LIST => self.poison.output(input, self.capacity_bytes),
            opcode::INJECT_POISON => self.inject_poison(now_ns, input),
            opcode::CLEAR_POISON => {
                self.poison.clear(self.line(input)?);
                Ok(Vec::new())
            }
            opcode::SANITIZE if memory_in_use => Err(ReturnCode::Busy),
            opcode::SANITIZE => {
                self.sanitizing.start(now_ns, self.capacity_bytes)?;
                Err(ReturnCode::BackgroundStarted)
            }
            opcode::GET_SECURITY_STATE => Ok(vec![0; SECURITY_STATE_BYTES]),
            _ => Err(ReturnCode::Unsupported),
        }
    }

    /// The memory fails: writes a record to an event log, and puts the address onto the poison list
    /// if data was lost. Returns whether the log had room.
    pub(super) fn record(&mut self, now_ns: u64, event: &MediaEvent) -> bool {
        let mut poison_list_overflow = false;
        if event.uncorrectable {
            let timestamp = self.timestamp.now(now_ns);
            let added = self
                .poison
                .add(event.dpa, PoisonSource::Internal, timestamp);
            poison_list_overflow = added == Added::Overflow;
        } else {
            self.health.count_corrected_error();
        }
        let event = Event::Media {
            event,
            poison_list_overflow,
        };
        let recorded = self.push(now_ns, &event);
        self.judge_health(now_ns);
        !recorded.lost
    }

    /// The outside changes the device's health.
    pub(super) fn set_condition(&mut self, now_ns: u64, condition: Condition) {
        self.health.set(condition);
        self.judge_health(now_ns);
    }

    /// The command in the background.
    pub(super) fn sanitizing(&self) -> &Sanitizing {
        &self.sanitizing
    }

    pub(super) fn is_sanitizing(&self) -> bool {
        self.sanitizing.is_running()
    }

    /// Lets time pass; whether the command in the background ended. Nothing is left of what was
    /// there: neither poison nor events.
    pub(super) fn advance(&mut self, now_ns: u64) -> bool {
        let has_ended = self.sanitizing.advance(now_ns);
        if has_ended {
            self.poison.clear_all();
            self.logs.iter_mut().for_each(Log::clear_all);
        }
        has_ended
    }

    /// What became of the records that were written since the last call.
    pub(super) fn take_recorded(&mut self) -> Vec<Recorded> {
        std::mem::take(&mut self.recorded)
    }

    pub(super) fn has_records(&self, log: EventLog) -> bool {
        let [informational, warning, failure, fatal] = &self.logs;
        let log = match log {
            EventLog::Informational => informational,
            EventLog::Warning => warning,
            EventLog::Failure => failure,
            EventLog::Fatal => fatal,
        };
        !log.is_empty()
    }

    /// A log's byte of the interrupt policy.
    pub(super) fn policy(&self, log: EventLog) -> u8 {
        byte(&self.policies, log.code().into())
    }

    /// The power-on state. Temperature and wear are what they are.
    pub(super) fn reset(&mut self) {
        let mut health = self.health;
        health.power_on();
        *self = Self {
            health,
            ..Self::new(self.capacity_bytes, self.interrupts)
        };
        self.health.judge(&self.alerts);
    }

    fn push(&mut self, now_ns: u64, event: &Event<'_>) -> Recorded {
        let timestamp = self.timestamp.now(now_ns);
        let recorded = self.log_mut(event.log()).push(event, timestamp);
        self.recorded.push(recorded);
        recorded
    }

    /// Writes a record for everything about the health that got better or worse.
    fn judge_health(&mut self, now_ns: u64) {
        let changes = self.health.judge(&self.alerts);
        let health_info = self.health.output();
        for change in changes {
            let event = Event::Module {
                change,
                health_info: &health_info,
            };
            self.push(now_ns, &event);
        }
    }

    /// The line of memory that an input starts with.
    fn line(&self, input: &[u8]) -> Result<Dpa, ReturnCode> {
        let dpa = poison::line_address(u64_at(input, 0))?;
        if dpa.0 < self.capacity_bytes {
            Ok(dpa)
        } else {
            Err(ReturnCode::InvalidPhysicalAddress)
        }
    }

    /// New poison is worth a record, poison that is there already is not.
    fn inject_poison(&mut self, now_ns: u64, input: &[u8]) -> Result<Vec<u8>, ReturnCode> {
        let dpa = self.line(input)?;
        let added = self.poison.inject(dpa, self.timestamp.now(now_ns))?;
        if added != Added::Known {
            let event = MediaEvent {
                log: EventLog::Informational,
                dpa,
                uncorrectable: true,
                transaction: Transaction::HostInjectPoison,
            };
            let event = Event::Media {
                event: &event,
                poison_list_overflow: added == Added::Overflow,
            };
            self.push(now_ns, &event);
        }
        Ok(Vec::new())
    }

    fn log_mut(&mut self, log: EventLog) -> &mut Log {
        let [informational, warning, failure, fatal] = &mut self.logs;
        match log {
            EventLog::Informational => informational,
            EventLog::Warning => warning,
            EventLog::Failure => failure,
            EventLog::Fatal => fatal,
        }
    }

    /// The log with a code, of a host's choice.
    fn log(&mut self, code: u8) -> Result<&mut Log, ReturnCode> {
        let log = EventLog::from_code(code).ok_or(ReturnCode::InvalidInput)?;
        Ok(self.log_mut(log))
    }

    fn clear_event_records(&mut self, input: &[u8]) -> Result<Vec<u8>, ReturnCode> {
        let count = usize::from(byte(input, clear::COUNT));
        let all = byte(input, clear::FLAGS) & clear::ALL != 0;
        let handles = input.get(clear::HANDLES..).unwrap_or_default();
        if handles.len() != count.saturating_mul(2) {
            return Err(ReturnCode::InvalidPayloadLength);
        }
        let log = self.log(byte(input, clear::LOG))?;
        if all {
            log.clear_all();
            return Ok(Vec::new());
        }
        let handles: Vec<u16> = handles
            .as_chunks()
            .0
            .iter()
            .map(|handle| u16::from_le_bytes(*handle))
            .collect();
        log.clear(&handles)?;
        Ok(Vec::new())
    }

    /// Takes a mode for each log: nothing or a message; message numbers are the device's choice.
    fn set_event_interrupt_policy(&mut self, input: &[u8]) -> Result<Vec<u8>, ReturnCode> {
        let (modes, dynamic_capacity) = input.split_at(input.len().min(4));
        let possible = |mode: u8| match mode & policy::MODE {
            policy::NONE => true,
            policy::MESSAGE => self.interrupts,
            _ => false,
        };
        let unwanted = dynamic_capacity.iter().any(|mode| mode & policy::MODE != 0);
        if unwanted || !modes.iter().all(|mode| possible(*mode)) {
            return Err(ReturnCode::InvalidInput);
        }
        for (policy, mode) in self.policies.iter_mut().zip(modes) {
            *policy = mode & policy::MODE;
        }
        Ok(Vec::new())
    }

    /// All memory is volatile and cannot be partitioned.
    fn identify(&self) -> Vec<u8> {
        let capacity = (self.capacity_bytes / CAPACITY_MULTIPLE_BYTES).to_le_bytes();
        let mut output = vec![0; identify::BYTES];
        let revision = firmware::REVISION.as_bytes();
        put(&mut output, identify::FIRMWARE_REVISION, revision);
        put(&mut output, identify::TOTAL_CAPACITY, &capacity);
        put(&mut output, identify::VOLATILE_CAPACITY, &capacity);
        let sizes = [LOG_RECORDS; 4].map(u16::to_le_bytes);
        put(&mut output, identify::EVENT_LOG_SIZES, sizes.as_flattened());
        let records = poison::LIST_LINES.to_le_bytes();
        put(&mut output, identify::POISON_LIST_RECORDS, &records);
        let limit = poison::INJECTED_LINES.to_le_bytes();
        put(&mut output, identify::INJECT_POISON_LIMIT, &limit);
        output
    }

    fn partition_info(&self) -> Vec<u8> {
        let capacity = self.capacity_bytes / CAPACITY_MULTIPLE_BYTES;
        let mut output = vec![0; partition_info::BYTES];
        let active = partition_info::ACTIVE_VOLATILE;
        put(&mut output, active, &capacity.to_le_bytes());
        output
    }
}
