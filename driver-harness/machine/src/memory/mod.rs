// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The machine's pages: what a frame holds, where a process's pages lie, on which node they are.

mod buffer;
pub mod control_groups;
mod frame_words;
pub mod numa;
pub mod owners;
pub mod page_file;
pub mod page_flags;
pub mod page_map;
mod page_scan;
pub mod pin;
pub mod translations;
pub mod userfaultfd;

pub use buffer::Buffer;
pub use page_scan::AccessedRun;

/// Size of a base page.
pub const PAGE_BYTES: u64 = 4096;
/// Bytes of a cache line.
pub const LINE_BYTES: u64 = 64;
/// Words of 64 bits in a cache line.
pub const LINE_WORDS: u64 = LINE_BYTES / 8;
/// Cache lines of a page.
pub const PAGE_LINES: u64 = PAGE_BYTES / LINE_BYTES;
/// Words of a page.
pub const PAGE_WORDS: u64 = PAGE_LINES * LINE_WORDS;
