// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a case does to a device, step by step, in words.

use std::collections::VecDeque;
use std::fmt::{self, Display};
use std::time::Duration;

use chmu_driver::transport::{BarOffset, Width};
use chmu_spec::request::AccessKind;

use crate::bench::{BlockPlace, InstancePlace};
use crate::registers;
use crate::subject::Request;

/// Steps that are remembered of a case, from its end.
const STEPS_MAX: usize = 10_000;

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Configuration space was read.
    ConfigRead(u16, Width, u32),
    /// Configuration space was written.
    ConfigWrite(u16, Width, u32),
    /// A register was read.
    Read(BarOffset, Width, u64),
    /// A register was written.
    Write(BarOffset, Width, u64),
    /// The function was reset.
    Reset,
    /// So many interrupts came with a message.
    Interrupts(u16, u64),
    /// Time passed.
    Time(Duration),
    /// Requests to the device's memory: the first, and how many.
    Requests(Request, usize),
}

/// The last steps of a case. Equal ones that follow each other, as a driver polls, are one.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct AccessLog {
    steps: VecDeque<(Action, u64)>,
    left_out: u64,
}

impl AccessLog {
    pub(crate) fn clear(&mut self) {
        self.steps.clear();
        self.left_out = 0;
    }

    pub(crate) fn push(&mut self, action: Action) {
        match self.steps.back_mut() {
            Some((last, times)) if *last == action => *times += 1,
            _ => self.steps.push_back((action, 1)),
        }
        if self.steps.len() > STEPS_MAX {
            let times = self.steps.pop_front().map_or(0, |(_, times)| times);
            self.left_out += times;
        }
    }

    /// The steps in words, a line each; places are named by the instances that they lie in.
    pub fn in_words(&self, blocks: &[BlockPlace]) -> Vec<String> {
        let mut lines = Vec::with_capacity(self.steps.len() + 1);
        if self.left_out > 0 {
            lines.push(format!("({} earlier steps are left out)", self.left_out));
        }
        lines.extend(self.steps.iter().map(|(action, times)| {
            let words = Words { action, blocks };
            match times {
                1 => words.to_string(),
                times => format!("{words}, {times} times"),
            }
        }));
        lines
    }
}

/// A step, for people.
struct Words<'a> {
    action: &'a Action,
    blocks: &'a [BlockPlace],
}

impl Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self.action {
            Action::ConfigRead(offset, width, value) => write!(
                f,
                "read {} bytes of configuration space at {offset:#x}: {value:#x}",
                width.bytes()
            ),
            Action::ConfigWrite(offset, width, value) => write!(
                f,
                "wrote {value:#x} to {} bytes of configuration space at {offset:#x}",
                width.bytes()
            ),
            Action::Read(place, width, value) => {
                write!(f, "read {}: {value:#x}", self.place(place, width))?;
                self.fields(f, place, value)
            }
            Action::Write(place, width, value) => {
                write!(f, "wrote {value:#x} to {}", self.place(place, width))?;
                self.fields(f, place, value)
            }
            Action::Reset => f.write_str("reset the function"),
            Action::Interrupts(message, count) => {
                write!(f, "waited for interrupt message {message}: {count} came")
            }
            Action::Time(time) => write!(f, "let {time:?} pass"),
            Action::Requests(Request { dpa, kind, tee }, count) => {
                let tee = if tee { " from a TEE" } else { "" };
                let kind = match kind {
                    AccessKind::Read => "read",
                    AccessKind::Write => "write",
                };
                write!(
                    f,
                    "made {count} requests, the first a {kind}{tee} of DPA {dpa}"
                )
            }
        }
    }
}

impl Words<'_> {
    /// The instance that a place lies in, and how far from its start.
    fn instance(&self, place: BarOffset) -> Option<(InstancePlace, u64)> {
        let mut all = self.blocks.iter().flat_map(|block| {
            let length = u64::from(block.instance_length);
            block.instances().map(move |instance| (instance, length))
        });
        all.find_map(|(instance, length)| {
            let offset = place.offset.checked_sub(instance.start.offset)?;
            (instance.start.bar == place.bar && offset < length).then_some((instance, offset))
        })
    }

    fn place(&self, place: BarOffset, width: Width) -> String {
        let bytes = match width {
            Width::Eight => String::new(),
            width => format!("{} bytes of ", width.bytes()),
        };
        match self.instance(place) {
            Some((
                InstancePlace {
                    block, instance, ..
                },
                offset,
            )) => {
                format!("{bytes}{} of {block}.{instance}", registers::name(offset))
            }
            None => format!("{bytes}{place}"),
        }
    }

    /// What the register's fields say, where they are those of a register of an instance.
    fn fields(&self, f: &mut fmt::Formatter<'_>, place: BarOffset, value: u64) -> fmt::Result {
        let fields = match self.instance(place) {
            Some((_, offset)) => registers::fields(offset, value),
            None => String::new(),
        };
        match &*fields {
            "" => Ok(()),
            fields => write!(f, " ({fields})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: BlockPlace = BlockPlace {
        block: 0,
        start: BarOffset {
            bar: 4,
            offset: 0x1000,
        },
        instances: 2,
        instance_length: 0x1000,
    };

    #[test]
    fn steps_are_sentences_and_polls_are_one() {
        let mut log = AccessLog::default();
        let at = |offset: u64| BarOffset {
            bar: 4,
            offset: 0x1010 + 0x1000 + offset,
        };
        log.push(Action::Write(at(0x40), Width::Eight, 1 << 16));
        for _ in 0..3 {
            log.push(Action::Read(at(0x60), Width::Eight, 1 << 16));
        }
        log.push(Action::Read(at(0x6a), Width::Two, 2));
        log.push(Action::Time(Duration::from_millis(100)));
        assert_eq!(
            log.in_words(&[BLOCK]),
            [
                "wrote 0x10000 to Configuration 0 (0x40) of 0.1 (enable 1)",
                "read Status (0x60) of 0.1: 0x10000 (operation in progress 1 (enable)), 3 times",
                "read 2 bytes of Hotlist tail (0x6a) of 0.1: 0x2 (tail 2)",
                "let 100ms pass",
            ]
        );
    }

    #[test]
    fn long_cases_keep_their_end() {
        let mut log = AccessLog::default();
        for value in 0..STEPS_MAX as u64 + 5 {
            log.push(Action::Read(
                BarOffset { bar: 4, offset: 0 },
                Width::Eight,
                value,
            ));
        }
        let lines = log.in_words(&[]);
        assert_eq!(lines.len(), STEPS_MAX + 1);
        assert_eq!(lines[0], "(5 earlier steps are left out)");
        assert_eq!(lines[1], "read BAR4+0x0: 0x5");
    }
}
