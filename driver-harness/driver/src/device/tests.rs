// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Blocks and units that are not laid out like ours, or that lie.

use std::ops::Range;

use chmu_spec::address::{Dpa, UnitIndex};
use chmu_spec::chmu::{
    BlockHeader, Capabilities0, Capabilities1, Configuration0, Configuration1, InstanceLength,
    Status,
};
use chmu_spec::hotlist::Entry;
use chmu_spec::unit_size::UnitSize;
use proptest::prelude::*;

use super::config_space::tests::{Bytes, header};
use super::*;
use crate::transport::Width;
use crate::transport::fake::{FakeFunction, word};

mod functions;

const BLOCK: usize = 0x1_0000;
const BAR_BYTES: usize = 0x2_0000;
const ENTRIES: u16 = 8;
const WIDTH: u8 = 16;

/// Where a foreign device puts the parts of its only instance, from the start of the instance.
#[derive(Debug, Clone, Copy)]
struct Parts {
    instance_length: u16,
    range_bitmap: u64,
    hotlist: u64,
}

/// The hotlist far behind the instance, on no page boundary.
const FOREIGN: Parts = Parts {
    instance_length: 0x100,
    range_bitmap: 0xc0,
    hotlist: 0x4238,
};

const INSTANCE: usize = BLOCK + 0x10;

fn locator(entries: &[u32]) -> Vec<u8> {
    let mut space = Bytes::empty();
    let bytes = 0x0c + 4 * u32::try_from(entries.len()).unwrap();
    space.put(0x100, &[header(0x23, 0), bytes << 20 | 0x1e98, 8]);
    space.put(0x10c, entries);
    space.0
}

/// Acts on writes as a device does whose operations end at once.
fn react(bar: &mut [u8], offset: u64) {
    let configuration = INSTANCE + 0x40;
    let status = INSTANCE + 0x60;
    let put = |bar: &mut [u8], at: usize, value: u64| {
        bar[at..at + 8].copy_from_slice(&value.to_le_bytes());
    };
    if offset == configuration as u64 {
        let written = Configuration0::from_bits(word(bar, configuration));
        put(bar, configuration, written.with_reset(false).into_bits());
        let enabled = Status::new()
            .with_enabled(written.enable())
            .with_counter_width(WIDTH);
        put(bar, status, enabled.into_bits());
    }
    if offset == status as u64 {
        let configured = Configuration0::from_bits(word(bar, configuration));
        let cleared = Status::new()
            .with_enabled(configured.enable())
            .with_counter_width(WIDTH);
        put(bar, status, cleared.into_bits());
    }
}

fn function(parts: Parts) -> FakeFunction {
    let mut function = FakeFunction::new(BAR_BYTES).reacting(react);
    function.config = locator(&[0x0001_0504, 0]);
    let block = BlockHeader::new().with_version(1).with_instances(1);
    function.put(4, BLOCK, block.into_bits());
    let length = InstanceLength::new().with_bytes(parts.instance_length);
    function.put(4, BLOCK + 8, length.into_bits());
    let first = Capabilities0::new()
        .with_trackable_requests(0x3f)
        .with_minimum_epoch_scale(1)
        .with_minimum_epoch_multiplier(1)
        .with_maximum_epoch_scale(5)
        .with_maximum_epoch_multiplier(1)
        .with_hotlist_entries(ENTRIES);
    let second = Capabilities1::new()
        .with_unit_sizes(1 << 4)
        .with_down_sampling_factors(1)
        .with_epoch_mode(true);
    function.put(4, INSTANCE, first.into_bits());
    function.put(4, INSTANCE + 0x08, second.into_bits());
    function.put(4, INSTANCE + 0x10, parts.range_bitmap);
    function.put(4, INSTANCE + 0x18, parts.hotlist);
    let status = Status::new().with_counter_width(WIDTH);
    function.put(4, INSTANCE + 0x60, status.into_bits());
    function
}

fn first_unit(function: &Arc<FakeFunction>) -> Result<Unit, DeviceError> {
    let id = InstanceId {
        block: 0,
        instance: 0,
    };
    open_instance(Arc::clone(function) as SharedTransport, id)
}

