// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A unit has one owner. Whoever comes second is told who it is, whatever it insists on, and takes
//! nothing away: the first one's ledger and the workload's pages are held against each other as if
//! nobody had come.

use anyhow::Result;

use crate::scenario::bench::{Bench, ENABLED, PROGRAM_TIMEOUT, Promotion, number};
use crate::scenario::proof::Demand;
use crate::scenario::{Needs, Scenario};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "two-harnesses",
    summary: "a second promotion on a unit is refused, a watch looks only, and the first goes on undisturbed",
    needs: Needs::topology("default"),
    run,
};

/// Programs that would take the unit.
const SECOND: [&str; 3] = [
    "chmu promote --seconds 2 -o json",
    "chmu promote --seconds 2 --take-over --dry-run -o json",
    "chmu reset --take-over -o json",
];

const WATCHED: &str = "/run/watched";

fn run(bench: &mut Bench<'_>) -> Result<()> {
    let workload = bench.workload("--pages 4096 --hot-pages 512")?;
    let first = bench.start_promotion("--until-stable")?;
    bench.wait_until(first.process_id, ENABLED)?;
    for command in SECOND {
        is_refused(bench, &first, command)?;
    }
    // What another source reports may not be promoted either while the first one has DAMON.
    bench.shell("echo 0x1 >/run/frames")?;
    is_refused(bench, &first, "chmu promote --frames /run/frames -o json")?;
    let watch = format!("exec chmu watch -o json >{WATCHED}");
    let watch = bench.machine.spawn(&["sh", "-c", &watch])?;
    bench.wait_until(watch, &format!("[ -s {WATCHED} ]"))?;
    bench.go(&workload)?;
    let promoted = bench.finish_promotion(first)?;
    bench.machine.signal(watch, libc::SIGTERM)?;
    let code = bench.machine.wait(watch, PROGRAM_TIMEOUT)?.exit_code;
    let watched = bench.machine.read(WATCHED)?;
    let only_looks = watched.lines().all(|line| line.starts_with("{\"in_use\":"));
    bench.expect(code == 0 && only_looks, || {
        format!("A watch beside a promotion ended with {code} and said {watched:?}")
    });
    bench.figure("promoted in batches", number(&promoted.report, "batches")?);
    bench.expect_proven(&Demand::all("workload", &[&workload], &promoted, &[0]))?;
    bench.end("workload", workload)?;
    Ok(())
}

/// The sentence must name the process that is in the way.
fn is_refused(bench: &mut Bench<'_>, first: &Promotion, command: &str) -> Result<()> {
    let words: Vec<_> = command.split_whitespace().collect();
    let output = bench.machine.run(&words, PROGRAM_TIMEOUT)?;
    let (code, said) = (output.exit_code, output.stderr.trim());
    let owner = format!("process {}", first.process_id);
    bench.figure(command, said);
    bench.expect(code == 1 && said.contains(&owner), || {
        format!("`{command}` was not refused for {owner}: it ended with {code} and said {said:?}")
    });
    Ok(())
}
