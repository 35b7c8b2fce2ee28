// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Functions and their listing, from folders as the kernel shows them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use chmu_spec::cxl::dvsec::block_id;

use super::super::listing::{Table, list};
use super::*;

/// A function's folder as the kernel shows it.
fn add_function(sysfs: &Path, address: &str, class: &str, config: &[u8]) {
    let folder = sysfs.join("bus/pci/devices").join(address);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("class"), class).unwrap();
    fs::write(folder.join("numa_node"), "-1\n").unwrap();
    fs::write(folder.join("config"), config).unwrap();
}

#[test]
fn functions_are_found_by_address_or_memory_device() {
    let sysfs = tempfile::tempdir().unwrap();
    assert_eq!(PciFunction::all(sysfs.path()).unwrap(), []);
    let mut config = locator(&[0x504, 0]);
    config[4] = 6;
    add_function(sysfs.path(), "0000:35:00.0", "0x050210\n", &config);
    add_function(sysfs.path(), "0000:00:01.0", "0x030000\n", &[0; 64]);
    let folder = sysfs.path().join("bus/pci/devices/0000:35:00.0");
    fs::create_dir(folder.join("mem3")).unwrap();
    symlink("../../../bus/pci/drivers/cxl_pci", folder.join("driver")).unwrap();

    let functions = PciFunction::all(sysfs.path()).unwrap();
    assert_eq!(functions.len(), 2);
    let device = &functions[1];
    assert!(device.is_memory_device() && !functions[0].is_memory_device());
    assert_eq!(device.driver.as_deref(), Some("cxl_pci"));
    assert_eq!(device.numa_node, None);
    assert_eq!(device.unit_owner(), "mem3");
    assert_eq!(Access::of(device), Access::Sysfs);
    let places = device.identify().unwrap().places(block_id::HOTNESS_MONITOR);
    assert_eq!(places, [BarOffset { bar: 4, offset: 0 }]);
    for name in ["0000:35:00.0", "35:00.0", "mem3"] {
        let selection = Selection {
            device: Some(name.into()),
            ..Selection::default()
        };
        let found = select_functions(sysfs.path(), &selection).unwrap();
        assert_eq!(&found[0], device, "{name}");
    }
    let missing = Selection {
        device: Some("mem0".into()),
        ..Selection::default()
    };
    let error = select_functions(sysfs.path(), &missing).unwrap_err();
    assert_eq!(
        error.to_string(),
        "There is no CXL memory device mem0; the CXL memory devices are 0000:35:00.0 (mem3)"
    );
    let message = functions[0].identify().unwrap_err().to_string();
    assert!(
        message.contains("it ends after 64 bytes, before the extended capabilities: "),
        "{message}"
    );
}

/// A sysfs with one device whose parts lie elsewhere than ours do, and one of another kind.
fn sysfs_with_unit() -> tempfile::TempDir {
    let sysfs = tempfile::tempdir().unwrap();
    let mut config = locator(&[0x0001_0504, 0]);
    config[4] = 6;
    add_function(sysfs.path(), "0000:35:00.0", "0x050210\n", &config);
    add_function(sysfs.path(), "0000:00:01.0", "0x030000\n", &[0; 64]);
    let folder = sysfs.path().join("bus/pci/devices/0000:35:00.0");
    let none = "0x0 0x0 0x0\n".repeat(4);
    let resource = format!("{none}0x8000000000 0x800001ffff 0x14220c\n");
    fs::write(folder.join("resource"), resource).unwrap();
    let whole = function(FOREIGN);
    let bytes: Vec<u8> = (0..BAR_BYTES)
        .step_by(8)
        .flat_map(|at| whole.word(4, at).to_le_bytes())
        .collect();
    fs::write(folder.join("resource4"), bytes).unwrap();
    sysfs
}

#[test]
fn units_are_opened_through_sysfs_by_their_name() {
    let sysfs = sysfs_with_unit();
    let selection = Selection::default();
    let units = open_units(sysfs.path(), &selection).unwrap();
    assert_eq!(units.len(), 1);
    assert_eq!(units[0].1.name(), "cxl_hmu_0000:35:00.0.0.0");
    let selection = Selection {
        unit: Some("cxl_hmu_mem0.0.0".into()),
        ..selection
    };
    let error = open_units(sysfs.path(), &selection).unwrap_err();
    assert_eq!(
        error.to_string(),
        "No hotness monitoring unit was found named cxl_hmu_mem0.0.0: there are \
         cxl_hmu_0000:35:00.0.0.0"
    );
}

