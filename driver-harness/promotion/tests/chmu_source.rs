// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Units of the device model as a source.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chmu_cxl::Interrupts;
use chmu_driver::device::ownership::{Found, Registry};
use chmu_driver::device::{InstanceId, SharedTransport, Wishes, identify, open_instance};
use chmu_driver::translation::{Translation, decoders};
use chmu_driver::transport::in_process::InProcessDevice;
use chmu_driver::transport::{BarOffset, Layer, Transport, TransportError, Width};
use chmu_promotion::report::{Health, Lost, Place, Report, Tuning, WatchedRange, Weight};
use chmu_promotion::source::{ChmuSource, HotnessSource, ProgrammedUnits};
use chmu_promotion::{Severity, StopFlag};
use chmu_spec::access::Access;
use chmu_spec::address::{Dpa, Hpa, Pfn};
use chmu_spec::chmu::Mode;
use chmu_spec::cxl::dvsec::block_id;
use chmu_spec::unit_size::UnitSize;
use proptest::prelude::*;

#[path = "../../driver/tests/fixture/mod.rs"]
mod fixture;

use fixture::{BASE, FIRST, GIB, config, device, touch, unit};

fn translation(device: &InProcessDevice) -> Translation {
    let identity = identify(device).unwrap();
    let component = identity.places(block_id::COMPONENT)[0];
    decoders::read(device, component, |_| Ok(0)).unwrap()
}

/// A device that can be pulled out: all that is read of it then is ones.
#[derive(Debug)]
struct Removable {
    device: Arc<InProcessDevice>,
    is_gone: AtomicBool,
}

impl Removable {
    fn new(device: Arc<InProcessDevice>) -> Arc<Removable> {
        let is_gone = AtomicBool::new(false);
        Arc::new(Removable { device, is_gone })
    }

    fn remove(&self) {
        self.is_gone.store(true, Ordering::SeqCst);
    }

    fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::SeqCst)
    }
}

impl Layer for Removable {
    fn below(&self) -> &dyn Transport {
        &*self.device
    }

    fn read_config(&self, offset: u16, width: Width) -> Result<u32, TransportError> {
        match self.is_gone() {
            true => Ok(u32::MAX),
            false => self.device.read_config(offset, width),
        }
    }

    fn read(&self, place: BarOffset, width: Width) -> Result<u64, TransportError> {
        match self.is_gone() {
            true => Ok(u64::MAX >> (64 - 8 * width.bytes())),
            false => self.device.read(place, width),
        }
    }

