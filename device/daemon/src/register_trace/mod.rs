// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Writes down what clients do to the registers, in words: one line for each access, and one for
//! each thing that the device does of itself.
//!
//! ```text
//!     seconds  access   where           bytes  part      register and meaning
//!    0.012345  write    BAR4+0x000058       8  CHMU 0.0  CONFIGURATION_1 <- units of 4K, epoch mode, epoch 100ms  (0x0 -> 0x104000000000c)
//! ```

mod map;
mod walk;
mod words;

use std::fmt::Write;
use std::ops::Range;

use chmu_cxl::{FunctionConfig, FunctionEvent, Region};
use chmu_spec::chmu::RANGE_BYTES;
use chmu_spec::native::to_u64;

use crate::logging::Sink;
use map::{Kind, Place, RegisterMap};
use words::Lanes;

/// First lines of a trace.
const HEAD: &str =
    "    seconds  access     where           bytes  part       register and meaning\n";

/// Most bytes of an access whose value is told.
pub(crate) const MAX_VALUE_BYTES: usize = 8;

/// Something that the function did besides answering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Note {
    /// It has something to tell.
    Event {
        /// What the function did.
        event: FunctionEvent,
        /// A driver was refused something.
        is_refusal: bool,
    },
    /// It sent an interrupt on the vector of this number.
    Interrupt(u16),
}

/// An access to a region.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Access<'a> {
    /// When, in nanoseconds of the device's time.
    pub(crate) now_ns: u64,
    /// The region that was accessed.
    pub(crate) region: Region,
    /// How far into the region.
    pub(crate) offset: u64,
    /// What was read or written.
    pub(crate) data: &'a [u8],
}

/// What a write found and what it left, as far as that can be told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    /// What was there before the write.
    pub(crate) old: [u8; MAX_VALUE_BYTES],
    /// What was there after the write.
    pub(crate) new: [u8; MAX_VALUE_BYTES],
}

/// Writes accesses down, and what the function did meanwhile.
#[derive(Debug)]
pub(crate) struct RegisterTrace {
    map: RegisterMap,
    sink: Sink,
    /// The last line about a read, without its time.
    last: String,
    /// How often it came again, and when the last time.
    repeats: u64,
    repeated_ns: u64,
}

impl RegisterTrace {
    /// A trace of a function with this configuration.
    pub(crate) fn new(config: &FunctionConfig, mut sink: Sink) -> Self {
        sink.put(HEAD.as_bytes());
        Self {
            map: walk::map(config),
            sink,
            last: String::new(),
            repeats: 0,
            repeated_ns: 0,
        }
    }

    /// Something about the connection: a client that comes or goes, a request that is refused.
    pub(crate) fn client(&mut self, now_ns: u64, text: &str) {
        self.line(now_ns, &format!("{:<9}  {text}", "client"));
    }

    /// A read. Equal ones in a row are counted instead of written.
    pub(crate) fn read(&mut self, access: Access<'_>) {
        let text = format!(
            "{}{}",
            place_columns("read", &access),
            self.meaning(&access, "=", None)
        );
        if text == self.last {
            self.repeats = self.repeats.saturating_add(1);
            self.repeated_ns = access.now_ns;
            return;
        }
        self.line(access.now_ns, &text);
        self.last = text;
    }

    /// Writes a write down, with what it changed if that is known.
    pub(crate) fn write(&mut self, access: Access<'_>, change: Option<Change>) {
        let meaning = self.meaning(&access, "<-", change.as_ref());
        self.line(
            access.now_ns,
            &format!("{}{meaning}", place_columns("write", &access)),
        );
    }

    /// Writes down what the function did since the last access.
    pub(crate) fn notes(&mut self, now_ns: u64, notes: impl IntoIterator<Item = Note>) {
        for note in notes {
            let text = match note {
                Note::Event {
                    event,
                    is_refusal: true,
                } => format!("{:<9}  {event}", "refused"),
                Note::Event { event, .. } => format!("{:<9}  {event}", "device"),
                Note::Interrupt(vector) => format!("{:<9}  vector {vector}", "interrupt"),
            };
            self.line(now_ns, &text);
        }
    }

    fn line(&mut self, now_ns: u64, text: &str) {
        self.tell_repeats();
        let line = format!("{}  {text}\n", seconds(now_ns));
        self.sink.put(line.as_bytes());
        self.last.clear();
    }

    fn tell_repeats(&mut self) {
        let repeats = std::mem::take(&mut self.repeats);
        if repeats > 0 {
            let time = seconds(self.repeated_ns);
            let line = format!("{time}  {:<9}  the same {repeats} more times\n", "read");
            self.sink.put(line.as_bytes());
        }
    }

