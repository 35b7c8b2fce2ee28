// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A block with a hand-moved clock and a host that remembers what it was told.

use std::collections::BTreeMap;

use chmu_model::{
    Block, BlockConfig, Capabilities, Event, Host, InstanceStatistics, Quirk, Refusal,
};
use chmu_spec::access::Access;
use chmu_spec::address::{Dpa, UnitIndex};
use chmu_spec::chmu::{Configuration0, Configuration1, Mode, Status};
use chmu_spec::epoch::{EpochLength, EpochScale};
use chmu_spec::hotlist::{Entry, next_index};
use chmu_spec::request::RequestFilter;
use chmu_spec::unit_size::UnitSize;

/// A millisecond.
pub(crate) const MS: u64 = 1_000_000;

/// Memory of the device under test: 1 GiB, four bits of the range bitmap.
pub(crate) const CAPACITY_BYTES: u64 = 1 << 30;

/// Where the range bitmap of its instances starts: one word before the end of the register page.
pub(crate) const RANGES: u64 = 0x1000 - 0x10 - 8;

/// Remembers what the block did.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    pub(crate) entries: BTreeMap<u64, u64>,
    pub(crate) interrupts: Vec<u8>,
    pub(crate) events: Vec<Event>,
}

impl Host for Recorder {
    fn store_entry(&mut self, offset: u64, entry: u64) {
        self.entries.insert(offset, entry);
    }

    fn interrupt(&mut self, message_number: u8) {
        self.interrupts.push(message_number);
    }

    fn event(&mut self, event: Event) {
        self.events.push(event);
    }
}

/// What a driver configures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) filter: RequestFilter,
    pub(crate) randomise: bool,
    pub(crate) overflow_interrupt: bool,
    pub(crate) fill_level_interrupt: bool,
    pub(crate) threshold: u32,
    pub(crate) unit_size: UnitSize,
    pub(crate) down_sampling_log2: u8,
    pub(crate) mode: Mode,
    pub(crate) epoch: EpochLength,
    pub(crate) fill_level: u16,
    pub(crate) ranges: u64,
}

impl Default for Setup {
    /// All requests to all ranges, 4 KiB units, epochs of 10 ms, hot from 2 on.
    fn default() -> Self {
        Self {
            filter: RequestFilter::AllReadWrite,
            randomise: false,
            overflow_interrupt: true,
            fill_level_interrupt: true,
            threshold: 2,
            unit_size: UnitSize::BASE_PAGE,
            down_sampling_log2: 0,
            mode: Mode::Epoch,
            epoch: EpochLength::new(EpochScale::Millisecond, 10).unwrap(),
            fill_level: u16::MAX,
            ranges: u64::MAX,
        }
    }
}

impl Setup {
    pub(crate) fn configuration_0(&self) -> Configuration0 {
        Configuration0::new()
            .with_request_code(self.filter.code())
            .with_randomise_down_sampling(self.randomise)
            .with_overflow_interrupt(self.overflow_interrupt)
            .with_fill_level_interrupt(self.fill_level_interrupt)
            .with_hotness_threshold(self.threshold)
    }

    pub(crate) fn configuration_1(&self) -> Configuration1 {
        Configuration1::new()
            .with_unit_size_log2(u32::from(self.unit_size.log2_bytes()))
            .with_down_sampling_log2(self.down_sampling_log2)
            .with_mode_code(self.mode.code())
            .with_epoch_scale(self.epoch.scale().code())
            .with_epoch_multiplier(self.epoch.multiplier())
    }
}

/// A block under test.
pub(crate) struct Bench {
    pub(crate) block: Block,
    pub(crate) host: Recorder,
    pub(crate) now_ns: u64,
    capabilities: Vec<Capabilities>,
}

impl Bench {
    /// One instance with the default capabilities, changed.
    pub(crate) fn with(change: impl FnOnce(&mut Capabilities)) -> Self {
        let mut capabilities = Capabilities::default();
        change(&mut capabilities);
        Self::of(vec![capabilities], None)
    }

    /// One instance with the default capabilities.
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// One instance with a hotlist of a few entries.
    pub(crate) fn with_entries(hotlist_entries: u16) -> Self {
        Self::with(|capabilities| capabilities.hotlist_entries = hotlist_entries)
    }

    pub(crate) fn of(
        capabilities: Vec<Capabilities>,
        quirks: impl IntoIterator<Item = Quirk>,
    ) -> Self {
        let config = BlockConfig {
            capacity_bytes: CAPACITY_BYTES,
            instances: capabilities.clone(),
            quirks: quirks.into_iter().collect(),
        };
        Self {
            block: Block::new(&config).unwrap(),
            host: Recorder::default(),
            now_ns: 0,
            capabilities,
        }
    }

