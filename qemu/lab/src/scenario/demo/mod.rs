// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The whole path once: real accesses, a hotlist, promotion, and the proof that it was right.

mod evidence;
mod guest;
mod page;
mod result;
mod timeline;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use chmu_machine::memory::PAGE_BYTES;
use chmu_proof::workload::check_counts;
use chmu_proof::workload::traffic::{Distribution, Share};

use crate::kernel_log;
use crate::machine::{Machine, MachineOptions, Software};
use crate::progress::Progress;
use crate::size::ByteSize;
use crate::topology::Topology;

pub use evidence::{Device, Evidence, GuestEvidence, Promotion};
pub use result::{DemoResult, Verdict};
pub use timeline::Timeline;

/// What the workload is like.
#[derive(Debug, Clone, PartialEq, clap::Args)]
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
    pub distribution: Distribution,
    /// Stores, as a percentage of all accesses.
    #[arg(long, value_name = "PERCENT", default_value = "10")]
    pub write_percent: Share,
    /// Chooses the hot pages.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// As the command line has it.
impl Default for Workload {
    fn default() -> Self {
        Self {
            pages: 4096,
            hot_pages: 512,
            distribution: Distribution::Uniform,
            write_percent: Share::percent(10),
            seed: 1,
        }
    }
}

impl Workload {
    /// Looks at the numbers before a guest boots.
    ///
    /// # Errors
    /// When no workload has such numbers, or its pages do not fit into the CXL memory.
    pub fn check(&self, topology: &Topology) -> Result<()> {
        check_counts(self.pages, self.hot_pages)?;
        let windows = topology.windows();
        let largest = windows.iter().map(|window| window.size_bytes).max();
        let bytes = largest.unwrap_or_default();
        ensure!(
            self.pages <= bytes / PAGE_BYTES,
            "{} pages do not fit into the {} of the CXL node; at most {} do",
            self.pages,
            ByteSize(bytes),
            bytes / PAGE_BYTES
        );
        Ok(())
    }
}

/// What is found in a guest that runs, as in [`run`], without what its caller knows: the kernel's
/// log, and how long it took.
///
/// # Errors
/// As for [`run`].
pub(super) fn in_guest(
    machine: &mut Machine,
    workload: &Workload,
    progress: &Progress,
) -> Result<Evidence> {
    let guest = guest::promote_and_prove(machine, workload, progress)?;
    Ok(Evidence {
        guest,
        device: Device::read(&machine.statistics(0)?)?,
        kernel: machine.kernel().to_owned(),
        guest_boot: machine.boot_time(),
        kernel_log: Vec::new(),
        qemu: String::new(),
        total: Duration::ZERO,
        kept: None,
    })
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
    let evidence = in_guest(&mut machine, workload, progress)?;
    let events = guest::events(&mut machine)?;
    findings.extend(kernel_log::check(&mut machine, &[])?);
    progress.step("Switching the guest off");
    let kept = machine.shut_down()?;
    let evidence = Evidence {
        kernel_log: findings.iter().map(ToString::to_string).collect(),
        qemu: qemu_version.to_owned(),
        total: begin.elapsed(),
        kept,
        ..evidence
    };
    Ok(DemoResult {
        machine: Some(topology.clone()),
        timeline: events.map(|events| Timeline::of(&evidence.guest.state, &events)),
        ..DemoResult::judge(&evidence)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_cannot_be_are_refused_before_a_boot() {
        let check = |pages, hot_pages| {
            let workload = Workload {
                pages,
                hot_pages,
                distribution: Distribution::Uniform,
                write_percent: "10".parse().unwrap(),
                seed: 1,
            };
            let checked = workload.check(&Topology::default());
            checked.map_err(|error| error.to_string())
        };
        assert_eq!(check(262_144, 262_144), Ok(()));
        for (pages, hot_pages, sentence) in [
            (4096, 5000, "5000 hot pages do not fit into 4096 pages"),
            (0, 512, "512 hot pages do not fit into 0 pages"),
            (4096, 0, "No page is hot; choose at least one"),
            (
                262_145,
                512,
                "262145 pages do not fit into the 1G of the CXL node; at most 262144 do",
            ),
        ] {
            assert_eq!(check(pages, hot_pages), Err(sentence.to_owned()));
        }
    }
}
