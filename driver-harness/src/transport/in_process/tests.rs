// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The driver and the source over the device model.

use chmu_cxl::{DEFAULT_HDM_DECODERS, DecoderConfig, Interrupts, Performance};
use chmu_model::Capabilities;
use chmu_spec::address::{Dpa, Hpa};
use chmu_spec::chmu::Mode;
use chmu_spec::cxl::dvsec::block_id;
use chmu_spec::request::AccessKind;
use chmu_spec::unit_size::UnitSize;
use proptest::prelude::*;

use super::*;
use crate::device::listing::{ListedDevice, Table, list_blocks};
use crate::device::{
    InstanceId, Settings, SharedTransport, Surroundings, Unit, UnitError, Wishes, identify,
    open_instance,
};
use crate::source::{ChmuSource, HotnessSource, ProgrammedUnits};
use crate::translation::{HpaRange, Translation, decoders};

const GIB: u64 = 1 << 30;
const BASE: u64 = 1 << 32;
const FIRST: InstanceId = InstanceId {
    block: 0,
    instance: 0,
};

fn config() -> FunctionConfig {
    FunctionConfig {
        serial_number: 0xc4a0_0001,
        capacity_bytes: GIB,
        performance: Performance::default(),
        hdm_decoders: DEFAULT_HDM_DECODERS,
        decoders: vec![DecoderConfig {
            base: Hpa(BASE),
            size_bytes: GIB,
            ways: 1,
            granularity_bytes: 256,
            position: 0,
            dpa_skip_bytes: 0,
            tee: false,
        }],
        blocks: vec![vec![Capabilities {
            message_number: 1,
            ..Capabilities::default()
        }]],
        interrupts: Interrupts::MsiX(4),
        quirk: None,
    }
}

fn device(config: &FunctionConfig) -> Rc<InProcessDevice> {
    Rc::new(InProcessDevice::new(config).unwrap())
}

fn unit(device: &Rc<InProcessDevice>) -> Unit {
    open_instance(Rc::clone(device) as SharedTransport, FIRST).unwrap()
}

fn tracking() -> Surroundings {
    Surroundings {
        ranges: vec![Dpa(0)..Dpa(GIB)],
        page_unit: UnitSize::BASE_PAGE,
        interrupts: true,
    }
}

fn translation(device: &InProcessDevice) -> Translation {
    let identity = identify(device).unwrap();
    let component = identity.places(block_id::COMPONENT)[0];
    decoders::read(device, component, |_| Ok(0)).unwrap()
}

/// Reads of the pages with these numbers, each so often.
fn touch(device: &InProcessDevice, page: u64, times: usize) {
    let access = HostAccess {
        hpa: Hpa(BASE + page * 4096),
        kind: AccessKind::Read,
    };
    device.access(&vec![access; times]);
}

fn wishes(threshold: u32) -> Wishes {
    Wishes {
        threshold: Some(threshold),
        ..Wishes::default()
    }
}

fn source(device: &Rc<InProcessDevice>, wishes: &Wishes) -> ChmuSource {
    let members = vec![(unit(device), translation(device))];
    ProgrammedUnits::program(members, wishes)
        .and_then(ProgrammedUnits::start)
        .unwrap()
}

#[test]
fn hot_pages_come_out_as_pages_of_the_host() {
    let device = device(&config());
    let mut source = source(&device, &wishes(10));
    assert_eq!(source.name(), "cxl_hmu_in-process.0.0");
    touch(&device, 5, 9);
    touch(&device, 7, 12);
    touch(&device, 0x3ffff, 10);
    let batch = source.next_batch(Duration::from_secs(1)).unwrap();
    let seen: Vec<_> = batch
        .units
        .iter()
        .map(|unit| (unit.dpa, unit.count, unit.ranges.clone()))
        .collect();
    let page = |number: u64| {
        vec![HpaRange {
            start: Hpa(BASE + number * 4096),
            bytes: 4096,
        }]
    };
    assert_eq!(
        seen,
        [
            (Some(Dpa(7 * 4096)), 12, page(7)),
            (Some(Dpa(0x3ffff * 4096)), 10, page(0x3ffff))
        ]
    );
    assert!(!batch.lost_units);
    assert_eq!(batch.time, Duration::from_millis(100));
    let statistics = source.statistics()["cxl_hmu_in-process.0.0"];
    assert_eq!((statistics.entries, statistics.interrupts), (2, 1));
}

