// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The target is the high-bandwidth memory. Huge pages that nobody asks for take most of it, and a program
//! that uses a part of its pages the rest.

use anyhow::{Result, ensure};
use chmu_promotion::ledger::Action;
use chmu_proof::Claim;
use serde_json::Value;

use super::full_node::{self, NODE, number as printed};
use crate::scenario::bench::{Bench, PROGRAM_TIMEOUT, Promoted, Workload, number, parse};
use crate::scenario::proof::Demand;
use crate::scenario::{Needs, Scenario};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "demote-coldest",
    summary: "on a full target pages that nobody uses make room for hot ones, as many as lack, and pages in use stay",
    needs: Needs::topology("three-tier"),
    run,
};

/// Hot pages on the slow node.
const HOT: u64 = 384;
/// Pages of the program that fills the target, about, and how many of them are in use.
const RESIDENT: u64 = 6144;
const RESIDENT_HOT: u64 = 512;
/// It leaves so much room.
const ROOM: u64 = 64;
/// What the kernel may take or give back meanwhile.
const OTHERS: u64 = 256;
const HUGE_PAGE_PAGES: u64 = 512;
/// How many huge pages the target keeps for those who ask for such: memory that nobody can demote.
const KEPT: &str = "/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages";

/// How far the kernel's watermarks are apart, in parts of 10,000 of a zone. Programs may have what is above
/// the low one, and promotion what is above the high one: between them is what processors keep back while a
/// node fills up, so that nobody is ended for want of it.
const SCALE: &str = "/proc/sys/vm/watermark_scale_factor";
const WIDE: u64 = 300;

fn run(bench: &mut Bench<'_>) -> Result<()> {
    if !bench.holds(&format!("[ -e {KEPT} ]"))? {
        return Bench::skip("The guest's kernel has no huge pages to fill a node with");
    }
    let scale = bench.shell(&format!("cat {SCALE} && echo {WIDE} >{SCALE}"))?;
    let ran = full_node::counted_exactly(bench, with_full_target);
    bench.shell(&format!("echo 0 >{KEPT} && echo {scale} >{SCALE}"))?;
    ran
}

fn with_full_target(bench: &mut Bench<'_>) -> Result<()> {
    let resident = fill(bench)?;
    let before = full_node::room(bench)?;
    bench.figure("room before", before.free);
    ensure!(
        before.free <= HOT / 2,
        "The target has room for {} pages, which is not what was to be tried",
        before.free
    );
    bench.go(&resident)?;
    let workload = bench.workload(&format!(
        "--node 2 --pages 2048 --hot-pages {HOT} --cold-percent 0.1 --pause 50ms"
    ))?;
    let reclaimed = full_node::reclaimed(bench)?;
    let options = format!("--target {NODE} --demote-coldest --threshold 16 --no-tune");
    let promotion = bench.start_promotion(&options)?;
    bench.go(&workload)?;
    bench.wait_until_promoted(&promotion, &workload)?;
    bench.wait_for_lines(&promotion, "\"e\":\"judged\"", 1)?;
    let status = bench
        .machine
        .run(&["chmu", "status", "-o", "json"], PROGRAM_TIMEOUT)?;
    let status: Value = parse("chmu status", &status)?;
    let promoted = bench.stop_promotion(promotion)?;
    let reclaimed = full_node::reclaimed(bench)? - reclaimed;
    bench.expect(reclaimed == 0, || {
        format!("The kernel looked for {reclaimed} pages to take back from full nodes")
    });
    // Of frames that become free processors keep some back, which nobody counts until they are given back: more have
    // to, before and now, and a second batch may go before the first is seen.
    let kept_back_since = full_node::room(bench)?.kept_back;
    bench.figure(
        "kept back by processors",
        (before.kept_back, kept_back_since),
    );
    let room = (before.pages(), OTHERS + before.kept_back + kept_back_since);
    expect_wanted(bench, &promoted, &status, room)?;
    expect_used(bench, &promoted)?;
    // Of both: none that was hot made room, whosever it was, and each went where the ledger says.
    bench.expect_proven(&Demand {
        options: &format!("--target {NODE}"),
        ..Demand::all("both", &[&workload, &resident], &promoted, &[0, NODE])
    })?;
    expect_cold(bench, &resident, &promoted.ledger)?;
    bench.end("workload", workload)?;
    bench.end("resident", resident)?;
    Ok(())
}

