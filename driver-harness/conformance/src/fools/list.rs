// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The devices that are made to fool the suite.

use chmu_spec::chmu::offset;

use super::Fool;
use super::front::{Read, Spot};

const HEAD: u64 = 0xffff;
const TAIL: u64 = 0xffff << 16;
const HEAD_WORD: Spot = Spot::Register(offset::HOTLIST_HEAD);

/// The model as it is.
pub(super) const HONEST: Fool = Fool {
    name: "",
    pretends: "",
    requirements: &[],
    read: |read| read.word,
    write: |write| Some(write.value),
    requests: |_| true,
    interrupts: |came| came,
};

/// Makes something else of one register.
pub(super) fn on(read: &Read<'_>, register: u64, of: impl Fn(u64) -> u64) -> u64 {
    match read.spot == Spot::Register(register) {
        true => of(read.word),
        false => read.word,
    }
}

/// A word of the range bitmap whose bits 2 and 4 are in each other's place.
fn swapped(word: u64) -> u64 {
    let differ = (word >> 2 ^ word >> 4) & 1;
    word ^ (differ << 2 | differ << 4)
}

/// Makes something else of each entry, with the width of its count.
pub(super) fn entry(read: &Read<'_>, of: impl Fn(u64, u64) -> u64) -> u64 {
    let width = (read.register)(offset::STATUS) >> 32 & 0xff;
    match read.spot {
        Spot::Entry(_) => of(read.word, width.clamp(1, 56)),
        _ => read.word,
    }
}

/// What the word read as first.
fn first(read: &Read<'_>) -> u64 {
    read.memory
        .first
        .get(&read.spot)
        .copied()
        .unwrap_or(read.word)
}

/// What was written to the word last.
pub(super) fn written(read: &Read<'_>, otherwise: u64) -> u64 {
    read.memory
        .written
        .get(&read.spot)
        .copied()
        .unwrap_or(otherwise)
}

