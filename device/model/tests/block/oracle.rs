// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A naive model of instances, written from the register map alone: maps, queues and single
//! steps of time, no table and no view.

use std::collections::{BTreeMap, VecDeque};

use chmu_model::Capabilities;
use chmu_spec::access::Access;
use chmu_spec::address::Dpa;
use chmu_spec::chmu::EpochType;
use chmu_spec::request::AccessKind;

use super::fixture::RANGES;

const ENABLE: u64 = 1 << 16;
const RESET: u64 = 1 << 17;
const OVERFLOW_INTERRUPT: u64 = 1 << 9;
const FILL_LEVEL_INTERRUPT: u64 = 1 << 10;

/// Bits of 0x40, 0x48 and 0x50 that a driver configures.
const CONFIGURATION_BITS: [u64; 3] = [0xffff_ffff_0000_07ff, 0xffff_ff0f_ffff_ffff, 0xffff];

/// One instance.
pub(crate) struct Oracle {
    capabilities: Capabilities,
    capacity_bytes: u64,
    configuration: [u64; 3],
    ranges: u64,
    overflow: bool,
    fill_level: bool,
    head: u64,
    list: VecDeque<u64>,
    waiting: VecDeque<u64>,
    /// Code and end of the operation in progress.
    operation: Option<(u64, u64)>,
    enabled: bool,
    epoch_end_ns: u64,
    /// By unit: when its own epoch ends, and its count.
    counts: BTreeMap<u64, (u64, u64)>,
    requests_seen: u64,
    pub(crate) interrupts: usize,
    pub(crate) lost: u64,
    pub(crate) requests: Requests,
}

/// What became of requests since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Requests {
    pub(crate) filtered: u64,
    pub(crate) out_of_range: u64,
    pub(crate) sampled_out: u64,
    pub(crate) counted: u64,
}

impl Oracle {
    pub(crate) fn new(capabilities: Capabilities, capacity_bytes: u64) -> Self {
        Self {
            capabilities,
            capacity_bytes,
            configuration: [0; 3],
            ranges: 0,
            overflow: false,
            fill_level: false,
            head: 0,
            list: VecDeque::new(),
            waiting: VecDeque::new(),
            operation: None,
            enabled: false,
            epoch_end_ns: 0,
            counts: BTreeMap::new(),
            requests_seen: 0,
            interrupts: 0,
            lost: 0,
            requests: Requests::default(),
        }
    }

    pub(crate) fn power_on(&mut self) {
        let (interrupts, lost, requests) = (self.interrupts, self.lost, self.requests);
        *self = Self::new(self.capabilities.clone(), self.capacity_bytes);
        (self.interrupts, self.lost, self.requests) = (interrupts, lost, requests);
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled
    }

    pub(crate) fn list(&self) -> Vec<u64> {
        self.list.iter().copied().collect()
    }

    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    fn size(&self) -> u64 {
        u64::from(self.capabilities.hotlist_entries)
    }

    fn tail(&self) -> u64 {
        (self.head + self.list.len() as u64) % self.size()
    }

    fn bits(&self, register: usize, high: u32, low: u32) -> u64 {
        (self.configuration[register] >> low) & ((1 << (high - low + 1)) - 1)
    }

    fn counter_width(&self) -> u32 {
        // The tests give all unit sizes the same width.
        let supported = self.capabilities.unit_sizes.iter();
        let mut log2 = supported.map(|size| u64::from(size.log2_bytes()));
        let unit_size = chmu_spec::unit_size::UnitSize::BASE_PAGE;
        if log2.any(|log2| log2 == self.bits(1, 31, 0)) {
            u32::from(self.capabilities.counter_widths.of(unit_size))
        } else {
            0
        }
    }

    fn epoch_ns(&self) -> u64 {
        let scales = [
            0,
            100_000,
            1_000_000,
            10_000_000,
            100_000_000,
            1_000_000_000,
        ];
        let scale = usize::try_from(self.bits(1, 51, 48)).unwrap();
        scales.get(scale).copied().unwrap_or(0) * self.bits(1, 63, 52)
    }

    fn is_always_on(&self) -> bool {
        self.bits(1, 47, 40) == 1
    }

    /// The register words from 0x40 on; none for words without a register.
    pub(crate) fn word(&self, offset: u64) -> Option<u64> {
        Some(match offset {
            0x40 => self.configuration[0],
            0x48 => self.configuration[1],
            0x50 => self.configuration[2],
            0x60 => {
                u64::from(self.enabled)
                    | self.operation.map_or(0, |(code, _)| code) << 16
                    | u64::from(self.counter_width()) << 32
                    | u64::from(self.overflow) << 40
                    | u64::from(self.fill_level) << 41
            }
            0x68 => self.head | self.tail() << 16,
            RANGES => self.ranges,
            _ => return None,
        })
    }

