// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One among equals, and whose wish counts.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::shape::{CXL, OTHER, OWN, Shape};
use super::*;

/// Three sockets at one distance from the slow node 3.
static THREE_SOCKETS: LazyLock<Topology> = LazyLock::new(|| {
    Shape::new("CM CM CM M")
        .distances([
            [10, 21, 21, 17],
            [21, 10, 21, 17],
            [21, 21, 10, 17],
            [17, 17, 17, 10],
        ])
        .accesses(0, &[OWN, OTHER, OTHER, CXL])
        .accesses(1, &[OTHER, OWN, OTHER, CXL])
        .accesses(2, &[OTHER, OTHER, OWN, CXL])
        .tiers(&[(4, &[0, 1, 2]), (75, &[3])])
        .shown_by_kernel()
});

fn rooms(bytes: [u64; 3]) -> Headroom {
    Headroom::of((0..).map(NodeId).zip(bytes))
}

fn target(rooms: &Headroom, accessor: Option<u32>, chooser: &mut Chooser) -> (u32, Reason) {
    let request = Request {
        accessor: accessor.map(NodeId),
        ..request(3)
    };
    let decision = promotion_target(&request, &THREE_SOCKETS, rooms, chooser).unwrap();
    (decision.target.0, decision.reason)
}

#[test]
fn a_seed_says_who_begins() {
    let with_seed = |seed| {
        let mut chooser = Chooser::new(Choice::RoundRobin, seed);
        sequence(&THREE_SOCKETS, 3, &mut chooser)
    };
    assert_eq!(with_seed(0), [0, 1, 2, 0]);
    assert_eq!(with_seed(1), [1, 2, 0, 1]);
    assert_eq!(with_seed(3), with_seed(0));
    // The last turn before the count begins again.
    assert_eq!(with_seed(u64::MAX), [0, 0, 1, 2]);
}

#[test]
fn by_headroom_the_emptiest_wins() {
    let mut chooser = Chooser::new(Choice::Headroom, 7);
    let rooms = rooms([8192, 16384, 8192]);
    let chosen = target(&rooms, None, &mut chooser);
    assert_eq!(chosen, (1, Reason::Equal(Choice::Headroom)));
    assert_eq!(target(&Headroom::default(), None, &mut chooser).0, 0);
}

#[test]
fn equals_without_room_lose_their_turn() {
    let mut chooser = Chooser::default();
    let rooms = rooms([4096, 0, 4096]);
    let chosen: Vec<_> = (0..4)
        .map(|_| target(&rooms, None, &mut chooser).0)
        .collect();
    assert_eq!(chosen, [0, 2, 0, 2]);
    let only = self::rooms([0, 4096, 0]);
    assert_eq!(target(&only, None, &mut chooser), (1, Reason::OnlyWithRoom));
}

#[test]
fn an_accessor_that_is_legal_gets_its_pages() {
    let mut chooser = Chooser::default();
    let known = Headroom::default();
    assert_eq!(target(&known, Some(2), &mut chooser), (2, Reason::Accessor));
    // Not there, or no faster than the pages are.
    for accessor in [9, 3] {
        assert_ne!(
            target(&known, Some(accessor), &mut chooser).1,
            Reason::Accessor
        );
    }
    // Full: the pages go to one of the others.
    let full = rooms([4096, 0, 0]);
    assert_eq!(
        target(&full, Some(2), &mut chooser),
        (0, Reason::OnlyWithRoom)
    );
}

#[test]
fn an_accessor_beyond_the_preferred_is_legal() {
    let topology = Shape::new("CM CM M")
        .distances([[10, 21, 14], [21, 10, 24], [14, 24, 10]])
        .accesses(0, &[OWN, OTHER, CXL])
        .tiers(&[(4, &[0, 1]), (75, &[2])])
        .shown_by_kernel();
    let request = Request {
        accessor: Some(NodeId(1)),
        ..request(2)
    };
    let room = Headroom::default();
    let decision = promotion_target(&request, &topology, &room, &mut Chooser::default()).unwrap();
    assert_eq!(
        decision.to_string(),
        "Pages of node 2 go to node 1: a processor there uses them."
    );
}

#[test]
fn preferred_nodes_that_hmat_calls_farther_come_second() {
    let topology = Shape::new("CM CM M")
        .distances([[10, 21, 17], [21, 10, 17], [17, 17, 10]])
        .accesses(0, &[OWN, OTHER, (260, 30)])
        .accesses(1, &[OTHER, OWN, (250, 30)])
        .tiers(&[(4, &[0, 1]), (75, &[2])])
        .shown_by_kernel();
    let targets = Targets::of(&topology, NodeId(2)).unwrap();
    assert_eq!((targets.preferred, targets.equals), (nodes(&[1, 0]), 1));
    let rooms = Headroom::of([(NodeId(0), 4096), (NodeId(1), 0)]);
    let decision = promotion_target(&request(2), &topology, &rooms, &mut Chooser::default());
    assert_eq!(
        decision.unwrap().to_string(),
        "Pages of node 2 go to node 0: node 1 would be better, but has no room."
    );
}

