// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The target is the high-bandwidth memory, which a file fills: no program of the guest lives there, so that
//! what it has left is left for promotion alone, and a full target starves nobody else.

use anyhow::{Result, bail};
use chmu_promotion::Rejection;
use serde::Serialize;

use super::full_node::{self, NODE, Room, number};
use crate::scenario::bench::{Bench, Promoted, Promotion};
use crate::scenario::proof::Demand;
use crate::scenario::refusals::Refusals;
use crate::scenario::{Needs, Scenario};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "target-full",
    summary: "into a node that is nearly full no more goes than has room, which is said; the rest follows when there is some",
    needs: Needs::topology("three-tier"),
    run,
};

const HOT: u64 = 2560;
/// What is left of the target above its watermark.
const ROOM: u64 = 1024;
/// What the kernel may take or give back meanwhile, and how exactly the target is filled.
const OTHERS: u64 = 256;
const PAGE_BYTES: u64 = 4096;
const KEPT_BACK_FAST: u64 = 4096;
const FILL_STEPS: u32 = 50;
/// So often it is looked whether the target is full, and then what there is counts.
const LOOKS_MAX: u32 = 20;
/// A hot page has a fifth of its accesses on a quiet machine at least, a cold one a hundredth of that.
const SETTINGS: &str = "--threshold 16 --epoch 500ms --no-tune";
/// Pages that a file gave up may be in processors' lists for reclaim, a hundred in each, and are not free before.
const LET_GO: &str = "echo 1 >/proc/sys/vm/drop_caches";
/// A file system in the target's memory.
const FOLDER: &str = "/run/full";

fn run(bench: &mut Bench<'_>) -> Result<()> {
    bench.shell(&format!(
        "mkdir {FOLDER} && mount -t tmpfs -o mpol=bind:{NODE} none {FOLDER}"
    ))?;
    let ran = full_node::counted_exactly(bench, with_folder);
    bench.shell(&format!("umount {FOLDER} && rmdir {FOLDER}"))?;
    ran
}

fn with_folder(bench: &mut Bench<'_>) -> Result<()> {
    let workload = bench.workload(&format!(
        "--node 2 --pages 4096 --hot-pages {HOT} --cold-percent 0.1"
    ))?;
    let before = fill(bench)?;
    let reclaimed = full_node::reclaimed(bench)?;
    let options = format!("--target {NODE} {SETTINGS}");
    let promotion = bench.start_promotion(&options)?;
    bench.go(&workload)?;
    bench.wait_for_lines(&promotion, "\"reason\":\"target_full\"", 1)?;
    let full = wait_until_nothing_moves(bench, &promotion)?;
    let left = full_node::room(bench)?;
    bench.figure("room before", before.free);
    bench.figure("kept back by processors before", before.kept_back);
    bench.figure("kept back since", left.kept_back);
    bench.figure("room left", left.free);
    bench.figure("while the target was full", full);
    let (had, has) = (before.pages(), full.moved + left.pages());
    bench.expect(had.abs_diff(has) <= OTHERS && left.free <= OTHERS, || {
        let (moved, Room { free, kept_back }) = (full.moved, left);
        format!("{moved} pages were promoted to a node with room for {had}, {free} and {kept_back} are left")
    });
    let reclaimed = full_node::reclaimed(bench)? - reclaimed;
    bench.expect(reclaimed == 0, || {
        format!("The kernel looked for {reclaimed} pages to take back from full nodes")
    });
    bench.shell(&format!("rm {FOLDER}/file"))?;
    bench.wait_until_promoted(&promotion, &workload)?;
    let promoted = bench.stop_promotion(promotion)?;
    bench.expect_proven(&Demand {
        options: &format!("--target {NODE}"),
        ..Demand::all("workload", &[&workload], &promoted, &[NODE])
    })?;
    expect_said(bench, &promoted, full.moved)?;
    bench.end("workload", workload)?;
    Ok(())
}

/// Leaves about so much room on the target; returns how much.
fn fill(bench: &mut Bench<'_>) -> Result<Room> {
    let mut pages = 0;
    for _ in 0..FILL_STEPS {
        let room = full_node::room(bench)?;
        let free = room.free;
        if free.abs_diff(ROOM) <= OTHERS / 2 {
            return Ok(room);
        }
        // A processor takes more than it gives to the file, the more of it the faster the file grows, and
        // the kernel ends the program that finds nothing left.
        pages = match free.checked_sub(ROOM) {
            Some(more) if more > 2 * KEPT_BACK_FAST => pages + more - KEPT_BACK_FAST,
            Some(more) => pages + more.div_ceil(2),
            None => pages.saturating_sub(ROOM - free),
        };
        let bytes = pages * PAGE_BYTES;
        bench.shell(&format!(
            "truncate -s {bytes} {FOLDER}/file && fallocate -l {bytes} {FOLDER}/file && {LET_GO}"
        ))?;
    }
    bail!("Node {NODE} has not the room that was to be tried")
}

/// Lines of a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Lines {
    moved: u64,
    batches: u64,
    all: u64,
}

impl Lines {
    fn count(bench: &mut Bench<'_>, promotion: &Promotion) -> Result<Lines> {
        let mut lines = |text: &str| {
            let script = format!("grep -cF '{text}' {} || true", promotion.ledger);
            number(bench, &script)
        };
        Ok(Lines {
            moved: lines("\"e\":\"moved\"")?,
            batches: lines("\"e\":\"batch\"")?,
            all: lines("")?,
        })
    }

    /// Whether the last batch is done: the pages of one that is under way have left, and no line says so yet.
    fn are_whole(self, bench: &mut Bench<'_>, promotion: &Promotion) -> Result<bool> {
        let last = format!("\"batch\":{},", self.batches);
        let (ledger, made) = (&promotion.ledger, "\"e\":\"batch\"");
        bench.holds(&format!("grep -F '{last}' {ledger} | grep -qvF '{made}'"))
    }
}

/// Returns what is written by then. Who waits for room must not try again and again. What processors keep
/// back they give away later, and on a busy host a batch takes longer than five reports.
fn wait_until_nothing_moves(bench: &mut Bench<'_>, promotion: &Promotion) -> Result<Lines> {
    let mut looks = 0;
    loop {
        looks += 1;
        let before = Lines::count(bench, promotion)?;
        bench.wait_for_reports(promotion, 5)?;
        let now = Lines::count(bench, promotion)?;
        let is_full = full_node::room(bench)?.free <= OTHERS || looks >= LOOKS_MAX;
        if is_full && now.moved == before.moved && now.are_whole(bench, promotion)? {
            let (batches, lines) = (now.batches - before.batches, now.all - before.all);
            bench.figure("lines of five reports", lines);
            bench.expect(batches <= 5, || {
                format!("Of {batches} batches in a full target's time none moved a page")
            });
            return Ok(now);
        }
    }
}

/// Of each page that did not fit it must be said, and not again before a minute is over, however often it was
/// reported meanwhile.
fn expect_said(bench: &mut Bench<'_>, promoted: &Promoted, moved: u64) -> Result<()> {
    let events = bench.events(promoted, "refused")?;
    let said = Refusals::of(&events, Rejection::TargetFull);
    let (pages, too_often) = (said.folios() as u64, said.too_often());
    bench.figure("said to find no room", pages);
    let rest = HOT.saturating_sub(moved);
    bench.expect(pages * 100 >= rest * 95 && too_often == 0, || {
        format!("Of {rest} pages without room {pages} are said to find none, {too_often} of them twice in a minute")
    });
    Ok(())
}
