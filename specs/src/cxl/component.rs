// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Component registers: capabilities, errors and HDM decoders (CXL r3.1, 8.2.4).

use bitfield_struct::bitfield;

use crate::interleave::Interleave;
use crate::register::{Field, FieldAccess, Register, check_table};

use FieldAccess::{ReadOnly, ReadWrite, ReadWriteUnlocked, WriteOneToClear};

/// Bytes of the component register block.
pub const BLOCK_BYTES: u64 = 0x1_0000;

/// Where the capabilities of CXL.cache and CXL.mem start in the block.
pub const CACHE_MEM: u64 = 0x1000;

/// Identifiers of the capabilities behind [`CACHE_MEM`].
pub mod capability {
    /// The header of the array itself.
    pub const ARRAY: u16 = 1;
    /// Reliability: error status and masks.
    pub const RAS: u16 = 2;
    /// Host-managed device memory (HDM) decoders.
    pub const HDM_DECODER: u16 = 5;
}

/// First dword of the capability array.
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct ArrayHeader {
    /// Identifier, which is [`capability::ARRAY`].
    pub id: u16,
    /// Version of the header's layout.
    #[bits(4)]
    pub version: u8,
    /// Version of the CXL.cache and CXL.mem registers.
    #[bits(4)]
    pub cache_mem_version: u8,
    /// Capability headers that follow, a dword each.
    pub entries: u8,
}

/// A dword of the capability array.
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct CapabilityHeader {
    /// Which capability, as in [`capability`].
    pub id: u16,
    /// Version of the capability's layout.
    #[bits(4)]
    pub version: u8,
    /// Its offset from [`CACHE_MEM`].
    #[bits(12)]
    pub pointer: u16,
}

/// Bytes of the HDM decoder capability in front of the first decoder.
pub const HDM_HEADER_BYTES: u64 = 0x10;

/// Bytes from one decoder's registers to the next one's.
pub const DECODER_BYTES: u64 = 0x20;

/// Offsets from the start of the HDM decoder capability.
pub mod hdm {
    /// Capability, 32 bits: what the decoders can do.
    pub const CAPABILITY: u64 = 0x00;
    /// Global control, 32 bits: whether decoders decode at all.
    pub const GLOBAL_CONTROL: u64 = 0x04;
    /// Global control: the decoders decode.
    pub const DECODER_ENABLE: u32 = 1 << 1;
}

/// Offsets from the start of a decoder.
pub mod decoder {
    /// Low half of the base.
    pub const BASE_LOW: u64 = 0x00;
    /// High half of the base.
    pub const BASE_HIGH: u64 = 0x04;
    /// Low half of the size.
    pub const SIZE_LOW: u64 = 0x08;
    /// High half of the size.
    pub const SIZE_HIGH: u64 = 0x0c;
    /// Control, 32 bits: interleave, lock and commit.
    pub const CONTROL: u64 = 0x10;
    /// Low half of the skipped device memory.
    pub const DPA_SKIP_LOW: u64 = 0x14;
    /// High half of the skipped device memory.
    pub const DPA_SKIP_HIGH: u64 = 0x18;
}

/// Most decoders that a device may have.
pub const MAXIMUM_DEVICE_DECODERS: usize = 10;

/// What the HDM decoder capability offers.
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct HdmCapability {
    /// Code of the number of decoders; see [`decoder_count`].
    #[bits(4)]
    pub count_code: u8,
    /// Targets of a decoder; 0 in devices.
    #[bits(4)]
    pub targets: u8,
    /// Granularities of 256 B to 2 KiB.
    pub interleave_256_to_2k: bool,
    /// Granularities of 4 KiB to 16 KiB.
    pub interleave_4k_to_16k: bool,
    /// Reads that no decoder decodes return poison.
    pub poison_on_error: bool,
    /// 3, 6 and 12 ways.
    pub interleave_3_6_12: bool,
    /// Decoders can interleave 16 ways.
    pub interleave_16: bool,
    #[bits(19)]
    __: u32,
}

/// Control register of a decoder.
#[bitfield(u32)]
#[derive(PartialEq, Eq)]
pub struct DecoderControl {
    /// Code of the granularity.
    #[bits(4)]
    pub granularity_code: u8,
    /// Code of the ways.
    #[bits(4)]
    pub ways_code: u8,
    /// The registers are read-only once committed.
    pub lock_on_commit: bool,
    /// Software asks for the decoder.
    pub commit: bool,
    /// The decoder decodes, as the device says.
    pub committed: bool,
    /// The decoder refuses its settings.
    pub error_not_committed: bool,
    /// The memory is coherent to the host alone.
    pub host_only: bool,
    #[bits(19)]
    __: u32,
}

