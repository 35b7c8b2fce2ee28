// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Traffic by this processor's own loads and stores.

use std::collections::BTreeSet;
use std::ops::Range;

use anyhow::{Context, Result, bail, ensure};
use chmu_driver::translation::Translation;
use chmu_machine::memory::{Buffer, PAGE_BYTES, numa, page_map};
use chmu_machine::node::NodeId;
use chmu_machine::topology::Topology;
use chmu_spec::address::{Dpa, Hpa, Pfn};
use chmu_spec::request::AccessKind;

use super::pages::Pages;
use crate::subject::{Request, Traffic};

/// No node's memory changes within less than this: Linux' smallest memory block.
const NODE_STEP_BYTES: u64 = 128 << 20;

/// What traffic of this processor is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrafficOptions {
    /// Bytes of the device's memory to take, at most.
    pub memory_bytes: u64,
    /// Each access reaches the device exactly once and nothing else does. True of emulators without
    /// a model of caches only, and nobody but the user knows it.
    pub exact: bool,
}

/// Pages of the device's memory, bound to its nodes and locked.
#[derive(Debug)]
pub(super) struct ProcessorTraffic {
    buffer: Buffer,
    frames: Vec<Option<Pfn>>,
    pages: Pages,
    exact: bool,
}

impl ProcessorTraffic {
    /// Takes pages from the nodes that a device's memory belongs to. They are all there afterwards,
    /// so that nothing but requests accesses them.
    pub(super) fn take(
        translation: Translation,
        topology: &Topology,
        wanted: TrafficOptions,
    ) -> Result<Self> {
        let shares = shares(&translation, topology, wanted.memory_bytes)?;
        let pages = shares.iter().map(|(_, pages)| pages).sum();
        let mut buffer = Buffer::map(pages).context("There is no room for pages")?;
        let mut first = 0;
        for (node, count) in shares {
            let address = buffer.address() + first * PAGE_BYTES;
            numa::bind(address, count * PAGE_BYTES, Some(node))
                .with_context(|| format!("Pages cannot be bound to node {node}"))?;
            for page in first..first + count {
                buffer.write(page, 0, 0);
            }
            first += count;
        }
        buffer.lock().context("Pages cannot be locked")?;
        let frames = page_map::read(std::process::id(), buffer.address(), pages)?.frames;
        let pages = Pages::new(translation, &frames);
        ensure!(
            !pages.reachable().is_empty(),
            "None of {} pages of the device's nodes lies in the device's memory",
            frames.len()
        );
        Ok(Self {
            buffer,
            frames,
            pages,
            exact: wanted.exact,
        })
    }

    fn access(&mut self, page: u64, offset: u64, kind: AccessKind) {
        let place = offset / 8;
        let address = self.buffer.address() + page * PAGE_BYTES + offset;
        flush_line(address);
        match kind {
            AccessKind::Read => {
                self.buffer.read(page, place);
            }
            AccessKind::Write => {
                self.buffer.write(page, place, address);
                flush_line(address);
            }
        }
    }

    /// A page that the kernel moved meanwhile was accessed somewhere else.
    fn check_places(&self, touched: &BTreeSet<u64>) -> Result<()> {
        let mut rest = touched.iter().copied().peekable();
        while let Some(first) = rest.next() {
            let mut count = 1;
            while rest.next_if_eq(&(first + count)).is_some() {
                count += 1;
            }
            let address = self.buffer.address() + first * PAGE_BYTES;
            let now = page_map::read(std::process::id(), address, count)?.frames;
            let start = usize::try_from(first)?;
            let before = self.frames.get(start..start + now.len());
            if before != Some(&now[..]) {
                bail!("The kernel moved pages while they were accessed");
            }
        }
        Ok(())
    }
}

/// How many pages to take from each node: together `bytes`, but never more than half of what a node
/// has free.
fn shares(
    translation: &Translation,
    topology: &Topology,
    bytes: u64,
) -> Result<Vec<(NodeId, u64)>> {
    let mut nodes = BTreeSet::new();
    for window in translation.windows() {
        let mut offset = 0;
        while offset < window.size_bytes {
            let frame = Hpa(window.base.0.saturating_add(offset)).pfn();
            nodes.extend(topology.node_of(frame));
            offset = offset.saturating_add(NODE_STEP_BYTES);
        }
    }
    let count = nodes.len() as u64;
    let share = |node: NodeId| {
        let free = topology.nodes.get(&node).map_or(0, |node| node.free_bytes);
        let pages = (bytes / count.max(1)).min(free / 2) / PAGE_BYTES;
        (node, pages)
    };
    let shares: Vec<_> = nodes.into_iter().map(share).collect();
    ensure!(
        shares.iter().any(|(_, pages)| *pages > 0),
        "The kernel has none of the device's memory online, or none of it free"
    );
    Ok(shares)
}

/// Drops a line from the processor's caches, so that the next access to it reaches the device.
#[cfg(target_arch = "x86_64")]
fn flush_line(address: u64) {
    let line = std::ptr::with_exposed_provenance::<u8>(usize::try_from(address).unwrap_or(0));
    // SAFETY: `address` lies in the buffer that the caller holds; flushing changes no content.
    unsafe { std::arch::x86_64::_mm_clflush(line) };
    // SAFETY: the fence only orders accesses.
    unsafe { std::arch::x86_64::_mm_mfence() };
}

/// Other processors keep lines in their caches: a line counts when they miss it.
#[cfg(not(target_arch = "x86_64"))]
fn flush_line(_address: u64) {}

impl Traffic for ProcessorTraffic {
    fn reachable(&self, tee: bool) -> &[Range<Dpa>] {
        match tee {
            true => &[],
            false => self.pages.reachable(),
        }
    }

    fn is_exact(&self) -> bool {
        self.exact
    }

    fn perform(&mut self, requests: &[Request]) -> Result<()> {
        let mut touched = BTreeSet::new();
        for Request { dpa, kind, .. } in requests {
            let place = self.pages.find(*dpa);
            let (page, offset) = place.with_context(|| format!("No page shows DPA {dpa}"))?;
            self.access(page, offset, *kind);
            touched.insert(page);
        }
        self.check_places(&touched)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_no_node_has_is_refused() {
        let translation = Translation::new(Vec::new()).unwrap();
        let error = shares(&translation, &Topology::default(), 1 << 20).unwrap_err();
        assert_eq!(
            error.to_string(),
            "The kernel has none of the device's memory online, or none of it free"
        );
    }

    #[test]
    fn a_flushed_line_keeps_its_content() {
        let mut buffer = Buffer::map(1).unwrap();
        buffer.write(0, 9, 42);
        flush_line(buffer.address() + 72);
        assert_eq!(buffer.read(0, 9), 42);
    }
}
