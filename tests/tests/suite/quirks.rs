// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A device process that breaks a rule fails the case that is about the rule.

use anyhow::Result;
use chmu_conformance::cases;

use crate::device::{ALONE, Device, failures};

/// Rules of all kinds, each with a case that notices.
const BROKEN: [(&str, &str); 14] = [
    ("header-version-zero", "discovery/block-version"),
    ("hotlist-size-one-more", "hotlist/holds-size-less-one"),
    ("power-on-request-code", "reset/function-level"),
    (
        "unit-writable-while-enabled",
        "configuration/locked-unit-size",
    ),
    ("accepts-mode", "configuration/refuses-mode-code"),
    ("operation-codes-swapped", "operation/progress-codes"),
    ("filter-ignored", "filter/writes-not-counted-as-reads"),
    ("count-wraps", "counter/saturation"),
    ("epoch-keeps-cold-counters", "epoch/cold-unit-forgotten"),
    ("full-overwrites", "hotlist/full-list-keeps-entries"),
    ("status-clears-both", "status/clear-one-keeps-other"),
    ("overflow-never-set", "status/overflow-on-loss"),
    ("interrupt-not-for-overflow", "interrupt/overflow"),
    ("function-reset-ignored", "reset/function-level"),
];

#[test]
fn each_fails_its_case() -> Result<()> {
    for (quirk, case) in BROKEN {
        let mut device = Device::start("full", ALONE, &["--quirk", quirk])?;
        let results = device.run(&cases::matching(&[case.to_owned()]), (0, 0))?;
        let failed: Vec<_> = failures(&results).iter().map(|(case, _)| *case).collect();
        assert_eq!(failed, [case], "{quirk}: {results:#?}");
    }
    Ok(())
}
