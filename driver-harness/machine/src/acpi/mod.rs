// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The firmware's tables about memory: who is near which memory, and how fast it is.

pub mod table;
