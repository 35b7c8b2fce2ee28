// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A guest that restarts finds the device as it was at power-on.

use anyhow::Result;
use chmu_tests::guest::{Guest, Setup};

use crate::script::{Script, Touches};
use crate::watch::Watch;

const TOUCHES: [Touches; 3] = [
    Touches::new(3, 500, 0),
    Touches::new(4, 0, 300),
    Touches::new(60, 64, 64),
];

#[test]
fn the_device_works_after_a_reboot() -> Result<()> {
    let mut setup = Setup::exact();
    setup.options.may_reboot = true;
    let mut guest = Guest::boot(&setup)?;
    check(&mut guest)?;
    // It counts when the guest goes down.
    let watch = Watch::start(&mut guest, &["--threshold=1"])?;
    drop(watch);
    guest.reboot()?;
    let listed = guest.json(&["chmu", "list", "-o", "json"])?;
    let status = &listed[0]["blocks"][0]["instances"][0]["status"];
    assert_eq!(status["enabled"], false, "{status}");
    check(&mut guest)?;
    let device = guest.statistics(0)?;
    assert_eq!(device["clients"]["served"], 1, "{device}");
    guest.finish()
}

/// Region and device are there, and the device counts right.
fn check(guest: &mut Guest) -> Result<()> {
    guest.check_kernel(true)?;
    let script = Script::prepare(guest, 64, &TOUCHES)?;
    let watch = Watch::start(guest, &["--threshold=1"])?;
    script.run(guest)?;
    watch.end_epoch(guest)?;
    let report = watch.stop(guest)?;
    let mut counts: Vec<_> = report.counts().into_values().collect();
    counts.sort_unstable();
    assert_eq!(counts, [128, 300, 500]);
    script.end(guest)
}
