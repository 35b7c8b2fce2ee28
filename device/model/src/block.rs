// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A block: the header and its instances.

use std::ops::Range;

use chmu_spec::access::Access;
use chmu_spec::address::Dpa;
use chmu_spec::chmu::{
    BLOCK_HEADER_BYTES, BLOCK_VERSION, BlockHeader, InstanceLength, instance_offset, offset,
};
use chmu_spec::word;

use crate::behaviour::Behaviour;
use crate::caution::Caution;
use crate::config::{BlockConfig, ConfigError};
use crate::event::{Event, Fault};
use crate::host::Host;
use crate::instance::Instance;
use crate::layout::{Layout, MAXIMUM_CAPACITY_BYTES};
use crate::place::Place;
use crate::statistics::InstanceStatistics;
use crate::word::WordWrite;

/// What one Register Locator entry points to: a header and 1 to 255 instances.
///
/// Every call tells the time in nanoseconds, from any start; time that runs backwards counts as
/// standing still.
#[derive(Debug)]
pub struct Block {
    layout: Layout,
    instances: Vec<Instance>,
    behaviour: Behaviour,
    now_ns: u64,
    /// When the earliest instance has something to do; `u64::MAX` when none has.
    deadline_ns: u64,
}

impl Block {
    /// A block after power-on.
    ///
    /// # Errors
    /// Fails for a configuration that no block can have.
    pub fn new(config: &BlockConfig) -> Result<Self, ConfigError> {
        if !(1..=255).contains(&config.instances.len()) {
            return Err(ConfigError::Instances(config.instances.len()));
        }
        if !(1..=MAXIMUM_CAPACITY_BYTES).contains(&config.capacity_bytes) {
            return Err(ConfigError::Capacity {
                capacity: config.capacity_bytes,
                maximum: MAXIMUM_CAPACITY_BYTES,
            });
        }
        for capabilities in &config.instances {
            capabilities.check(config.capacity_bytes)?;
        }
        let entries: Vec<u16> = config
            .instances
            .iter()
            .map(|capabilities| capabilities.hotlist_entries)
            .collect();
        let behaviour = Behaviour::new(config.quirks);
        let layout = Layout::new(config.capacity_bytes, &entries);
        let instances = (0..=u8::MAX)
            .zip(&config.instances)
            .zip(&layout.hotlists)
            .map(|((number, capabilities), hotlist)| {
                let place = Place {
                    number,
                    start: instance_offset(number, layout.instance_length),
                    range_bitmap: layout.range_bitmap.start,
                    hotlist: hotlist.start,
                };
                Instance::new(
                    place,
                    capabilities,
                    config.capacity_bytes,
                    behaviour.clone(),
                )
            })
            .collect();
        Ok(Self {
            layout,
            instances,
            behaviour,
            now_ns: 0,
            deadline_ns: u64::MAX,
        })
    }

    /// Bytes of the block: a multiple of 4096.
    pub fn size_bytes(&self) -> u64 {
        self.layout.size_bytes
    }

    /// Where the hotlists lie, in bytes from the start of the block: whole pages of 4096 bytes
    /// that hold nothing else. Only these may be mapped.
    pub fn hotlist_areas(&self) -> &[Range<u64>] {
        &self.layout.hotlists
    }

    /// What drivers fail at, although a block may be so.
    pub fn cautions(&self) -> Vec<Caution> {
        let instances = (0..=u8::MAX).zip(&self.instances);
        instances
            .flat_map(|(instance, one)| one.capabilities().cautions(instance))
            .collect()
    }

    /// Reads registers. Hotlist areas read as 0 here: the entries lie with the host.
    pub fn read(&mut self, now_ns: u64, offset: u64, data: &mut [u8], host: &mut impl Host) {
        self.advance(now_ns, host);
        self.note_odd_access(offset, data.len(), host);
        word::read(offset, data, |offset| self.read_word(offset));
        if self.behaviour.registers.status_clears_on_read {
            self.clear_read_status(offset);
        }
    }

    /// Writes registers. A write that is not 1, 2, 4 or 8 bytes, or not aligned to its size, is
    /// ignored.
    pub fn write(&mut self, now_ns: u64, offset: u64, data: &[u8], host: &mut impl Host) {
        self.advance(now_ns, host);
        if self.note_odd_access(offset, data.len(), host) {
            return;
        }
        let Some((index, start)) = self.locate(offset) else {
            return;
        };
        let write = WordWrite::new(offset.saturating_sub(start), data);
        let index = (self.behaviour.registers.reached_instance)(index, write.word);
        let range_is_taken = write.touches(offset::CONFIGURATION_0) && self.range_is_taken(index);
        if let Some(instance) = self.instances.get_mut(index) {
            instance.write(self.now_ns, write, range_is_taken, host);
        }
        self.refresh_deadline();
    }

    /// Counts accesses that reached the device's memory at `now_ns`.
    pub fn access(&mut self, now_ns: u64, accesses: &[Access<Dpa>], host: &mut impl Host) {
        if now_ns >= self.deadline_ns {
            self.advance(now_ns, host);
        }
        self.now_ns = self.now_ns.max(now_ns);
        for _ in 0..self.counts_per_request() {
            for instance in &mut self.instances {
                instance.access(self.now_ns, accesses, host);
            }
        }
        self.refresh_deadline();
    }