    /// A write of whole bytes inside the word at `offset`.
    pub(crate) fn write(
        &mut self,
        now_ns: u64,
        offset: u64,
        skip: usize,
        data: &[u8],
        taken: bool,
    ) {
        let Some(word) = self.word(offset) else {
            return;
        };
        let mut bytes = word.to_le_bytes();
        bytes[skip..skip + data.len()].copy_from_slice(data);
        let wanted = u64::from_le_bytes(bytes);
        let locked = self.enabled || self.operation.is_some();
        match offset {
            0x40 | 0x48 | 0x50 => {
                let register = usize::try_from((offset - 0x40) / 8).unwrap();
                if !locked {
                    let mask = CONFIGURATION_BITS[register];
                    let kept = self.configuration[register] & !mask;
                    self.configuration[register] = kept | wanted & mask;
                }
                if register == 0 {
                    self.control(now_ns, wanted, taken);
                }
            }
            0x60 if skip <= 5 && 5 < skip + data.len() => {
                let cleared = data[5 - skip];
                self.overflow &= cleared & 1 == 0;
                self.fill_level &= cleared & 2 == 0;
            }
            0x68 if skip < 2 => {
                let head = wanted & 0xffff;
                let steps = (head + self.size() - self.head) % self.size();
                if head < self.size() && steps <= self.list.len() as u64 {
                    self.list.drain(..usize::try_from(steps).unwrap());
                    self.head = head;
                    self.refill();
                }
            }
            RANGES if !locked => self.ranges = wanted,
            _ => {}
        }
    }

    fn control(&mut self, now_ns: u64, wanted: u64, taken: bool) {
        let (on, off) = (wanted & ENABLE != 0, self.configuration[0] & ENABLE == 0);
        if wanted & RESET != 0 {
            self.configuration[0] &= !ENABLE;
            self.enabled = false;
            self.overflow = false;
            self.fill_level = false;
            self.head = 0;
            self.list.clear();
            self.waiting.clear();
            self.start(now_ns, 3);
        } else if self.operation.is_none() && on && off {
            if self.is_supported() && !taken {
                self.configuration[0] |= ENABLE;
                self.start(now_ns, 1);
            }
        } else if self.operation.is_none() && !on && !off {
            self.configuration[0] &= !ENABLE;
            self.start(now_ns, 2);
        }
    }

    fn start(&mut self, now_ns: u64, code: u64) {
        self.operation = Some((code, now_ns + self.capabilities.operation_delay_ns));
        self.advance(now_ns);
    }

    /// Whether this one and `other` may not run together.
    pub(crate) fn excludes(&self, other: &Self) -> bool {
        let starting = matches!(other.operation, Some((1, _)));
        let share = [self, other]
            .iter()
            .all(|one| one.capabilities.overlapping_ranges);
        (other.enabled || starting) && !share && self.ranges & other.ranges != 0
    }

    fn is_supported(&self) -> bool {
        let can = &self.capabilities;
        let code = self.bits(0, 7, 0);
        let request =
            (1..=6).contains(&code) && can.trackable_requests.bits() >> (code - 1) & 1 == 1;
        let mode = match self.bits(1, 47, 40) {
            0 => {
                let lengths = can.minimum_epoch.nanoseconds()..=can.maximum_epoch.nanoseconds();
                can.epoch_mode && lengths.contains(&self.epoch_ns())
            }
            1 => can.always_on_mode,
            _ => false,
        };
        let width = self.counter_width();
        let threshold = width > 0 && self.bits(0, 63, 32) < 1 << width;
        let sampling = can.down_sampling_factors >> self.bits(1, 35, 32) & 1 == 1;
        let random = can.randomised_down_sampling || self.bits(0, 8, 8) == 0;
        let overflow = can.overflow_interrupt || self.configuration[0] & OVERFLOW_INTERRUPT == 0;
        let level = can.fill_level_interrupt || self.configuration[0] & FILL_LEVEL_INTERRUPT == 0;
        request && mode && threshold && sampling && random && overflow && level
    }

