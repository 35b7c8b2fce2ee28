// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A promotion that ends while DAMON moves its pages: killed, so that DAMON and the unit go on for
//! nobody, or told to end by a terminal that closes, after which nothing is left.

use anyhow::{Result, ensure};
use chmu_proof::Claim;
use serde_json::Value;

use crate::machine::Output;
use crate::scenario::bench::{Bench, PROGRAM_TIMEOUT, Promoted, Promotion, parse};
use crate::scenario::proof::Demand;
use crate::scenario::{Needs, Scenario};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "killed-mid-batch",
    summary: "what a promotion left that was killed while it moved pages is repaired by the next one",
    needs: Needs::topology("default"),
    run: killed,
};

pub(super) const HUNG_UP: Scenario = Scenario {
    name: "hung-up-mid-batch",
    summary: "a promotion whose terminal closes while it moves pages ends its batch and leaves nothing",
    needs: Needs::topology("default"),
    run: hung_up,
};

/// Pages for two batches and more.
const WORKLOAD: &str = "--pages 8192 --hot-pages 1200";
/// Only part of the hot pages has moved when a batch is cut short; that some have is asked for.
const PARTLY: &str = "--minimum-recall 0.001";
const STATE: &str = "/sys/kernel/mm/damon/admin/kdamonds/0/state";

fn killed(bench: &mut Bench<'_>) -> Result<()> {
    let workload = bench.workload(WORKLOAD)?;
    let killed = bench.start_promotion("--threshold 8")?;
    bench.go(&workload)?;
    let output = signal_in_a_batch(bench, &killed, "KILL")?;
    let code = output.exit_code;
    bench.expect(code == 128 + libc::SIGKILL, || {
        format!(
            "The promotion ended with {code} before it was killed: {}",
            output.stderr
        )
    });
    wait_for_the_pass(bench)?;
    let workloads = [&workload];
    let first = Promoted {
        report: Value::Null,
        ledger: killed.ledger,
        said: String::new(),
    };
    let options = format!("--killed {PARTLY}");
    let of_the_first = Demand {
        options: &options,
        ..Demand::all("killed", &workloads, &first, &[0])
    };
    bench.expect_proven(&of_the_first)?;
    let next = bench.start_promotion("--until-stable --threshold 8")?;
    let next = bench.finish_promotion(next)?;
    bench.figure("the next one said", next.said.trim());
    for taken_back in ["was left counting by process", "DAMON"] {
        bench.expect(next.said.contains(taken_back), || {
            format!(
                "The next promotion does not say what it repairs: {:?}",
                next.said
            )
        });
    }
    // Its ledger does not know of what the first one moved; all other claims hold for both together.
    let both = Demand {
        without: &[Claim::Attribution],
        ..Demand::all("both", &workloads, &next, &[0])
    };
    bench.expect_proven(&both)?;
    bench.end("workload", workload)?;
    Ok(())
}

fn hung_up(bench: &mut Bench<'_>) -> Result<()> {
    let workload = bench.workload(WORKLOAD)?;
    let promotion = bench.start_promotion("--threshold 8")?;
    bench.go(&workload)?;
    let output = signal_in_a_batch(bench, &promotion, "HUP")?;
    let (code, said) = (output.exit_code, output.stderr.trim());
    bench.expect(code == 0 && said.is_empty(), || {
        format!("A closed terminal ends the promotion with {code}: {said}")
    });
    let ended = Promoted {
        report: parse("chmu promote", &output)?,
        ledger: promotion.ledger,
        said: String::new(),
    };
    let workloads = [&workload];
    let partly = Demand {
        options: PARTLY,
        ..Demand::all("workload", &workloads, &ended, &[0])
    };
    bench.expect_proven(&partly)?;
    bench.end("workload", workload)?;
    Ok(())
}

/// Sends a signal while DAMON's worker is on, which it is for the one pass of a batch only, and waits for
/// the promotion's end.
fn signal_in_a_batch(bench: &mut Bench<'_>, promotion: &Promotion, signal: &str) -> Result<Output> {
    let process_id = promotion.process_id;
    // The shell starts no program for this, as a batch is over sooner. A promotion that is stopped while
    // the worker is on cannot switch it off any more.
    // Before the ledger's first line DAMON is only tried.
    let ledger = &promotion.ledger;
    let is_on =
        format!("[ -s {ledger} ] && read state 2>/dev/null <{STATE} && [ \"$state\" = on ]");
    let script = format!(
        "until {is_on} && kill -STOP {process_id} && {is_on}; do kill -CONT {process_id} || exit 1; \
         done; kill -{signal} {process_id}; kill -CONT {process_id}"
    );
    let sent = bench.machine.run(&["sh", "-c", &script], PROGRAM_TIMEOUT)?;
    ensure!(!sent.timed_out, "The promotion makes no batch");
    bench.machine.wait(process_id, PROGRAM_TIMEOUT)
}

/// Waits until DAMON has made the pass that it was told to make: nobody switches it off any more. Pages that are on
/// their way meanwhile are nowhere.
fn wait_for_the_pass(bench: &mut Bench<'_>) -> Result<()> {
    // It begins a second after the worker was switched on, by the kernel's own clock; an idle worker sleeps in state I.
    let script = "idle() { for worker in /sys/kernel/mm/damon/admin/kdamonds/[0-9]*; do \
         read process <$worker/pid; [ $process = -1 ] || [ $(cut -d' ' -f3 /proc/$process/stat) = I ] || return 1; \
         done; }; \
         seconds() { cut -d. -f1 /proc/uptime; }; start=$(seconds); \
         until [ $(seconds) -gt $((start + 2)) ] && idle; do sleep 0.05; done";
    bench.shell(script)?;
    Ok(())
}
