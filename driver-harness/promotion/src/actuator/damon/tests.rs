// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use std::collections::BTreeMap;
use std::fs;

use super::*;

const KDAMONDS: &str = "kernel/mm/damon/admin/kdamonds";
const CONTEXT: &str = "kernel/mm/damon/admin/kdamonds/0/contexts/0";
const SCHEME: &str = "kernel/mm/damon/admin/kdamonds/0/contexts/0/schemes/0";

/// The files of a kernel's DAMON, as plain files: nothing happens by itself.
struct FakeKernel {
    sysfs: tempfile::TempDir,
}

impl FakeKernel {
    /// Linux 6.12.
    fn old() -> FakeKernel {
        let kernel = FakeKernel {
            sysfs: tempfile::tempdir().unwrap(),
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
        for slot in 0..64 {
            for bound in ["start", "end"] {
                let path = format!("{CONTEXT}/targets/0/regions/{slot}/{bound}");
                kernel.set(&path, "");
            }
        }
        kernel.set(&format!("{KDAMONDS}/nr_kdamonds"), "0");
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
        kernel.set("module/damon_stat/parameters/enabled", "N");
        kernel
    }

    fn set(&self, path: &str, value: &str) {
        let path = self.sysfs.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, value).unwrap();
    }

    fn statistics(&self, values: &[(&str, u64)]) {
        for (name, value) in values {
            self.set(&format!("{SCHEME}/stats/{name}"), &value.to_string());
        }
    }

    /// The first line: the kernel has whole files where these keep what they held before.
    fn get(&self, path: &str) -> String {
        let text = fs::read_to_string(self.sysfs.path().join(path)).unwrap();
        text.lines().next().unwrap_or_default().to_owned()
    }

    fn region(&self, slot: u32) -> (u64, u64) {
        let [start, end] = ["start", "end"].map(|bound| {
            let path = format!("{CONTEXT}/targets/0/regions/{slot}/{bound}");
            self.get(&path).parse().unwrap()
        });
        (start, end)
    }

    fn try_damon(&self) -> Result<Damon, DamonError> {
        set_up(self.sysfs.path())
    }

    fn damon(&self) -> Damon {
        self.try_damon().unwrap()
    }
}

/// No frame has flags.
fn set_up(sysfs: &Path) -> Result<Damon, DamonError> {
    Damon::set_up(sysfs, PageFlagsFile::open(Path::new("/dev/null")).unwrap())
}

fn frames(numbers: impl IntoIterator<Item = u64>) -> Vec<Pfn> {
    numbers.into_iter().map(Pfn).collect()
}

