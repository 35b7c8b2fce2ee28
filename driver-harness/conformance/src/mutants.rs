// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The suite proves itself: every way in which a device can break a rule must fail some case.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use chmu_cxl::Profile;
use chmu_driver::device;
use chmu_model::Quirk;

use super::attribution::elsewhere::{is_right_at, is_right_leniently};
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

/// What fails at a setting, and what is blamed for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Failures {
    /// The cases that fail in a strict run.
    pub cases: Vec<&'static str>,
    /// The requirements of the case that is the cause of what fails there.
    pub blamed: Vec<String>,
    /// The same of a run that is not strict; none where such a run accepts the device.
    pub blamed_leniently: Vec<String>,
}

impl Failures {
    /// Only our own decision is broken: a run that is not strict accepts it.
    pub fn are_only_strict(&self) -> bool {
        self.blamed_leniently.is_empty()
    }

    /// Whether the first cause that each report names is what the quirk breaks.
    pub fn are_right(&self, quirk: Quirk, setting: Setting) -> bool {
        let setting = setting.name();
        is_right_at(quirk, &setting, &self.blamed)
            && (self.are_only_strict()
                || is_right_leniently(quirk, &setting, &self.blamed_leniently))
    }
}

/// What became of a quirk.
#[derive(Debug, Clone)]
pub struct Mutant {
    /// The broken rule.
    pub quirk: Quirk,
    /// The first setting where a case failed because of it.
    pub setting: Option<Setting>,
    /// What failed there; nothing when no case did at any.
    pub failures: Failures,
}

impl Mutant {
    /// Whether the first cause that a report names is something else than what the quirk breaks.
    pub fn is_misattributed(&self) -> bool {
        self.setting
            .is_some_and(|setting| !self.failures.are_right(self.quirk, setting))
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

/// What of the short cases fails because of a quirk at one setting.
pub fn hunt_at(quirk: Quirk, setting: Setting) -> Failures {
    let short: Vec<_> = cases::all()
        .into_iter()
        .filter(|case| !is_long(case))
        .collect();
    failures(quirk, setting, &short)
}

/// Looks for a case that fails.
fn hunt(quirk: Quirk) -> Mutant {
    let (long, short): (Vec<_>, Vec<_>) = cases::all().into_iter().partition(is_long);
    for cases in [short, long] {
        for setting in SETTINGS {
            let failures = failures(quirk, setting, &cases);
            if !failures.cases.is_empty() {
                return Mutant {
                    quirk,
                    setting: Some(setting),
                    failures,
                };
            }
        }
    }
    Mutant {
        quirk,
        setting: None,
        failures: Failures::default(),
    }
}

/// What fails with the quirk and not without it, as the device itself passes all.
fn failures(quirk: Quirk, setting: Setting, cases: &[Case]) -> Failures {
    let model = Model {
        profile: setting.profile,
        ways: setting.ways,
        quirks: quirk.into(),
    };
    let mut found = results(model, setting, cases, true).unwrap_or_default();
    let (failed, strictly) = (failed(&found), blamed(&found));
    // What a strict run passes each run does.
    let again: Vec<_> = cases
        .iter()
        .filter(|case| failed.contains(&case.name))
        .copied()
        .collect();
    for result in results(model, setting, &again, false).unwrap_or_default() {
        let mut strict = found.iter_mut();
        if let Some(strict) = strict.find(|strict| strict.case == result.case) {
            *strict = result;
        }
    }
    Failures {
        cases: failed,
        blamed: strictly,
        blamed_leniently: blamed(&found),
    }
}

fn failed(results: &[CaseResult]) -> Vec<&'static str> {
    let failed = results.iter().filter(|result| result.verdict.is_failure());
    failed.map(|result| result.case).collect()
}

/// The requirements of the case that is the cause of what failed.
fn blamed(results: &[CaseResult]) -> Vec<String> {
    let mut failed = results.iter().filter(|result| result.verdict.is_failure());
    let causes = causes(results);
    let cause = causes.first().map(|cause| cause.first);
    let blamed = cause.or_else(|| failed.next());
    blamed.map_or_else(Vec::new, |result| result.requirements.clone())
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