fn tracking(ranges: Vec<Range<Dpa>>) -> Surroundings {
    Surroundings {
        ranges,
        page_unit: UnitSize::BASE_PAGE,
        interrupts: true,
    }
}

/// A unit that counts, over a device whose parts lie elsewhere than ours do.
fn counting_unit(function: &Arc<FakeFunction>) -> Unit {
    let mut unit = first_unit(function).unwrap();
    let ranges = vec![Dpa(0)..Dpa(1 << 30)];
    let settings =
        Settings::choose(unit.capabilities(), &Wishes::default(), tracking(ranges)).unwrap();
    unit.program(settings).unwrap();
    unit.enable().unwrap();
    unit
}

fn put_entry(function: &FakeFunction, index: u16, entry: Entry) {
    let hotlist = INSTANCE + usize::try_from(FOREIGN.hotlist).unwrap();
    function.put(4, hotlist + usize::from(index) * 8, entry.encode(WIDTH));
}

fn put_tail(function: &FakeFunction, tail: u16) {
    let place = BarOffset {
        bar: 4,
        offset: (INSTANCE + 0x6a) as u64,
    };
    function.write(place, Width::Two, tail.into()).unwrap();
}

#[test]
fn parts_may_lie_anywhere_in_the_bar() {
    let function = Arc::new(function(FOREIGN));
    let mut unit = counting_unit(&function);
    assert!(unit.is_hotlist_mapped());
    assert_eq!(unit.name(), "cxl_hmu_0000:35:00.0.0.0");
    assert_eq!(function.word(4, INSTANCE + 0xc0), 0xf);
    let configured = Configuration1::from_bits(function.word(4, INSTANCE + 0x48));
    assert_eq!(configured.unit_size(), Some(UnitSize::BASE_PAGE));

    let entry = Entry {
        unit: UnitIndex(0x1234),
        count: 77,
    };
    put_entry(&function, 0, entry);
    put_tail(&function, 1);
    let mut entries = Vec::new();
    assert_eq!(unit.drain(&mut entries).unwrap().entries, 1);
    assert_eq!(entries, [entry]);
    assert_eq!(function.word(4, INSTANCE + 0x68) & 0xffff, 1);
    assert_eq!(unit.statistics().entries, 1);
    drop(unit);
    let configured = Configuration0::from_bits(function.word(4, INSTANCE + 0x40));
    assert!(!configured.enable(), "a dropped unit goes on counting");
}

#[test]
fn entries_that_cannot_be_mapped_are_read_one_by_one() {
    let function = Arc::new(function(FOREIGN).without_maps());
    let mut unit = counting_unit(&function);
    assert!(!unit.is_hotlist_mapped());
    let entry = Entry {
        unit: UnitIndex(5),
        count: 40,
    };
    put_entry(&function, 0, entry);
    put_tail(&function, 1);
    let mut entries = Vec::new();
    unit.drain(&mut entries).unwrap();
    assert_eq!(entries, [entry]);
}

/// A change of a function that is right otherwise.
type Change<'a> = &'a dyn Fn(&FakeFunction);

