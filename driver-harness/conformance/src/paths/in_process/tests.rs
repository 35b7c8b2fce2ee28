// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use chmu_driver::device;

use super::*;
use crate::cases;
use crate::judge::Verdict;
use crate::run::{CaseResult, RunOptions, run};

fn results(model: Model, options: &RunOptions) -> Vec<CaseResult> {
    let mut subject = InProcessSubject::new(model).unwrap();
    let blocks = device::block_places(subject.transport()).unwrap();
    run(&mut subject, &blocks, &cases::all(), options, |_| ()).unwrap()
}

fn instances(profile: Profile) -> Vec<(usize, u8)> {
    let blocks = profile.blocks();
    let of_block = |(block, instances): (usize, &Vec<_>)| {
        let instances = u8::try_from(instances.len()).unwrap();
        (0..instances)
            .map(move |instance| (block, instance))
            .collect::<Vec<_>>()
    };
    blocks.iter().enumerate().flat_map(of_block).collect()
}

#[test]
fn every_instance_of_every_profile_passes_in_strict() {
    for profile in Profile::ALL {
        for ways in [1, 4] {
            for instance in instances(profile) {
                let model = Model {
                    ways,
                    ..Model::new(profile)
                };
                let options = RunOptions {
                    strict: true,
                    narrow_accesses: true,
                    instance: Some(instance),
                    ..RunOptions::default()
                };
                let results = results(model, &options);
                let failures: Vec<_> = results
                    .iter()
                    .filter(|result| result.verdict.is_failure())
                    .map(|result| (result.case, &result.verdict))
                    .collect();
                assert!(
                    failures.is_empty(),
                    "{} {ways} ways, instance {instance:?}: {failures:#?}",
                    profile.name()
                );
            }
        }
    }
}

#[test]
fn every_case_applies_to_some_instance() {
    let mut skipped: Vec<_> = cases::all().iter().map(|case| case.name).collect();
    for profile in Profile::ALL {
        for instance in instances(profile) {
            let options = RunOptions {
                instance: Some(instance),
                narrow_accesses: true,
                ..RunOptions::default()
            };
            let model = Model {
                ways: 2,
                ..Model::new(profile)
            };
            let ran: Vec<_> = results(model, &options)
                .into_iter()
                .filter(|result| !matches!(result.verdict, Verdict::Skipped(_)))
                .map(|result| result.case)
                .collect();
            skipped.retain(|case| !ran.contains(case));
        }
    }
    assert_eq!(skipped, Vec::<&str>::new());
}

#[test]
fn a_read_only_run_writes_nothing() {
    let options = RunOptions {
        read_only: true,
        ..RunOptions::default()
    };
    let results = results(Model::new(Profile::Full), &options);
    let passed = |result: &&CaseResult| matches!(result.verdict, Verdict::Passed { .. });
    assert!(results.iter().filter(passed).count() >= 20);
    assert!(results.iter().all(|result| !result.verdict.is_failure()));
}
