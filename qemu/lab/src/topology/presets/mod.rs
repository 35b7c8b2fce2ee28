// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Ready-made topologies by name. One more is a function and a line in [`PRESETS`].
//!
//! Local DRAM takes 100 ns and gives 100 GiB/s in all of them, DRAM of the other socket 180 ns and
//! 50 GiB/s, CXL memory 300 ns and 20 GiB/s, 400 ns and 15 GiB/s from the other socket.

mod parts;

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use self::parts::{bridge, cxl, distances, memory, socket};
use super::{GIB, MIB, Topology};

const DRAM: (u32, u32) = (100, 100);
const OTHER_DRAM: (u32, u32) = (180, 50);
const CXL: (u32, u32) = (300, 20);
const OTHER_CXL: (u32, u32) = (400, 15);
/// High-bandwidth memory: no faster to answer, four times as wide.
const HBM: (u32, u32) = (100, 400);
/// A host bridge in the middle between two sockets.
const HALF_WAY: (u32, u32) = (140, 70);

/// PCI buses of the host bridges.
const BUSES: [u8; 3] = [52, 102, 152];

/// SLIT distances.
const TO_CXL: u8 = 20;
const TO_HBM: u8 = 13;
const TO_OTHER_SOCKET: u8 = 21;
const TO_OTHER_CXL: u8 = 31;
const BETWEEN_CXL: u8 = 40;

/// All of them.
pub const PRESETS: [Preset; 7] = [
    Preset {
        name: "default",
        summary: "2 processors on 2 GiB of DRAM, and a CXL device of 1 GiB",
        build: single,
    },
    Preset {
        name: "two-socket",
        summary: "two sockets, each with a processor, 1 GiB of DRAM and a CXL device of 512 MiB behind its own host bridge",
        build: two_socket,
    },
    Preset {
        name: "three-tier",
        summary: "2 processors on 1.5 GiB of DRAM, 512 MiB of high-bandwidth memory above it and a CXL device of 1 GiB below",
        build: three_tier,
    },
    Preset {
        name: "interleaved-2",
        summary: "as default, with two devices that share the window by 256 bytes",
        build: interleaved_2,
    },
    Preset {
        name: "interleaved-3",
        summary: "three devices, each behind a host bridge of its own, share a window of 768 MiB by 256 bytes; 2.5 GiB of DRAM, so that the window starts at a multiple of its size",
        build: interleaved_3,
    },
    Preset {
        name: "two-devices",
        summary: "2 processors on 2 GiB of DRAM, and two CXL devices of 512 MiB, each a window and a node of its own",
        build: two_devices,
    },
    Preset {
        name: "equal-sockets",
        summary: "two sockets, each with a processor and 1 GiB of DRAM, and a CXL device of 512 MiB equally far from both",
        build: equal_sockets,
    },
];

/// A ready-made topology.
#[derive(Clone, Copy, Serialize)]
pub struct Preset {
    /// As users name it.
    pub name: &'static str,
    /// What it is.
    pub summary: &'static str,
    #[serde(skip)]
    build: fn() -> Topology,
}

impl Preset {
    /// The machine.
    pub fn topology(&self) -> Topology {
        (self.build)()
    }
}

impl fmt::Debug for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Preset").field(&self.name).finish()
    }
}

/// All topologies, for people and programs.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(transparent)]
pub struct Listing([Preset; PRESETS.len()]);

impl Listing {
    /// Of [`PRESETS`].
    pub fn all() -> Self {
        Self(PRESETS)
    }
}

/// A line for each.
impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|preset| preset.name.len()).max();
        let width = width.unwrap_or(0);
        let mut presets = self.0.iter();
        presets.try_for_each(|it| writeln!(f, "{:width$}  {}", it.name, it.summary))
    }
}

/// A name that no topology has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no topology {0:?}; there are {names}", names = all_names())]
pub struct UnknownPreset(String);

fn all_names() -> String {
    PRESETS.map(|preset| preset.name).join(", ")
}