    fn write(&self, place: BarOffset, width: Width, value: u64) -> Result<(), TransportError> {
        match self.is_gone() {
            true => Ok(()),
            false => self.device.write(place, width, value),
        }
    }
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

/// The earliest time that the report allows is no later than when its accesses were made.
#[test]
fn hot_units_that_waited_for_room_are_as_old_as_they_are() {
    let mut postponing = config();
    postponing.blocks[0][0].postponed_insertion = true;
    postponing.blocks[0][0].hotlist_entries = 4;
    let device = device(&postponing);
    let mut source = source(&device, &wishes(2));
    // Time in which nothing happens, so that zero is not the answer to everything.
    for _ in 0..5 {
        poll(&mut source, 100);
    }
    let accessed_ns = device.clock_ns();
    for page in 0..10 {
        touch(&device, page, 2);
    }
    let mut seen = 0;
    while seen < 10 {
        let report = poll(&mut source, 1_000);
        assert!(
            !report.extents.is_empty(),
            "{seen} of 10 pages were reported"
        );
        assert!(
            report.earliest_access_ns <= accessed_ns,
            "after {seen} pages: {} > {accessed_ns}",
            report.earliest_access_ns
        );
        seen += report.extents.len();
    }
    // Once the list had room to spare, reports are new again.
    for _ in 0..5 {
        poll(&mut source, 100);
    }
    let accessed_ns = device.clock_ns();
    touch(&device, 1, 2);
    let report = poll(&mut source, 1_000);
    assert!(report.earliest_access_ns + 300_000_000 > accessed_ns);
}

#[test]
fn without_epochs_a_count_is_as_old_as_the_counters() {
    let mut always_on = config();
    always_on.blocks[0][0].always_on_mode = true;
    let device = device(&always_on);
    let wishes = Wishes {
        mode: Some(Mode::AlwaysOn),
        ..wishes(2)
    };
    let mut source = source(&device, &wishes);
    for _ in 0..5 {
        poll(&mut source, 100);
    }
    let accessed_ns = device.clock_ns();
    touch(&device, 1, 1);
    for _ in 0..10 {
        poll(&mut source, 100);
    }
    touch(&device, 1, 1);
    let report = poll(&mut source, 1_000);
    assert_eq!(report.extents.len(), 1);
    assert!(report.earliest_access_ns <= accessed_ns);
}

#[test]
fn other_settings_are_taken_and_told_and_nothing_read_is_lost() {
    let device = device(&config());
    let mut source = source(&device, &wishes(10));
    touch(&device, 7, 12);
    device.pause(Duration::from_millis(100));
    let half = Some(vec![WatchedRange::Device {
        member: 0,
        start: Dpa(0),
        bytes: GIB / 2,
    }]);
    let wish = Tuning {
        threshold: Some(3),
        epoch_ns: Some(30_000_000),
        unit_bytes: Some(3),
        ranges: half.clone(),
    };
    let granted = source.retune(&wish).unwrap();
    let expected = Tuning {
        threshold: Some(3),
        epoch_ns: Some(30_000_000),
        // There is no unit of three bytes.
        unit_bytes: Some(4096),
        ranges: half,
    };
    assert_eq!(granted, expected);
    assert_eq!(source.facts().granted_epoch_ns, Some(30_000_000));
    let dpas = |report: &Report| -> Vec<_> {
        let units = report.extents.iter().map(|extent| extent.unit.unwrap().dpa);
        units.collect()
    };
    let report = poll(&mut source, 0);
    assert_eq!(dpas(&report), [Dpa(7 * 4096)], "it was read before");
    let earliest_ns = report.earliest_access_ns;
    touch(&device, 1, 3);
    touch(&device, GIB / 4096 - 1, 3);
    let report = poll(&mut source, 1_000);
    assert_eq!(dpas(&report), [Dpa(4096)], "the rest is not watched");
    assert!(report.earliest_access_ns >= earliest_ns);
    // A threshold that no counter reaches leaves everything as it is.
    let wish = Tuning {
        threshold: Some(u64::MAX),
        ranges: Some(Vec::new()),
        ..Tuning::default()
    };
    let granted = source.retune(&wish).unwrap();
    assert_eq!(granted, expected);
    touch(&device, 2, 3);
    assert_eq!(dpas(&poll(&mut source, 1_000)), [Dpa(2 * 4096)]);
    let wish = Tuning {
        ranges: Some(Vec::new()),
        ..Tuning::default()
    };
    let all = source.retune(&wish).unwrap().ranges.unwrap();
    assert!(matches!(all[..], [WatchedRange::Device { bytes: GIB, .. }]));
}

#[test]
fn a_device_that_is_gone_ends_only_itself() {
    let devices = [device(&config()), device(&config())];
    let removable = devices.clone().map(Removable::new);
    let members = removable.iter().zip(&devices).map(|(removable, device)| {
        let unit = open_instance(Arc::clone(removable) as SharedTransport, FIRST).unwrap();
        (unit, translation(device))
    });
    let mut source = ProgrammedUnits::program(members.collect(), &wishes(2))
        .and_then(ProgrammedUnits::start)
        .unwrap();
    assert_eq!(source.health(), Health::Good);
    removable[0].remove();
    let report = poll(&mut source, 0);
    assert_eq!(report.extents, []);
    let gone = "The device of cxl_hmu_in-process.0.0 is gone: neither its registers nor its \
                configuration space answer";
    assert_eq!(source.health(), Health::Degraded(gone.into()));
    touch(&devices[1], 1, 2);
    devices[1].pause(Duration::from_millis(100));
    let report = poll(&mut source, 0);
    let members = report.extents.iter().map(|one| one.unit.unwrap().member);
    assert_eq!(members.collect::<Vec<_>>(), [1]);
    removable[1].remove();
    let stop = StopFlag::new().unwrap();
    let lost = source.poll(1_000, &stop).unwrap_err();
    assert_eq!(
        chmu_machine::words::describe(&lost),
        "Cannot read hot units from cxl_hmu_in-process.0.0: The device does not answer any more: \
         its registers read as if there were none"
    );
    assert_eq!(
        lost.severity(),
        Severity::Degraded,
        "another source goes on"
    );
    assert_eq!(source.health(), Health::Gone(format!("{gone}; {gone}")));
}

#[test]
fn a_unit_that_its_owner_could_not_stop_is_taken_back() {
    let root = tempfile::tempdir().unwrap();
    let registry = Registry {
        runtime: root.path().join("run"),
        sysfs: root.path().join("sys"),
        // Nobody lives there, this process neither.
        procfs: root.path().join("proc"),
    };
    let device = device(&config());
    let removable = Removable::new(Arc::clone(&device));
    let mut owned = open_instance(Arc::clone(&removable) as SharedTransport, FIRST).unwrap();
    assert_eq!(registry.claim(&mut owned, false).unwrap(), Found::Free);
    let source = ProgrammedUnits::program(vec![(owned, translation(&device))], &wishes(2))
        .and_then(ProgrammedUnits::start)
        .unwrap();
    removable.remove();
    drop(source);
    let found = registry.claim(&mut unit(&device), false).unwrap();
    let process_id = std::process::id();
    assert_eq!(found, Found::Abandoned { process_id });
}

#[test]
fn interleaved_units_say_how_many_pages_share_their_weight() {
    for (ways, unit_bytes, sharing) in [
        // The finest that lies in one page is chosen, however many ways there are.
        (2, None, 1..=1),
        (3, None, 1..=1),
        (2, Some(4096), 2..=2),
        (3, Some(4096), 3..=4),
    ] {
        let mut interleaved = config();
        interleaved.decoders[0].ways = ways;
        interleaved.decoders[0].size_bytes = u64::from(ways) * GIB;
        let sizes = [256, 512, 1024, 2048, 4096].map(|size| UnitSize::from_bytes(size).unwrap());
        interleaved.blocks[0][0].unit_sizes = sizes.into_iter().collect();
        let device = device(&interleaved);
        let wishes = Wishes {
            unit_size: unit_bytes.and_then(UnitSize::from_bytes),
            ..wishes(2)
        };
        let members = vec![(unit(&device), translation(&device))];
        let mut source = ProgrammedUnits::program(members, &wishes)
            .and_then(ProgrammedUnits::start)
            .unwrap();
        for page in 0..64 {
            let lines = (0..64).map(|line| Access::read(Hpa(BASE + page * 4096 + line * 64)));
            device.access(&lines.collect::<Vec<_>>());
        }
        let report = poll(&mut source, 1_000);
        assert!(!report.extents.is_empty());
        let mut pages = BTreeSet::new();
        for extent in &report.extents {
            assert!(
                sharing.contains(&extent.sharing_pages),
                "{ways} ways, {unit_bytes:?}: {extent:?}"
            );
            let Place::Frames { start, pages: more } = extent.place else {
                panic!("{extent:?}");
            };
            pages.extend(start.0..start.0 + more);
        }
        assert!(pages.len() >= 63, "{ways} ways: {}", pages.len());
    }
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

/// What happens to a source whose settings change while its pages are touched.
#[derive(Debug, Clone)]
enum Step {
    Touch { page: u64, times: usize },
    Pause { milliseconds: u64 },
    Poll,
    Retune { threshold: u64, epoch_ms: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4_u64, 1..20_usize).prop_map(|(page, times)| Step::Touch { page, times }),
        3 => (1..150_u64).prop_map(|milliseconds| Step::Pause { milliseconds }),
        2 => Just(Step::Poll),
        2 => (1..12_u64, 10..200_u64)
            .prop_map(|(threshold, epoch_ms)| Step::Retune { threshold, epoch_ms }),
    ]
}

proptest! {
    /// No access is counted twice, and none before the earliest that a report admits, whatever changes
    /// in between, with interrupts and without.
    #[test]
    fn retuning_counts_no_access_twice_and_none_that_is_older_than_said(
        steps in proptest::collection::vec(step(), 1..60), interrupts: bool, postponed: bool,
    ) {
        let mut config = config();
        config.blocks[0][0].postponed_insertion = postponed;
        config.blocks[0][0].hotlist_entries = 4;
        let device = device(&config);
        let wishes = Wishes { without_interrupts: !interrupts, ..wishes(2) };
        let mut source = source(&device, &wishes);
        // Touches by page: when, and how many.
        let mut touched: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
        let mut reported: BTreeMap<u64, u64> = BTreeMap::new();
        let mut last_earliest_ns = 0;
        for step in steps {
            match step {
                Step::Touch { page, times } => {
                    touch(&device, page, times);
                    touched.entry(page).or_default().push((device.clock_ns(), times as u64));
                }
                Step::Pause { milliseconds } => {
                    device.pause(Duration::from_millis(milliseconds));
                }
                Step::Retune { threshold, epoch_ms } => {
                    let wish = Tuning {
                        threshold: Some(threshold),
                        epoch_ns: Some(epoch_ms * 1_000_000),
                        ..Tuning::default()
                    };
                    source.retune(&wish).unwrap();
                }
                Step::Poll => {
                    let report = poll(&mut source, 0);
                    prop_assert!(report.earliest_access_ns >= last_earliest_ns);
                    last_earliest_ns = report.earliest_access_ns;
                    let mut here: BTreeMap<u64, u64> = BTreeMap::new();
                    for extent in &report.extents {
                        let page = extent.unit.unwrap().dpa.0 / 4096;
                        *here.entry(page).or_default() += extent.weight.value;
                    }
                    for (page, count) in here {
                        let since = touched[&page].iter();
                        let since: u64 = since
                            .filter(|(time_ns, _)| *time_ns >= report.earliest_access_ns)
                            .map(|(_, times)| times)
                            .sum();
                        prop_assert!(count <= since, "page {page}: {count} of {since}");
                        *reported.entry(page).or_default() += count;
                        let all: u64 = touched[&page].iter().map(|(_, times)| times).sum();
                        prop_assert!(reported[&page] <= all, "page {page}: {} of {all}", reported[&page]);
                    }
                }
            }
        }
    }
}

#[test]
fn what_can_be_adapted_is_what_the_unit_can_do() {
    let device = device(&config());
    let tunable = source(&device, &wishes(10)).tunable().unwrap();
    assert_eq!(tunable.settings.threshold, 10);
    assert_eq!(
        (tunable.settings.epoch_ns, tunable.settings.unit_bytes),
        (100_000_000, 4096)
    );
    // A bit of the range bitmap stands for 256 MiB.
    assert_eq!((tunable.bounds.parts, tunable.fixed.epoch), (4, false));
    let (least, most) = tunable.bounds.epoch_ns;
    assert!(least < 100_000_000 && most > 100_000_000);
    let always_on = Wishes {
        mode: Some(Mode::AlwaysOn),
        ..wishes(10)
    };
    assert!(source(&device, &always_on).tunable().unwrap().fixed.epoch);
}
