// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The scenarios, each in a file of its own.

mod control_group;
mod cpuset;
mod demo;
mod demote_coldest;
mod demotion;
mod equal_sockets;
mod foreign_program;
mod foreign_promoter;
mod full_node;
mod interleaved_devices;
mod killed_mid_batch;
mod many_processes;
mod moving_hot_set;
mod node_offline;
mod overflow;
mod page_cache;
mod ping_pong;
mod pinned;
mod reboot;
mod reset_under_load;
mod reused_frames;
mod shared_memory;
mod source_dies;
mod spill;
mod sync;
mod target_full;
mod thp;
mod three_tier;
mod tuner;
mod two_harnesses;
mod two_socket;

use super::Scenario;

/// All of them, in the order in which they run.
pub const ALL: &[Scenario] = &[
    demo::SCENARIO,
    two_socket::SCENARIO,
    equal_sockets::SCENARIO,
    sync::SCENARIO,
    three_tier::SCENARIO,
    moving_hot_set::SCENARIO,
    shared_memory::SCENARIO,
    many_processes::SCENARIO,
    page_cache::TMPFS,
    page_cache::CLEAN,
    page_cache::DIRTY,
    thp::SCENARIO,
    pinned::SCENARIO,
    interleaved_devices::TWO,
    interleaved_devices::THREE,
    tuner::SCENARIO,
    overflow::SCENARIO,
    cpuset::SCENARIO,
    target_full::SCENARIO,
    spill::SCENARIO,
    demote_coldest::SCENARIO,
    ping_pong::SCENARIO,
    reset_under_load::SCENARIO,
    two_harnesses::SCENARIO,
    foreign_promoter::SCENARIO,
    node_offline::SCENARIO,
    source_dies::SCENARIO,
    killed_mid_batch::SCENARIO,
    killed_mid_batch::HUNG_UP,
    reused_frames::QUIET,
    reused_frames::LOADED,
    reboot::SCENARIO,
    foreign_program::SCENARIO,
];
