// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The one table of the CHMU's registers: access rules and `REGISTERS.md` come from it.

use crate::register::{Field, FieldAccess, Register, check_table};

use super::offset;

use FieldAccess::{ReadOnly, ReadWrite, ReadWriteUnlocked, WriteOneToClear, WriteOneToStart};

const fn field(
    name: &'static str,
    (high, low): (u8, u8),
    access: FieldAccess,
    meaning: &'static str,
) -> Field {
    Field {
        name,
        low,
        high,
        access,
        meaning,
    }
}

const fn bit(name: &'static str, bit: u8, access: FieldAccess, meaning: &'static str) -> Field {
    field(name, (bit, bit), access, meaning)
}

/// The block header; offsets from the start of the block.
pub static BLOCK_TABLE: &[Register] = &BLOCK_REGISTERS;

/// The registers of an instance; offsets from the start of the instance.
pub static INSTANCE_TABLE: &[Register] = &INSTANCE_REGISTERS;

const _: () = check_table(&BLOCK_REGISTERS);
const _: () = check_table(&INSTANCE_REGISTERS);

const SOURCE: &str = "CXL r3.2 8.2.8, through public drivers";

const BLOCK_REGISTERS: [Register; 2] = [
    Register {
        name: "Block header",
        offset: offset::BLOCK_HEADER,
        width: 64,
        reset: 0,
        source: SOURCE,
        fields: &[
            field("version", (3, 0), ReadOnly, "1"),
            field("instances", (15, 8), ReadOnly, "Number of instances"),
        ],
    },
    Register {
        name: "Instance length",
        offset: offset::INSTANCE_LENGTH,
        width: 64,
        reset: 0,
        source: SOURCE,
        fields: &[field(
            "length",
            (15, 0),
            ReadOnly,
            "Bytes from one instance to the next; instance i starts at 0x10 + i x length",
        )],
    },
];

const INSTANCE_REGISTERS: [Register; 10] = [
    CAPABILITIES_0,
    CAPABILITIES_1,
    Register {
        name: "Range bitmap offset",
        offset: offset::RANGE_BITMAP_OFFSET,
        width: 64,
        reset: 0,
        source: SOURCE,
        fields: &[field(
            "offset",
            (63, 0),
            ReadOnly,
            "Of the range bitmap, in bytes from the start of the instance; it ends at the hotlist",
        )],
    },
    Register {
        name: "Hotlist offset",
        offset: offset::HOTLIST_OFFSET,
        width: 64,
        reset: 0,
        source: SOURCE,
        fields: &[field(
            "offset",
            (63, 0),
            ReadOnly,
            "Of the hotlist, in bytes from the start of the instance",
        )],
    },
    CONFIGURATION_0,
    CONFIGURATION_1,
    Register {
        name: "Configuration 2",
        offset: offset::CONFIGURATION_2,
        width: 64,
        reset: 0,
        source: SOURCE,
        fields: &[field(
            "fill-level threshold",
            (15, 0),
            ReadWriteUnlocked,
            "Entries above which the fill-level status is set",
        )],
    },
    STATUS,
    Register {
        name: "Hotlist head",
        offset: offset::HOTLIST_HEAD,
        width: 16,
        reset: 0,
        source: SOURCE,
        fields: &[field(
            "head",
            (15, 0),
            ReadWrite,
            "Index of the oldest entry; the host moves it, out of range or past the tail is ignored",
        )],
    },
    Register {
        name: "Hotlist tail",
        offset: offset::HOTLIST_TAIL,
        width: 16,
        reset: 0,
        source: SOURCE,
        fields: &[field(
            "tail",
            (15, 0),
            ReadOnly,
            "Index after the newest entry; the device moves it",
        )],
    },
];

