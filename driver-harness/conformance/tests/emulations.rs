// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Devices with several defects at once, as public emulations have them: whoever mends what the report names first, and
//! runs again, comes to a device without failures, and is never sent after something that works.

use chmu_conformance::attribution::{is_right, is_right_for_one};
use chmu_conformance::cases;
use chmu_conformance::paths::in_process::{InProcessSubject, Model};
use chmu_conformance::report::causes;
use chmu_conformance::run::{CaseResult, RunError, RunOptions, run};
use chmu_conformance::subject::Subject as _;
use chmu_cxl::Profile;
use chmu_driver::device::block_places;
use chmu_model::{Emulation, Quirk, QuirkSet};

/// Like that of the emulations, the device's epochs are global.
const PROFILE: Profile = Profile::Default;

fn results(quirks: QuirkSet, strict: bool) -> Vec<CaseResult> {
    let model = Model {
        quirks,
        ..Model::new(PROFILE)
    };
    let mut subject = InProcessSubject::new(model).unwrap();
    let blocks = block_places(subject.transport()).unwrap();
    let options = RunOptions {
        strict,
        ..RunOptions::default()
    };
    let mut cases = cases::all();
    cases.retain(|case| case.area() != "stress");
    match run(&mut subject, &blocks, &cases, &options, |_| ()) {
        Ok(results) | Err(RunError::Ended { results, .. }) => results,
        Err(error) => panic!("{error}"),
    }
}

/// Mends one defect after the other as the report says. Returns what was blamed that works, and the
/// defects that nobody noticed.
fn mend(emulation: &Emulation, strict: bool) -> (Vec<String>, QuirkSet) {
    let (mut left, mut wrong) = (emulation.quirks(), Vec::new());
    loop {
        let results = results(left, strict);
        let causes = causes(&results);
        for cause in &causes {
            if !is_right_for_one(left, &cause.first.requirements) {
                wrong.push(format!(
                    "{} with {left}: {} ({}): {}",
                    emulation.name,
                    cause.first.case,
                    cause.first.requirements.join(", "),
                    cause.found.first()
                ));
            }
        }
        let first = causes.first().map(|cause| &cause.first.requirements);
        let named = |quirk: &Quirk| first.is_some_and(|blamed| is_right(*quirk, blamed));
        match left.iter().find(named) {
            Some(quirk) => left.remove(quirk),
            None => return (wrong, left),
        }
    }
}

#[test]
fn each_defect_has_its_turn_and_nothing_else_is_blamed() {
    for emulation in Emulation::ALL {
        let (wrong, left) = mend(emulation, true);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(left.is_empty(), "{}: {left} is not noticed", emulation.name);
    }
}

/// What other implementations do as well is no defect where the suite is lenient.
#[test]
fn a_lenient_run_leaves_what_is_a_known_reading() {
    let readings: QuirkSet = [
        Quirk::DownSamplingFactorsShifted,
        Quirk::OverflowWhenFull,
        Quirk::StatusNeedsInterrupts,
        Quirk::LowestFirst,
        Quirk::ResetKeepsCounters,
        Quirk::TailWritable,
        Quirk::FunctionResetIgnored,
    ]
    .into_iter()
    .collect();
    for emulation in Emulation::ALL {
        let (wrong, left) = mend(emulation, false);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        let known = emulation
            .quirks()
            .iter()
            .filter(|quirk| readings.has(*quirk));
        assert_eq!(left, known.collect(), "{}", emulation.name);
    }
}

/// The many failures of a device with many defects are few causes.
#[test]
fn failures_are_grouped() {
    let results = results(
        Emulation::from_name("qemu-june-2025").unwrap().quirks(),
        true,
    );
    let failures = results
        .iter()
        .filter(|result| result.verdict.is_failure())
        .count();
    let causes = causes(&results);
    assert!(failures >= 30, "{failures}");
    assert!(causes.len() <= 10, "{causes:#?}");
    let followers = causes.iter().map(|cause| cause.followers.len());
    assert_eq!(causes.len() + followers.sum::<usize>(), failures);
}
