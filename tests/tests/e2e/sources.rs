// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where hot pages are known from: each source finds those of a workload and no others, and several at
//! once count no access twice; what cannot be a source is refused in a sentence.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use chmu_promotion::ledger::{Action, Event};
use chmu_proof::Outcome;
use chmu_proof::verdict::Verdict;
use chmu_proof::workload::state::State;
use chmu_tests::guest::{Guest, PROGRAM_TIMEOUT, Setup};
use serde_json::json;

const STATE: &str = "/run/workload.json";
const LEDGER: &str = "/run/ledger.jsonl";
const STREAM: &str = "/run/stream.jsonl";
/// Hot pages of a workload of one page in eight; more than the caches in front of the device hold.
const PAGES: [&str; 2] = ["--pages=4096", "--hot-pages=512"];
/// So few that a guest visits each of them often.
const FEW_PAGES: [&str; 2] = ["--pages=1024", "--hot-pages=128"];
/// How often a condition is looked at in one request, and how far apart: each look takes time from those that watch.
const LOOKS: u32 = 4;
const PAUSE_SECONDS: u32 = 4;

#[test]
fn a_list_and_accessed_bits_of_the_process_itself_find_the_hot_pages_and_no_others() -> Result<()> {
    let mut guest = Guest::boot(&Setup::default())?;
    wrong_ones_are_refused(&mut guest)?;
    a_stream(&mut guest)?;
    accessed_bits_by_userfaultfd(&mut guest)?;
    guest.finish()
}

#[test]
#[ignore = "takes minutes: DAMON is asked for pages one by one; cargo lab test --run-ignored only"]
fn damon_finds_hot_pages_of_a_process_and_no_others() -> Result<()> {
    let mut guest = Guest::boot(&Setup::default())?;
    let workload = Workload::start(&mut guest, &FEW_PAGES)?;
    let source = format!("--source=accessed:{}", workload.process_id);
    is_promoted(&mut guest, workload, &source, "0.5")?;
    guest.finish()
}

#[test]
#[ignore = "takes minutes: DAMON is asked for pages one by one; cargo lab test --run-ignored only"]
fn a_device_and_damon_together_move_a_page_once() -> Result<()> {
    let mut guest = Guest::boot(&Setup::default())?;
    several_at_once(&mut guest)?;
    guest.finish()
}

fn wrong_ones_are_refused(guest: &mut Guest) -> Result<()> {
    let workload = Workload::start(guest, &FEW_PAGES)?;
    let process = workload.process_id;
    let not_shared = format!("Process {process} has no userfaultfd for read-write protection");
    let not_shared_source = format!("userfaultfd:{process}");
    for (source, code, sentence) in [
        (
            "chum",
            2,
            "no source is called so; did you mean chmu? There are chmu, damon, accessed",
        ),
        ("accessed:4000000", 1, "There is no process 4000000"),
        ("userfaultfd:4000000", 1, "There is no process 4000000"),
        (&not_shared_source, 1, &not_shared),
        ("hint-faults", 1, "NUMA hint faults cannot be a source"),
        ("stream:/run/none", 1, "/run/none"),
    ] {
        let option = format!("--source={source}");
        is_refused(guest, &[&option], code, sentence)?;
    }
    workload.end(guest)?;
    // A unit has one owner.
    let first = Promotion::start(guest, &["--source=chmu"])?;
    first.wait_until(
        guest,
        "chmu list -o json | tr -d ' \\n' | grep -q '\"enabled\":true'",
    )?;
    let owner = format!("process {}", first.process_id);
    is_refused(guest, &["--source=chmu", "--dry-run"], 1, &owner)?;
    first.stop(guest)
}

