// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a failing case says: all that is wrong by itself, and nothing that only follows from it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use chmu_conformance::bench::{Bench, BlockPlace};
use chmu_conformance::case::Case;
use chmu_conformance::cases;
use chmu_conformance::judge::Verdict;
use chmu_conformance::outcome::{Mismatches, Stop, expect_equal};
use chmu_conformance::paths::in_process::{
    Front, InProcessSubject, Model, Parts, Surroundings, function_config,
};
use chmu_conformance::run::{CaseResult, RunError, RunOptions, run};
use chmu_conformance::subject::Subject as _;
use chmu_cxl::{FunctionConfig, Interrupts, Profile};
use chmu_driver::device::block_places;
use chmu_driver::transport::in_process::InProcessDevice;
use chmu_driver::transport::{BarOffset, Transport as _, TransportError, Width};
use chmu_model::{Capabilities, Quirk};
use chmu_spec::chmu::{Status, offset};

/// What a case finds at a full device that breaks a rule, and how much more it found.
fn found(quirk: Quirk, case: &str) -> (Vec<String>, usize) {
    let words = |found: &Mismatches| found.iter().map(ToString::to_string).collect();
    match verdict(quirk, Profile::Full, case) {
        Verdict::Failed(found) => (words(&found), found.more()),
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

/// An epoch at the limit that cannot be enabled is one failure; what needs such epochs is not for this device.
#[test]
fn a_refused_epoch_is_one_failure() {
    for quirk in [Quirk::RefusesShortestEpoch, Quirk::RefusesLongestEpoch] {
        for profile in [Profile::Default, Profile::Minimal, Profile::Full] {
            let mut subject = breaking(quirk, profile);
            let failed = failed_cases(&results(&mut subject, &cases::all()));
            assert_eq!(failed, ["configuration/epoch-limits"], "{}", quirk.name());
        }
    }
}

/// Where a status bit is not set its interrupt is not due, whether another case looked at the bit or not.
#[test]
fn no_interrupt_is_due_for_a_status_bit_that_is_not_set() {
    for quirk in [Quirk::OverflowNeverSet, Quirk::FillLevelNeverSet] {
        let mut subject = breaking(quirk, Profile::Full);
        let cases = cases::matching(&["interrupt".to_owned()]);
        let results = results(&mut subject, &cases);
        let failed = failed_cases(&results);
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

/// A device that breaks a rule.
fn breaking(quirk: Quirk, profile: Profile) -> InProcessSubject {
    let model = Model {
        quirks: quirk.into(),
        ..Model::new(profile)
    };
    InProcessSubject::new(model).unwrap()
}

fn results(subject: &mut InProcessSubject, cases: &[Case]) -> Vec<CaseResult> {
    let blocks = block_places(subject.transport()).unwrap();
    match run(subject, &blocks, cases, &RunOptions::default(), |_| ()) {
        Ok(results) | Err(RunError::Ended { results, .. }) => results,
        Err(error) => panic!("{error}"),
    }
}

fn failed_cases(results: &[CaseResult]) -> Vec<&'static str> {
    let failed = results.iter().filter(|result| result.verdict.is_failure());
    failed.map(|result| result.case).collect()
}

/// The verdict of a case about a device that breaks a rule.
fn verdict(quirk: Quirk, profile: Profile, case: &str) -> Verdict {
    verdict_of(&mut breaking(quirk, profile), case)
}

fn verdict_of(subject: &mut InProcessSubject, case: &str) -> Verdict {
    let cases = cases::matching(&[case.to_owned()]);
    results(subject, &cases).remove(0).verdict
}

/// The same with something in front of a device.
fn verdict_behind(front: impl Front + 'static, config: &FunctionConfig, case: &str) -> Verdict {
    let (surroundings, front) = (Surroundings::default(), Box::new(front));
    let mut subject = InProcessSubject::in_surroundings(config, surroundings, front).unwrap();
    verdict_of(&mut subject, case)
}

const LONG: &str = "stress/wraps-over-and-over";

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
            let verdict = verdict(quirk, profile, LONG);
            let passed = matches!(verdict, Verdict::Passed { .. });
            assert!(passed, "{} {profile:?}: {verdict:?}", quirk.name());
        }
    }
}

/// It looks at counts too, also where the instance has always-on mode.
#[test]
fn counts_of_long_lists_are_looked_at() {
    for profile in [Profile::Full, Profile::Minimal] {
        let verdict = verdict(Quirk::CountOneLess, profile, LONG);
        assert!(verdict.is_failure(), "{profile:?}: {verdict:?}");
    }
}

/// Shows another operation from the second look at one that runs.
#[derive(Debug, Default)]
struct OtherOperation {
    parts: OnceLock<Option<Parts>>,
    looks: AtomicU32,
}

