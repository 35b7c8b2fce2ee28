// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Units of the device model as a source.

use std::sync::Arc;
use std::time::Duration;

use chmu_cxl::{DEFAULT_HDM_DECODERS, DecoderConfig, FunctionConfig, Interrupts, Performance};
use chmu_driver::device::{InstanceId, SharedTransport, Unit, Wishes, identify, open_instance};
use chmu_driver::translation::{Translation, decoders};
use chmu_driver::transport::Transport;
use chmu_driver::transport::in_process::InProcessDevice;
use chmu_model::Capabilities;
use chmu_promotion::StopFlag;
use chmu_promotion::report::{Lost, Place, Report, Weight};
use chmu_promotion::source::{ChmuSource, HotnessSource, ProgrammedUnits};
use chmu_spec::access::Access;
use chmu_spec::address::{Dpa, Hpa, Pfn};
use chmu_spec::cxl::dvsec::block_id;

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

fn device(config: &FunctionConfig) -> Arc<InProcessDevice> {
    Arc::new(InProcessDevice::new(config).unwrap())
}

fn unit(device: &Arc<InProcessDevice>) -> Unit {
    open_instance(Arc::clone(device) as SharedTransport, FIRST).unwrap()
}

fn translation(device: &InProcessDevice) -> Translation {
    let identity = identify(device).unwrap();
    let component = identity.places(block_id::COMPONENT)[0];
    decoders::read(device, component, |_| Ok(0)).unwrap()
}

/// Reads of the pages with these numbers, each so often.
fn touch(device: &InProcessDevice, page: u64, times: usize) {
    let access = Access::read(Hpa(BASE + page * 4096));
    device.access(&vec![access; times]);
}

fn wishes(threshold: u32) -> Wishes {
    Wishes {
        threshold: Some(threshold),
        ..Wishes::default()
    }
}

/// Waits for hot pages for so long.
fn poll(source: &mut ChmuSource, milliseconds: u64) -> Report {
    let deadline_ns = source.deadline_ns(Duration::from_millis(milliseconds));
    source.poll(deadline_ns, &StopFlag::new().unwrap()).unwrap()
}

fn source(device: &Arc<InProcessDevice>, wishes: &Wishes) -> ChmuSource {
    let members = vec![(unit(device), translation(device))];
    ProgrammedUnits::program(members, wishes)
        .and_then(ProgrammedUnits::start)
        .unwrap()
}

#[test]
fn hot_pages_come_out_as_pages_of_the_host() {
    let device = device(&config());
    let mut source = source(&device, &wishes(10));
    assert_eq!(source.facts().name, "cxl_hmu_in-process.0.0");
    touch(&device, 5, 9);
    touch(&device, 7, 12);
    touch(&device, 0x3ffff, 10);
    let report = poll(&mut source, 1_000);
    let seen: Vec<_> = report
        .extents
        .iter()
        .map(|extent| {
            assert_eq!(extent.sharing_pages, 1);
            (extent.unit.unwrap().dpa, extent.weight, extent.place)
        })
        .collect();
    let page = |number: u64| Place::Frames {
        start: Pfn((BASE >> 12) + number),
        pages: 1,
    };
    assert_eq!(
        seen,
        [
            (Dpa(7 * 4096), Weight::accesses(12), page(7)),
            (Dpa(0x3ffff * 4096), Weight::accesses(10), page(0x3ffff))
        ]
    );
    assert_eq!(report.lost, Lost::default());
    assert_eq!(report.handed_out_ns, 100_000_000);
    let statistics = source.statistics()["cxl_hmu_in-process.0.0"];
    assert_eq!((statistics.entries, statistics.interrupts), (2, 1));
}

#[test]
fn without_hot_pages_a_batch_is_empty_after_its_time() {
    let device = device(&config());
    let mut source = source(&device, &wishes(10));
    let report = poll(&mut source, 350);
    assert_eq!(report.extents, []);
    assert_eq!(report.handed_out_ns, 350_000_000);
    let now = device.clock_ns();
    poll(&mut source, 0);
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
    let report = poll(&mut source, 1_000);
    assert_eq!(report.extents.len(), 1);
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
    let report = poll(&mut source, 1_000);
    assert_eq!(report.extents.len(), 3);
    assert!(report.lost.overflow);
    let report = poll(&mut source, 200);
    assert!(!report.lost.overflow && report.extents.is_empty());
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
            let transport = Arc::clone(&device) as SharedTransport;
            let unit = open_instance(transport, id).unwrap();
            (unit, translation(&device))
        })
        .collect();
    let mut source = ProgrammedUnits::program(members, &wishes(2))
        .and_then(ProgrammedUnits::start)
        .unwrap();
    assert_eq!(
        source.facts().name,
        "cxl_hmu_in-process.0.0,cxl_hmu_in-process.1.0"
    );
    touch(&device, 1, 2);
    let report = poll(&mut source, 1_000);
    assert_eq!(report.extents.len(), 2);
}

#[test]
fn a_reset_behind_the_drivers_back_is_noticed() {
    let device = device(&config());
    let mut source = source(&device, &wishes(2));
    assert!(device.reset().unwrap());
    let error = source.poll(0, &StopFlag::new().unwrap()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Cannot read hot units from cxl_hmu_in-process.0.0"
    );
}

#[test]
fn no_access_of_a_report_was_made_before_the_earliest() {
    let device = device(&config());
    let mut source = source(&device, &wishes(2));
    let mut last_earliest_ns = 0;
    for _ in 0..5 {
        let accessed_ns = device.clock_ns();
        touch(&device, 1, 2);
        let report = poll(&mut source, 1_000);
        assert_eq!(report.extents.len(), 1);
        assert!(report.earliest_access_ns <= accessed_ns);
        assert!(report.earliest_access_ns >= last_earliest_ns);
        last_earliest_ns = report.earliest_access_ns;
    }
    // It is not so early that no report was ever of use.
    assert!(last_earliest_ns + 200_000_000 > device.clock_ns() - 100_000_000);
}

#[test]
fn a_source_that_is_told_to_stop_does_not_wait() {
    let device = device(&config());
    let mut source = source(&device, &wishes(2));
    let stop = StopFlag::new().unwrap();
    stop.raise();
    let report = source.poll(u64::MAX, &stop).unwrap();
    assert_eq!((report.extents.len(), device.clock_ns()), (0, 0));
}
