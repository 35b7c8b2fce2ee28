// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! From device physical addresses (DPA), which a hotness monitoring unit reports, to pages of the
//! host.
//!
//! The windows come from the kernel where its CXL drivers are bound ([`sysfs`]), otherwise from the
//! device's own decoders ([`decoders`]).

use std::ops::Range;

use chmu_machine::acpi::tables::TablesError;
use chmu_machine::memory::PAGE_BYTES;
use chmu_machine::sysfs_file::SysfsError;
use chmu_spec::address::{Dpa, Hpa};
use chmu_spec::interleave::DecoderWindow;
use chmu_spec::unit_size::UnitSize;

use crate::device::DeviceError;
use crate::transport::{BarOffset, TransportError};

pub use chmu_spec::address::HpaRange;
pub use function::of_function;

mod arithmetic;
mod component;
pub mod decoders;
mod function;
mod position;
pub mod sysfs;

/// The most granules that one unit may be spread over: units of 2 MiB in any interleave.
const GRANULES_MAX: u64 = 1 << 13;

/// The whole pages that hold the bytes from `start` to `end`; none when there are no bytes.
fn covering_pages(start: u64, end: u64) -> Option<HpaRange> {
    let first = start - start % PAGE_BYTES;
    // The last page of 64 bits is no memory anywhere.
    let end = end.checked_next_multiple_of(PAGE_BYTES)?;
    let bytes = end.checked_sub(first).filter(|&bytes| bytes > 0)?;
    Some(HpaRange {
        start: Hpa(first),
        bytes,
    })
}

/// Where a device's memory appears in the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Translation {
    /// By device physical address; shares neither overlap nor are empty.
    windows: Vec<DecoderWindow>,
}

impl Translation {
    /// Puts windows together; they must not share device memory.
    pub fn new(mut windows: Vec<DecoderWindow>) -> Result<Translation, TranslationError> {
        windows.retain(|window| window.dpa_bytes() > 0);
        windows.sort_by_key(|window| window.dpa_base);
        for window in &windows {
            let hpa_end = window.base.0.checked_add(window.size_bytes);
            let dpa_end = window.dpa_base.0.checked_add(window.dpa_bytes());
            if hpa_end.is_none() || dpa_end.is_none() {
                return Err(TranslationError::Beyond { base: window.base });
            }
        }
        for pair in windows.windows(2) {
            if share(&pair[0]).end > pair[1].dpa_base {
                return Err(TranslationError::SharedMemory {
                    first: pair[0].base,
                    second: pair[1].base,
                });
            }
        }
        Ok(Translation { windows })
    }

    /// The windows, by device physical address.
    pub fn windows(&self) -> &[DecoderWindow] {
        &self.windows
    }

    /// The device memory that appears in the host.
    pub fn dpa_ranges(&self) -> Vec<Range<Dpa>> {
        self.windows.iter().map(share).collect()
    }

    /// The largest unit, up to a page, that lies in one page of the host wherever it starts.
    ///
    /// Ways that are no power of two put the ends of pages anywhere but at those of granules, so that only
    /// one granule is sure to lie in one page.
    pub fn page_unit(&self) -> UnitSize {
        let share_of_page = |window: &DecoderWindow| {
            let ways = u64::from(window.interleave.ways());
            let granularity = u64::from(window.interleave.granularity_bytes());
            match ways.is_power_of_two() {
                true => granularity.max(PAGE_BYTES / ways),
                false => granularity,
            }
        };
        let interleaved = self
            .windows
            .iter()
            .filter(|window| window.interleave.ways() > 1);
        let bytes = interleaved.map(share_of_page).min();
        bytes
            .and_then(UnitSize::from_bytes)
            .map_or(UnitSize::BASE_PAGE, |size| size.min(UnitSize::BASE_PAGE))
    }

    /// How many pages of the host a unit may cover at most.
    pub fn pages_of_unit(&self, size: UnitSize) -> u64 {
        let pages = |window: &DecoderWindow| {
            let ways = u64::from(window.interleave.ways());
            let granularity = u64::from(window.interleave.granularity_bytes());
            let unit = size.bytes();
            let granules = unit.div_ceil(granularity);
            // Pages of a unit's granules, which lie a stride apart, or of all bytes from first to last.
            let apart = granules.saturating_mul(granularity.min(unit).div_ceil(PAGE_BYTES));
            let whole = unit.saturating_mul(ways).div_ceil(PAGE_BYTES);
            let crosses = !ways.is_power_of_two() && granules > 1;
            apart.min(whole + u64::from(crosses)).max(1)
        };
        self.windows.iter().map(pages).max().unwrap_or(1)
    }

    /// The end of the device memory that appears in the host; 0 when none does.
    pub fn end(&self) -> u64 {
        self.windows.last().map_or(0, |window| share(window).end.0)
    }

    /// Refuses units that are spread over too many places of the host to be moved one by one.
    pub fn check_unit(&self, size: UnitSize) -> Result<(), TranslationError> {
        for window in &self.windows {
            let granularity_bytes = window.interleave.granularity_bytes();
            let granules = size.bytes() / u64::from(granularity_bytes);
            if window.interleave.ways() > 1 && granules > GRANULES_MAX {
                return Err(TranslationError::Scattered {
                    size,
                    granules,
                    granularity_bytes,
                });
            }
        }
        Ok(())
    }

