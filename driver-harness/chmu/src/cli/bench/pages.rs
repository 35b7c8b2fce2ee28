// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Pages to be moved there and back.

use anyhow::{Context, Result};
use chmu_machine::memory::numa;
use chmu_machine::memory::{Buffer, page_map};
use chmu_promotion::{Batch, Candidate, Direction, Folio, Route};

/// Between two pages of a batch are pages that stay.
const STRIDE: u64 = 3;

/// Pages of this process on the slow node, no two of them neighbours.
#[derive(Debug)]
pub(super) struct Pages {
    /// Keeps them mapped.
    _buffer: Buffer,
    addresses: Vec<u64>,
    route: Route,
}

impl Pages {
    /// Fills `count` pages on the route's source.
    pub(super) fn fill(count: u64, route: Route) -> Result<Pages> {
        let mut buffer = Buffer::map(count.saturating_mul(STRIDE))?;
        buffer.fill(route.source, |page, place| page ^ place)?;
        // What was filled a moment ago waits in its processor's list.
        numa::drain_reclaim_batches()?;
        let addresses = buffer.page_addresses();
        let stride = usize::try_from(STRIDE)?;
        Ok(Pages {
            _buffer: buffer,
            addresses: addresses.into_iter().step_by(stride).collect(),
            route,
        })
    }

    /// The pages as they lie now.
    pub(super) fn batch(&self, number: u64) -> Result<Batch> {
        let mut candidates = Vec::new();
        for &address in &self.addresses {
            let mapped = page_map::read(std::process::id(), address, 1)?;
            let frame = mapped.frames.first().copied().flatten();
            candidates.push(Candidate {
                folio: Folio {
                    head: frame.context("A page of the bench is not present")?,
                    pages: 1,
                },
                owner: None,
            });
        }
        Ok(Batch {
            number,
            direction: Direction::Promotion,
            route: self.route,
            candidates,
        })
    }
}
