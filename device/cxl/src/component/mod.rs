// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! BAR0: component registers, of which HDM decoders matter.
//!
//! Firmware's decoders come committed and locked. A driver can commit the others for one way: which
//! position of an interleave set the device has is not in the registers.

#[cfg(test)]
mod tests;

use std::ops::Range;

use chmu_spec::address::{Dpa, Hpa};
use chmu_spec::cxl::component::{
    ArrayHeader, BLOCK_BYTES, CACHE_MEM, CapabilityHeader, DECODER_BYTES, DECODER_TABLE,
    DecoderControl, HDM_HEADER_BYTES, HDM_TABLE, HdmCapability, RAS_TABLE, capability, decoder,
    decoder_count_code, hdm,
};
use chmu_spec::interleave::{DecoderWindow, Interleave};
use chmu_spec::native::to_u64;
use chmu_spec::register::WriteRules;

use crate::address_map::CommittedDecoder;
use crate::bar::Bar;
use crate::event::{DecoderRefusal, FunctionEvent};
use crate::host::FunctionHost;
use crate::register_space::RegisterSpace;

/// Where the RAS capability lies, from [`CACHE_MEM`].
const RAS_POINTER: u16 = 0x80;
/// Where the HDM decoder capability lies, from [`CACHE_MEM`].
const HDM_POINTER: u16 = 0x100;

/// A decoder that firmware commits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FirmwareDecoder {
    pub(crate) committed: CommittedDecoder,
    pub(crate) dpa_skip_bytes: u64,
}

/// The registers behind BAR0 and what their HDM decoders decode.
#[derive(Debug)]
pub(crate) struct ComponentRegisters {
    space: RegisterSpace,
    capacity_bytes: u64,
    firmware: Vec<FirmwareDecoder>,
    /// What each decoder decodes; none while it is not committed.
    committed: Vec<Option<CommittedDecoder>>,
}

impl ComponentRegisters {
    /// Registers of `count` decoders or one more, the first of which are committed by firmware.
    pub(crate) fn new(capacity_bytes: u64, count: usize, firmware: Vec<FirmwareDecoder>) -> Self {
        let count = count.max(firmware.len());
        let (count_code, decoders) = decoder_count_code(count).unwrap_or_default();
        let mut space = RegisterSpace::new(BLOCK_BYTES);
        define_capability_array(&mut space);
        space.define_table(cache_mem(RAS_POINTER), RAS_TABLE);
        space.define_table(cache_mem(HDM_POINTER), HDM_TABLE);
        let offered = HdmCapability::new()
            .with_count_code(count_code)
            .with_interleave_256_to_2k(true)
            .with_interleave_4k_to_16k(true)
            .with_interleave_3_6_12(true)
            .with_interleave_16(true);
        let capability = cache_mem(HDM_POINTER).saturating_add(hdm::CAPABILITY);
        space.set_reset(capability, 4, offered.into_bits().into());
        space.set_reset(global_control(), 4, hdm::DECODER_ENABLE.into());
        for index in 0..usize::from(decoders) {
            space.define_table(decoder_offset(index), DECODER_TABLE);
        }
        for (index, decoder) in firmware.iter().enumerate() {
            set_firmware_decoder(&mut space, decoder_offset(index), decoder);
        }
        let mut registers = Self {
            space,
            capacity_bytes,
            firmware,
            committed: vec![None; decoders.into()],
        };
        registers.reset();
        registers
    }

    /// BAR0: one block, of which nothing can be mapped.
    pub(crate) fn bar() -> Bar {
        Bar {
            size_bytes: BLOCK_BYTES,
            mappable_areas: Vec::new(),
        }
    }

    /// The decoders that decode now, as far as these registers say.
    pub(crate) fn decoding(&self) -> Vec<CommittedDecoder> {
        let enabled = self.space.get(global_control(), 4) & u64::from(hdm::DECODER_ENABLE) != 0;
        let committed = self.committed.iter().filter(|_| enabled);
        committed.copied().flatten().collect()
    }

    pub(crate) fn read(&self, offset: u64, data: &mut [u8]) {
        self.space.read(offset, data);
    }

    pub(crate) fn write(&mut self, offset: u64, data: &[u8], host: &mut impl FunctionHost) {
        self.space.write(offset, data);
        for index in 0..self.committed.len() {
            self.follow_control(index, host);
        }
    }

    /// The power-on state: firmware's decoders are committed again.
    pub(crate) fn reset(&mut self) {
        self.space.reset(0..0);
        self.committed.fill(None);
        for (index, decoder) in self.firmware.iter().enumerate() {
            if let Some(committed) = self.committed.get_mut(index) {
                *committed = Some(decoder.committed);
            }
            self.space.lock(decoder_registers(index), true);
        }
        for index in self.firmware.len()..self.committed.len() {
            self.space.lock(decoder_registers(index), false);
        }
    }

    /// Takes all decoders back, as no reset may: for a quirk.
    pub(crate) fn lose_decoders(&mut self) {
        self.committed.fill(None);
        for index in 0..self.committed.len() {
            let start = decoder_offset(index);
            self.space.set(start.saturating_add(decoder::CONTROL), 4, 0);
            self.space.lock(decoder_registers(index), false);
        }
    }

