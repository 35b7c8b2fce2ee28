// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which requirement a broken rule is blamed on, at each device that shows it.

use chmu_conformance::attribution::elsewhere::ALSO_RIGHT;
use chmu_conformance::attribution::is_right;
use chmu_conformance::mutants::everywhere::{Blamed, blame, pairs};
use chmu_conformance::mutants::{SETTINGS, hunt_at};
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
        let (killers, blamed) = hunt_at(Quirk::EpochDrifts, setting);
        assert!(
            killers.contains(&"epoch/length"),
            "{setting:?}: {killers:?}"
        );
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
    let blamed = |quirk| (quirk, hunt_at(quirk, SETTINGS[0]).1);
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
    for row in ALSO_RIGHT {
        let pairs = row.quirks.iter();
        let pairs =
            pairs.flat_map(|name| row.settings.iter().map(move |setting| (*name, *setting)));
        for (name, setting) in pairs {
            let is_used = |one: &Blamed| {
                one.quirk.name() == name
                    && one.setting.name() == setting
                    && row.is_seen(one.quirk, setting, &one.requirements)
                    && !is_right(one.quirk, &one.requirements)
            };
            assert!(
                found.iter().any(is_used),
                "{name} is not blamed so at {setting}: {row:?}"
            );
        }
    }
}
