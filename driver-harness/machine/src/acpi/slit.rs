// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! System Locality Information Table (ACPI 6.5 5.2.17): distances between proximity domains.

use super::ProximityDomain;
use super::table::{HEADER_BYTES, Table, TableError};

/// Distance of a domain to itself; every other is larger, in tenths of this one.
pub const LOCAL_DISTANCE: u8 = 10;
/// There is no way from one to the other.
pub const UNREACHABLE: u8 = 255;

/// Where the matrix starts, behind the number of its rows.
const MATRIX: usize = HEADER_BYTES + 8;

/// What the table says: a square matrix.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Slit {
    localities: usize,
    /// Row by row, from one domain to all.
    distances: Vec<u8>,
}

impl Slit {
    /// Parses a whole table.
    ///
    /// # Errors
    /// A header or a size that is no such table's, and a matrix that Linux does not use either: each
    /// domain is 10 from itself and farther from all others.
    pub fn parse(bytes: &[u8]) -> Result<Slit, TableError> {
        let table = Table::parse("SLIT", bytes)?;
        let fields = table.fields;
        let count = fields.qword(HEADER_BYTES)?;
        let matrix = fields.from(MATRIX)?;
        let localities = usize::try_from(count).ok();
        let cells = localities.and_then(|count| count.checked_mul(count));
        let Some((localities, _)) = localities
            .zip(cells)
            .filter(|&(_, cells)| cells == matrix.len())
        else {
            let there = matrix.len();
            let fault = format!("{count} localities need {count} x {count} bytes, not {there}");
            return Err(fields.fault(HEADER_BYTES, fault));
        };
        let distances = (0..matrix.len())
            .map(|cell| {
                let (from, to) = (cell / localities, cell % localities);
                let distance = matrix.byte(cell)?;
                match (from == to, distance) {
                    (true, LOCAL_DISTANCE) => Ok(distance),
                    (false, distance) if distance > LOCAL_DISTANCE => Ok(distance),
                    _ => {
                        let fault = format!(
                            "the distance from {from} to {to} is {distance}; it is \
                             {LOCAL_DISTANCE} to oneself and more to all others"
                        );
                        Err(matrix.fault(cell, fault))
                    }
                }
            })
            .collect::<Result<_, _>>()?;
        Ok(Slit {
            localities,
            distances,
        })
    }

    /// How many domains the matrix has, from 0 on.
    pub fn localities(&self) -> usize {
        self.localities
    }

    /// The distance from one domain to another; none for domains that the matrix does not have.
    pub fn distance(&self, from: ProximityDomain, to: ProximityDomain) -> Option<u8> {
        let index = |domain: ProximityDomain| {
            let index = usize::try_from(domain.0).ok()?;
            (index < self.localities).then_some(index)
        };
        let cell = index(from)? * self.localities + index(to)?;
        self.distances.get(cell).copied()
    }
}