    /// Does what a decoder's control register asks for.
    fn follow_control(&mut self, index: usize, host: &mut impl FunctionHost) {
        let offset = decoder_offset(index).saturating_add(decoder::CONTROL);
        let control = self.control(index);
        let was_committed = self.committed.get(index).is_some_and(Option::is_some);
        let next = match (control.commit(), was_committed) {
            (true, true) => return,
            (true, false) if control.error_not_committed() => return,
            (true, false) => match self.decide(index) {
                Ok(decoder) => {
                    self.set_committed(index, Some(decoder));
                    control.with_committed(true)
                }
                Err(refusal) => {
                    host.event(FunctionEvent::DecoderRefused {
                        decoder: index,
                        refusal,
                    });
                    control.with_error_not_committed(true)
                }
            },
            (false, _) => {
                self.set_committed(index, None);
                control
                    .with_committed(false)
                    .with_error_not_committed(false)
            }
        };
        self.space.set(offset, 4, next.into_bits().into());
        if next.committed() && next.lock_on_commit() {
            self.space.lock(decoder_registers(index), true);
        }
    }

    /// A decoder that a driver wants to commit.
    fn decide(&self, index: usize) -> Result<CommittedDecoder, DecoderRefusal> {
        let below = self.committed.get(..index).unwrap_or_default();
        if self.control(index).interleave().map(Interleave::ways) != Some(1) {
            return Err(DecoderRefusal::Interleave);
        }
        let start = decoder_offset(index);
        let pair = |low: u64| self.space.get(start.saturating_add(low), 8);
        let (base, size_bytes) = (pair(decoder::BASE_LOW), pair(decoder::SIZE_LOW));
        let end = base.checked_add(size_bytes);
        if end.is_none_or(|end| end <= base) {
            return Err(DecoderRefusal::Window);
        }
        let (next_hpa, next_dpa) = below.iter().flatten().next_back().map_or((0, 0), ends);
        if base < next_hpa {
            return Err(DecoderRefusal::Overlap);
        }
        let dpa_base = next_dpa.saturating_add(pair(decoder::DPA_SKIP_LOW));
        if dpa_base.saturating_add(size_bytes) > self.capacity_bytes {
            return Err(DecoderRefusal::Capacity);
        }
        Ok(CommittedDecoder {
            window: DecoderWindow {
                base: Hpa(base),
                size_bytes,
                interleave: Interleave::NONE,
                position: 0,
                dpa_base: Dpa(dpa_base),
            },
            tee: false,
        })
    }

    fn control(&self, index: usize) -> DecoderControl {
        let offset = decoder_offset(index).saturating_add(decoder::CONTROL);
        let bits = self.space.get(offset, 4);
        DecoderControl::from_bits(u32::try_from(bits).unwrap_or(0))
    }

    fn set_committed(&mut self, index: usize, decoder: Option<CommittedDecoder>) {
        if let Some(committed) = self.committed.get_mut(index) {
            *committed = decoder;
        }
    }
}

/// Where a window ends in host and in device physical addresses.
fn ends(decoder: &CommittedDecoder) -> (u64, u64) {
    let window = &decoder.window;
    (
        window.base.0.saturating_add(window.size_bytes),
        window.dpa_base.0.saturating_add(window.dpa_bytes()),
    )
}

fn cache_mem(pointer: u16) -> u64 {
    CACHE_MEM.saturating_add(pointer.into())
}

fn global_control() -> u64 {
    cache_mem(HDM_POINTER).saturating_add(hdm::GLOBAL_CONTROL)
}

fn decoder_offset(index: usize) -> u64 {
    cache_mem(HDM_POINTER)
        .saturating_add(HDM_HEADER_BYTES)
        .saturating_add(to_u64(index).saturating_mul(DECODER_BYTES))
}

/// The registers of a decoder.
fn decoder_registers(index: usize) -> Range<u64> {
    let start = decoder_offset(index);
    start..start.saturating_add(DECODER_BYTES)
}

fn define_capability_array(space: &mut RegisterSpace) {
    let header = ArrayHeader::new()
        .with_id(capability::ARRAY)
        .with_version(1)
        .with_cache_mem_version(1)
        .with_entries(2);
    let ras = CapabilityHeader::new()
        .with_id(capability::RAS)
        .with_version(2)
        .with_pointer(RAS_POINTER);
    let decoders = CapabilityHeader::new()
        .with_id(capability::HDM_DECODER)
        .with_version(1)
        .with_pointer(HDM_POINTER);
    let dwords = [header.into_bits(), ras.into_bits(), decoders.into_bits()];
    for (offset, dword) in (CACHE_MEM..).step_by(4).zip(dwords) {
        space.define(offset, 4, dword.into(), WriteRules::default());
    }
}

fn set_firmware_decoder(space: &mut RegisterSpace, start: u64, decoder: &FirmwareDecoder) {
    let window = &decoder.committed.window;
    let control = DecoderControl::new()
        .with_granularity_code(window.interleave.granularity_code())
        .with_ways_code(window.interleave.ways_code())
        .with_lock_on_commit(true)
        .with_commit(true)
        .with_committed(true)
        .with_host_only(true);
    let values = [
        (decoder::BASE_LOW, 8, window.base.0),
        (decoder::SIZE_LOW, 8, window.size_bytes),
        (decoder::CONTROL, 4, control.into_bits().into()),
        (decoder::DPA_SKIP_LOW, 8, decoder.dpa_skip_bytes),
    ];
    for (offset, bytes, value) in values {
        space.set_reset(start.saturating_add(offset), bytes, value);
    }
}