    /// Lets time pass: ends epochs and completes operations.
    pub fn advance(&mut self, now_ns: u64, host: &mut impl Host) {
        self.now_ns = self.now_ns.max(now_ns);
        if self.now_ns < self.deadline_ns {
            return;
        }
        for instance in &mut self.instances {
            instance.advance(self.now_ns, host);
        }
        self.refresh_deadline();
    }

    /// When [`Block::advance`] must be called again, unless another call comes first.
    pub fn next_deadline_ns(&self) -> Option<u64> {
        (self.deadline_ns != u64::MAX).then_some(self.deadline_ns)
    }

    /// The host grants the function so many messages, a power of two: message numbers wrap, in
    /// the capability registers as well.
    pub fn grant_messages(&mut self, messages: u16) {
        for instance in &mut self.instances {
            instance.grant_messages(messages);
        }
    }

    /// Whether an instance is enabled, so that accesses matter.
    pub fn is_counting(&self) -> bool {
        self.instances.iter().any(Instance::is_enabled)
    }

    /// Whether an instance is enabled or being enabled, so that the source of accesses should
    /// report them.
    pub fn wants_accesses(&self) -> bool {
        let mut instances = self.instances.iter();
        instances.any(|instance| instance.is_enabled() || instance.is_being_enabled())
    }

    /// Tells whether the source of accesses reports all of them by now, as it does after power-on.
    /// An enable operation is in progress until it does, so that an instance which says that it is
    /// enabled misses nothing.
    pub fn set_source_ready(&mut self, now_ns: u64, ready: bool, host: &mut impl Host) {
        self.now_ns = self.now_ns.max(now_ns);
        for instance in &mut self.instances {
            instance.set_source_ready(self.now_ns, ready, host);
        }
        self.refresh_deadline();
    }

    /// Puts everything but the statistics into the power-on state, as a function-level reset
    /// does.
    pub fn reset(&mut self) {
        for instance in &mut self.instances {
            instance.power_on();
        }
        self.refresh_deadline();
    }

    /// What each instance has done since power-on.
    pub fn statistics(&self) -> Vec<InstanceStatistics> {
        self.instances.iter().map(Instance::statistics).collect()
    }

    /// The instance whose length covers an offset, and where it starts.
    fn locate(&self, offset: u64) -> Option<(usize, u64)> {
        let length = u64::from(self.layout.instance_length);
        let number = offset
            .checked_sub(BLOCK_HEADER_BYTES)?
            .checked_div(length)?;
        let index = usize::try_from(number).ok()?;
        let instance = self.instances.get(index)?;
        Some((index, instance.start()))
    }

    /// The 8 bytes at an offset that is a multiple of 8.
    fn read_word(&self, offset: u64) -> u64 {
        match offset {
            offset::BLOCK_HEADER => self.header(),
            offset::INSTANCE_LENGTH => self.instance_length(),
            _ => self
                .locate(offset)
                .and_then(|(index, start)| {
                    let instance = self.instances.get(index)?;
                    Some(instance.read_word(offset.saturating_sub(start)))
                })
                .unwrap_or(0),
        }
    }

    fn header(&self) -> u64 {
        let instances = u8::try_from(self.instances.len()).unwrap_or(u8::MAX);
        let header = BlockHeader::new()
            .with_version(BLOCK_VERSION)
            .with_instances(instances);
        (self.behaviour.header.header)(header).into_bits()
    }

    fn instance_length(&self) -> u64 {
        let length = InstanceLength::new().with_bytes(self.layout.instance_length);
        (self.behaviour.header.instance_length)(length).into_bits()
    }

    /// How often a request moves a counter.
    fn counts_per_request(&self) -> usize {
        let enabled = self.instances.iter().filter(|one| one.is_enabled());
        (self.behaviour.counting.counts_per_request)(enabled.count())
    }

    /// Clears what a read around the status should have left alone.
    fn clear_read_status(&mut self, offset: u64) {
        let status = offset::STATUS..offset::HOTLIST_HEAD;
        if let Some((index, start)) = self.locate(offset)
            && status.contains(&offset.saturating_sub(start))
            && let Some(instance) = self.instances.get_mut(index)
        {
            instance.clear_read_status();
        }
    }

    /// Whether another enabled instance tracks a part of what this one would, and one of the two
    /// may not share.
    fn range_is_taken(&self, index: usize) -> bool {
        let Some(one) = self.instances.get(index) else {
            return false;
        };
        self.instances
            .iter()
            .enumerate()
            .any(|(other_index, other)| other_index != index && one.collides_with(other))
    }

    /// Reports an access that no driver should do; whether it is one.
    fn note_odd_access(&self, offset: u64, bytes: usize, host: &mut impl Host) -> bool {
        let odd = !matches!(bytes, 1 | 2 | 4 | 8)
            || u64::try_from(bytes).is_ok_and(|bytes| !offset.is_multiple_of(bytes));
        if odd {
            let instance = self
                .locate(offset)
                .and_then(|(index, _)| u8::try_from(index).ok());
            host.event(Event::Fault {
                instance,
                fault: Fault::Access { offset, bytes },
            });
        }
        odd
    }

    fn refresh_deadline(&mut self) {
        let deadlines = self.instances.iter().map(Instance::deadline_ns);
        self.deadline_ns = deadlines.min().unwrap_or(u64::MAX);
    }
}
