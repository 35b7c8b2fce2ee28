// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What tells whether a topology is still that of the machine, for a small part of what reading it takes.

use std::path::Path;

use super::{Tier, tiers};
use crate::sysfs_file::{self, SysfsError};

/// Which nodes have processors and memory, which memory that is, and the tiers. With the same outline a
/// machine has the same topology, but for free bytes: distances and performance come with a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    online: Vec<u32>,
    with_cpu: Vec<u32>,
    with_memory: Vec<u32>,
    /// Numbers of the memory blocks of each online node.
    blocks: Vec<Vec<u32>>,
    tiers: Option<Vec<Tier>>,
}

impl Outline {
    /// Reads it below `sysfs`, which is `/sys` but for tests.
    ///
    /// # Errors
    /// When a file of the nodes cannot be read.
    pub fn read(sysfs: &Path) -> Result<Outline, SysfsError> {
        let folder = sysfs.join("devices/system/node");
        let list = |name: &str| sysfs_file::list(&folder.join(name));
        let online = list("online")?;
        let blocks = online.iter().map(|number| {
            let node = folder.join(format!("node{number}"));
            let blocks = sysfs_file::numbered(&node, "memory").into_iter();
            blocks.map(|(block, _)| block).collect()
        });
        Ok(Outline {
            blocks: blocks.collect(),
            with_cpu: list("has_cpu")?,
            with_memory: list("has_memory")?,
            tiers: tiers::read(sysfs)?,
            online,
        })
    }
}
