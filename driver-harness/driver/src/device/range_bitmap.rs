// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The bitmap of the device memory that a unit tracks: a bit for each 256 MiB.

use std::ops::Range;

use chmu_spec::address::Dpa;
use chmu_spec::chmu::RANGE_BYTES;

use super::block::{BITMAP_WORD_BYTES, Instance};
use super::unit_error::UnitError;

/// Bytes of device memory that a word stands for.
const WORD_SPAN: u64 = 64 * RANGE_BYTES;

/// The words of a bitmap with the bits of all `ranges` set, as many as reach to the last one; an
/// error when the instance's bitmap has less room. Its registers lie in a BAR of `bar_bytes`.
pub(super) fn words(
    ranges: &[Range<Dpa>],
    instance: &Instance,
    bar_bytes: u64,
) -> Result<impl Iterator<Item = u64>, UnitError> {
    let end = ranges.iter().map(|range| range.end.0).max().unwrap_or(0);
    let count = end.div_ceil(WORD_SPAN);
    check_room(count, end, instance, bar_bytes)?;
    Ok((0..count).map(move |index| word(ranges, index * WORD_SPAN)))
}

/// The word whose first bit stands for the device memory at `start`.
fn word(ranges: &[Range<Dpa>], start: u64) -> u64 {
    (0..64).fold(0, |word, bit| {
        let first = start.saturating_add(bit * RANGE_BYTES);
        let last = first.saturating_add(RANGE_BYTES - 1);
        let tracked = ranges
            .iter()
            .any(|range| !range.is_empty() && range.start.0 <= last && range.end.0 > first);
        word | u64::from(tracked) << bit
    })
}

/// Refuses a bitmap that would run into the hotlist or out of its area.
fn check_room(words: u64, end: u64, instance: &Instance, bar_bytes: u64) -> Result<(), UnitError> {
    let start = instance.range_bitmap_offset;
    let behind_bar = bar_bytes.saturating_sub(instance.place.offset);
    let (follows, limit) = match instance.hotlist_offset {
        hotlist if hotlist >= start => ("the hotlist", hotlist.min(behind_bar)),
        _ => ("the end of the BAR", behind_bar),
    };
    let bitmap_end = words
        .checked_mul(BITMAP_WORD_BYTES)
        .and_then(|bytes| start.checked_add(bytes));
    match bitmap_end {
        Some(bitmap_end) if bitmap_end <= limit => Ok(()),
        _ => Err(UnitError::RangeBitmap {
            bitmap: start,
            end,
            follows,
            limit,
        }),
    }
}
