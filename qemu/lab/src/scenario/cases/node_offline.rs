// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A node's memory goes while a promotion runs, as its source and as its target, and comes back.

use anyhow::Result;
use chmu_proof::Claim;
use chmu_proof::verdict::Verdict;

use crate::scenario::bench::{Bench, ENABLED, PROGRAM_TIMEOUT};
use crate::scenario::proof::{self, Demand};
use crate::scenario::{Needs, Scenario};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "node-offline",
    summary: "a node without memory is no target and stops nobody else; once it is back, it is promoted from",
    needs: Needs::topology("two-devices"),
    run,
};

/// The second CXL node.
const NODE: u32 = 2;
const WORKLOAD: &str = "--pages 2048 --hot-pages 384";
const HOT_PAGES: u64 = 384;
/// As many as a proof demands.
const MOST_OF_THE_HOT_PAGES: u64 = 365;

fn run(bench: &mut Bench<'_>) -> Result<()> {
    source_goes(bench)?;
    refused_at_start(bench)?;
    set_blocks(bench, "online_movable")?;
    target_goes(bench)?;
    pages_flee(bench)?;
    let workload = format!("{WORKLOAD} --node {NODE} --seed 5");
    bench.promote_one(&workload, "", &[0])
}

/// Another node's pages are promoted as ever when one source's memory goes.
fn source_goes(bench: &mut Bench<'_>) -> Result<()> {
    let workload = bench.workload(&format!("{WORKLOAD} --node 1"))?;
    let promotion = bench.start_promotion("--until-stable")?;
    bench.wait_until(promotion.process_id, ENABLED)?;
    set_blocks(bench, "offline")?;
    bench.go(&workload)?;
    let promoted = bench.finish_promotion(promotion)?;
    bench.expect_proven(&Demand::all("beside", &[&workload], &promoted, &[0]))?;
    bench.end("beside", workload)?;
    Ok(())
}

fn refused_at_start(bench: &mut Bench<'_>) -> Result<()> {
    let target = NODE.to_string();
    let refused = ["chmu", "promote", "--target", &target, "--seconds", "1"];
    let output = bench.machine.run(&refused, PROGRAM_TIMEOUT)?;
    let (code, said) = (output.exit_code, output.stderr.trim().to_owned());
    bench.figure("said of the node that is offline", &said);
    bench.expect(
        code == 1 && said.contains(&format!("Node {NODE} has no memory")),
        || format!("A target that is offline is not refused: code {code}, {said:?}"),
    );
    Ok(())
}

/// Pages for which there is no room any more stay where they are, and are whole.
fn target_goes(bench: &mut Bench<'_>) -> Result<()> {
    let workload = bench.workload(&format!("{WORKLOAD} --node 1 --seed 3"))?;
    let promotion = bench.start_promotion(&format!("--target {NODE}"))?;
    bench.wait_until(promotion.process_id, ENABLED)?;
    set_blocks(bench, "offline")?;
    bench.go(&workload)?;
    bench.wait_for_lines(
        &promotion,
        "\"reason\":\"target_full\"",
        MOST_OF_THE_HOT_PAGES,
    )?;
    // They are hot in all of these too.
    bench.wait_for_reports(&promotion, 3)?;
    let promoted = bench.stop_promotion(promotion)?;
    let lines = bench.events(&promoted, "refused")?.len() as u64;
    bench.expect(lines <= 2 * HOT_PAGES, || {
        format!("{HOT_PAGES} hot pages that have no target are refused in {lines} lines")
    });
    bench.figure("said of the target that went", promoted.said.trim());
    let refused = (&promoted.report["refused"], &promoted.report["ignored"]);
    bench.figure("refused for the target that went", refused);
    set_blocks(bench, "online_movable")?;
    let options = format!("--ledger {} --target {NODE}", promoted.ledger);
    let proof = bench.prove(&[&workload], &options)?;
    let moved = proof.counts.promoted_pages;
    bench.expect(moved == 0, || {
        format!("{moved} pages moved although their target has no memory")
    });
    expect_without_recall(bench, "towards", &proof);
    bench.end("towards", workload)?;
    Ok(())
}

/// The kernel moves pages away from memory that goes while they are promoted from there.
fn pages_flee(bench: &mut Bench<'_>) -> Result<()> {
    let workload = bench.workload(&format!("{WORKLOAD} --node {NODE} --seed 4"))?;
    let promotion = bench.start_promotion("")?;
    bench.go(&workload)?;
    let moved = format!("grep -q '\"e\":\"moved\"' {}", promotion.ledger);
    bench.wait_until(promotion.process_id, &moved)?;
    set_blocks(bench, "offline")?;
    let promoted = bench.stop_promotion(promotion)?;
    // A proof is about nodes that are there.
    set_blocks(bench, "online_movable")?;
    let options = format!("--ledger {}", promoted.ledger);
    let proof = bench.prove(&[&workload], &options)?;
    expect_without_recall(bench, "fled", &proof);
    bench.figure("fled pages by node", &proof.counts.pages_by_node);
    bench.end("fled", workload)?;
    Ok(())
}

/// What holds however many pages were promoted, and wherever the kernel moved them by itself.
fn expect_without_recall(bench: &mut Bench<'_>, what: &str, proof: &Verdict) {
    let claims = [Claim::Content, Claim::Ledger, Claim::Order, Claim::Rate];
    let reasons = proof::reasons(proof, &claims);
    let reasons = reasons.iter().map(|reason| format!("{what}: {reason}"));
    bench.reasons.extend(reasons);
}

fn set_blocks(bench: &mut Bench<'_>, state: &str) -> Result<()> {
    bench.shell(&format!(
        "for block in /sys/devices/system/node/node{NODE}/memory[0-9]*; do \
         echo {state} >$block/state || exit 1; done"
    ))?;
    Ok(())
}
