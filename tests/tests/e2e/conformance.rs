// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The conformance suite in a guest, with real accesses as its traffic.

use std::time::Duration;

use anyhow::{Context, Result};
use chmu_lab::machine::Mode;
use chmu_tests::guest::{Guest, Setup};
use serde_json::Value;

/// All cases on one instance, on a busy host.
const SUITE_TIMEOUT: Duration = Duration::from_secs(480);

#[test]
fn the_default_device_passes_through_vfio() -> Result<()> {
    passes("default", Mode::Vfio, 160)
}

#[test]
fn the_default_device_passes_beside_the_kernels_driver() -> Result<()> {
    passes("default", Mode::Region, 145)
}

#[test]
fn the_full_device_passes_through_vfio() -> Result<()> {
    passes("full", Mode::Vfio, 170)
}

#[test]
fn the_minimal_device_passes_through_vfio() -> Result<()> {
    passes("minimal", Mode::Vfio, 150)
}

/// No case fails on the device's first instance, and at least so many pass.
fn passes(profile: &str, mode: Mode, minimum: u64) -> Result<()> {
    let setup = Setup::exact()
        .in_mode(mode)
        .with_device(&format!("profile = \"{profile}\""));
    let mut guest = Guest::boot(&setup)?;
    let transport = match mode {
        Mode::Vfio => "guest",
        Mode::Region | Mode::None => "region",
    };
    let output = guest.run(
        &[
            "chmu",
            "conformance",
            "run",
            "--transport",
            transport,
            "--exact-traffic",
            "-o",
            "json",
        ],
        SUITE_TIMEOUT,
    )?;
    let report: Value = serde_json::from_str(&output.stdout)
        .with_context(|| format!("The suite reports nothing: {}", output.stderr))?;
    println!("{} in {} s", report["totals"], report["seconds"]);
    let cases = report["instances"][0]["cases"].as_array();
    for case in cases.context("No cases")? {
        if case["verdict"] != "pass" {
            println!("{case}");
        }
    }
    assert_eq!(output.exit_code, 0, "{}", output.stderr);
    let totals = &report["totals"];
    assert_eq!(totals["unjudged"], 0, "{totals}");
    assert_eq!(
        (&totals["failed"], &totals["differs"]),
        (&0.into(), &0.into())
    );
    assert!(totals["passed"].as_u64() >= Some(minimum), "{totals}");
    guest.finish()
}
