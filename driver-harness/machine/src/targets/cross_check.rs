// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the firmware's tables say against what the kernel shows: where they differ, one of them is
//! read wrongly, or the kernel knows better, as for memory that came later.

use super::list;
use crate::acpi::tables::{FirmwareTables, Performance};
use crate::node::NodeId;
use crate::topology::{Node, TierKnowledge, Topology};

/// Where tables and kernel differ, a sentence each; empty when they agree.
pub fn disagreements(tables: &FirmwareTables, shown: &Topology) -> Vec<String> {
    let told = Topology::from_tables(tables);
    let mut found = Vec::new();
    for (&id, node) in &told.nodes {
        // What only a window tells comes and goes with regions, and has the device's own figures.
        if node.is_window {
            continue;
        }
        match shown.nodes.get(&id) {
            Some(other) => {
                compare_nodes(id, node, other, &mut found);
                if tables.hmat.is_some() {
                    compare_initiators(id, node, other, &mut found);
                    compare_performance(id, (&told, node), (shown, other), &mut found);
                }
            }
            None if shown.offline.contains(&id) && comes_later(tables, id) => {}
            None => found.push(format!("The tables have node {id}, which is not online.")),
        }
    }
    let unknown = shown.nodes.keys().filter(|id| !told.nodes.contains_key(id));
    for id in unknown {
        found.push(format!(
            "Node {id} is online, and the tables do not have it."
        ));
    }
    for (frame, node) in told.memory_starts() {
        if let Some(other) = shown.node_of(frame).filter(|other| *other != node) {
            let text =
                format!("The tables put frame {frame} on node {node}, the kernel on node {other}.");
            found.push(text);
        }
    }
    compare_tiers(&told, shown, &mut found);
    found
}

/// Whether a node has nothing but memory that the tables allow to come later.
fn comes_later(tables: &FirmwareTables, id: NodeId) -> bool {
    let domains = tables.numbering();
    let domain = usize::try_from(id.0).ok().and_then(|id| domains.get(id));
    let Some((srat, domain)) = tables.srat.as_ref().zip(domain) else {
        return false;
    };
    let mut memory = srat.memory().filter(|memory| memory.domain == *domain);
    !srat.has_processors(*domain) && memory.all(|memory| memory.hot_pluggable)
}

fn compare_nodes(id: NodeId, told: &Node, shown: &Node, found: &mut Vec<String>) {
    match (told.has_cpu, shown.has_cpu) {
        (true, false) => {
            found.push(format!(
                "The tables give node {id} processors, none is online."
            ));
        }
        (false, true) => found.push(format!(
            "Node {id} has processors, and the tables give it none."
        )),
        _ => {}
    }
    for (to, distance) in &told.distances {
        if let Some(other) = shown.distances.get(to).filter(|other| *other != distance) {
            found.push(format!(
                "The distance from node {id} to node {to} is {distance} by the tables and {other} \
                 by the kernel."
            ));
        }
    }
}

fn compare_initiators(id: NodeId, told: &Node, shown: &Node, found: &mut Vec<String>) {
    if !told.has_memory || !shown.has_memory {
        return;
    }
    let pairs = [
        ("initiators", &told.initiators, &shown.initiators),
        ("processors", &told.cpu_initiators, &shown.cpu_initiators),
    ];
    for (name, told, shown) in pairs {
        if told != shown {
            found.push(format!(
                "The {name} nearest to node {id} are at {} by the tables and at {} by the kernel.",
                list(told),
                list(shown)
            ));
        }
    }
}

fn compare_performance(
    id: NodeId,
    (told, told_node): (&Topology, &Node),
    (shown, shown_node): (&Topology, &Node),
    found: &mut Vec<String>,
) {
    let common = told_node.cpu_initiators.iter();
    for &from in common.filter(|from| shown_node.cpu_initiators.contains(from)) {
        let told = told.performance.between(from, id).unwrap_or_default();
        let shown = shown.performance.between(from, id).unwrap_or_default();
        for ((name, told), (_, shown)) in figures(told).into_iter().zip(figures(shown)) {
            if told != shown {
                let words = |figure: Option<u32>| {
                    figure.map_or("unknown".to_owned(), |figure| figure.to_string())
                };
                found.push(format!(
                    "The {name} from node {from} to node {id} is {} by the tables and {} by the \
                     kernel.",
                    words(told),
                    words(shown)
                ));
            }
        }
    }
}

fn figures(of: Performance) -> [(&'static str, Option<u32>); 4] {
    [
        ("read latency in ns", of.read_latency_ns),
        ("write latency in ns", of.write_latency_ns),
        ("read bandwidth in MB/s", of.read_bandwidth_mb_per_s),
        ("write bandwidth in MB/s", of.write_bandwidth_mb_per_s),
    ]
}

/// Only a kernel's tiers can differ from those computed as a kernel does.
fn compare_tiers(told: &Topology, shown: &Topology, found: &mut Vec<String>) {
    if told.tier_knowledge != TierKnowledge::Performance
        || shown.tier_knowledge != TierKnowledge::Kernel
    {
        return;
    }
    let rank = |topology: &Topology, id| {
        let tier = topology.tiers.get(topology.tier_of(id)?)?;
        Some(tier.rank)
    };
    let described = |id: &NodeId| told.nodes.get(id).is_some_and(|node| !node.is_window);
    for id in shown.nodes_with_memory().into_iter().filter(described) {
        match (rank(told, id), rank(shown, id)) {
            (Some(told), Some(shown)) if told != shown => found.push(format!(
                "By the tables' figures node {id} belongs to memory tier {told}, the kernel has it \
                 in tier {shown}."
            )),
            _ => {}
        }
    }
}
