// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The device that the server serves: the function, its time, its accesses and its outside.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use chmu_cxl::{
    Condition, Function, FunctionConfig, HostAccess, Interrupts, MediaEvent,
    Region as FunctionRegion,
};
use vfio_bindings::bindings::vfio::{
    VFIO_PCI_CONFIG_REGION_INDEX, VFIO_PCI_NUM_REGIONS, VFIO_PCI_ROM_REGION_INDEX,
};
use vmm_sys_util::eventfd::EventFd;

use crate::clock::Clock;
use crate::feed::AccessFeed;
use crate::outside::Outside;
use crate::server::{self, AccessRefused, Backend, Command, Region};
use crate::statistics::{ClientStatistics, InterruptStatistics, MessageCount, Statistics};

/// Bytes of a PCI Express function's configuration space.
const CONFIGURATION_SPACE_BYTES: u64 = 4096;
/// How long reported accesses may wait in the rings while the doorbell is silent.
const POLL_PERIOD: Duration = Duration::from_millis(1);

/// The device.
///
/// Whatever looks at it first counts the accesses that were made before, and closes the epochs
/// that ended before: what a driver reads never lags behind what it did.
#[derive(Debug)]
pub(crate) struct Device {
    function: Function,
    interrupts: Interrupts,
    serial_number: u64,
    memory_bytes: u64,
    outside: Outside,
    regions: Vec<Region>,
    clock: Clock,
    feed: Option<AccessFeed>,
    clients: ClientStatistics,
    /// By the name of the command: clients can send any number of unknown ones.
    messages: BTreeMap<&'static str, MessageCount>,
}

impl Device {
    /// A device after power-on.
    ///
    /// # Errors
    /// For a configuration that no function can have, and when the kernel refuses memory.
    pub(crate) fn new(config: &FunctionConfig, clock: Clock) -> anyhow::Result<Self> {
        let function = Function::new(config)?;
        for (block, caution) in function.cautions() {
            log::warn!("CHMU {block}: {caution}");
        }
        let outside = Outside::new(function.bars(), config.interrupts.vectors())?;
        let regions = regions(&function, &outside);
        Ok(Self {
            function,
            interrupts: config.interrupts,
            serial_number: config.serial_number,
            memory_bytes: config.capacity_bytes,
            outside,
            regions,
            clock,
            feed: None,
            clients: ClientStatistics::default(),
            messages: BTreeMap::new(),
        })
    }

    /// Gives the device rings that a producer of accesses can attach to.
    ///
    /// # Errors
    /// When the kernel refuses their memory.
    pub(crate) fn add_feed(&mut self) -> anyhow::Result<()> {
        let feed = AccessFeed::new(&self.function.windows())
            .context("The feed of accesses cannot be made")?;
        self.feed = Some(feed);
        Ok(())
    }

    /// The rings, if the device has them.
    pub(crate) fn feed(&mut self) -> Option<&mut AccessFeed> {
        self.feed.as_mut()
    }

    /// Takes note of the doorbell of the rings.
    pub(crate) fn doorbell_rang(&mut self) {
        if let Some(feed) = &self.feed {
            feed.silence_doorbell();
        }
        self.catch_up();
    }

    /// Counts the accesses that were made and lets the time pass that has passed; returns the time
    /// up to which both is done.
    ///
    /// An access that is found after the end of an epoch counts for that epoch: it was made
    /// before the rings were looked at, and most likely before the end.
    pub(crate) fn catch_up(&mut self) -> u64 {
        let looked_at_ns = self.clock.now_ns();
        if let Some(feed) = &mut self.feed {
            let deadline_ns = self.function.next_deadline_ns();
            let before_deadline_ns = deadline_ns.map_or(u64::MAX, |at| at.saturating_sub(1));
            let count_at_ns = looked_at_ns.min(before_deadline_ns);
            let (function, outside, clock) =
                (&mut self.function, &mut self.outside, &mut self.clock);
            feed.drain(|accesses| {
                if clock.counts_accesses() {
                    count_one_by_one(function, outside, clock, accesses);
                } else {
                    function.access(count_at_ns, accesses, outside);
                }
            });
        }
        // An epoch that ended while the rings were emptied may have accesses in them.
        let now_ns = if self.clock.counts_accesses() {
            self.clock.now_ns()
        } else {
            looked_at_ns
        };
        self.function.advance(now_ns, &mut self.outside);
        self.arm();
        now_ns
    }

    /// Lets time pass on a manual clock, after the accesses that were made before; returns the
    /// time after it.
    pub(crate) fn pass_time(&mut self, nanoseconds: u64) -> u64 {
        self.catch_up();
        self.clock.advance(nanoseconds);
        self.catch_up()
    }

    /// Bytes of the device's memory.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// Lets the memory fail; returns whether the event log had room for it.
    pub(crate) fn inject_event(&mut self, event: &MediaEvent) -> bool {
        let now_ns = self.catch_up();
        self.function.inject_event(now_ns, event, &mut self.outside)
    }

    /// The device gets warmer, colder or older.
    pub(crate) fn set_condition(&mut self, condition: Condition) {
        let now_ns = self.catch_up();
        self.function
            .set_condition(now_ns, condition, &mut self.outside);
    }

