// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use anyhow::Result;
use chmu_promotion::Rejection;
use chmu_promotion::ledger::Action;

use crate::scenario::bench::Bench;
use crate::scenario::proof::Demand;
use crate::scenario::{Needs, Scenario};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "thp",
    summary: "huge pages move as a whole while they are written to; one that is held stays, whole too",
    needs: Needs::topology("default"),
    run,
};

const SETTING: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
const FOLIOS: u64 = 4;
const FOLIO_PAGES: u64 = 512;
const HOT: u64 = 1024;

fn run(bench: &mut Bench<'_>) -> Result<()> {
    if !bench.holds(&format!("[ -e {SETTING} ]"))? {
        return Bench::skip("The guest's kernel has no transparent huge pages");
    }
    bench.shell(&format!("echo madvise >{SETTING}"))?;
    let ran = with_huge_pages(bench);
    bench.shell(&format!("echo never >{SETTING}"))?;
    ran
}

fn with_huge_pages(bench: &mut Bench<'_>) -> Result<()> {
    let pages = FOLIOS * FOLIO_PAGES;
    // One page of all is held, so that its folio cannot move.
    let options = format!(
        "--pages {pages} --hot-pages {HOT} --backing huge --write-percent 50 --pinned-pages 1"
    );
    let workload = bench.workload(&options)?;
    expect_huge(bench, workload.process_id, "before")?;
    let promotion = bench.start_promotion("")?;
    bench.go(&workload)?;
    bench.wait_for_lines(&promotion, "\"e\":\"moved\"", FOLIOS - 1)?;
    bench.wait_for_lines(&promotion, "\"reason\":\"pinned\"", 1)?;
    bench.wait_for_reports(&promotion, 5)?;
    let promoted = bench.stop_promotion(promotion)?;
    let proof = bench.expect_proven(&Demand {
        options: "--minimum-recall 0.7",
        ..Demand::all("workload", &[&workload], &promoted, &[0])
    })?;
    let counts = &proof.counts;
    let expected = (FOLIOS - 1) * FOLIO_PAGES;
    bench.figure("promoted pages", counts.promoted_pages);
    bench.figure("pages taken along", counts.pages_taken_along);
    bench.expect(counts.promoted_pages == expected, || {
        format!(
            "{} pages were promoted, {expected} are in huge pages that nobody holds",
            counts.promoted_pages
        )
    });
    let refused = bench.events(&promoted, "refused")?;
    let pinned = refused.iter().filter(|event| {
        matches!(&event.action, Action::Refused(it) if it.reason == Rejection::Pinned && it.folio.pages == FOLIO_PAGES)
    });
    let pinned = pinned.count();
    bench.expect(pinned == 1, || {
        format!("The huge page that is held is said to be held {pinned} times")
    });
    expect_huge(bench, workload.process_id, "after")?;
    bench.end("workload", workload)?;
    Ok(())
}

/// All pages must be parts of huge ones.
fn expect_huge(bench: &mut Bench<'_>, process_id: u32, when: &str) -> Result<()> {
    let script = format!("awk '/^AnonHugePages/ {{ print $2 }}' /proc/{process_id}/smaps_rollup");
    let kib: u64 = bench.shell(&script)?.parse()?;
    let expected = FOLIOS * FOLIO_PAGES * 4;
    bench.figure(&format!("huge KiB {when}"), kib);
    bench.expect(kib == expected, || {
        format!("{when}: {kib} KiB of {expected} are in huge pages")
    });
    Ok(())
}
