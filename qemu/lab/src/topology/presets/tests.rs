// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use std::collections::BTreeSet;

use super::*;
use crate::topology::Access;

fn topologies() -> impl Iterator<Item = (&'static str, Topology)> {
    PRESETS
        .iter()
        .map(|preset| (preset.name, preset.topology()))
}

#[test]
fn every_preset_can_be_built_and_has_a_name_of_its_own() {
    for (name, topology) in topologies() {
        topology
            .validate()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(name.parse::<Preset>().unwrap().topology(), topology);
    }
    let names: BTreeSet<_> = PRESETS.iter().map(|preset| preset.name).collect();
    assert_eq!(names.len(), PRESETS.len());
}

#[test]
fn an_unknown_name_is_told_what_exists() {
    let error = "two-sockets".parse::<Preset>().unwrap_err().to_string();
    let expected = "there is no topology \"two-sockets\"; there are default, two-socket, \
                    three-tier, interleaved-2, interleaved-3, two-devices, equal-sockets";
    assert_eq!(error, expected);
}

/// Tables that contradict each other lead Linux to one answer and a reader to another.
#[test]
fn distances_and_figures_name_the_same_nearest_processors() {
    for (name, topology) in topologies() {
        let sockets = (0..topology.nodes.len()).filter(|&node| topology.nodes[node].processors > 0);
        let sockets: Vec<_> = sockets.collect();
        for (index, node) in topology.nodes.iter().enumerate() {
            let distance = |socket: &usize| topology.distances[*socket][index];
            let nearest_by_slit = sockets.iter().map(distance).min();
            let latency = |access: &Access| access.latency_ns;
            let nearest_by_hmat = node.access.iter().map(latency).min();
            for access in &node.access {
                let by_slit = Some(distance(&access.initiator)) == nearest_by_slit;
                let by_hmat = Some(access.latency_ns) == nearest_by_hmat;
                assert_eq!(by_slit, by_hmat, "{name}: node {index} from {access:?}");
            }
            assert!(
                Some(distance(&node.initiator)) == nearest_by_slit,
                "{name}: node {index}"
            );
        }
    }
}

/// Linux adds up the way to the host bridge, the link and the device; HMAT says the sum.
#[test]
fn no_device_is_slower_than_nothing() {
    for (name, topology) in topologies() {
        for device in topology.devices() {
            assert!(device.performance.latency_ns > 100, "{name}: {device:?}");
        }
    }
}

#[test]
fn each_window_of_two_sockets_hangs_at_its_own() {
    let topology = "two-socket".parse::<Preset>().unwrap().topology();
    for window in topology.windows() {
        let bridge = &topology.host_bridges[window.window.host_bridges[0]];
        assert_eq!(bridge.node, Some(topology.nodes[window.node].initiator));
    }
    assert_eq!(topology.host_bridges.len(), 2);
}

#[test]
fn interleaved_windows_start_with_their_first_device() {
    for (name, topology) in topologies() {
        for window in topology.windows() {
            let ways = window.window.devices.len() as u64;
            let set = ways * u64::from(window.window.granularity_bytes);
            assert!(window.base.0.is_multiple_of(set), "{name}: {window:x?}");
        }
    }
}

#[test]
fn the_default_is_as_documented() {
    let topology = Topology::default();
    assert_eq!(topology, "default".parse::<Preset>().unwrap().topology());
    assert_eq!(topology.nodes[1].access[0].latency_ns, 300);
    assert_eq!(topology.devices()[0].device.serial_number, 0xc4a0_0001);
}
