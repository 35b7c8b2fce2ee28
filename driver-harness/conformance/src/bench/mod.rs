// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The bench that a case works on: one instance under test, its neighbours, traffic and time.

mod clock;
mod doses;
mod offers;
mod operate;
mod place;
mod running;
mod setup;
mod traffic;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use chmu_spec::chmu::{Capabilities0, Capabilities1, offset};
use chmu_spec::unit_size::UnitSize;

use super::subject::Subject;
use crate::outcome::{Stop, skip, skip_until};

use chmu_driver::transport::{BarOffset, Width};
use running::Running;

pub use doses::Dose;
pub use operate::Enabled;
pub use place::{BlockPlace, InstancePlace};
pub use running::TOLERANCE;
pub use setup::{Ranges, Setup};

/// How long drivers wait for an operation.
pub const DRIVERS_WAIT: Duration = Duration::from_millis(100);
/// How long an operation is waited for unless told otherwise.
pub const OPERATION_WAIT: Duration = Duration::from_secs(2);
/// How long after the end of an epoch, or an access in always-on mode, an entry may take to be seen,
/// and a status bit, on a clock that runs by itself.
pub const LISTING_WAIT: Duration = Duration::from_millis(30);
/// What is said where units of others leave no room on the list.
const CROWDED_OUT: &str = "units of others took the list's room";
/// How long an interrupt that must come may take.
const INTERRUPT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an interrupt that must not come is waited for.
const SILENCE: Duration = Duration::from_millis(20);
/// So many times interrupts are asked for before a case, at most.
const MOST_PENDING: u32 = 100;
/// What an interrupt that is under way takes to arrive.
const ARRIVAL: Duration = Duration::from_millis(1);

/// A device on the bench.
#[derive(Debug)]
pub struct Bench<'a> {
    subject: &'a mut dyn Subject,
    blocks: &'a [BlockPlace],
    under_test: InstancePlace,
    /// Where a clock that runs by itself stood at the start.
    start: Instant,
    /// How far a clock that is moved by hand was moved since.
    moved: Duration,
    /// Instances that count, with their epochs.
    running: Vec<Running>,
    /// How long epochs are on a clock that runs by itself, if the instance has such epochs.
    unhurried_epoch: Duration,
    /// How long an operation is waited for.
    operation_wait: Duration,
    /// Whether cases may access a part of a 64-bit register.
    narrow_accesses: bool,
    /// How long the last operation took at least.
    last_operation: Duration,
    /// An operation was in progress for longer than that once.
    never_settles: bool,
    /// Pieces of 256 bytes that the case accessed, where others access the memory as well.
    touched: BTreeSet<u64>,
    /// Counter widths that the status told, by instance and unit size.
    widths: Vec<((BarOffset, UnitSize), u8)>,
}

impl<'a> Bench<'a> {
    /// Puts a device on the bench, with `under_test` as the instance that most cases look at.
    pub fn new(
        subject: &'a mut dyn Subject,
        blocks: &'a [BlockPlace],
        under_test: InstancePlace,
    ) -> Self {
        Self {
            subject,
            blocks,
            under_test,
            start: Instant::now(),
            moved: Duration::ZERO,
            running: Vec::new(),
            unhurried_epoch: running::SHORTEST_EPOCH,
            operation_wait: OPERATION_WAIT,
            narrow_accesses: false,
            last_operation: Duration::ZERO,
            never_settles: false,
            touched: BTreeSet::new(),
            widths: Vec::new(),
        }
    }

    /// Waits so long for operations.
    #[must_use]
    pub fn waiting_for(mut self, operation_wait: Duration) -> Self {
        self.operation_wait = operation_wait;
        self
    }

    /// Allows accesses to a part of a 64-bit register, or not.
    #[must_use]
    pub fn with_narrow_accesses(mut self, allowed: bool) -> Self {
        self.narrow_accesses = allowed;
        self
    }

    /// Skips the case unless accesses to a part of a 64-bit register are allowed.
    pub fn need_narrow_accesses(&self) -> Result<(), Stop> {
        match self.narrow_accesses {
            true => Ok(()),
            false => skip_until(
                "a device need not take accesses to a part of a 64-bit register",
                "--narrow-accesses",
            ),
        }
    }

    /// How long the last operation took at least that was waited for: from when it was written until the last look
    /// that found it in progress. A machine that is held up between looks tells no more.
    pub fn last_operation(&self) -> Duration {
        self.last_operation
    }

    /// The device.
    pub fn subject(&mut self) -> &mut dyn Subject {
        self.subject
    }

