// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A line of every kind, without each of its fields.

use std::collections::BTreeMap;
use std::path::Path;

use chmu_machine::node::NodeId;
use chmu_spec::address::Pfn;
use serde_json::{Map, Value};

use super::*;
use crate::batch::{Folio, Route};
use crate::rejection::Rejection;
use crate::report::{Health, Lost, WeightKind};
use crate::testing::facts;

/// Objects whose keys are no fields: of the policy, and of reasons.
const MAPS: [&str; 2] = ["policy", "ignored"];

/// One of each kind, in an order that a ledger can have.
fn every_kind() -> Vec<Action> {
    let folio = Folio {
        head: Pfn(0x10_0000),
        pages: 1,
    };
    let route = Route {
        source: NodeId(1),
        target: NodeId(0),
    };
    let origin = vec!["one".to_owned()];
    let mut samples = facts("one");
    samples.counts = WeightKind::Samples { period: 7 };
    vec![
        Action::Begin(Begin {
            program: "1".into(),
            sources: vec![samples],
            actuator: "damon".into(),
            dry_run: false,
            seed: 1,
            policy: BTreeMap::new(),
        }),
        Action::Source(SourceSaid {
            source: "one".into(),
            handed_out_ns: 1,
            earliest_access_ns: 1,
            units: 1,
            pages: 1,
            lost: Lost::default(),
            ignored: BTreeMap::new(),
            health: Health::Degraded("slow".into()),
        }),
        Action::Seen(Seen {
            folio,
            node: NodeId(1),
            heat: 1,
            origin: origin.clone(),
            earliest_access_ns: 1,
        }),
        Action::Queued(Queued {
            folio,
            route,
            heat: 1,
            origin: origin.clone(),
        }),
        Action::Batch(BatchMade {
            batch: 1,
            route,
            folios: vec![folio],
            waiting: 0,
        }),
        Action::Moved(Moved {
            batch: 1,
            folio,
            route,
            heat: 1,
            origin: origin.clone(),
            started_ns: 1,
            ended_ns: 1,
        }),
        Action::Refused(Refused {
            folio,
            reason: Rejection::Pinned,
            errno: None,
            batch: None,
            route: None,
            origin,
        }),
        Action::Retried(Retried {
            folio,
            reason: Rejection::Busy,
            batch: 1,
            attempts: 1,
            due_ns: 2,
        }),
        Action::Demoted(Demoted {
            node: NodeId(0),
            pages: 1,
            folio: None,
            sent: Some(Sent {
                batch: 2,
                route,
                owner: None,
                idle_ns: 1,
                started_ns: 1,
                ended_ns: 2,
            }),
        }),
        Action::Demotion(DemotionMade {
            batch: 2,
            route,
            folios: vec![folio],
            wanted_pages: 2,
            room_pages: 1,
            idle_ns: 1,
            idle_until_ns: 1,
        }),
        Action::Kept(Kept {
            batch: 2,
            folio,
            route,
            reason: Rejection::Busy,
        }),
        Action::Wasted(Wasted {
            folio,
            node: NodeId(0),
            owner: chmu_machine::memory::owners::Owner {
                process_id: 1,
                address: 4096,
            },
            arrived_ns: 1,
            idle_ns: 1,
            idle_until_ns: 2,
        }),
        Action::Judged(Judged::default()),
        Action::Telemetry(TelemetrySaid {
            name: "damon".into(),
            health: Health::Good,
        }),
        Action::Tuned(Tuned {
            source: None,
            setting: TunedSetting::Threshold,
            from: None,
            to: 2,
            reason: "because".into(),
        }),
        Action::End(Totals::default()),
    ]
}

/// All that comes of a value when one field of it, or of what it holds, is left out; with its path.
fn without_each(value: &Value, path: &str) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let path = format!("{path}.{name}");
                let mut without: Map<String, Value> = fields.clone();
                without.remove(name);
                found.push((path.clone(), Value::Object(without)));
                if MAPS.contains(&&**name) {
                    continue;
                }
                for (path, inner) in without_each(field, &path) {
                    let mut with = fields.clone();
                    with.insert(name.clone(), inner);
                    found.push((path, Value::Object(with)));
                }
            }
        }
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                for (path, inner) in without_each(item, path) {
                    let mut with = items.clone();
                    with[place] = inner;
                    found.push((path, Value::Array(with)));
                }
            }
        }
        _ => {}
    }
    found
}

#[test]
fn a_line_without_any_of_its_fields_is_refused() {
    let events: Vec<_> = every_kind()
        .into_iter()
        .map(|action| Event::new(5, action))
        .collect();
    let lines: Vec<_> = events
        .iter()
        .map(|event| serde_json::to_value(event).unwrap())
        .collect();
    let parse = |lines: &[Value]| {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        Ledger::parse(text.as_bytes(), Path::new("ledger"))
    };
    assert_eq!(parse(&lines).unwrap().events, events);
    let mut fields = 0;
    for (place, line) in lines.iter().enumerate() {
        for (path, without) in without_each(line, "") {
            let mut cut = lines.clone();
            cut[place] = without;
            let error = parse(&cut).expect_err(&format!("{}{path}", line["e"]));
            let error = error.to_string();
            let expected = format!("Line {} of the ledger ledger is no event", place + 1);
            assert_eq!(error, expected, "{path}");
            fields += 1;
        }
    }
    assert!(fields > 100, "{fields}");
}
