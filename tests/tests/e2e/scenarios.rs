// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Chosen ones of `cargo lab scenario all`, each on one kernel; those on one machine share a boot.

use std::num::NonZeroUsize;

use anyhow::Result;
use chmu_lab::platform::KernelChoice;
use chmu_lab::progress::Progress;
use chmu_lab::scenario::{OnKernel, Runner, Scenario, Verdict};
use chmu_tests::guest::Turn;

#[test]
fn odd_machines_on_6_12() -> Result<()> {
    pass(KernelChoice::Lts612, &["two-socket", "three-tier"])
}

#[test]
fn interleaved_devices_on_the_newest_kernel() -> Result<()> {
    let names = ["interleaved-2", "interleaved-3"];
    pass(KernelChoice::Backports, &names)
}

#[test]
fn kinds_of_pages_on_the_newest_kernel() -> Result<()> {
    pass(KernelChoice::Backports, &["thp", "pinned"])
}

#[test]
fn pages_of_files_on_6_12() -> Result<()> {
    let names = ["shared-memory", "page-cache-tmpfs"];
    pass(KernelChoice::Lts612, &names)
}

#[test]
fn strangers_and_losses_on_the_newest_kernel() -> Result<()> {
    let names = [
        "two-harnesses",
        "foreign-promoter",
        "reset-under-load",
        "source-dies",
    ];
    pass(KernelChoice::Backports, &names)
}

#[test]
fn a_node_that_goes_and_comes_on_6_12() -> Result<()> {
    pass(KernelChoice::Lts612, &["node-offline"])
}

#[test]
fn wrong_settings_and_sudden_ends_on_6_12() -> Result<()> {
    let names = ["tuner", "killed-mid-batch", "hung-up-mid-batch"];
    pass(KernelChoice::Lts612, &names)
}

fn pass(kernel: KernelChoice, names: &[&str]) -> Result<()> {
    let turn = Turn::take(kernel)?;
    let progress = Progress::hidden();
    let kernel = OnKernel {
        name: "",
        software: &turn.lab().software,
    };
    let runner = Runner {
        kernels: &[kernel],
        at_once: NonZeroUsize::MIN,
        progress: &progress,
        keep: false,
    };
    let scenarios: Result<Vec<Scenario>, _> = names.iter().map(|name| name.parse()).collect();
    let results = runner.run(&scenarios?)?;
    println!("{results}");
    assert_eq!(results.0.len(), names.len());
    for result in &results.0 {
        assert_eq!(result.verdict, Verdict::Pass, "{result:#?}");
    }
    Ok(())
}
