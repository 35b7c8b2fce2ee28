// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The tables of one machine together, as `/sys/firmware/acpi/tables` has them or a copy of it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::ProximityDomain;
use super::cedt::Cedt;
use super::hmat::{DataType, Hmat};
use super::slit::Slit;
use super::srat::{Affinity, Srat};
use super::table::TableError;

/// Where Linux shows the firmware's tables; only root reads them.
pub const FOLDER: &str = "/sys/firmware/acpi/tables";

/// No such table of a machine is larger.
const BYTES_MAX: u64 = 16 << 20;

/// A table that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TablesError {
    /// It cannot be read.
    #[error("Cannot read the firmware's table {}", path.display())]
    Read {
        /// Its file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It is larger than any.
    #[error("{} has more than {BYTES_MAX} bytes, which is no table", path.display())]
    TooLarge {
        /// Its file.
        path: PathBuf,
    },
    /// Its content is wrong.
    #[error("{} is broken", path.display())]
    Content {
        /// Its file.
        path: PathBuf,
        /// Where and how.
        source: TableError,
    },
}

/// The tables of one machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FirmwareTables {
    /// Latency and bandwidth.
    pub hmat: Option<Hmat>,
    /// Who and what is where.
    pub srat: Option<Srat>,
    /// Distances.
    pub slit: Option<Slit>,
    /// CXL windows.
    pub cedt: Option<Cedt>,
}

/// What a processor finds when it accesses memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Performance {
    /// Nanoseconds of a read.
    pub read_latency_ns: Option<u32>,
    /// Nanoseconds of a write.
    pub write_latency_ns: Option<u32>,
    /// MB/s of reads.
    pub read_bandwidth_mb_per_s: Option<u32>,
    /// MB/s of writes.
    pub write_bandwidth_mb_per_s: Option<u32>,
}

impl Performance {
    /// Nothing is known.
    pub fn is_unknown(&self) -> bool {
        *self == Performance::default()
    }

    /// Takes over what a matrix says; later ones win, as in Linux.
    fn take(&mut self, data_type: DataType, value: Option<u32>) {
        let fields: &mut [&mut Option<u32>] = match data_type {
            DataType::AccessLatency => &mut [&mut self.read_latency_ns, &mut self.write_latency_ns],
            DataType::ReadLatency => &mut [&mut self.read_latency_ns],
            DataType::WriteLatency => &mut [&mut self.write_latency_ns],
            DataType::AccessBandwidth => &mut [
                &mut self.read_bandwidth_mb_per_s,
                &mut self.write_bandwidth_mb_per_s,
            ],
            DataType::ReadBandwidth => &mut [&mut self.read_bandwidth_mb_per_s],
            DataType::WriteBandwidth => &mut [&mut self.write_bandwidth_mb_per_s],
        };
        for field in fields {
            **field = value;
        }
    }
}

impl FirmwareTables {
    /// Reads the tables `HMAT`, `SRAT`, `SLIT` and `CEDT` of a folder. A machine need not have any;
    /// those that are there but cannot be used are told apart.
    pub fn read(folder: &Path) -> (FirmwareTables, Vec<TablesError>) {
        let mut faults = Vec::new();
        let tables = FirmwareTables {
            hmat: keep(read_table(folder, "HMAT", Hmat::parse), &mut faults),
            srat: keep(read_table(folder, "SRAT", Srat::parse), &mut faults),
            slit: keep(read_table(folder, "SLIT", Slit::parse), &mut faults),
            cedt: keep(read_table(folder, "CEDT", Cedt::parse), &mut faults),
        };
        (tables, faults)
    }

    /// Whether there is no table at all.
    pub fn is_empty(&self) -> bool {
        *self == FirmwareTables::default()
    }

    /// The proximity domains by the number that Linux gives their node: as they are met in SRAT,
    /// processors and initiators before memory (Linux drivers/acpi/numa/srat.c, `acpi_numa_init`).
    pub fn numbering(&self) -> Vec<ProximityDomain> {
        let entries = self.srat.iter().flat_map(|srat| &srat.entries);
        let place = |entry: &Affinity| match *entry {
            Affinity::Processor { domain, .. } | Affinity::Initiator { domain, .. } => {
                Some((0, domain))
            }
            Affinity::Memory(memory) => Some((1, memory.domain)),
            Affinity::Port { .. } => None,
        };
        let mut places: Vec<_> = entries.filter_map(place).collect();
        places.sort_by_key(|&(turn, _)| turn);
        let mut order = Vec::new();
        for (_, domain) in places {
            if !order.contains(&domain) {
                order.push(domain);
            }
        }
        order
    }

