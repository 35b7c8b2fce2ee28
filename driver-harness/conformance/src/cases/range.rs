// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The range bitmap: which parts of the memory are tracked.

use std::cmp::Ordering;

use chmu_driver::transport::Width;
use chmu_spec::address::{Dpa, UnitIndex};
use chmu_spec::chmu::RANGE_BYTES;

use crate::bench::{Bench, Enabled, Ranges, Setup};
use crate::case::{Case, case, reading_case};
use crate::cases::instance::{list_at_both, overlapping_pair};
use crate::outcome::{Outcome, Passed, Stop, each, expect_bits, expect_equal, skip};
use crate::subject::Request;

pub(super) const CASES: &[Case] = &[
    case(
        "range/clear-bit",
        "Sets one range's bit and accesses another range.",
        clear_bit,
    ),
    case(
        "range/set-bit",
        "Sets one range's bit and accesses it and another range.",
        set_bit,
    ),
    case(
        "range/border",
        "Accesses the lines on the two sides of a range's end with one of both bits set.",
        border,
    ),
    case(
        "range/each-bit",
        "Sets the bits of ranges whose number has a certain bit, for each bit of a number, and accesses all ranges.",
        each_bit,
    ),
    case(
        "range/empty",
        "Makes a unit hot with a clear bitmap.",
        empty,
    ),
    case(
        "range/covers-memory",
        "Sets the bit of the memory's last range and reads it back.",
        covers_memory,
    ),
    case(
        "range/single-bits",
        "Sets each bit of the bitmap on its own and reads it back.",
        single_bits,
    ),
    reading_case(
        "range/reaches-hotlist",
        "Compares the words between the bitmap's start and the hotlist with what the memory needs.",
        reaches_hotlist,
    ),
    case(
        "range/overlap-refused",
        "Enables two instances without the capability on the same ranges.",
        overlap_refused,
    ),
    case(
        "range/overlap-allowed",
        "Enables two instances with the capability on the same ranges and makes a unit hot.",
        overlap_allowed,
    ),
];

/// Words with a single range's bit.
fn only(range: u64) -> Ranges {
    let word = usize::try_from(range / 64).unwrap_or(0);
    let mut words = vec![0; word + 1];
    words[word] = 1 << (range % 64);
    Ranges::Words(words)
}

/// An address in each of two ranges that traffic reaches; skips the case where it is one only.
fn two_ranges(bench: &mut Bench<'_>) -> Result<[Dpa; 2], Stop> {
    let reachable = bench.reachable(false)?;
    let first = reachable.first().map_or(Dpa(0), |range| range.start);
    let last = reachable
        .last()
        .map_or(Dpa(0), |range| Dpa((range.end.0 - 1) / 64 * 64));
    match first.0 / RANGE_BYTES == last.0 / RANGE_BYTES {
        false => Ok([first, last]),
        true => skip("traffic reaches one range of 256 MiB only"),
    }
}

/// The units that are reported after accesses to `addresses`.
fn reported(
    bench: &mut Bench<'_>,
    setup: &Setup,
    addresses: &[Dpa],
) -> Result<Vec<UnitIndex>, Stop> {
    let requests: Vec<_> = addresses
        .iter()
        .flat_map(|dpa| (0..setup.hot()).map(|_| *dpa))
        .map(|dpa| Request {
            dpa,
            kind: setup.tracked_kind(),
            tee: false,
        })
        .collect();
    bench.start(setup)?;
    bench.perform(setup, &requests)?;
    bench.end_epoch(setup)?;
    let mut units: Vec<_> = bench.drain()?.iter().map(|entry| entry.unit).collect();
    units.sort();
    if !bench.is_exact() {
        units.dedup();
    }
    bench.stop()?;
    bench.reset()?;
    Ok(units)
}

fn clear_bit(bench: &mut Bench<'_>) -> Outcome {
    bench.need_writable_ranges()?;
    let mut setup = bench.setup()?;
    let [first, last] = two_ranges(bench)?;
    let mut listed = true;
    bench.each([(first, last), (last, first)], |bench, (tracked, other)| {
        setup.ranges = only(tracked.0 / RANGE_BYTES);
        let seen = reported(bench, &setup, &[other])?;
        let what =
            format!("units reported with the bit of DPA {tracked} set, after accesses to {other}");
        expect_equal(what, seen, Vec::new())?;
        listed &= !reported(bench, &setup, &[tracked])?.is_empty();
        Ok(())
    })?;
    match listed {
        true => Ok(Passed::Plainly),
        false => skip("nothing was listed of a range whose bit is set either"),
    }
}

