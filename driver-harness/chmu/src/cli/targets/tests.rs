// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use std::fs;

use chmu_machine::acpi::tables::Performance;

use super::*;

fn explained() -> Explained {
    let access = |latency| {
        Some(NearestAccess {
            from: NodeId(0),
            performance: Performance {
                read_latency_ns: Some(latency),
                read_bandwidth_mb_per_s: Some(51_200),
                ..Performance::default()
            },
        })
    };
    let slow = NodeExplanation {
        node: NodeId(1),
        tier: Some(37),
        has_processors: false,
        has_memory: true,
        side_cache_bytes: 1 << 30,
        headroom_bytes: Some(3 << 29),
        access: access(300),
        target: Some(NodeId(0)),
        sentence: "Because.".into(),
        targets: vec![TargetExplanation {
            node: NodeId(0),
            preferred: true,
            distance: Some(20),
            headroom_bytes: None,
            access: access(100),
        }],
        nearest_by_hmat: vec![NodeId(2)],
        is_window: true,
    };
    Explained {
        tiers_from: TierKnowledge::Kernel,
        nodes: vec![slow],
        offline: vec![NodeId(7)],
        disagreements: Some(Vec::new()),
        unusable_tables: vec!["it is broken".into()],
    }
}

#[test]
fn people_read_sentences() {
    let text = "\
The tiers are the kernel's.
Node 1: tier 37, no processors, room for 1.50 GiB, 300 ns and 51.2 GB/s for reads from node 0, \
behind 1.00 GiB of memory-side cache
  Because.
  Its memory is a CXL window, which has memory once a region is made there; the kernel then takes the \
device's own figures, which no table has.
  preferred node 0, distance 20, 100 ns and 51.2 GB/s for reads from node 0
  By HMAT the processors of node 2 are nearest; distances say otherwise, and the kernel's demotion \
goes by these.
Offline: 7
The firmware's tables and the kernel agree.
Not used: it is broken";
    assert_eq!(explained().to_string(), text);
    let apart = Explained {
        disagreements: Some(vec!["One.".into(), "Two.".into()]),
        ..explained()
    };
    let expected = "\nThe firmware's tables and the kernel disagree:\n  One.\n  Two.\n";
    assert!(apart.to_string().contains(expected));
}

#[test]
fn programs_read_json() {
    let json = serde_json::to_value(explained()).unwrap();
    assert_eq!(json["tiers_from"], "kernel");
    let node = &json["nodes"][0];
    assert_eq!(node["target"], 0);
    assert_eq!(node["access"]["from"], 0);
    assert_eq!(node["access"]["read_latency_ns"], 300);
    assert_eq!(node["targets"][0]["preferred"], true);
    assert_eq!(json["disagreements"], serde_json::json!([]));
}

#[test]
fn folders_without_tables_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refusal = || explain_tables(folder.path()).unwrap_err().to_string();
    assert!(refusal().contains("has no table SRAT"), "{}", refusal());
    fs::write(folder.path().join("SLIT"), "SLIT").unwrap();
    assert!(refusal().ends_with("SLIT is broken"), "{}", refusal());
    let absent = explain_tables(&folder.path().join("absent")).unwrap_err();
    assert!(absent.to_string().starts_with("There is no folder"));
}
