// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Linux finds the device, assembles its region and places its memory below DRAM.

use anyhow::{Context, Result};
use chmu_lab::platform::KernelChoice;
use chmu_tests::guest::{Guest, Setup};
use serde_json::json;

/// Not the default, so that what is read comes from here.
const DEVICE: &str = r#"
    [[block]]
    [[block.instance]]
    message_number = 3
    hotlist_entries = 200
    unit_sizes = ["4K", "64K"]
    trackable_requests = ["non-tee-read", "non-tee-read-write"]
    minimum_epoch = "2ms"
    maximum_epoch = "5s"
    down_sampling_factors = [1, 8]
    randomised_down_sampling = false
    [[block.instance]]
    epoch_type = "per-counter"
    fill_level_interrupt = false
    epoch_mode = false
"#;

#[test]
fn the_newest_kernel_finds_everything() -> Result<()> {
    everything_is_found(KernelChoice::Backports)
}

#[test]
fn kernel_6_12_finds_everything() -> Result<()> {
    everything_is_found(KernelChoice::Lts612)
}

fn everything_is_found(kernel: KernelChoice) -> Result<()> {
    let mut setup = Setup {
        kernel,
        ..Setup::default().with_device(DEVICE)
    };
    setup.options.append.push("cxl_core.dyndbg=+p".to_owned());
    let window = setup.topology.nodes[1].window.as_mut();
    window.context("Node 1 is CXL memory")?.devices[0].serial_number = 0x1234_5678_9abc;
    let mut guest = Guest::boot(&setup)?;
    check_bus(&mut guest)?;
    check_memory(&mut guest)?;
    check_speed(&mut guest)?;
    check_list(&mut guest)?;
    guest.check_kernel(true)?;
    guest.finish()
}

/// The objects of the CXL bus.
fn check_bus(guest: &mut Guest) -> Result<()> {
    let window = guest.topology().windows()[0];
    let (base, size) = (
        format!("{:#x}", window.base.0),
        format!("{:#x}", window.size_bytes),
    );
    for (file, content) in [
        ("mem0/serial", "0x123456789abc"),
        ("mem0/ram/size", &size),
        ("mem0/pmem/size", "0x0"),
        ("endpoint2/decoder2.0/start", &base),
        ("endpoint2/decoder2.0/size", &size),
        ("endpoint2/decoder2.0/locked", "1"),
        ("region0/commit", "1"),
        ("region0/mode", "ram"),
        ("region0/resource", &base),
        ("region0/size", &size),
        ("region0/interleave_ways", "1"),
    ] {
        let path = format!("/sys/bus/cxl/devices/{file}");
        assert_eq!(guest.read(&path)?.trim_end(), content, "{path}");
    }
    let driver = guest.shell("readlink -f /sys/bus/cxl/devices/mem0/../driver")?;
    assert!(driver.ends_with("/cxl_pci"), "{driver}");
    Ok(())
}

/// The memory: resources, nodes, tiers.
fn check_memory(guest: &mut Guest) -> Result<()> {
    let window = guest.topology().windows()[0];
    let range = format!(
        "{:x}-{:x}",
        window.base.0,
        window.base.0 + window.size_bytes - 1
    );
    let resources = guest.read("/proc/iomem")?;
    let lines: Vec<_> = resources.lines().collect();
    let at = lines
        .iter()
        .position(|line| *line == format!("{range} : CXL Window 0"))
        .with_context(|| format!("No window: {resources}"))?;
    assert_eq!(lines[at + 1], format!("  {range} : region0"), "{resources}");
    assert_eq!(
        lines[at + 2],
        format!("    {range} : System RAM"),
        "{resources}"
    );

    assert_eq!(guest.shell("cat /sys/devices/system/node/has_cpu")?, "0");
    let movable = "/sys/devices/system/node/has_memory";
    assert_eq!(guest.shell(&format!("cat {movable}"))?, "0-1");
    let zones = guest.shell(
        "awk '/^Node/ {zone = $2 $4} /present/ && $2 > 0 {print zone}' /proc/zoneinfo | grep ^1,",
    )?;
    assert_eq!(zones, "1,Movable");

    let tiers = guest.shell(
        "cd /sys/devices/virtual/memory_tiering && grep . memory_tier*/nodelist | sort -V",
    )?;
    let nodes: Vec<_> = tiers
        .lines()
        .filter_map(|line| line.split_once(':').map(|(_, nodes)| nodes))
        .collect();
    // Higher numbers are slower memory.
    assert_eq!(nodes, ["0", "1"], "{tiers}");
    Ok(())
}

/// What the device says of its memory makes, with the way to it, what HMAT says of the node, and
/// gives it the window's class of service.
fn check_speed(guest: &mut Guest) -> Result<()> {
    let devices = "/sys/bus/cxl/devices";
    for (file, content) in [
        ("mem0/numa_node", "0"),
        ("mem0/ram/qos_class", "0"),
        ("root0/decoder0.0/qos_class", "0"),
    ] {
        assert_eq!(
            guest.read(&format!("{devices}/{file}"))?.trim_end(),
            content,
            "{file}"
        );
    }
    // The kernel shows its sum only where it brings the memory up itself; here it says it when asked.
    let log = guest.shell("dmesg | grep DSMAS: | tail -1")?;
    let expected = "qos: 0 read_bw: 20480 write_bw 20480 read_lat: 300 write_lat: 300";
    assert!(log.ends_with(expected), "{log}");
    for (figure, value) in [("latency", 300), ("bandwidth", 20480)] {
        for direction in ["read", "write"] {
            let initiators = "/sys/devices/system/node/node1/access0/initiators";
            let path = format!("{initiators}/{direction}_{figure}");
            assert_eq!(guest.read(&path)?.trim_end(), value.to_string(), "{path}");
        }
    }
    Ok(())
}

/// What `chmu list` says of the units.
fn check_list(guest: &mut Guest) -> Result<()> {
    let listed = guest.json(&["chmu", "list", "-o", "json"])?;
    let [device] = listed.as_array().context("No list")?.as_slice() else {
        anyhow::bail!("Not one device: {listed}");
    };
    assert_eq!(device["memdev"], "mem0");
    assert_eq!(device["serial"], 0x1234_5678_9abc_u64);
    assert_eq!(device["driver"], "cxl_pci");
    let instances = &device["blocks"][0]["instances"];
    let first = &instances[0]["capabilities"];
    assert_eq!(instances[0]["name"], "cxl_hmu_mem0.0.0");
    for (name, value) in [
        ("message_number", json!(3)),
        ("overflow_interrupt", json!(true)),
        ("fill_level_interrupt", json!(true)),
        ("epoch_type", json!("global")),
        ("requests", json!(["non-tee-read", "non-tee-read-write"])),
        ("minimum_epoch_ns", json!(2_000_000)),
        ("maximum_epoch_ns", json!(5_000_000_000_u64)),
        ("hotlist_entries", json!(200)),
        ("unit_sizes", json!([4096, 65536])),
        ("down_sampling_factors", json!([1, 8])),
        ("modes", json!(["epoch", "always-on"])),
        ("randomised_down_sampling", json!(false)),
    ] {
        assert_eq!(first[name], value, "{name} of {first}");
    }
    let second = &instances[1]["capabilities"];
    assert_eq!(instances[1]["name"], "cxl_hmu_mem0.0.1");
    assert_eq!(second["epoch_type"], "per-counter");
    assert_eq!(second["fill_level_interrupt"], false);
    assert_eq!(second["modes"], json!(["always-on"]));
    Ok(())
}