impl Front for OtherOperation {
    fn read(
        &self,
        device: &InProcessDevice,
        place: BarOffset,
        width: Width,
    ) -> Result<u64, TransportError> {
        let word = device.read(place, width)?;
        let parts = self.parts.get().copied().flatten();
        let is_status = parts.and_then(|parts| parts.register(place)) == Some(offset::STATUS);
        let status = Status::from(word);
        if !is_status || width != Width::Eight {
            return Ok(word);
        }
        if status.operation_code() == 0 {
            self.looks.store(0, Ordering::Relaxed);
            return Ok(word);
        }
        Ok(match self.looks.fetch_add(1, Ordering::Relaxed) {
            0 => word,
            _ => status.with_operation_code(11).into(),
        })
    }

    fn was_reset(&self, device: &InProcessDevice) {
        let first = || Parts::of(device).ok()?.into_iter().next();
        self.parts.get_or_init(first);
    }
}

#[test]
fn each_look_at_an_operation_must_show_the_same_one() {
    let slow = Capabilities {
        operation_delay_ns: 20_000_000,
        ..Capabilities::default()
    };
    let config = function_config(vec![vec![slow]], Interrupts::MsiX(8), 1);
    let case = "operation/progress-codes";
    let honest = verdict_behind(Honest, &config, case);
    assert!(matches!(honest, Verdict::Passed { .. }), "{honest:?}");
    let strange = verdict_behind(OtherOperation::default(), &config, case);
    assert!(matches!(strange, Verdict::Failed(_)), "{strange:?}");
}

#[derive(Debug)]
struct Honest;

impl Front for Honest {}

/// What the instances of a block have in common and should not.
#[derive(Debug, Clone, Copy)]
enum Common {
    /// One shows what another has lost.
    Overflow,
    /// What is written to one range bitmap is written to all.
    Ranges,
    /// What is written to one status is written to all.
    StatusWrites,
    /// One that is enabled takes the entries of the others.
    Entries,
}

#[derive(Debug)]
struct InCommon {
    common: Common,
    parts: OnceLock<Vec<Parts>>,
}

impl InCommon {
    /// The instance whose register is at a place, those beside it, and the register.
    fn find(&self, place: BarOffset) -> Option<(Parts, Vec<Parts>, u64)> {
        let all = self.parts.get()?;
        let found = all
            .iter()
            .find_map(|one| Some((*one, one.register(place)?)));
        let (own, register) = found?;
        let beside = all
            .iter()
            .filter(|one| one.start != own.start && one.block == own.block);
        Some((own, beside.copied().collect(), register))
    }
}

const OVERFLOW: u64 = 1 << 40;

impl Front for InCommon {
    fn read(
        &self,
        device: &InProcessDevice,
        place: BarOffset,
        width: Width,
    ) -> Result<u64, TransportError> {
        let mut word = device.read(place, width)?;
        let found = self.find(place);
        if let (Common::Overflow, Some((_, beside, offset::STATUS))) = (self.common, found) {
            for other in beside {
                let offset = other.start + offset::STATUS;
                word |= device.read(BarOffset { offset, ..place }, width)? & OVERFLOW;
            }
        }
        Ok(word)
    }

    fn write(
        &self,
        device: &InProcessDevice,
        place: BarOffset,
        width: Width,
        value: u64,
    ) -> Result<(), TransportError> {
        let at = |offset| BarOffset { offset, ..place };
        match (self.common, self.find(place)) {
            (Common::StatusWrites, Some((_, beside, offset::STATUS))) => {
                for other in beside {
                    device.write(at(other.start + offset::STATUS), width, value)?;
                }
            }
            (Common::Entries, Some((_, beside, offset::CONFIGURATION_0))) => {
                for other in beside {
                    let indices = at(other.start + offset::HOTLIST_HEAD);
                    let tail = device.read(indices, Width::Four)? >> 16;
                    device.write(indices, Width::Two, tail)?;
                }
            }
            (Common::Ranges, _) => {
                let all = self.parts.get().map_or(&[][..], Vec::as_slice);
                if all.iter().any(|one| one.ranges == place.offset) {
                    for one in all {
                        device.write(at(one.ranges), width, value)?;
                    }
                }
            }
            _ => {}
        }
        device.write(place, width, value)
    }

    fn was_reset(&self, device: &InProcessDevice) {
        self.parts.get_or_init(|| Parts::of(device).unwrap());
    }
}

#[test]
fn what_instances_have_in_common_is_named() {
    let config = function_config(Profile::Full.blocks(), Profile::Full.interrupts(), 1);
    for (common, case) in [
        (Common::Overflow, "instance/status-apart"),
        (Common::StatusWrites, "instance/status-apart"),
        (Common::Ranges, "instance/configuration-apart"),
        (Common::Entries, "instance/hotlists-apart"),
    ] {
        let honest = verdict_behind(Honest, &config, case);
        assert!(
            matches!(honest, Verdict::Passed { .. }),
            "{case}: {honest:?}"
        );
        let parts = OnceLock::new();
        let found = verdict_behind(InCommon { common, parts }, &config, case);
        assert!(matches!(found, Verdict::Failed(_)), "{common:?}: {found:?}");
    }
}
