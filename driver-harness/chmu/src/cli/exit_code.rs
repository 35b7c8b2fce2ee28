// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Exit codes beside success, failure and a wrong command line.

/// A verb did its work and found what must not be.
pub(super) const NEGATIVE_RESULT: u8 = 3;

/// A run of the suite in which nothing ran, as kselftest has it.
pub(super) const NOTHING_RAN: u8 = 4;

/// Nothing was found that must not be, but not all could be looked at.
pub(super) const NOTHING_PROVED: u8 = 4;

/// A run of the suite in which nothing failed, and that did not judge the device in full.
pub(super) const NOT_JUDGED: u8 = 5;
