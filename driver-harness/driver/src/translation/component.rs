// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! HDM decoders in component registers, of a device or of a host bridge (CXL r3.2 8.2.4.20).

use chmu_spec::cxl::component::{
    ArrayHeader, BLOCK_BYTES, CACHE_MEM, CapabilityHeader, DECODER_BYTES, DecoderControl,
    HDM_HEADER_BYTES, HdmCapability, capability, decoder, decoder_count, hdm,
};

use crate::transport::TransportError;

/// A decoder's registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decoder {
    pub(super) base: u64,
    pub(super) bytes: u64,
    pub(super) control: DecoderControl,
    /// Skipped device memory in a device, the list of targets in a host bridge.
    pub(super) skip_or_targets: u64,
}

/// Component registers without decoders, or none at all.
#[derive(Debug)]
pub(super) enum ComponentError {
    /// A register cannot be reached.
    Transport(TransportError),
    /// What is wrong with the registers.
    Wrong(String),
}

impl From<TransportError> for ComponentError {
    fn from(error: TransportError) -> Self {
        ComponentError::Transport(error)
    }
}

/// The committed decoders of component registers, whose dwords `read` gives. Decoders are committed
/// in order, so the first that is not ends the list.
pub(super) fn committed_decoders(
    read: impl Fn(u64) -> Result<u32, TransportError>,
) -> Result<Vec<Decoder>, ComponentError> {
    let registers = Registers(read);
    let start = registers.find_decoders()?;
    let first = registers.read(start + hdm::CAPABILITY)?;
    let code = HdmCapability::from_bits(first).count_code();
    let count = decoder_count(code)
        .ok_or_else(|| wrong(format!("name {code} as the code of their decoders")))?;
    let mut decoders = Vec::new();
    for index in 0..u64::from(count) {
        let at = start + HDM_HEADER_BYTES + index * DECODER_BYTES;
        let control = DecoderControl::from_bits(registers.read(at + decoder::CONTROL)?);
        if !control.committed() {
            break;
        }
        decoders.push(Decoder {
            base: registers.read_pair(at + decoder::BASE_LOW)?,
            bytes: registers.read_pair(at + decoder::SIZE_LOW)?,
            control,
            skip_or_targets: registers.read_pair(at + decoder::DPA_SKIP_LOW)?,
        });
    }
    Ok(decoders)
}

struct Registers<R>(R);

impl<R: Fn(u64) -> Result<u32, TransportError>> Registers<R> {
    /// Where the HDM decoder capability starts.
    fn find_decoders(&self) -> Result<u64, ComponentError> {
        let array = ArrayHeader::from_bits(self.read(CACHE_MEM)?);
        if array.id() != capability::ARRAY {
            return Err(wrong(format!(
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
        Err(wrong("have no HDM decoders".into()))
    }

    fn read(&self, offset: u64) -> Result<u32, ComponentError> {
        match offset {
            0..BLOCK_BYTES => Ok(self.0(offset)?),
            _ => Err(wrong(format!("point to {offset:#x}, beyond their end"))),
        }
    }

    /// A register whose high half follows its low half.
    fn read_pair(&self, low: u64) -> Result<u64, ComponentError> {
        let (low, high) = (self.read(low)?, self.read(low + 4)?);
        Ok(u64::from(high) << 32 | u64::from(low))
    }
}

fn wrong(reason: String) -> ComponentError {
    ComponentError::Wrong(reason)
}
