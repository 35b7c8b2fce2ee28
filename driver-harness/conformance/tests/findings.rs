// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a failing case says: all that is wrong by itself, and nothing that only follows from it.

use chmu_conformance::bench::{Bench, BlockPlace};
use chmu_conformance::cases;
use chmu_conformance::judge::Verdict;
use chmu_conformance::outcome::{Mismatches, Stop, expect_equal};
use chmu_conformance::paths::in_process::{InProcessSubject, Model};
use chmu_conformance::run::{RunError, RunOptions, run};
use chmu_conformance::subject::Subject as _;
use chmu_cxl::Profile;
use chmu_driver::device::block_places;
use chmu_model::Quirk;

/// What a case finds at a full device that breaks a rule, and how much more it found.
fn found(quirk: Quirk, case: &str) -> (Vec<String>, usize) {
    let model = Model {
        quirks: quirk.into(),
        ..Model::new(Profile::Full)
    };
    let mut subject = InProcessSubject::new(model).unwrap();
    let blocks = block_places(subject.transport()).unwrap();
    let cases = cases::matching(&[case.to_owned()]);
    let results = match run(
        &mut subject,
        &blocks,
        &cases,
        &RunOptions::default(),
        |_| (),
    ) {
        Ok(results) | Err(RunError::Ended { results, .. }) => results,
        Err(error) => panic!("{error}"),
    };
    let words = |found: &Mismatches| found.iter().map(ToString::to_string).collect();
    match &results[0].verdict {
        Verdict::Failed(found) => (words(found), found.more()),
        other => panic!("{case} with {}: {other:?}", quirk.name()),
    }
}

#[test]
fn a_case_names_each_instance_and_each_setting_that_is_wrong() {
    for (quirk, case, least) in [
        (Quirk::CapabilityReservedBits, "capability/reserved", 5),
        (Quirk::UnitIsAddress, "counter/unit-id", 8),
        (Quirk::LargeUnitsCapped, "counter/unit-id", 2),
        (Quirk::CountOneLess, "counter/exact-count", 3),
        (Quirk::DecodersIgnored, "address/unit-follows-decoder", 2),
        (Quirk::RangeShifted, "range/set-bit", 2),
        (
            Quirk::DisableLosesConfiguration,
            "configuration/survives-disable",
            2,
        ),
    ] {
        let (found, more) = found(quirk, case);
        assert!(
            found.len() >= least,
            "{case} with {}: {found:#?}",
            quirk.name()
        );
        assert!(found.len() <= 8, "{found:#?}");
        assert!(more == 0 || found.len() == 8, "{more} more than {found:#?}");
    }
}

/// Where a status bit is not set its interrupt is not due, whether another case looked at the bit or not.
#[test]
fn no_interrupt_is_due_for_a_status_bit_that_is_not_set() {
    for quirk in [Quirk::OverflowNeverSet, Quirk::FillLevelNeverSet] {
        let model = Model {
            quirks: quirk.into(),
            ..Model::new(Profile::Full)
        };
        let mut subject = InProcessSubject::new(model).unwrap();
        let blocks = block_places(subject.transport()).unwrap();
        let cases = cases::matching(&["interrupt".to_owned()]);
        let options = RunOptions::default();
        let results = run(&mut subject, &blocks, &cases, &options, |_| ()).unwrap();
        let failed = results.iter().filter(|result| result.verdict.is_failure());
        let failed: Vec<_> = failed.map(|result| result.case).collect();
        assert!(failed.is_empty(), "{}: {failed:?}", quirk.name());
        // The other bit is set, and announced.
        let passed = |case: &str| {
            let result = results.iter().find(|result| result.case == case).unwrap();
            matches!(result.verdict, Verdict::Passed { .. })
        };
        assert!(passed("interrupt/message"), "{}", quirk.name());
        assert!(passed("interrupt/not-enabled"), "{}", quirk.name());
    }
}

/// A look that fails leaves an instance as no other look expects it.
#[test]
fn what_follows_from_a_finding_is_no_finding() {
    let mut subject = InProcessSubject::new(Model::new(Profile::Default)).unwrap();
    let start = block_places(subject.transport()).unwrap()[0];
    let blocks = [BlockPlace::read(subject.transport(), 0, start).unwrap()];
    let place = blocks[0].instances().next().unwrap();
    let mut bench = Bench::new(&mut subject, &blocks, place);
    let setup = bench.setup().unwrap();
    let found = bench.each([0_u64, 1], |bench, number| {
        let is_enabled = bench.status()?.enabled();
        expect_equal("enabled, left by the look before", is_enabled, false)?;
        bench.start(&setup)?;
        expect_equal("number", number, 2)
    });
    let Err(Stop::Failed(found)) = found else {
        panic!("{found:?}")
    };
    let found: Vec<_> = found.iter().map(ToString::to_string).collect();
    let expected = ["number: read 0, expected 2", "number: read 1, expected 2"];
    assert_eq!(found, expected);
}

/// A long case accuses no device of a reading that others accept.
#[test]
fn long_lists_in_another_order_or_above_the_threshold_only_are_legal() {
    let readings = [
        Quirk::ThresholdExclusive,
        Quirk::ColdestFirst,
        Quirk::LowestFirst,
    ];
    for quirk in readings {
        for profile in [Profile::Full, Profile::Minimal, Profile::AlwaysOnOnly] {
            let model = Model {
                quirks: quirk.into(),
                ..Model::new(profile)
            };
            let mut subject = InProcessSubject::new(model).unwrap();
            let blocks = block_places(subject.transport()).unwrap();
            let cases = cases::matching(&["stress/wraps-over-and-over".to_owned()]);
            let options = RunOptions::default();
            let results = run(&mut subject, &blocks, &cases, &options, |_| ()).unwrap();
            let passed = matches!(results[0].verdict, Verdict::Passed { .. });
            assert!(passed, "{} {profile:?}: {:?}", quirk.name(), results[0]);
        }
    }
}
