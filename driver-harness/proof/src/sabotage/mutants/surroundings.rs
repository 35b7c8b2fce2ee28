// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Machines that lie, clocks that go wrong, and other programs.

use std::ops::Range;

use chmu_machine::memory::page_flags::PageFlags;
use chmu_machine::node::NodeId;
use chmu_machine::topology::Topology;
use chmu_machine::watermarks::Headroom;
use chmu_promotion::{Folio, Identity, Machine, MachineError};
use chmu_spec::address::Pfn;

use super::super::machine::{Shared, topology};
use super::super::world::FAST;
use super::super::{Mutant, Part};
use crate::verdict::Reason;

/// Nanoseconds by which clocks are wrong.
const WRONG_NS: u64 = 100_000_000;

/// A machine that answers some questions wrongly.
#[derive(Debug)]
struct Liar {
    honest: Shared,
    /// Distances are exchanged.
    distances: bool,
    /// Base pages are said to be part of folios of two.
    folios: bool,
}

impl Machine for Liar {
    fn topology(&self) -> Result<Topology, MachineError> {
        match self.distances {
            true => Ok(topology(30, 20)),
            false => self.honest.topology(),
        }
    }

    fn headroom(&self) -> Result<Headroom, MachineError> {
        self.honest.headroom()
    }

    fn flags(&self, frames: Range<u64>) -> Result<Vec<PageFlags>, MachineError> {
        let mut flags = self.honest.flags(frames.clone())?;
        if self.folios {
            let is_base = |flags: &PageFlags| !flags.intersects(PageFlags::THP | PageFlags::BUDDY);
            for (frame, flags) in frames.zip(&mut flags).filter(|(_, flags)| is_base(flags)) {
                *flags = match frame % 2 {
                    0 => PageFlags::LRU | PageFlags::ANON | PageFlags::COMPOUND_HEAD,
                    _ => PageFlags::COMPOUND_TAIL,
                };
            }
        }
        Ok(flags)
    }

    fn resolve(&self, _: u32, _: u64, pages: u64) -> Result<Vec<Option<Pfn>>, MachineError> {
        Ok(vec![None; usize::try_from(pages).unwrap_or(0)])
    }

    fn drain_reclaim_batches(&self) -> Result<(), MachineError> {
        Ok(())
    }

    fn identities(&self, folios: &[Folio]) -> Result<Vec<Option<Identity>>, MachineError> {
        self.honest.identities(folios)
    }

    fn demoted_pages(&self, node: NodeId) -> Result<Option<u64>, MachineError> {
        self.honest.demoted_pages(node)
    }
}

/// Another program moves a page of the workload to the fast node.
fn steal(shared: &Shared, page: usize) {
    let mut world = shared.world();
    let number = world.processes[1].pages[page];
    world.migrate(&[number], FAST);
}

pub(super) fn all() -> Vec<Mutant> {
    let mutant = |name, part, explanation, reason, sabotage| Mutant {
        name,
        part,
        explanation,
        reason,
        sabotage,
    };
    vec![
        mutant(
            "against-hmat",
            Part::Machine,
            "tells the engine that the farther node is the nearer one",
            Reason::NotATarget,
            |parts| {
                parts.machine = Box::new(Liar {
                    honest: parts.shared.clone(),
                    distances: true,
                    folios: false,
                });
            },
        ),
        mutant(
            "false-folios",
            Part::Machine,
            "calls neighbouring base pages one folio, so that none of them moves",
            Reason::NotPromoted,
            |parts| {
                parts.machine = Box::new(Liar {
                    honest: parts.shared.clone(),
                    distances: false,
                    folios: true,
                });
            },
        ),
        mutant(
            "slow-clock",
            Part::Clock,
            "has the engine live in the past, so that pages seem to move before they are hot",
            Reason::MovedBeforeHot,
            |parts| parts.clock = |now_ns| now_ns.saturating_sub(WRONG_NS),
        ),
        mutant(
            "fast-clock",
            Part::Clock,
            "has the engine live in the future, so that its rate is higher than it says",
            Reason::LedgerOrder,
            |parts| parts.clock = |now_ns| now_ns.saturating_mul(8),
        ),
        mutant(
            "hot-page-moved-by-another",
            Part::Others,
            "moves a hot page of the workload by another program",
            Reason::MovedByOthers,
            |parts| {
                parts.others = Box::new(|shared, step| {
                    if step == 12 {
                        steal(shared, 33);
                    }
                });
            },
        ),
        mutant(
            "cold-page-moved-by-another",
            Part::Others,
            "moves a cold page of the workload by another program",
            Reason::ColdPageMoved,
            |parts| {
                parts.others = Box::new(|shared, step| {
                    if step == 12 {
                        steal(shared, 34);
                    }
                });
            },
        ),
        mutant(
            "write-by-another",
            Part::Others,
            "writes into a page of the workload by another program",
            Reason::WrongContent,
            |parts| {
                parts.others = Box::new(|shared, step| {
                    let mut world = shared.world();
                    if step == 12 {
                        let page = world.processes[1].pages[34];
                        world.spoil_word(page);
                    }
                });
            },
        ),
    ]
}