fn set_bit(bench: &mut Bench<'_>) -> Outcome {
    bench.need_writable_ranges()?;
    let mut setup = bench.setup()?;
    let [first, last] = two_ranges(bench)?;
    bench.each([first, last], |bench, tracked| {
        setup.ranges = only(tracked.0 / RANGE_BYTES);
        let seen = reported(bench, &setup, &[first, last])?;
        let expected = vec![setup.unit_size.index_of(tracked)];
        let what = format!("units reported with the bit of DPA {tracked} set");
        expect_equal(what, seen, expected)
    })?;
    Ok(Passed::Plainly)
}

/// Two lines on the two sides of a range's end that traffic reaches.
fn reachable_border(bench: &mut Bench<'_>) -> Result<u64, Stop> {
    for range in bench.reachable(false)? {
        let border = (range.start.0 + 64).next_multiple_of(RANGE_BYTES);
        if border + 64 <= range.end.0 {
            return Ok(border);
        }
    }
    skip("traffic reaches no border between two ranges of 256 MiB")
}

fn border(bench: &mut Bench<'_>) -> Outcome {
    bench.need_writable_ranges()?;
    let mut setup = bench.setup()?;
    if setup.unit_size.bytes() > RANGE_BYTES {
        return skip("the units are larger than a range");
    }
    let border = reachable_border(bench)?;
    let (below, above) = (Dpa(border - 64), Dpa(border));
    let sides = [
        (below, border / RANGE_BYTES - 1),
        (above, border / RANGE_BYTES),
    ];
    bench.each(sides, |bench, (tracked, range)| {
        setup.ranges = only(range);
        let seen = reported(bench, &setup, &[below, above])?;
        let expected = vec![setup.unit_size.index_of(tracked)];
        expect_equal(
            format!("units reported around DPA {above} with range {range}"),
            seen,
            expected,
        )
    })?;
    Ok(Passed::Plainly)
}

/// A unit in each range that traffic reaches, no more than the list holds; skips the case where there are fewer than
/// three: others look at two.
fn unit_of_each_range(bench: &mut Bench<'_>, setup: &Setup) -> Result<Vec<(u64, Dpa)>, Stop> {
    let mut found: Vec<(u64, Dpa)> = Vec::new();
    for reachable in bench.reachable(false)? {
        let mut start = reachable.start;
        while start < reachable.end {
            let number = start.0 / RANGE_BYTES;
            let is_new = found.last().is_none_or(|(last, _)| *last < number);
            let unit = setup.unit_size.index_of(start);
            // A unit that began in the range before is that one's.
            let is_whole = unit.0 * setup.unit_size.bytes() >= number * RANGE_BYTES;
            if is_new && is_whole {
                found.push((number, start));
            }
            start = Dpa((number + 1) * RANGE_BYTES);
        }
    }
    let room = bench.room()?;
    found.truncate(room.min(64));
    match found.len() {
        0..3 => skip("traffic reaches two ranges of 256 MiB at most, or the list holds no more"),
        _ => Ok(found),
    }
}

/// Two bits that stand for one another are in different sets at some time.
fn each_bit(bench: &mut Bench<'_>) -> Outcome {
    bench.need_writable_ranges()?;
    let mut setup = bench.setup()?;
    let ranges = unit_of_each_range(bench, &setup)?;
    let all: Vec<_> = ranges.iter().map(|(_, dpa)| *dpa).collect();
    let last = ranges.last().map_or(0, |(number, _)| *number);
    for digit in 0..=last.max(1).ilog2() {
        let is_set = |number: u64| number >> digit & 1 == 1;
        let mut words = vec![0; usize::try_from(last / 64 + 1).unwrap_or(1)];
        let mut expected = Vec::new();
        for (number, dpa) in ranges.iter().filter(|(number, _)| is_set(*number)) {
            words[usize::try_from(number / 64).unwrap_or(0)] |= 1 << (number % 64);
            expected.push(setup.unit_size.index_of(*dpa));
        }
        if expected.is_empty() {
            continue;
        }
        setup.ranges = Ranges::Words(words);
        let seen = reported(bench, &setup, &all)?;
        let what = format!("units reported with the ranges set whose number has bit {digit}");
        expect_equal(what, seen, expected)?;
    }
    Ok(Passed::Plainly)
}

