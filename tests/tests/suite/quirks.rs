// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A device that breaks a rule fails the case that is about the rule, and the path tells it as
//! well as a device in the same process.

use anyhow::Result;
use chmu_harness::conformance::cases;

use crate::device::{ALONE, Device, failures};

fn fails(quirk: &str, case: &str) -> Result<()> {
    let mut device = Device::start("full", ALONE, &["--quirk", quirk])?;
    let results = device.run(&cases::matching(&[case.to_owned()]), (0, 0))?;
    let failed: Vec<_> = failures(&results).iter().map(|(case, _)| *case).collect();
    assert_eq!(failed, [case], "{quirk}: {results:#?}");
    Ok(())
}

#[test]
fn each_fails_its_case() -> Result<()> {
    for (quirk, case) in [("overflow-never-set", "status/overflow-on-loss")] {
        fails(quirk, case)?;
    }
    Ok(())
}