    /// The whole pages that hold a range of device memory, ascending; empty where none does. Pages that
    /// an interleave fills from several devices count for each of them.
    pub fn pages(&self, dpa: Range<Dpa>) -> Vec<HpaRange> {
        let mut found = Vec::new();
        for window in &self.windows {
            let share = share(window);
            let start = dpa.start.max(share.start);
            let end = dpa.end.min(share.end);
            if start < end {
                add_pages(window, start, end, &mut found);
            }
        }
        found.sort_unstable();
        merge(&mut found);
        found
    }
}

/// The device memory behind a window; the window's ends were checked.
fn share(window: &DecoderWindow) -> Range<Dpa> {
    window.dpa_base..Dpa(window.dpa_base.0.saturating_add(window.dpa_bytes()))
}

/// Adds the pages that hold the bytes from `start` to `end`, which lie in the window's share.
fn add_pages(window: &DecoderWindow, start: Dpa, end: Dpa, found: &mut Vec<HpaRange>) {
    let granularity = u64::from(window.interleave.granularity_bytes());
    let stride = granularity * u64::from(window.interleave.ways());
    let hpa = |dpa: u64| window.hpa(Dpa(dpa)).map(|hpa| hpa.0);
    let mut add = |first: u64, end: u64| {
        // A granule's bytes are contiguous in the host, and `end` is no first byte of the next.
        if let (Some(first), Some(last)) = (hpa(first), hpa(end - 1)) {
            found.extend(covering_pages(first, last.saturating_add(1)));
        }
    };
    // Without interleaving, or where every page has a granule of this device.
    if window.interleave.ways() == 1 || stride <= PAGE_BYTES {
        add(start.0, end.0);
        return;
    }
    let mut at = start.0;
    while at < end.0 {
        let granule = (at - window.dpa_base.0) / granularity;
        let next = window.dpa_base.0 + (granule + 1) * granularity;
        add(at, next.min(end.0));
        at = next;
    }
}

/// Joins ranges that touch or overlap; they are sorted.
fn merge(ranges: &mut Vec<HpaRange>) {
    ranges.dedup_by(|next, last| {
        if next.start > last.end() {
            return false;
        }
        let end = last.end().max(next.end());
        last.bytes = end.0 - last.start.0;
        true
    });
}

/// Device memory whose place in the host cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum TranslationError {
    /// A register cannot be reached.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// A file of the kernel cannot be used.
    #[error(transparent)]
    Sysfs(#[from] SysfsError),
    /// The configuration space is broken.
    #[error(transparent)]
    Device(Box<DeviceError>),
    /// There are no decoders to ask.
    #[error("{device} shows no HDM decoders, neither through the kernel nor in its registers")]
    NoDecoders {
        /// The function.
        device: String,
    },
    /// The component registers are none.
    #[error("The component registers at {place} of {device} {reason}")]
    Component {
        /// The function.
        device: String,
        /// Where they lie.
        place: BarOffset,
        /// What is wrong with them.
        reason: String,
    },
    /// A decoder's registers or files contradict themselves.
    #[error("{decoder} {reason}")]
    Decoder {
        /// Which decoder.
        decoder: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No committed decoder.
    #[error("No HDM decoder of {device} is committed, so its memory appears nowhere")]
    NotCommitted {
        /// The function or memory device.
        device: String,
    },
    /// A window leaves the address space.
    #[error("The window at {base} ends beyond 64 bits")]
    Beyond {
        /// Where it starts.
        base: Hpa,
    },
    /// Two windows show the same device memory.
    #[error("The windows at {first} and {second} show the same device memory")]
    SharedMemory {
        /// One window's start.
        first: Hpa,
        /// The other's.
        second: Hpa,
    },
    /// A unit has too many places.
    #[error(
        "A unit of {size} is spread over {granules} granules of {granularity_bytes} bytes; \
         choose smaller units"
    )]
    Scattered {
        /// Size of the units.
        size: UnitSize,
        /// Granules of one unit.
        granules: u64,
        /// Bytes of a granule.
        granularity_bytes: u32,
    },
    /// The place in an interleave set is unknown.
    #[error("The position of {device} in the interleave set at {base} is unknown: {reason}")]
    Position {
        /// The function.
        device: String,
        /// Start of the window.
        base: Hpa,
        /// What stands in the way.
        reason: String,
    },
    /// The place of a granule does not follow from its number.
    #[error("The interleaved window at {base} cannot be translated: {reason}")]
    Arithmetic {
        /// Start of the window.
        base: Hpa,
        /// Why not.
        reason: String,
    },
    /// The firmware's table of CXL host bridges and windows cannot be used.
    #[error(transparent)]
    Table(#[from] TablesError),
}

impl From<DeviceError> for TranslationError {
    fn from(error: DeviceError) -> Self {
        TranslationError::Device(Box::new(error))
    }
}

#[cfg(test)]
mod test_table;
#[cfg(test)]
mod tests;
