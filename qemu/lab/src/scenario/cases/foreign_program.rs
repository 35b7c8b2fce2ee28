// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A program that nobody here wrote, and that says nothing of itself: busybox' awk fills a table and
//! goes through the newest tenth of it for ever. What is hot is told by the device's own counts, and
//! then by nobody else: a promotion by hand, of pages that the counts call cold, must fail.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use chmu_proof::observation::{FOREIGN_ACCESSES, Observation, ObservedPage, Rates, Seen};
use chmu_proof::verdict::{Claim, Verdict};
use chmu_proof::{Outcome, Reason};
use serde_json::{Value, json};

use crate::scenario::bench::{Bench, PROGRAM_TIMEOUT, parse};
use crate::scenario::proof;
use crate::scenario::{Needs, Scenario};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "foreign-program",
    summary: "a program's hot pages by the device's counts are promoted, and cold ones by hand are noticed",
    needs: Needs {
        oracle: true,
        ..Needs::topology("default")
    },
    run,
};

const PROGRAM: &str = r#"BEGIN {
    n = 60000
    for (i = 0; i < n; i++) a[i] = i
    print "ready" >"/run/foreign-ready"
    close("/run/foreign-ready")
    for (;;) for (i = n - n / 10; i < n; i++) s += a[i]
}
"#;
const PLACE: &str = "/run/foreign.awk";
const OBSERVED: &str = "/run/foreign-observed.json";
const BY_HAND: &str = "/run/foreign-by-hand.jsonl";
/// The hot tenth of the table has several hundred pages.
const HOT_PAGES_LEAST: usize = 100;
/// Cold pages that are moved by hand.
const COLD_PAGES: usize = 8;
/// The longest epoch that the device grants.
const EPOCH_SECONDS_MOST: u64 = 10;
/// Pages that are neither hot nor cold, as code and stack are, may be this part of what moves.
const MAXIMUM_UNCLEAR: f64 = 0.15;

fn run(bench: &mut Bench<'_>) -> Result<()> {
    bench.shell(&format!(
        "rm -f /run/foreign-ready\ncat >{PLACE} <<'END'\n{PROGRAM}END"
    ))?;
    let program = bench.spawn(&format!("chmu run busybox awk -f {PLACE}"))?;
    bench.wait_until(program, "[ -e /run/foreign-ready ]")?;
    owners(bench, program)?;
    let observer = bench.spawn(&format!(
        "chmu observe --pid {program} --file {OBSERVED} -o json"
    ))?;
    bench.wait_until(observer, &format!("[ -e {OBSERVED} ]"))?;
    let rates = pace(bench, observer)?;
    bench.figure("hot from accesses a second", rates.hot_from);
    // So long that what is reported was hot, and not only moved or zeroed.
    let epoch_seconds = (FOREIGN_ACCESSES / rates.hot_from.max(1) + 1).min(EPOCH_SECONDS_MOST);
    let threshold = epoch_seconds * rates.hot_from;
    bench.figure("epoch in seconds", epoch_seconds);
    let promotion = bench.start_promotion(&format!(
        "--until-stable --epoch {epoch_seconds}s --threshold {threshold}"
    ))?;
    let promoted = bench.finish_promotion(promotion)?;
    bench.figure("batches", &promoted.report["batches"]);
    right(bench, (program, rates), &promoted.ledger)?;
    wrong(bench, (program, rates), &promoted.ledger)?;
    bench.machine.signal(observer, libc::SIGTERM)?;
    let output = bench.machine.wait(observer, PROGRAM_TIMEOUT)?;
    let summary: Value = parse("chmu observe", &output)?;
    bench.figure("seconds observed", &summary["seconds"]);
    bench.figure("looks", &summary["looks"]);
    bench.figure("accesses", &summary["accesses"]);
    bench.figure("accesses missing", &summary["accesses_missing"]);
    bench.machine.signal(program, libc::SIGKILL)?;
    bench.machine.wait(program, PROGRAM_TIMEOUT)?;
    Ok(())
}

/// The hot pages belong to the program, and `chmu watch` says so.
fn owners(bench: &mut Bench<'_>, program: u32) -> Result<()> {
    let lines = bench.shell("chmu watch --owners --seconds 2 --threshold 16 -o json")?;
    let lines: Result<Vec<Value>, _> = lines.lines().map(serde_json::from_str).collect();
    let lines = lines.context("`chmu watch` prints no JSON")?;
    let owners = lines.iter().find_map(|line| line.get("owners"));
    let first = owners.context("`chmu watch` tells no owners")?["owners"][0].clone();
    bench.expect(
        first["process_id"] == json!(program) && first["mapping"] == "[heap]",
        || format!("The hottest pages are said to be of {first}"),
    );
    Ok(())
}

