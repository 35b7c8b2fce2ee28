// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The demo on both kernels.

use std::time::Instant;

use anyhow::Result;
use chmu_lab::machine::MachineOptions;
use chmu_lab::platform::KernelChoice;
use chmu_lab::progress::Progress;
use chmu_lab::scenario::demo::{self, Verdict, Workload};
use chmu_lab::topology::Topology;
use chmu_proof::workload::traffic::Distribution;
use chmu_tests::guest::Turn;

#[test]
fn hot_pages_are_promoted_on_the_newest_kernel() -> Result<()> {
    hot_pages_are_promoted(KernelChoice::Backports, "7.")
}

#[test]
fn hot_pages_are_promoted_on_6_12() -> Result<()> {
    hot_pages_are_promoted(KernelChoice::Lts612, "6.12.")
}

fn hot_pages_are_promoted(kernel: KernelChoice, release: &str) -> Result<()> {
    let turn = Turn::take(kernel)?;
    let workload = Workload {
        pages: 4096,
        hot_pages: 512,
        distribution: Distribution::Uniform,
        write_percent: "10".parse()?,
        seed: 1,
    };
    let result = demo::run(
        &Topology::default(),
        &turn.lab().software,
        &turn.lab().platform.qemu.version().to_string(),
        &MachineOptions::default(),
        &workload,
        &Progress::hidden(),
        Instant::now(),
    )?;
    println!("{result}");
    assert_eq!(result.verdict, Verdict::Pass, "{:?}", result.reasons);
    assert!(result.kernel.starts_with(release), "{}", result.kernel);
    assert!(result.recall >= Some(0.95), "{:?}", result.recall);
    assert_eq!(result.wrong_pages_promoted, 0);
    assert!(result.placement_ok && result.integrity_ok);
    assert_eq!(result.true_hot_pages, 512);
    let by_node: Vec<_> = result.pages_by_node.into_values().collect();
    assert_eq!(
        by_node,
        [result.promoted_pages, 4096 - result.promoted_pages]
    );
    assert!(result.words_checked > 4096, "{}", result.words_checked);
    assert_eq!((result.pages_checked, result.corrupt_pages), (4096, 0));
    assert_eq!(result.accesses_lost, 0);
    Ok(())
}
