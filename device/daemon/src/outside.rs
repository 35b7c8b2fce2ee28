// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the function reaches outside of itself: hotlist memory, interrupt vectors, the log.

use std::fs::File;
use std::io;
use std::mem::{Discriminant, discriminant};
use std::num::Saturating;
use std::sync::Arc;

use chmu_cxl::{Bar, FunctionEvent, FunctionHost};
use chmu_model::Event;

use crate::bar_memory::{BarMemory, BarMemoryError};
use crate::rate_limit::RateLimits;
use crate::register_trace::Note;
use crate::vectors::Vectors;

/// Why the function cannot reach its outside.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutsideError {
    /// There is no memory for the hotlists.
    #[error(transparent)]
    Memory(#[from] BarMemoryError),
    /// Interrupts cannot be signalled without trusting the client.
    #[error(
        "The kernel gives no context for asynchronous I/O (io_setup), by which interrupts are \
         signalled; raise fs.aio-max-nr, or configure interrupts = \"none\""
    )]
    Interrupts(#[source] io::Error),
}

/// The outside of the function.
#[derive(Debug)]
pub(crate) struct Outside {
    /// By BAR; none where nothing can be mapped.
    memories: Vec<Option<BarMemory>>,
    pub(crate) vectors: Vectors,
    /// Epochs that ended together with an earlier one in which memory was accessed.
    pub(crate) epochs_merged: Saturating<u64>,
    limits: RateLimits<Kind>,
    /// What happened since the notes were last taken, while they are wanted.
    notes: Option<Vec<Note>>,
}

impl Outside {
    /// Memory for every BAR with mappable areas, and `vectors` vectors.
    ///
    /// # Errors
    /// When the kernel refuses the memory.
    pub(crate) fn new(bars: &[Bar], vectors: u16) -> Result<Self, OutsideError> {
        let memories = bars.iter().map(|bar| {
            let is_mapped = !bar.mappable_areas.is_empty();
            is_mapped
                .then(|| BarMemory::new(bar.size_bytes))
                .transpose()
        });
        Ok(Self {
            memories: memories.collect::<Result<_, _>>()?,
            vectors: Vectors::new(vectors).map_err(OutsideError::Interrupts)?,
            epochs_merged: Saturating(0),
            limits: RateLimits::default(),
            notes: None,
        })
    }

    /// The memory file of a BAR, if parts of the BAR can be mapped.
    pub(crate) fn memory_file(&self, bar: usize) -> Option<Arc<File>> {
        self.memories.get(bar)?.as_ref().map(BarMemory::file)
    }

    /// From now on events and interrupts are noted.
    pub(crate) fn take_notes(&mut self) {
        self.notes = Some(Vec::new());
    }

    /// The notes since the last call.
    pub(crate) fn noted(&mut self) -> Vec<Note> {
        self.notes.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn memory(&self, bar: u8) -> Option<&BarMemory> {
        self.memories.get(usize::from(bar))?.as_ref()
    }
}

impl FunctionHost for Outside {
    fn store(&mut self, bar: u8, offset: u64, value: u64) {
        if !self
            .memory(bar)
            .is_some_and(|memory| memory.store(offset, value))
        {
            log::error!("BAR {bar} has no memory at {offset:#x} for a hotlist entry");
        }
    }

    fn load(&mut self, bar: u8, offset: u64) -> u64 {
        self.memory(bar)
            .and_then(|memory| memory.load(offset))
            .unwrap_or_default()
    }

    fn interrupt(&mut self, vector: u16) {
        self.vectors.raise(vector);
        if let Some(notes) = &mut self.notes {
            notes.push(Note::Interrupt(vector));
        }
    }

    fn event(&mut self, event: FunctionEvent) {
        if let FunctionEvent::Monitor {
            event: Event::EpochClosed { merged_epochs, .. },
            ..
        } = &event
        {
            self.epochs_merged += merged_epochs;
        }
        let level = level(&event);
        let permit = match level {
            log::Level::Warn => self.limits.permit(Kind::of(&event)),
            log::Level::Info => self.limits.permit_life_cycle(Kind::of(&event)),
            _ => self.limits.unlimited(level),
        };
        if let Some(suppressed) = permit {
            log::log!(level, "{event}{suppressed}");
        }
        if let Some(notes) = &mut self.notes {
            let is_refusal = level == log::Level::Warn;
            notes.push(Note::Event { event, is_refusal });
        }
    }
}

/// Events whose lines are limited together: of one kind, of one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Kind {
    event: Discriminant<FunctionEvent>,
    monitor: Option<(usize, Option<u8>, Discriminant<Event>)>,
}

impl Kind {
    fn of(event: &FunctionEvent) -> Self {
        let monitor = match event {
            FunctionEvent::Monitor { block, event } => {
                Some((*block, instance(event), discriminant(event)))
            }
            _ => None,
        };
        Self {
            event: discriminant(event),
            monitor,
        }
    }
}

fn instance(event: &Event) -> Option<u8> {
    match event {
        Event::Enabled { instance, .. }
        | Event::Disabled { instance }
        | Event::Reset { instance }
        | Event::Refused { instance, .. }
        | Event::OutOfCounters { instance }
        | Event::EpochClosed { instance, .. } => Some(*instance),
        Event::Fault { instance, .. } => *instance,
    }
}

/// How loud an event is: what a driver does wrong is a warning, what it does once in a while is
/// information, what it does all the time is for debugging.
fn level(event: &FunctionEvent) -> log::Level {
    match event {
        FunctionEvent::Monitor { event, .. } => match event {
            Event::Refused { .. } | Event::Fault { .. } | Event::OutOfCounters { .. } => {
                log::Level::Warn
            }
            Event::Enabled { .. } | Event::Disabled { .. } | Event::Reset { .. } => {
                log::Level::Info
            }
            Event::EpochClosed { .. } => log::Level::Debug,
        },
        FunctionEvent::DecoderRefused { .. } | FunctionEvent::WindowsChanged => log::Level::Warn,
        FunctionEvent::FunctionLevelReset | FunctionEvent::DeviceReset => log::Level::Info,
        FunctionEvent::MailboxCommand { .. } | FunctionEvent::Recorded { .. } => log::Level::Debug,
    }
}
