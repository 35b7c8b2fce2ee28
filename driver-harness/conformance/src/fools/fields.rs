// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Devices that do what some values of a field ask for, and something else for the others: what is tried with the
//! first value only does not see them.

use chmu_spec::chmu::offset;

use super::Fool;
use super::front::{Read, Spot, Write};
use super::list::{HONEST, entry, on, written};

/// A field of a configuration register.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) register: u64,
    pub(super) shift: u32,
    pub(super) bits: u32,
}

const THRESHOLD: Field = Field {
    register: offset::CONFIGURATION_0,
    shift: 32,
    bits: 32,
};
const FACTOR: Field = Field {
    register: offset::CONFIGURATION_1,
    shift: 32,
    bits: 4,
};
const SCALE: Field = Field {
    register: offset::CONFIGURATION_1,
    shift: 48,
    bits: 4,
};
const FILL_LEVEL: Field = Field {
    register: offset::CONFIGURATION_2,
    shift: 0,
    bits: 16,
};

impl Field {
    const fn mask(self) -> u64 {
        ((1 << self.bits) - 1) << self.shift
    }

    /// What is done: that of another value.
    pub(super) fn does(self, write: &Write, of: impl Fn(u64) -> u64) -> Option<u64> {
        let is_it = write.spot == Spot::Register(self.register) && write.is_whole;
        let asked = (write.value & self.mask()) >> self.shift;
        Some(match is_it {
            true => write.value & !self.mask() | of(asked) << self.shift & self.mask(),
            false => write.value,
        })
    }

    /// What is said: what was asked for, unless that was not taken at all.
    pub(super) fn says(self, read: &Read<'_>, of: impl Fn(u64) -> u64) -> u64 {
        let value = |word: u64| (word & self.mask()) >> self.shift;
        on(read, self.register, |word| {
            let asked = value(written(read, word));
            match of(asked) & self.mask() >> self.shift == value(word) {
                true => word & !self.mask() | asked << self.shift,
                false => word,
            }
        })
    }
}

/// Another value in place of one.
fn taken_for(value: u64, other: u64) -> impl Fn(u64) -> u64 {
    move |asked| if asked == value { other } else { asked }
}

/// Another threshold in place of one that the counters hold; others are still refused.
fn fitting(asked: u64, of: impl Fn(u64) -> u64) -> u64 {
    match asked {
        ..=0xffff => of(asked).min(0xffff),
        _ => asked,
    }
}

/// Thresholds above 256 in steps of that.
fn in_steps(asked: u64) -> u64 {
    fitting(asked, |asked| match asked {
        257.. => asked.next_multiple_of(256),
        _ => asked,
    })
}

/// Counts of one more in all places of the list from one on.
fn one_more_from(read: &Read<'_>, first: u64) -> u64 {
    match read.spot {
        Spot::Entry(index) if index >= first => entry(read, |word, _| word + 1),
        _ => read.word,
    }
}

