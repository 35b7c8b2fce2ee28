// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Registers at a physical address of the machine, which belong to no PCI function.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use chmu_machine::refusal::Host;

use super::mapping::{FileArea, Mapping};
use super::{BarOffset, TransportError, Width};
use crate::refusal::memory_refusal;

/// Registers at a physical address.
#[derive(Debug)]
pub(crate) struct PhysicalRegisters(Mapping);

impl PhysicalRegisters {
    /// Maps `bytes` of registers at `address` from the file `memory`, which is `/dev/mem` but for
    /// tests.
    pub(crate) fn map(
        memory: &Path,
        address: u64,
        bytes: u64,
    ) -> Result<PhysicalRegisters, TransportError> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_SYNC)
            .open(memory)
            .map_err(|source| refused(memory, address, source))?;
        let area = FileArea {
            file: file.as_fd(),
            offset: address,
            bytes,
            writable: false,
        };
        let start = BarOffset { bar: 0, offset: 0 };
        match Mapping::new(area, start) {
            Ok(mapping) => Ok(PhysicalRegisters(mapping)),
            Err(TransportError::Access { source, .. }) => Err(refused(memory, address, source)),
            Err(error) => Err(error),
        }
    }

    /// Reads a dword.
    pub(crate) fn read(&self, offset: u64) -> Result<u32, TransportError> {
        let value = self.0.read(offset, Width::Four)?;
        Ok(u32::try_from(value).unwrap_or(u32::MAX))
    }
}

fn refused(memory: &Path, address: u64, source: io::Error) -> TransportError {
    match memory_refusal(&Host::this(), &source) {
        Some(refusal) => TransportError::Refused {
            action: format!("map {address:#x} from {}", memory.display()),
            refusal,
            source,
        },
        None => TransportError::Open {
            path: memory.to_owned(),
            source,
        },
    }
}