impl DecoderControl {
    /// The interleave; none for reserved codes.
    pub fn interleave(self) -> Option<Interleave> {
        Interleave::from_codes(self.ways_code(), self.granularity_code())
    }
}

/// The number of decoders behind a code; none for reserved codes (Linux:
/// `cxl_hdm_decoder_count`).
pub const fn decoder_count(code: u8) -> Option<u8> {
    match code {
        0 => Some(1),
        1..=8 => Some(code * 2),
        9..=12 => Some((code - 4) * 4),
        _ => None,
    }
}

/// The code of the smallest number of decoders that is not below `count`, and that number; none
/// above 32.
pub fn decoder_count_code(count: usize) -> Option<(u8, u8)> {
    (0..=12).find_map(|code| {
        let decoders = decoder_count(code)?;
        (usize::from(decoders) >= count).then_some((code, decoders))
    })
}

const SOURCE_RAS: &str = "CXL r3.1 8.2.4.17";
const SOURCE_HDM: &str = "CXL r3.1 8.2.4.20";

const fn field(name: &'static str, (high, low): (u8, u8), access: FieldAccess) -> Field {
    Field {
        name,
        low,
        high,
        access,
        meaning: "",
    }
}

const fn register(
    name: &'static str,
    (offset, reset): (u64, u64),
    source: &'static str,
    fields: &'static [Field],
) -> Register {
    Register {
        name,
        offset,
        width: 32,
        reset,
        source,
        fields,
    }
}

/// The RAS capability; offsets from its start. Its header log, behind the registers, stays zero.
pub static RAS_TABLE: &[Register] = &RAS_REGISTERS;

/// One HDM decoder; offsets from its start. Fields are unlocked until the decoder is committed
/// with [`DecoderControl::lock_on_commit`].
pub static DECODER_TABLE: &[Register] = &DECODER_REGISTERS;

/// The HDM decoder capability in front of the decoders.
pub static HDM_TABLE: &[Register] = &HDM_REGISTERS;

const _: () = check_table(&RAS_REGISTERS);
const _: () = check_table(&DECODER_REGISTERS);
const _: () = check_table(&HDM_REGISTERS);

const RAS_REGISTERS: [Register; 6] = [
    register(
        "Uncorrectable error status",
        (0x00, 0),
        SOURCE_RAS,
        &[
            field("link and protocol errors", (11, 0), WriteOneToClear),
            field("internal and IDE errors", (16, 14), WriteOneToClear),
        ],
    ),
    register(
        "Uncorrectable error mask",
        (0x04, 0x1_cfff),
        SOURCE_RAS,
        &[
            field("link and protocol errors", (11, 0), ReadWrite),
            field("internal and IDE errors", (16, 14), ReadWrite),
        ],
    ),
    register(
        "Uncorrectable error severity",
        (0x08, 0x1_cfff),
        SOURCE_RAS,
        &[
            field("link and protocol errors", (11, 0), ReadWrite),
            field("internal and IDE errors", (16, 14), ReadWrite),
        ],
    ),
    register(
        "Correctable error status",
        (0x0c, 0),
        SOURCE_RAS,
        &[field("errors", (6, 0), WriteOneToClear)],
    ),
    register(
        "Correctable error mask",
        (0x10, 0x7f),
        SOURCE_RAS,
        &[field("errors", (6, 0), ReadWrite)],
    ),
    register(
        "Error capabilities and control",
        (0x14, 0),
        SOURCE_RAS,
        &[field("first error", (5, 0), ReadOnly)],
    ),
];

const HDM_REGISTERS: [Register; 2] = [
    register(
        "HDM decoder capability",
        (hdm::CAPABILITY, 0),
        SOURCE_HDM,
        &[
            field("decoder count", (3, 0), ReadOnly),
            field("target count", (7, 4), ReadOnly),
            field("interleave and poison", (12, 8), ReadOnly),
        ],
    ),
    register(
        "HDM decoder global control",
        (hdm::GLOBAL_CONTROL, 0),
        SOURCE_HDM,
        &[
            field("poison on decode error", (0, 0), ReadOnly),
            field("HDM decoder enable", (1, 1), ReadWrite),
        ],
    ),
];

