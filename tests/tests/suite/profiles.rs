// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Every ready-made device passes, strictly judged.

use anyhow::Result;
use chmu_conformance::case::Case;
use chmu_conformance::cases;
use chmu_conformance::paths::socket::{SocketSubject, Sockets};

use crate::device::{ALONE, Device, Share, failures, ran};

/// All cases but those that are about patience; the in-process path runs them.
fn short_cases() -> Vec<Case> {
    let mut cases = cases::all();
    cases.retain(|case| !case.name.starts_with("stress/"));
    cases
}

/// All instances pass `cases`; returns how many cases ran on the first one.
fn passes(profile: &str, share: Share, cases: &[Case]) -> Result<usize> {
    let mut device = Device::start(profile, share, &[])?;
    let mut first = None;
    for instance in device.instances()? {
        let results = device.run(cases, instance)?;
        assert_eq!(
            failures(&results),
            [],
            "{profile}, instance {instance:?}, {share:?}"
        );
        first.get_or_insert(ran(&results).len());
    }
    Ok(first.unwrap_or(0))
}

#[test]
fn full() -> Result<()> {
    let ran = passes("full", ALONE, &short_cases())?;
    assert!(ran > 150, "{ran} cases");
    Ok(())
}

#[test]
fn minimal() -> Result<()> {
    let ran = passes("minimal", ALONE, &cases::all())?;
    assert!(ran > 100, "{ran} cases");
    Ok(())
}

#[test]
fn always_on_only() -> Result<()> {
    let ran = passes("always-on-only", ALONE, &short_cases())?;
    assert!(ran > 80, "{ran} cases");
    Ok(())
}

#[test]
fn no_interrupts() -> Result<()> {
    let ran = passes("no-interrupts", ALONE, &short_cases())?;
    assert!(ran > 100, "{ran} cases");
    Ok(())
}

#[test]
fn huge_list() -> Result<()> {
    let ran = passes("huge-list", ALONE, &short_cases())?;
    assert!(ran > 100, "{ran} cases");
    Ok(())
}

#[test]
fn four_ways() -> Result<()> {
    for position in [0, 3] {
        let share = Share { ways: 4, position };
        let ran = passes("default", share, &short_cases())?;
        assert!(ran > 120, "{ran} cases");
    }
    Ok(())
}

/// Else accesses of another device would be made, and this one be accused of not counting them.
#[test]
fn a_position_that_no_register_tells_is_asked_for() -> Result<()> {
    let share = Share {
        ways: 4,
        position: 2,
    };
    let Device { subject, process } = Device::start("default", share, &[])?;
    drop(subject);
    let connected = SocketSubject::connect(&Sockets {
        device: process.device_socket().to_owned(),
        access: Some(process.access_socket()),
        clock: None,
        position: None,
        tee_windows: Vec::new(),
        read_only: false,
    });
    let error = connected.map(drop).unwrap_err();
    assert!(
        format!("{error:#}").contains("say it with --position"),
        "{error:#}"
    );
    Ok(())
}

/// What a device that counts the accesses of another one looks like.
#[test]
fn a_device_that_counts_the_share_of_another_fails() -> Result<()> {
    let share = Share {
        ways: 4,
        position: 2,
    };
    for position in [0, 1, 3] {
        let believed = Share { position, ..share };
        let mut device = Device::start_misplaced("default", share, believed)?;
        let mut cases = cases::all();
        cases.retain(|case| case.name.starts_with("address/"));
        let results = device.run(&cases, (0, 0))?;
        let failed: Vec<_> = failures(&results).iter().map(|(case, _)| *case).collect();
        for case in ["address/own-share", "address/unit-follows-decoder"] {
            assert!(failed.contains(&case), "{position}: {failed:?}");
        }
    }
    let believed = Share {
        position: 4,
        ..share
    };
    let refused = Device::start_misplaced("default", share, believed).map(drop);
    let error = format!("{:#}", refused.unwrap_err());
    assert!(error.contains("there is no position 4"), "{error}");
    Ok(())
}