    pub(crate) fn access(&mut self, now_ns: u64, accesses: &[Access<Dpa>]) {
        if !self.enabled {
            return;
        }
        let threshold = self.bits(0, 63, 32).max(1);
        let maximum = (1 << self.counter_width()) - 1;
        let always_on = self.is_always_on();
        let mut hot = Vec::new();
        for access in accesses {
            let wanted = match (self.bits(0, 7, 0) - 1) % 3 {
                0 => access.kind() == AccessKind::Read,
                1 => access.kind() == AccessKind::Write,
                _ => true,
            };
            let trusted = !access.is_tee() || self.bits(0, 7, 0) > 3;
            let in_memory = access.address().0 < self.capacity_bytes;
            let range = access.address().0 / (256 << 20);
            if !(wanted && trusted) {
                self.requests.filtered += 1;
                continue;
            }
            if !(in_memory && self.ranges >> range & 1 == 1) {
                self.requests.out_of_range += 1;
                continue;
            }
            self.requests_seen += 1;
            if !self.requests_seen.is_multiple_of(1 << self.bits(1, 35, 32)) {
                self.requests.sampled_out += 1;
                continue;
            }
            self.requests.counted += 1;
            let unit = access.address().0 >> self.bits(1, 31, 0);
            let end_ns = now_ns + self.epoch_ns();
            let (_, count) = self.counts.entry(unit).or_insert((end_ns, 0));
            *count = maximum.min(*count + 1);
            if always_on && *count >= threshold {
                self.counts.remove(&unit);
                hot.push((unit, threshold));
            }
        }
        if !hot.is_empty() {
            self.append(&hot);
        }
    }

    /// When something happens next.
    pub(crate) fn deadline_ns(&self) -> Option<u64> {
        let operation = self.operation.map(|(_, done_ns)| done_ns);
        operation.into_iter().chain(self.epoch_end_ns()).min()
    }

    fn epoch_end_ns(&self) -> Option<u64> {
        if !self.enabled || self.is_always_on() {
            None
        } else if self.capabilities.epoch_type == EpochType::Global {
            Some(self.epoch_end_ns)
        } else {
            self.counts.values().map(|(end_ns, _)| *end_ns).min()
        }
    }

    pub(crate) fn advance(&mut self, now_ns: u64) {
        while let Some(due_ns) = self.deadline_ns().filter(|due_ns| *due_ns <= now_ns) {
            if self.epoch_end_ns() == Some(due_ns) {
                self.end_epoch(due_ns);
            } else if let Some((code, _)) = self.operation.take() {
                match code {
                    1 => {
                        self.enabled = true;
                        self.waiting.clear();
                        self.counts.clear();
                        self.requests_seen = 0;
                        self.epoch_end_ns = due_ns + self.epoch_ns();
                    }
                    2 => self.enabled = false,
                    _ => {}
                }
            }
        }
    }

    fn end_epoch(&mut self, due_ns: u64) {
        let global = self.capabilities.epoch_type == EpochType::Global;
        let threshold = self.bits(0, 63, 32).max(1);
        let mut hot = Vec::new();
        for (unit, (end_ns, count)) in std::mem::take(&mut self.counts) {
            if !global && end_ns > due_ns {
                self.counts.insert(unit, (end_ns, count));
            } else if count >= threshold {
                hot.push((unit, count));
            }
        }
        hot.sort_by(|one, two| two.1.cmp(&one.1).then(one.0.cmp(&two.0)));
        self.append(&hot);
        self.epoch_end_ns = due_ns + self.epoch_ns();
    }

    fn append(&mut self, hot: &[(u64, u64)]) {
        let mut lost = 0;
        for (unit, count) in hot {
            let entry = unit << self.counter_width() | count;
            if self.waiting.is_empty() && self.has_room() {
                self.list.push_back(entry);
            } else if self.capabilities.postponed_insertion {
                self.waiting.push_back(entry);
            } else {
                lost += 1;
            }
        }
        self.lost += lost;
        self.look(lost > 0);
    }

    fn has_room(&self) -> bool {
        (self.list.len() as u64) < self.size() - 1
    }

    fn refill(&mut self) {
        let before = self.list.len();
        while self.has_room()
            && let Some(entry) = self.waiting.pop_front()
        {
            self.list.push_back(entry);
        }
        if self.list.len() > before {
            self.look(false);
        }
    }

    fn look(&mut self, lost: bool) {
        let above = self.list.len() as u64 > self.configuration[2];
        let armed = |bit| self.configuration[0] & bit != 0;
        let overflow = lost && !self.overflow && armed(OVERFLOW_INTERRUPT);
        let level = above && !self.fill_level && armed(FILL_LEVEL_INTERRUPT);
        self.interrupts += usize::from(overflow || level);
        self.overflow |= lost;
        self.fill_level |= above;
    }
}
