// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The suite proves itself: every way in which a device can break a rule must fail some case.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use chmu_cxl::Profile;
use chmu_driver::device;
use chmu_model::Quirk;

use super::attribution::elsewhere::is_right_at;
use super::cases;
use super::paths::in_process::{InProcessSubject, Model};
use super::report::causes;
use super::run::{CaseResult, RunError, RunOptions, run};
use super::subject::Subject as _;
use crate::case::Case;

pub mod everywhere;

/// Long cases only run when no other case fails.
const LONG_AREA: &str = "stress";

/// A device and the instance of it that a quirk is looked for at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// The device.
    pub profile: Profile,
    /// Devices that share its windows.
    pub ways: u8,
    /// Block and instance under test.
    pub instance: (usize, u8),
}

impl Setting {
    /// The profile, the block and the instance: no two of [`SETTINGS`] share them.
    pub fn name(&self) -> String {
        let (block, instance) = self.instance;
        format!("{} {block}.{instance}", self.profile.name())
    }
}

/// Where quirks are looked for, in this order, until one of them fails a case.
pub const SETTINGS: [Setting; 9] = [
    setting(Profile::Full, 1, (0, 0)),
    setting(Profile::Minimal, 1, (0, 0)),
    setting(Profile::Full, 1, (0, 1)),
    setting(Profile::Full, 1, (0, 2)),
    setting(Profile::Full, 1, (1, 0)),
    setting(Profile::NoInterrupts, 1, (0, 0)),
    setting(Profile::AlwaysOnOnly, 1, (0, 0)),
    setting(Profile::Default, 4, (0, 0)),
    setting(Profile::HugeList, 1, (0, 0)),
];

const fn setting(profile: Profile, ways: u8, instance: (usize, u8)) -> Setting {
    Setting {
        profile,
        ways,
        instance,
    }
}

/// What became of a quirk.
#[derive(Debug, Clone)]
pub struct Mutant {
    /// The broken rule.
    pub quirk: Quirk,
    /// The cases that failed because of it, at the first setting where some did; empty when none
    /// did at any.
    pub killers: Vec<&'static str>,
    /// That setting.
    pub setting: Option<Setting>,
    /// The requirements of the case that is the cause of what failed there.
    pub blamed: Vec<String>,
    /// Only our own decision is broken: a run that is not strict accepts it.
    pub only_strict: bool,
}

impl Mutant {
    /// Whether the first cause that a report names is something else than what the quirk breaks.
    pub fn is_misattributed(&self) -> bool {
        let setting = self.setting.map(|setting| setting.name());
        let setting = setting.unwrap_or_default();
        !self.killers.is_empty() && !is_right_at(self.quirk, &setting, &self.blamed)
    }
}

/// Breaks one rule after the other. `progress` hears of each, in no order.
pub fn run_all(quirks: &[Quirk], progress: impl Fn(&Mutant) + Sync) -> Vec<Mutant> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::with_capacity(quirks.len()));
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(quirk) = quirks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mutant = hunt(*quirk);
                    progress(&mutant);
                    found
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(mutant);
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|mutant| mutant.quirk);
    found
}

/// The short cases that fail because of a quirk at one setting, by which nearly all is blamed, and the requirements of
/// the one that is the cause.
pub fn hunt_at(quirk: Quirk, setting: Setting) -> (Vec<&'static str>, Vec<String>) {
    let short: Vec<_> = cases::all()
        .into_iter()
        .filter(|case| !is_long(case))
        .collect();
    failures(quirk, setting, &short, true)
}

/// Looks for a case that fails.
fn hunt(quirk: Quirk) -> Mutant {
    let (long, short): (Vec<_>, Vec<_>) = cases::all().into_iter().partition(is_long);
    for cases in [short, long] {
        for setting in SETTINGS {
            let (killers, blamed) = failures(quirk, setting, &cases, true);
            if !killers.is_empty() {
                let lenient: Vec<_> = cases
                    .iter()
                    .filter(|case| killers.contains(&case.name))
                    .copied()
                    .collect();
                return Mutant {
                    quirk,
                    only_strict: failures(quirk, setting, &lenient, false).0.is_empty(),
                    killers,
                    setting: Some(setting),
                    blamed,
                };
            }
        }
    }
    Mutant {
        quirk,
        killers: Vec::new(),
        setting: None,
        blamed: Vec::new(),
        only_strict: false,
    }
}

/// The cases that fail with the quirk and not without it, as the device itself passes all; and the
/// requirements of the one that is the cause.
fn failures(
    quirk: Quirk,
    setting: Setting,
    cases: &[Case],
    strict: bool,
) -> (Vec<&'static str>, Vec<String>) {
    let model = Model {
        profile: setting.profile,
        ways: setting.ways,
        quirks: quirk.into(),
    };
    let results = results(model, setting, cases, strict).unwrap_or_default();
    let failed: Vec<_> = results
        .iter()
        .filter(|result| result.verdict.is_failure())
        .collect();
    let causes = causes(&results);
    let cause = causes.first().map(|cause| cause.first);
    let blamed = cause.or(failed.first().copied());
    (
        failed.iter().map(|result| result.case).collect(),
        blamed.map_or_else(Vec::new, |result| result.requirements.clone()),
    )
}

/// The results of a run; none when it does not begin.
fn results(
    model: Model,
    setting: Setting,
    cases: &[Case],
    strict: bool,
) -> Option<Vec<CaseResult>> {
    let mut subject = InProcessSubject::new(model).ok()?;
    let options = RunOptions {
        strict,
        narrow_accesses: true,
        instance: Some(setting.instance),
        ..RunOptions::default()
    };
    results_of(&mut subject, cases, &options)
}

/// The results of as many cases as run; none when the run does not begin.
pub(crate) fn results_of(
    subject: &mut InProcessSubject,
    cases: &[Case],
    options: &RunOptions<'_>,
) -> Option<Vec<CaseResult>> {
    // What is wrong with a Register Locator that names none is told by cases.
    let blocks = device::block_places(subject.transport()).unwrap_or_default();
    match run(subject, &blocks, cases, options, |_| ()) {
        Ok(results) | Err(RunError::Ended { results, .. }) => Some(results),
        Err(_) => None,
    }
}

/// Whether a case takes long and tells nothing that shorter ones do not, where these do.
pub(crate) fn is_long(case: &Case) -> bool {
    case.area() == LONG_AREA
}
