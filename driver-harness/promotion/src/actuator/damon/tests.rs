// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use chmu_machine::lock::{self, Claim};
use chmu_machine::memory::page_flags::PageFlags;
use chmu_spec::address::Pfn;

use super::kdamond::Kdamond;
use super::*;
use crate::batch::{Folio, Route};
use crate::severity::Severity;

mod owners;

const KDAMONDS: &str = "sys/kernel/mm/damon/admin/kdamonds";
const CONTEXT: &str = "sys/kernel/mm/damon/admin/kdamonds/0/contexts/0";
const SCHEME: &str = "sys/kernel/mm/damon/admin/kdamonds/0/contexts/0/schemes/0";
const TARGET: NodeId = NodeId(0);

/// The files of a kernel's DAMON, as plain files: nothing happens by itself.
struct FakeKernel {
    root: tempfile::TempDir,
}

impl FakeKernel {
    /// Linux 6.12. Its worker always sleeps.
    fn old() -> FakeKernel {
        let kernel = FakeKernel {
            root: tempfile::tempdir().unwrap(),
        };
        let files = [
            "contexts/nr_contexts",
            "state",
            "contexts/0/operations",
            "contexts/0/monitoring_attrs/intervals/sample_us",
            "contexts/0/monitoring_attrs/intervals/aggr_us",
            "contexts/0/monitoring_attrs/intervals/update_us",
            "contexts/0/monitoring_attrs/nr_regions/min",
            "contexts/0/monitoring_attrs/nr_regions/max",
            "contexts/0/targets/nr_targets",
            "contexts/0/targets/0/regions/nr_regions",
            "contexts/0/schemes/nr_schemes",
            "contexts/0/schemes/0/action",
            "contexts/0/schemes/0/target_nid",
            "contexts/0/schemes/0/apply_interval_us",
        ];
        for worker in 0..2 {
            let folder = format!("{KDAMONDS}/{worker}");
            for file in files {
                kernel.set(&format!("{folder}/{file}"), "");
            }
            let scheme = format!("{folder}/contexts/0/schemes/0");
            for quantity in ["sz", "nr_accesses", "age"] {
                for bound in ["min", "max"] {
                    kernel.set(&format!("{scheme}/access_pattern/{quantity}/{bound}"), "0");
                }
            }
            kernel.set(&format!("{scheme}/quotas/bytes"), "0");
            kernel.set(&format!("{scheme}/quotas/reset_interval_ms"), "0");
            for slot in 0..128 {
                for bound in ["start", "end"] {
                    let regions = format!("{folder}/contexts/0/targets/0/regions");
                    kernel.set(&format!("{regions}/{slot}/{bound}"), "");
                }
            }
            kernel.set(&format!("{folder}/pid"), "42\n");
        }
        // A quota of one byte does not hold at once.
        kernel.statistics(&[("nr_tried", 1), ("sz_tried", 4096)]);
        kernel.set(&format!("{KDAMONDS}/nr_kdamonds"), "0");
        kernel.set("proc/42/stat", "42 (kdamond.0) I 2 0\n");
        kernel.flags(&[]);
        kernel.set("proc/vmstat", "nr_free_pages 0\n");
        kernel
    }

    /// Linux 7.3.
    fn new() -> FakeKernel {
        let kernel = Self::old();
        for worker in 0..2 {
            let context = format!("{KDAMONDS}/{worker}/contexts/0");
            for file in [
                "pause",
                "monitoring_attrs/probes/nr_probes",
                "monitoring_attrs/probes/0/weight",
                "schemes/0/stats/max_nr_snapshots",
            ] {
                kernel.set(&format!("{context}/{file}"), "");
            }
        }
        kernel.set("sys/module/damon_stat/parameters/enabled", "N");
        kernel
    }

