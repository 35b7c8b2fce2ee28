// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The paths to a device under test.

pub mod function;
pub mod in_process;
pub mod socket;
