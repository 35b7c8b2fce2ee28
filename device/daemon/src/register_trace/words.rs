// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What values of registers mean, in words.

use std::fmt::Display;

use chmu_spec::chmu::{Capabilities0, Capabilities1, Configuration1, EpochType, Mode, Status};
use chmu_spec::cxl::device::{MailboxCommand, MailboxStatus, mailbox};
use chmu_spec::cxl::mailbox::opcode;
use chmu_spec::pci::command;
use chmu_spec::register::{Field, FieldAccess, Register};
use chmu_spec::request::{RequestFilter, RequestFilters};
use chmu_spec::unit_size::{UnitSize, UnitSizes};

use super::map::{Kind, Place};

/// A part of a register that an access touches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lanes {
    /// The bits, at their places in the register.
    pub(super) value: u64,
    /// The bits that the field takes.
    pub(super) mask: u64,
}

impl Lanes {
    const fn touches(self, field: &Field) -> bool {
        self.mask & field.mask() != 0
    }
}

/// What the bits say. `old` is what the register held before they were written.
pub(super) fn words(place: &Place, lanes: Lanes, old: Option<u64>) -> String {
    match place.kind {
        Kind::Register(register) => register_words(register, lanes, old),
        Kind::PciCommand => flags(
            lanes.value,
            &[
                (command::MEMORY, "memory"),
                (command::BUS_MASTER, "bus master"),
                (command::PARITY_ERROR, "parity errors"),
                (command::SYSTEM_ERROR, "system errors"),
                (command::INTERRUPT_DISABLE, "no wired interrupts"),
            ],
        ),
        Kind::MailboxControl if lanes.value & u64::from(mailbox::DOORBELL) != 0 => {
            "doorbell".to_owned()
        }
        Kind::MailboxCommand => {
            let command = MailboxCommand::from_bits(lanes.value);
            let (code, bytes) = (command.opcode(), command.payload_bytes());
            format!("{} ({code:#06x}), {bytes} bytes", command_name(code))
        }
        Kind::MailboxStatus => {
            let status = MailboxStatus::from_bits(lanes.value);
            match status.return_code() {
                0 => "success".to_owned(),
                code => format!("return code {code:#04x}"),
            }
        }
        Kind::RangeBitmap => ranges(lanes.value),
        Kind::MailboxControl | Kind::Number | Kind::Entries { .. } | Kind::Opaque => String::new(),
    }
}

/// The fields of a register that a write asked to change and that stayed as they were. What acts
/// or clears is not meant to stay, and drivers write back what they read from read-only fields
/// beside others.
pub(super) fn not_taken(register: &Register, written: Lanes, new: u64) -> Vec<&'static str> {
    if register.fields.iter().all(is_read_only) {
        return vec!["the register is read-only"];
    }
    let kept =
        register.mask(FieldAccess::ReadWrite) | register.mask(FieldAccess::ReadWriteUnlocked);
    let differing = (written.value ^ new) & written.mask;
    let fields = register.fields.iter();
    let mut names: Vec<_> = fields
        .filter(|field| differing & kept & field.mask() != 0)
        .map(|field| field.name)
        .collect();
    if differing & register.reserved() != 0 {
        names.push("reserved bits");
    }
    names
}

const fn is_read_only(field: &Field) -> bool {
    matches!(field.access, FieldAccess::ReadOnly)
}

fn register_words(register: &Register, lanes: Lanes, old: Option<u64>) -> String {
    let is_write = old.is_some();
    let touched = register.fields.iter().filter(|field| lanes.touches(field));
    let told = touched.filter(|field| !is_write || !is_read_only(field));
    let words = told.filter_map(|field| field_words(register, field, lanes.value, old));
    join(words)
}

/// What a field says; none where there is nothing worth a word.
fn field_words(register: &Register, field: &Field, value: u64, old: Option<u64>) -> Option<String> {
    let bits = (value & field.mask()) >> field.low;
    match (register.name, field.name) {
        ("Capabilities 0", "epoch type") => Some(epoch_type(bits)),
        ("Capabilities 0", "trackable requests") => {
            let filters = RequestFilters::from_bits(u8::try_from(bits).unwrap_or_default());
            Some(match filters.iter().count() {
                6 => "all kinds of requests".to_owned(),
                _ => join(filters.iter().map(RequestFilter::name)),
            })
        }
        ("Capabilities 0", "maximum epoch multiplier") => Some(epoch(
            "epochs up to",
            Capabilities0::from_bits(value).maximum_epoch(),
        )),
        ("Capabilities 0", "minimum epoch multiplier") => Some(epoch(
            "epochs from",
            Capabilities0::from_bits(value).minimum_epoch(),
        )),
        ("Capabilities 1", "unit sizes") => {
            let sizes = UnitSizes::from_bits(Capabilities1::from_bits(value).unit_sizes());
            Some(format!("units of {}", stretch(bits, sizes.iter())))
        }
        ("Capabilities 1", "down-sampling factors") => {
            let factors = (0..u64::BITS).filter(|bit| bits >> bit & 1 == 1);
            Some(format!(
                "factors {}",
                stretch(bits, factors.map(|bit| 1_u64 << bit))
            ))
        }
        ("Configuration 0", "request code") => {
            let filter = u8::try_from(bits).ok().and_then(RequestFilter::from_code);
            Some(match filter {
                Some(filter) => filter.name().to_owned(),
                None if bits == 0 => "no requests".to_owned(),
                None => format!("reserved request code {bits}"),
            })
        }
        ("Configuration 1", "unit size") => {
            let size = u32::try_from(bits).ok().and_then(UnitSize::from_log2_bytes);
            Some(
                size.map_or(format!("impossible unit size 2^{bits}"), |size| {
                    format!("units of {size}")
                }),
            )
        }
        ("Configuration 1", "down-sampling factor") => {
            (bits > 0).then(|| format!("1 access of {}", 1_u64 << bits))
        }
        ("Configuration 1", "mode") => {
            let mode = u8::try_from(bits).ok().and_then(Mode::from_code);
            Some(match mode {
                Some(Mode::Epoch) => "epoch mode".to_owned(),
                Some(Mode::AlwaysOn) => "always on".to_owned(),
                None => format!("reserved mode {bits}"),
            })
        }
        ("Configuration 1", "epoch multiplier") => {
            Some(epoch("epoch", Configuration1::from_bits(value).epoch()))
        }
        ("Status", "operation in progress") => match Status::from_bits(value).operation() {
            Some(operation) => Some(format!("{operation:?} in progress").to_lowercase()),
            None => (bits > 0).then(|| format!("reserved operation {bits} in progress")),
        },
        ("Status", "counter width") => (bits > 0).then(|| format!("counters of {bits} bits")),
        ("Range bitmap offset" | "Hotlist offset", _) => None,
        ("Hotlist head" | "Hotlist tail", _) => Some(bits.to_string()),
        // The multiplier says both.
        (_, "epoch scale" | "minimum epoch scale" | "maximum epoch scale") => None,
        _ if field.low == field.high => flag(field, bits, old),
        _ if field.high.saturating_sub(field.low) > 16 && field.name != "hotness threshold" => {
            Some(format!("{} {bits:#x}", field.name))
        }
        _ => Some(format!("{} {bits}", field.name)),
    }
}