#[test]
fn without_hot_pages_a_batch_is_empty_after_its_time() {
    let device = device(&config());
    let mut source = source(&device, &wishes(10));
    let batch = source.next_batch(Duration::from_millis(350)).unwrap();
    assert_eq!(batch.units, []);
    assert_eq!(batch.time, Duration::from_millis(350));
    let now = device.clock_ns();
    source.next_batch(Duration::ZERO).unwrap();
    assert_eq!(device.clock_ns(), now);
}

#[test]
fn polling_finds_what_interrupts_would_announce() {
    let mut silent = config();
    silent.interrupts = Interrupts::None;
    silent.blocks[0][0].message_number = 0;
    silent.blocks[0][0].overflow_interrupt = false;
    silent.blocks[0][0].fill_level_interrupt = false;
    let device = device(&silent);
    let mut source = source(&device, &wishes(3));
    touch(&device, 1, 3);
    let batch = source.next_batch(Duration::from_secs(1)).unwrap();
    assert_eq!(batch.units.len(), 1);
    assert_eq!(source.statistics().values().next().unwrap().interrupts, 0);
}

#[test]
fn a_list_that_overflows_is_reported_as_lossy() {
    let mut small = config();
    small.blocks[0][0].hotlist_entries = 4;
    let device = device(&small);
    let mut source = source(&device, &wishes(2));
    for page in 0..10 {
        touch(&device, page, 2);
    }
    let batch = source.next_batch(Duration::from_secs(1)).unwrap();
    assert_eq!(batch.units.len(), 3);
    assert!(batch.lost_units);
    let batch = source.next_batch(Duration::from_millis(200)).unwrap();
    assert!(!batch.lost_units && batch.units.is_empty());
}

#[test]
fn several_units_make_one_source() {
    let mut two = config();
    let mut second = two.blocks[0][0].clone();
    second.message_number = 2;
    two.blocks.push(vec![second]);
    let device = device(&two);
    let members = (0..2)
        .map(|block| {
            let id = InstanceId { block, instance: 0 };
            let transport = Rc::clone(&device) as SharedTransport;
            let unit = open_instance(transport, id).unwrap();
            (unit, translation(&device))
        })
        .collect();
    let mut source = ProgrammedUnits::program(members, &wishes(2))
        .and_then(ProgrammedUnits::start)
        .unwrap();
    assert_eq!(
        source.name(),
        "cxl_hmu_in-process.0.0,cxl_hmu_in-process.1.0"
    );
    touch(&device, 1, 2);
    let batch = source.next_batch(Duration::from_secs(1)).unwrap();
    assert_eq!(batch.units.len(), 2);
}

#[test]
fn slow_operations_are_waited_for_and_too_slow_ones_are_named() {
    let mut slow = config();
    slow.blocks[0][0].operation_delay_ns = 40_000_000;
    let device = device(&slow);
    let mut unit = unit(&device);
    let program = |unit: &mut Unit| {
        let settings = Settings::choose(unit.capabilities(), &wishes(2), tracking()).unwrap();
        unit.program(settings)
    };
    program(&mut unit).unwrap();
    unit.enable().unwrap();
    assert!((80_000_000..90_000_000).contains(&device.clock_ns()));
    drop(unit);

    slow.blocks[0][0].operation_delay_ns = 140_000_000;
    let device = self::device(&slow);
    let mut unit = self::unit(&device);
    let error = program(&mut unit).unwrap_err();
    assert!(matches!(error, UnitError::Timeout { .. }), "{error}");
}

