// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use std::time::Duration;

use chmu_machine::memory::PAGE_BYTES;
use chmu_proof::verdict::{self, Counts, Example, Finding, Judgement, Reason};
use chmu_proof::workload::checks::Checks;
use chmu_proof::workload::report::WorkloadReport;
use chmu_proof::workload::state::{Phase, State};
use chmu_proof::workload::{Accesses, Verification};

use super::super::evidence::{Device, Promotion};
use super::*;

fn proof() -> verdict::Verdict {
    let judgement = |claim| Judgement {
        claim,
        outcome: Outcome::Pass,
        missing: None,
    };
    verdict::Verdict {
        verdict: Outcome::Pass,
        claims: Claim::ALL.map(judgement).to_vec(),
        findings: Vec::new(),
        truth: String::new(),
        counts: Counts {
            pages: 4096,
            true_hot_pages: 512,
            promoted_hot_pages: 512,
            promoted_pages: 512,
            promoted_folios: 512,
            pages_by_node: [(NodeId(0), 512), (NodeId(1), 3584)].into(),
            ..Counts::default()
        },
        ledger: None,
        precision: Some(1.0),
        page_precision: Some(1.0),
        recall: Some(1.0),
    }
}

pub(in super::super) fn state() -> State {
    State {
        phase: Phase::Running,
        process_id: 7,
        file: None,
        address: 0,
        page_bytes: PAGE_BYTES,
        pages: 4096,
        node: NodeId(1),
        seed: 1,
        hot_pages: Vec::new(),
        hot_since_ns: None,
        earlier_hot_sets: Vec::new(),
        start_frames: None,
        large_folios: None,
        ready_monotonic_ns: 0,
        first_touch_monotonic_ns: Some(5_000_000_000),
        first_touch_boottime_ns: None,
        checks: Checks::default(),
        verified: None,
    }
}

fn evidence() -> Evidence {
    Evidence {
        guest: GuestEvidence {
            promotion: Promotion {
                units_reported: 600,
                reports_with_lost_units: 1,
                batches: 4,
                first_report_monotonic_ns: Some(5_200_000_000),
                first_promotion_monotonic_ns: None,
            },
            proof: proof(),
            state: state(),
            report: WorkloadReport {
                process_id: 7,
                node: NodeId(1),
                rounds: 9,
                accesses: Accesses::default(),
                cold_accesses: 0,
                seconds: 1.0,
                checks: Checks {
                    words_checked: 1000,
                    ..Checks::default()
                },
                verification: Verification {
                    pages_checked: 4096,
                    ..Verification::default()
                },
            },
        },
        kernel_log: Vec::new(),
        device: Device {
            units_dropped: 7,
            ..Device::default()
        },
        kernel: "7.3".into(),
        qemu: "11.1".into(),
        guest_boot: Duration::from_secs(7),
        total: Duration::from_secs(10),
        kept: None,
    }
}

#[test]
fn good_evidence_passes() {
    let result = DemoResult::judge(&evidence());
    assert_eq!(result.verdict, Verdict::Pass);
    assert_eq!(result.reasons, Vec::<String>::new());
    assert_eq!(result.units_dropped, 7);
    assert_eq!(result.first_touch_to_first_report_ms, Some(200));
    assert_eq!(result.first_touch_to_first_promotion_ms, None);
}

#[test]
fn each_broken_rule_fails_with_its_reason() {
    type Spoil = fn(&mut Evidence);
    let broken: [(Spoil, &str); 7] = [
        (
            |evidence| {
                evidence.guest.proof.findings.push(Finding {
                    reason: Reason::ColdPageMoved,
                    claim: Claim::Precision,
                    count: 2,
                    examples: vec![Example {
                        page: Some(9),
                        detail: "was never hot".into(),
                        ..Example::default()
                    }],
                });
            },
            "2 cold pages were moved (page 9: was never hot)",
        ),
        (
            |evidence| evidence.guest.proof.claims[0].outcome = Outcome::Unproved,
            "Unproved: enough hot pages are promoted",
        ),
        (
            |evidence| evidence.guest.report.verification.corrupt_pages = 2,
            "2 pages do not hold",
        ),
        (
            |evidence| evidence.guest.report.checks.wrong_words = 1,
            "found wrong words",
        ),
        (
            |evidence| evidence.device.vcpus_without_ring = 8,
            "The accesses of 8 vCPUs were not counted",
        ),
        (
            |evidence| evidence.guest.promotion.units_reported = 0,
            "no hot unit",
        ),
        (
            |evidence| evidence.kernel_log.push("A warning".into()),
            "A warning",
        ),
    ];
    for (spoil, expected) in broken {
        let mut evidence = evidence();
        spoil(&mut evidence);
        let result = DemoResult::judge(&evidence);
        assert_eq!(result.verdict, Verdict::Fail, "{expected}");
        assert_eq!(result.reasons.len(), 1, "{:?}", result.reasons);
        assert!(result.reasons[0].contains(expected), "{:?}", result.reasons);
    }
}

#[test]
fn the_table_is_aligned() {
    let table = DemoResult::judge(&evidence()).to_string();
    let columns: Vec<_> = table.lines().map(|line| &line[..26]).collect();
    assert!(
        columns.iter().all(|column| column.ends_with("  ")),
        "{table}"
    );
    assert!(table.contains("PASS"));
}
