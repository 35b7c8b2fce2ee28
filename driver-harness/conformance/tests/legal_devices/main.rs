// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Devices that the public text allows and that are not like ours: none of them may fail a case.

mod fronts;
mod table;

use chmu_conformance::cases;
use chmu_conformance::judge::Verdict;
use chmu_conformance::paths::in_process::{InProcessSubject, Pace, Stalls, function_config};
use chmu_conformance::run::{CaseResult, RunError, RunOptions, run};
use chmu_conformance::subject::Subject;
use chmu_driver::device::block_places;

use fronts::SlowToWake;
use table::{Area, BY_HAND, LEGAL, Legal, USUAL, delayed, long, per_counter, stalled, usual};

/// How often each busy machine is tried.
const SEEDS: u64 = 40;

/// Runs the whole suite on an instance, to its end.
fn results(legal: &Legal, instance: (usize, u8), strict: bool) -> Vec<CaseResult> {
    match outcome(legal, instance, strict) {
        Ok(results) => results,
        Err(error) => panic!("{}: {error}", legal.name),
    }
}

fn outcome(
    legal: &Legal,
    instance: (usize, u8),
    strict: bool,
) -> Result<Vec<CaseResult>, RunError> {
    let config = function_config((legal.blocks)(), legal.interrupts, 1);
    let surroundings = legal.surroundings;
    let subject = InProcessSubject::in_surroundings(&config, surroundings, (legal.front)());
    let mut subject = subject.unwrap_or_else(|error| panic!("{}: {error}", legal.name));
    let blocks = block_places(subject.transport()).unwrap();
    let options = RunOptions {
        strict,
        narrow_accesses: strict,
        instance: Some(instance),
        ..RunOptions::default()
    };
    // The long one is run on each ready-made device elsewhere.
    let mut cases = cases::all();
    cases.retain(|case| case.name != "stress/wraps-over-and-over");
    run(&mut subject, &blocks, &cases, &options, |_| ())
}

/// What an honest device is accused of, a line each.
fn accusations(legal: &Legal) -> Vec<String> {
    let mut accused = Vec::new();
    for instance in legal.instances {
        for strict in [false, true] {
            if strict && !legal.strict {
                continue;
            }
            let results = results(legal, *instance, strict);
            let passed = results
                .iter()
                .filter(|result| matches!(result.verdict, Verdict::Passed { .. }))
                .count();
            if passed < legal.least_passed {
                accused.push(format!("{}: only {passed} cases passed", legal.name));
            }
            for result in results.iter().filter(|result| result.verdict.is_failure()) {
                accused.push(format!(
                    "{}, instance {instance:?}, strict {strict}: {} ({}): {:?}",
                    legal.name,
                    result.case,
                    result.requirements.join(", "),
                    result.verdict
                ));
            }
        }
    }
    accused
}

/// The devices of one part of the table, on both processors.
fn none_is_accused(area: Area) {
    let legal: Vec<_> = LEGAL.iter().filter(|legal| legal.area == area).collect();
    assert!(!legal.is_empty());
    let accused: Vec<_> = legal.into_iter().flat_map(accusations).collect();
    assert!(accused.is_empty(), "{}", accused.join("\n"));
}

#[test]
fn slow_devices_are_not_accused() {
    none_is_accused(Area::Time);
}

/// A processor that others take away in the middle of a case, at moments of every kind.
#[test]
fn machines_that_stall_accuse_nobody() {
    let mut accused = Vec::new();
    for seed in 1..=SEEDS {
        let stalls = |stall_ms: u64, one_in| {
            Some(Stalls {
                stall_ns: stall_ms * 1_000_000,
                one_in,
                seed,
            })
        };
        let pace = |access_ns, request_ns, stalls| Pace {
            access_ns,
            request_ns,
            stalls,
        };
        let busy = [
            stalled(|| vec![vec![usual()]], pace(2_000, 500, stalls(40, 400))),
            stalled(|| vec![vec![usual()]], pace(2_000, 500, stalls(150, 1_000))),
            stalled(|| long(2048), pace(2_000, 500, stalls(40, 4_000))),
            stalled(|| long(2048), pace(20_000, 3_000, stalls(15, 500))),
            stalled(|| vec![vec![usual()]], pace(8_000, 1_000, stalls(60, 300))),
            stalled(|| long(512), pace(10_000, 2_000, stalls(25, 300))),
            // Each unit is listed when its own epoch ends.
            Legal {
                strict: true,
                ..stalled(
                    || vec![vec![per_counter()]],
                    pace(2_000, 500, stalls(50, 200)),
                )
            },
            // Operations are as quick as drivers expect, and are seen late.
            Legal {
                strict: true,
                ..stalled(|| delayed(60_000_000), pace(2_000, 500, stalls(50, 200)))
            },
        ];
        accused.extend(busy.iter().flat_map(|legal| {
            let found = accusations(legal);
            found
                .into_iter()
                .map(move |line| format!("seed {seed}, {legal:?}: {line}"))
        }));
    }
    assert!(accused.is_empty(), "{}", accused.join("\n"));
}

#[test]
fn devices_of_busy_machines_are_not_accused() {
    none_is_accused(Area::Traffic);
}

#[test]
fn devices_with_other_capabilities_are_not_accused() {
    none_is_accused(Area::Capabilities);
}

#[test]
fn devices_with_other_layouts_and_registers_are_not_accused() {
    none_is_accused(Area::Registers);
}

/// Who waits for ever for a function to wake up takes a dead one for honest.
#[test]
fn a_function_that_does_not_wake_up_after_a_reset_is_accused() {
    let dead = Legal {
        front: || Box::new(SlowToWake::new(3_600_000_000_000)),
        surroundings: BY_HAND,
        ..USUAL
    };
    // Nor can it be put back.
    let results = outcome(&dead, (0, 0), false).unwrap_err().into_results();
    let failed = results.iter().find(|result| result.verdict.is_failure());
    assert_eq!(
        failed.map(|result| result.case),
        Some("reset/decoders-stay")
    );
}

/// What nobody but an emulator can promise is needed by few cases.
#[test]
fn few_cases_need_traffic_that_is_exact() {
    let busy = LEGAL
        .iter()
        .find(|legal| legal.name == "eight other hot units");
    let results = results(busy.unwrap(), (0, 0), false);
    let skipped: Vec<_> = results
        .iter()
        .filter(|result| matches!(result.verdict, Verdict::Skipped(_)))
        .map(|result| (result.case, &result.verdict))
        .collect();
    assert!(skipped.len() <= 30, "{}: {skipped:#?}", skipped.len());
}
