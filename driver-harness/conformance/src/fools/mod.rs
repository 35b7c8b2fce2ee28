// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Devices that are made to fool the suite: each pretends to do what it does not.
//!
//! A quirk breaks one rule of a device that works. These do not work at all, or say what the suite would
//! like to read: the suite must fail each of them, and for what it does not do.

mod fields;
mod front;
mod list;
mod states;

use std::sync::LazyLock;

use chmu_cxl::Profile;

use crate::cases;
use crate::mutants;
use crate::paths::in_process::{InProcessSubject, Surroundings, function_config};
use crate::report::causes;
use crate::run::{CaseResult, RunOptions};

/// All of them.
pub static FOOLS: LazyLock<Vec<Fool>> =
    LazyLock::new(|| [list::FOOLS, fields::FOOLS, states::FOOLS].concat());

/// A device that is made to fool the suite: the fully equipped model behind something that lies.
#[derive(Debug, Clone, Copy)]
pub struct Fool {
    /// Its name, in kebab case.
    pub name: &'static str,
    /// What it does in place of what it should, as a sentence.
    pub pretends: &'static str,
    /// The requirements for one of which it must be failed first.
    pub requirements: &'static [&'static str],
    /// What a word of a register or an entry reads as.
    read: fn(&front::Read<'_>) -> u64,
    /// What reaches the device of a write, if anything.
    write: fn(&front::Write) -> Option<u64>,
    /// Whether requests reach the device.
    requests: fn(&front::Memory) -> bool,
    /// How many interrupts came, made of those that did.
    interrupts: fn(Option<u64>) -> Option<u64>,
}

/// What became of a device that is made to fool the suite.
#[derive(Debug, Clone)]
pub struct Fooled {
    /// The device.
    pub fool: Fool,
    /// The case that is the cause of what failed; none when nothing did.
    pub case: Option<&'static str>,
    /// The requirements that it checks.
    pub requirements: Vec<String>,
}

impl Fooled {
    /// Whether it was failed for what it does not do.
    pub fn is_rightly_failed(&self) -> bool {
        let is_wanted = |one: &String| self.fool.requirements.contains(&one.as_str());
        self.requirements.iter().any(is_wanted)
    }
}

impl Fool {
    /// Runs the suite on it; strictly where nothing fails otherwise.
    pub fn judge(self) -> Fooled {
        for strict in [false, true] {
            let results = self.results(strict);
            if let Some(cause) = causes(&results).first() {
                return Fooled {
                    fool: self,
                    case: Some(cause.first.case),
                    requirements: cause.first.requirements.clone(),
                };
            }
        }
        Fooled {
            fool: self,
            case: None,
            requirements: Vec::new(),
        }
    }

    /// What cases say of it; nothing when the suite does not even begin.
    fn results(self, strict: bool) -> Vec<CaseResult> {
        let profile = Profile::Full;
        let config = function_config(profile.blocks(), profile.interrupts(), 1);
        let front = Box::new(front::FoolFront::new(self));
        let subject = InProcessSubject::in_surroundings(&config, Surroundings::default(), front);
        let options = RunOptions {
            strict,
            instance: Some((0, 0)),
            ..RunOptions::default()
        };
        let mut cases = cases::all();
        cases.retain(|case| !mutants::is_long(case));
        let results = subject
            .ok()
            .and_then(|mut subject| mutants::results_of(&mut subject, &cases, &options));
        results.unwrap_or_default()
    }
}
