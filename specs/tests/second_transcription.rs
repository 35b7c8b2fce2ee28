// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A second transcription of the CHMU's registers: written from the register map and from what the public perf driver
//! reads and writes, as bit numbers that a person can hold against them, and with nothing of this crate but the tables
//! and views under test. Device and harness share the first one, and would be wrong together.

use chmu_spec::chmu::{self, BLOCK_TABLE, INSTANCE_TABLE};
use chmu_spec::hotlist::Entry;
use chmu_spec::register::Register;

/// Offset of a register, bits of a field (highest, lowest), and what is there.
type Line = (u64, (u8, u8), &'static str);

/// The header of a block.
const HEADER: &[Line] = &[
    (0x00, (3, 0), "version"),
    (0x00, (15, 8), "instances"),
    (0x08, (15, 0), "bytes from one instance to the next"),
];

/// An instance.
const INSTANCE: &[Line] = &[
    (0x00, (3, 0), "message number"),
    (0x00, (4, 4), "overflow interrupt"),
    (0x00, (5, 5), "fill-level interrupt"),
    (0x00, (7, 6), "epoch type"),
    (0x00, (15, 8), "trackable requests"),
    (0x00, (19, 16), "maximum epoch: scale"),
    (0x00, (31, 20), "maximum epoch: multiplier"),
    (0x00, (35, 32), "minimum epoch: scale"),
    (0x00, (47, 36), "minimum epoch: multiplier"),
    (0x00, (63, 48), "hotlist entries"),
    (0x08, (31, 0), "unit sizes"),
    (0x08, (47, 32), "down-sampling factors"),
    (0x08, (48, 48), "epoch mode"),
    (0x08, (49, 49), "always-on mode"),
    (0x08, (50, 50), "randomised down-sampling"),
    (0x08, (51, 51), "overlapping ranges"),
    (0x08, (52, 52), "postponed insertion"),
    (0x10, (63, 0), "where the range bitmap is"),
    (0x18, (63, 0), "where the hotlist is"),
    (0x40, (7, 0), "request code"),
    (0x40, (8, 8), "randomise"),
    (0x40, (9, 9), "interrupt on overflow"),
    (0x40, (10, 10), "interrupt on fill level"),
    (0x40, (16, 16), "enable"),
    (0x40, (17, 17), "reset"),
    (0x40, (63, 32), "threshold"),
    (0x48, (31, 0), "log2 of the unit size"),
    (0x48, (35, 32), "log2 of the down-sampling factor"),
    (0x48, (47, 40), "mode"),
    (0x48, (51, 48), "epoch: scale"),
    (0x48, (63, 52), "epoch: multiplier"),
    (0x50, (15, 0), "fill-level threshold"),
    (0x60, (0, 0), "enabled"),
    (0x60, (31, 16), "operation in progress"),
    (0x60, (39, 32), "counter width"),
    (0x60, (40, 40), "overflow"),
    (0x60, (41, 41), "fill level"),
    (0x68, (15, 0), "head"),
    (0x6a, (15, 0), "tail"),
];

/// Offsets and bits of all fields of a table.
fn fields(table: &[Register]) -> Vec<(u64, (u8, u8))> {
    let of = |register: &Register| {
        let offset = register.offset;
        let all = register.fields.iter();
        all.map(|field| (offset, (field.high, field.low)))
            .collect::<Vec<_>>()
    };
    table.iter().flat_map(of).collect()
}

#[test]
fn the_tables_name_these_fields_and_no_others() {
    for (table, transcribed) in [(BLOCK_TABLE, HEADER), (INSTANCE_TABLE, INSTANCE)] {
        let transcribed: Vec<_> = transcribed
            .iter()
            .map(|(at, bits, _)| (*at, *bits))
            .collect();
        assert_eq!(fields(table), transcribed);
    }
}

/// The bits of a line, from a number that a driver would read.
fn bits(word: u64, lines: &[Line], offset: u64, name: &str) -> u64 {
    let found = lines
        .iter()
        .find(|(at, _, what)| *at == offset && *what == name);
    let (_, (high, low), _) = found.unwrap_or_else(|| panic!("{offset:#x} has no {name}"));
    word << (63 - high) >> (63 - high + low)
}

/// Words in which neighbouring fields differ.
const WORDS: [u64; 5] = [
    0,
    u64::MAX,
    0x0123_4567_89ab_cdef,
    0xfedc_ba98_7654_3210,
    0xa5a5_5a5a_c3c3_3c3c,
];

#[test]
fn views_read_the_same_numbers_of_headers_and_capabilities() {
    for word in WORDS {
        let header = |offset, name| bits(word, HEADER, offset, name);
        let view = chmu::BlockHeader::from(word);
        assert_eq!(u64::from(view.version()), header(0x00, "version"));
        assert_eq!(u64::from(view.instances()), header(0x00, "instances"));
        let length = chmu::InstanceLength::from(word).bytes();
        let name = "bytes from one instance to the next";
        assert_eq!(u64::from(length), header(0x08, name));

        let first = |name| bits(word, INSTANCE, 0x00, name);
        let view = chmu::Capabilities0::from(word);
        assert_eq!(u64::from(view.message_number()), first("message number"));
        assert_eq!(
            u64::from(view.overflow_interrupt()),
            first("overflow interrupt")
        );
        assert_eq!(
            u64::from(view.fill_level_interrupt()),
            first("fill-level interrupt")
        );
        assert_eq!(
            u64::from(view.trackable_requests()),
            first("trackable requests")
        );
        assert_eq!(
            u64::from(view.maximum_epoch_scale()),
            first("maximum epoch: scale")
        );
        let multiplier = u64::from(view.maximum_epoch_multiplier());
        assert_eq!(multiplier, first("maximum epoch: multiplier"));
        assert_eq!(
            u64::from(view.minimum_epoch_scale()),
            first("minimum epoch: scale")
        );
        let multiplier = u64::from(view.minimum_epoch_multiplier());
        assert_eq!(multiplier, first("minimum epoch: multiplier"));
        assert_eq!(u64::from(view.hotlist_entries()), first("hotlist entries"));

        let second = |name| bits(word, INSTANCE, 0x08, name);
        let view = chmu::Capabilities1::from(word);
        assert_eq!(u64::from(view.unit_sizes()), second("unit sizes"));
        assert_eq!(
            u64::from(view.down_sampling_factors()),
            second("down-sampling factors")
        );
        assert_eq!(u64::from(view.epoch_mode()), second("epoch mode"));
        assert_eq!(u64::from(view.always_on_mode()), second("always-on mode"));
        assert_eq!(
            u64::from(view.randomised_down_sampling()),
            second("randomised down-sampling")
        );
        assert_eq!(
            u64::from(view.overlapping_ranges()),
            second("overlapping ranges")
        );
        assert_eq!(
            u64::from(view.postponed_insertion()),
            second("postponed insertion")
        );
    }
}

#[test]
fn views_read_the_same_numbers_of_configuration_and_status() {
    for word in WORDS {
        let first = |name| bits(word, INSTANCE, 0x40, name);
        let view = chmu::Configuration0::from(word);
        assert_eq!(u64::from(view.request_code()), first("request code"));
        assert_eq!(
            u64::from(view.randomise_down_sampling()),
            first("randomise")
        );
        assert_eq!(
            u64::from(view.overflow_interrupt()),
            first("interrupt on overflow")
        );
        assert_eq!(
            u64::from(view.fill_level_interrupt()),
            first("interrupt on fill level")
        );
        assert_eq!(u64::from(view.enable()), first("enable"));
        assert_eq!(u64::from(view.reset()), first("reset"));
        assert_eq!(u64::from(view.hotness_threshold()), first("threshold"));

        let second = |name| bits(word, INSTANCE, 0x48, name);
        let view = chmu::Configuration1::from(word);
        assert_eq!(
            u64::from(view.unit_size_log2()),
            second("log2 of the unit size")
        );
        let factor = u64::from(view.down_sampling_log2());
        assert_eq!(factor, second("log2 of the down-sampling factor"));
        assert_eq!(u64::from(view.mode_code()), second("mode"));
        assert_eq!(u64::from(view.epoch_scale()), second("epoch: scale"));
        assert_eq!(
            u64::from(view.epoch_multiplier()),
            second("epoch: multiplier")
        );

        let third = chmu::Configuration2::from(word).fill_level_threshold();
        assert_eq!(
            u64::from(third),
            bits(word, INSTANCE, 0x50, "fill-level threshold")
        );

        let status = |name| bits(word, INSTANCE, 0x60, name);
        let view = chmu::Status::from(word);
        assert_eq!(u64::from(view.enabled()), status("enabled"));
        assert_eq!(
            u64::from(view.operation_code()),
            status("operation in progress")
        );
        assert_eq!(u64::from(view.counter_width()), status("counter width"));
        assert_eq!(u64::from(view.overflow()), status("overflow"));
        assert_eq!(u64::from(view.fill_level()), status("fill level"));
    }
}

/// Numbers that stand in fields, as drivers write and read them.
#[test]
fn codes_are_those_of_drivers() {
    let requests = [
        (1, "non-tee-read"),
        (2, "non-tee-write"),
        (3, "non-tee-read-write"),
        (4, "all-read"),
        (5, "all-write"),
        (6, "all-read-write"),
    ];
    for (code, name) in requests {
        let filter = chmu_spec::request::RequestFilter::from_code(code).unwrap();
        assert_eq!(filter.name(), name);
    }
    let scales = [
        (1, 100_000),
        (2, 1_000_000),
        (3, 10_000_000),
        (4, 100_000_000),
        (5, 1_000_000_000),
    ];
    for (code, nanoseconds) in scales {
        let scale = chmu_spec::epoch::EpochScale::from_code(code).unwrap();
        assert_eq!(scale.nanoseconds(), nanoseconds);
    }
    for (code, operation) in [
        (1, chmu::Operation::Enable),
        (2, chmu::Operation::Disable),
        (3, chmu::Operation::Reset),
    ] {
        assert_eq!(chmu::Operation::from_code(code), Some(operation));
    }
    for (code, mode) in [(0, chmu::Mode::Epoch), (1, chmu::Mode::AlwaysOn)] {
        assert_eq!(chmu::Mode::from_code(code), Some(mode));
    }
    for (code, kind) in [
        (0, chmu::EpochType::Global),
        (1, chmu::EpochType::PerCounter),
    ] {
        assert_eq!(chmu::EpochType::from_code(code), Some(kind));
    }
    // An instance starts behind the 16 bytes of the header, and an entry has the count below the unit.
    assert_eq!(chmu::instance_offset(3, 0x2000), 0x6010);
    assert_eq!(chmu::block_bytes(2, 0x2000), 0x4010);
    assert_eq!(chmu::RANGE_BYTES, 0x1000_0000);
    let entry = Entry::decode(0x0000_0000_0123_4567, 12);
    assert_eq!((entry.unit.0, entry.count), (0x1234, 0x567));
}
