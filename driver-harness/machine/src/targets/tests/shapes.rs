// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Machines as they are sold: who is preferred, who is allowed, who is chosen, and the sentence.

use chmu_spec::address::Pfn;

use super::shape::{CXL, FAR_CXL, OTHER, OWN, Shape, UNKNOWN};
use super::*;
use crate::targets::cross_check::disagreements;
use crate::topology::TierKnowledge;

/// What is expected of pages of a node.
struct Expected<'a> {
    source: u32,
    preferred: &'a [u32],
    fallback: &'a [u32],
    sequence: [u32; 4],
    sentence: &'a str,
}

fn check(topology: &Topology, expected: &Expected<'_>) {
    let targets = Targets::of(topology, NodeId(expected.source)).unwrap();
    assert_eq!(targets.preferred, nodes(expected.preferred));
    assert_eq!(targets.fallback, nodes(expected.fallback));
    let chosen = sequence(topology, expected.source, &mut Chooser::default());
    assert_eq!(chosen, expected.sequence);
    let room = Headroom::default();
    let mut chooser = Chooser::default();
    let decision = promotion_target(&request(expected.source), topology, &room, &mut chooser);
    assert_eq!(decision.unwrap().to_string(), expected.sentence);
}

/// The tables tell the tiers that the kernel has, and so the same targets.
fn check_both(shape: &Shape, expected: &[Expected<'_>]) {
    let (tables, kernel) = (shape.told_by_tables(), shape.shown_by_kernel());
    assert_eq!(tables.tier_knowledge, TierKnowledge::Performance);
    assert_eq!(kernel.tier_knowledge, TierKnowledge::Kernel);
    assert_eq!(tables.tiers, kernel.tiers);
    for expected in expected {
        check(&tables, expected);
        check(&kernel, expected);
    }
}

fn no_target(topology: &Topology, source: u32) -> NoTarget {
    Targets::of(topology, NodeId(source)).unwrap_err()
}

fn stays(topology: &Topology, source: u32) {
    assert_eq!(
        no_target(topology, source),
        NoTarget::TopTier(NodeId(source))
    );
}

#[test]
fn one_socket_with_cxl() {
    let shape = Shape::new("CM M")
        .distances([[10, 20], [20, 10]])
        .accesses(0, &[OWN, CXL])
        .tiers(&[(4, &[0]), (75, &[1])]);
    let expected = Expected {
        source: 1,
        preferred: &[0],
        fallback: &[],
        sequence: [0, 0, 0, 0],
        sentence: "Pages of node 1 go to node 0: it is the nearest of the next faster tier \
                   (distance 20).",
    };
    check_both(&shape, &[expected]);
    stays(&shape.shown_by_kernel(), 0);
}

fn two_sockets_with_cxl_each() -> Shape {
    Shape::new("CM CM M M")
        .distances([
            [10, 21, 14, 24],
            [21, 10, 24, 14],
            [14, 24, 10, 26],
            [24, 14, 26, 10],
        ])
        .accesses(0, &[OWN, OTHER, CXL, FAR_CXL])
        .accesses(1, &[OTHER, OWN, FAR_CXL, CXL])
        .tiers(&[(4, &[0, 1]), (75, &[2, 3])])
}

#[test]
fn two_sockets_with_a_cxl_node_each() {
    let first = Expected {
        source: 2,
        preferred: &[0],
        fallback: &[1],
        sequence: [0, 0, 0, 0],
        sentence: "Pages of node 2 go to node 0: it is the nearest of the next faster tier \
                   (distance 14).",
    };
    let second = Expected {
        source: 3,
        preferred: &[1],
        fallback: &[0],
        sequence: [1, 1, 1, 1],
        sentence: "Pages of node 3 go to node 1: it is the nearest of the next faster tier \
                   (distance 14).",
    };
    check_both(&two_sockets_with_cxl_each(), &[first, second]);
}

#[test]
fn cxl_behind_the_other_socket() {
    let shape = Shape::new("CM CM M")
        .distances([[10, 21, 24], [21, 10, 14], [24, 14, 10]])
        .accesses(0, &[OWN, OTHER, FAR_CXL])
        .accesses(1, &[OTHER, OWN, CXL])
        .tiers(&[(4, &[0, 1]), (75, &[2])]);
    let expected = Expected {
        source: 2,
        preferred: &[1],
        fallback: &[0],
        sequence: [1, 1, 1, 1],
        sentence: "Pages of node 2 go to node 1: it is the nearest of the next faster tier \
                   (distance 14).",
    };
    check_both(&shape, &[expected]);
}

#[test]
fn fast_ordinary_and_cxl_memory() {
    let shape = Shape::new("CM M M")
        .distances([[10, 13, 17], [13, 10, 23], [17, 23, 10]])
        .accesses(0, &[OWN, (110, 800), CXL])
        .tiers(&[(1, &[1]), (4, &[0]), (75, &[2])]);
    let expected = Expected {
        source: 2,
        preferred: &[0],
        fallback: &[1],
        sequence: [0, 0, 0, 0],
        sentence: "Pages of node 2 go to node 0: it is the nearest of the next faster tier \
                   (distance 17).",
    };
    check_both(&shape, &[expected]);
    // As in the kernel, nothing leaves a tier at or above that of processors.
    stays(&shape.shown_by_kernel(), 0);
    stays(&shape.shown_by_kernel(), 1);
}

#[test]
fn ordinary_memory_without_processors() {
    let shape = Shape::new("CM M M")
        .distances([[10, 20, 30], [20, 10, 30], [30, 30, 10]])
        .accesses(0, &[OWN, (105, 190), CXL])
        // It performs as the rest does: 636 in place of 576, the same tier of 128.
        .tiers(&[(4, &[0, 1]), (75, &[2])]);
    let expected = Expected {
        source: 2,
        preferred: &[0, 1],
        fallback: &[],
        sequence: [0, 0, 0, 0],
        sentence: "Pages of node 2 go to node 0: nodes 0 and 1 are equally near (distance 30), \
                   but by HMAT its processors reach the source fastest.",
    };
    check_both(&shape, &[expected]);
    stays(&shape.shown_by_kernel(), 1);
}

/// The kernel's penalties put node 2 first; they take nothing from node 0.
#[test]
fn equal_sockets_around_one_slow_node() {
    let shape = Shape::new("CM M CM")
        .distances([[10, 17, 21], [17, 10, 17], [21, 17, 10]])
        .accesses(0, &[OWN, CXL, OTHER])
        .accesses(2, &[OTHER, CXL, OWN])
        .tiers(&[(4, &[0, 2]), (75, &[1])]);
    let expected = Expected {
        source: 1,
        preferred: &[2, 0],
        fallback: &[],
        sequence: [2, 0, 2, 0],
        sentence: "Pages of node 1 go to node 2: nodes 2 and 0 are equally near (distance 17) \
                   and take turns.",
    };
    check(&shape.shown_by_kernel(), &expected);
    // Linux numbers places with processors first, so the tables alone make the slow node number 2.
    let tables = shape.told_by_tables();
    assert_eq!(sequence(&tables, 2, &mut Chooser::default()), [0, 1, 0, 1]);
}

#[test]
fn no_hmat() {
    let shape = Shape::new("CM CM M M")
        .distances([
            [10, 21, 14, 24],
            [21, 10, 24, 14],
            [14, 24, 10, 26],
            [24, 14, 26, 10],
        ])
        .tiers(&[(4, &[0, 1, 2, 3])]);
    let tables = shape.told_by_tables();
    assert_eq!(tables.tier_knowledge, TierKnowledge::Distance);
    let expected = Expected {
        source: 3,
        preferred: &[1],
        fallback: &[0],
        sequence: [1, 1, 1, 1],
        sentence: "Pages of node 3 go to node 1: it is the nearest of the next faster tier \
                   (distance 14).",
    };
    check(&tables, &expected);
    // The kernel cannot tell slow memory apart and has it all in one tier; what it says counts.
    stays(&shape.shown_by_kernel(), 3);
    let old_kernel = Shape {
        tiers: None,
        ..shape
    };
    let topology = old_kernel.shown_by_kernel();
    assert_eq!(topology.tier_knowledge, TierKnowledge::Distance);
    check(&topology, &expected);
}

/// As most servers with CXL memory start: SRAT knows nothing of it, CEDT has its window.
#[test]
fn a_cxl_window_that_srat_does_not_know() {
    let shape = Shape {
        windows: vec![64],
        ..Shape::new("CM CM")
            .distances([[10, 21], [21, 10]])
            .accesses(0, &[OWN, OTHER])
            .accesses(1, &[OTHER, OWN])
    };
    let told = shape.told_by_tables();
    let window = &told.nodes[&NodeId(2)];
    assert!(window.is_window && window.has_memory && !window.has_cpu);
    assert_eq!(told.node_of(Pfn((64 << 30) / 4096)), Some(NodeId(2)));
    assert_eq!(told.node_of(Pfn((65 << 30) / 4096)), None);
    // Linux has such memory in tier 22 until it has the device's own figures.
    let ranks: Vec<_> = told.tiers.iter().map(|tier| tier.rank).collect();
    assert_eq!(ranks, [4, 22]);
    check(
        &told,
        &Expected {
            source: 2,
            preferred: &[0, 1],
            fallback: &[],
            sequence: [0, 1, 0, 1],
            sentence: "Pages of node 2 go to node 0: nodes 0 and 1 are equally near (distance 20) and take \
                       turns.",
        },
    );
    // Before there is a region, after, and when the device is as fast as ordinary memory.
    for (nodes, tiers) in [
        ("CM CM", &[(4, &[0, 1][..])][..]),
        ("CM CM M", &[(4, &[0, 1]), (22, &[2])]),
        ("CM CM M", &[(4, &[0, 1, 2])]),
    ] {
        let distances = match nodes {
            "CM CM" => vec![vec![10, 21], vec![21, 10]],
            _ => vec![vec![10, 21, 20], vec![21, 10, 20], vec![20, 20, 10]],
        };
        let mut accesses = shape.accesses.clone();
        for (_, row) in &mut accesses {
            row.resize(distances.len(), UNKNOWN);
        }
        let shown = Shape {
            distances: Some(distances),
            accesses,
            ..Shape::new(nodes)
        };
        let found = disagreements(&shape.tables(), &shown.tiers(tiers).shown_by_kernel());
        assert_eq!(found, [""; 0]);
    }
}

/// The kernel's demotion goes by distance, and so does its mirror; the disagreement is told.
#[test]
fn distances_against_hmat() {
    let shape = Shape::new("CM CM M")
        .distances([[10, 21, 14], [21, 10, 24], [14, 24, 10]])
        .accesses(0, &[OWN, OTHER, FAR_CXL])
        .accesses(1, &[OTHER, OWN, CXL])
        .tiers(&[(4, &[0, 1]), (75, &[2])]);
    let expected = Expected {
        source: 2,
        preferred: &[0],
        fallback: &[1],
        sequence: [0, 0, 0, 0],
        sentence: "Pages of node 2 go to node 0: it is the nearest of the next faster tier \
                   (distance 14).",
    };
    check_both(&shape, &[expected]);
    let targets = Targets::of(&shape.told_by_tables(), NodeId(2)).unwrap();
    assert_eq!(targets.nearest_by_hmat, nodes(&[1]));
}

#[test]
fn sub_numa_clusters() {
    let shape = Shape::new("CM CM CM CM M M")
        .distances([
            [10, 12, 21, 21, 14, 24],
            [12, 10, 21, 21, 14, 24],
            [21, 21, 10, 12, 24, 14],
            [21, 21, 12, 10, 24, 14],
            [14, 14, 24, 24, 10, 26],
            [24, 24, 14, 14, 26, 10],
        ])
        .accesses(0, &[OWN, (110, 150), OTHER, OTHER, CXL, FAR_CXL])
        .accesses(1, &[(110, 150), OWN, OTHER, OTHER, CXL, FAR_CXL])
        .accesses(2, &[OTHER, OTHER, OWN, (110, 150), FAR_CXL, CXL])
        .accesses(3, &[OTHER, OTHER, (110, 150), OWN, FAR_CXL, CXL])
        .tiers(&[(4, &[0, 1, 2, 3]), (75, &[4, 5])]);
    let expected = Expected {
        source: 5,
        preferred: &[2, 3],
        fallback: &[0, 1],
        sequence: [2, 3, 2, 3],
        sentence: "Pages of node 5 go to node 2: nodes 2 and 3 are equally near (distance 14) \
                   and take turns.",
    };
    check_both(&shape, &[expected]);
}

#[test]
fn a_cache_in_front_of_memory() {
    let shape = Shape {
        side_cache: Some(0),
        ..Shape::new("CM M")
    };
    let shape = shape
        .distances([[10, 20], [20, 10]])
        .accesses(0, &[OWN, CXL])
        .tiers(&[(4, &[0]), (75, &[1])]);
    let expected = Expected {
        source: 1,
        preferred: &[0],
        fallback: &[],
        sequence: [0, 0, 0, 0],
        sentence: "Pages of node 1 go to node 0: it is the nearest of the next faster tier \
                   (distance 20).",
    };
    check_both(&shape, &[expected]);
    let cached = &shape.told_by_tables().nodes[&NodeId(0)];
    assert_eq!(cached.side_cache_bytes, 16 << 30);
}

#[test]
fn two_cxl_nodes_of_different_speed() {
    let shape = Shape::new("CM M M")
        .distances([[10, 17, 24], [17, 10, 28], [24, 28, 10]])
        .accesses(0, &[OWN, (200, 60), (400, 15)])
        .tiers(&[(4, &[0]), (30, &[1]), (240, &[2])]);
    let slow = Expected {
        source: 2,
        preferred: &[1],
        fallback: &[0],
        sequence: [1, 1, 1, 1],
        sentence: "Pages of node 2 go to node 1: it is the nearest of the next faster tier \
                   (distance 28).",
    };
    let fast = Expected {
        source: 1,
        preferred: &[0],
        fallback: &[],
        sequence: [0, 0, 0, 0],
        sentence: "Pages of node 1 go to node 0: it is the nearest of the next faster tier \
                   (distance 17).",
    };
    check_both(&shape, &[slow, fast]);
}

#[test]
fn a_node_that_was_added_and_has_no_tier_yet() {
    let shape = two_sockets_with_cxl_each().tiers(&[(4, &[0, 1]), (75, &[2])]);
    let topology = shape.shown_by_kernel();
    assert_eq!(
        no_target(&topology, 3).to_string(),
        "Node 3 is in no memory tier; the kernel finds one when the node's memory comes online"
    );
    assert_eq!(sequence(&topology, 2, &mut Chooser::default()), [0; 4]);
    let not_online = Shape::new("CM M -")
        .distances([[10; 3]; 3])
        .tiers(&[(4, &[0]), (75, &[1])]);
    let topology = not_online.shown_by_kernel();
    assert_eq!(no_target(&topology, 2), NoTarget::NoMemory(NodeId(2)));
}

#[test]
fn targets_that_are_full() {
    let shape = two_sockets_with_cxl_each();
    let topology = shape.shown_by_kernel();
    let mut chooser = Chooser::default();
    let mut choose = |rooms: [u64; 2]| {
        let rooms = Headroom::of((0..).map(NodeId).zip(rooms));
        promotion_target(&request(2), &topology, &rooms, &mut chooser)
    };
    assert_eq!(choose([4096, 0]).unwrap().target, NodeId(0));
    let decision = choose([4095, 4096]).unwrap();
    assert_eq!(
        decision.to_string(),
        "Pages of node 2 go to node 1: the preferred node 0 has no room."
    );
    assert_eq!(
        (decision.full.clone(), decision.is_preferred()),
        (nodes(&[0]), false)
    );
    assert_eq!(
        choose([0, 0]).unwrap_err().to_string(),
        "No target of node 2 has room above its watermarks: nodes 0 and 1"
    );
}

#[test]
fn a_node_that_is_offline() {
    let shape = Shape {
        offline: 2,
        ..Shape::new("CM M C")
    };
    let topology = shape
        .distances([[10; 3]; 3])
        .tiers(&[(4, &[0, 1])])
        .shown_by_kernel();
    let refusal = |node| topology.check_named(NodeId(node)).unwrap_err().to_string();
    assert_eq!(topology.check_named(NodeId(1)), Ok(()));
    assert_eq!(
        refusal(2),
        "Node 2 has no memory online; the nodes with memory are 0, 1"
    );
    assert_eq!(
        refusal(4),
        "Node 4 is offline; the nodes with memory are 0, 1"
    );
    assert_eq!(
        refusal(5),
        "There is no node 5 with memory; the nodes with memory are 0, 1"
    );
    assert_eq!(no_target(&topology, 3), NoTarget::NotOnline(NodeId(3)));
}

#[test]
fn a_single_node() {
    let shape = Shape::new("CM")
        .distances([[10]])
        .accesses(0, &[OWN])
        .tiers(&[(4, &[0])]);
    stays(&shape.shown_by_kernel(), 0);
    stays(&shape.told_by_tables(), 0);
}

#[test]
fn processors_without_memory_are_no_target() {
    let shape = Shape::new("CM C M")
        .distances([[10, 21, 24], [21, 10, 14], [24, 14, 10]])
        .accesses(0, &[OWN, UNKNOWN, FAR_CXL])
        .accesses(1, &[OTHER, UNKNOWN, CXL])
        .tiers(&[(4, &[0]), (75, &[2])]);
    let expected = Expected {
        source: 2,
        preferred: &[0],
        fallback: &[],
        sequence: [0, 0, 0, 0],
        sentence: "Pages of node 2 go to node 0: it is the nearest of the next faster tier \
                   (distance 24).",
    };
    check_both(&shape, &[expected]);
}

/// More than a tenth apart: the kernel then computes no tiers at all.
#[test]
fn ordinary_memory_that_differs_is_no_measure() {
    let shape = Shape::new("CM CM M")
        .distances([[10, 21, 24], [21, 10, 14], [24, 14, 10]])
        .accesses(0, &[OWN, OTHER, FAR_CXL])
        .accesses(1, &[OTHER, (120, 200), CXL]);
    assert_eq!(
        shape.told_by_tables().tier_knowledge,
        TierKnowledge::Distance
    );
    let alike = shape.clone().accesses(1, &[OTHER, (110, 200), CXL]);
    let alike = Shape {
        accesses: vec![shape.accesses[0].clone(), alike.accesses[2].clone()],
        ..alike
    };
    assert_eq!(
        alike.told_by_tables().tier_knowledge,
        TierKnowledge::Performance
    );
}
