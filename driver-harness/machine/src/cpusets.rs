// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which processes may not use a node's memory: what their cpusets allow, as each process's own file
//! says it (`Mems_allowed_list` in `/proc/PID/status`).

use std::fs;
use std::io;
use std::path::Path;

use crate::node::NodeId;
use crate::sysfs_file;

/// Processes that may not use a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confined {
    /// How many.
    pub processes: u64,
    /// The first of them.
    pub first: u32,
}

/// The processes below `procfs` that may not use `node`; none when all may. Those that end meanwhile
/// are passed over.
///
/// # Errors
/// When the processes cannot be listed.
pub fn confined(procfs: &Path, node: NodeId) -> io::Result<Option<Confined>> {
    let mut found: Option<Confined> = None;
    for entry in fs::read_dir(procfs)?.flatten() {
        let process = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let Some(process) = process else { continue };
        let Ok(status) = fs::read_to_string(entry.path().join("status")) else {
            continue;
        };
        if allows(&status, node) != Some(false) {
            continue;
        }
        let known = found.get_or_insert(Confined {
            processes: 0,
            first: process,
        });
        known.processes += 1;
        known.first = known.first.min(process);
    }
    Ok(found)
}

/// Whether a process may use the node; none where its file does not say.
fn allows(status: &str, node: NodeId) -> Option<bool> {
    let mut lines = status.lines();
    let list = lines.find_map(|line| line.strip_prefix("Mems_allowed_list:"))?;
    let nodes = sysfs_file::parse_list(list.trim())?;
    Some(nodes.contains(&node.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_are_found_that_may_not_use_the_node() {
        let procfs = tempfile::tempdir().unwrap();
        let process = |name: &str, status: &str| {
            let folder = procfs.path().join(name);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("status"), status).unwrap();
        };
        process("7", "Name:\tx\nMems_allowed:\t3\nMems_allowed_list:\t0-1\n");
        process("31", "Mems_allowed_list:\t1\n");
        process("30", "Mems_allowed_list:\t1,3-4\n");
        process("32", "Name:\ta process of a kernel without cpusets\n");
        process("sys", "Mems_allowed_list:\t1\n");
        fs::create_dir(procfs.path().join("33")).unwrap();
        let found = |node| confined(procfs.path(), NodeId(node)).unwrap();
        assert_eq!(
            found(0),
            Some(Confined {
                processes: 2,
                first: 30
            })
        );
        assert_eq!(found(1), None);
        assert!(confined(&procfs.path().join("none"), NodeId(0)).is_err());
    }
}
