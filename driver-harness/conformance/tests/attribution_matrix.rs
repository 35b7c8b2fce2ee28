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
        for name in row.quirks {
            let is_used = |one: &Blamed| {
                one.quirk.name() == *name
                    && row.is_seen(one.quirk, &one.setting.name(), &one.requirements)
                    && !is_right(one.quirk, &one.requirements)
            };
            assert!(
                found.iter().any(is_used),
                "{name} is not blamed so: {row:?}"
            );
        }
    }
}
