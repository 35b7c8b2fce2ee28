// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The conformance suite in a guest, with real accesses as its traffic.

use std::time::Duration;

use anyhow::{Context, Result};
use chmu_lab::machine::Mode;
use chmu_tests::guest::{Guest, Setup};
use serde_json::Value;

/// All cases on four instances, on a busy host.
const SUITE_TIMEOUT: Duration = Duration::from_secs(900);
/// The suite's exit code when no case failed and some could not be judged.
const UNJUDGED: i32 = 5;
/// Of some hundred cases.
const LATE_MAX: u64 = 4;

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

/// Four instances that the public text allows and that are not like those of the ready-made devices.
const ODD: &str = r#"
[[block]]
[[block.instance]]
epoch_type = "per-counter"
always_on_mode = false
hotlist_entries = 32
counter_widths = 8
unit_sizes = ["4K", "64K"]
down_sampling_factors = [1, 4]
[[block.instance]]
epoch_mode = false
hotlist_entries = 64
overflow_interrupt = false
trackable_requests = ["all-read-write"]
[[block.instance]]
operation_delay = "60ms"
minimum_epoch = "20ms"
hotlist_entries = 3
randomised_down_sampling = false
postponed_insertion = true
[[block.instance]]
unit_sizes = ["64K"]
hotlist_entries = 16
down_sampling_factors = [16, 64]
overlapping_ranges = false
trackable_requests = ["non-tee-read", "non-tee-write"]
counter_widths = 5
"#;

/// What drivers do first and most; all areas run on odd devices in process.
const AREAS: &[&str] = &[
    "operation",
    "epoch",
    "always-on",
    "counter",
    "hotlist",
    "status",
    "sampling",
    "filter",
    "threshold",
];

#[test]
fn odd_devices_are_not_accused() -> Result<()> {
    let mut guest = Guest::boot(&Setup::exact().in_mode(Mode::Vfio).with_device(ODD))?;
    let strict = ["--strict", "--narrow-accesses", "operation", "hotlist"];
    for (options, least_passed) in [(AREAS, 40), (&strict, 20)] {
        let options = [&["--all-instances"], options].concat();
        let report = run(&mut guest, "guest", &options)?;
        let instances = report["instances"].as_array().context("No instances")?;
        assert_eq!(instances.len(), 4);
        for instance in instances {
            let passed = instance["totals"]["passed"].as_u64();
            assert!(
                passed >= Some(least_passed),
                "{options:?}: {}",
                instance["totals"]
            );
        }
    }
    guest.finish()
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
    let report = run(&mut guest, transport, &[])?;
    let totals = &report["totals"];
    assert!(totals["passed"].as_u64() >= Some(minimum), "{totals}");
    guest.finish()
}

/// Runs the suite; no case fails, and few are too late to judge.
fn run(guest: &mut Guest, transport: &str, options: &[&str]) -> Result<Value> {
    let mut command = vec!["chmu", "conformance", "run", "--transport", transport];
    command.extend(["--exact-traffic", "-o", "json"]);
    command.extend(options);
    let output = guest.run(&command, SUITE_TIMEOUT)?;
    let report: Value = serde_json::from_str(&output.stdout)
        .with_context(|| format!("The suite reports nothing: {}", output.stderr))?;
    println!("{} in {} s", report["totals"], report["seconds"]);
    for instance in report["instances"].as_array().context("No instances")? {
        let cases = instance["cases"].as_array().context("No cases")?;
        for case in cases.iter().filter(|case| case["verdict"] != "pass") {
            println!("{} {case}", instance["instance"]);
        }
    }
    let totals = &report["totals"];
    // On a machine that others slow down a case may be late: then nothing is said of the device.
    let unjudged = totals["unjudged"].as_u64().context("No totals")?;
    let code = if unjudged == 0 { 0 } else { UNJUDGED };
    assert_eq!(output.exit_code, code, "{}", output.stderr);
    assert!(unjudged <= LATE_MAX, "{totals}");
    assert_eq!(
        (&totals["failed"], &totals["differs"]),
        (&0.into(), &0.into())
    );
    Ok(report)
}