#[test]
fn contradictions_of_a_block_are_sentences() {
    let message = |change: Change<'_>| {
        let function = Arc::new(function(FOREIGN));
        change(&function);
        first_unit(&function).unwrap_err().to_string()
    };
    let cases: [(Change<'_>, &str); 9] = [
        (&|f| f.put(4, BLOCK, u64::MAX), "reads as all ones"),
        (&|f| f.put(4, BLOCK, 0x100), "has version 0"),
        (&|f| f.put(4, BLOCK, 1), "has no instance 0"),
        (&|f| f.put(4, BLOCK + 8, 0x6f), "their registers take 0x70"),
        (
            &|f| f.put(4, BLOCK + 8, 0xfff8),
            "do not fit the 0x20000 bytes",
        ),
        (&|f| f.put(4, INSTANCE, 1 << 48), "a hotlist of 1 entries"),
        (
            &|f| f.put(4, INSTANCE + 0x18, 0x40),
            "has its hotlist at 0x40, over its registers",
        ),
        (
            &|f| f.put(4, INSTANCE + 0x18, u64::MAX - 7),
            "a hotlist of 0x40 bytes at 0xfffffffffffffff8, which leaves",
        ),
        (
            &|f| f.put(4, INSTANCE + 0x10, 0xc1),
            "has its range bitmap at 0xc1, no multiple of 8",
        ),
    ];
    for (change, expected) in cases {
        let message = message(change);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_block_outside_its_bar_is_a_sentence() {
    for (low, expected) in [
        (0x0002_0504, "lies outside the 0x20000 bytes of its BAR"),
        (0x0001_0503, "0000:35:00.0 has no memory BAR3"),
    ] {
        let mut function = function(FOREIGN);
        function.config = locator(&[low, 0]);
        let message = first_unit(&Arc::new(function)).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn indices_out_of_range_are_never_followed() {
    let function = Arc::new(function(FOREIGN));
    let mut unit = counting_unit(&function);
    put_tail(&function, ENTRIES);
    let error = unit.drain(&mut Vec::new()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "The hotlist's tail is 8, but the list has 8 entries"
    );
}

#[test]
fn a_device_that_is_gone_or_stopped_is_noticed() {
    let function = Arc::new(function(FOREIGN));
    let mut unit = counting_unit(&function);
    function.put(4, INSTANCE + 0x60, u64::from(WIDTH) << 32);
    let error = unit.drain(&mut Vec::new()).unwrap_err();
    assert!(matches!(error, UnitError::Stopped), "{error}");
    function.put(4, INSTANCE + 0x60, u64::MAX);
    let error = unit.drain(&mut Vec::new()).unwrap_err();
    assert!(matches!(error, UnitError::Gone), "{error}");
    function.put(4, INSTANCE + 0x60, 0);
    let error = unit.drain(&mut Vec::new()).unwrap_err();
    assert!(
        matches!(error, UnitError::Stopped),
        "it has capabilities: {error}"
    );
    for at in (INSTANCE..INSTANCE + 0x80).step_by(8) {
        function.put(4, at, 0);
    }
    let error = unit.drain(&mut Vec::new()).unwrap_err();
    assert!(matches!(error, UnitError::Gone), "{error}");
    assert!(
        matches!(unit.disable(), Err(UnitError::Gone)),
        "nothing was stopped"
    );
}

#[test]
fn an_operation_that_does_not_end_is_waited_for_in_vain() {
    let function = Arc::new(FakeFunction::new(BAR_BYTES));
    let whole = self::function(FOREIGN);
    for at in (0..BAR_BYTES).step_by(8) {
        function.put(4, at, whole.word(4, at));
    }
    let mut function = Arc::into_inner(function).unwrap();
    function.config = whole.config.clone();
    let busy = Status::new()
        .with_operation_code(3)
        .with_counter_width(WIDTH);
    function.put(4, INSTANCE + 0x60, busy.into_bits());
    let mut unit = first_unit(&Arc::new(function)).unwrap();
    let start = unit.transport().now();
    let message = unit.reset().unwrap_err().to_string();
    assert!(
        message.starts_with("The unit did not end its reset within 100ms; its status"),
        "{message}"
    );
    let waited = unit.transport().now() - start;
    assert_eq!(waited.as_millis(), 100);
}

#[test]
fn a_threshold_must_fit_the_counters() {
    let function = Arc::new(function(FOREIGN));
    let mut unit = first_unit(&function).unwrap();
    let wishes = Wishes {
        threshold: Some(0x1_0000),
        ..Wishes::default()
    };
    let settings = Settings::choose(unit.capabilities(), &wishes, tracking(vec![])).unwrap();
    let message = unit.program(settings).unwrap_err().to_string();
    assert!(
        message.contains("65536 does not fit counters of 16 bits"),
        "{message}"
    );
    let error = unit.enable().unwrap_err();
    assert!(matches!(error, UnitError::NotProgrammed));
}

#[test]
fn a_range_bitmap_never_runs_into_the_hotlist() {
    let parts = Parts {
        hotlist: 0xc8,
        ..FOREIGN
    };
    let function = Arc::new(function(parts));
    let mut unit = first_unit(&function).unwrap();
    let program = |unit: &mut Unit, gibibytes: u64| {
        let ranges = vec![Dpa(0)..Dpa(gibibytes << 30)];
        let wishes = Wishes::default();
        let settings = Settings::choose(unit.capabilities(), &wishes, tracking(ranges)).unwrap();
        unit.program(settings)
    };
    program(&mut unit, 16).unwrap();
    assert_eq!(function.word(4, INSTANCE + 0xc0), u64::MAX);
    let message = program(&mut unit, 17).unwrap_err().to_string();
    assert!(
        message.ends_with("the hotlist follows at 0xc8"),
        "{message}"
    );
}

#[test]
fn range_bits_cover_what_is_asked_for() {
    let function = Arc::new(function(FOREIGN));
    let mut unit = first_unit(&function).unwrap();
    let quarter = 256 << 20;
    let ranges = vec![
        Dpa(quarter)..Dpa(2 * quarter + 1),
        Dpa(5 * quarter)..Dpa(5 * quarter),
        Dpa(65 * quarter)..Dpa(66 * quarter),
    ];
    let settings =
        Settings::choose(unit.capabilities(), &Wishes::default(), tracking(ranges)).unwrap();
    unit.program(settings).unwrap();
    assert_eq!(function.word(4, INSTANCE + 0xc0), 0b110);
    assert_eq!(function.word(4, INSTANCE + 0xc8), 0b10);
}

#[derive(Debug, Clone)]
enum Step {
    /// The device appends units with these numbers.
    Append(Vec<u32>),
    Drain,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        proptest::collection::vec(any::<u32>(), 0..5).prop_map(Step::Append),
        Just(Step::Drain),
    ];
    proptest::collection::vec(step, 0..40)
}

proptest! {
    /// The driver against a plain queue: every entry once, in order, none invented.
    #[test]
    fn what_is_appended_is_drained(steps in steps()) {
        let function = Arc::new(function(FOREIGN));
        let mut unit = counting_unit(&function);
        let mut queue = std::collections::VecDeque::new();
        let mut tail = 0;
        let mut drained = Vec::new();
        let mut appended = Vec::new();
        for step in steps {
            match step {
                Step::Append(units) => {
                    for number in units {
                        if queue.len() + 1 == usize::from(ENTRIES) {
                            continue;
                        }
                        let entry = Entry { unit: UnitIndex(number.into()), count: 9 };
                        put_entry(&function, tail, entry);
                        tail = (tail + 1) % ENTRIES;
                        put_tail(&function, tail);
                        queue.push_back(entry);
                        appended.push(entry);
                    }
                }
                Step::Drain => {
                    let count = unit.drain(&mut drained).unwrap().entries;
                    prop_assert_eq!(usize::from(count), queue.len());
                    queue.clear();
                    prop_assert_eq!(function.word(4, INSTANCE + 0x68) & 0xffff, u64::from(tail));
                }
            }
        }
        unit.drain(&mut drained).unwrap();
        prop_assert_eq!(drained, appended);
    }

    /// Whatever the registers hold, opening and driving a unit ends in an outcome.
    #[test]
    fn any_registers_are_driven_or_refused(
        words in proptest::collection::vec(any::<u64>(), 16),
        offsets in (0_u64..0x3_0000, 0_u64..0x3_0000),
    ) {
        let function = function(FOREIGN);
        for (index, word) in words.iter().enumerate() {
            function.put(4, INSTANCE + index * 8, *word);
        }
        function.put(4, INSTANCE + 0x10, offsets.0);
        function.put(4, INSTANCE + 0x18, offsets.1);
        if let Ok(mut unit) = first_unit(&Arc::new(function)) {
            let ranges = vec![Dpa(0)..Dpa(1 << 30)];
            let settings = Settings::choose(unit.capabilities(), &Wishes::default(), tracking(ranges));
            if let Ok(settings) = settings {
                let _ = unit.program(settings).and_then(|()| unit.enable());
                let _ = unit.drain(&mut Vec::new());
            }
        }
    }
}