const DECODER_REGISTERS: [Register; 7] = [
    register(
        "HDM decoder base low",
        (decoder::BASE_LOW, 0),
        SOURCE_HDM,
        &[field("base 31:28", (31, 28), ReadWriteUnlocked)],
    ),
    register(
        "HDM decoder base high",
        (decoder::BASE_HIGH, 0),
        SOURCE_HDM,
        &[field("base 63:32", (31, 0), ReadWriteUnlocked)],
    ),
    register(
        "HDM decoder size low",
        (decoder::SIZE_LOW, 0),
        SOURCE_HDM,
        &[field("size 31:28", (31, 28), ReadWriteUnlocked)],
    ),
    register(
        "HDM decoder size high",
        (decoder::SIZE_HIGH, 0),
        SOURCE_HDM,
        &[field("size 63:32", (31, 0), ReadWriteUnlocked)],
    ),
    register(
        "HDM decoder control",
        (decoder::CONTROL, 0),
        SOURCE_HDM,
        &[
            field("interleave granularity", (3, 0), ReadWriteUnlocked),
            field("interleave ways", (7, 4), ReadWriteUnlocked),
            field("lock on commit", (8, 8), ReadWriteUnlocked),
            field("commit", (9, 9), ReadWriteUnlocked),
            field("committed", (10, 10), ReadOnly),
            field("error not committed", (11, 11), ReadOnly),
            field("host-only coherent", (12, 12), ReadWriteUnlocked),
        ],
    ),
    register(
        "HDM decoder DPA skip low",
        (decoder::DPA_SKIP_LOW, 0),
        SOURCE_HDM,
        &[field("skip 31:28", (31, 28), ReadWriteUnlocked)],
    ),
    register(
        "HDM decoder DPA skip high",
        (decoder::DPA_SKIP_HIGH, 0),
        SOURCE_HDM,
        &[field("skip 63:32", (31, 0), ReadWriteUnlocked)],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of the kernel's contract.
    #[test]
    fn headers_equal_a_hand_transcription() {
        let header = ArrayHeader::new()
            .with_id(capability::ARRAY)
            .with_version(1)
            .with_cache_mem_version(1)
            .with_entries(2);
        assert_eq!(header.into_bits(), 0x0211_0001);
        let pointer = CapabilityHeader::new()
            .with_id(capability::HDM_DECODER)
            .with_version(1)
            .with_pointer(0x100);
        assert_eq!(pointer.into_bits(), 0x1001_0005);
        let control = DecoderControl::from_bits(0x1700);
        assert!(control.lock_on_commit() && control.commit() && control.committed());
        assert!(control.host_only() && !control.error_not_committed());
        assert_eq!(control.interleave(), Some(Interleave::NONE));
        assert_eq!(DecoderControl::from_bits(0x75).interleave(), None);
    }

    #[test]
    fn decoder_counts_equal_a_hand_transcription() {
        let counts = [1, 2, 4, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32];
        for (code, count) in (0..).zip(counts) {
            assert_eq!(decoder_count(code), Some(count));
            assert_eq!(decoder_count_code(count.into()), Some((code, count)));
        }
        assert_eq!(decoder_count(13), None);
        assert_eq!(decoder_count_code(0), Some((0, 1)));
        assert_eq!(decoder_count_code(3), Some((2, 4)));
        assert_eq!(decoder_count_code(33), None);
    }

    #[test]
    fn masks_equal_a_hand_transcription() {
        let writable: Vec<_> = DECODER_TABLE
            .iter()
            .map(|register| (register.offset, register.mask(ReadWriteUnlocked)))
            .collect();
        let expected = [
            (0x00, 0xf000_0000),
            (0x04, 0xffff_ffff),
            (0x08, 0xf000_0000),
            (0x0c, 0xffff_ffff),
            (0x10, 0x13ff),
            (0x14, 0xf000_0000),
            (0x18, 0xffff_ffff),
        ];
        assert_eq!(writable, expected);
        let clearable: Vec<_> = RAS_TABLE
            .iter()
            .map(|register| register.mask(WriteOneToClear))
            .collect();
        assert_eq!(clearable, [0x1_cfff, 0, 0, 0x7f, 0, 0]);
    }
}
