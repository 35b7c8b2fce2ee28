// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the guest's machine is made of.

use std::str::FromStr;

use chmu_lab::size::ByteSize;
use chmu_lab::topology::presets::{Preset, UnknownPreset};
use chmu_lab::topology::{Device, Topology, Window};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Machine")]
#[group(skip)]
pub(in crate::cli) struct Options {
    /// A ready-made machine, which the options below change; list prints what there is.
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(in crate::cli) topology: TopologyChoice,
    /// Number of processors of each node that has some.
    #[arg(long, value_name = "COUNT")]
    smp: Option<u32>,
    /// Memory of each DRAM node; a multiple of 256M.
    #[arg(long, value_name = "SIZE")]
    dram: Option<ByteSize>,
    /// Memory of each CXL window, of all its devices together; a multiple of 256M for each.
    #[arg(long, value_name = "SIZE")]
    memory: Option<ByteSize>,
    /// How many devices share a CXL window: 1, 2, 4 or 8; three share the one of interleaved-3.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=8))]
    devices: Option<u8>,
}

/// What `--topology` asks for.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) enum TopologyChoice {
    /// To know what there is.
    List,
    /// This machine.
    Preset(Preset),
}

impl FromStr for TopologyChoice {
    type Err = UnknownPreset;

    fn from_str(name: &str) -> Result<Self, UnknownPreset> {
        match name {
            "list" => Ok(Self::List),
            name => name.parse().map(Self::Preset),
        }
    }
}

impl Options {
    /// The chosen topology, as far as nothing else is said.
    pub(in crate::cli) fn topology(&self) -> Topology {
        let mut topology = match self.topology {
            TopologyChoice::List => Topology::default(),
            TopologyChoice::Preset(preset) => preset.topology(),
        };
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
