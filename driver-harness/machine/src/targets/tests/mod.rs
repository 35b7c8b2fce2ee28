// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
mod choosing;
mod cross_check;
pub(crate) mod shape;
mod shapes;

use super::*;

fn nodes(numbers: &[u32]) -> Vec<NodeId> {
    numbers.iter().copied().map(NodeId).collect()
}

fn request(source: u32) -> Request {
    Request {
        source: NodeId(source),
        accessor: None,
        bytes: 4096,
    }
}

/// The first targets that pages of a node get when all have room.
fn sequence(topology: &Topology, source: u32, chooser: &mut Chooser) -> Vec<u32> {
    let target = |_| {
        let room = Headroom::default();
        let decision = promotion_target(&request(source), topology, &room, chooser);
        decision.unwrap().target.0
    };
    (0..4).map(target).collect()
}
