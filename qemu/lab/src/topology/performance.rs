// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! How fast memory is along its way: from the processors to the host bridge, over the link, and in
//! the device. HMAT has the whole way, the host bridge's generic port the first part, and the device
//! tells its own part.

use super::{Access, PlacedWindow, Topology, Window};

/// A flit of 68 bytes takes 1.08 ns over 16 lanes of 32 GT/s; Linux rounds up.
const LINK_LATENCY_NS: u32 = 2;

/// How fast the memory is behind the device's port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DevicePerformance {
    /// Latency of a read or a write.
    pub latency_ns: u32,
    /// Bandwidth of reads or of writes.
    pub bandwidth_mib_per_s: u32,
}

impl Topology {
    /// What is left to each device of a window of its node's figures.
    pub(super) fn device_performance(&self, window: &PlacedWindow<'_>) -> DevicePerformance {
        let node = &self.nodes[window.node];
        let from = |accesses: &[Access]| {
            let mut accesses = accesses.iter();
            accesses
                .find(|access| access.initiator == node.initiator)
                .map_or((0, 0), |it| (it.latency_ns, it.bandwidth_mib_per_s))
        };
        let (latency_ns, bandwidth_mib_per_s) = from(&node.access);
        let (to_bridge_ns, _) = from(self.window_bridge_access(window.window));
        let ways = u32::try_from(window.window.devices.len()).unwrap_or(u32::MAX);
        let before_ns = to_bridge_ns.saturating_add(LINK_LATENCY_NS);
        DevicePerformance {
            latency_ns: latency_ns.saturating_sub(before_ns).max(1),
            bandwidth_mib_per_s: (bandwidth_mib_per_s / ways.max(1)).max(1),
        }
    }

    /// How the window's first host bridge looks; nothing where there is none.
    fn window_bridge_access(&self, window: &Window) -> &[Access] {
        let first = window.host_bridges.first();
        let bridge = first.and_then(|&first| self.host_bridges.get(first));
        bridge.map_or(&[], |bridge| bridge.access.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Device;

    #[test]
    fn the_parts_of_the_way_make_the_whole() {
        let topology = Topology::default();
        let expected = DevicePerformance {
            latency_ns: 300 - 100 - 2,
            bandwidth_mib_per_s: 20 << 10,
        };
        assert_eq!(topology.devices()[0].performance, expected);
    }

    #[test]
    fn interleaved_devices_share_the_bandwidth() {
        let mut topology = Topology::default();
        let window = topology.nodes[1].window.as_mut().unwrap();
        window.devices = [7, 8].map(|serial_number| Device { serial_number }).into();
        let performance = topology.devices()[1].performance;
        assert_eq!(performance.bandwidth_mib_per_s, 10 << 10);
    }

    #[test]
    fn a_device_is_never_faster_than_anything() {
        let mut topology = Topology::default();
        topology.nodes[1].access[0].latency_ns = 50;
        assert_eq!(topology.devices()[0].performance.latency_ns, 1);
    }
}
