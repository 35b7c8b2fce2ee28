// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use std::collections::BTreeMap;

use anyhow::Result;
use chmu_promotion::Rejection;
use chmu_promotion::ledger::Action;
use chmu_proof::Claim;
use chmu_proof::verdict::{Reason, Verdict};
use serde_json::Value;

use super::demotion;
use crate::scenario::bench::{Bench, PROGRAM_TIMEOUT, Workload, number, parse};
use crate::scenario::proof::Demand;
use crate::scenario::{Needs, Scenario};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "ping-pong",
    summary: "pages that were promoted, driven back and are hot again stay, are said once each and counted",
    needs: Needs::topology("default"),
    run: |bench| demotion::switched_on(bench, with_demotion),
};

const PAGES: u64 = 2048;
const HOT: u64 = 384;
const STREAM: &str = "/run/back.jsonl";

fn with_demotion(bench: &mut Bench<'_>) -> Result<()> {
    let workload = bench.workload(&format!("--pages {PAGES} --hot-pages {HOT}"))?;
    // Longer than any host takes for all of this.
    let promotion = bench.start_promotion("--ping-pong-window 600s --threshold 16 --no-tune")?;
    bench.go(&workload)?;
    bench.wait_until_promoted(&promotion, &workload)?;
    let back = drive_back(bench, &workload)?;
    bench.figure("pages driven back", back);
    bench.expect(back * 100 >= HOT * 95, || {
        format!("Only {back} of {HOT} pages were driven back")
    });
    bench.wait_for_lines(&promotion, "\"reason\":\"ping_pong\"", back)?;
    // What goes again would be gone by then.
    bench.wait_for_reports(&promotion, 5)?;
    let status = ["chmu", "status", "-o", "json"];
    let status = bench.machine.run(&status, PROGRAM_TIMEOUT)?;
    let status: Value = parse("chmu status", &status)?;
    let counted = number(&status, "ping_pong_folios")?;
    let promoted = bench.stop_promotion(promotion)?;
    let proof = bench.expect_proven(&Demand {
        // They are where they started, and are to be.
        without: &[Claim::Recall, Claim::Attribution],
        ..Demand::all("workload", &[&workload], &promoted, &[0])
    })?;
    expect_back(bench, &proof, back);
    let mut said: BTreeMap<_, u64> = BTreeMap::new();
    for event in bench.events(&promoted, "refused")? {
        if let Action::Refused(refused) = &event.action
            && refused.reason == Rejection::PingPong
        {
            *said.entry(refused.folio.head).or_default() += 1;
        }
    }
    let (folios, times) = (said.len() as u64, said.values().sum::<u64>());
    bench.expect((folios, times, counted) == (back, back, back), || {
        format!("Of {back} pages that came back {folios} are said to, {times} times; {counted} are counted")
    });
    bench.end("workload", workload)?;
    Ok(())
}

/// All pages that were driven back must still be there, and no page have another way than the ledger says.
/// One that was given its first frame again looks as if it had stayed; the program that drove it back
/// found it on the target.
fn expect_back(bench: &mut Bench<'_>, proof: &Verdict, back: u64) {
    let (same_frame, others): (Vec<_>, Vec<_>) = proof
        .findings
        .iter()
        .filter(|finding| finding.claim == Claim::Attribution)
        .partition(|finding| finding.reason == Reason::SaidMovedButStayed);
    let same_frame: u64 = same_frame.iter().map(|finding| finding.count).sum();
    bench.figure("in their first frame again", same_frame);
    bench.expect(others.is_empty(), || {
        format!("The ledger and the places of pages differ: {others:?}")
    });
    let there = proof.counts.returned_pages + same_frame;
    bench.expect(there == back, || {
        format!("Of {back} pages that were driven back {there} are still there")
    });
}

/// Another program puts the promoted pages back where they started: it names them by their addresses.
fn drive_back(bench: &mut Bench<'_>, workload: &Workload) -> Result<u64> {
    bench.write_stream(STREAM, workload, None)?;
    let options = format!(
        "--source stream:{STREAM} --target {} --actuator move-pages --status-socket /run/back.sock",
        workload.node
    );
    let promotion = bench.start_promotion(&options)?;
    let back = bench.finish_promotion(promotion)?;
    bench.shell(&format!("rm {STREAM}"))?;
    number(&back.report, "pages_promoted")
}
