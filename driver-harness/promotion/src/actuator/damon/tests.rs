// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use chmu_machine::lock::{self, Claim};

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
        for file in files {
            kernel.set(&format!("{KDAMONDS}/0/{file}"), "");
        }
        for quantity in ["sz", "nr_accesses", "age"] {
            for bound in ["min", "max"] {
                kernel.set(&format!("{SCHEME}/access_pattern/{quantity}/{bound}"), "0");
            }
        }
        kernel.set(&format!("{SCHEME}/quotas/bytes"), "0");
        kernel.set(&format!("{SCHEME}/quotas/reset_interval_ms"), "0");
        // A quota of one byte does not hold at once.
        kernel.statistics(&[("nr_tried", 1), ("sz_tried", 4096)]);
        for slot in 0..64 {
            for bound in ["start", "end"] {
                let path = format!("{CONTEXT}/targets/0/regions/{slot}/{bound}");
                kernel.set(&path, "");
            }
        }
        kernel.set(&format!("{KDAMONDS}/nr_kdamonds"), "0");
        kernel.set(&format!("{KDAMONDS}/0/pid"), "42\n");
        kernel.set("proc/42/stat", "42 (kdamond.0) I 2 0\n");
        kernel.flags(&[]);
        kernel.set("proc/vmstat", "nr_free_pages 0\n");
        kernel
    }

    /// Linux 7.3.
    fn new() -> FakeKernel {
        let kernel = Self::old();
        for file in [
            "pause",
            "monitoring_attrs/probes/nr_probes",
            "monitoring_attrs/probes/0/weight",
        ] {
            kernel.set(&format!("{CONTEXT}/{file}"), "");
        }
        kernel.set(&format!("{SCHEME}/stats/max_nr_snapshots"), "0");
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

    /// Frames 0 to 63 hold pages that could move, but for these.
    fn flags(&self, others: &[(usize, PageFlags)]) {
        let mut words = [(PageFlags::LRU | PageFlags::ANON).bits(); 64];
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
        let [start, end] = ["start", "end"].map(|bound| {
            let path = format!("{CONTEXT}/targets/0/regions/{slot}/{bound}");
            self.get(&path).parse().unwrap()
        });
        (start, end)
    }

    fn places(&self) -> Places {
        Places {
            sysfs: self.root.path().join("sys"),
            procfs: self.root.path().join("proc"),
            runtime: self.root.path().join("run"),
        }
    }

    fn damon(&self) -> Damon {
        Damon::set_up(self.places()).unwrap()
    }

    fn refusal(&self) -> ActuatorError {
        Damon::set_up(self.places()).unwrap_err()
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
        ("nr_kdamonds", "4"),
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
        ["65536", "4294967295"],
        "of 16 slots, for good"
    );
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
    damon.kdamond.sleep_timeout = Duration::ZERO;
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
    for count in [3, 30, 1] {
        promote(
            &mut damon,
            &batch((0..count).map(|number| number * 2), TARGET),
        );
    }
    let count = format!("{CONTEXT}/targets/0/regions/nr_regions");
    assert_eq!(kernel.get(&count), "32");
    assert_eq!(kernel.region(0), (0, 4096));
    let starts: Vec<_> = (0..32).map(|slot| kernel.region(slot).0).collect();
    assert!(starts.is_sorted_by(|a, b| a < b));
    assert!(starts[1] >= 1 << 52);
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
