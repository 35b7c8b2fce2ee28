// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The machine's pages: what a frame holds, where a process's pages lie, on which node they are.

pub mod numa;
pub mod page_flags;
pub mod page_map;

/// Size of a base page.
pub const PAGE_BYTES: u64 = 4096;
