// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What lies where in the regions of the function.

use std::borrow::Cow;
use std::ops::Range;
use std::rc::Rc;

use chmu_cxl::Region;
use chmu_spec::register::Register;

/// A register, or a stretch of memory that a name is known for.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Offsets in the region that it covers.
    pub(super) range: Range<u64>,
    /// What it is a part of, such as `CHMU 0.1`.
    pub(super) part: Rc<str>,
    pub(super) name: Cow<'static, str>,
    pub(super) kind: Kind,
}

/// How the content of a place is read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// A register whose fields the register map describes.
    Register(&'static Register),
    /// A number without fields.
    Number,
    PciCommand,
    MailboxCommand,
    MailboxControl,
    MailboxStatus,
    /// A bit for each range of memory.
    RangeBitmap,
    /// A list of equal entries.
    Entries {
        bytes: u64,
    },
    /// Several things whose names are not known here.
    Opaque,
}

/// The places of all regions.
#[derive(Debug, Default)]
pub(super) struct RegisterMap {
    config: Vec<Place>,
    bars: [Vec<Place>; 6],
}

impl RegisterMap {
    /// Adds places; later ones are to be told before the earlier ones that they lie in.
    pub(super) fn add(&mut self, region: Region, place: Place) {
        if place.range.is_empty() {
            return;
        }
        if let Some(places) = self.places_mut(region) {
            places.push(place);
        }
    }

    /// Adds the registers of a table that starts at `start`.
    pub(super) fn add_table(
        &mut self,
        region: Region,
        start: u64,
        part: &Rc<str>,
        table: &'static [Register],
    ) {
        for register in table {
            let at = start.saturating_add(register.offset);
            let place = Place {
                range: at..at.saturating_add(register.bytes()),
                part: part.clone(),
                name: symbol(register.name).into(),
                kind: Kind::Register(register),
            };
            self.add(region, place);
        }
    }

    /// To be called once all places are there.
    pub(super) fn sort(&mut self) {
        let bars = self.bars.iter_mut();
        for places in bars.chain([&mut self.config]) {
            places.sort_by_key(|place| place.range.start);
        }
    }

    /// The places that an access touches, in their order.
    pub(super) fn touched(&self, region: Region, access: &Range<u64>) -> &[Place] {
        let places = match region {
            Region::Config => &self.config,
            Region::Bar(bar) => match self.bars.get(usize::from(bar)) {
                Some(places) => places,
                None => return &[],
            },
        };
        let first = places.partition_point(|place| place.range.end <= access.start);
        let end = places.partition_point(|place| place.range.start < access.end);
        places.get(first..end).unwrap_or_default()
    }

    fn places_mut(&mut self, region: Region) -> Option<&mut Vec<Place>> {
        match region {
            Region::Config => Some(&mut self.config),
            Region::Bar(bar) => self.bars.get_mut(usize::from(bar)),
        }
    }
}

/// The name of a register as programs write it: `CONFIGURATION_0`.
fn symbol(name: &str) -> String {
    name.to_uppercase().replace([' ', '-'], "_")
}
