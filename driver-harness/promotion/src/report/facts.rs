// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a source says of itself.

use chmu_spec::address::{Dpa, Pfn};
use serde::{Deserialize, Serialize};

use super::WeightKind;

/// A source's description of itself, as its settings are now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The source as users name it, for example `cxl_hmu_mem0.0.0`.
    pub name: String,
    /// What finds the hotness.
    pub kind: SourceKind,
    /// Bytes of what it tells apart; none where that varies.
    #[serde(deserialize_with = "Option::deserialize")]
    pub unit_bytes: Option<u64>,
    /// Length of the time over which it counts before it reports; none where it counts without end.
    #[serde(deserialize_with = "Option::deserialize")]
    pub granted_epoch_ns: Option<u64>,
    /// The same as it was asked for; none where nobody asked.
    #[serde(deserialize_with = "Option::deserialize")]
    pub wished_epoch_ns: Option<u64>,
    /// What it can know.
    pub knows: Knowledge,
    /// What its weights count.
    pub counts: WeightKind,
}

/// What finds the hotness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// Hotness monitoring units of CXL devices.
    Chmu,
    /// DAMON, over physical addresses.
    Damon,
    /// Accessed bits of a process's page tables.
    AccessedBits,
    /// The kernel's NUMA hint faults.
    HintFaults,
    /// The performance-monitoring unit of a kernel's CHMU driver.
    Perf,
    /// JSON lines from a file or pipe.
    Stream,
    /// Frames that a user listed.
    List,
}

/// What a source can know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Knowledge {
    /// Frames, so also those that no process maps.
    pub frames: bool,
    /// Processes and their addresses.
    pub processes: bool,
    /// Memory of certain nodes only.
    pub some_nodes_only: bool,
    /// The node of the processor that made an access.
    pub accessors_node: bool,
}

/// How a source is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It does what it should.
    #[default]
    Good,
    /// It works, but not quite; why.
    Degraded(String),
    /// It will not report any more; why.
    Gone(String),
}

/// Settings of a source that may change while it runs. As a wish: what should change. As an answer:
/// what the source took, and none for what it does not have.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tuning {
    /// The least weight of something hot.
    pub threshold: Option<u64>,
    /// Length of an epoch.
    pub epoch_ns: Option<u64>,
    /// Bytes of a unit.
    pub unit_bytes: Option<u64>,
    /// The memory to watch; everything that the source can watch when empty.
    pub ranges: Option<Vec<WatchedRange>>,
}

/// Memory that a source watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WatchedRange {
    /// Memory of a device.
    Device {
        /// Which of the source's members, from 0.
        member: usize,
        /// The first byte.
        #[serde(with = "number::dpa")]
        start: Dpa,
        /// How many bytes.
        bytes: u64,
    },
    /// Frames of the machine.
    Frames {
        /// The first.
        #[serde(with = "number::pfn")]
        start: Pfn,
        /// How many.
        pages: u64,
    },
}

/// Addresses as plain numbers.
pub(crate) mod number {
    macro_rules! as_number {
        ($name:ident, $type:ident) => {
            pub(crate) mod $name {
                use chmu_spec::address::$type;
                use serde::{Deserialize, Deserializer, Serializer};

                pub(crate) fn serialize<S: Serializer>(
                    address: &$type,
                    serializer: S,
                ) -> Result<S::Ok, S::Error> {
                    serializer.serialize_u64(address.0)
                }

                pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
                    deserializer: D,
                ) -> Result<$type, D::Error> {
                    u64::deserialize(deserializer).map($type)
                }
            }
        };
    }
    as_number!(dpa, Dpa);
    as_number!(pfn, Pfn);
}
