// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use super::super::{Node, Tier};
use super::*;

/// Nodes as (has processors, free bytes), all with memory, 20 apart.
fn machine(nodes: &[(bool, u64)], tiers: &[&[u32]]) -> Topology {
    let ids = || (0..).map(NodeId).take(nodes.len());
    let node = |id, &(has_cpu, free_bytes): &(bool, u64)| Node {
        has_cpu,
        has_memory: true,
        distances: ids()
            .map(|to| (to, if to == id { 10 } else { 20 }))
            .collect(),
        cpu_initiators: Vec::new(),
        free_bytes,
    };
    let tier = |(rank, nodes): (usize, &&[u32])| Tier {
        rank: u32::try_from(rank).unwrap(),
        nodes: nodes.iter().copied().map(NodeId).collect(),
    };
    Topology {
        nodes: ids()
            .zip(nodes)
            .map(|(id, facts)| (id, node(id, facts)))
            .collect(),
        tiers: tiers.iter().enumerate().map(tier).collect(),
        spans: Vec::new(),
    }
}

fn node(topology: &mut Topology, id: u32) -> &mut Node {
    topology.nodes.get_mut(&NodeId(id)).unwrap()
}

fn preferred(topology: &Topology, source: u32) -> Vec<u32> {
    let targets = promotion_targets(topology, NodeId(source)).unwrap();
    targets.preferred.into_iter().map(|node| node.0).collect()
}

#[test]
fn one_socket_promotes_to_it() {
    let topology = machine(&[(true, 1), (false, 1)], &[&[0], &[1]]);
    let targets = promotion_targets(&topology, NodeId(1)).unwrap();
    assert_eq!(targets.preferred, [NodeId(0)]);
    assert_eq!(targets.fallback, []);
}

#[test]
fn the_top_tier_stays() {
    let topology = machine(&[(true, 1), (false, 1)], &[&[0], &[1]]);
    let top = promotion_targets(&topology, NodeId(0));
    assert_eq!(top, Err(NoTarget::TopTier(NodeId(0))));
    // Fast memory without processors is above the slowest tier that has some.
    let topology = machine(&[(false, 1), (true, 1), (false, 1)], &[&[0], &[1], &[2]]);
    let fast = promotion_targets(&topology, NodeId(0));
    assert_eq!(fast, Err(NoTarget::TopTier(NodeId(0))));
}

#[test]
fn without_tiers_there_is_no_target() {
    let topology = machine(&[(true, 1), (false, 1)], &[]);
    let none = promotion_targets(&topology, NodeId(1));
    assert_eq!(none, Err(NoTarget::NoTier(NodeId(1))));
}

#[test]
fn faster_nodes_without_memory_are_no_targets() {
    let mut topology = machine(&[(false, 1), (false, 1)], &[&[0], &[1]]);
    node(&mut topology, 0).has_memory = false;
    let none = promotion_targets(&topology, NodeId(1));
    assert_eq!(none, Err(NoTarget::NoFasterMemory(NodeId(1))));
}

#[test]
fn equal_sockets_are_chosen_by_free_memory() {
    let topology = machine(&[(true, 5), (true, 9), (false, 1)], &[&[0, 1], &[2]]);
    assert_eq!(preferred(&topology, 2), [1, 0]);
}

#[test]
fn the_nearer_socket_wins_and_the_other_is_the_fallback() {
    let mut topology = machine(&[(true, 9), (true, 5), (false, 1)], &[&[0, 1], &[2]]);
    node(&mut topology, 2).distances.insert(NodeId(0), 34);
    let targets = promotion_targets(&topology, NodeId(2)).unwrap();
    assert_eq!(targets.preferred, [NodeId(1)]);
    assert_eq!(targets.fallback, [NodeId(0)]);
}

#[test]
fn hmat_initiators_win_over_distance() {
    let mut topology = machine(&[(true, 9), (true, 5), (false, 1)], &[&[0, 1], &[2]]);
    node(&mut topology, 2).distances.insert(NodeId(1), 34);
    node(&mut topology, 2).cpu_initiators = vec![NodeId(1)];
    assert_eq!(preferred(&topology, 2), [1]);
}

#[test]
fn initiators_without_memory_in_the_top_tier_do_not_count() {
    let mut topology = machine(&[(true, 9), (true, 5), (false, 1)], &[&[0, 1], &[2]]);
    node(&mut topology, 2).cpu_initiators = vec![NodeId(1)];
    node(&mut topology, 1).has_memory = false;
    assert_eq!(preferred(&topology, 2), [0]);
}

#[test]
fn three_tiers_go_up_one_step_without_initiators() {
    let topology = machine(&[(true, 1), (false, 1), (false, 1)], &[&[0], &[1], &[2]]);
    let targets = promotion_targets(&topology, NodeId(2)).unwrap();
    assert_eq!(targets.preferred, [NodeId(1)]);
    assert_eq!(targets.fallback, [NodeId(0)]);
}

#[test]
fn three_tiers_go_to_the_processors_with_initiators() {
    let mut topology = machine(&[(true, 1), (false, 1), (false, 1)], &[&[0], &[1], &[2]]);
    node(&mut topology, 2).cpu_initiators = vec![NodeId(0)];
    let targets = promotion_targets(&topology, NodeId(2)).unwrap();
    assert_eq!(targets.preferred, [NodeId(0)]);
    assert_eq!(targets.fallback, [NodeId(1)]);
}

#[test]
fn a_full_target_is_passed_over() {
    let topology = machine(&[(true, 50), (true, 90), (false, 1)], &[&[0, 1], &[2]]);
    let targets = promotion_targets(&topology, NodeId(2)).unwrap();
    assert_eq!(targets.with_room(&topology, 90), Some(NodeId(1)));
    assert_eq!(targets.with_room(&topology, 91), None);
}
