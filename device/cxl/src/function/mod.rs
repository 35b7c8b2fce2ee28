// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The function: its four regions and what connects them.

mod locator;

#[cfg(test)]
mod quirk_tests;
#[cfg(test)]
mod tests;

use std::num::Saturating;

use chmu_model::Caution;
use chmu_spec::access::Access;
use chmu_spec::address::{Dpa, Hpa, HpaRange};
use chmu_spec::interleave::{DecoderWindow, Interleave};
use chmu_spec::native::to_u64;

use crate::address_map::{AddressMap, CommittedDecoder};
use crate::bar::{self, Bar};
use crate::behaviour::Behaviour;
use crate::cdat::AttributeTable;
use crate::component::{ComponentRegisters, FirmwareDecoder};
use crate::config::{ConfigError, FunctionConfig};
use crate::config_space::{ConfigSpace, Identity, Request};
use crate::device_registers::{Condition, DeviceRegisters, MediaEvent};
use crate::event::FunctionEvent;
use crate::host::FunctionHost;
use crate::monitors::Monitors;
use crate::statistics::FunctionStatistics;

/// Accesses that are translated at a time: few enough to stay in the nearest cache.
const BATCH_ACCESSES: usize = 1024;

/// A run of bytes that a host reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Region {
    /// The configuration space, 4096 bytes.
    Config,
    /// What lies behind a base address register, 0 to 5.
    Bar(u8),
}

/// A CXL memory device with hotness monitoring units.
///
/// Every call that takes a time takes nanoseconds, from any start; time that runs backwards
/// counts as standing still. No offset, size or content of an access is trusted: bytes that no
/// register has read as 0 and ignore writes.
#[derive(Debug)]
pub struct Function {
    bars: [Bar; 6],
    config_space: ConfigSpace,
    component: ComponentRegisters,
    device: DeviceRegisters,
    monitors: Monitors,
    address_map: AddressMap,
    /// Accesses by device physical address, kept for its memory.
    batch: Vec<Access<Dpa>>,
    /// The source of accesses reports all of them.
    source_ready: bool,
    behaviour: Behaviour,
    accesses: Saturating<u64>,
    accesses_not_decoded: Saturating<u64>,
    function_level_resets: Saturating<u64>,
}

impl Function {
    /// A function after power-on, with firmware's decoders committed.
    ///
    /// # Errors
    /// Fails for a configuration that no function can have.
    pub fn new(config: &FunctionConfig) -> Result<Self, ConfigError> {
        let windows = config.check()?;
        let monitors = Monitors::new(config)?;
        let mut bars = [const { EMPTY_BAR }; 6];
        let described = [
            (bar::COMPONENT, ComponentRegisters::bar()),
            (bar::DEVICE, DeviceRegisters::bar()),
            (bar::MONITORS, monitors.bar()),
        ];
        for (number, described) in described {
            if let Some(bar) = bars.get_mut(usize::from(number)) {
                *bar = described;
            }
        }
        let behaviour = Behaviour::new(config.quirks);
        let register_blocks = locator::entries(&monitors, behaviour);
        let config_space = ConfigSpace::new(Identity {
            serial_number: config.serial_number,
            interrupts: config.interrupts,
            bars: &bars,
            first_window: windows.first().unwrap_or(&NO_WINDOW),
            attributes: AttributeTable::new(config.capacity_bytes, config.performance),
            register_blocks: &register_blocks,
            msix: monitors.msix_place(),
            behaviour,
        });
        let mut function = Self {
            bars,
            config_space,
            component: ComponentRegisters::new(
                config.capacity_bytes,
                config.hdm_decoders,
                firmware_decoders(config, &windows),
            ),
            device: DeviceRegisters::new(config.capacity_bytes, config.interrupts.vectors() > 0),
            monitors,
            address_map: AddressMap::default(),
            batch: Vec::new(),
            source_ready: true,
            behaviour,
            accesses: Saturating(0),
            accesses_not_decoded: Saturating(0),
            function_level_resets: Saturating(0),
        };
        function.address_map = function.decode();
        Ok(function)
    }