const CAPABILITIES_0: Register = Register {
    name: "Capabilities 0",
    offset: offset::CAPABILITIES_0,
    width: 64,
    reset: 0,
    source: SOURCE,
    fields: &[
        field("message number", (3, 0), ReadOnly, "MSI or MSI-X message"),
        bit("overflow interrupt", 4, ReadOnly, "Supported"),
        bit("fill-level interrupt", 5, ReadOnly, "Supported"),
        field("epoch type", (7, 6), ReadOnly, "0 global, 1 per counter"),
        field(
            "trackable requests",
            (15, 8),
            ReadOnly,
            "Bit n stands for request code n + 1",
        ),
        field(
            "maximum epoch scale",
            (19, 16),
            ReadOnly,
            "1 = 100 us, 2 = 1 ms, 3 = 10 ms, 4 = 100 ms, 5 = 1 s",
        ),
        field("maximum epoch multiplier", (31, 20), ReadOnly, "1 to 4095"),
        field("minimum epoch scale", (35, 32), ReadOnly, "As above"),
        field("minimum epoch multiplier", (47, 36), ReadOnly, "1 to 4095"),
        field("hotlist size", (63, 48), ReadOnly, "In entries"),
    ],
};

const CAPABILITIES_1: Register = Register {
    name: "Capabilities 1",
    offset: offset::CAPABILITIES_1,
    width: 64,
    reset: 0,
    source: SOURCE,
    fields: &[
        field(
            "unit sizes",
            (31, 0),
            ReadOnly,
            "Bit n stands for 2^n x 256 B; bits 24 and up are zero",
        ),
        field(
            "down-sampling factors",
            (47, 32),
            ReadOnly,
            "Bit n stands for 2^n",
        ),
        bit("epoch mode", 48, ReadOnly, "Supported"),
        bit("always-on mode", 49, ReadOnly, "Supported"),
        bit("randomised down-sampling", 50, ReadOnly, "Supported"),
        bit(
            "overlapping ranges",
            51,
            ReadOnly,
            "Two enabled instances may track the same range",
        ),
        bit(
            "postponed insertion",
            52,
            ReadOnly,
            "Hot units without room are appended once there is room",
        ),
    ],
};

const CONFIGURATION_0: Register = Register {
    name: "Configuration 0",
    offset: offset::CONFIGURATION_0,
    width: 64,
    reset: 0,
    source: SOURCE,
    fields: &[
        field(
            "request code",
            (7, 0),
            ReadWriteUnlocked,
            "1 non-TEE R, 2 non-TEE W, 3 non-TEE RW, 4 all R, 5 all W, 6 all RW",
        ),
        bit("randomise down-sampling", 8, ReadWriteUnlocked, ""),
        bit("interrupt on overflow", 9, ReadWriteUnlocked, ""),
        bit("interrupt on fill level", 10, ReadWriteUnlocked, ""),
        bit(
            "enable",
            16,
            ReadWrite,
            "Reads as 0 again when the configuration is refused",
        ),
        bit(
            "reset",
            17,
            WriteOneToStart,
            "Disables, zeroes counters, empties the list, clears the status; keeps the configuration",
        ),
        field(
            "hotness threshold",
            (63, 32),
            ReadWriteUnlocked,
            "A unit is hot when its count reaches it",
        ),
    ],
};

const CONFIGURATION_1: Register = Register {
    name: "Configuration 1",
    offset: offset::CONFIGURATION_1,
    width: 64,
    reset: 0,
    source: SOURCE,
    fields: &[
        field(
            "unit size",
            (31, 0),
            ReadWriteUnlocked,
            "log2 of bytes: 8 = 256 B to 31 = 2 GiB",
        ),
        field(
            "down-sampling factor",
            (35, 32),
            ReadWriteUnlocked,
            "log2 of the factor",
        ),
        field("mode", (47, 40), ReadWriteUnlocked, "0 epoch, 1 always-on"),
        field(
            "epoch scale",
            (51, 48),
            ReadWriteUnlocked,
            "As in the capabilities",
        ),
        field("epoch multiplier", (63, 52), ReadWriteUnlocked, "1 to 4095"),
    ],
};

const STATUS: Register = Register {
    name: "Status",
    offset: offset::STATUS,
    width: 64,
    reset: 0,
    source: SOURCE,
    fields: &[
        bit("enabled", 0, ReadOnly, "The instance counts"),
        field(
            "operation in progress",
            (31, 16),
            ReadOnly,
            "0 none, 1 enable, 2 disable, 3 reset",
        ),
        field(
            "counter width",
            (39, 32),
            ReadOnly,
            "Bits of a counter; valid once the unit size is written",
        ),
        bit("overflow", 40, WriteOneToClear, "A hot unit was lost"),
        bit(
            "fill level",
            41,
            WriteOneToClear,
            "The list held more entries than the fill-level threshold",
        ),
    ],
};

#[cfg(test)]
mod tests;
