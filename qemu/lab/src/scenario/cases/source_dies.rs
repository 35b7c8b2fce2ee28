// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A device that answers nothing any more, as after a link that fails: all its registers read as ones.
//!
//! The device's program itself is not killed. QEMU 11.1.3 gives up when the server of a vfio-user device
//! ends (`error_setv: Assertion '*errp == NULL' failed`), so that no guest is left that could notice. What
//! the guest sees of a lost device is had by switching off the decoding of its memory.

use anyhow::Result;

use crate::scenario::bench::{Bench, ENABLED};
use crate::scenario::proof::Demand;
use crate::scenario::{Needs, Scenario};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "source-dies",
    summary: "a promotion whose device answers no more says so and ends; once it answers again, the next works",
    needs: Needs::topology("default"),
    run,
};

const CONFIG: &str = "/sys/bus/cxl/devices/mem0/../config";

fn run(bench: &mut Bench<'_>) -> Result<()> {
    let workload = bench.workload("--pages 4096 --hot-pages 512")?;
    let promotion = bench.start_promotion("")?;
    bench.go(&workload)?;
    bench.wait_until(promotion.process_id, ENABLED)?;
    let command = bench.shell(&format!(
        "dd if={CONFIG} bs=1 skip=4 count=1 2>/dev/null | od -A n -t u1"
    ))?;
    let command: u8 = command.trim().parse()?;
    set_command(bench, command & !MEMORY)?;
    bench.expect_lost(promotion, &["is gone"])?;
    bench.end("first", workload)?;
    set_command(bench, command)?;
    let workload = bench.workload("--pages 4096 --hot-pages 512 --seed 2")?;
    let promoted = bench.promote(&[&workload], "")?;
    bench.figure("the next one said", promoted.said.trim());
    bench.expect(
        promoted.said.contains("was left counting by process"),
        || {
            format!(
                "The next promotion does not say what it repairs: {:?}",
                promoted.said
            )
        },
    );
    bench.expect_proven(&Demand::all("second", &[&workload], &promoted, &[0]))?;
    bench.end("second", workload)?;
    Ok(())
}

/// The bit of the command register that has a function answer at its memory addresses (PCI 3.0 6.2.2).
const MEMORY: u8 = 1 << 1;

fn set_command(bench: &mut Bench<'_>, value: u8) -> Result<()> {
    bench.shell(&format!(
        "printf '\\{value:03o}' | dd of={CONFIG} bs=1 seek=4 conv=notrunc 2>/dev/null"
    ))?;
    Ok(())
}