    fn set(&self, path: &str, value: &str) {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, value).unwrap();
    }

    fn statistics(&self, values: &[(&str, u64)]) {
        for (name, value) in values {
            self.set(&format!("{SCHEME}/stats/{name}"), &value.to_string());
        }
    }

    /// Frames 0 to 255 hold pages that could move, but for these.
    fn flags(&self, others: &[(usize, PageFlags)]) {
        let mut words = [(PageFlags::LRU | PageFlags::ANON).bits(); 256];
        for (frame, flags) in others {
            words[*frame] = flags.bits();
        }
        let path = self.root.path().join("proc/kpageflags");
        fs::write(path, words.map(u64::to_ne_bytes).as_flattened()).unwrap();
    }

    /// The first line: the kernel has whole files where these keep what they held before.
    fn get(&self, path: &str) -> String {
        let text = fs::read_to_string(self.root.path().join(path)).unwrap();
        text.lines().next().unwrap_or_default().to_owned()
    }

    fn region(&self, slot: u32) -> (u64, u64) {
        self.region_of(0, slot)
    }

    fn region_of(&self, worker: u32, slot: u32) -> (u64, u64) {
        let [start, end] = ["start", "end"].map(|bound| {
            let context = format!("{KDAMONDS}/{worker}/contexts/0");
            let text = self.get(&format!("{context}/targets/0/regions/{slot}/{bound}"));
            u64::from_str_radix(text.strip_prefix("0x").unwrap(), 16).unwrap()
        });
        (start, end)
    }

    /// The frames of all regions of a worker that are memory.
    fn frames_of(&self, worker: u32, slots: u32) -> Vec<u64> {
        let regions = (0..slots).map(|slot| self.region_of(worker, slot));
        let used = regions.filter(|(start, _)| *start < 1 << 52);
        used.flat_map(|(start, end)| start / 4096..end / 4096)
            .collect()
    }

    fn places(&self) -> Places {
        Places {
            sysfs: self.root.path().join("sys"),
            procfs: self.root.path().join("proc"),
            runtime: self.root.path().join("run"),
        }
    }

    /// With one processor.
    fn damon(&self) -> Damon {
        Damon::set_up_with(self.places(), 1).unwrap()
    }

    fn refusal(&self) -> ActuatorError {
        Damon::set_up_with(self.places(), 1).unwrap_err()
    }
}

fn batch(frames: impl IntoIterator<Item = u64>, target: NodeId) -> Batch {
    let candidate = |frame| Candidate {
        folio: Folio {
            head: Pfn(frame),
            pages: 1,
        },
        owner: None,
    };
    Batch {
        number: 1,
        direction: Direction::Promotion,
        route: Route {
            source: NodeId(1),
            target,
        },
        candidates: frames.into_iter().map(candidate).collect(),
    }
}

fn promote(damon: &mut Damon, batch: &Batch) -> Vec<Fate> {
    let stop = StopFlag::new().unwrap();
    damon.promote_batch(batch, &stop).unwrap()
}

#[test]
fn every_region_is_let_through_once() {
    let kernel = FakeKernel::new();
    let _damon = kernel.damon();
    let expected = BTreeMap::from([
        ("nr_kdamonds", "5"),
        ("0/contexts/nr_contexts", "1"),
        ("0/contexts/0/operations", "paddr"),
        ("0/contexts/0/monitoring_attrs/nr_regions/min", "3"),
        ("0/contexts/0/monitoring_attrs/probes/0/weight", "1"),
        ("0/contexts/0/schemes/0/action", "migrate_hot"),
        ("0/contexts/0/schemes/0/apply_interval_us", "1000000"),
        ("0/contexts/0/schemes/0/stats/max_nr_snapshots", "1"),
        (
            "0/contexts/0/schemes/0/access_pattern/sz/max",
            "18446744073709551615",
        ),
        (
            "0/contexts/0/schemes/0/access_pattern/nr_accesses/max",
            "4294967295",
        ),
        (
            "0/contexts/0/schemes/0/access_pattern/age/max",
            "4294967295",
        ),
    ]);
    for (file, value) in expected {
        assert_eq!(kernel.get(&format!("{KDAMONDS}/{file}")), value, "{file}");
    }
}

