// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Another program moves pages with `move_pages` while the engine runs. The engine cannot help that; a
//! proof that takes such pages for its work would be none. So this passes when the proof does not.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use chmu_proof::verdict::Reason;
use chmu_proof::workload::state::State;
use chmu_proof::{Claim, Outcome};

use crate::scenario::bench::{Bench, ENABLED, PROGRAM_TIMEOUT, number, parse};
use crate::scenario::{Needs, Scenario};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "foreign-promoter",
    summary: "another program moves hot and cold pages meanwhile, and the proof says which were moved by others",
    needs: Needs::topology("default"),
    run,
};

/// Of each kind so many pages are moved by the other program.
const STOLEN: usize = 24;
const LIST: &str = "/run/foreign-frames";

fn run(bench: &mut Bench<'_>) -> Result<()> {
    let workload = bench.workload("--pages 4096 --hot-pages 512")?;
    let state = bench.state(&workload.state)?;
    let frames = frames(&state)?;
    bench.shell(&format!("cat >{LIST} <<'END'\n{}\nEND", frames.join("\n")))?;
    let promotion = bench.start_promotion("--until-stable")?;
    bench.wait_until(promotion.process_id, ENABLED)?;
    // Nothing is hot yet, so that none of these can be the engine's.
    let foreign = format!("chmu promote --frames {LIST} --actuator move-pages -o json");
    let words: Vec<_> = foreign.split_whitespace().collect();
    let output = bench.machine.run(&words, PROGRAM_TIMEOUT)?;
    let foreign: serde_json::Value = parse("chmu promote", &output)?;
    let moved = number(&foreign, "pages_promoted")?;
    let all = 2 * STOLEN as u64;
    bench.expect(moved == all, || {
        format!("The other program moved {moved} pages instead of {all}: {foreign}")
    });
    bench.go(&workload)?;
    let promoted = bench.finish_promotion(promotion)?;
    let proof = bench.prove(&[&workload], &format!("--ledger {}", promoted.ledger))?;
    let found = |reason| proof.finding(reason).map_or(0, |finding| finding.count);
    let (by_others, cold) = (found(Reason::MovedByOthers), found(Reason::ColdPageMoved));
    bench.figure("moved by others", by_others);
    bench.figure("cold pages moved", cold);
    bench.figure("recall", proof.recall);
    bench.expect(proof.verdict == Outcome::Fail, || {
        format!(
            "The proof ends as {:?} although others moved pages",
            proof.verdict
        )
    });
    bench.expect(by_others == all && cold == STOLEN as u64, || {
        format!("The proof counts {by_others} pages moved by others, {cold} of them cold, instead of {all} and {STOLEN}")
    });
    // Everything else is as it should be: the proof blames nothing that the engine did.
    let blamed: BTreeSet<_> = proof.findings.iter().map(|finding| finding.claim).collect();
    let expected = BTreeSet::from([Claim::Precision, Claim::Attribution]);
    bench.expect(blamed == expected, || {
        format!("The proof blames {blamed:?} instead of {expected:?}")
    });
    bench.end("workload", workload)?;
    Ok(())
}

/// The frames of some hot pages and of as many cold ones.
fn frames(state: &State) -> Result<Vec<String>> {
    let frames = state.start_frames.as_deref();
    let frames = frames.context("The workload does not know the frames of its pages")?;
    let hot = state.hot_pages.iter().copied();
    let cold = (0..state.pages).filter(|page| !state.hot_pages.contains(page));
    let pages = hot.take(STOLEN).chain(cold.take(STOLEN));
    pages
        .map(|page| {
            let frame = frames.get(usize::try_from(page)?);
            Ok(frame.context("A page has no frame")?.to_string())
        })
        .collect()
}
