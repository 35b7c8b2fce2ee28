// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Whole reports on broken devices, as people and programs get them: `UPDATE=1` writes them anew.

use std::fs;
use std::path::Path;

use chmu_conformance::cases;
use chmu_conformance::catalogue::Catalogue;
use chmu_conformance::paths::in_process::{InProcessSubject, Model};
use chmu_conformance::report::json::Report;
use chmu_conformance::report::ktap::Ktap;
use chmu_conformance::report::{Ending, InstanceResults, RunDescription, facts, junit};
use chmu_conformance::run::{RunOptions, run};
use chmu_conformance::subject::Subject as _;
use chmu_cxl::Profile;
use chmu_driver::device::block_places;
use chmu_model::Quirk;

/// Facts that differ from machine to machine and from day to day.
const MASKED: [&str; 4] = ["suite", "catalogue", "date", "kernel"];
const MASK: &str = "MASKED";

/// The three reports on a broken device, by the ends of their files' names.
fn reports(quirk: Quirk, areas: &[&str]) -> [(&'static str, String); 3] {
    let model = Model {
        quirks: quirk.into(),
        ..Model::new(Profile::Full)
    };
    let mut subject = InProcessSubject::new(model).unwrap();
    let blocks = block_places(subject.transport()).unwrap();
    let patterns: Vec<_> = areas.iter().map(|&area| area.to_owned()).collect();
    let cases = cases::matching(&patterns);
    let mut results = run(
        &mut subject,
        &blocks,
        &cases,
        &RunOptions::default(),
        |_| (),
    )
    .unwrap();
    for result in &mut results {
        result.seconds = 0.0;
    }
    let catalogue = Catalogue::load().unwrap();
    let command = format!("chmu conformance run --quirk {}", quirk.name());
    let mut facts = facts::of_suite(&catalogue, &command);
    facts.extend(facts::of_device(&mut subject, &blocks));
    for (name, value) in &mut facts {
        if MASKED.contains(&name.as_str()) {
            *value = MASK.into();
        }
    }
    let description = RunDescription {
        facts,
        planned: cases.len(),
        repeat_command: command,
    };
    let instances = [InstanceResults {
        instance: (0, 0),
        results,
    }];
    let (results, ending) = (&instances[0].results, Ending::default());
    let mut text = Vec::new();
    let mut ktap = Ktap::new(&mut text, &description, &catalogue, 1).unwrap();
    ktap.begin_instance((0, 0), cases.len()).unwrap();
    for result in results {
        ktap.result(result).unwrap();
    }
    ktap.end_instance(results).unwrap();
    ktap.end(&instances, &ending).unwrap();
    let report = Report::new(&description, &catalogue, &instances, &ending);
    let json = serde_json::to_string_pretty(&report).unwrap();
    [
        ("ktap", String::from_utf8(text).unwrap()),
        ("json", format!("{json}\n")),
        (
            "xml",
            junit::to_xml(&description, &catalogue, &instances, &ending).unwrap(),
        ),
    ]
}

fn are_as_committed(quirk: Quirk, areas: &[&str]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden_reports");
    for (end, report) in reports(quirk, areas) {
        let path = folder.join(format!("{}.{end}", quirk.name()));
        if std::env::var_os("UPDATE").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, &report).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap();
        let lines = committed.lines().zip(report.lines()).enumerate();
        let mut differing = lines.filter(|(_, (committed, report))| committed != report);
        let first = differing.next();
        assert!(
            committed == report,
            "{} differs, first in {first:?}; look at it and run UPDATE=1 cargo test -p chmu-conformance \
             --test golden_reports",
            path.display()
        );
    }
}

/// A failure and what follows from it.
#[test]
fn reports_on_a_status_bit_that_is_never_set() {
    are_as_committed(Quirk::OverflowNeverSet, &["status", "interrupt"]);
}

/// A case that finds the same at each instance.
#[test]
fn reports_on_all_that_a_case_finds() {
    are_as_committed(Quirk::CapabilityReservedBits, &["capability"]);
}

/// A case that finds more than a report shows.
#[test]
fn reports_on_more_than_is_shown() {
    are_as_committed(Quirk::ThresholdTruncated, &["register"]);
}

/// A failure by a count, and what was skipped.
#[test]
fn reports_on_counts_that_are_wrong() {
    are_as_committed(Quirk::CountOneLess, &["counter", "always-on", "epoch"]);
}