#[test]
fn kernels_that_count_no_passes_are_bound_by_a_quota() {
    let quota = |kernel: &FakeKernel| {
        ["bytes", "reset_interval_ms"].map(|file| kernel.get(&format!("{SCHEME}/quotas/{file}")))
    };
    let kernel = FakeKernel::old();
    let mut damon = kernel.damon();
    promote(&mut damon, &batch([1, 3], TARGET));
    assert_eq!(quota(&kernel), ["1", "300"], "from the second pass on");
    assert_eq!(
        kernel.get(&format!("{SCHEME}/apply_interval_us")),
        "1000000"
    );

    let kernel = FakeKernel::old();
    kernel.statistics(&[("sz_tried", 0)]);
    let mut damon = kernel.damon();
    promote(&mut damon, &batch([1, 3], TARGET));
    assert_eq!(
        quota(&kernel),
        ["262144", "4294967295"],
        "of 64 slots, for good"
    );
}

#[test]
fn a_batch_that_makes_room_is_called_cold() {
    let kernel = FakeKernel::new();
    let mut damon = kernel.damon();
    let action = || kernel.get(&format!("{SCHEME}/action"));
    let up = batch([1, 3], TARGET);
    let down = Batch {
        direction: Direction::Demotion,
        ..up.clone()
    };
    for (batch, expected) in [
        (&up, "migrate_hot"),
        (&down, "migrate_cold"),
        (&up, "migrate_hot"),
    ] {
        promote(&mut damon, batch);
        assert_eq!(action(), expected);
    }
}

#[test]
fn it_says_that_it_is_blind_to_cpusets() {
    let limits = FakeKernel::new().damon().limits();
    assert!(!limits.obeys_cpusets && limits.sees_unmapped && !limits.is_dry);
}

#[test]
fn a_batch_is_one_pass_over_its_regions() {
    let kernel = FakeKernel::new();
    let mut damon = kernel.damon();
    // Nothing moves in this world, which frames that look as before say.
    let fates = promote(&mut damon, &batch([5, 1, 0], TARGET));
    assert_eq!(fates, [Fate::Stayed; 3]);
    assert_eq!(kernel.region(0), (0, 0x2000));
    assert_eq!(kernel.region(1), (0x5000, 0x6000));
    assert!(kernel.region(2).0 >= 1 << 52, "unused");
    assert_eq!(kernel.get(&format!("{SCHEME}/target_nid")), "0");
    assert_eq!(kernel.get(&format!("{KDAMONDS}/0/state")), "off");

    promote(&mut damon, &batch([7], NodeId(2)));
    assert_eq!(kernel.region(0), (7 * 4096, 8 * 4096));
    assert!(kernel.region(1).0 >= 1 << 52, "no longer used");
    assert_eq!(kernel.get(&format!("{SCHEME}/target_nid")), "2");
}

#[test]
fn into_a_target_that_may_run_full_neighbours_go_in_two_passes() {
    let kernel = FakeKernel::new();
    let mut damon = kernel.damon();
    let zones = |free: u64| {
        let zones = format!(
            "Node 0, zone   Normal\n  pages free     {free}\n        high     100\n        protection: (0, 0)\n"
        );
        fs::write(kernel.places().procfs.join("zoneinfo"), zones).unwrap();
    };
    // What is told to the kernel last is the second pass, or the only one.
    for (free, last) in [
        (100 + 3 + MARGIN_PAGES, (0, 0x2000)),
        (100 + 2 + MARGIN_PAGES, (0x1000, 0x2000)),
    ] {
        zones(free);
        let fates = promote(&mut damon, &batch([5, 1, 0], TARGET));
        assert_eq!(fates.len(), 3);
        assert_eq!(kernel.region(0), last, "{free} free pages");
    }
}

#[test]
fn what_stays_three_times_is_pinned() {
    let kernel = FakeKernel::new();
    let mut damon = kernel.damon();
    let fates: Vec<_> = (0..3)
        .flat_map(|_| promote(&mut damon, &batch([1], TARGET)))
        .collect();
    assert_eq!(fates, [Fate::Stayed, Fate::Stayed, Fate::Pinned]);
}