fn is_refused(guest: &mut Guest, options: &[&str], code: i32, sentence: &str) -> Result<()> {
    let words = [&["chmu", "promote", "--seconds=1"], options].concat();
    let output = guest.run(&words, PROGRAM_TIMEOUT)?;
    println!("{options:?}: {}", output.stderr.trim());
    ensure!(
        output.exit_code == code && output.stderr.contains(sentence),
        "{options:?} does not end with {code} and {sentence:?}: {output:?}"
    );
    Ok(())
}

/// Lines that name a workload's hot pages by their addresses; when there are no more of them, the run is over.
fn a_stream(guest: &mut Guest) -> Result<()> {
    let workload = Workload::start(guest, &FEW_PAGES)?;
    let state: State = serde_json::from_str(&guest.read(STATE)?)?;
    let since_ns = state.hot_since_ns.context("No page is hot")?;
    let hot = state.hot_pages.iter().map(|page| {
        let address = state.address + page * state.page_bytes;
        json!({"pid": state.process_id, "address": address, "weight": 100})
    });
    let line = json!({"t": since_ns + 1, "hot": hot.collect::<Vec<_>>()});
    guest.shell(&format!("echo '{line}' >{STREAM}"))?;
    let source = format!("--source=stream:{STREAM}");
    let ledger = format!("--ledger={LEDGER}");
    guest.json(&["chmu", "promote", &source, &ledger, "-o", "json"])?;
    is_proven(guest, workload, &source, "1.0")?;
    Ok(())
}

fn accessed_bits_by_userfaultfd(guest: &mut Guest) -> Result<()> {
    let workload = Workload::start(guest, &[&PAGES[..], &["--userfaultfd"]].concat())?;
    let source = format!("--source=userfaultfd:{}", workload.process_id);
    is_promoted(guest, workload, &source, "0.95")
}

/// Promotes a workload's pages until so many of the hot ones are promoted, and has all of it proved.
fn is_promoted(guest: &mut Guest, workload: Workload, source: &str, recall: &str) -> Result<()> {
    let promotion = Promotion::start(guest, &[source])?;
    let enough = format!(
        "chmu prove --without-content --state {STATE} -o json | tr -d ' \\n' | \
         sed 's/.*\"recall\":\\([0-9.]*\\).*/\\1/' | awk '{{ exit !($1 >= {recall}) }}'"
    );
    promotion.wait_until(guest, &enough)?;
    promotion.stop(guest)?;
    is_proven(guest, workload, source, recall)?;
    Ok(())
}

/// What both a device and DAMON see is promoted once, and both are named for it.
fn several_at_once(guest: &mut Guest) -> Result<()> {
    let workload = Workload::start(guest, &FEW_PAGES)?;
    let sources = ["--source=chmu", "--source=damon"];
    // Slow enough that pages are left for both.
    let promotion = Promotion::start(
        guest,
        &[&sources[..], &["--max-pages-per-second=1"]].concat(),
    )?;
    let both =
        format!("grep '\"e\":\"moved\"' {LEDGER} | grep -q '\"origin\":\\[\"[^]]*,[^]]*\\]'");
    promotion.wait_until(guest, &both)?;
    promotion.stop(guest)?;
    let events = is_proven(guest, workload, "chmu and damon", "0.001")?;
    let begun = events.iter().find_map(|event| match &event.action {
        Action::Begin(begin) => Some(&begin.sources),
        _ => None,
    });
    let names: BTreeSet<_> = begun.into_iter().flatten().map(|one| &*one.name).collect();
    ensure!(names.len() == 2 && names.contains("damon"), "{names:?}");
    let mut moved = BTreeSet::new();
    let mut by_both = 0;
    for event in &events {
        if let Action::Moved(one) = &event.action {
            ensure!(moved.insert(one.folio.head), "Moved twice: {event:?}");
            let origin: BTreeSet<_> = one.origin.iter().map(|name| &**name).collect();
            ensure!(
                !origin.is_empty() && origin.is_subset(&names),
                "Of no source: {event:?}"
            );
            by_both += u64::from(origin.len() == 2);
        }
    }
    println!("{} folios moved, {by_both} for both", moved.len());
    Ok(())
}