/// All of them.
pub(super) const FOOLS: &[Fool] = &[
    Fool {
        name: "silent",
        pretends: "nothing that happens to its memory reaches its counters",
        requirements: &["CHMU-EPOCH-001"],
        requests: |_| false,
        ..HONEST
    },
    Fool {
        name: "deaf-from-the-second-time",
        pretends: "only the first requests after a reset reach its counters",
        requirements: &["CHMU-EPOCH-001"],
        requests: |memory| memory.requests == 1,
        ..HONEST
    },
    Fool {
        name: "every-other-request",
        pretends: "it counts every other group of requests",
        requirements: &["CHMU-EPOCH-001", "CHMU-COUNTER-002", "CHMU-ALWAYSON-001"],
        requests: |memory| memory.requests % 2 == 1,
        ..HONEST
    },
    Fool {
        name: "right-only-while-watched",
        pretends: "requests count only when somebody looked at the list since the last ones",
        requirements: &["CHMU-EPOCH-008"],
        requests: |memory| memory.looks > 0,
        ..HONEST
    },
    Fool {
        name: "right-only-while-unwatched",
        pretends: "requests count only when nobody looked at the list since the last ones",
        requirements: &["CHMU-EPOCH-001"],
        requests: |memory| memory.looks == 0,
        ..HONEST
    },
    Fool {
        name: "always-empty-list",
        pretends: "the tail reads as the head",
        requirements: &["CHMU-EPOCH-001"],
        read: |read| {
            on(read, offset::HOTLIST_HEAD, |word| {
                word & !TAIL | (word & HEAD) << 16
            })
        },
        ..HONEST
    },
    Fool {
        name: "list-always-full",
        pretends: "the tail reads as the entry before the head",
        requirements: &["CHMU-HOTLIST-001"],
        read: |read| {
            on(read, offset::HOTLIST_HEAD, |word| {
                let size = (read.register)(offset::CAPABILITIES_0) >> 48;
                let before = ((word & HEAD) + size - 1) % size.max(1);
                word & !TAIL | before << 16
            })
        },
        ..HONEST
    },
    Fool {
        name: "one-entry-too-many",
        pretends: "the tail reads one entry further than it is",
        requirements: &["CHMU-HOTLIST-001"],
        read: |read| {
            on(read, offset::HOTLIST_HEAD, |word| {
                let size = (read.register)(offset::CAPABILITIES_0) >> 48;
                let tail = (((word & TAIL) >> 16) + 1) % size.max(1);
                word & !TAIL | tail << 16
            })
        },
        ..HONEST
    },
    Fool {
        name: "tail-of-ones",
        pretends: "the tail reads as ones",
        requirements: &["CHMU-HOTLIST-001"],
        read: |read| on(read, offset::HOTLIST_HEAD, |word| word | TAIL),
        ..HONEST
    },
    Fool {
        name: "frozen-tail",
        pretends: "the tail reads for ever as it did first",
        requirements: &["CHMU-EPOCH-001"],
        read: |read| {
            on(read, offset::HOTLIST_HEAD, |word| {
                word & !TAIL | first(read) & TAIL
            })
        },
        ..HONEST
    },
    Fool {
        name: "list-that-nobody-drains",
        pretends: "the head reads as it was written, and the list keeps its entries",
        requirements: &["CHMU-HOTLIST-005", "CHMU-REGISTER-012"],
        write: |write| (write.spot != HEAD_WORD).then_some(write.value),
        read: |read| {
            on(read, offset::HOTLIST_HEAD, |word| {
                word & !HEAD | written(read, word) & HEAD
            })
        },
        ..HONEST
    },
    Fool {
        name: "head-of-zero",
        pretends: "the head reads as zero",
        requirements: &["CHMU-REGISTER-012"],
        read: |read| on(read, offset::HOTLIST_HEAD, |word| word & !HEAD),
        ..HONEST
    },
    Fool {
        name: "entries-of-zero",
        pretends: "all entries read as zero",
        requirements: &[
            "CHMU-HOTLIST-011",
            "CHMU-EPOCH-001",
            "CHMU-COUNTER-005",
            "CHMU-COUNTER-002",
        ],
        read: |read| entry(read, |_, _| 0),
        ..HONEST
    },
    Fool {
        name: "entries-of-ones",
        pretends: "all entries read as ones",
        requirements: &["CHMU-EPOCH-001", "CHMU-COUNTER-005", "CHMU-COUNTER-002"],
        read: |read| entry(read, |_, _| u64::MAX),
        ..HONEST
    },
    Fool {
        name: "entries-of-noise",
        pretends: "entries are different at each look",
        requirements: &["CHMU-EPOCH-001", "CHMU-COUNTER-005", "CHMU-COUNTER-002"],
        read: |read| {
            entry(read, |word, _| {
                word ^ read.memory.reads.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            })
        },
        ..HONEST
    },
    Fool {
        name: "same-entry-for-ever",
        pretends: "each entry reads for ever as it did first",
        requirements: &[
            "CHMU-HOTLIST-011",
            "CHMU-EPOCH-001",
            "CHMU-COUNTER-005",
            "CHMU-COUNTER-002",
        ],
        read: |read| entry(read, |_, _| first(read)),
        ..HONEST
    },
    Fool {
        name: "right-only-for-the-first-entry",
        pretends: "all entries read as the first one",
        requirements: &["CHMU-HOTLIST-011", "CHMU-COUNTER-002", "CHMU-COUNTER-005"],
        read: |read| {
            entry(read, |word, _| {
                read.memory
                    .first
                    .get(&Spot::Entry(0))
                    .copied()
                    .unwrap_or(word)
            })
        },
        ..HONEST
    },
    Fool {
        name: "next-unit",
        pretends: "entries name the unit after the hot one",
        requirements: &["CHMU-EPOCH-001", "CHMU-COUNTER-005"],
        read: |read| entry(read, |word, width| word.wrapping_add(1 << width)),
        ..HONEST
    },
    Fool {
        name: "address-in-place-of-unit",
        pretends: "entries name the address and not the unit",
        requirements: &["CHMU-HOTLIST-011", "CHMU-EPOCH-001", "CHMU-COUNTER-005"],
        read: |read| {
            entry(read, |word, width| {
                let size = (read.register)(offset::CONFIGURATION_1) & 0x1f;
                (word >> width) << size << width | word & ((1 << width) - 1)
            })
        },
        ..HONEST
    },
    Fool {
        name: "unit-zero",
        pretends: "entries name the first unit",
        requirements: &["CHMU-HOTLIST-011", "CHMU-EPOCH-001", "CHMU-COUNTER-005"],
        read: |read| entry(read, |word, width| word & ((1 << width) - 1)),
        ..HONEST
    },
    Fool {
        name: "threshold-as-count",
        pretends: "each count is the threshold",
        requirements: &["CHMU-COUNTER-002"],
        read: |read| {
            entry(read, |word, width| {
                let count = (read.register)(offset::CONFIGURATION_0) >> 32;
                word >> width << width | count & ((1 << width) - 1)
            })
        },
        ..HONEST
    },
    Fool {
        name: "one-more",
        pretends: "each count is one too many",
        requirements: &["CHMU-COUNTER-002", "CHMU-EPOCH-001"],
        read: |read| entry(read, |word, _| word + 1),
        ..HONEST
    },
    Fool {
        name: "no-count",
        pretends: "each count is zero",
        requirements: &["CHMU-COUNTER-002", "CHMU-EPOCH-001"],
        read: |read| entry(read, |word, width| word >> width << width),
        ..HONEST
    },
    Fool {
        name: "highest-count",
        pretends: "each count is as high as it gets",
        requirements: &["CHMU-COUNTER-002", "CHMU-EPOCH-001"],
        read: |read| entry(read, |word, width| word | ((1 << width) - 1)),
        ..HONEST
    },
    Fool {
        name: "never-enabled",
        pretends: "it counts, and says that it does not",
        requirements: &["CHMU-OPERATION-001"],
        read: |read| on(read, offset::STATUS, |word| word & !1),
        ..HONEST
    },
    Fool {
        name: "enabled-for-ever",
        pretends: "once requests came it says that it counts, whether it does or not",
        requirements: &[
            "CHMU-OPERATION-002",
            "CHMU-OPERATION-011",
            "CHMU-OPERATION-003",
        ],
        read: |read| {
            on(read, offset::STATUS, |word| {
                word | u64::from(read.memory.requests > 0)
            })
        },
        ..HONEST
    },
    Fool {
        name: "enabled-as-asked",
        pretends: "it does nothing, and says that it does what was asked for",
        requirements: &["CHMU-EPOCH-001", "CHMU-CONFIGURATION-007"],
        write: |write| {
            (write.spot != Spot::Register(offset::CONFIGURATION_0)).then_some(write.value)
        },
        read: |read| match read.spot {
            Spot::Register(offset::CONFIGURATION_0) => written(read, read.word) & !(1 << 17),
            Spot::Register(offset::STATUS) => {
                let asked = read
                    .memory
                    .written
                    .get(&Spot::Register(offset::CONFIGURATION_0));
                read.word | asked.copied().unwrap_or(0) >> 16 & 1
            }
            _ => read.word,
        },
        ..HONEST
    },
    Fool {
        name: "disable-does-nothing",
        pretends: "it goes on counting when it is disabled, and says otherwise",
        requirements: &["CHMU-OPERATION-005"],
        write: |write| match write.spot {
            Spot::Register(offset::CONFIGURATION_0) if write.is_whole => {
                Some(write.value | 1 << 16)
            }
            _ => Some(write.value),
        },
        read: |read| {
            let configuration = read
                .memory
                .written
                .get(&Spot::Register(offset::CONFIGURATION_0));
            let enable = configuration.copied().unwrap_or(0) >> 16 & 1;
            match read.spot {
                Spot::Register(offset::CONFIGURATION_0) => read.word & !(1 << 16) | enable << 16,
                Spot::Register(offset::STATUS) => read.word & (!1 | enable),
                _ => read.word,
            }
        },
        ..HONEST
    },
    Fool {
        name: "reset-does-nothing",
        pretends: "it takes a reset and goes on as it was",
        requirements: &[
            "CHMU-OPERATION-007",
            "CHMU-OPERATION-008",
            "CHMU-OPERATION-009",
            "CHMU-OPERATION-010",
            "CHMU-OPERATION-011",
        ],
        write: |write| match write.spot {
            Spot::Register(offset::CONFIGURATION_0) if write.is_whole => {
                Some(write.value & !(1 << 17))
            }
            _ => Some(write.value),
        },
        ..HONEST
    },
    Fool {
        name: "never-at-rest",
        pretends: "it says for ever that an operation is in progress",
        requirements: &[
            "CHMU-OPERATION-001",
            "CHMU-OPERATION-002",
            "CHMU-OPERATION-007",
        ],
        read: |read| on(read, offset::STATUS, |word| word | 1 << 16),
        ..HONEST
    },
    Fool {
        name: "overflow-always",
        pretends: "it says that units were lost, whether they were or not",
        requirements: &[
            "CHMU-STATUS-003",
            "CHMU-STATUS-002",
            "CHMU-OPERATION-011",
            "CHMU-REGISTER-009",
        ],
        read: |read| on(read, offset::STATUS, |word| word | 1 << 40),
        ..HONEST
    },
    Fool {
        name: "overflow-never",
        pretends: "it never says that units were lost",
        requirements: &["CHMU-STATUS-001"],
        read: |read| on(read, offset::STATUS, |word| word & !(1 << 40)),
        ..HONEST
    },
    Fool {
        name: "fill-level-always",
        pretends: "it says that the list is filled, whether it is or not",
        requirements: &["CHMU-STATUS-007", "CHMU-STATUS-008"],
        read: |read| on(read, offset::STATUS, |word| word | 1 << 41),
        ..HONEST
    },
    Fool {
        name: "fill-level-never",
        pretends: "it never says that the list is filled",
        requirements: &["CHMU-STATUS-005"],
        read: |read| on(read, offset::STATUS, |word| word & !(1 << 41)),
        ..HONEST
    },
    Fool {
        name: "status-nobody-clears",
        pretends: "its status stays as it is when it is cleared",
        requirements: &["CHMU-STATUS-004", "CHMU-STATUS-003"],
        write: |write| (write.spot != Spot::Register(offset::STATUS)).then_some(write.value),
        ..HONEST
    },
    Fool {
        name: "registers-that-echo",
        pretends: "configuration reads as what was written, reserved bits included",
        requirements: &["CHMU-REGISTER-005"],
        read: |read| match read.spot {
            Spot::Register(offset::CONFIGURATION_1 | offset::CONFIGURATION_2) => {
                written(read, read.word)
            }
            _ => read.word,
        },
        ..HONEST
    },
    Fool {
        name: "registers-of-zero",
        pretends: "its configuration reads as zero",
        requirements: &["CHMU-REGISTER-004"],
        read: |read| on(read, offset::CONFIGURATION_1, |_| 0),
        ..HONEST
    },
    Fool {
        name: "registers-that-forget",
        pretends: "its configuration takes nothing, and reads as what was written",
        requirements: &["CHMU-OPERATION-001"],
        write: |write| {
            (write.spot != Spot::Register(offset::CONFIGURATION_1)).then_some(write.value)
        },
        read: |read| on(read, offset::CONFIGURATION_1, |word| written(read, word)),
        ..HONEST
    },
    Fool {
        name: "any-threshold",
        pretends: "each unit that is touched is hot",
        requirements: &["CHMU-THRESHOLD-003"],
        write: |write| match write.spot {
            Spot::Register(offset::CONFIGURATION_0) if write.is_whole => {
                let threshold = if write.value >> 32 == 0 { 0 } else { 1 << 32 };
                Some(write.value & 0xffff_ffff | threshold)
            }
            _ => Some(write.value),
        },
        read: |read| {
            on(read, offset::CONFIGURATION_0, |word| {
                word & 0xffff_ffff | written(read, word) & !0xffff_ffff
            })
        },
        ..HONEST
    },
    Fool {
        name: "any-request",
        pretends: "it counts reads and writes, whatever was asked for",
        requirements: &["CHMU-FILTER-002", "CHMU-FILTER-004"],
        write: |write| match write.spot {
            Spot::Register(offset::CONFIGURATION_0)
                if write.is_whole && (1..=6).contains(&(write.value & 0xff)) =>
            {
                Some(write.value & !0xff | 6)
            }
            _ => Some(write.value),
        },
        read: |read| {
            on(read, offset::CONFIGURATION_0, |word| {
                word & !0xff | written(read, word) & 0xff
            })
        },
        ..HONEST
    },
    Fool {
        name: "no-sampling",
        pretends: "it counts each request, whatever factor was asked for",
        requirements: &[
            "CHMU-SAMPLING-001",
            "CHMU-SAMPLING-002",
            "CHMU-CONFIGURATION-023",
        ],
        write: |write| match write.spot {
            Spot::Register(offset::CONFIGURATION_1) if write.is_whole => {
                Some(write.value & !(0xf << 32))
            }
            _ => Some(write.value),
        },
        read: |read| {
            on(read, offset::CONFIGURATION_1, |word| {
                word & !(0xf << 32) | written(read, word) & 0xf << 32
            })
        },
        ..HONEST
    },
    Fool {
        name: "ranges-that-echo",
        pretends: "its range bitmap reads as what was written, and all memory is tracked",
        requirements: &["CHMU-RANGE-001", "CHMU-RANGE-002"],
        write: |write| match write.spot {
            Spot::Ranges => Some(u64::MAX),
            _ => Some(write.value),
        },
        read: |read| match read.spot {
            Spot::Ranges => written(read, 0) & 0xff,
            _ => read.word,
        },
        ..HONEST
    },
    Fool {
        name: "ranges-swapped",
        pretends: "the bits of the third and the fifth range stand for one another",
        requirements: &["CHMU-RANGE-003"],
        write: |write| match write.spot {
            Spot::Ranges => Some(swapped(write.value)),
            _ => Some(write.value),
        },
        read: |read| match read.spot {
            Spot::Ranges => swapped(read.word),
            _ => read.word,
        },
        ..HONEST
    },
    Fool {
        name: "ranges-of-zero",
        pretends: "its range bitmap reads as zero",
        requirements: &["CHMU-REGISTER-014", "CHMU-RANGE-006", "CHMU-REGISTER-015"],
        read: |read| match read.spot {
            Spot::Ranges => 0,
            _ => read.word,
        },
        ..HONEST
    },
    Fool {
        name: "no-interrupt",
        pretends: "no interrupt comes",
        requirements: &["CHMU-INTERRUPT-001", "CHMU-INTERRUPT-002"],
        interrupts: |_| None,
        ..HONEST
    },
    Fool {
        name: "interrupt-at-each-look",
        pretends: "an interrupt is there whenever somebody waits for one",
        requirements: &["CHMU-INTERRUPT-003"],
        interrupts: |came| Some(came.unwrap_or(1)),
        ..HONEST
    },
    Fool {
        name: "restless-capabilities",
        pretends: "its capabilities change from look to look",
        requirements: &["CHMU-CAPABILITY-017", "CHMU-REGISTER-010"],
        read: |read| {
            on(read, offset::CAPABILITIES_1, |word| {
                word ^ (read.memory.reads / 50 % 2) << 52
            })
        },
        ..HONEST
    },
    Fool {
        name: "restless-status",
        pretends: "reserved bits of its status count the looks at it",
        requirements: &["CHMU-REGISTER-007", "CHMU-REGISTER-010"],
        read: |read| {
            on(read, offset::STATUS, |word| {
                word | (read.memory.reads & 0xff) << 44
            })
        },
        ..HONEST
    },
    Fool {
        name: "no-width",
        pretends: "the counter width reads as zero",
        requirements: &["CHMU-COUNTER-001"],
        read: |read| on(read, offset::STATUS, |word| word & !(0xff << 32)),
        ..HONEST
    },
    Fool {
        name: "too-wide",
        pretends: "the counter width reads as 60 bits",
        requirements: &["CHMU-COUNTER-001"],
        read: |read| on(read, offset::STATUS, |word| word & !(0xff << 32) | 60 << 32),
        ..HONEST
    },
];