#[test]
fn the_worker_is_never_switched_off_before_it_sleeps() {
    let kernel = FakeKernel::new();
    kernel.set("proc/42/stat", "42 (kdamond.0) D 2 0\n");
    let mut damon = kernel.damon();
    damon.first.kdamond.sleep_timeout = Duration::ZERO;
    let stop = StopFlag::new().unwrap();
    let error = damon.promote_batch(&batch([1], TARGET), &stop).unwrap_err();
    assert_eq!(error.severity(), Severity::Retry);
    assert_eq!(
        error.to_string(),
        "DAMON has not got to its pass within 0 s"
    );
    assert_eq!(kernel.get(&format!("{KDAMONDS}/0/state")), "on");
    kernel.set("proc/42/stat", "42 (kdamond.0) I 2 0\n");
    drop(damon);
    assert_eq!(kernel.get(&format!("{KDAMONDS}/0/state")), "off");
}

#[test]
fn whoever_is_told_to_stop_begins_no_pass() {
    let kernel = FakeKernel::new();
    let mut damon = kernel.damon();
    let stop = StopFlag::new().unwrap();
    stop.raise();
    let fates = damon.promote_batch(&batch([1, 3], TARGET), &stop).unwrap();
    assert_eq!(fates, [Fate::Stayed; 2]);
    assert_eq!(kernel.get(&format!("{KDAMONDS}/0/state")), "");
}

#[test]
fn folios_that_cannot_move_are_named_and_left_out() {
    let kernel = FakeKernel::new();
    kernel.flags(&[
        (1, PageFlags::BUDDY),
        (2, PageFlags::HUGE | PageFlags::COMPOUND_HEAD),
        (3, PageFlags::MMAP),
        (5, PageFlags::LRU | PageFlags::WRITEBACK),
    ]);
    let mut damon = kernel.damon();
    let fates = promote(&mut damon, &batch([1, 2, 3, 4, 5, 1 << 40], TARGET));
    let expected = [
        Fate::Gone,
        Fate::Hugetlb,
        Fate::NotLru,
        Fate::Stayed,
        Fate::Busy,
        Fate::Gone,
    ];
    assert_eq!(fates, expected);
    assert_eq!(kernel.region(0), (0x4000, 0x6000));
    assert!(kernel.region(1).0 >= 1 << 52);
    // Nothing is asked of DAMON for nothing.
    kernel.set(&format!("{KDAMONDS}/0/state"), "untouched");
    assert_eq!(promote(&mut damon, &batch([1, 2], TARGET)).len(), 2);
    assert_eq!(kernel.get(&format!("{KDAMONDS}/0/state")), "untouched");
}

#[test]
fn slots_grow_with_the_batches() {
    let kernel = FakeKernel::new();
    let mut damon = kernel.damon();
    let count = format!("{CONTEXT}/targets/0/regions/nr_regions");
    for (pages, slots) in [(3, "64"), (70, "128"), (1, "128")] {
        promote(
            &mut damon,
            &batch((0..pages).map(|number| number * 2), TARGET),
        );
        assert_eq!(kernel.get(&count), slots);
        let frames = kernel.frames_of(0, slots.parse().unwrap());
        assert_eq!(frames.len() as u64, pages);
    }
    let starts: Vec<_> = (0..128).map(|slot| kernel.region(slot).0).collect();
    assert!(starts.is_sorted_by(|a, b| a < b));
}

fn pass_interval(kernel: &FakeKernel, worker: u32) -> String {
    let file = format!("{KDAMONDS}/{worker}/contexts/0/schemes/0/apply_interval_us");
    kernel.get(&file)
}

