// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A fast node without room for promotion: how much it has left, and who else it costs.

use anyhow::{Context, Result};

use crate::scenario::bench::Bench;

/// The high-bandwidth memory of the topology `three-tier`: no program of the guest lives there, so that what
/// it has left is left for promotion alone, and a full node starves nobody else.
pub(super) const NODE: u64 = 1;

/// The kernel takes memory back when a node runs short: then these rise.
const RECLAIM: &str = "awk '/^(pgscan_kswapd|pgscan_direct|allocstall_|oom_kill|pgdemote_)/ { sum += $2 } \
    END { print sum + 0 }' /proc/vmstat";

/// One part in so many of a zone is the most that processors keep back of it: then they keep back the least they can,
/// some hundred pages, and what is free is what is counted as free.
const KEEP_BACK: &str = "/proc/sys/vm/percpu_pagelist_high_fraction";
const KEEP_BACK_LEAST: u64 = 1_000_000;

/// Does something while processors keep back the least they can.
pub(super) fn counted_exactly(
    bench: &mut Bench<'_>,
    run: impl FnOnce(&mut Bench<'_>) -> Result<()>,
) -> Result<()> {
    bench.shell(&format!("echo {KEEP_BACK_LEAST} >{KEEP_BACK}"))?;
    let ran = run(bench);
    bench.shell(&format!("echo 0 >{KEEP_BACK}"))?;
    ran
}

/// Free pages of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// Above its high watermark and what is reserved for other zones.
    pub(super) free: u64,
    /// Processors keep these back. They are given away before others, and nobody counts them as free.
    pub(super) kept_back: u64,
}

impl Room {
    pub(super) fn pages(self) -> u64 {
        self.free + self.kept_back
    }
}

/// What room the node has. It is looked at once, as pages go from one kind to the other at any time.
pub(super) fn room(bench: &mut Bench<'_>) -> Result<Room> {
    let script = format!(
        "awk '/^Node/ {{ on = ($2 == \"{NODE},\"); free = high = 0 }} !on {{ next }} \
         $1 == \"pages\" && $2 == \"free\" {{ free = $3 }} $1 == \"high\" {{ high = $2 }} \
         $1 == \"count:\" {{ kept += $2 }} \
         $1 == \"protection:\" {{ gsub(/[^0-9 ]/, \" \"); most = 0; \
         for (i = 1; i <= NF; i++) if ($i > most) most = $i; \
         if (free > high + most) sum += free - high - most }} END {{ print sum + 0, kept + 0 }}' /proc/zoneinfo"
    );
    let printed = bench.shell(&script)?;
    let (free, kept_back) = printed.split_once(' ').context("No room is told")?;
    Ok(Room {
        free: free.parse()?,
        kept_back: kept_back.parse()?,
    })
}

/// How often the kernel looked for pages to take back from full nodes.
pub(super) fn reclaimed(bench: &mut Bench<'_>) -> Result<u64> {
    number(bench, RECLAIM)
}

/// The number that a shell script prints.
pub(super) fn number(bench: &mut Bench<'_>, script: &str) -> Result<u64> {
    Ok(bench.shell(script)?.parse()?)
}
