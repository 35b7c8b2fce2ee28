// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use std::fs;

use super::*;

/// A sysfs tree of a guest: node 0 with processors, node 1 the CXL memory from 4 GiB on.
fn guest() -> tempfile::TempDir {
    let sysfs = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = sysfs.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("devices/system/node/online", "0-1\n");
    write("devices/system/node/has_cpu", "0\n");
    write("devices/system/node/has_memory", "0-1\n");
    for (node, distance, free) in [(0, "10 20", 1_900_000), (1, "20 10", 1_048_576)] {
        write(
            &format!("devices/system/node/node{node}/distance"),
            distance,
        );
        write(
            &format!("devices/system/node/node{node}/meminfo"),
            &format!("Node {node} MemTotal:  2097152 kB\nNode {node} MemFree:  {free} kB\n"),
        );
        write(
            &format!("devices/system/node/node{node}/access1/initiators/node0/uevent"),
            "",
        );
    }
    write("devices/system/memory/block_size_bytes", "8000000\n");
    for block in 0..16 {
        write(
            &format!("devices/system/node/node0/memory{block}/state"),
            "online",
        );
    }
    for block in 32..40 {
        write(
            &format!("devices/system/node/node1/memory{block}/state"),
            "online",
        );
    }
    write(
        "devices/virtual/memory_tiering/memory_tier4/nodelist",
        "0\n",
    );
    write(
        "devices/virtual/memory_tiering/memory_tier37/nodelist",
        "1\n",
    );
    sysfs
}

#[test]
fn a_guest_is_read_whole() {
    let sysfs = guest();
    let topology = Topology::read(sysfs.path()).unwrap();
    let cxl = &topology.nodes[&NodeId(1)];
    assert!(!cxl.has_cpu && cxl.has_memory);
    assert_eq!(cxl.distances[&NodeId(0)], 20);
    assert_eq!(cxl.cpu_initiators, [NodeId(0)]);
    assert_eq!(cxl.free_bytes, 1 << 30);
    let ranks: Vec<_> = topology.tiers.iter().map(|tier| tier.rank).collect();
    assert_eq!(ranks, [4, 37]);
    assert_eq!(topology.tiers[1].nodes, [NodeId(1)]);
}

#[test]
fn frames_belong_to_the_node_of_their_memory_block() {
    let topology = Topology::read(guest().path()).unwrap();
    assert_eq!(topology.node_of(Pfn(0)), Some(NodeId(0)));
    assert_eq!(topology.node_of(Pfn(0x7ffff)), Some(NodeId(0)));
    assert_eq!(topology.node_of(Pfn(0x80000)), None);
    assert_eq!(topology.node_of(Pfn(0x100000)), Some(NodeId(1)));
    assert_eq!(topology.node_of(Pfn(0x13ffff)), Some(NodeId(1)));
    assert_eq!(topology.node_of(Pfn(0x140000)), None);
    assert_eq!(topology.node_of(Pfn(u64::MAX)), None);
}

#[test]
fn the_slowest_node_has_no_processors() {
    let mut topology = Topology::read(guest().path()).unwrap();
    assert_eq!(topology.slowest_node_without_cpu(), Some(NodeId(1)));
    let faster = Node {
        has_memory: true,
        free_bytes: 1 << 40,
        ..Node::default()
    };
    topology.nodes.insert(NodeId(2), faster);
    topology.tiers[0].nodes.push(NodeId(2));
    assert_eq!(topology.slowest_node_without_cpu(), Some(NodeId(1)));
    topology.nodes.retain(|_, node| node.has_cpu);
    assert_eq!(topology.slowest_node_without_cpu(), None);
}

#[test]
fn a_block_of_two_nodes_belongs_to_neither() {
    let sysfs = guest();
    let shared = sysfs.path().join("devices/system/node/node1/memory15");
    fs::create_dir_all(shared).unwrap();
    let topology = Topology::read(sysfs.path()).unwrap();
    assert_eq!(topology.node_of(Pfn(0x78000)), None);
    assert_eq!(topology.node_of(Pfn(0x77fff)), Some(NodeId(0)));
}

#[test]
fn a_strange_file_is_named() {
    for (file, text) in [
        ("devices/system/node/node1/distance", "20"),
        (
            "devices/system/node/node1/meminfo",
            "Node 1 MemFree: many kB",
        ),
        ("devices/system/memory/block_size_bytes", "0"),
        ("devices/system/node/has_cpu", "x"),
    ] {
        let sysfs = guest();
        fs::write(sysfs.path().join(file), text).unwrap();
        let message = Topology::read(sysfs.path()).unwrap_err().to_string();
        assert!(
            message.contains(file) && message.contains("which is no"),
            "{message}"
        );
    }
}

#[test]
fn whatever_changes_a_topology_changes_its_outline() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 6] = [
        ("a node goes", |node| {
            fs::write(node.join("online"), "0\n").unwrap();
        }),
        ("processors go", |node| {
            fs::write(node.join("has_cpu"), "\n").unwrap();
        }),
        ("memory goes offline", |node| {
            fs::write(node.join("has_memory"), "0\n").unwrap();
        }),
        ("a block goes", |node| {
            fs::remove_dir_all(node.join("node1/memory39")).unwrap();
        }),
        ("a block comes", |node| {
            fs::create_dir(node.join("node1/memory40")).unwrap();
        }),
        ("a node has another tier", |node| {
            let tiers = node.join("../../virtual/memory_tiering");
            fs::rename(tiers.join("memory_tier37"), tiers.join("memory_tier22")).unwrap();
        }),
    ];
    for (what, change) in changes {
        let sysfs = guest();
        let before = Outline::read(sysfs.path()).unwrap();
        assert_eq!(Outline::read(sysfs.path()).unwrap(), before, "{what}");
        change(&sysfs.path().join("devices/system/node"));
        assert_ne!(Outline::read(sysfs.path()).unwrap(), before, "{what}");
    }
}
