// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `chmu targets`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{bail, ensure};
use chmu_machine::acpi::tables::{FOLDER, FirmwareTables};
use chmu_machine::node::NodeId;
use chmu_machine::targets::cross_check::disagreements;
use chmu_machine::targets::explain::{NearestAccess, NodeExplanation, TargetExplanation, explain};
use chmu_machine::topology::{TierKnowledge, Topology};
use chmu_machine::watermarks::Headroom;
use chmu_machine::words::{amount, describe};
use serde::Serialize;

use super::output::Output;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Explains another machine, by the tables HMAT, SRAT, SLIT and CEDT that were copied from its
    /// /sys/firmware/acpi/tables into this folder.
    #[arg(long, value_name = "FOLDER")]
    from: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
    /// Where sysfs is.
    #[arg(long, value_name = "FOLDER", default_value = "/sys", hide = true)]
    sysfs: PathBuf,
    /// Where the zones are listed.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/proc/zoneinfo",
        hide = true
    )]
    zoneinfo: PathBuf,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Explained {
    /// Who says which node is in which tier.
    tiers_from: TierKnowledge,
    nodes: Vec<NodeExplanation>,
    /// Nodes that may come.
    offline: Vec<NodeId>,
    /// Where the firmware's tables and the kernel differ; none where only one of them was asked.
    disagreements: Option<Vec<String>>,
    /// Tables that are there and cannot be used.
    unusable_tables: Vec<String>,
}

pub(super) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let explained = match &options.from {
        Some(folder) => explain_tables(folder)?,
        None => explain_machine(options)?,
    };
    options.output.print(&explained)?;
    Ok(ExitCode::SUCCESS)
}

/// Another machine: a table that is broken would make the rest mean something else.
fn explain_tables(folder: &Path) -> anyhow::Result<Explained> {
    ensure!(folder.is_dir(), "There is no folder {}", folder.display());
    let (tables, faults) = FirmwareTables::read(folder);
    if let Some(fault) = faults.into_iter().next() {
        return Err(fault.into());
    }
    if tables.srat.is_none() {
        bail!(
            "{} has no table SRAT, which names the nodes; copy HMAT, SRAT, SLIT and CEDT there, as \
             root, from {FOLDER}",
            folder.display()
        );
    }
    let topology = Topology::from_tables(&tables);
    Ok(Explained::new(&topology, &Headroom::default()))
}

/// This machine: the kernel says what is, the tables whether it should be so.
fn explain_machine(options: &Options) -> anyhow::Result<Explained> {
    let topology = Topology::read(&options.sysfs)?;
    let headroom = Headroom::read(&options.zoneinfo)?;
    let folder = options.sysfs.join("firmware/acpi/tables");
    let (tables, faults) = FirmwareTables::read(&folder);
    let explained = Explained::new(&topology, &headroom);
    Ok(Explained {
        disagreements: tables
            .srat
            .is_some()
            .then(|| disagreements(&tables, &topology)),
        unusable_tables: faults.iter().map(|fault| describe(fault)).collect(),
        ..explained
    })
}

impl Explained {
    fn new(topology: &Topology, headroom: &Headroom) -> Explained {
        Explained {
            tiers_from: topology.tier_knowledge,
            nodes: explain(topology, headroom),
            offline: topology.offline.clone(),
            disagreements: None,
            unusable_tables: Vec::new(),
        }
    }
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.tiers_from.sentence())?;
        for node in &self.nodes {
            write_node(f, node)?;
        }
        if !self.offline.is_empty() {
            let names: Vec<_> = self.offline.iter().map(NodeId::to_string).collect();
            write!(f, "\nOffline: {}", names.join(", "))?;
        }
        match self.disagreements.as_deref() {
            Some([]) => f.write_str("\nThe firmware's tables and the kernel agree.")?,
            Some(sentences) => {
                f.write_str("\nThe firmware's tables and the kernel disagree:")?;
                for sentence in sentences {
                    write!(f, "\n  {sentence}")?;
                }
            }
            None => {}
        }
        for fault in &self.unusable_tables {
            write!(f, "\nNot used: {fault}")?;
        }
        Ok(())
    }
}

fn write_node(f: &mut fmt::Formatter<'_>, node: &NodeExplanation) -> fmt::Result {
    write!(f, "\nNode {}: ", node.node)?;
    match (node.tier, node.has_memory) {
        (Some(tier), _) => write!(f, "tier {tier}")?,
        (None, true) => f.write_str("no tier")?,
        (None, false) => f.write_str("no memory")?,
    }
    f.write_str(match node.has_processors {
        true => ", processors",
        false => ", no processors",
    })?;
    write_room(f, node.headroom_bytes.filter(|_| node.has_memory))?;
    write_access(f, node.access)?;
    if node.side_cache_bytes > 0 {
        let size = amount(node.side_cache_bytes);
        write!(f, ", behind {size} of memory-side cache")?;
    }
    write!(f, "\n  {}", node.sentence)?;
    if node.is_window {
        f.write_str(
            "\n  Its memory is a CXL window, which has memory once a region is made there; the kernel then \
             takes the device's own figures, which no table has.",
        )?;
    }
    for target in &node.targets {
        write_target(f, target)?;
    }
    for nearest in &node.nearest_by_hmat {
        write!(
            f,
            "\n  By HMAT the processors of node {nearest} are nearest; distances say otherwise, and \
             the kernel's demotion goes by these."
        )?;
    }
    Ok(())
}

fn write_target(f: &mut fmt::Formatter<'_>, target: &TargetExplanation) -> fmt::Result {
    let rank = match target.preferred {
        true => "preferred",
        false => "fallback",
    };
    write!(f, "\n  {rank} node {}", target.node)?;
    if let Some(distance) = target.distance {
        write!(f, ", distance {distance}")?;
    }
    write_room(f, target.headroom_bytes)?;
    write_access(f, target.access)
}

fn write_room(f: &mut fmt::Formatter<'_>, bytes: Option<u64>) -> fmt::Result {
    match bytes {
        Some(bytes) => write!(f, ", room for {}", amount(bytes)),
        None => Ok(()),
    }
}

fn write_access(f: &mut fmt::Formatter<'_>, access: Option<NearestAccess>) -> fmt::Result {
    let Some(NearestAccess { from, performance }) = access else {
        return Ok(());
    };
    let latency = performance.read_latency_ns;
    let latency = latency.map_or("unknown latency".into(), |latency| format!("{latency} ns"));
    let bandwidth = performance.read_bandwidth_mb_per_s;
    let bandwidth = bandwidth.map_or("unknown bandwidth".into(), per_second);
    write!(f, ", {latency} and {bandwidth} for reads from node {from}")
}

fn per_second(megabytes: u32) -> String {
    match megabytes {
        1000.. => format!("{}.{} GB/s", megabytes / 1000, megabytes % 1000 / 100),
        _ => format!("{megabytes} MB/s"),
    }
}

#[cfg(test)]
mod tests;