/// What is hot for this program on this machine: half of what the pages of its hot tenth have. Waits
/// until a page without accesses is surely cold by that.
fn pace(bench: &mut Bench<'_>, observer: u32) -> Result<Rates> {
    let rates = |observation: &Observation| {
        let untouched = |page: &&ObservedPage| page.possible == 0;
        let mut counts: Vec<_> = observation.pages.iter().map(|page| page.sure).collect();
        counts.sort_unstable_by(|one, other| other.cmp(one));
        let typical = counts.get(HOT_PAGES_LEAST).copied()?;
        let time_ns = u128::from(observation.time_ns()).max(1);
        let hot_from = u64::try_from(u128::from(typical) * 1_000_000_000 / time_ns / 2).ok()?;
        let rates = Rates {
            hot_from,
            cold_below: hot_from / 4,
        };
        let mut untouched = observation.pages.iter().filter(untouched);
        let is_cold = |page: &ObservedPage| {
            page.seen(rates, observation.end_ns, observation.missing()) == Seen::Cold
        };
        untouched.next().is_some_and(is_cold).then_some(rates)
    };
    let deadline = Instant::now() + PROGRAM_TIMEOUT;
    loop {
        let observation: Observation = serde_json::from_str(&bench.machine.read(OBSERVED)?)?;
        if let Some(rates) = rates(&observation) {
            return Ok(rates);
        }
        ensure!(
            Instant::now() < deadline,
            "After {} the program has no pages that are clearly hot, and others that are clearly cold",
            chmu_machine::words::span(observation.time_ns())
        );
        bench.machine.signal(observer, libc::SIGUSR2)?;
        bench.shell("sleep 1")?;
    }
}

fn prove(bench: &mut Bench<'_>, (program, rates): (u32, Rates), ledger: &str) -> Result<Verdict> {
    let Rates {
        hot_from,
        cold_below,
    } = rates;
    let words = format!(
        "chmu prove --pid {program} --observed {OBSERVED} --ledger {ledger} --hot-from {hot_from} \
         --cold-below {cold_below} --maximum-unclear {MAXIMUM_UNCLEAR} -o json"
    );
    let words: Vec<_> = words.split_whitespace().collect();
    let output = bench.machine.run(&words, PROGRAM_TIMEOUT)?;
    parse("chmu prove", &output)
}

fn right(bench: &mut Bench<'_>, program: (u32, Rates), ledger: &str) -> Result<()> {
    let proof = prove(bench, program, ledger)?;
    let claims: Vec<_> = Claim::ALL
        .into_iter()
        .filter(|claim| *claim != Claim::Content)
        .collect();
    bench.reasons.extend(proof::reasons(&proof, &claims));
    let content = proof.outcome(Claim::Content);
    bench.expect(content == Outcome::NotClaimed, || {
        format!("That the content is right is said to be: {content}")
    });
    let counts = &proof.counts;
    let hot = counts.true_hot_pages;
    bench.expect(hot >= HOT_PAGES_LEAST as u64, || {
        format!("Only {hot} pages are hot by the device's counts")
    });
    bench.expect(proof.verdict == Outcome::Pass, || {
        format!("The proof is: {}", proof.verdict)
    });
    bench.figure("pages", counts.pages);
    bench.figure("hot pages", hot);
    bench.figure("recall", proof.recall);
    bench.figure("wrong pages", counts.wrong_pages_promoted);
    bench.figure("unclear pages", counts.unclear_pages);
    bench.figure("unclear pages moved", counts.unclear_pages_moved);
    Ok(())
}

/// Pages that the counts call cold are moved as if a list had named them, and the promotion's ledger
/// does not know.
fn wrong(bench: &mut Bench<'_>, program: (u32, Rates), ledger: &str) -> Result<()> {
    let observation = bench.machine.read(OBSERVED)?;
    let observation: Observation = serde_json::from_str(&observation)?;
    let is_cold = |page: &&ObservedPage| {
        page.left.is_none()
            && page.seen(program.1, observation.end_ns, observation.missing()) == Seen::Cold
    };
    let cold: Vec<_> = observation.pages.iter().filter(is_cold).collect();
    // From the middle of the table, where nobody else is.
    let cold: Vec<_> = cold.iter().skip(cold.len() / 2).take(COLD_PAGES).collect();
    ensure!(
        cold.len() == COLD_PAGES,
        "Only {} pages are cold",
        cold.len()
    );
    let hot: Vec<_> = cold
        .iter()
        .map(|page| json!({"frame": page.frame, "weight": 1000}))
        .collect();
    let header = json!({"v": 1, "stream": "by hand", "epoch_ns": 100_000_000});
    let said = json!({"t": 100_000_000, "hot": hot});
    bench.shell(&format!(
        "cat >{BY_HAND} <<'END'\n{header}\n{said}\nEND\n\
         chmu promote --source stream:{BY_HAND} --actuator move-pages --until-stable --seconds 20 \
         -o json >/dev/null"
    ))?;
    let proof = prove(bench, program, ledger)?;
    for reason in [Reason::ColdPageMoved, Reason::MovedByOthers] {
        let count = proof.finding(reason).map_or(0, |finding| finding.count);
        bench.expect(count == COLD_PAGES as u64, || {
            let (one, several) = reason.text();
            format!(
                "{COLD_PAGES} cold pages were moved by hand, and the proof says: {}",
                chmu_machine::words::count(count, one, several)
            )
        });
    }
    bench.figure("cold pages moved by hand", COLD_PAGES);
    Ok(())
}
