// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What broken rules are blamed on at every setting that shows them, and not only at the first.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use chmu_cxl::Profile;
use chmu_model::Quirk;

use super::{Failures, SETTINGS, Setting, hunt_at};
use crate::attribution::elsewhere::{ALSO_RIGHT, LENIENT};

/// Of the settings the slow one.
const SLOW: Profile = Profile::HugeList;
/// Of so many quirks one is tried at the profile huge-list, whose list takes seconds to fill.
pub const SLOW_SHARE: usize = 40;

/// A broken rule that short cases notice at a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blamed {
    /// The rule.
    pub quirk: Quirk,
    /// Where it shows.
    pub setting: Setting,
    /// What fails, and what is blamed for it.
    pub failures: Failures,
}

impl Blamed {
    /// Whether these are what the quirk breaks, or what is all that can be seen of it at this setting.
    pub fn is_right(&self) -> bool {
        self.failures.are_right(self.quirk, self.setting)
    }
}

/// Quirks at every setting. Of all quirks, one in [`SLOW_SHARE`] is tried where it takes long, and those for which
/// that setting has a rule of its own.
pub fn pairs(quirks: &[Quirk]) -> Vec<(Quirk, Setting)> {
    let has_own_rule = |quirk: Quirk, setting: &Setting| {
        let mut rows = ALSO_RIGHT.iter().chain(LENIENT);
        rows.any(|row| row.is_about(quirk, &setting.name()))
    };
    let is_tried = |number: usize, quirk: Quirk, setting: &Setting| {
        setting.profile != SLOW
            || quirks.len() < Quirk::ALL.len()
            || number.is_multiple_of(SLOW_SHARE)
            || has_own_rule(quirk, setting)
    };
    // What takes long comes first.
    let settings = SETTINGS.into_iter().rev();
    settings
        .flat_map(|setting| {
            let numbered = quirks.iter().enumerate();
            numbered
                .filter(move |(number, quirk)| is_tried(*number, **quirk, &setting))
                .map(move |(_, quirk)| (*quirk, setting))
        })
        .collect()
}

/// What the short cases blame, of the pairs at which any fails; in no order. `progress` hears of each pair that is done.
pub fn blame(pairs: &[(Quirk, Setting)], progress: impl Fn() + Sync) -> Vec<Blamed> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((quirk, setting)) = pairs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let failures = hunt_at(*quirk, *setting);
                    if !failures.cases.is_empty() {
                        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                        found.push(Blamed {
                            quirk: *quirk,
                            setting: *setting,
                            failures,
                        });
                    }
                    progress();
                }
            });
        }
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}
