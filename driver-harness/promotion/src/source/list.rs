// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Frames that a user lists, reported once.

use chmu_machine::clock;
use chmu_machine::stop::StopFlag;
use chmu_spec::address::Pfn;

use super::{HotnessSource, SourceError};
use crate::report::{
    Facts, Health, HotExtent, Knowledge, Place, Report, SourceKind, Weight, WeightKind,
};

/// As hot as a user's word makes a page.
const ACCESSES: u64 = 1 << 40;

/// A list of frames.
#[derive(Debug)]
pub struct ListSource {
    facts: Facts,
    frames: Option<Vec<Pfn>>,
}

impl ListSource {
    /// Reports these frames once; `name` is what the list is called.
    pub fn new(name: String, frames: Vec<Pfn>) -> ListSource {
        ListSource {
            facts: Facts {
                name,
                kind: SourceKind::List,
                unit_bytes: None,
                granted_epoch_ns: None,
                wished_epoch_ns: None,
                knows: Knowledge {
                    frames: true,
                    ..Knowledge::default()
                },
                counts: WeightKind::Accesses,
            },
            frames: Some(frames),
        }
    }
}

impl HotnessSource for ListSource {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn poll(&mut self, _deadline_ns: u64, _stop: &StopFlag) -> Result<Report, SourceError> {
        let now_ns = clock::monotonic_ns();
        let frames = self.frames.take().unwrap_or_default();
        let extents = frames.into_iter().map(|start| HotExtent {
            place: Place::Frames { start, pages: 1 },
            weight: Weight::accesses(ACCESSES),
            sharing_pages: 1,
            unit: None,
        });
        Ok(Report {
            handed_out_ns: now_ns,
            earliest_access_ns: now_ns,
            extents: extents.collect(),
            ..Report::default()
        })
    }

    fn health(&self) -> Health {
        match self.frames {
            Some(_) => Health::Good,
            None => Health::Gone("the list is at its end".to_owned()),
        }
    }
}