fn machines() -> impl Strategy<Value = Shape> {
    (2..7_usize).prop_flat_map(|count| {
        let node = (any::<bool>(), prop::bool::weighted(0.8));
        let row = proptest::collection::vec(11..14_u8, count);
        (
            proptest::collection::vec(node, count),
            proptest::collection::vec(row, count),
            proptest::collection::vec(0..3_u32, count),
        )
            .prop_map(|(nodes, mut distances, ranks)| {
                for (index, row) in distances.iter_mut().enumerate() {
                    row[index] = 10;
                }
                let tiers = (0..3).map(|rank| {
                    let members = (0..).zip(&ranks).filter(|(_, own)| **own == rank);
                    let members = members.map(|(id, _)| id);
                    (rank, members.filter(|&id| nodes[id as usize].1).collect())
                });
                Shape {
                    tiers: Some(tiers.collect()),
                    distances: Some(distances),
                    nodes,
                    ..Shape::default()
                }
            })
    })
}

/// Word by word what the module promises, without its ways.
fn naive(shape: &Shape, source: usize) -> Option<(Vec<u32>, Vec<u32>)> {
    let ranks = shape.tiers.as_ref()?;
    let rank_of = |node: u32| ranks.iter().find(|(_, nodes)| nodes.contains(&node));
    let rank = rank_of(u32::try_from(source).ok()?)?.0;
    let has_cpu = |nodes: &Vec<u32>| nodes.iter().any(|&node| shape.nodes[node as usize].0);
    let top = ranks
        .iter()
        .filter(|(_, nodes)| has_cpu(nodes))
        .map(|(rank, _)| *rank)
        .max();
    if top.is_some_and(|top| rank <= top) {
        return None;
    }
    let faster = ranks
        .iter()
        .filter(|(own, nodes)| *own < rank && !nodes.is_empty());
    let nearest = faster.clone().map(|(rank, _)| *rank).max()?;
    let distance = |node: &u32| shape.distances.as_ref().unwrap()[source][*node as usize];
    let candidates = &ranks.iter().find(|(own, _)| *own == nearest)?.1;
    let least = candidates.iter().map(distance).min()?;
    let is_preferred = |node: &u32| candidates.contains(node) && distance(node) == least;
    let mut all: Vec<_> = faster.flat_map(|(_, nodes)| nodes.clone()).collect();
    all.sort_unstable();
    Some(all.into_iter().partition(is_preferred))
}

proptest! {
    #[test]
    fn targets_are_the_mirror_of_demotion(shape in machines()) {
        let topology = shape.topology();
        for source in 0..shape.nodes.len() {
            let id = NodeId(u32::try_from(source).unwrap());
            let targets = Targets::of(&topology, id).ok().map(|targets| {
                let sorted = |mut nodes: Vec<NodeId>| {
                    nodes.sort_unstable();
                    nodes.into_iter().map(|node| node.0).collect::<Vec<_>>()
                };
                (sorted(targets.preferred), sorted(targets.fallback))
            });
            prop_assert_eq!(targets, naive(&shape, source));
        }
    }

    #[test]
    fn turns_are_even(seed: u64, rounds in 1..20_usize) {
        let mut chooser = Chooser::new(Choice::RoundRobin, seed.min(u64::MAX >> 1));
        let mut counts = [0_usize; 3];
        for _ in 0..3 * rounds {
            counts[target(&Headroom::default(), None, &mut chooser).0 as usize] += 1;
        }
        prop_assert_eq!(counts, [rounds; 3]);
    }

    #[test]
    fn what_is_chosen_is_legal_and_has_room(
        shape in machines(),
        bytes in proptest::collection::vec(0..3_u64, 7),
        accessor in proptest::option::of(0..8_u32),
        seed: u64,
    ) {
        let topology = shape.topology();
        let rooms = Headroom::of((0..).map(NodeId).zip(bytes.iter().map(|pages| pages * 4096)));
        let mut chooser = Chooser::new(Choice::RoundRobin, seed);
        for source in 0..u32::try_from(shape.nodes.len()).unwrap() {
            let request = Request { accessor: accessor.map(NodeId), ..request(source) };
            match promotion_target(&request, &topology, &rooms, &mut chooser) {
                Ok(decision) => {
                    prop_assert!(rooms.has_room(decision.target, 4096));
                    prop_assert!(decision.targets.is_legal(decision.target));
                    prop_assert!(!decision.full.contains(&decision.target));
                    prop_assert!(topology.tier_of(decision.target) < topology.tier_of(NodeId(source)));
                }
                Err(NoTarget::Full { targets, .. }) => {
                    prop_assert!(targets.iter().all(|node| !rooms.has_room(*node, 4096)));
                }
                Err(_) => {}
            }
        }
    }
}