    /// What HMAT says of accesses from one domain to another's memory.
    pub fn performance(&self, from: ProximityDomain, to: ProximityDomain) -> Performance {
        let mut performance = Performance::default();
        let Some(hmat) = &self.hmat else {
            return performance;
        };
        for locality in hmat.memory_localities() {
            if let Some(figure) = locality.figure(from, to) {
                performance.take(locality.data_type, figure.value());
            }
        }
        performance
    }

    /// The domains with processors that are nearest to a memory, by HMAT: the one that it is attached
    /// to, otherwise those of the best figures in the order write latency, read latency, write
    /// bandwidth, read bandwidth (Linux drivers/acpi/numa/hmat.c, access class 1).
    pub fn nearest_processors(&self, memory: ProximityDomain) -> Vec<ProximityDomain> {
        let srat = self.srat.as_ref();
        self.nearest(memory, |domain| {
            srat.is_some_and(|srat| srat.has_processors(domain))
        })
    }

    /// The same among all initiators, devices as well (access class 0).
    pub fn nearest_initiators(&self, memory: ProximityDomain) -> Vec<ProximityDomain> {
        let numbered = self.numbering();
        self.nearest(memory, |domain| numbered.contains(&domain))
    }

    fn nearest(
        &self,
        memory: ProximityDomain,
        counts: impl Fn(ProximityDomain) -> bool,
    ) -> Vec<ProximityDomain> {
        let Some(hmat) = &self.hmat else {
            return Vec::new();
        };
        let attributes = hmat.attributes.iter().rev();
        let attached = attributes
            .filter(|attributes| attributes.memory == memory)
            .find_map(|attributes| attributes.initiator);
        if let Some(initiator) = attached.filter(|initiator| counts(*initiator)) {
            return vec![initiator];
        }
        let localities = hmat.memory_localities();
        let mut nearest: Vec<_> = localities
            .flat_map(|locality| locality.initiators.iter().copied())
            .filter(|initiator| counts(*initiator))
            .collect();
        nearest.sort_unstable();
        nearest.dedup();
        // Latencies as they are, bandwidths the other way round: the least is the best.
        let steps: [fn(Performance) -> Option<u32>; 4] = [
            |of| of.write_latency_ns,
            |of| of.read_latency_ns,
            |of| of.write_bandwidth_mb_per_s.map(|value| u32::MAX - value),
            |of| of.read_bandwidth_mb_per_s.map(|value| u32::MAX - value),
        ];
        for step in steps {
            let rate = |from: &ProximityDomain| step(self.performance(*from, memory));
            if let Some(best) = nearest.iter().filter_map(rate).min() {
                nearest.retain(|from| rate(from) == Some(best));
            }
        }
        let knows = |from: &ProximityDomain| !self.performance(*from, memory).is_unknown();
        nearest.retain(knows);
        nearest
    }
}

/// A table of a folder; none when it is not there.
///
/// # Errors
/// When it cannot be read, or is no such table.
pub fn read_table<T>(
    folder: &Path,
    name: &str,
    parse: impl Fn(&[u8]) -> Result<T, TableError>,
) -> Result<Option<T>, TablesError> {
    let path = folder.join(name);
    let Some(bytes) = read_bytes(&path)? else {
        return Ok(None);
    };
    let table = parse(&bytes).map_err(|source| TablesError::Content { path, source })?;
    Ok(Some(table))
}

/// Puts a fault aside.
fn keep<T>(read: Result<Option<T>, TablesError>, faults: &mut Vec<TablesError>) -> Option<T> {
    read.unwrap_or_else(|fault| {
        faults.push(fault);
        None
    })
}

fn read_bytes(path: &Path) -> Result<Option<Vec<u8>>, TablesError> {
    let failed = |source| TablesError::Read {
        path: path.to_owned(),
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    match u64::try_from(bytes.len()) {
        Ok(..=BYTES_MAX) => Ok(Some(bytes)),
        _ => Err(TablesError::TooLarge {
            path: path.to_owned(),
        }),
    }
}
