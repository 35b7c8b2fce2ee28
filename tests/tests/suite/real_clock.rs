// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A device whose clock runs by itself, as real ones do.

use std::time::{Duration, Instant};

use anyhow::Result;
use chmu_conformance::cases;

use crate::device::{Device, failures};

/// What a vendor waits for at most.
const LIMIT: Duration = Duration::from_secs(300);

#[test]
fn a_whole_run_passes_in_time() -> Result<()> {
    let mut device = Device::start_running("full")?;
    let start = Instant::now();
    let results = device.run(&cases::all(), (0, 0))?;
    assert_eq!(failures(&results), []);
    assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
    Ok(())
}
