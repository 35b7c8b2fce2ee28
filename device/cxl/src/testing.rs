// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the unit tests share.

use std::collections::HashMap;

use chmu_model::Capabilities;
use chmu_spec::access::Access;
use chmu_spec::address::{Hpa, HpaRange};

use crate::{
    DEFAULT_HDM_DECODERS, DecoderConfig, Function, FunctionConfig, FunctionEvent, FunctionHost,
    Interrupts, Performance, Region,
};

pub(crate) const GIB: u64 = 1 << 30;
pub(crate) const MIB_256: u64 = 256 << 20;

/// Where instance 0 lies in its block.
pub(crate) const INSTANCE: u64 = 0x10;

const UNITS: Region = Region::Bar(4);

/// Remembers all that a function tells its outside.
#[derive(Debug, Default)]
pub(crate) struct RecordingHost {
    pub(crate) memory: HashMap<(u8, u64), u64>,
    pub(crate) interrupts: Vec<u16>,
    pub(crate) events: Vec<FunctionEvent>,
}

impl FunctionHost for RecordingHost {
    fn store(&mut self, bar: u8, offset: u64, value: u64) {
        self.memory.insert((bar, offset), value);
    }

    fn load(&mut self, bar: u8, offset: u64) -> u64 {
        assert!(offset.is_multiple_of(8));
        self.memory.get(&(bar, offset)).copied().unwrap_or(0)
    }

    fn interrupt(&mut self, vector: u16) {
        self.interrupts.push(vector);
    }

    fn event(&mut self, event: FunctionEvent) {
        self.events.push(event);
    }
}

/// Host physical addresses that a decoder decodes.
pub(crate) fn range(start: u64, bytes: u64) -> HpaRange {
    HpaRange {
        start: Hpa(start),
        bytes,
    }
}

/// A decoder of one way.
pub(crate) fn decoder(base: u64, size_bytes: u64) -> DecoderConfig {
    DecoderConfig {
        base: Hpa(base),
        size_bytes,
        ways: 1,
        granularity_bytes: 256,
        position: 0,
        dpa_skip_bytes: 0,
        tee: false,
    }
}

/// 1 GiB at 4 GiB, one block with one instance, 16 MSI-X vectors.
pub(crate) fn config() -> FunctionConfig {
    FunctionConfig {
        serial_number: 0x0123_4567_89ab_cdef,
        capacity_bytes: GIB,
        performance: Performance::default(),
        hdm_decoders: DEFAULT_HDM_DECODERS,
        decoders: vec![decoder(4 * GIB, GIB)],
        blocks: vec![vec![Capabilities {
            message_number: 1,
            ..Capabilities::default()
        }]],
        interrupts: Interrupts::MsiX(16),
        quirks: chmu_model::QuirkSet::NONE,
    }
}

/// A function that cannot interrupt.
pub(crate) fn silent_config() -> FunctionConfig {
    let mut config = config();
    config.interrupts = Interrupts::None;
    for instance in config.blocks.iter_mut().flatten() {
        instance.overflow_interrupt = false;
        instance.fill_level_interrupt = false;
    }
    config
}

/// A function and its outside.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) function: Function,
    pub(crate) host: RecordingHost,
    pub(crate) now_ns: u64,
}

impl Bench {
    pub(crate) fn new(config: &FunctionConfig) -> Self {
        Self {
            function: Function::new(config).unwrap(),
            host: RecordingHost::default(),
            now_ns: 0,
        }
    }

    pub(crate) fn read(&mut self, region: Region, offset: u64, bytes: usize) -> Vec<u8> {
        let mut data = vec![0xee; bytes];
        self.function
            .read(self.now_ns, region, offset, &mut data, &mut self.host);
        data
    }

    pub(crate) fn write(&mut self, region: Region, offset: u64, data: &[u8]) {
        self.function
            .write(self.now_ns, region, offset, data, &mut self.host);
    }

    pub(crate) fn read_u32(&mut self, region: Region, offset: u64) -> u32 {
        u32::from_le_bytes(self.read(region, offset, 4).try_into().unwrap())
    }

    pub(crate) fn read_u64(&mut self, region: Region, offset: u64) -> u64 {
        u64::from_le_bytes(self.read(region, offset, 8).try_into().unwrap())
    }
}

/// A host's read at an address.
pub(crate) fn read_at(hpa: u64) -> Access<Hpa> {
    Access::read(Hpa(hpa))
}

/// Switches the instance of a block to always-on with units of 4 KiB and all ranges, and an
/// interrupt when the list holds anything, if it has one.
pub(crate) fn enable(bench: &mut Bench, block: u64, threshold: u32) {
    let start = block + INSTANCE;
    let bitmap = bench.read_u64(UNITS, start + 0x10);
    bench.write(UNITS, start + bitmap, &[0xff; 8]);
    bench.write(UNITS, start + 0x48, &(12_u64 | 1 << 40).to_le_bytes());
    bench.write(UNITS, start + 0x50, &[0; 8]);
    let fill_level_interrupt = bench.read_u64(UNITS, start) >> 5 & 1;
    let control = 6_u64 | fill_level_interrupt << 10 | 1 << 16 | u64::from(threshold) << 32;
    bench.write(UNITS, start + 0x40, &control.to_le_bytes());
    bench.function.advance(bench.now_ns, &mut bench.host);
}