/// Has the promotion of a workload's pages proved, and ends it; returns what the ledger says.
fn is_proven(
    guest: &mut Guest,
    workload: Workload,
    what: &str,
    recall: &str,
) -> Result<Vec<Event>> {
    let prove = format!(
        "chmu prove --state {STATE} --ledger {LEDGER} --exclusive -o json --minimum-recall={recall}"
    );
    let words: Vec<_> = prove.split_whitespace().collect();
    let output = guest.run(&words, PROGRAM_TIMEOUT)?;
    let verdict: Verdict = serde_json::from_str(&output.stdout)
        .with_context(|| format!("{what}: no verdict: {output:?}"))?;
    let (recall, wrong) = (verdict.recall, verdict.counts.wrong_pages_promoted);
    println!("{what}: recall {recall:?}, {wrong} wrong pages");
    ensure!(wrong == 0, "{what}: {verdict:#?}");
    ensure!(verdict.verdict == Outcome::Pass, "{what}: {verdict:#?}");
    workload.end(guest)?;
    let ledger = guest.read(LEDGER)?;
    let events = ledger.lines().map(serde_json::from_str);
    let events = events.collect::<serde_json::Result<_>>();
    events.context("A line of the ledger is none")
}

/// A workload that touches its pages.
struct Workload {
    process_id: u32,
}

impl Workload {
    fn start(guest: &mut Guest, options: &[&str]) -> Result<Workload> {
        guest.shell(&format!("rm -f {STATE}"))?;
        let state = format!("--state={STATE}");
        let words = ["chmu", "workload", &state, "--hold", "-o", "json"];
        let process_id = guest.spawn(&[&words[..], options].concat())?;
        guest.wait_until(process_id, &format!("grep -q '\"running\"' {STATE}"))?;
        Ok(Workload { process_id })
    }

    fn end(self, guest: &mut Guest) -> Result<()> {
        guest.signal(self.process_id, libc::SIGTERM)?;
        let output = guest.wait(self.process_id, PROGRAM_TIMEOUT)?;
        ensure!(output.exit_code == 0, "The workload: {output:?}");
        Ok(())
    }
}

/// A promotion that goes on until it is stopped.
struct Promotion {
    process_id: u32,
}

impl Promotion {
    fn start(guest: &mut Guest, options: &[&str]) -> Result<Promotion> {
        guest.shell(&format!("rm -f {LEDGER}"))?;
        let ledger = format!("--ledger={LEDGER}");
        let words = ["chmu", "promote", &ledger, "-o", "json"];
        let process_id = guest.spawn(&[&words[..], options].concat())?;
        guest.wait_until(process_id, &format!("[ -s {LEDGER} ]"))?;
        Ok(Promotion { process_id })
    }

    /// Waits until a condition of the shell holds, for as long as it runs.
    fn wait_until(&self, guest: &mut Guest, condition: &str) -> Result<()> {
        let process_id = self.process_id;
        let script = format!(
            "for look in $(seq {LOOKS}); do if {condition}; then exit 0; fi; kill -0 {process_id} || exit 2; \
             sleep {PAUSE_SECONDS}; done; exit 1"
        );
        loop {
            match guest
                .run(&["sh", "-c", &script], PROGRAM_TIMEOUT)?
                .exit_code
            {
                0 => return Ok(()),
                1 => {}
                _ => {
                    let output = guest.wait(process_id, PROGRAM_TIMEOUT)?;
                    bail!("The promotion ended before `{condition}` was true: {output:?}")
                }
            }
        }
    }

    fn stop(self, guest: &mut Guest) -> Result<()> {
        guest.signal(self.process_id, libc::SIGTERM)?;
        let output = guest.wait(self.process_id, PROGRAM_TIMEOUT)?;
        ensure!(output.exit_code == 0, "The promotion: {output:?}");
        Ok(())
    }
}