/// Takes all of the target but a little. What does not fit in huge pages is a program's.
fn fill(bench: &mut Bench<'_>) -> Result<Workload> {
    let room = full_node::room(bench)?.free;
    let huge = room.saturating_sub(RESIDENT + ROOM) / HUGE_PAGE_PAGES;
    bench.shell(&format!("echo {huge} >{KEPT}"))?;
    let huge = printed(bench, &format!("cat {KEPT}"))?;
    bench.figure("huge pages", huge);
    // What processors keep back the program gets first, or as much from between the watermarks.
    let left = full_node::room(bench)?.pages().saturating_sub(ROOM);
    ensure!(
        (RESIDENT / 2..RESIDENT * 4).contains(&left),
        "Beside huge pages the target has room for {left} pages, which is not what was to be tried"
    );
    bench.workload(&format!(
        "--node {NODE} --pages {left} --hot-pages {RESIDENT_HOT} --cold-percent 0 --seed 5 --pause 200ms"
    ))
}

/// Each batch that made room had no more pages than lacked, and was watched before; and all together had
/// no more than twice what found no room, but for so many that the kernel took meanwhile.
fn expect_wanted(
    bench: &mut Bench<'_>,
    promoted: &Promoted,
    status: &Value,
    (room, taken): (u64, u64),
) -> Result<()> {
    let made_room = number(&promoted.report, "pages_made_room")?;
    bench.figure("pages that made room", made_room);
    let counted = status["room_made"].as_array().into_iter().flatten();
    let counted: u64 = counted
        .filter_map(|way| way["pages"]["total"].as_u64())
        .sum();
    bench.expect((1..=made_room).contains(&counted), || {
        format!("{made_room} pages made room, and the status counts {counted}")
    });
    let arrived = number(&promoted.report, "pages_promoted")?;
    let lacking = arrived.saturating_sub(room + ROOM)..=2 * arrived + taken;
    bench.expect(lacking.contains(&made_room), || {
        format!(
            "{made_room} pages made room for {arrived} that were promoted where {room} had room"
        )
    });
    let made = bench.events(promoted, "demotion")?;
    for event in &made {
        let Action::Demotion(made) = &event.action else {
            continue;
        };
        let pages: u64 = made.folios.iter().map(|folio| folio.pages).sum();
        let lacking = made.wanted_pages.saturating_sub(made.room_pages);
        bench.expect(pages <= lacking && made.idle_ns > 0, || {
            format!("{pages} pages made room where {lacking} lacked some")
        });
    }
    bench.figure("batches that made room", made.len());
    Ok(())
}

/// Promoted pages are in use, and the fast node's telemetry sees it.
fn expect_used(bench: &mut Bench<'_>, promoted: &Promoted) -> Result<()> {
    let judged = &promoted.report["usefulness"];
    let used = number(judged, "pages_used")?;
    let wasted = number(judged, "pages_wasted")?;
    bench.figure("promotions watched", judged);
    bench.expect(used > 0 && wasted == 0, || {
        format!("Of hot pages {used} are said to be used and {wasted} to be promoted for nothing")
    });
    Ok(())
}

/// Pages of the program on the target made room, and none of them is in use.
fn expect_cold(bench: &mut Bench<'_>, resident: &Workload, ledger: &str) -> Result<()> {
    let options = format!("--without-content --ledger {ledger} --target {NODE}");
    let proof = bench.prove(&[resident], &options)?;
    let demoted = proof.counts.demoted_pages;
    bench.figure("of these of the program on the target", demoted);
    let hot = proof.findings.iter();
    let hot = hot.filter(|finding| finding.claim == Claim::Precision);
    let hot: u64 = hot.map(|finding| finding.count).sum();
    bench.expect(demoted > 0 && hot == 0, || {
        format!("Of {demoted} pages of the program on the target that made room {hot} were in use")
    });
    Ok(())
}
