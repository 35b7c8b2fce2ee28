// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! DAMON as plain files, in which nothing happens by itself, and as pages that are accessed every so often.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use chmu_machine::memory::PAGE_BYTES;

use super::*;
use crate::damon::monitor::{Attributes, Monitor, Region, Shown, Watched};
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
}

const ATTRIBUTES: Attributes = Attributes {
    sample: Duration::from_millis(5),
    looks: 20,
    shown: Shown::Hot(5),
};

#[test]
fn regions_of_frames_are_told_to_the_kernel_and_read_back() {
    let kernel = FakeKernel::new();
    let watched = Watched::Frames(vec![0x1000..0x2000; 1]);
    let monitor = Monitor::start(&kernel.places(), &watched, ATTRIBUTES).unwrap();
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
    let region = |start, pages, looks| Region {
        start,
        pages,
        looks,
    };
    let regions = [region(0x100_0000, 3, 7), region(0x110_0000, 1, 20)];
    assert_eq!(monitor.read().unwrap(), regions);
    assert_eq!(kernel.get("0/state"), "update_schemes_tried_regions");
    drop(monitor);
    assert_eq!(kernel.get("0/state"), "off");
    assert_eq!(kernel.get("nr_kdamonds"), "0");
}

#[test]
fn a_process_is_watched_by_its_addresses() {
    let kernel = FakeKernel::new();
    for (watched, operations) in [
        (Watched::Process(42), "vaddr"),
        (
            Watched::Addresses(42, vec![0x7f00_0000_0000..0x7f00_0000_1000; 1]),
            "fvaddr",
        ),
    ] {
        let monitor = Monitor::start(&kernel.places(), &watched, ATTRIBUTES).unwrap();
        assert_eq!(kernel.get("0/contexts/0/operations"), operations);
        assert_eq!(kernel.get("0/contexts/0/targets/0/pid_target"), "42");
        let update = kernel.get("0/contexts/0/monitoring_attrs/intervals/update_us");
        assert_eq!(update, MARK_WATCH_US.to_string());
        drop(monitor);
    }
    let start = kernel.get("0/contexts/0/targets/0/regions/0/start");
    assert_eq!(start, 0x7f00_0000_0000_u64.to_string());
    fs::remove_dir(kernel.root.path().join("proc/42")).unwrap();
    let refused = DamonSource::of_process(kernel.places(), 42).unwrap_err();
    assert_eq!(refused.to_string(), "There is no process 42");
}

#[test]
fn operations_that_the_kernel_lacks_are_named() {
    let kernel = FakeKernel::new();
    kernel.set("0/contexts/0/avail_operations", "paddr\n");
    let refused = Monitor::start(&kernel.places(), &Watched::Process(42), ATTRIBUTES).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "DAMON has no operations vaddr, only paddr"
    );
    assert_eq!(kernel.get("nr_kdamonds"), "0", "nothing is left behind");
}

/// Pages of a process, of which each is accessed so often in a second, at random.
#[derive(Debug)]
struct Pages {
    per_second: Vec<f64>,
    /// After so many questions all is so many times as fast.
    faster: (u64, f64),
    questions: u64,
    is_late: bool,
    now_ns: u64,
    random: u64,
}

impl Pages {
    fn part(&mut self) -> f64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 34) as f64 / f64::from(1 << 30)
    }
}

impl Looks for Pages {
    fn target(&self) -> Target {
        Target::Process(42)
    }

    fn units_in_use(&mut self, most: usize, _: &StopFlag) -> Result<Vec<Unit>, DamonError> {
        self.now_ns += 1_000_000_000;
        let pages = 0..self.per_second.len() as u64;
        let unit = |page| Unit {
            start: page * PAGE_BYTES,
            pages: 1,
        };
        Ok(pages.map(unit).take(most).collect())
    }

    fn look(
        &mut self,
        units: &[Unit],
        sample: Duration,
        _: &StopFlag,
    ) -> Result<Option<BTreeMap<Unit, u64>>, DamonError> {
        assert!(units.len() <= QUESTION_UNITS);
        assert!(units.windows(2).all(|pair| pair[0].end() < pair[1].start));
        self.questions += 1;
        self.now_ns += nanoseconds(sample) * LOOKS;
        if self.is_late && self.questions.is_multiple_of(3) {
            return Ok(None);
        }
        let (after, times) = self.faster;
        let speed = if self.questions > after { times } else { 1.0 };
        let mut found = BTreeMap::new();
        for unit in units {
            let per_second = self.per_second[(unit.start / PAGE_BYTES) as usize] * speed;
            let idle = (-per_second * sample.as_secs_f64()).exp();
            let hits = (0..LOOKS).filter(|_| self.part() > idle).count() as u64;
            if hits > 0 {
                found.insert(*unit, hits);
            }
        }
        Ok(Some(found))
    }

    fn end(&self) -> Option<String> {
        None
    }

    fn now_ns(&self) -> u64 {
        self.now_ns
    }
}

const HOT: u64 = 128;