#[test]
fn every_region_is_let_through() {
    let kernel = FakeKernel::new();
    let _damon = kernel.damon();
    let expected = BTreeMap::from([
        ("nr_kdamonds", "1"),
        ("0/contexts/nr_contexts", "1"),
        ("0/contexts/0/operations", "paddr"),
        ("0/contexts/0/monitoring_attrs/nr_regions/min", "3"),
        ("0/contexts/0/monitoring_attrs/probes/0/weight", "1"),
        ("0/contexts/0/schemes/0/action", "migrate_hot"),
        ("0/contexts/0/schemes/0/apply_interval_us", "1000"),
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
fn a_batch_is_one_counted_pass_over_its_regions() {
    let kernel = FakeKernel::new();
    let mut damon = kernel.damon();
    kernel.statistics(&[("nr_snapshots", 1), ("sz_applied", 3 * 4096)]);
    let batch = frames([0x100_005, 0x100_001, 0x100_000]);
    let moved_bytes = damon.move_frames(&batch, NodeId(0)).unwrap();
    assert_eq!(moved_bytes, 3 * 4096);
    assert_eq!(kernel.region(0), (0x1_0000_0000, 0x1_0000_2000));
    assert_eq!(kernel.region(1), (0x1_0000_5000, 0x1_0000_6000));
    assert!(kernel.region(2).0 >= 1 << 52, "unused");
    assert_eq!(kernel.get(&format!("{SCHEME}/target_nid")), "0");
    assert_eq!(kernel.get(&format!("{SCHEME}/stats/max_nr_snapshots")), "1");
    assert_eq!(kernel.get(&format!("{CONTEXT}/pause")), "Y");
    assert_eq!(kernel.get(&format!("{KDAMONDS}/0/state")), "commit");

    kernel.statistics(&[("nr_snapshots", 2), ("sz_applied", 4 * 4096)]);
    let moved_bytes = damon.move_frames(&frames([7]), NodeId(2)).unwrap();
    assert_eq!(moved_bytes, 4096);
    assert_eq!(kernel.region(0), (7 * 4096, 8 * 4096));
    assert!(kernel.region(1).0 >= 1 << 52, "no longer used");
    assert_eq!(kernel.get(&format!("{SCHEME}/target_nid")), "2");
    assert_eq!(kernel.get(&format!("{SCHEME}/stats/max_nr_snapshots")), "2");
}

#[test]
fn an_old_kernel_is_switched_off_after_each_pass() {
    let kernel = FakeKernel::old();
    let mut damon = kernel.damon();
    assert_eq!(kernel.get(&format!("{SCHEME}/apply_interval_us")), "100000");
    kernel.statistics(&[("sz_tried", 16 * 4096), ("sz_applied", 2 * 4096)]);
    for _ in 0..2 {
        let moved_bytes = damon.move_frames(&frames([1, 3]), NodeId(0)).unwrap();
        assert_eq!(moved_bytes, 2 * 4096);
        assert_eq!(kernel.get(&format!("{KDAMONDS}/0/state")), "off");
    }
}

#[test]
fn a_pass_over_part_of_the_regions_is_none() {
    let kernel = FakeKernel::old();
    let mut damon = kernel.damon();
    damon.pass_timeout = Duration::ZERO;
    kernel.statistics(&[("sz_tried", 15 * 4096), ("sz_applied", 4096)]);
    let error = damon.move_frames(&frames([1, 3]), NodeId(0)).unwrap_err();
    let message = error.to_string();
    assert_eq!(message, "DAMON has not passed over 2 regions within 0 s");
    drop(damon);
    assert_eq!(kernel.get(&format!("{KDAMONDS}/0/state")), "off");
}

#[test]
fn slots_grow_with_the_batches() {
    let kernel = FakeKernel::new();
    let mut damon = kernel.damon();
    for (pass, count) in [(1, 3), (2, 40), (3, 1)] {
        kernel.statistics(&[("nr_snapshots", pass), ("sz_applied", 0)]);
        let batch = frames((0..count).map(|number| number * 2));
        damon.move_frames(&batch, NodeId(0)).unwrap();
    }
    let count = format!("{CONTEXT}/targets/0/regions/nr_regions");
    assert_eq!(kernel.get(&count), "64");
    assert_eq!(kernel.region(0), (0, 4096));
    let starts: Vec<_> = (0..64).map(|slot| kernel.region(slot).0).collect();
    assert!(starts.is_sorted_by(|a, b| a < b));
    assert!(starts[1] >= 1 << 52);
}

#[test]
fn what_was_set_up_is_removed() {
    let kernel = FakeKernel::new();
    let mut damon = kernel.damon();
    kernel.statistics(&[("nr_snapshots", 1), ("sz_applied", 0)]);
    damon.move_frames(&frames([1]), NodeId(0)).unwrap();
    drop(damon);
    assert_eq!(kernel.get(&format!("{KDAMONDS}/0/state")), "off");
    assert_eq!(kernel.get(&format!("{KDAMONDS}/nr_kdamonds")), "0");
}

#[test]
fn another_users_workers_are_left_alone() {
    let kernel = FakeKernel::new();
    kernel.set(&format!("{KDAMONDS}/nr_kdamonds"), "2");
    let error = kernel.try_damon().unwrap_err();
    assert!(matches!(error, DamonError::Occupied { kdamonds: 2, .. }));
    assert_eq!(kernel.get(&format!("{KDAMONDS}/nr_kdamonds")), "2");
}

#[test]
fn a_module_that_keeps_damon_is_named_with_the_way_out() {
    let kernel = FakeKernel::new();
    kernel.set("module/damon_stat/parameters/enabled", "Y\n");
    let message = kernel.try_damon().unwrap_err().to_string();
    assert!(message.starts_with("The module damon_stat keeps DAMON for itself; switch it off by"));
    assert!(message.contains("damon_stat/parameters/enabled"));
    assert_eq!(kernel.get(&format!("{KDAMONDS}/nr_kdamonds")), "0");
}

#[test]
fn a_kernel_that_lacks_an_option_is_told() {
    let empty = tempfile::tempdir().unwrap();
    let message = |sysfs: &Path| set_up(sysfs).unwrap_err().to_string();
    let text = message(empty.path());
    assert!(text.contains(": nothing is mounted at "), "{text}");
    fs::create_dir(empty.path().join("kernel")).unwrap();
    let text = message(empty.path());
    assert!(
        text.contains("CONFIG_DAMON_SYSFS and CONFIG_DAMON_PADDR"),
        "{text}"
    );

    let kernel = FakeKernel::new();
    kernel.set(&format!("{CONTEXT}/avail_operations"), "vaddr\nfvaddr\n");
    assert_eq!(
        message(kernel.sysfs.path()),
        "DAMON has no operations on physical addresses, only vaddr, fvaddr; the kernel lacks \
         CONFIG_DAMON_PADDR"
    );
    kernel.set(
        &format!("{CONTEXT}/avail_operations"),
        "vaddr\nfvaddr\npaddr\n",
    );
    kernel.set(&format!("{KDAMONDS}/nr_kdamonds"), "0");
    kernel.try_damon().unwrap();
}

#[test]
fn a_half_made_set_up_is_removed() {
    let kernel = FakeKernel::new();
    let action = kernel.sysfs.path().join(SCHEME).join("action");
    fs::remove_file(&action).unwrap();
    fs::create_dir(&action).unwrap();
    let message = kernel.try_damon().unwrap_err().to_string();
    assert!(message.contains("migrate_hot"), "{message}");
    assert_eq!(kernel.get(&format!("{KDAMONDS}/nr_kdamonds")), "0");
}
