// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What moves pages in a guest: kinds of pages, frames that are used again, other users of DAMON,
//! and what a killed run leaves.

use anyhow::{Context, Result};
use chmu_lab::platform::KernelChoice;
use chmu_tests::guest::{Guest, PROGRAM_TIMEOUT, Setup};
use serde_json::Value;

/// Kinds of pages that every kernel of the lab has.
const KINDS: [&str; 9] = [
    "anonymous",
    "mlocked",
    "shared",
    "unmapped page cache",
    "pinned",
    "freed",
    "merged (KSM)",
    "transparent huge page",
    "hugetlb",
];
const KDAMONDS: &str = "/sys/kernel/mm/damon/admin/kdamonds";
/// A worker of another program, which watches and moves nothing.
const FOREIGN: &str = "\
set -e
cd /sys/kernel/mm/damon/admin/kdamonds
echo 1 > nr_kdamonds
echo 1 > 0/contexts/nr_contexts
echo paddr > 0/contexts/0/operations
echo 1 > 0/contexts/0/targets/nr_targets
echo 1 > 0/contexts/0/targets/0/regions/nr_regions
echo 4294967296 > 0/contexts/0/targets/0/regions/0/start
echo 4299161600 > 0/contexts/0/targets/0/regions/0/end
echo on > 0/state
";

#[test]
fn damon_moves_what_it_should_on_the_newest_kernel() -> Result<()> {
    actuate(KernelChoice::Backports)
}

#[test]
fn damon_moves_what_it_should_on_kernel_6_12() -> Result<()> {
    actuate(KernelChoice::Lts612)
}

fn actuate(kernel: KernelChoice) -> Result<()> {
    let setup = Setup {
        kernel,
        ..Setup::default()
    };
    let mut guest = Guest::boot(&setup)?;
    let report = guest.json(&[
        "chmu",
        "bench",
        "actuator",
        "--rounds=3",
        "--processes=50",
        "-o",
        "json",
    ])?;
    println!("{report:#}");
    check_report(&report)?;
    killed_runs_are_taken_back(&mut guest)?;
    other_users_are_left_alone(&mut guest)?;
    guest.finish()
}

fn check_report(report: &Value) -> Result<()> {
    let strangers = &report["strangers"];
    assert_eq!(strangers["moved"], 0, "{strangers}");
    let reused = strangers["frames_reused"].as_u64().context("no count")?;
    assert!(reused > 0, "no frame was used again: {strangers}");
    let kinds = report["kinds"].as_array().context("no kinds")?;
    let names: Vec<_> = kinds
        .iter()
        .filter_map(|kind| kind["name"].as_str())
        .collect();
    assert_eq!(names, KINDS);
    for kind in kinds {
        assert_eq!(kind["is_right"], true, "{kind}");
        assert_eq!(kind["skipped"], Value::Null, "{kind}");
    }
    let measurements = report["measurements"].as_array().context("none")?;
    let reads = measurements
        .iter()
        .find(|one| one["unit"] == "reads")
        .context("Reads of page flags are not measured")?;
    assert_eq!(reads["met"], true, "{reads}");
    Ok(())
}

/// SIGKILL leaves a unit that counts and a worker; `chmu reset` and the next start take both back.
fn killed_runs_are_taken_back(guest: &mut Guest) -> Result<()> {
    let is_set_up = format!("[ \"$(cat {KDAMONDS}/nr_kdamonds)\" -ge 1 ]");
    let enabled = "chmu list -o json | grep -q '\"enabled\": true'";
    for by_reset in [true, false] {
        let promote = guest.spawn(&["chmu", "promote", "--target=0", "-o", "json"])?;
        guest.wait_until(promote, &is_set_up)?;
        guest.wait_until(promote, enabled)?;
        guest.signal(promote, libc::SIGKILL)?;
        guest.wait(promote, PROGRAM_TIMEOUT)?;
        guest.shell(&is_set_up)?;
        if by_reset {
            let report = guest.json(&["chmu", "reset", "-o", "json"])?;
            assert!(report["damon"]["taken_back"].is_object(), "{report}");
            let unit = &report["units"][0];
            assert_eq!(unit["was_enabled"], true, "{report}");
            let again = guest.json(&["chmu", "reset", "-o", "json"])?;
            assert_eq!(again["damon"], "clean", "{again}");
            let unit = &again["units"][0];
            assert_eq!(
                (&unit["was_enabled"], &unit["was_configured"]),
                (&Value::Bool(false), &Value::Bool(false)),
                "{again}"
            );
        } else {
            guest.json(&["chmu", "promote", "--seconds=1", "-o", "json"])?;
        }
        assert_eq!(workers(guest)?, "0");
    }
    Ok(())
}

/// A worker that runs is somebody's, and the refusal's remedy works; one that is off is nobody's.
fn other_users_are_left_alone(guest: &mut Guest) -> Result<()> {
    guest.shell(FOREIGN)?;
    let promote = ["chmu", "promote", "--seconds=1", "-o", "json"];
    let refused = guest.run(&promote, PROGRAM_TIMEOUT)?;
    let remedy = format!(
        "Another program runs DAMON; end it, or stop DAMON by writing off to {KDAMONDS}/0/state \
         and then 0 to {KDAMONDS}/nr_kdamonds"
    );
    assert_eq!(refused.exit_code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains(&remedy), "{}", refused.stderr);
    assert_eq!(guest.shell(&format!("cat {KDAMONDS}/0/state"))?, "on");
    guest.shell(&format!("echo off > {KDAMONDS}/0/state"))?;
    guest.json(&promote)?;
    assert_eq!(workers(guest)?, "1", "as many as before");
    guest.shell(&format!("echo 0 > {KDAMONDS}/nr_kdamonds"))?;
    Ok(())
}

fn workers(guest: &mut Guest) -> Result<String> {
    guest.shell(&format!("cat {KDAMONDS}/nr_kdamonds"))
}