fn source(pages: Pages) -> DamonSource {
    DamonSource::new(Box::new(pages), Target::Process(42))
}

fn pages(per_second: f64, ratio: f64, seed: u64) -> Pages {
    let rate = |page| match page < HOT {
        true => per_second,
        false => per_second / ratio,
    };
    Pages {
        per_second: (0..900).map(rate).collect(),
        faster: (u64::MAX, 1.0),
        questions: 0,
        is_late: false,
        now_ns: 1,
        random: seed,
    }
}

/// What is told within so many questions, which must be hot.
fn told(source: &mut DamonSource, polls: u64) -> BTreeSet<u64> {
    let stop = StopFlag::new().unwrap();
    let mut told = BTreeSet::new();
    let mut earliest_ns = 0;
    for _ in 0..polls {
        let report = source.poll(0, &stop).unwrap();
        assert!(report.earliest_access_ns >= earliest_ns);
        earliest_ns = report.earliest_access_ns;
        for extent in report.extents {
            let Place::Addresses {
                process_id: 42,
                start,
                pages: 1,
            } = extent.place
            else {
                panic!("{extent:?}");
            };
            assert_eq!(extent.sharing_pages, 1);
            told.insert(start / PAGE_BYTES);
        }
    }
    assert!(told.iter().all(|page| *page < HOT), "{told:?}");
    told
}

#[test]
fn pages_in_use_are_told_and_others_are_not_however_often_they_are_accessed() {
    for seed in 1..4 {
        for per_second in [9.0, 20.0, 60.0, 100.0] {
            for ratio in [5.0, 10.0, 60.0] {
                for is_late in [false, true] {
                    let mut source = source(Pages {
                        is_late,
                        ..pages(per_second, ratio, seed)
                    });
                    let told = told(&mut source, if is_late { 1200 } else { 300 });
                    assert!(
                        told.len() as u64 * 100 >= HOT * 95,
                        "{per_second} {ratio} {is_late}: {}",
                        told.len()
                    );
                }
            }
        }
    }
}

/// Nor when all gets faster, between two rounds or within one.
#[test]
fn pages_that_get_faster_are_not_told() {
    for after in 0..40 {
        let mut faster = source(Pages {
            faster: (after, 4.0),
            ..pages(5.0, 10.0, after)
        });
        told(&mut faster, 100);
    }
}

#[test]
fn a_source_that_ends_is_gone() {
    #[derive(Debug)]
    struct Ended(Pages);
    impl Looks for Ended {
        fn target(&self) -> Target {
            self.0.target()
        }
        fn units_in_use(&mut self, most: usize, stop: &StopFlag) -> Result<Vec<Unit>, DamonError> {
            self.0.units_in_use(most, stop)
        }
        fn look(
            &mut self,
            units: &[Unit],
            sample: Duration,
            stop: &StopFlag,
        ) -> Result<Option<BTreeMap<Unit, u64>>, DamonError> {
            self.0.look(units, sample, stop)
        }
        fn end(&self) -> Option<String> {
            Some("Process 42 has ended".to_owned())
        }
        fn now_ns(&self) -> u64 {
            self.0.now_ns()
        }
    }
    let ended = Ended(pages(20.0, 10.0, 1));
    let mut source = DamonSource::new(Box::new(ended), Target::Process(42));
    let report = source.poll(u64::MAX, &StopFlag::new().unwrap()).unwrap();
    assert_eq!(report.extents, []);
    assert_eq!(source.health(), Health::Gone("Process 42 has ended".into()));
    assert_eq!(source.facts().name, "accessed:42");
    assert!(source.facts().knows.processes && !source.facts().knows.frames);
}

#[test]
fn other_settings_are_taken_and_bounded() {
    let mut source = source(pages(20.0, 10.0, 1));
    let wish = Tuning {
        threshold: Some(u64::MAX),
        epoch_ns: Some(2_000_000_000),
        ..Tuning::default()
    };
    let granted = source.retune(&wish).unwrap();
    assert_eq!(granted.threshold, Some(20), "there are no more looks");
    assert_eq!(granted.epoch_ns, Some(2_000_000_000));
    assert_eq!(source.retune(&Tuning::default()).unwrap(), granted);
}

#[test]
fn a_large_folio_has_one_bit_and_what_is_not_there_none() {
    use chmu_machine::memory::page_flags::PageFlags;
    let head = PageFlags::COMPOUND_HEAD | PageFlags::LRU;
    let tail = PageFlags::COMPOUND_TAIL;
    let flags = [
        tail,
        PageFlags::LRU,
        head,
        tail,
        tail,
        PageFlags::BUDDY,
        PageFlags::LRU,
    ];
    let frames: Vec<_> = (0..7).map(|page| (page * PAGE_BYTES, Pfn(page))).collect();
    let found = looks::units(&frames, &flags);
    let places: Vec<_> = found
        .iter()
        .map(|unit| (unit.start / PAGE_BYTES, unit.pages))
        .collect();
    assert_eq!(places, [(1, 1), (2, 3), (6, 1)]);
}
