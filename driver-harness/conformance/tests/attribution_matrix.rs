// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which requirement a broken rule is blamed on, at each device that shows it.

use chmu_conformance::attribution::is_right;
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
