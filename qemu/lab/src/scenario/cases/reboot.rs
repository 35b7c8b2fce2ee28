// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use anyhow::Result;

use crate::kernel_log;
use crate::scenario::bench::{Bench, ENABLED};
use crate::scenario::{Needs, Scenario};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "reboot",
    summary: "a guest restarts while a unit counts; it is found as at power-on, and promotes as before",
    needs: Needs {
        reboots: true,
        alone: true,
        ..Needs::topology("default")
    },
    run,
};

fn run(bench: &mut Bench<'_>) -> Result<()> {
    bench.promote_one("--pages 2048 --hot-pages 384", "", &[0])?;
    let running = bench.start_promotion("")?;
    bench.wait_until(running.process_id, ENABLED)?;
    bench.progress.step("Restarting the guest");
    bench.machine.reboot()?;
    let findings = kernel_log::check_cxl_bus(bench.machine, bench.topology)?;
    bench
        .reasons
        .extend(findings.iter().map(ToString::to_string));
    let counts = bench.holds(ENABLED)?;
    bench.expect(!counts, || {
        "A unit still counts after the restart".to_owned()
    });
    bench.promote_one("--pages 2048 --hot-pages 384 --seed 2", "", &[0])
}
