// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which requirement a broken rule is blamed on, at each device that shows it.

use std::collections::BTreeSet;

use chmu_conformance::attribution::elsewhere::{ALSO_RIGHT, LENIENT};
use chmu_conformance::attribution::is_right;
use chmu_conformance::mutants::everywhere::{Blamed, blame, pairs};
use chmu_conformance::mutants::{Failures, SETTINGS, hunt_at};
use chmu_model::Quirk;
use chmu_spec::chmu::EpochType;

/// One epoch tells nothing of a drift: the device is blamed for it wherever there are global epochs,
/// and not for what a long run makes of it.
#[test]
fn epochs_that_drift_are_named_at_every_device() {
    let mut looked_at = 0;
    for setting in SETTINGS {
        let (block, instance) = setting.instance;
        let capabilities = &setting.profile.blocks()[block][usize::from(instance)];
        if !capabilities.epoch_mode || capabilities.epoch_type != EpochType::Global {
            continue;
        }
        let Failures { cases, blamed, .. } = hunt_at(Quirk::EpochDrifts, setting);
        assert!(cases.contains(&"epoch/length"), "{setting:?}: {cases:?}");
        assert!(
            is_right(Quirk::EpochDrifts, &blamed),
            "{setting:?}: {blamed:?}"
        );
        looked_at += 1;
    }
    assert!(looked_at >= 6, "{looked_at}");
}

/// What lists no hot unit as it should is blamed for the rule that it breaks, and not for that.
#[test]
fn what_is_broken_is_named_and_not_that_no_unit_is_listed() {
    let quirks = [
        Quirk::LocatorEntryTwice,
        Quirk::RangeInverted,
        Quirk::RangeShifted,
        Quirk::UnitShifted,
        Quirk::UnitRandom,
        Quirk::UnitFieldsSwapped,
        Quirk::EntryBytesSwapped,
        Quirk::EpochTwiceAsLong,
        Quirk::EpochInMilliseconds,
        Quirk::DownSamplingDoubled,
    ];
    let blamed = |quirk| (quirk, hunt_at(quirk, SETTINGS[0]).blamed);
    let wrong: Vec<_> = quirks
        .into_iter()
        .map(blamed)
        .filter(|(quirk, blamed)| !is_right(*quirk, blamed))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A device is blamed for what it breaks wherever that shows, and not only at the first device that shows it. What the
/// table of other settings says must be seen, so that a row that is not needed has to go.
#[test]
fn a_quirk_is_blamed_for_what_it_breaks_at_every_setting() {
    let found = blame(&pairs(Quirk::ALL), || ());
    assert!(found.len() > 1000, "{} were noticed", found.len());
    let wrong: Vec<_> = found.iter().filter(|one| !one.is_right()).collect();
    assert!(
        wrong.is_empty(),
        "{} are blamed wrongly: {wrong:#?}",
        wrong.len()
    );
    expect_same_answer_everywhere(&found);
    for (table, requirements) in [
        (ALSO_RIGHT, strictly as fn(&Blamed) -> &[String]),
        (LENIENT, leniently),
    ] {
        for row in table {
            let pairs = row.quirks.iter();
            let pairs =
                pairs.flat_map(|name| row.settings.iter().map(move |setting| (*name, *setting)));
            for (name, setting) in pairs {
                let is_used = |one: &Blamed| {
                    one.quirk.name() == name
                        && one.setting.name() == setting
                        && row.is_seen(one.quirk, setting, requirements(one))
                        && !is_right(one.quirk, requirements(one))
                };
                assert!(
                    found.iter().any(is_used),
                    "{name} is not blamed so at {setting}: {row:?}"
                );
            }
        }
    }
}

fn strictly(blamed: &Blamed) -> &[String] {
    &blamed.failures.blamed
}

fn leniently(blamed: &Blamed) -> &[String] {
    &blamed.failures.blamed_leniently
}

/// Rules of which some devices show only what is a reading, or information, and others that they are broken.
const SHOWS_MORE_ELSEWHERE: [&str; 8] = [
    "count-one-less",
    "count-zero",
    "disable-keeps-counters",
    "down-sampling-factors-shifted",
    "epoch-half-as-long",
    "fill-level-not-latched",
    "status-needs-interrupts",
    "threshold-truncated",
];

/// A device that differs by a reading, or where it is information only, is accused of nothing else because of it.
fn expect_same_answer_everywhere(found: &[Blamed]) {
    let is_accepted = |one: &&Blamed| one.failures.are_only_strict();
    let accepted: BTreeSet<_> = found
        .iter()
        .filter(is_accepted)
        .map(|one| one.quirk)
        .collect();
    let differs = |one: &&Blamed| accepted.contains(&one.quirk) && !is_accepted(one);
    let differing = found.iter().filter(differs).map(|one| one.quirk.name());
    let differing: BTreeSet<_> = differing.collect();
    assert_eq!(differing, BTreeSet::from(SHOWS_MORE_ELSEWHERE));
    // Were accused of what follows from it before.
    for quirk in [
        Quirk::DownSamplingHalved,
        Quirk::StatusPlainWrite,
        Quirk::FunctionResetIgnored,
        Quirk::FunctionResetKeepsEnabled,
        Quirk::OverflowWhenFull,
    ] {
        assert!(accepted.contains(&quirk), "{}", quirk.name());
    }
}
