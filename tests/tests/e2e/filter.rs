// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The plugin's cache does what its README says: a hit is nothing, a miss is a load of the line, a
//! dirty line that goes is a store.

use std::collections::BTreeMap;

use anyhow::Result;
use chmu_tests::guest::{Guest, Setup};

use crate::script::{Script, Touches};
use crate::watch::{Report, Watch};

const CACHE_LINES: u64 = 4096;
const PAGE_LINES: u64 = 64;
/// How many pages the cache holds.
const CACHE_PAGES: u64 = CACHE_LINES / PAGE_LINES;
/// In how many ways it holds the lines of one place.
const WAYS: u64 = 4;
/// Pages whose frames agree modulo this number are rivals, line by line.
const COLOURS: u64 = CACHE_PAGES / WAYS;
/// So many misses in its set drive a line out for certain.
const MISSES_TO_LEAVE: u64 = 2 * (WAYS - 1);
/// Every line of every page, so many times.
const ROUNDS: u64 = 4;

fn boot() -> Result<Guest> {
    Guest::boot(&Setup::with_plugin(&[&format!(
        "cache=lines:{CACHE_LINES}"
    )]))
}

#[test]
fn a_small_working_set_is_reported_when_it_is_first_touched() -> Result<()> {
    const PAGES: u64 = 8;
    const TOUCHES_PER_LINE: u64 = 200;
    let mut guest = boot()?;
    let touches: Vec<_> = (0..PAGES)
        .map(|page| Touches::new(page, PAGE_LINES * TOUCHES_PER_LINE, 0))
        .collect();
    let script = Script::prepare(&mut guest, PAGES, &touches)?;
    let (report, _) = observe(&mut guest, &script, "non-tee-read-write")?;
    let counts = by_frame(&report);
    assert_eq!(counts.len(), touches.len(), "{counts:?}");
    let reported: u64 = counts.values().sum();
    let accesses = PAGES * PAGE_LINES * TOUCHES_PER_LINE;
    println!("{reported} of {accesses} loads are reported");
    for (frame, count) in counts {
        // Once per line, and again for lines that the rest of the guest has replaced.
        assert!(count >= PAGE_LINES, "frame {frame:#x}: {count}");
    }
    assert!(reported * 10 < accesses, "{reported} of {accesses}");
    script.end(&mut guest)?;
    guest.finish()
}

#[test]
fn a_large_working_set_is_reported_every_time() -> Result<()> {
    let mut guest = boot()?;
    let pages = 4 * CACHE_PAGES;
    check_large(
        &mut guest,
        pages,
        |page| Touches::new(page, PAGE_LINES, 0),
        |_| {},
    )?;
    guest.finish()
}

#[test]
fn a_store_is_reported_when_its_line_goes() -> Result<()> {
    let mut guest = boot()?;
    let pages = 4 * CACHE_PAGES;
    let store = |page| Touches::new(page, 0, PAGE_LINES);
    let stores = pages * PAGE_LINES * ROUNDS;
    check_large(&mut guest, pages, store, |written| {
        assert!(
            written <= stores && written >= stores - CACHE_LINES,
            "{written} of {stores}"
        );
    })?;
    guest.finish()
}

/// Touches all pages in turn, which has every line replaced before it is touched again. Each touch
/// must be a load of the line; what becomes of the stores `check_stores` gets to know.
fn check_large(
    guest: &mut Guest,
    pages: u64,
    touches: impl Fn(u64) -> Touches,
    check_stores: impl FnOnce(u64),
) -> Result<()> {
    let rounds: Vec<_> = (0..ROUNDS).flat_map(|_| 0..pages).map(touches).collect();
    let script = Script::prepare(guest, pages, &rounds)?;
    let (report, loads) = observe(guest, &script, "non-tee-read")?;
    let mut places: BTreeMap<u64, u64> = BTreeMap::new();
    for page in 0..pages {
        *places.entry(script.frame(page)? % COLOURS).or_default() += 1;
    }
    let counts = by_frame(&report);
    let mut replaced = 0;
    for page in 0..pages {
        let frame = script.frame(page)?;
        // A page with few rivals in the cache may stay there.
        if places[&(frame % COLOURS)] > MISSES_TO_LEAVE {
            replaced += 1;
            assert_eq!(counts[&frame], ROUNDS * PAGE_LINES, "page {page}");
        }
    }
    println!("{replaced} of {pages} pages have enough rivals, {loads} loads");
    assert!(replaced * 10 >= pages * 9, "{replaced} of {pages}");
    let script_again = script;
    script_again.end(guest)?;

    let script = Script::prepare(guest, pages, &rounds)?;
    let (_, stores) = observe(guest, &script, "non-tee-write")?;
    check_stores(stores);
    script.end(guest)
}

/// Runs the script and returns what was reported and how many requests were counted.
fn observe(guest: &mut Guest, script: &Script, requests: &str) -> Result<(Report, u64)> {
    let watch = Watch::start(guest, &["--threshold=1", "--requests", requests])?;
    script.run(guest)?;
    watch.end_epoch(guest)?;
    let counted = watch.counted(guest, 0)?;
    let report = watch.stop(guest)?;
    assert!(!report.lost, "{report:?}");
    Ok((report, counted))
}

/// The count of each page frame.
fn by_frame(report: &Report) -> BTreeMap<u64, u64> {
    let mut counts = BTreeMap::new();
    for entry in &report.entries {
        *counts.entry(entry.hpa >> 12).or_default() += entry.count;
    }
    counts
}
