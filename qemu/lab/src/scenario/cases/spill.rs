// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
mod rates;

use std::num::NonZeroU64;

use anyhow::Result;

use super::control_group::{self, GROUP};
use super::demotion;
use crate::scenario::bench::{Bench, PROGRAM_TIMEOUT};
use crate::scenario::proof::Demand;
use crate::scenario::{Needs, Scenario};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "spill",
    summary: "while the kernel demotes as much from the target as is promoted to it, promotion slows down",
    needs: Needs::topology("default"),
    run: |bench| {
        demotion::switched_on(bench, |bench| {
            control_group::made(bench, "memory", with_group)
        })
    },
};

const HOT: u64 = 1024;
/// So many pages may be promoted in a second while nothing is demoted.
const RATE: NonZeroU64 = NonZeroU64::new(100).unwrap();
/// Another program's cold pages on the target.
const COLD: u64 = 20_000;
/// The device counts what the kernel writes into a page's new frame when it demotes the page, too: its lines
/// are filled and written back, 128 accesses. Hot is what has more than twice that.
const SETTINGS: &str = "--threshold 300 --epoch 4s --no-tune";
/// So many epochs are promoted in at the lower rate.
const REPORTS: u64 = 3;
const SETTING: &str = "\"setting\":\"pages_per_second\"";

fn with_group(bench: &mut Bench<'_>) -> Result<()> {
    if !bench.holds(&format!("[ -e {GROUP}/memory.reclaim ]"))? {
        return Bench::skip("The guest's kernel has no memory.reclaim");
    }
    let workload = bench.workload(&format!(
        "--pages 3072 --hot-pages {HOT} --cold-percent 0.1"
    ))?;
    let join = format!("echo $$ >{GROUP}/cgroup.procs");
    let cold =
        format!("{join} && exec chmu workload once --node 0 --pages {COLD} --pause-us 0 -o json");
    let cold = bench.machine.spawn(&["sh", "-c", &cold])?;
    let resident = format!(
        "awk '/^VmRSS/ {{ exit !($2 >= {}) }}' /proc/{cold}/status",
        COLD * 4
    );
    bench.wait_until(cold, &resident)?;
    let promotion = bench.start_promotion(&format!("{SETTINGS} --max-pages-per-second {RATE}"))?;
    bench.go(&workload)?;
    bench.wait_for_lines(&promotion, "\"e\":\"moved\"", 1)?;
    // The kernel demotes the other program's pages, more than are promoted.
    let demote = format!("while :; do echo 1M >{GROUP}/memory.reclaim; sleep 0.3; done");
    let demoter = bench.machine.spawn(&["sh", "-c", &demote])?;
    bench.wait_for_lines(&promotion, SETTING, 1)?;
    bench.wait_for_reports(&promotion, REPORTS)?;
    bench.machine.signal(demoter, libc::SIGTERM)?;
    bench.machine.wait(demoter, PROGRAM_TIMEOUT)?;
    bench.wait_until_promoted(&promotion, &workload)?;
    let promoted = bench.stop_promotion(promotion)?;
    bench.expect_proven(&Demand::all("workload", &[&workload], &promoted, &[0]))?;
    let mut events = bench.events(&promoted, "tuned")?;
    events.extend(bench.events(&promoted, "batch")?);
    let (rates, faults) = rates::judge(&events, RATE);
    bench.figure("pages a second", rates);
    bench.reasons.extend(faults);
    let demoted = bench.events(&promoted, "demoted")?;
    bench.expect(!demoted.is_empty(), || "No demotion is noted".to_owned());
    bench.machine.signal(cold, libc::SIGTERM)?;
    bench.machine.wait(cold, PROGRAM_TIMEOUT)?;
    bench.end("workload", workload)?;
    Ok(())
}