impl FromStr for Preset {
    type Err = UnknownPreset;

    fn from_str(name: &str) -> Result<Self, UnknownPreset> {
        let mut presets = PRESETS.into_iter();
        let found = presets.find(|preset| preset.name == name);
        found.ok_or_else(|| UnknownPreset(name.to_owned()))
    }
}

pub(super) fn single() -> Topology {
    Topology {
        nodes: vec![
            socket(0, 2 * GIB, 2, &[DRAM]),
            cxl(0, 1, &[0], memory(0, GIB, &[CXL])),
        ],
        distances: distances(2, &[TO_CXL]),
        host_bridges: vec![bridge(BUSES[0], Some(0), &[DRAM])],
    }
}

fn two_socket() -> Topology {
    let [first, second] = [[DRAM, OTHER_DRAM], [OTHER_DRAM, DRAM]];
    let [first_cxl, second_cxl] = [[CXL, OTHER_CXL], [OTHER_CXL, CXL]];
    Topology {
        nodes: vec![
            socket(0, GIB, 1, &first),
            socket(1, GIB, 1, &second),
            cxl(0, 1, &[0], memory(0, 512 * MIB, &first_cxl)),
            cxl(1, 1, &[1], memory(1, 512 * MIB, &second_cxl)),
        ],
        distances: distances(
            4,
            &[
                TO_OTHER_SOCKET,
                TO_CXL,
                TO_OTHER_CXL,
                TO_OTHER_CXL,
                TO_CXL,
                BETWEEN_CXL,
            ],
        ),
        host_bridges: vec![
            bridge(BUSES[0], Some(0), &first),
            bridge(BUSES[1], Some(1), &second),
        ],
    }
}

fn three_tier() -> Topology {
    Topology {
        nodes: vec![
            socket(0, GIB + 512 * MIB, 2, &[DRAM]),
            memory(0, 512 * MIB, &[HBM]),
            cxl(0, 1, &[0], memory(0, GIB, &[CXL])),
        ],
        distances: distances(3, &[TO_HBM, TO_CXL, TO_OTHER_CXL]),
        host_bridges: vec![bridge(BUSES[0], Some(0), &[DRAM])],
    }
}

fn interleaved_2() -> Topology {
    let mut topology = single();
    topology.nodes[1] = cxl(0, 2, &[0], memory(0, GIB, &[CXL]));
    topology
}

/// Linux interleaves three ways over host bridges only. One of three is chosen by the remainder of
/// the whole address, so that only a window that starts at a multiple of three granules begins with
/// the first device.
fn interleaved_3() -> Topology {
    let mut topology = single();
    topology.nodes[0].memory_bytes = 2 * GIB + 512 * MIB;
    topology.nodes[1] = cxl(0, 1, &[0, 1, 2], memory(0, 768 * MIB, &[CXL]));
    topology.host_bridges = BUSES.map(|bus| bridge(bus, Some(0), &[DRAM])).into();
    topology
}

fn two_devices() -> Topology {
    let window = |number| cxl(number, 1, &[0], memory(0, 512 * MIB, &[CXL]));
    Topology {
        nodes: vec![socket(0, 2 * GIB, 2, &[DRAM]), window(0), window(1)],
        distances: distances(3, &[TO_CXL, TO_CXL, BETWEEN_CXL]),
        host_bridges: vec![bridge(BUSES[0], Some(0), &[DRAM])],
    }
}

fn equal_sockets() -> Topology {
    Topology {
        nodes: vec![
            socket(0, GIB, 1, &[DRAM, OTHER_DRAM]),
            socket(1, GIB, 1, &[OTHER_DRAM, DRAM]),
            cxl(0, 1, &[0], memory(0, 512 * MIB, &[CXL, CXL])),
        ],
        distances: distances(3, &[TO_OTHER_SOCKET, TO_CXL, TO_CXL]),
        host_bridges: vec![bridge(BUSES[0], None, &[HALF_WAY, HALF_WAY])],
    }
}

#[cfg(test)]
mod tests;
