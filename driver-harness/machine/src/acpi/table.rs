// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What all tables share: a header with a signature, a length and a checksum.

use thiserror::Error;

/// Why a table's bytes are refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("Table {table} at byte {offset}: {fault}")]
pub struct TableError {
    /// The table's four letters.
    pub table: &'static str,
    /// Byte from the table's start at which the fault was found.
    pub offset: usize,
    /// What is wrong there.
    pub fault: String,
}

/// Length in bytes of the header that every table begins with (ACPI 6.5, 5.2.6).
pub const HEADER_BYTES: usize = 36;