#[test]
fn a_listing_shows_every_device_and_what_is_wrong_with_it() {
    let empty = tempfile::tempdir().unwrap();
    let selection = Selection::default();
    assert_eq!(list(empty.path(), &selection).unwrap(), []);

    let sysfs = sysfs_with_unit();
    add_function(sysfs.path(), "0000:36:00.0", "0x050210\n", &[0; 64]);
    let mut silent = locator(&[0x0001_0504, 0]);
    silent[4] = 0;
    add_function(sysfs.path(), "0000:37:00.0", "0x050210\n", &silent);
    let folder = sysfs.path().join("bus/pci/devices/0000:37:00.0");
    fs::write(folder.join("resource"), "").unwrap();
    let listed = list(sysfs.path(), &selection).unwrap();
    let value = serde_json::to_value(&listed).unwrap();
    assert_eq!(value[0]["device"], "0000:35:00.0");
    let instance = &value[0]["blocks"][0]["instances"][0];
    assert_eq!(instance["name"], "cxl_hmu_0000:35:00.0.0.0");
    assert_eq!(instance["capabilities"]["hotlist_entries"], 8);
    assert_eq!(instance["capabilities"]["unit_sizes"][0], 4096);
    assert_eq!(instance["capabilities"]["maximum_epoch_ns"], 1_000_000_000);
    assert_eq!(
        instance["configuration"]["epoch_ns"],
        serde_json::Value::Null
    );
    assert_eq!(instance["status"]["counter_width"], 16);
    let error = |index: usize| value[index]["error"].as_str().unwrap_or_default();
    assert!(error(1).contains("it ends after 64 bytes"), "{}", error(1));
    assert!(error(2).contains("memory decoding"), "{}", error(2));
    assert_eq!(value.as_array().map(Vec::len), Some(3));

    let text = Table(&listed).to_string();
    let expected = "\
0000:35:00.0  no driver
  block 0 at BAR4+0x10000  version 1  1 instance of 0x100 bytes
    cxl_hmu_0000:35:00.0.0.0
      unit sizes    4K
";
    assert!(text.starts_with(expected), "{text}");
    assert!(
        text.contains("epochs        100us to 1s, global\n"),
        "{text}"
    );
    assert!(
        text.contains("\n0000:37:00.0  no driver\n  error: "),
        "{text}"
    );
}

/// Opens the function through VFIO, which is not there: an error of its own says that it was asked.
fn open_by_vfio(sysfs: &Path, address: &str, risk_memory_loss: bool) -> String {
    let selection = Selection {
        device: Some(address.into()),
        ..Selection::default()
    };
    let functions = select_functions(sysfs, &selection).unwrap();
    let opening = Opening {
        access: Some(Access::Vfio),
        risk_memory_loss,
    };
    open_function(&functions[0], opening)
        .unwrap_err()
        .to_string()
}

#[test]
fn what_vfio_would_harm_is_not_opened() {
    let sysfs = sysfs_with_unit();
    add_function(sysfs.path(), "0000:36:00.0", "0x010802\n", &[0; 4096]);
    for risk in [false, true] {
        let message = open_by_vfio(sysfs.path(), "36:00.0", risk);
        let expected =
            "0000:36:00.0 has no block of hotness monitoring units in its Register Locator";
        assert_eq!(message, expected);
    }
    let method = sysfs
        .path()
        .join("bus/pci/devices/0000:35:00.0/reset_method");
    for (methods, refused) in [
        (None, true),
        (Some("bus\n"), true),
        (Some("flr bus\n"), false),
    ] {
        if let Some(methods) = methods {
            fs::write(&method, methods).unwrap();
        }
        let message = open_by_vfio(sysfs.path(), "35:00.0", false);
        let is_refused = message.starts_with("0000:35:00.0 is not opened: VFIO resets ");
        assert_eq!(is_refused, refused, "{methods:?}: {message}");
    }
    fs::write(&method, "bus\n").unwrap();
    let message = open_by_vfio(sysfs.path(), "35:00.0", true);
    assert!(message.contains("vfio-pci"), "{message}");
}