/// All of them.
pub(super) const FOOLS: &[Fool] = &[
    Fool {
        name: "threshold-of-8-bits",
        pretends: "it looks at the lowest 8 bits of the threshold",
        requirements: &["CHMU-THRESHOLD-003"],
        write: |write| THRESHOLD.does(write, |asked| fitting(asked, |asked| asked & 0xff)),
        read: |read| THRESHOLD.says(read, |asked| fitting(asked, |asked| asked & 0xff)),
        ..HONEST
    },
    Fool {
        name: "threshold-of-12-bits",
        pretends: "it looks at the lowest 12 bits of the threshold",
        requirements: &["CHMU-THRESHOLD-003"],
        write: |write| THRESHOLD.does(write, |asked| fitting(asked, |asked| asked & 0xfff)),
        read: |read| THRESHOLD.says(read, |asked| fitting(asked, |asked| asked & 0xfff)),
        ..HONEST
    },
    Fool {
        name: "threshold-of-1000-at-most",
        pretends: "it takes higher thresholds for 1000",
        requirements: &["CHMU-THRESHOLD-003"],
        write: |write| THRESHOLD.does(write, |asked| fitting(asked, |asked| asked.min(1000))),
        read: |read| THRESHOLD.says(read, |asked| fitting(asked, |asked| asked.min(1000))),
        ..HONEST
    },
    Fool {
        name: "threshold-without-bit-10",
        pretends: "it does not look at one bit of the threshold",
        requirements: &["CHMU-THRESHOLD-003"],
        write: |write| THRESHOLD.does(write, |asked| fitting(asked, |asked| asked & !(1 << 10))),
        read: |read| THRESHOLD.says(read, |asked| fitting(asked, |asked| asked & !(1 << 10))),
        ..HONEST
    },
    Fool {
        name: "threshold-in-steps-of-256",
        pretends: "it takes thresholds above 256 for the next multiple of that",
        requirements: &["CHMU-THRESHOLD-002"],
        write: |write| THRESHOLD.does(write, in_steps),
        read: |read| THRESHOLD.says(read, in_steps),
        ..HONEST
    },
    Fool {
        name: "factor-2-as-1",
        pretends: "it counts each request where one of 2 was asked for",
        requirements: &["CHMU-SAMPLING-001"],
        write: |write| FACTOR.does(write, taken_for(1, 0)),
        read: |read| FACTOR.says(read, taken_for(1, 0)),
        ..HONEST
    },
    Fool {
        name: "factor-4-as-2",
        pretends: "it counts one of 2 requests where one of 4 was asked for",
        requirements: &["CHMU-SAMPLING-001"],
        write: |write| FACTOR.does(write, taken_for(2, 1)),
        read: |read| FACTOR.says(read, taken_for(2, 1)),
        ..HONEST
    },
    Fool {
        name: "factor-8-as-16",
        pretends: "it counts one of 16 requests where one of 8 was asked for",
        requirements: &["CHMU-SAMPLING-001"],
        write: |write| FACTOR.does(write, taken_for(3, 4)),
        read: |read| FACTOR.says(read, taken_for(3, 4)),
        ..HONEST
    },
    Fool {
        name: "factor-512-as-256",
        pretends: "it counts one of 256 requests where one of 512 was asked for",
        requirements: &["CHMU-SAMPLING-001"],
        write: |write| FACTOR.does(write, taken_for(9, 8)),
        read: |read| FACTOR.says(read, taken_for(9, 8)),
        ..HONEST
    },
    Fool {
        name: "factor-32768-as-16384",
        pretends: "it counts one of 16384 requests where one of 32768 was asked for",
        requirements: &["CHMU-SAMPLING-001"],
        write: |write| FACTOR.does(write, taken_for(15, 14)),
        read: |read| FACTOR.says(read, taken_for(15, 14)),
        ..HONEST
    },
    Fool {
        name: "seconds-as-tenths",
        pretends: "its epochs in seconds are in steps of 100 ms",
        requirements: &["CHMU-EPOCH-005"],
        write: |write| SCALE.does(write, taken_for(5, 4)),
        read: |read| SCALE.says(read, taken_for(5, 4)),
        ..HONEST
    },
    Fool {
        name: "tenths-as-hundredths",
        pretends: "its epochs in steps of 100 ms are in steps of 10 ms",
        requirements: &["CHMU-EPOCH-005"],
        // Those that are out of bounds are still refused.
        write: |write| match write.value >> 52 {
            ..500 => SCALE.does(write, taken_for(4, 3)),
            _ => Some(write.value),
        },
        read: |read| SCALE.says(read, taken_for(4, 3)),
        ..HONEST
    },
    Fool {
        name: "hundredths-as-thousandths",
        pretends: "its epochs in steps of 10 ms are in steps of 1 ms",
        requirements: &["CHMU-EPOCH-005"],
        write: |write| SCALE.does(write, taken_for(3, 2)),
        read: |read| SCALE.says(read, taken_for(3, 2)),
        ..HONEST
    },
    Fool {
        name: "fill-level-of-4-bits",
        pretends: "it looks at the lowest 4 bits of the fill-level threshold",
        requirements: &["CHMU-STATUS-007"],
        write: |write| FILL_LEVEL.does(write, |asked| asked & 0xf),
        read: |read| FILL_LEVEL.says(read, |asked| asked & 0xf),
        ..HONEST
    },
    Fool {
        name: "fill-level-of-8-bits",
        pretends: "it looks at the lowest 8 bits of the fill-level threshold",
        requirements: &["CHMU-STATUS-007"],
        write: |write| FILL_LEVEL.does(write, |asked| asked & 0xff),
        read: |read| FILL_LEVEL.says(read, |asked| asked & 0xff),
        ..HONEST
    },
    Fool {
        name: "fill-level-of-40-at-most",
        pretends: "it takes higher fill-level thresholds for 40",
        requirements: &["CHMU-STATUS-007"],
        write: |write| FILL_LEVEL.does(write, |asked| asked.min(40)),
        read: |read| FILL_LEVEL.says(read, |asked| asked.min(40)),
        ..HONEST
    },
    Fool {
        name: "counts-right-for-20-places",
        pretends: "counts are one too many from the 20th place of the list on",
        requirements: &["CHMU-COUNTER-002"],
        read: |read| one_more_from(read, 20),
        ..HONEST
    },
    Fool {
        name: "counts-right-but-for-the-last",
        pretends: "the count in the last place of the list is one too many",
        requirements: &["CHMU-COUNTER-002"],
        read: |read| one_more_from(read, 63),
        ..HONEST
    },
];
