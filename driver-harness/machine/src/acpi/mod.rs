// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The firmware's tables about memory: who is near which memory, and how fast it is.
//!
//! SRAT puts processors and memory into proximity domains, SLIT tells distances between these, HMAT
//! latency and bandwidth, CEDT where CXL memory is. A table is checked whole before anything of it
//! is used, and a refusal says the table, the byte and what is wrong there.

use std::fmt;

pub mod cedt;
pub mod hmat;
pub mod memory_map;
pub mod slit;
pub mod srat;
pub mod table;
pub mod tables;

/// The firmware's number of a place with processors, memory or devices that are near each other.
///
/// The kernel gives nodes other numbers, from 0 without gaps
/// ([`numbering`](tables::FirmwareTables::numbering)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProximityDomain(pub u32);

impl fmt::Display for ProximityDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
pub(crate) mod tests;
