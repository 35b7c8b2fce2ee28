// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What `chmu` says where the kernel or the machine does not let it.

use anyhow::{Context, Result};
use chmu_tests::guest::{Guest, PROGRAM_TIMEOUT, Setup};

/// Runs a command that must fail; what it says.
fn refusal(guest: &mut Guest, command: &str) -> Result<String> {
    let output = guest.run(&["sh", "-c", command], PROGRAM_TIMEOUT)?;
    assert_ne!(output.exit_code, 0, "{command}: {}", output.stdout);
    Ok(output.stderr)
}

fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}

#[test]
fn each_names_its_cause_and_the_way_out() -> Result<()> {
    let mut guest = Guest::boot(&Setup::default())?;
    for (command, parts) in [
        (
            "chmu watch --device mem7",
            &[
                "There is no CXL memory device mem7; the CXL memory devices are 0000:",
                "(mem0)",
            ][..],
        ),
        (
            "chmu watch --unit cxl_hmu_mem0.0.7",
            &["named cxl_hmu_mem0.0.7: there are cxl_hmu_mem0.0.0"],
        ),
        // The device comes before the promotion's means.
        (
            "chmu promote --device mem7",
            &["There is no CXL memory device mem7"],
        ),
        (
            "chmu watch --transport vfio",
            &["it is bound to cxl_pci, not to vfio-pci"],
        ),
        (
            "chmu conformance run --transport guest",
            &["is bound to cxl_pci", "--transport region"],
        ),
        (
            "chmu promote --target 9",
            &[
                "There is no node 9 with memory",
                "the nodes with memory are 0, 1",
            ],
        ),
    ] {
        assert_says(&refusal(&mut guest, command)?, parts);
    }

    let read_only = guest.shell("mount -o remount,ro /sys; chmu list; mount -o remount,rw /sys")?;
    assert_says(
        &read_only,
        &["sysfs is mounted read-only, as in a container"],
    );

    let lockdown = "/sys/kernel/security/lockdown";
    guest.shell(&format!(
        "[ -e {lockdown} ] || mount -t securityfs none /sys/kernel/security; \
         echo integrity > {lockdown}"
    ))?;
    let parts = ["the kernel is locked down for integrity", "bind vfio-pci"];
    assert_says(&guest.shell("chmu list || [ $? = 4 ]")?, &parts);
    assert_says(&refusal(&mut guest, "chmu watch")?, &parts);
    let run = refusal(&mut guest, "chmu conformance run --transport region")?;
    assert_says(&run, &parts);
    let text = guest.shell("chmu list -o json || [ $? = 4 ]")?;
    let json: serde_json::Value = serde_json::from_str(&text)?;
    let error = json[0]["blocks"][0]["error"].as_str();
    assert_says(error.context("the block has no error")?, &parts);
    guest.finish()
}
