// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use anyhow::Result;

use crate::scenario::bench::{Bench, PROGRAM_TIMEOUT};
use crate::scenario::proof::Demand;
use crate::scenario::{Needs, Scenario};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "shared-memory",
    summary: "hot pages that three processes map are promoted, and stay whole",
    needs: Needs::topology("default"),
    run,
};

const FILE: &str = "/dev/shm/shared";
const SHARERS: u64 = 3;

fn run(bench: &mut Bench<'_>) -> Result<()> {
    let options = format!("--pages 4096 --hot-pages 512 --backing mapped:{FILE}");
    let workload = bench.workload(&options)?;
    let mut others = Vec::new();
    for _ in 1..SHARERS {
        let share = format!("chmu workload share --state {} -o json", workload.state);
        let process_id = bench.spawn(&share)?;
        bench.wait_until(
            process_id,
            &format!("grep -q {FILE} /proc/{process_id}/maps"),
        )?;
        others.push(process_id);
    }
    let mapped = shares(bench, workload.process_id)?;
    bench.expect(mapped == SHARERS, || {
        format!("{SHARERS} processes should map each page, and {mapped} do")
    });
    let promoted = bench.promote(&[&workload], "")?;
    bench.expect_proven(&Demand::all("workload", &[&workload], &promoted, &[0]))?;
    let mapped = shares(bench, workload.process_id)?;
    bench.expect(mapped == SHARERS, || {
        format!("Promoted pages are mapped by {mapped} of {SHARERS} processes")
    });
    for process_id in others {
        bench.machine.signal(process_id, libc::SIGTERM)?;
        let output = bench.machine.wait(process_id, PROGRAM_TIMEOUT)?;
        let code = output.exit_code;
        bench.expect(code == 0, || {
            format!("A process that shares the pages ended with {code}")
        });
    }
    bench.end("workload", workload)?;
    bench.shell(&format!("rm {FILE}"))?;
    Ok(())
}

/// How many processes map the file's pages on average: what is in memory by what counts for this one.
fn shares(bench: &mut Bench<'_>, process_id: u32) -> Result<u64> {
    let script = format!(
        "awk '/^[0-9a-f]+-/ {{ is = index($0, \"{FILE}\") }} is && /^Rss:/ {{ rss = $2 }} \
         is && /^Pss:/ {{ pss = $2 }} END {{ print pss ? int(rss / pss + 0.5) : 0 }}' \
         /proc/{process_id}/smaps"
    );
    Ok(bench.shell(&script)?.parse()?)
}