    /// The base address registers by number. A 64-bit one takes two numbers; the second is empty.
    pub fn bars(&self) -> &[Bar; 6] {
        &self.bars
    }

    /// What drivers fail at, although a function may be so; each with the number of its block.
    pub fn cautions(&self) -> Vec<(usize, Caution)> {
        self.monitors.cautions()
    }

    /// Reads as many bytes as `data` has, from `offset` of a region on.
    pub fn read(
        &mut self,
        now_ns: u64,
        region: Region,
        offset: u64,
        data: &mut [u8],
        host: &mut impl FunctionHost,
    ) {
        match region {
            Region::Config => self.config_space.read(offset, data),
            Region::Bar(bar::COMPONENT) => self.component.read(offset, data),
            Region::Bar(bar::DEVICE) => self.device.read(now_ns, offset, data, host),
            Region::Bar(bar::MONITORS) => self.monitors.read(now_ns, offset, data, host),
            Region::Bar(_) => data.fill(0),
        }
    }

    /// Writes. A function-level reset and mailbox commands happen in here.
    pub fn write(
        &mut self,
        now_ns: u64,
        region: Region,
        offset: u64,
        data: &[u8],
        host: &mut impl FunctionHost,
    ) {
        match region {
            Region::Config => {
                let request = self.config_space.write(offset, data);
                if request == Request::FunctionLevelReset {
                    self.function_level_reset(host);
                }
                self.follow_messages();
                self.follow_decoders(host);
            }
            Region::Bar(bar::COMPONENT) => {
                self.component.write(offset, data, host);
                self.follow_decoders(host);
            }
            Region::Bar(bar::DEVICE) => {
                let memory_in_use = self.address_map.decodes();
                self.device.write(now_ns, memory_in_use, offset, data, host);
            }
            Region::Bar(bar::MONITORS) => self.monitors.write(now_ns, offset, data, host),
            Region::Bar(_) => {}
        }
    }

    /// The machine's reset: everything but the statistics returns to the power-on state, with
    /// firmware's decoders committed.
    pub fn reset(&mut self, host: &mut impl FunctionHost) {
        self.config_space.reset();
        self.component.reset();
        self.device.reset();
        self.monitors.reset();
        self.follow_messages();
        host.event(FunctionEvent::DeviceReset);
        self.follow_decoders(host);
    }

    /// Counts accesses to memory at `now_ns` that the host issued, in this order. Those that no
    /// committed decoder decodes for this device are skipped.
    pub fn access(&mut self, now_ns: u64, accesses: &[Access<Hpa>], host: &mut impl FunctionHost) {
        // An enable operation that is over by now lets them count.
        self.monitors.advance(now_ns, host);
        if !self.monitors.is_counting() {
            return;
        }
        for accesses in accesses.chunks(BATCH_ACCESSES) {
            self.batch.clear();
            self.address_map.translate(accesses, &mut self.batch);
            let skipped = accesses.len().saturating_sub(self.batch.len());
            self.accesses += to_u64(accesses.len());
            self.accesses_not_decoded += to_u64(skipped);
            self.monitors.access(now_ns, &self.batch, host);
        }
    }

    /// Lets time pass: ends epochs, completes operations and commands in the background.
    pub fn advance(&mut self, now_ns: u64, host: &mut impl FunctionHost) {
        self.device.advance(now_ns, host);
        self.monitors.advance(now_ns, host);
    }