#[test]
fn two_workers_share_a_batch_where_there_are_processors_and_passes_are_counted() {
    let frames: Vec<u64> = (0..100).map(|number| 2 * number).collect();
    let kernel = FakeKernel::new();
    let mut damon = Damon::set_up_with(kernel.places(), 2).unwrap();
    assert_eq!(pass_interval(&kernel, 0), "1000000", "woken");
    assert_eq!(pass_interval(&kernel, 1), "1000", "by the clock");
    let fates = promote(&mut damon, &batch(frames.iter().rev().copied(), TARGET));
    assert_eq!(fates, [Fate::Stayed; 100]);
    let parts = [kernel.frames_of(0, 64), kernel.frames_of(1, 64)];
    assert_eq!(parts.each_ref().map(Vec::len), [50, 50]);
    assert_eq!(parts.concat(), frames, "each page in one part");
    for worker in 0..2 {
        let state = format!("{KDAMONDS}/{worker}/state");
        assert_eq!(kernel.get(&state), "off");
        let target = format!("{KDAMONDS}/{worker}/contexts/0/schemes/0/target_nid");
        assert_eq!(kernel.get(&target), "0");
    }
    // A small batch is for one; what the other was told before is no longer tried.
    kernel.set(&format!("{KDAMONDS}/1/state"), "untouched");
    promote(&mut damon, &batch([1, 3], TARGET));
    assert_eq!(kernel.frames_of(0, 64), [1, 3]);
    assert_eq!(kernel.get(&format!("{KDAMONDS}/1/state")), "untouched");
    drop(damon);

    for (kernel, processors) in [(FakeKernel::new(), 1), (FakeKernel::old(), 2)] {
        let mut damon = Damon::set_up_with(kernel.places(), processors).unwrap();
        promote(&mut damon, &batch(frames.iter().copied(), TARGET));
        assert_eq!(kernel.frames_of(0, 128), frames);
        assert_eq!(pass_interval(&kernel, 1), "", "not set up");
    }
}

#[test]
fn one_worker_does_all_where_a_second_cannot_be_had() {
    let kernel = FakeKernel::new();
    let action = format!("{KDAMONDS}/1/contexts/0/schemes/0/action");
    let action = kernel.root.path().join(action);
    fs::remove_file(&action).unwrap();
    fs::create_dir(&action).unwrap();
    let mut damon = Damon::set_up_with(kernel.places(), 2).unwrap();
    let frames: Vec<u64> = (0..100).map(|number| 2 * number).collect();
    let fates = promote(&mut damon, &batch(frames.iter().copied(), TARGET));
    assert_eq!(fates, [Fate::Stayed; 100]);
    assert_eq!(kernel.frames_of(0, 128), frames);
    assert_eq!(kernel.get(&format!("{KDAMONDS}/1/state")), "");
    drop(damon);
    assert_eq!(kernel.get(&format!("{KDAMONDS}/nr_kdamonds")), "0");
    // Without the first there is nothing to go on with.
    let kernel = FakeKernel::new();
    let action = kernel.root.path().join(SCHEME).join("action");
    fs::remove_file(&action).unwrap();
    fs::create_dir(&action).unwrap();
    Damon::set_up_with(kernel.places(), 2).unwrap_err();
}

#[test]
fn fates_are_in_the_order_of_the_batch_whoever_moves_what() {
    let kernel = FakeKernel::new();
    kernel.flags(&[
        (2, PageFlags::HUGE | PageFlags::COMPOUND_HEAD),
        (190, PageFlags::BUDDY),
    ]);
    let mut damon = Damon::set_up_with(kernel.places(), 2).unwrap();
    let fates = promote(&mut damon, &batch((0..100).rev().map(|n| 2 * n), TARGET));
    let others = [(98, Fate::Hugetlb), (4, Fate::Gone)];
    let mut expected = [Fate::Stayed; 100];
    for (place, fate) in others {
        expected[place] = fate;
    }
    assert_eq!(fates, expected);
    let tried = [kernel.frames_of(0, 64), kernel.frames_of(1, 64)].concat();
    assert_eq!(tried.len(), 98);
    assert!(!tried.contains(&2) && !tried.contains(&190));
}

fn with_kdamond(damon: &mut Damon, worker: u32, change: impl FnOnce(&mut Kdamond)) {
    match worker {
        0 => change(&mut damon.first.kdamond),
        _ => change(&mut damon.second.as_ref().unwrap().mover().kdamond),
    }
}

