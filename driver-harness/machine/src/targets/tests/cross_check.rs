// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Tables against kernel, and what is printed of both.

use super::super::cross_check::disagreements;
use super::super::explain::explain;
use super::shape::{CXL, OTHER, OWN, Shape};
use super::*;

fn two_nodes() -> Shape {
    Shape::new("CM M")
        .distances([[10, 20], [20, 10]])
        .accesses(0, &[OWN, CXL])
        .tiers(&[(4, &[0]), (75, &[1])])
}

/// What differs when the kernel shows `shown` and the tables tell of `two_nodes`.
fn differs(shown: Shape) -> Vec<String> {
    disagreements(&two_nodes().tables(), &shown.shown_by_kernel())
}

#[test]
fn a_kernel_that_read_the_tables_agrees() {
    assert_eq!(differs(two_nodes()), Vec::<String>::new());
    let two_sockets = Shape::new("CM CM M")
        .distances([[10, 21, 17], [21, 10, 17], [17, 17, 10]])
        .accesses(0, &[OWN, OTHER, CXL])
        .accesses(1, &[OTHER, OWN, CXL])
        .tiers(&[(4, &[0, 1]), (75, &[2])]);
    let kernel = two_sockets.shown_by_kernel();
    assert_eq!(
        disagreements(&two_sockets.tables(), &kernel),
        Vec::<String>::new()
    );
    // Without HMAT the kernel shows no initiators, and that is right.
    let bare = Shape {
        accesses: Vec::new(),
        ..two_nodes()
    };
    let kernel = bare.shown_by_kernel();
    assert_eq!(disagreements(&bare.tables(), &kernel), Vec::<String>::new());
}

#[test]
fn each_difference_is_a_sentence() {
    let shape = two_nodes();
    for (shown, expected) in [
        (
            shape.clone().distances([[10, 21], [20, 10]]),
            "The distance from node 0 to node 1 is 20 by the tables and 21 by the kernel.",
        ),
        (
            shape.clone().tiers(&[(4, &[0, 1])]),
            "By the tables' figures node 1 belongs to memory tier 75, the kernel has it in tier 4.",
        ),
        (
            Shape {
                nodes: vec![(true, true), (true, true)],
                ..shape.clone()
            },
            "Node 1 has processors, and the tables give it none.",
        ),
    ] {
        assert_eq!(differs(shown), [expected]);
    }
    let mut slower = shape.clone();
    slower.accesses[0].1[1] = (300, 30);
    assert_eq!(
        differs(slower),
        [
            "The read latency in ns from node 0 to node 1 is 250 by the tables and 300 by the \
             kernel.",
            "The write latency in ns from node 0 to node 1 is 250 by the tables and 300 by the \
             kernel.",
        ]
    );
    let blind = Shape {
        accesses: Vec::new(),
        ..shape.clone()
    };
    let found = differs(blind);
    let expected = "The processors nearest to node 1 are at node 0 by the tables and at none by \
                    the kernel.";
    assert!(
        found.iter().any(|sentence| sentence == expected),
        "{found:?}"
    );
    let fewer = Shape {
        nodes: vec![(true, true)],
        tiers: Some(vec![(4, vec![0])]),
        ..shape.clone()
    };
    let gone = "The tables have node 1, which is not online.";
    let fewer = fewer.distances([[10]]);
    assert_eq!(
        differs(Shape {
            accesses: shape.accesses.clone(),
            ..fewer
        }),
        [gone]
    );
}

#[test]
fn memory_that_may_come_later_need_not_be_there() {
    let shown = Shape {
        offline: 1,
        ..Shape::new("CM").distances([[10]]).accesses(0, &[OWN])
    };
    let shown = shown.tiers(&[(4, &[0])]).shown_by_kernel();
    let told = two_nodes();
    let absent = "The tables have node 1, which is not online.";
    assert_eq!(disagreements(&told.tables(), &shown), [absent]);
    let later = Shape {
        hot_pluggable: vec![1],
        ..told
    };
    assert_eq!(disagreements(&later.tables(), &shown), [""; 0]);
    // The kernel does not know it at all.
    let without = Shape::new("CM").distances([[10]]).accesses(0, &[OWN]);
    let without = without.tiers(&[(4, &[0])]).shown_by_kernel();
    assert_eq!(disagreements(&later.tables(), &without), [absent]);
}

#[test]
fn memory_on_another_node_is_told() {
    let swapped = Shape::new("CM CM").distances([[10, 20], [20, 10]]);
    let mut tables = swapped.tables();
    let srat = tables.srat.as_mut().unwrap();
    srat.entries.swap(2, 3);
    // Processors are met first, so the numbers stay; now swap these as well.
    srat.entries.swap(0, 1);
    let found = disagreements(&tables, &swapped.shown_by_kernel());
    assert_eq!(
        found,
        [
            "The tables put frame 0x0 on node 1, the kernel on node 0.",
            "The tables put frame 0x100000 on node 0, the kernel on node 1.",
        ]
    );
}

#[test]
fn every_node_is_explained() {
    let topology = two_nodes().shown_by_kernel();
    let headroom = Headroom::of([(NodeId(0), 1 << 30), (NodeId(1), 1 << 20)]);
    let [fast, slow] = &*explain(&topology, &headroom) else {
        panic!("not two nodes");
    };
    assert_eq!((fast.tier, fast.target), (Some(4), None));
    assert_eq!(fast.sentence, "Node 0 is in the top memory tier already.");
    assert_eq!((slow.tier, slow.target), (Some(75), Some(NodeId(0))));
    assert_eq!(slow.headroom_bytes, Some(1 << 20));
    let access = slow.access.unwrap();
    assert_eq!(
        (access.from, access.performance.read_latency_ns),
        (NodeId(0), Some(250))
    );
    let [target] = &*slow.targets else {
        panic!("not one target");
    };
    assert!(target.preferred);
    assert_eq!(
        (target.distance, target.headroom_bytes),
        (Some(20), Some(1 << 30))
    );
    assert_eq!(
        target.access.unwrap().performance.read_bandwidth_mb_per_s,
        Some(200_000)
    );
}

#[test]
fn slow_memory_that_the_kernel_takes_for_ordinary_is_told() {
    let shape = Shape::new("CM M")
        .distances([[10, 20], [20, 10]])
        .tiers(&[(4, &[0, 1])]);
    let nodes = explain(&shape.shown_by_kernel(), &Headroom::default());
    assert_eq!(
        nodes[1].sentence,
        "Node 1 is in the top memory tier already; the kernel knows no latency and bandwidth of \
         it, so takes it for ordinary memory."
    );
}