    /// How long the device may be left alone; none when only events matter.
    pub(crate) fn next_wakeup(&self) -> Option<Duration> {
        let deadline_ns = self
            .function
            .next_deadline_ns()
            .filter(|_| self.clock.runs());
        let to_deadline = deadline_ns
            .map(|deadline| Duration::from_nanos(deadline.saturating_sub(self.clock.now_ns())));
        let polls = self.feed.as_ref().is_some_and(AccessFeed::needs_polling);
        let to_poll = polls.then_some(POLL_PERIOD);
        to_deadline.into_iter().chain(to_poll).min()
    }

    /// What the device has done so far.
    pub(crate) fn statistics(&mut self) -> Statistics {
        let now_ns = self.catch_up();
        Statistics {
            version: env!("CARGO_PKG_VERSION"),
            serial_number: self.serial_number,
            time_ns: now_ns,
            clients: self.clients,
            messages: self.messages.clone(),
            interrupts: InterruptStatistics {
                sent: self.outside.vectors.sent(),
                unconnected: self.outside.vectors.unconnected(),
            },
            feed: self.feed.as_mut().map(AccessFeed::statistics),
            function: self.function.statistics(),
        }
    }

    /// Tells the producer whether accesses matter, and the function whether all are reported. They
    /// matter from the write on that enables an instance; the enable is in progress until the
    /// producer acts on it. Waiting for it here would stop the processor that the producer needs
    /// to act.
    fn arm(&mut self) {
        if let Some(feed) = &mut self.feed {
            feed.set_armed(self.function.wants_accesses());
            let ready = feed.is_ready(self.clock.waiting_ns());
            let now_ns = self.clock.now_ns();
            self.function
                .set_source_ready(now_ns, ready, &mut self.outside);
        }
    }
}

/// Counts accesses with the time moving on by each of them.
fn count_one_by_one(
    function: &mut Function,
    outside: &mut Outside,
    clock: &mut Clock,
    accesses: &[HostAccess],
) {
    for access in accesses {
        function.access(clock.now_ns(), std::slice::from_ref(access), outside);
        function.advance(clock.count_access(), outside);
    }
}

/// The regions of vfio: BARs 0 to 5, no ROM, configuration space, no VGA.
fn regions(function: &Function, outside: &Outside) -> Vec<Region> {
    let bars = function.bars().iter().enumerate();
    let mut regions: Vec<Region> = bars
        .map(|(index, bar)| Region {
            size_bytes: bar.size_bytes,
            mappable_areas: bar.mappable_areas.clone(),
            file: outside.memory_file(index),
        })
        .collect();
    let count = usize::try_from(VFIO_PCI_NUM_REGIONS).unwrap_or_default();
    regions.resize(count, Region::default());
    let config = usize::try_from(VFIO_PCI_CONFIG_REGION_INDEX).unwrap_or_default();
    if let Some(region) = regions.get_mut(config) {
        region.size_bytes = CONFIGURATION_SPACE_BYTES;
    }
    regions
}

/// The function's region behind a region of vfio.
fn function_region(region: u32) -> Result<FunctionRegion, AccessRefused> {
    match region {
        VFIO_PCI_CONFIG_REGION_INDEX => Ok(FunctionRegion::Config),
        bar if bar < VFIO_PCI_ROM_REGION_INDEX => u8::try_from(bar)
            .map(FunctionRegion::Bar)
            .map_err(|_| AccessRefused),
        _ => Err(AccessRefused),
    }
}

impl Backend for Device {
    fn regions(&self) -> &[Region] {
        &self.regions
    }

    fn interrupts(&self) -> server::Interrupts {
        match self.interrupts {
            Interrupts::None => server::Interrupts::default(),
            Interrupts::Msi(msi) => server::Interrupts { msi, msi_x: 0 },
            Interrupts::MsiX(msi_x) => server::Interrupts { msi: 0, msi_x },
        }
    }

    fn read(&mut self, region: u32, offset: u64, data: &mut [u8]) -> Result<(), AccessRefused> {
        let region = function_region(region)?;
        let now_ns = self.catch_up();
        self.function
            .read(now_ns, region, offset, data, &mut self.outside);
        Ok(())
    }

    fn write(&mut self, region: u32, offset: u64, data: &[u8]) -> Result<(), AccessRefused> {
        let region = function_region(region)?;
        // What waits in the rings was made before this write, whatever the write changes.
        let now_ns = self.catch_up();
        self.function
            .write(now_ns, region, offset, data, &mut self.outside);
        self.arm();
        Ok(())
    }

    fn reset(&mut self) {
        self.catch_up();
        self.function.reset(&mut self.outside);
        self.arm();
    }

    fn connect_vector(&mut self, vector: u16, event: Option<EventFd>) {
        self.outside.vectors.connect(vector, event);
    }

    fn trigger_vector(&mut self, vector: u16) {
        self.outside.vectors.raise(vector);
    }

    fn message_handled(&mut self, command: Command, refused: bool) {
        let count = self.messages.entry(command.name()).or_default();
        count.handled = count.handled.saturating_add(1);
        if refused {
            count.refused = count.refused.saturating_add(1);
        }
    }

    fn client_arrived(&mut self) {
        self.clients.served = self.clients.served.saturating_add(1);
        self.clients.connected = true;
    }

    fn client_left(&mut self) {
        self.clients.connected = false;
        self.outside.vectors.disconnect_all();
    }
}

#[cfg(test)]
mod tests;
