// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! DAMON as plain files, in which nothing happens by itself.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::damon::ownership::MARK_WATCH_US;

struct FakeKernel {
    root: tempfile::TempDir,
}

impl FakeKernel {
    fn new() -> FakeKernel {
        let kernel = FakeKernel {
            root: tempfile::tempdir().unwrap(),
        };
        for file in [
            "contexts/nr_contexts",
            "contexts/0/operations",
            "contexts/0/monitoring_attrs/intervals/sample_us",
            "contexts/0/monitoring_attrs/intervals/aggr_us",
            "contexts/0/monitoring_attrs/intervals/update_us",
            "contexts/0/monitoring_attrs/nr_regions/min",
            "contexts/0/monitoring_attrs/nr_regions/max",
            "contexts/0/targets/nr_targets",
            "contexts/0/targets/0/pid_target",
            "contexts/0/targets/0/regions/nr_regions",
            "contexts/0/targets/0/regions/0/start",
            "contexts/0/targets/0/regions/0/end",
            "contexts/0/schemes/nr_schemes",
            "contexts/0/schemes/0/action",
            "contexts/0/schemes/0/access_pattern/sz/min",
            "contexts/0/schemes/0/access_pattern/sz/max",
            "contexts/0/schemes/0/access_pattern/nr_accesses/min",
            "contexts/0/schemes/0/access_pattern/nr_accesses/max",
            "contexts/0/schemes/0/access_pattern/age/min",
            "contexts/0/schemes/0/access_pattern/age/max",
            "state",
        ] {
            kernel.set(&format!("0/{file}"), "");
        }
        kernel.set("nr_kdamonds", "0");
        fs::create_dir_all(kernel.root.path().join("proc/42")).unwrap();
        kernel
    }

    fn path(&self, path: &str) -> PathBuf {
        let kdamonds = self.root.path().join("sys/kernel/mm/damon/admin/kdamonds");
        kdamonds.join(path)
    }

    fn set(&self, path: &str, value: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), value).unwrap();
    }

    /// The first line: the kernel has whole files where these keep what they held before.
    fn get(&self, path: &str) -> String {
        let text = fs::read_to_string(self.path(path)).unwrap();
        text.lines().next().unwrap_or_default().to_owned()
    }

    fn region(&self, number: u32, start: u64, end: u64, accesses: u64) {
        for (name, value) in [
            ("start", start),
            ("end", end),
            ("nr_accesses", accesses),
            ("age", 1),
        ] {
            let path = format!("0/contexts/0/schemes/0/tried_regions/{number}/{name}");
            self.set(&path, &value.to_string());
        }
    }

    fn places(&self) -> Places {
        Places {
            sysfs: self.root.path().join("sys"),
            procfs: self.root.path().join("proc"),
            runtime: self.root.path().join("run"),
        }
    }

    /// A worker is on for as long as nobody writes another word into its state.
    fn keep_on(&self) {
        self.set("0/state", "on");
    }
}

fn stop() -> StopFlag {
    StopFlag::new().unwrap()
}

#[test]
fn regions_of_frames_are_shared_by_their_pages() {
    let kernel = FakeKernel::new();
    let watched = Watched::Frames(vec![0x1000..0x2000; 1]);
    let mut source = DamonSource::start(kernel.places(), watched).unwrap();
    let get = |path: &str| kernel.get(&format!("0/contexts/0/{path}"));
    assert_eq!(kernel.get("0/state"), "on");
    assert_eq!(get("operations"), "paddr");
    assert_eq!(get("targets/0/regions/0/start"), "16777216");
    assert_eq!(get("targets/0/regions/0/end"), "33554432");
    assert_eq!(get("schemes/0/action"), "stat");
    assert_eq!(get("monitoring_attrs/intervals/sample_us"), "5000");
    assert_eq!(get("monitoring_attrs/intervals/aggr_us"), "100000");
    assert_eq!(get("schemes/0/access_pattern/nr_accesses/min"), "5");
    kernel.region(0, 0x100_0000, 0x100_3000, 7);
    kernel.region(1, 0x110_0000, 0x110_1000, 20);
    // Below the threshold, as regions may be that the kernel showed before.
    kernel.region(2, 0x120_0000, 0x120_1000, 4);
    let report = source.read().unwrap();
    assert_eq!(kernel.get("0/state"), "update_schemes_tried_regions");
    let counts = WeightKind::Intervals {
        interval_ns: 5_000_000,
    };
    let extent = |start, pages, value| HotExtent {
        place: Place::Frames {
            start: Pfn(start),
            pages,
        },
        weight: Weight {
            kind: counts,
            value,
        },
        sharing_pages: pages,
        unit: None,
    };
    assert_eq!(
        report.extents,
        [extent(0x1000, 3, 21), extent(0x1100, 1, 20)]
    );
    assert_eq!(source.facts().counts, counts);
    drop(source);
    assert_eq!(kernel.get("0/state"), "off");
    assert_eq!(kernel.get("nr_kdamonds"), "0");
}

