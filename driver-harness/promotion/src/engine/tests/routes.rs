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