fn empty(bench: &mut Bench<'_>) -> Outcome {
    bench.need_writable_ranges()?;
    let mut setup = bench.setup()?;
    setup.ranges = Ranges::Words(Vec::new());
    let Some(start) = bench.reachable(false)?.first().map(|range| range.start) else {
        return skip("the traffic source reaches nothing of the device's memory");
    };
    if bench.try_start(&setup)? == Enabled::Refused {
        return skip("the instance refuses a clear bitmap");
    }
    bench.quiesce()?;
    let seen = reported(bench, &setup, &[start])?;
    expect_equal("units reported with a clear bitmap", seen, Vec::new())?;
    setup.ranges = Ranges::All;
    match reported(bench, &setup, &[start])?.is_empty() {
        true => skip("nothing was listed with a full bitmap either"),
        false => Ok(Passed::Plainly),
    }
}

fn covers_memory(bench: &mut Bench<'_>) -> Outcome {
    bench.need_writable_ranges()?;
    let bits = bench.range_bits()?;
    let mut setup = bench.setup()?;
    setup.ranges = only(bits - 1);
    bench.configure(&setup)?;
    let word = (bits - 1) / 64;
    let place = bench.ranges_place()?.plus(word * 8);
    let what = format!("word {word} of the bitmap after the bit of the last range was set");
    let read = bench.read_at(place, Width::Eight)?;
    expect_bits(what, read & of_memory(bits, word), 1 << ((bits - 1) % 64))?;
    Ok(Passed::Plainly)
}

/// Those bits of a word that stand for ranges of the device's memory, which has `bits` of them; nobody says how others
/// read.
fn of_memory(bits: u64, word: u64) -> u64 {
    match bits.saturating_sub(word * 64) {
        used @ 0..64 => (1 << used) - 1,
        _ => u64::MAX,
    }
}

fn single_bits(bench: &mut Bench<'_>) -> Outcome {
    bench.need_writable_ranges()?;
    let bits = bench.range_bits()?;
    let place = bench.ranges_place()?;
    each(0..bits, |bit| {
        let word = place.plus(bit / 64 * 8);
        bench.write_at(word, Width::Eight, 1 << (bit % 64))?;
        let read = bench.read_at(word, Width::Eight)?;
        bench.write_at(word, Width::Eight, 0)?;
        let read = read & of_memory(bits, bit / 64);
        let what = format!("word {} with bit {bit} set", bit / 64);
        expect_bits(what, read, 1 << (bit % 64))
    })?;
    Ok(Passed::Plainly)
}

fn reaches_hotlist(bench: &mut Bench<'_>) -> Outcome {
    let needed = bench.range_bits()?.div_ceil(64);
    let (bitmap, hotlist) = (bench.ranges_place()?, bench.hotlist_place()?);
    let place = bench.place();
    let block = bench.blocks().iter().find(|one| one.block == place.block);
    let length = block.map_or(0, |block| u64::from(block.instance_length));
    let end = place.start.offset.saturating_add(length);
    if !(bitmap.offset..end).contains(&hotlist.offset) {
        return skip("the hotlist lies before the range bitmap, or outside of the instance");
    }
    let words = (hotlist.offset - bitmap.offset) / 8;
    Ok(Passed::As(match words.cmp(&needed) {
        Ordering::Equal => "as long as the memory needs",
        Ordering::Greater => "longer than the memory needs, or something lies between",
        Ordering::Less => "shorter than the memory needs",
    }))
}

fn overlap_refused(bench: &mut Bench<'_>) -> Outcome {
    let other = bench.neighbour()?;
    if bench.capabilities_1()?.overlapping_ranges() {
        return skip("the instance may track ranges that another one tracks");
    }
    // Each can be enabled on its own.
    let here = bench.place();
    for place in [other, here] {
        bench.switch_to(place);
        let setup = bench.setup()?;
        bench.start(&setup)?;
        if place == other {
            bench.stop()?;
        }
    }
    bench.switch_to(other);
    let setup = bench.setup()?;
    Ok(Passed::As(match bench.try_start(&setup)? {
        Enabled::Refused => "the second enable is refused",
        Enabled::Yes => "both count",
    }))
}

fn overlap_allowed(bench: &mut Bench<'_>) -> Outcome {
    let pair = overlapping_pair(bench)?;
    list_at_both(bench, pair)?;
    for instance in pair {
        bench.switch_to(instance);
        let what = format!(
            "whether instance {} lists a unit of a range that it shares",
            instance.instance
        );
        // How often is for other cases.
        expect_equal(what, !bench.drain()?.is_empty(), true)?;
    }
    Ok(Passed::Plainly)
}
