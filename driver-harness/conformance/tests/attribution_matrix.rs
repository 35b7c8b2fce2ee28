// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which requirement a broken rule is blamed on, at each device that shows it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use chmu_conformance::attribution::elsewhere::{ALSO_RIGHT, Elsewhere, STILL_WRONG, is_right_at};
use chmu_conformance::attribution::is_right;
use chmu_conformance::mutants::{SETTINGS, Setting, hunt_at};
use chmu_cxl::Profile;
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

/// Of the quirks, one of so many is tried at the setting whose list takes seconds to fill.
const SHARE_OF_HUGE_LISTS: usize = 40;

/// Each quirk at each setting but the slow one, and there those of the tables and some others.
fn quirks_and_settings() -> Vec<(Quirk, Setting)> {
    let rows = || ALSO_RIGHT.iter().chain(STILL_WRONG);
    let is_tried = |(number, quirk): (usize, &Quirk), setting: Setting| {
        let is_exception =
            |row: &Elsewhere| row.setting == setting.name() && row.quirks.contains(&quirk.name());
        setting.profile != Profile::HugeList
            || number % SHARE_OF_HUGE_LISTS == 0
            || rows().any(is_exception)
    };
    let mut pairs = Vec::new();
    for setting in SETTINGS.into_iter().rev() {
        let quirks = Quirk::ALL.iter().enumerate();
        let tried = quirks.filter(|numbered| is_tried(*numbered, setting));
        pairs.extend(tried.map(|(_, quirk)| (*quirk, setting)));
    }
    pairs
}

/// A quirk, the name of the setting, and the requirements that were blamed there.
type Blamed = (Quirk, String, Vec<String>);

/// What the short cases blame, where any fails.
fn blame(pairs: &[(Quirk, Setting)]) -> Vec<Blamed> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((quirk, setting)) = pairs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (killers, blamed) = hunt_at(*quirk, *setting);
                    if !killers.is_empty() {
                        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                        found.push((*quirk, setting.name(), blamed));
                    }
                }
            });
        }
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// A device is blamed for what it breaks wherever that shows, and not only at the first device that shows it. What is
/// known to go wrong must go wrong as the tables say, so that a row that is mended has to go.
#[test]
fn a_quirk_is_blamed_for_what_it_breaks_at_every_setting() {
    let found = blame(&quirks_and_settings());
    assert!(found.len() > 1000, "{} were noticed", found.len());
    let is_known = |(quirk, setting, blamed): &&Blamed| {
        is_right_at(*quirk, setting, blamed)
            || STILL_WRONG
                .iter()
                .any(|row| row.is_seen(*quirk, setting, blamed))
    };
    let wrong: Vec<_> = found.iter().filter(|one| !is_known(one)).collect();
    assert!(
        wrong.is_empty(),
        "{} are blamed wrongly: {wrong:#?}",
        wrong.len()
    );
    for row in ALSO_RIGHT.iter().chain(STILL_WRONG) {
        for name in row.quirks {
            let quirk = Quirk::from_name(name).unwrap();
            let is_used = |(other, setting, blamed): &Blamed| {
                *other == quirk && row.is_seen(quirk, setting, blamed) && !is_right(quirk, blamed)
            };
            assert!(
                found.iter().any(is_used),
                "{name} is not blamed so: {row:?}"
            );
        }
    }
}
