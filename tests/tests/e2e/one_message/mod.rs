// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A device that offers several MSI messages to a kernel that grants one: the CHMU's interrupt comes
//! as that one.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};
use chmu_lab::platform::KernelChoice;
use chmu_tests::guest::Turn;

use crate::command_line::lab;

/// The driver in the guest, a program of its own.
const DRIVER: &str = include_str!("driver.rs");

const DEVICE: &str = "
    interrupts = \"msi\"
    vectors = 8
    [[block]]
    [[block.instance]]
    message_number = 5
";

const SCRIPT: &str = "\
set -e
chmu workload --pages 64 --hot-pages 64 --cold-percent=0 >/dev/null &
for device in /sys/bus/pci/drivers/vfio-pci/*:*; do
    /driver \"${device##*/}\"
done
kill $!
";

/// Ends at the first hot unit that an interrupt announces.
const WATCH_SCRIPT: &str = "\
chmu workload --pages 64 --hot-pages 64 --cold-percent=0 >/dev/null &
chmu watch --transport vfio --interrupts --epochs 300 -o json | grep -m1 -o '\"hot\"'
kill $!
";

/// Without interrupt remapping Linux has one MSI message for a function.
const ONE_MESSAGE: &str = "intremap=off vfio_iommu_type1.allow_unsafe_interrupts=1";

#[test]
fn the_only_granted_message_is_the_one_that_arrives() -> Result<()> {
    let _turn = Turn::take(KernelChoice::Backports)?;
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("driver.rs"), DRIVER)?;
    fs::write(path("device.toml"), DEVICE)?;
    fs::write(path("script"), SCRIPT)?;
    let built = Command::new("rustc")
        .args(["--edition=2024", "-Ctarget-feature=+crt-static", "-o"])
        .args([path("driver"), path("driver.rs")])
        .output()?;
    ensure!(built.status.success(), "{built:?}");
    let output = lab(&[
        "boot",
        "--mode=vfio",
        "--plugin-option=cache=none",
        "--device-settings",
        &path("device.toml"),
        "--add",
        &path("driver"),
        "--run",
        &path("script"),
    ])?;
    let said = String::from_utf8(output.stderr)?;
    assert_eq!(
        String::from_utf8(output.stdout)?,
        "offered message 5\ngranted message 0\ninterrupted once\n",
        "{said}"
    );
    assert_eq!(output.status.code(), Some(0), "{said}");
    Ok(())
}

#[test]
fn the_harness_takes_the_messages_that_the_kernel_grants() -> Result<()> {
    let _turn = Turn::take(KernelChoice::Backports)?;
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("device.toml"), DEVICE)?;
    fs::write(path("script"), WATCH_SCRIPT)?;
    let output = lab(&[
        "boot",
        "--mode=vfio",
        "--append",
        ONE_MESSAGE,
        "--plugin-option=cache=none",
        "--device-settings",
        &path("device.toml"),
        "--run",
        &path("script"),
    ])?;
    let said = String::from_utf8(output.stderr)?;
    assert_eq!(String::from_utf8(output.stdout)?, "\"hot\"\n", "{said}");
    assert_eq!(output.status.code(), Some(0), "{said}");
    Ok(())
}
