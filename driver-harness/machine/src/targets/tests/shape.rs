// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Machines as their firmware and their kernel describe them.

use std::fs;
use std::path::Path;

use crate::acpi::cedt::Cedt;
use crate::acpi::hmat::Hmat;
use crate::acpi::slit::Slit;
use crate::acpi::srat::Srat;
use crate::acpi::tables::FirmwareTables;
use crate::acpi::tests::writer::{self, Matrix};
use crate::node::NodeId;
use crate::topology::{Node, Tier, Topology};

const GIB: u64 = 1 << 30;

/// Nanoseconds and GB/s of accesses.
pub(crate) type Access = (u16, u16);

/// No figures.
pub(crate) const UNKNOWN: Access = (0, 0);
/// Memory at a processor, at the next one, and CXL memory behind either.
pub(crate) const OWN: Access = (100, 200);
pub(crate) const OTHER: Access = (150, 100);
pub(crate) const CXL: Access = (250, 30);
pub(crate) const FAR_CXL: Access = (350, 20);

/// A machine. Node numbers are the firmware's proximity domains.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shape {
    /// For each node whether it has processors, and memory.
    pub(crate) nodes: Vec<(bool, bool)>,
    pub(crate) distances: Option<Vec<Vec<u8>>>,
    /// From each of these nodes to all nodes.
    pub(crate) accesses: Vec<(usize, Vec<Access>)>,
    /// Memory with a cache in front.
    pub(crate) side_cache: Option<usize>,
    /// The kernel's tiers, by rank; none for a kernel without.
    pub(crate) tiers: Option<Vec<(u32, Vec<u32>)>>,
    /// Nodes whose memory may come later.
    pub(crate) hot_pluggable: Vec<u32>,
    /// CXL windows that SRAT does not know, a GiB each.
    pub(crate) windows: Vec<u64>,
    /// Nodes that are possible beyond those that there are.
    pub(crate) offline: usize,
}

impl Shape {
    /// `"CM M"`: a node with processors and memory, and one with memory only.
    pub(crate) fn new(nodes: &str) -> Shape {
        let node = |letters: &str| (letters.contains('C'), letters.contains('M'));
        Shape {
            nodes: nodes.split_whitespace().map(node).collect(),
            ..Shape::default()
        }
    }

    pub(crate) fn distances<const N: usize>(mut self, rows: [[u8; N]; N]) -> Shape {
        self.distances = Some(rows.map(|row| row.to_vec()).to_vec());
        self
    }

    pub(crate) fn accesses(mut self, from: usize, to: &[Access]) -> Shape {
        self.accesses.push((from, to.to_vec()));
        self
    }

    pub(crate) fn tiers(mut self, tiers: &[(u32, &[u32])]) -> Shape {
        let tiers = tiers.iter().map(|(rank, nodes)| (*rank, nodes.to_vec()));
        self.tiers = Some(tiers.collect());
        self
    }

    /// What the firmware writes, as the files of a folder.
    pub(crate) fn table_files(&self) -> Vec<(&'static str, Vec<u8>)> {
        let mut entries = Vec::new();
        for (domain, &(has_cpu, _)) in (0..).zip(&self.nodes) {
            if has_cpu {
                let apic = u8::try_from(domain).unwrap();
                entries.push(writer::processor(domain, apic));
            }
        }
        for (domain, &(_, has_memory)) in (0..).zip(&self.nodes) {
            if has_memory {
                let base = 4 * GIB * u64::from(domain);
                let flags = match self.hot_pluggable.contains(&domain) {
                    true => 0b11,
                    false => 0b01,
                };
                entries.push(writer::memory(domain, base, 4 * GIB, flags));
            }
        }
        let mut files = vec![("SRAT", writer::srat(3, &entries))];
        let windows = self.windows.iter();
        let windows: Vec<_> = windows
            .map(|gib| writer::window(gib * GIB, GIB, (0, 0, 0), &[7]))
            .collect();
        files.push(("CEDT", writer::cedt(&windows)));
        files.extend(
            self.distances
                .as_ref()
                .map(|rows| ("SLIT", writer::slit(rows))),
        );
        if !self.accesses.is_empty() {
            let mut structures = vec![self.matrix(0), self.matrix(3)];
            let domain = |node| u32::try_from(node).unwrap();
            structures.extend(
                self.side_cache
                    .map(|node| writer::side_cache(domain(node), 16 * GIB, 0)),
            );
            files.push(("HMAT", writer::hmat(2, &structures)));
        }
        files
    }

    fn matrix(&self, data_type: u8) -> Vec<u8> {
        let domain = |node: usize| u32::try_from(node).unwrap();
        let rows = self.accesses.iter();
        let entries = rows.clone().flat_map(|(_, row)| row);
        let entry = |access: &Access| match data_type {
            0 => access.0,
            _ => access.1,
        };
        let matrix = Matrix {
            hierarchy: 0,
            data_type,
            unit: 1000,
            initiators: rows.map(|(from, _)| domain(*from)).collect(),
            targets: (0..self.nodes.len()).map(domain).collect(),
            entries: entries.map(entry).collect(),
        };
        matrix.bytes()
    }

