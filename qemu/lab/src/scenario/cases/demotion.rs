// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The kernel's demotion, for the time of a scenario.

use anyhow::Result;

use crate::scenario::bench::Bench;

const SWITCH: &str = "/sys/kernel/mm/numa/demotion_enabled";

pub(super) fn switched_on(
    bench: &mut Bench<'_>,
    run: fn(&mut Bench<'_>) -> Result<()>,
) -> Result<()> {
    if !bench.holds(&format!("[ -e {SWITCH} ]"))? {
        return Bench::skip("The guest's kernel has no demotion");
    }
    bench.shell(&format!("echo 1 >{SWITCH}"))?;
    let ran = run(bench);
    bench.shell(&format!("echo 0 >{SWITCH}"))?;
    ran
}