#[test]
fn a_reset_behind_the_drivers_back_is_noticed() {
    let device = device(&config());
    let mut source = source(&device, &wishes(2));
    assert!(device.reset().unwrap());
    let error = source.next_batch(Duration::from_millis(1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Cannot read hot units from cxl_hmu_in-process.0.0"
    );
}

#[test]
fn the_listing_shows_what_the_driver_programmed() {
    let device = device(&config());
    let source = source(&device, &wishes(77));
    let shared = Rc::clone(&device) as SharedTransport;
    let blocks = list_blocks(&shared, "mem0").unwrap();
    let instance = &blocks[0].instances[0];
    assert_eq!(instance.name, "cxl_hmu_mem0.0.0");
    let configuration = instance.configuration.as_ref().unwrap();
    assert_eq!(configuration.hotness_threshold, 77);
    assert_eq!(configuration.epoch_ns, Some(100_000_000));
    assert!(instance.status.as_ref().unwrap().enabled);
    drop(source);
    let blocks = list_blocks(&shared, "mem0").unwrap();
    assert!(!blocks[0].instances[0].status.as_ref().unwrap().enabled);
    let text = Table(&[ListedDevice {
        device: "0000:35:00.0".into(),
        memdev: Some("mem0".into()),
        serial: Some(0xc4a0_0001),
        driver: Some("cxl_pci".into()),
        numa_node: None,
        blocks,
        error: None,
    }])
    .to_string();
    let expected = "\
0000:35:00.0  mem0  serial 0xc4a00001  driver cxl_pci
  block 0 at BAR4+0x0  version 1  1 instance of 0x5000 bytes
    cxl_hmu_mem0.0.0
      unit sizes    4K to 2M
";
    assert!(text.starts_with(expected), "{text}");
    assert!(text.contains("down-sampling 1 to 32768, randomised on demand\n"));
    assert!(text.contains("units of 4K, threshold 77, non-tee-read-write, epoch 100ms,"));
}

#[test]
fn only_hotlists_can_be_mapped() {
    let device = device(&config());
    let unit = unit(&device);
    assert!(unit.is_hotlist_mapped());
    let place = unit.instance().place;
    let error = device
        .map(BarOffset { offset: 0, ..place }, 4096)
        .unwrap_err();
    assert!(matches!(error, TransportError::Access { .. }));
    assert!(
        device
            .read(BarOffset { bar: 5, offset: 0 }, Width::One)
            .is_err()
    );
    let error = device.wait_for_interrupt(4, Duration::ZERO).unwrap_err();
    assert!(matches!(error, TransportError::NoInterrupt { .. }));
}

#[derive(Debug, Clone)]
enum Step {
    Touch { page: u64, times: usize },
    Pass { milliseconds: u64 },
    Drain,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u64..6, 1_usize..8).prop_map(|(page, times)| Step::Touch { page, times }),
        1 => (1_u64..8).prop_map(|milliseconds| Step::Pass { milliseconds }),
        1 => Just(Step::Drain),
    ]
}

proptest! {
    /// In always-on mode every threshold-th access of a page is an entry: the driver reads exactly
    /// those, in order, however drains and accesses fall.
    #[test]
    fn the_driver_reads_the_queue_of_the_device(steps in proptest::collection::vec(step(), 1..60)) {
        const THRESHOLD: usize = 4;
        let device = device(&config());
        let mut unit = unit(&device);
        let wishes = Wishes { mode: Some(Mode::AlwaysOn), ..wishes(4) };
        let settings = Settings::choose(unit.capabilities(), &wishes, tracking()).unwrap();
        unit.program(settings).unwrap();
        unit.enable().unwrap();
        let mut counts = [0; 6];
        let mut expected = Vec::new();
        let mut entries = Vec::new();
        for step in steps {
            match step {
                Step::Touch { page, times } => {
                    touch(&device, page, times);
                    let count = &mut counts[usize::try_from(page).unwrap()];
                    *count += times;
                    while *count >= THRESHOLD {
                        *count -= THRESHOLD;
                        expected.push(page);
                    }
                }
                Step::Pass { milliseconds } => device.advance(milliseconds * 1_000_000),
                Step::Drain => {
                    unit.drain(&mut entries).unwrap();
                    prop_assert_eq!(entries.len(), expected.len());
                }
            }
        }
        unit.drain(&mut entries).unwrap();
        let seen: Vec<_> = entries.iter().map(|entry| entry.unit.0).collect();
        prop_assert_eq!(seen, expected);
    }
}
