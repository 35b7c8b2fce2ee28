// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `chmu targets` in a guest: what the firmware's tables say is what the kernel made of them.

use anyhow::{Context, Result};
use chmu_lab::platform::KernelChoice;
use chmu_tests::guest::{Guest, Setup};
use serde_json::{Value, json};

#[test]
fn the_newest_kernel_agrees_with_the_tables() -> Result<()> {
    tables_and_kernel_agree(KernelChoice::Backports)
}

#[test]
fn kernel_6_12_agrees_with_the_tables() -> Result<()> {
    tables_and_kernel_agree(KernelChoice::Lts612)
}

fn tables_and_kernel_agree(kernel: KernelChoice) -> Result<()> {
    let setup = Setup {
        kernel,
        ..Setup::default()
    };
    let mut guest = Guest::boot(&setup)?;
    let shown = guest.json(&["chmu", "targets", "-o", "json"])?;
    assert_eq!(shown["tiers_from"], "kernel", "{shown}");
    assert_eq!(shown["disagreements"], json!([]), "{shown}");
    assert_eq!(shown["unusable_tables"], json!([]), "{shown}");
    let told = guest.json(&[
        "chmu",
        "targets",
        "--from",
        "/sys/firmware/acpi/tables",
        "-o",
        "json",
    ])?;
    assert_eq!(told["tiers_from"], "performance", "{told}");
    for explained in [&shown, &told] {
        let [fast, slow] = nodes(explained)? else {
            anyhow::bail!("Not two nodes: {explained}");
        };
        check_nodes(fast, slow);
    }
    // Only the kernel knows what is free; the rest is the same by either way.
    for (shown, told) in nodes(&shown)?.iter().zip(nodes(&told)?) {
        for fact in ["tier", "has_processors", "has_memory", "access", "sentence"] {
            assert_eq!(shown[fact], told[fact], "{fact}");
        }
        assert!(
            shown["headroom_bytes"]
                .as_u64()
                .is_some_and(|bytes| bytes > 0)
        );
        assert_eq!(told["headroom_bytes"], Value::Null);
    }
    let text = guest.shell("chmu targets -u")?;
    assert!(
        text.ends_with("The firmware's tables and the kernel agree."),
        "{text}"
    );
    let refusal = guest.shell("chmu promote --target 9 2>&1 || true")?;
    assert!(
        refusal.contains("There is no node 9 with memory; the nodes with memory are 0, 1"),
        "{refusal}"
    );
    guest.check_kernel(true)?;
    guest.finish()
}

fn nodes(explained: &Value) -> Result<&[Value]> {
    let nodes = explained["nodes"].as_array().context("No nodes")?;
    Ok(nodes)
}

fn check_nodes(fast: &Value, slow: &Value) {
    assert_eq!(fast["target"], Value::Null, "{fast}");
    assert_eq!(
        fast["sentence"],
        "Node 0 is in the top memory tier already."
    );
    assert_eq!(slow["target"], 0, "{slow}");
    assert_eq!(slow["access"]["from"], 0, "{slow}");
    for (figure, value) in [("latency_ns", 300), ("bandwidth_mb_per_s", 20480)] {
        for direction in ["read", "write"] {
            assert_eq!(
                slow["access"][format!("{direction}_{figure}")],
                value,
                "{slow}"
            );
        }
    }
    let [target] = slow["targets"].as_array().map_or(&[][..], Vec::as_slice) else {
        panic!("not one target: {slow}");
    };
    assert_eq!(target["preferred"], true);
    assert_eq!(target["access"]["read_latency_ns"], 100);
}
