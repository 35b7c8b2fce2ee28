// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Devices that are wrong in one state only, or beyond what is tried first: while the list has entries, while overflow
//! is set, with large counts and long epochs.

use chmu_spec::chmu::{Status, offset};
use chmu_spec::epoch::EpochScale;

use super::Fool;
use super::fields::Field;
use super::front::{Read, Spot};
use super::list::{HONEST, entry, on};

/// Scale and multiplier of an epoch.
const EPOCH: Field = Field {
    register: offset::CONFIGURATION_1,
    shift: 48,
    bits: 16,
};
/// The multiplier alone.
const MULTIPLIER: Field = Field {
    register: offset::CONFIGURATION_1,
    shift: 52,
    bits: 12,
};
const STATUS: Spot = Spot::Register(offset::STATUS);
const OVERFLOW: u64 = Status::new().with_overflow(true).into_bits();
const BOTH: u64 = Status::new()
    .with_overflow(true)
    .with_fill_level(true)
    .into_bits();
/// The scale of 100 ms, twenty times.
const TWO_SECONDS: u64 = 4 | 20 << 4;
const TWO_SECONDS_NS: u64 = 2_000_000_000;
const STRANGE_STATUS: u64 = 1 << 50;

fn status(read: &Read<'_>) -> Status {
    Status::from((read.register)(offset::STATUS))
}

fn has_entries(read: &Read<'_>) -> bool {
    let pointers = (read.register)(offset::HOTLIST_HEAD);
    pointers & 0xffff != pointers >> 16 & 0xffff
}

/// Without the lowest bit, unless nothing is left then.
fn even(asked: u64) -> u64 {
    match asked {
        ..2 => asked,
        _ => asked & !1,
    }
}

/// No epoch is longer than two seconds.
fn two_seconds_at_most(asked: u64) -> u64 {
    let mut scales = EpochScale::ALL.into_iter();
    let scale = scales.find(|scale| u64::from(scale.code()) == asked & 0xf);
    let nanoseconds = scale.map_or(0, EpochScale::nanoseconds) * (asked >> 4);
    match nanoseconds > TWO_SECONDS_NS {
        true => TWO_SECONDS,
        false => asked,
    }
}

/// All of them.
pub(super) const FOOLS: &[Fool] = &[
    Fool {
        name: "strange-status-of-a-list-with-entries",
        pretends: "it sets a reserved bit of the status while its list has entries",
        requirements: &["CHMU-REGISTER-007"],
        read: |read| {
            on(read, offset::STATUS, |word| match has_entries(read) {
                true => word | STRANGE_STATUS,
                false => word,
            })
        },
        ..HONEST
    },
    Fool {
        name: "capabilities-gone-at-overflow",
        pretends: "it has no capabilities while overflow is set",
        requirements: &["CHMU-CAPABILITY-017"],
        read: |read| {
            on(read, offset::CAPABILITIES_1, |word| {
                match status(read).overflow() {
                    true => 0,
                    false => word,
                }
            })
        },
        ..HONEST
    },
    Fool {
        name: "epochs-of-two-seconds-at-most",
        pretends: "it takes longer epochs for two seconds",
        requirements: &["CHMU-EPOCH-005"],
        write: |write| EPOCH.does(write, two_seconds_at_most),
        read: |read| EPOCH.says(read, two_seconds_at_most),
        ..HONEST
    },
    Fool {
        name: "count-without-bit-8",
        pretends: "it loses one bit of each count",
        requirements: &["CHMU-COUNTER-002"],
        read: |read| entry(read, |word, _| word & !(1 << 8)),
        ..HONEST
    },
    Fool {
        name: "narrower-while-enabled",
        pretends: "it tells a counter width of one bit less while it is enabled",
        requirements: &["CHMU-COUNTER-007"],
        read: |read| {
            on(read, offset::STATUS, |word| {
                match Status::from(word).enabled() {
                    true => word - (1 << 32),
                    false => word,
                }
            })
        },
        ..HONEST
    },
    Fool {
        name: "clears-by-exact-writes",
        pretends: "it clears a status bit only where nothing else is written with it",
        requirements: &["CHMU-STATUS-003"],
        write: |write| match write.spot {
            STATUS if !write.value.is_power_of_two() => Some(0),
            _ => Some(write.value),
        },
        ..HONEST
    },
    Fool {
        name: "clears-one-bit-at-a-time",
        pretends: "it clears overflow alone where both status bits are to be cleared",
        requirements: &["CHMU-STATUS-008"],
        write: |write| match write.spot {
            STATUS if write.value == BOTH => Some(OVERFLOW),
            _ => Some(write.value),
        },
        ..HONEST
    },
    Fool {
        name: "disabled-at-overflow",
        pretends: "it reads as disabled while overflow is set",
        requirements: &["CHMU-OPERATION-001"],
        read: |read| {
            on(read, offset::STATUS, |word| {
                match Status::from(word).overflow() {
                    true => word & !1,
                    false => word,
                }
            })
        },
        ..HONEST
    },
    Fool {
        name: "narrower-at-overflow",
        pretends: "it tells a counter width of one bit less while overflow is set",
        requirements: &["CHMU-COUNTER-007"],
        read: |read| {
            on(read, offset::STATUS, |word| {
                match Status::from(word).overflow() {
                    true => word - (1 << 32),
                    false => word,
                }
            })
        },
        ..HONEST
    },
    Fool {
        name: "even-multipliers",
        pretends: "it does not look at the lowest bit of the epoch's multiplier",
        requirements: &["CHMU-EPOCH-005", "CHMU-EPOCH-006"],
        write: |write| MULTIPLIER.does(write, even),
        read: |read| MULTIPLIER.says(read, even),
        ..HONEST
    },
    Fool {
        name: "strange-configuration-while-enabled",
        pretends: "it sets a reserved bit of a configuration register while it is enabled",
        requirements: &["CHMU-REGISTER-005"],
        read: |read| {
            on(read, offset::CONFIGURATION_0, |word| {
                match status(read).enabled() {
                    true => word | 1 << 20,
                    false => word,
                }
            })
        },
        ..HONEST
    },
];
