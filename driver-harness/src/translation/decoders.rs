// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Windows from a function's own HDM decoders, where no CXL driver of the kernel is bound
//! (CXL r3.2 8.2.4.20).

use chmu_spec::address::{Dpa, Hpa};
use chmu_spec::cxl::component::{
    ArrayHeader, BLOCK_BYTES, CACHE_MEM, CapabilityHeader, DECODER_BYTES, DecoderControl,
    HDM_HEADER_BYTES, HdmCapability, capability, decoder, decoder_count, hdm,
};
use chmu_spec::interleave::DecoderWindow;

use super::{Translation, TranslationError};
use crate::transport::{BarOffset, Transport, Width};

/// Reads the committed decoders of the component registers at `place`. `position` is asked for the
/// function's position in each interleaved window, which the decoder does not hold.
pub fn read(
    transport: &dyn Transport,
    place: BarOffset,
    position: impl Fn(&DecoderWindow) -> Result<u8, TranslationError>,
) -> Result<Translation, TranslationError> {
    let registers = Registers { transport, place };
    let start = registers.find_decoders()?;
    let first = registers.read(start + hdm::CAPABILITY)?;
    let code = HdmCapability::from_bits(first).count_code();
    let count = decoder_count(code)
        .ok_or_else(|| registers.wrong(format!("name {code} as the code of their decoders")))?;
    let mut windows = Vec::new();
    let mut next_dpa = 0_u64;
    for index in 0..count {
        let at = start + HDM_HEADER_BYTES + u64::from(index) * DECODER_BYTES;
        let wrong = |reason: &str| TranslationError::Decoder {
            decoder: format!("HDM decoder {index} of {}", transport.device()),
            reason: reason.into(),
        };
        let control = DecoderControl::from_bits(registers.read(at + decoder::CONTROL)?);
        // Decoders are committed in order.
        if !control.committed() {
            break;
        }
        let interleave = control
            .interleave()
            .ok_or_else(|| wrong("has reserved codes as its interleave"))?;
        let skip = registers.read_pair(at + decoder::DPA_SKIP_LOW)?;
        let dpa_base = next_dpa.checked_add(skip);
        let mut window = DecoderWindow {
            base: Hpa(registers.read_pair(at + decoder::BASE_LOW)?),
            size_bytes: registers.read_pair(at + decoder::SIZE_LOW)?,
            interleave,
            position: 0,
            dpa_base: Dpa(dpa_base.ok_or_else(|| wrong("skips beyond 64 bits"))?),
        };
        next_dpa = window
            .dpa_base
            .0
            .checked_add(window.dpa_bytes())
            .ok_or_else(|| wrong("ends beyond 64 bits of device memory"))?;
        if interleave.ways() > 1 && window.size_bytes > 0 {
            window.position = position(&window)?;
        }
        windows.push(window);
    }
    if windows.is_empty() {
        return Err(TranslationError::NotCommitted {
            device: transport.device().to_owned(),
        });
    }
    Translation::new(windows)
}

/// A function's component registers.
struct Registers<'a> {
    transport: &'a dyn Transport,
    place: BarOffset,
}

impl Registers<'_> {
    /// Where the HDM decoder capability starts, from the start of the component registers.
    fn find_decoders(&self) -> Result<u64, TranslationError> {
        let array = ArrayHeader::from_bits(self.read(CACHE_MEM)?);
        if array.id() != capability::ARRAY {
            return Err(self.wrong(format!(
                "have {:#x} where the array of capabilities starts",
                array.into_bits()
            )));
        }
        for index in 1..=u64::from(array.entries()) {
            let header = CapabilityHeader::from_bits(self.read(CACHE_MEM + index * 4)?);
            if header.id() == capability::HDM_DECODER {
                return Ok(CACHE_MEM + u64::from(header.pointer()));
            }
        }
        Err(self.wrong("have no HDM decoders".into()))
    }

    fn read(&self, offset: u64) -> Result<u32, TranslationError> {
        if offset > BLOCK_BYTES - 4 {
            return Err(self.wrong(format!("point to {offset:#x}, beyond their end")));
        }
        let value = self.transport.read(self.place.plus(offset), Width::Four)?;
        Ok(u32::try_from(value).unwrap_or(u32::MAX))
    }

    /// A register whose high half follows its low half.
    fn read_pair(&self, low: u64) -> Result<u64, TranslationError> {
        let (low, high) = (self.read(low)?, self.read(low + 4)?);
        Ok(u64::from(high) << 32 | u64::from(low))
    }

    fn wrong(&self, reason: String) -> TranslationError {
        TranslationError::Component {
            device: self.transport.device().to_owned(),
            place: self.place,
            reason,
        }
    }
}
