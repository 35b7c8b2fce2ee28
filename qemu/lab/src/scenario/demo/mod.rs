// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The whole path once: real accesses, a hotlist, promotion, and the proof that it was right.

mod guest;
mod result;

use std::time::Instant;

use anyhow::Result;

use crate::kernel_log;
use crate::machine::{Machine, MachineOptions, Software};
use crate::progress::Progress;
use crate::topology::Topology;

pub use result::{DemoResult, Evidence, MINIMUM_RECALL, Verdict};

/// What the workload is like.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Workload")]
pub struct Workload {
    /// Pages on the CXL node.
    #[arg(long, default_value_t = 4096)]
    pub pages: u64,
    /// How many of them are hot.
    #[arg(long, default_value_t = 512)]
    pub hot_pages: u64,
    /// How visits spread over the hot pages: uniform, zipf or zipf:EXPONENT.
    #[arg(long, default_value = "uniform")]
    pub distribution: String,
    /// Stores, as a percentage of all accesses.
    #[arg(long, value_name = "PERCENT", default_value_t = 10)]
    pub write_percent: u8,
    /// Chooses the hot pages.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Boots, runs the workload, promotes and judges. `begin` is when the user's wait began.
///
/// # Errors
/// When the guest or the device fails; a wrong promotion is a verdict, not an error.
pub fn run(
    topology: &Topology,
    software: &Software,
    qemu_version: &str,
    options: &MachineOptions,
    workload: &Workload,
    progress: &Progress,
    begin: Instant,
) -> Result<DemoResult> {
    let mut machine = Machine::start(topology, options, software, progress)?;
    let mut findings = kernel_log::check_cxl_bus(&mut machine, topology)?;
    let evidence = guest::promote_and_prove(&mut machine, workload, progress)?;
    findings.extend(kernel_log::check(&mut machine, &[])?);
    let statistics = machine.statistics(0)?;
    let kernel = machine.kernel().to_owned();
    let guest_boot = machine.boot_time();
    progress.step("Switching the guest off");
    let kept = machine.shut_down()?;
    let evidence = Evidence {
        kernel_log: findings.iter().map(ToString::to_string).collect(),
        device: statistics,
        kernel,
        qemu: qemu_version.to_owned(),
        guest_boot,
        total: begin.elapsed(),
        kept,
        ..evidence
    };
    Ok(DemoResult::judge(evidence))
}
