// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! CXL memory that comes as a dax device: daxctl makes it System RAM, and a dax device again.

use anyhow::Result;
use chmu_lab::machine::MemoryAs;
use chmu_lab::platform::KernelChoice;
use chmu_tests::guest::{Guest, Setup};
use serde_json::Value;

#[test]
fn daxctl_reconfigures_on_the_newest_kernel() -> Result<()> {
    reconfigure(KernelChoice::Backports)
}

#[test]
fn daxctl_reconfigures_on_kernel_6_12() -> Result<()> {
    reconfigure(KernelChoice::Lts612)
}

fn reconfigure(kernel: KernelChoice) -> Result<()> {
    let mut setup = Setup {
        kernel,
        tools: true,
        ..Setup::default()
    };
    setup.options.memory_as = MemoryAs::Dax;
    let mut guest = Guest::boot(&setup)?;
    guest.check_kernel(true)?;
    let window = guest.topology().windows()[0].size_bytes;
    let pages = window / 4096;
    let mut device = listed(&mut guest)?;
    assert_eq!(device["mode"], "devdax", "{device}");
    assert_eq!(device["size"], window, "{device}");
    assert_eq!(device["target_node"], 1, "{device}");
    guest.shell("[ -c /dev/dax0.0 ]")?;
    assert_eq!(movable_pages(&mut guest)?, "0");

    guest.shell("daxctl reconfigure-device --mode=system-ram dax0.0")?;
    device = listed(&mut guest)?;
    assert_eq!(device["mode"], "system-ram", "{device}");
    assert_eq!(
        device["online_memblocks"], device["total_memblocks"],
        "{device}"
    );
    assert_eq!(device["movable"], true, "{device}");
    assert_eq!(movable_pages(&mut guest)?, pages.to_string());
    // Slower than DRAM, by the same figures as memory that comes as System RAM.
    let latency = "/sys/devices/system/node/node1/access0/initiators/read_latency";
    let wanted = guest.topology().nodes[1].access[0].latency_ns;
    assert_eq!(guest.read(latency)?.trim_end(), wanted.to_string());
    let tiers = "cat /sys/devices/virtual/memory_tiering/memory_tier*/nodelist";
    assert_eq!(guest.shell(tiers)?, "0\n1");

    guest.shell("daxctl offline-memory dax0.0")?;
    guest.shell("daxctl reconfigure-device --mode=devdax dax0.0")?;
    device = listed(&mut guest)?;
    assert_eq!(device["mode"], "devdax", "{device}");
    assert_eq!(movable_pages(&mut guest)?, "0");
    guest.finish()
}

fn listed(guest: &mut Guest) -> Result<Value> {
    Ok(guest.json(&["daxctl", "list"])?[0].take())
}

/// Of node 1.
fn movable_pages(guest: &mut Guest) -> Result<String> {
    guest.shell(
        "awk '/^Node/ {node = $2 $4} node == \"1,Movable\" && /present/ {pages = $2} \
         END {print pages + 0}' /proc/zoneinfo",
    )
}