    /// When [`Function::advance`] must be called again, unless another call comes first.
    pub fn next_deadline_ns(&self) -> Option<u64> {
        let deadlines = [
            self.device.next_deadline_ns(),
            self.monitors.next_deadline_ns(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Whether an instance is enabled, so that accesses matter.
    pub fn is_counting(&self) -> bool {
        self.monitors.is_counting()
    }

    /// Whether an instance is enabled or being enabled, so that the source of accesses should
    /// report them.
    pub fn wants_accesses(&self) -> bool {
        self.monitors.wants_accesses()
    }

    /// Tells whether the source of accesses reports all of them by now, as it does after power-on.
    /// Enable operations are in progress until it does.
    pub fn set_source_ready(&mut self, now_ns: u64, ready: bool, host: &mut impl FunctionHost) {
        if ready != self.source_ready {
            self.source_ready = ready;
            self.monitors.set_source_ready(now_ns, ready, host);
        }
    }

    /// The host physical addresses that each committed decoder decodes; a
    /// [`FunctionEvent::WindowsChanged`] tells when they change.
    pub fn windows(&self) -> Vec<HpaRange> {
        self.address_map.windows()
    }

    /// Whether a committed decoder finds this device's memory at a host physical address, and not
    /// another device's that shares the window.
    pub fn decodes(&self, address: Hpa) -> bool {
        self.address_map.decodes_address(address)
    }

    /// The memory fails: writes a record to one of the event logs, and puts the address onto the
    /// poison list if data was lost; returns whether the log had room.
    pub fn inject_event(
        &mut self,
        now_ns: u64,
        event: &MediaEvent,
        host: &mut impl FunctionHost,
    ) -> bool {
        self.device.record(now_ns, event, host)
    }

    /// The device gets warmer, colder or older, which may be worth an alert.
    pub fn set_condition(
        &mut self,
        now_ns: u64,
        condition: Condition,
        host: &mut impl FunctionHost,
    ) {
        self.device.set_condition(now_ns, condition, host);
    }

    /// What the function has done since power-on.
    pub fn statistics(&self) -> FunctionStatistics {
        let counts = self.device.counts();
        FunctionStatistics {
            accesses: self.accesses.0,
            accesses_not_decoded: self.accesses_not_decoded.0,
            mailbox_commands: counts.mailbox_commands.0,
            event_records: counts.event_records.0,
            event_records_lost: counts.event_records_lost.0,
            event_interrupts: counts.event_interrupts.0,
            function_level_resets: self.function_level_resets.0,
            blocks: self.monitors.statistics(),
        }
    }

    /// Decoders and CXL.mem live on, because the host's memory hangs on them.
    fn function_level_reset(&mut self, host: &mut impl FunctionHost) {
        self.config_space.function_level_reset();
        self.device.function_level_reset();
        if self.behaviour.reset_loses_decoders {
            self.component.lose_decoders();
        }
        if self.behaviour.reset_reaches_blocks {
            self.monitors.reset();
        }
        self.function_level_resets += 1;
        host.event(FunctionEvent::FunctionLevelReset);
    }

    /// Message numbers follow what the host grants.
    fn follow_messages(&mut self) {
        if let Some(messages) = self.config_space.granted_messages() {
            self.monitors.grant_messages(messages);
        }
    }

    fn decode(&self) -> AddressMap {
        if self.config_space.mem_enabled() {
            let decoders = self.component.decoding();
            match self.behaviour.decodes {
                true => AddressMap::new(decoders),
                false => AddressMap::untranslated(decoders),
            }
        } else {
            AddressMap::default()
        }
    }

    fn follow_decoders(&mut self, host: &mut impl FunctionHost) {
        let address_map = self.decode();
        if address_map != self.address_map {
            self.address_map = address_map;
            host.event(FunctionEvent::WindowsChanged);
        }
    }
}

const EMPTY_BAR: Bar = Bar {
    size_bytes: 0,
    mappable_areas: Vec::new(),
};

/// What the DVSEC shows of a device without decoders; checked configurations have one.
const NO_WINDOW: DecoderWindow = DecoderWindow {
    base: Hpa(0),
    size_bytes: 0,
    interleave: Interleave::NONE,
    position: 0,
    dpa_base: Dpa(0),
};

fn firmware_decoders(config: &FunctionConfig, windows: &[DecoderWindow]) -> Vec<FirmwareDecoder> {
    let decoders = config.decoders.iter().zip(windows);
    decoders
        .map(|(decoder, window)| FirmwareDecoder {
            committed: CommittedDecoder {
                window: *window,
                tee: decoder.tee,
            },
            dpa_skip_bytes: decoder.dpa_skip_bytes,
        })
        .collect()
}
