// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the guest's machine is made of.

use chmu_lab::size::ByteSize;
use chmu_lab::topology::{Device, Topology, Window};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Machine")]
#[group(skip)]
pub(super) struct Options {
    /// Number of processors [default: 2].
    #[arg(long, value_name = "COUNT")]
    smp: Option<u32>,
    /// Memory of the node with the processors; a multiple of 256M [default: 2G].
    #[arg(long, value_name = "SIZE")]
    dram: Option<ByteSize>,
    /// Memory of all devices together; a multiple of 256M for each [default: 1G].
    #[arg(long, value_name = "SIZE")]
    memory: Option<ByteSize>,
    /// How many devices share the CXL window: 1, 2, 3, 4, 6 or 8 [default: 1].
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=8))]
    devices: Option<u8>,
}

impl Options {
    /// The default topology, as far as nothing else is said.
    pub(super) fn topology(&self) -> Topology {
        let mut topology = Topology::default();
        for node in &mut topology.nodes {
            let size = match &mut node.window {
                None => self.dram,
                Some(window) => {
                    self.put_devices(window);
                    self.memory
                }
            };
            node.memory_bytes = size.map_or(node.memory_bytes, |size| size.0);
            if node.processors > 0 {
                node.processors = self.smp.unwrap_or(node.processors);
            }
        }
        topology
    }

    fn put_devices(&self, window: &mut Window) {
        let (Some(devices), Some(first)) = (self.devices, window.devices.first()) else {
            return;
        };
        let first = first.serial_number;
        window.devices = (0..u64::from(devices))
            .map(|index| Device {
                serial_number: first + index,
            })
            .collect();
    }
}