    /// The part and the registers of an access, and what was read or written there.
    fn meaning(&self, access: &Access<'_>, arrow: &str, change: Option<&Change>) -> String {
        let end = access.offset.saturating_add(to_u64(access.data.len()));
        let range = access.offset..end;
        let places = self.map.touched(access.region, &range);
        let part = places.first().map_or("", |place| &*place.part);
        let mut text = format!("{part:<9}  ");
        if access.data.len() > MAX_VALUE_BYTES {
            text.push_str(&summary(places, &range));
            return text;
        }
        for (index, place) in places.iter().enumerate() {
            let separator = if index > 0 { "; " } else { "" };
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "{separator}{}",
                place_meaning(place, &range, access.data, arrow, change)
            );
        }
        if places.is_empty() {
            let _ = write!(text, "nothing is here {arrow} {:#x}", number(access.data));
        }
        text
    }
}

impl Drop for RegisterTrace {
    fn drop(&mut self) {
        self.tell_repeats();
    }
}

fn seconds(now_ns: u64) -> String {
    format!(
        "{:>4}.{:06}",
        now_ns / 1_000_000_000,
        now_ns / 1000 % 1_000_000
    )
}

fn place_columns(verb: &str, access: &Access<'_>) -> String {
    let region = match access.region {
        Region::Config => "config".to_owned(),
        Region::Bar(bar) => format!("BAR{bar}"),
    };
    let place = format!("{region}+{:#06x}", access.offset);
    format!("{verb:<9}  {place:<14}  {:>5}  ", access.data.len())
}

/// One register of an access: its name, what it says, and the bare numbers.
fn place_meaning(
    place: &Place,
    range: &Range<u64>,
    data: &[u8],
    arrow: &str,
    change: Option<&Change>,
) -> String {
    let lanes = |data: &[u8]| lanes(place, range, data);
    let value = lanes(data);
    let old = change.map(|change| lanes(&change.old).value);
    let words = words::words(place, value, old);
    let name = name(place, range);
    let number = format!("{:#x}", value.value);
    let says = if words.is_empty() { &number } else { &words };
    let mut text = format!("{name} {arrow} {says}");
    if let (Some(change), Some(old)) = (change, old) {
        // Writing to a string cannot fail.
        let _ = write!(text, "  ({old:#x} -> {:#x})", lanes(&change.new).value);
    } else if !words.is_empty() && words != value.value.to_string() {
        let _ = write!(text, "  ({number})");
    }
    if let (Kind::Register(register), Some(change)) = (place.kind, change) {
        let kept = words::not_taken(register, value, lanes(&change.new).value);
        if !kept.is_empty() {
            let _ = write!(text, "  not taken: {}", kept.join(", "));
        }
    }
    text
}

/// The bits of a place that an access of `range` touches. A list, and what is not known in
/// detail, has none of its own: there it is the bits of the access.
fn lanes(place: &Place, range: &Range<u64>, data: &[u8]) -> Lanes {
    let start = match place.kind {
        Kind::Entries { .. } | Kind::RangeBitmap | Kind::Opaque => {
            range.start.max(place.range.start)
        }
        _ => place.range.start,
    };
    let mut lanes = Lanes { value: 0, mask: 0 };
    for (address, byte) in range.clone().zip(data) {
        if !place.range.contains(&address) {
            continue;
        }
        let shift = address
            .checked_sub(start)
            .and_then(|bytes| u32::try_from(bytes).ok());
        let shift = shift
            .and_then(|bytes| bytes.checked_mul(8))
            .filter(|bits| *bits < 64);
        if let Some(shift) = shift {
            lanes.value |= u64::from(*byte) << shift;
            lanes.mask |= 0xff << shift;
        }
    }
    lanes
}

/// The name of a place with as much of its inside as the access tells.
fn name(place: &Place, range: &Range<u64>) -> String {
    let name = &place.name;
    let start = range.start.saturating_sub(place.range.start);
    match place.kind {
        Kind::Opaque => format!("{name}+{start:#04x}"),
        Kind::Entries { bytes } => {
            let within = start.checked_rem(bytes).unwrap_or_default();
            let index = start.checked_div(bytes).unwrap_or_default();
            match within {
                0 => format!("{name}[{index}]"),
                within => format!("{name}[{index}]+{within:#x}"),
            }
        }
        Kind::RangeBitmap => {
            let first = start.saturating_mul(8);
            let address = first.saturating_mul(RANGE_BYTES);
            match first {
                0 => name.to_string(),
                first => format!("{name} from bit {first} ({address:#x})"),
            }
        }
        _ => name.to_string(),
    }
}

/// The first and the last register of a long access.
fn summary(places: &[Place], range: &Range<u64>) -> String {
    match places {
        [] => "nothing is here".to_owned(),
        [one] => name(one, range),
        [first, .., last] => format!("{} to {} {}", name(first, range), last.part, last.name),
    }
}

/// Up to 8 bytes as a number.
fn number(data: &[u8]) -> u64 {
    let mut bytes = [0; MAX_VALUE_BYTES];
    for (place, byte) in bytes.iter_mut().zip(data) {
        *place = *byte;
    }
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests;