#[test]
fn one_part_ends_also_when_the_other_fails() {
    for (failing, other) in [(0, 1), (1, 0)] {
        let kernel = FakeKernel::new();
        let mut damon = Damon::set_up_with(kernel.places(), 2).unwrap();
        with_kdamond(&mut damon, failing, |one| {
            one.sleep_timeout = Duration::ZERO
        });
        kernel.set(&format!("{KDAMONDS}/{failing}/pid"), "43\n");
        kernel.set("proc/43/stat", "43 (kdamond.0) R 2 0\n");
        let stop = StopFlag::new().unwrap();
        let batch = batch((0..100).map(|number| 2 * number), TARGET);
        damon.promote_batch(&batch, &stop).unwrap_err();
        let state = |worker| kernel.get(&format!("{KDAMONDS}/{worker}/state"));
        assert_eq!((state(failing), state(other)), ("on".into(), "off".into()));
        kernel.set("proc/43/stat", "43 (kdamond.0) I 2 0\n");
        drop(damon);
        assert_eq!(kernel.get(&format!("{KDAMONDS}/{failing}/state")), "off");
    }
}

#[test]
fn nothing_begins_when_one_part_cannot() {
    let kernel = FakeKernel::new();
    let mut damon = Damon::set_up_with(kernel.places(), 2).unwrap();
    let regions = format!("{KDAMONDS}/1/contexts/0/targets/0/regions/nr_regions");
    let path = kernel.root.path().join(&regions);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let stop = StopFlag::new().unwrap();
    let batch = batch((0..100).map(|number| 2 * number), TARGET);
    damon.promote_batch(&batch, &stop).unwrap_err();
    for worker in 0..2 {
        assert_eq!(kernel.get(&format!("{KDAMONDS}/{worker}/state")), "");
    }
}

#[test]
fn a_part_that_has_begun_ends_when_another_cannot() {
    let kernel = FakeKernel::new();
    let mut damon = Damon::set_up_with(kernel.places(), 2).unwrap();
    // The files stay open, but what they stand for is as if on a full disk.
    let state = kernel.root.path().join(format!("{KDAMONDS}/0/state"));
    damon.first.kdamond.set_state_file(Path::new("/dev/full"));
    let stop = StopFlag::new().unwrap();
    let batch = batch((0..100).map(|number| 2 * number), TARGET);
    damon.promote_batch(&batch, &stop).unwrap_err();
    assert_eq!(fs::read_to_string(state).unwrap(), "");
    assert_eq!(kernel.get(&format!("{KDAMONDS}/1/state")), "off");
}

#[test]
fn what_was_set_up_is_removed() {
    let kernel = FakeKernel::new();
    let mut damon = kernel.damon();
    promote(&mut damon, &batch([1], TARGET));
    drop(damon);
    assert_eq!(kernel.get(&format!("{KDAMONDS}/0/state")), "off");
    assert_eq!(kernel.get(&format!("{KDAMONDS}/nr_kdamonds")), "0");
}

#[test]
fn a_kernel_that_lacks_an_option_is_told() {
    let kernel = FakeKernel::new();
    let message = || kernel.refusal().to_string();
    kernel.set(&format!("{CONTEXT}/avail_operations"), "vaddr\nfvaddr\n");
    assert_eq!(
        message(),
        "DAMON has no operations on physical addresses, only vaddr, fvaddr; the kernel lacks \
         CONFIG_DAMON_PADDR"
    );
    kernel.set(
        &format!("{CONTEXT}/avail_operations"),
        "vaddr\nfvaddr\npaddr\n",
    );
    drop(kernel.damon());
    fs::remove_dir_all(kernel.root.path().join("sys/kernel/mm")).unwrap();
    let text = message();
    assert!(
        text.contains("CONFIG_DAMON_SYSFS and CONFIG_DAMON_PADDR"),
        "{text}"
    );
    fs::remove_dir_all(kernel.root.path().join("sys/kernel")).unwrap();
    let text = message();
    assert!(text.contains(": nothing is mounted at "), "{text}");
}

#[test]
fn a_half_made_set_up_is_removed() {
    let kernel = FakeKernel::new();
    let action = kernel.root.path().join(SCHEME).join("action");
    fs::remove_file(&action).unwrap();
    fs::create_dir(&action).unwrap();
    let message = kernel.refusal().to_string();
    assert!(message.contains("migrate_hot"), "{message}");
    assert_eq!(kernel.get(&format!("{KDAMONDS}/nr_kdamonds")), "0");
}