    /// All CHMU blocks of the device.
    pub fn blocks(&self) -> &'a [BlockPlace] {
        self.blocks
    }

    /// All instances of all blocks, in order.
    pub fn instances(&self) -> Vec<InstancePlace> {
        self.blocks.iter().flat_map(BlockPlace::instances).collect()
    }

    /// The instance under test.
    pub fn place(&self) -> InstancePlace {
        self.under_test
    }

    /// Looks at another instance from now on.
    pub fn switch_to(&mut self, place: InstancePlace) {
        self.under_test = place;
    }

    /// An instance of the same block beside the one under test; skips the case where there is none.
    pub fn neighbour(&self) -> Result<InstancePlace, Stop> {
        let beside = |other: &InstancePlace| {
            other.block == self.under_test.block && other.instance != self.under_test.instance
        };
        match self.instances().into_iter().find(beside) {
            Some(place) => Ok(place),
            None => skip("the block has one instance only"),
        }
    }

    /// Reads any place of the device.
    pub fn read_at(&self, place: BarOffset, width: Width) -> Result<u64, Stop> {
        Ok(self.subject.transport().read(place, width)?)
    }

    /// Writes any place of the device.
    pub fn write_at(&self, place: BarOffset, width: Width, value: u64) -> Result<(), Stop> {
        Ok(self.subject.transport().write(place, width, value)?)
    }

    /// Reads from the instance under test, `offset` bytes from its start.
    pub fn read(&self, offset: u64, width: Width) -> Result<u64, Stop> {
        self.read_at(self.under_test.start.plus(offset), width)
    }

    /// Writes to the instance under test, `offset` bytes from its start.
    pub fn write(&self, offset: u64, width: Width, value: u64) -> Result<(), Stop> {
        self.write_at(self.under_test.start.plus(offset), width, value)
    }

    /// Reads a 64-bit register of the instance under test.
    pub fn register(&self, offset: u64) -> Result<u64, Stop> {
        self.read(offset, Width::Eight)
    }

    /// Writes a 64-bit register of the instance under test.
    pub fn set_register(&self, offset: u64, value: u64) -> Result<(), Stop> {
        self.write(offset, Width::Eight, value)
    }

    /// The first capability register.
    pub fn capabilities_0(&self) -> Result<Capabilities0, Stop> {
        Ok(self.register(offset::CAPABILITIES_0)?.into())
    }

    /// The second capability register.
    pub fn capabilities_1(&self) -> Result<Capabilities1, Stop> {
        Ok(self.register(offset::CAPABILITIES_1)?.into())
    }

    /// Where the hotlist of the instance under test starts.
    pub fn hotlist_place(&self) -> Result<BarOffset, Stop> {
        let offset = self.register(offset::HOTLIST_OFFSET)?;
        Ok(self.under_test.start.plus(offset))
    }

    /// Where the range bitmap of the instance under test starts.
    pub fn ranges_place(&self) -> Result<BarOffset, Stop> {
        let offset = self.register(offset::RANGE_BITMAP_OFFSET)?;
        Ok(self.under_test.start.plus(offset))
    }

    /// Skips the case unless the path delivers interrupts; returns how many messages.
    pub fn need_interrupts(&self) -> Result<u16, Stop> {
        match self.subject.transport().interrupt_messages() {
            0 => skip_until(
                format!("the {} path has no interrupts", self.subject.path()),
                "bind vfio-pci and take --transport guest",
            ),
            messages => Ok(messages),
        }
    }

    /// Interrupts that came with a message since they were last asked for; waits for the first.
    pub fn wait_for_interrupts(&self, message: u16) -> Result<u64, Stop> {
        self.interrupts_within(message, INTERRUPT_TIMEOUT)
    }

    /// Interrupts that came with a message since they were last asked for, when none should.
    pub fn unexpected_interrupts(&self, message: u16) -> Result<u64, Stop> {
        self.interrupts_within(message, SILENCE)
    }

    /// On a manual clock nothing comes later than now, and waiting would move the clock.
    fn interrupts_within(&self, message: u16, timeout: Duration) -> Result<u64, Stop> {
        let timeout = match self.subject.has_manual_clock() {
            true => Duration::ZERO,
            false => timeout,
        };
        let transport = self.subject.transport();
        Ok(transport.wait_for_interrupt(message, timeout)?.unwrap_or(0))
    }

    /// Forgets all interrupts that came so far.
    pub fn drop_interrupts(&mut self) -> Result<(), Stop> {
        if !self.subject.has_manual_clock() {
            self.pass(ARRIVAL)?;
        }
        let transport = self.subject.transport();
        for message in 0..transport.interrupt_messages() {
            // One that never ends is seen by the cases about interrupts.
            for _ in 0..MOST_PENDING {
                if transport
                    .wait_for_interrupt(message, Duration::ZERO)?
                    .is_none()
                {
                    break;
                }
            }
        }
        Ok(())
    }
}