    /// Instance 0.
    pub(crate) fn unit(&mut self) -> Unit<'_> {
        self.instance(0)
    }

    /// An instance as its driver sees it.
    pub(crate) fn instance(&mut self, index: u8) -> Unit<'_> {
        let length = u64::from_le_bytes(self.read(8)) & 0xffff;
        Unit {
            start: 0x10 + u64::from(index) * length,
            index: usize::from(index),
            bench: self,
        }
    }

    /// Reads from the start of the block.
    pub(crate) fn read<const N: usize>(&mut self, offset: u64) -> [u8; N] {
        let mut data = [0xa5; N];
        self.block
            .read(self.now_ns, offset, &mut data, &mut self.host);
        data
    }

    /// Writes from the start of the block.
    pub(crate) fn write(&mut self, offset: u64, data: &[u8]) {
        self.block.write(self.now_ns, offset, data, &mut self.host);
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, ns: u64) {
        self.now_ns += ns;
        self.block.advance(self.now_ns, &mut self.host);
    }

    /// Says whether the source of accesses reports all of them.
    pub(crate) fn set_source_ready(&mut self, ready: bool) {
        self.block
            .set_source_ready(self.now_ns, ready, &mut self.host);
    }

    /// Reads each of the pages as often as it says.
    pub(crate) fn touch(&mut self, pages: &[(u64, usize)]) {
        for (page, times) in pages {
            self.access(&vec![read_of(page << 12); *times]);
        }
    }

    pub(crate) fn access(&mut self, accesses: &[Access<Dpa>]) {
        self.block.access(self.now_ns, accesses, &mut self.host);
    }

    pub(crate) fn refusals(&self) -> Vec<Refusal> {
        let events = self.host.events.iter();
        events
            .filter_map(|event| match event {
                Event::Refused { refusal, .. } => Some(*refusal),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn faults(&self) -> usize {
        let events = self.host.events.iter();
        events
            .filter(|event| matches!(event, Event::Fault { .. }))
            .count()
    }

    pub(crate) fn interrupts(&mut self) -> usize {
        std::mem::take(&mut self.host.interrupts).len()
    }
}

pub(crate) fn read_of(dpa: u64) -> Access<Dpa> {
    Access::read(Dpa(dpa))
}

pub(crate) fn entry(unit: u64, count: u64) -> Entry {
    Entry {
        unit: UnitIndex(unit),
        count,
    }
}

/// An instance as its driver sees it.
pub(crate) struct Unit<'a> {
    bench: &'a mut Bench,
    start: u64,
    index: usize,
}

impl Unit<'_> {
    pub(crate) fn read(&mut self, offset: u64) -> u64 {
        u64::from_le_bytes(self.bench.read(self.start + offset))
    }

    pub(crate) fn write(&mut self, offset: u64, value: u64) {
        self.write_bytes(offset, &value.to_le_bytes());
    }

    pub(crate) fn write_bytes(&mut self, offset: u64, data: &[u8]) {
        self.bench.write(self.start + offset, data);
    }

    pub(crate) fn status(&mut self) -> Status {
        Status::from_bits(self.read(0x60))
    }

    pub(crate) fn head(&mut self) -> u16 {
        u16::from_le_bytes(self.bench.read(self.start + 0x68))
    }

    pub(crate) fn tail(&mut self) -> u16 {
        u16::from_le_bytes(self.bench.read(self.start + 0x6a))
    }

    pub(crate) fn set_head(&mut self, head: u16) {
        self.write_bytes(0x68, &head.to_le_bytes());
    }

    pub(crate) fn configure(&mut self, setup: &Setup) {
        self.write(0x48, setup.configuration_1().into_bits());
        self.write(0x50, u64::from(setup.fill_level));
        self.write(RANGES, setup.ranges);
        self.write(0x40, setup.configuration_0().into_bits());
    }

    /// Sets the enable bit.
    pub(crate) fn enable(&mut self) {
        let configuration = Configuration0::from_bits(self.read(0x40));
        self.write(0x40, configuration.with_enable(true).into_bits());
    }

    /// Configures and enables.
    pub(crate) fn run(&mut self, setup: &Setup) {
        self.configure(setup);
        self.enable();
        assert!(self.status().enabled(), "{:?}", self.bench.host.events);
    }

    pub(crate) fn disable(&mut self) {
        let configuration = Configuration0::from_bits(self.read(0x40));
        self.write(0x40, configuration.with_enable(false).into_bits());
    }

    pub(crate) fn reset(&mut self) {
        let configuration = Configuration0::from_bits(self.read(0x40));
        self.write(0x40, configuration.with_reset(true).into_bits());
    }

    /// What the list holds; the head stays.
    pub(crate) fn list(&mut self) -> Vec<Entry> {
        let width = self.status().counter_width();
        let (mut index, tail) = (self.head(), self.tail());
        let start = self.bench.block.hotlist_areas()[self.index].start;
        let size = self.bench.capabilities[self.index].hotlist_entries;
        let mut entries = Vec::new();
        while index != tail {
            let offset = start + u64::from(index) * 8;
            let raw = self.bench.host.entries.get(&offset).copied();
            entries.push(Entry::decode(raw.unwrap_or(0), width));
            index = next_index(index, size);
        }
        entries
    }

    /// Takes what the list holds.
    pub(crate) fn drain(&mut self) -> Vec<Entry> {
        let entries = self.list();
        let tail = self.tail();
        self.set_head(tail);
        entries
    }

    pub(crate) fn statistics(&self) -> InstanceStatistics {
        self.bench.block.statistics()[self.index]
    }
}