    pub(crate) fn tables(&self) -> FirmwareTables {
        let mut tables = FirmwareTables::default();
        for (name, bytes) in self.table_files() {
            match name {
                "SRAT" => tables.srat = Some(Srat::parse(&bytes).unwrap()),
                "SLIT" => tables.slit = Some(Slit::parse(&bytes).unwrap()),
                "HMAT" => tables.hmat = Some(Hmat::parse(&bytes).unwrap()),
                _ => tables.cedt = Some(Cedt::parse(&bytes).unwrap()),
            }
        }
        tables
    }

    /// What the firmware's tables alone tell.
    pub(crate) fn told_by_tables(&self) -> Topology {
        Topology::from_tables(&self.tables())
    }

    /// What the kernel shows, who read the tables, with `tiers` as its own.
    pub(crate) fn shown_by_kernel(&self) -> Topology {
        let folder = tempfile::tempdir().unwrap();
        self.write_sysfs(folder.path());
        Topology::read(folder.path()).unwrap()
    }

    /// Nodes, distances and tiers without the way over files.
    pub(crate) fn topology(&self) -> Topology {
        let rows = self.distances.iter().flatten();
        let node = |(&(has_cpu, has_memory), row): (&(bool, bool), &Vec<u8>)| Node {
            has_cpu,
            has_memory,
            distances: (0..)
                .map(NodeId)
                .zip(row.iter().copied().map(u32::from))
                .collect(),
            ..Node::default()
        };
        let tiers = self.tiers.iter().flatten();
        let tier = |(rank, nodes): &(u32, Vec<u32>)| Tier {
            rank: *rank,
            nodes: nodes.iter().copied().map(NodeId).collect(),
        };
        let mut topology = Topology::default();
        let nodes = self.nodes.iter().zip(rows).map(node);
        topology.nodes = (0..).map(NodeId).zip(nodes).collect();
        topology.tiers = tiers.map(tier).collect();
        topology
    }

    pub(crate) fn write_sysfs(&self, sysfs: &Path) {
        let write = |path: &str, text: String| {
            let path = sysfs.join("devices").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let count = self.nodes.len();
        let with = |has: fn(&(bool, bool)) -> bool| {
            let nodes = self.nodes.iter().enumerate();
            let numbers = nodes.filter(|(_, node)| has(node));
            let numbers: Vec<_> = numbers.map(|(number, _)| number.to_string()).collect();
            numbers.join(",")
        };
        let last = count + self.offline - 1;
        write("system/node/possible", format!("0-{last}\n"));
        write("system/node/online", format!("0-{}\n", count - 1));
        write("system/node/has_cpu", with(|node| node.0));
        write("system/node/has_memory", with(|node| node.1));
        write("system/memory/block_size_bytes", "40000000\n".into());
        let flat = |row| {
            (0..count)
                .map(|to| if row == to { 10 } else { 20 })
                .collect()
        };
        for node in 0..count {
            let rows = self.distances.as_ref();
            let row = rows.map_or_else(|| flat(node), |rows| rows[node].clone());
            let row: Vec<_> = row.iter().map(u8::to_string).collect();
            let file = |name: &str| format!("system/node/node{node}/{name}");
            write(&file("distance"), row.join(" "));
            write(
                &file("meminfo"),
                format!("Node {node} MemFree: 1048576 kB\n"),
            );
            self.write_access(node, &write, &file);
            // Blocks of 1 GiB.
            for block in (4 * node..4 * node + 4).filter(|_| self.nodes[node].1) {
                write(&file(&format!("memory{block}/state")), "online".into());
            }
        }
        for (rank, nodes) in self.tiers.iter().flatten() {
            let nodes: Vec<_> = nodes.iter().map(u32::to_string).collect();
            let path = format!("virtual/memory_tiering/memory_tier{rank}/nodelist");
            write(&path, nodes.join(","));
        }
    }

    /// The nearest processors of a node by the kernel's rule: latency first, then bandwidth.
    fn write_access(
        &self,
        node: usize,
        write: &impl Fn(&str, String),
        file: &impl Fn(&str) -> String,
    ) {
        let known = self.accesses.iter();
        let known = known.map(|(from, row)| (*from, row[node]));
        let known = known.filter(|&(from, access)| access != UNKNOWN && self.nodes[from].0);
        let key = |access: Access| (access.0, u16::MAX - access.1);
        let best = known.clone().map(|(_, access)| key(access)).min();
        for (from, access) in known.filter(|&(_, access)| Some(key(access)) == best) {
            for class in [0, 1] {
                let path = |name: &str| file(&format!("access{class}/initiators/{name}"));
                write(&path(&format!("node{from}/uevent")), String::new());
                for name in ["read_latency", "write_latency"] {
                    write(&path(name), access.0.to_string());
                }
                for name in ["read_bandwidth", "write_bandwidth"] {
                    write(&path(name), (1000 * u32::from(access.1)).to_string());
                }
            }
        }
    }
}
