// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where pages go, and whether they go again.

use chmu_machine::topology::{DescribedNode, Topology};

use super::*;
use crate::machine::DescribedMachine;

/// Two nodes with processors, equally near to a slow one.
fn equal_sockets() -> DescribedMachine {
    let node = |node, cpus, start| DescribedNode {
        node: NodeId(node),
        cpus,
        start,
        pages: 0x1000,
        distances: BTreeMap::new(),
    };
    let nodes = [
        node(0, true, 0),
        node(1, true, 0x1_0000),
        node(2, false, SLOW),
    ];
    DescribedMachine::new(Topology::described(&nodes).unwrap())
}

/// The nodes that eight pages go to, that are hot for this accessor.
fn targets(accessor: Option<NodeId>) -> BTreeSet<NodeId> {
    let machine = equal_sockets();
    let mut engine = engine(prompt());
    let report = Report {
        accessor,
        ..report(vec![extent(SLOW, 8, 10)], 1)
    };
    engine
        .offer(SOURCE, &report, Health::Good, &machine, 1)
        .unwrap();
    let batches = std::iter::from_fn(|| engine.next_batch(&machine, 1).unwrap());
    batches.map(|batch| batch.route.target).collect()
}

#[test]
fn pages_go_to_the_accessor_where_it_is_known_and_legal() {
    let [first, second] = [NodeId(0), NodeId(1)];
    assert_eq!(targets(Some(first)), BTreeSet::from([first]));
    assert_eq!(targets(Some(second)), BTreeSet::from([second]));
    let any = BTreeSet::from([first, second]);
    assert_eq!(targets(None), any);
    assert_eq!(targets(Some(NodeId(2))), any, "slow memory");
    assert_eq!(targets(Some(NodeId(9))), any, "no node");
}

/// A page whose owner nobody knows before it is looked for is promoted, comes back to another frame
/// and is hot there again. Returns the refusals and how often the page was promoted, now and after the
/// window of ping-pong.
fn comes_back(machine: SimulatedMachine) -> (BTreeMap<Rejection, u64>, usize, usize) {
    let mut bench = Bench::new(machine, prompt());
    let window_ns = bench.engine.policy.ping_pong_ns;
    bench.offer(vec![extent(SLOW, 1, 10)], 1);
    bench.run(1);
    let page = Folio {
        head: Pfn(SLOW + 5),
        pages: 1,
    };
    bench.machine.place(page, SLOW);
    for now_ns in [10, 20, 30] {
        bench.offer(vec![extent(SLOW + 5, 1, 10)], now_ns);
        bench.run(now_ns);
    }
    let now = bench.machine.promoted().len();
    let refused = bench.refused();
    let later_ns = 31 + window_ns;
    bench.offer(vec![extent(SLOW + 5, 1, 10)], later_ns);
    bench.run(later_ns);
    (refused, now, bench.machine.promoted().len())
}

#[test]
fn a_page_that_comes_back_stays_for_a_while_and_is_said_once() {
    let machine = SimulatedMachine::with_pages([SLOW]);
    machine.find_owners();
    let once = BTreeMap::from([(Rejection::PingPong, 1)]);
    assert_eq!(comes_back(machine), (once, 1, 2));
    // Without an owner it is another page.
    let machine = SimulatedMachine::with_pages([SLOW]);
    assert_eq!(comes_back(machine), (BTreeMap::new(), 2, 2));
}

#[test]
fn what_finds_no_room_is_said_once_and_promoted_as_soon_as_there_is_some() {
    let machine = SimulatedMachine::with_pages(SLOW..SLOW + 10);
    machine.set_headroom(0, 0);
    let mut bench = Bench::new(machine, prompt());
    let hot = || vec![extent(SLOW, 10, 100)];
    for second in 0..50 {
        bench.offer(hot(), second * 1000 * MS);
        assert!(bench.run(second * 1000 * MS).is_empty());
    }
    let said = BTreeMap::from([(Rejection::TargetFull, 10)]);
    assert_eq!(bench.refused(), said);
    bench.offer(hot(), 61_000 * MS);
    assert_eq!(bench.refused(), said, "it is said again after a minute");
    bench.machine.set_headroom(0, 100);
    bench.offer(hot(), 62_000 * MS);
    assert_eq!(bench.run(62_000 * MS).len(), 10);
}

#[test]
fn a_queue_that_is_full_says_once_what_it_does_not_take() {
    let machine = SimulatedMachine::with_pages(SLOW..SLOW + 10);
    let mut bench = Bench::new(
        machine,
        Policy {
            waiting_max: 4,
            ..Policy::default()
        },
    );
    bench.offer(vec![extent(SLOW, 4, 1_000_000)], 0);
    for turn in 1..20 {
        bench.offer(vec![extent(SLOW + 4, 6, 1)], turn * 200 * MS);
    }
    assert_eq!(bench.refused(), BTreeMap::from([(Rejection::QueueFull, 6)]));
}