fn flag(field: &Field, bit: u64, old: Option<u64>) -> Option<String> {
    if bit != 0 {
        let clears = old.is_some() && matches!(field.access, FieldAccess::WriteOneToClear);
        let verb = if clears { "clear " } else { "" };
        return Some(format!("{verb}{}", field.name));
    }
    let was_set = old.is_some_and(|old| old & field.mask() != 0);
    let is_kept = matches!(
        field.access,
        FieldAccess::ReadWrite | FieldAccess::ReadWriteUnlocked
    );
    (was_set && is_kept).then(|| format!("{} off", field.name))
}

fn epoch_type(code: u64) -> String {
    match u8::try_from(code).ok().and_then(EpochType::from_code) {
        Some(EpochType::Global) => "global epochs".to_owned(),
        Some(EpochType::PerCounter) => "an epoch per counter".to_owned(),
        None => format!("reserved epoch type {code}"),
    }
}

fn epoch(what: &str, length: Option<impl Display>) -> String {
    match length {
        Some(length) => format!("{what} {length}"),
        None => format!("{what} no length"),
    }
}

fn flags(value: u64, names: &[(u16, &str)]) -> String {
    let set = names.iter().filter(|(bit, _)| value & u64::from(*bit) != 0);
    join(set.map(|(_, name)| name))
}

/// The set bits, stretches of them as first and last.
fn ranges(value: u64) -> String {
    let mut stretches = Vec::new();
    let mut rest = value;
    let mut at = 0_u32;
    while rest != 0 {
        let zeros = rest.trailing_zeros();
        let ones = (rest >> zeros).trailing_ones();
        let first = at.saturating_add(zeros);
        let last = first.saturating_add(ones).saturating_sub(1);
        stretches.push(if ones == 1 {
            first.to_string()
        } else {
            format!("{first}-{last}")
        });
        at = last.saturating_add(1);
        rest = rest.checked_shr(zeros.saturating_add(ones)).unwrap_or(0);
    }
    match stretches.as_slice() {
        [] => "no range".to_owned(),
        stretches => format!("ranges {}", join(stretches)),
    }
}

/// Values that bits stand for: the first and the last where the bits between them are all set.
fn stretch(bits: u64, values: impl IntoIterator<Item = impl Display>) -> String {
    let values: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
    let ones = bits.checked_shr(bits.trailing_zeros()).unwrap_or(0);
    let is_whole = ones.trailing_ones() == bits.count_ones();
    match values.as_slice() {
        [first, _, .., last] if is_whole => format!("{first} to {last}"),
        values => join(values),
    }
}

fn join(words: impl IntoIterator<Item = impl Display>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| word.to_string()).collect();
    words.join(", ")
}

fn command_name(code: u16) -> &'static str {
    match code {
        opcode::GET_EVENT_RECORDS => "Get Event Records",
        opcode::CLEAR_EVENT_RECORDS => "Clear Event Records",
        opcode::GET_EVENT_INTERRUPT_POLICY => "Get Event Interrupt Policy",
        opcode::SET_EVENT_INTERRUPT_POLICY => "Set Event Interrupt Policy",
        0x0200 => "Get FW Info",
        opcode::GET_TIMESTAMP => "Get Timestamp",
        opcode::SET_TIMESTAMP => "Set Timestamp",
        opcode::GET_SUPPORTED_LOGS => "Get Supported Logs",
        opcode::GET_LOG => "Get Log",
        opcode::IDENTIFY => "Identify Memory Device",
        opcode::GET_PARTITION_INFO => "Get Partition Info",
        0x4102 => "Get LSA",
        opcode::GET_HEALTH_INFO => "Get Health Info",
        0x4201 => "Get Alert Configuration",
        0x4202 => "Set Alert Configuration",
        0x4300 => "Get Poison List",
        0x4301 => "Inject Poison",
        0x4302 => "Clear Poison",
        0x4400 => "Sanitize",
        _ => "unknown command",
    }
}
