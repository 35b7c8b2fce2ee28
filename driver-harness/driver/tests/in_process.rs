// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The driver over the device model.

use std::sync::Arc;
use std::time::Duration;

use chmu_driver::device::listing::{ListedDevice, Table, list_blocks};
use chmu_driver::device::{Settings, SharedTransport, Surroundings, Unit, UnitError, Wishes};
use chmu_driver::transport::{BarOffset, Transport, TransportError, Width};
use chmu_spec::address::Dpa;
use chmu_spec::chmu::Mode;
use chmu_spec::unit_size::UnitSize;
use proptest::prelude::*;

mod fixture;

use fixture::{GIB, config, device, touch, unit};

fn tracking() -> Surroundings {
    Surroundings {
        ranges: vec![Dpa(0)..Dpa(GIB)],
        page_unit: UnitSize::BASE_PAGE,
        interrupts: true,
    }
}

fn wishes(threshold: u32) -> Wishes {
    Wishes {
        threshold: Some(threshold),
        ..Wishes::default()
    }
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
fn the_listing_shows_what_the_driver_programmed() {
    let device = device(&config());
    let mut unit = unit(&device);
    let settings = Settings::choose(unit.capabilities(), &wishes(77), tracking()).unwrap();
    unit.program(settings).unwrap();
    unit.enable().unwrap();
    let shared = Arc::clone(&device) as SharedTransport;
    let blocks = list_blocks(&shared, "mem0").unwrap();
    let instance = &blocks[0].instances[0];
    assert_eq!(instance.name, "cxl_hmu_mem0.0.0");
    let configuration = instance.configuration.as_ref().unwrap();
    assert_eq!(configuration.hotness_threshold, 77);
    assert_eq!(configuration.epoch_ns, Some(100_000_000));
    assert!(instance.status.as_ref().unwrap().enabled);
    drop(unit);
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

#[test]
fn a_unit_is_put_back_as_it_was_after_power_on() {
    let device = device(&config());
    let fresh = unit(&device);
    let (configuration, state) = (fresh.configuration().unwrap(), fresh.state().unwrap());
    // A driver that is killed does not stop its unit.
    let mut killed = unit(&device);
    let settings = Settings::choose(killed.capabilities(), &wishes(1), tracking()).unwrap();
    killed.program(settings).unwrap();
    killed.enable().unwrap();
    touch(&device, 7, 5);
    std::mem::forget(killed);

    let mut found = unit(&device);
    assert!(found.status().unwrap().enabled());
    assert!(found.restore().unwrap());
    assert_eq!(found.configuration().unwrap(), configuration);
    let restored = found.state().unwrap();
    assert_eq!(restored.status, state.status);
    assert_eq!(restored.head, restored.tail, "nothing is left in the list");
    assert!(!found.restore().unwrap(), "there is nothing more to do");
}