#[test]
fn a_report_reaches_back_to_the_reading_before_the_last() {
    let kernel = FakeKernel::new();
    let before_ns = clock::monotonic_ns();
    let watched = Watched::Process(42);
    let mut source = DamonSource::start(kernel.places(), watched).unwrap();
    let started_ns = clock::monotonic_ns();
    let mut begins = vec![started_ns, started_ns];
    for number in 0..4 {
        let begin_ns = clock::monotonic_ns();
        let report = source.read().unwrap();
        let earliest_ns = report.earliest_access_ns;
        assert!(earliest_ns <= begins[number] && earliest_ns >= before_ns);
        if number >= 2 {
            assert!(earliest_ns >= begins[number], "{number}: no earlier");
        }
        begins.push(begin_ns.max(source.readings_ns[1]));
    }
}

#[test]
fn a_process_is_watched_by_its_addresses_until_it_ends() {
    let kernel = FakeKernel::new();
    let mut source = DamonSource::of_process(kernel.places(), 42).unwrap();
    assert_eq!(kernel.get("0/contexts/0/operations"), "vaddr");
    assert_eq!(kernel.get("0/contexts/0/targets/0/pid_target"), "42");
    let update = kernel.get("0/contexts/0/monitoring_attrs/intervals/update_us");
    assert_eq!(update, MARK_WATCH_US.to_string());
    kernel.region(0, 0x7f00_0000_0000, 0x7f00_0000_2000, 6);
    let report = source.read().unwrap();
    let place = Place::Addresses {
        process_id: 42,
        start: 0x7f00_0000_0000,
        pages: 2,
    };
    assert_eq!(report.extents[0].place, place);
    assert_eq!(source.facts().name, "accessed:42");
    assert!(source.facts().knows.processes && !source.facts().knows.frames);
    fs::remove_dir(kernel.root.path().join("proc/42")).unwrap();
    let report = source.poll(0, &stop()).unwrap();
    assert_eq!(report.extents, []);
    assert_eq!(source.health(), Health::Gone("Process 42 has ended".into()));
    let refused = DamonSource::of_process(kernel.places(), 42).unwrap_err();
    assert_eq!(refused.to_string(), "There is no process 42");
}

#[test]
fn a_worker_that_somebody_switched_off_is_gone() {
    let kernel = FakeKernel::new();
    let watched = Watched::Process(42);
    let mut source = DamonSource::start(kernel.places(), watched).unwrap();
    kernel.set("0/state", "off");
    source.poll(0, &stop()).unwrap();
    let gone = "Another program has switched the DAMON worker off";
    assert_eq!(source.health(), Health::Gone(gone.into()));
}

#[test]
fn other_settings_are_told_to_the_kernel_and_bounded() {
    let kernel = FakeKernel::new();
    let watched = Watched::Process(42);
    let mut source = DamonSource::start(kernel.places(), watched).unwrap();
    kernel.keep_on();
    let wish = Tuning {
        threshold: Some(u64::MAX),
        epoch_ns: Some(200_000_000),
        ..Tuning::default()
    };
    let granted = source.retune(&wish).unwrap();
    assert_eq!(granted.threshold, Some(20), "there are no more looks");
    assert_eq!(granted.epoch_ns, Some(200_000_000));
    assert_eq!(kernel.get("0/state"), "commit");
    let aggregation = kernel.get("0/contexts/0/monitoring_attrs/intervals/aggr_us");
    assert_eq!(aggregation, "200000");
    kernel.keep_on();
    source.retune(&Tuning::default()).unwrap();
    assert_eq!(kernel.get("0/state"), "on", "nothing changes");
}

#[test]
fn operations_that_the_kernel_lacks_are_named() {
    let kernel = FakeKernel::new();
    kernel.set("0/contexts/0/avail_operations", "paddr\n");
    let watched = Watched::Process(42);
    let refused = DamonSource::start(kernel.places(), watched).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "DAMON has no operations vaddr, only paddr"
    );
    assert_eq!(kernel.get("nr_kdamonds"), "0", "nothing is left behind");
}
