// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What an instance says it can do.

use std::ops::Range;

use chmu_spec::chmu::{INSTANCE_REGISTERS_BYTES, offset};
use chmu_spec::hotlist::ENTRY_BYTES;

use crate::bench::{Bench, InstancePlace};
use crate::case::{Case, case, reading_case};
use crate::outcome::{
    Findings, Outcome, Passed, Stop, each, expect, expect_bits, expect_equal, expect_register, skip,
};

pub(super) const CASES: &[Case] = &[
    reading_case(
        "capability/unit-sizes",
        "Reads the unit sizes of every instance.",
        unit_sizes,
    ),
    reading_case(
        "capability/modes",
        "Reads the modes of every instance.",
        modes,
    ),
    reading_case(
        "capability/epoch-codes",
        "Decodes the epoch limits of every instance with epoch mode.",
        epoch_codes,
    ),
    reading_case(
        "capability/epoch-order",
        "Compares the epoch limits of every instance with epoch mode.",
        epoch_order,
    ),
    reading_case(
        "capability/trackable-requests",
        "Reads the trackable requests of every instance.",
        trackable_requests,
    ),
    reading_case(
        "capability/down-sampling",
        "Looks whether factor 1 is among the down-sampling factors.",
        down_sampling,
    ),
    reading_case(
        "capability/epoch-type",
        "Reads the epoch type of every instance.",
        epoch_type,
    ),
    reading_case(
        "capability/hotlist-size",
        "Reads the number of hotlist entries of every instance.",
        hotlist_size,
    ),
    reading_case(
        "capability/hotlist-inside-bar",
        "Compares the end of every hotlist with the size of the BAR.",
        hotlist_inside_bar,
    ),
    reading_case(
        "capability/ranges-inside-bar",
        "Compares the end of every range bitmap with the size of the BAR.",
        ranges_inside_bar,
    ),
    reading_case(
        "capability/no-overlap",
        "Sorts registers, bitmaps and hotlists of all instances by place and compares neighbours.",
        no_overlap,
    ),
    reading_case(
        "capability/reserved",
        "Reads the bits of the second capability register that have no meaning.",
        reserved,
    ),
    case(
        "capability/read-only",
        "Writes zeros and ones to the capability registers and reads them back.",
        read_only,
    ),
    reading_case(
        "capability/hotlist-aligned",
        "Looks at the low bits of every hotlist's place.",
        hotlist_aligned,
    ),
    reading_case(
        "capability/ranges-aligned",
        "Looks at the low bits of every range bitmap's place.",
        ranges_aligned,
    ),
    reading_case(
        "capability/message-number",
        "Compares the message number of every instance with the messages of the function.",
        message_number,
    ),
    case(
        "capability/constant",
        "Reads the capability registers before an enable, after it and after a disable.",
        constant,
    ),
];

/// The registers that say what an instance can do.
const CAPABILITY_REGISTERS: [u64; 4] = [
    offset::CAPABILITIES_0,
    offset::CAPABILITIES_1,
    offset::RANGE_BITMAP_OFFSET,
    offset::HOTLIST_OFFSET,
];

/// Looks at every instance in turn.
fn each_instance(
    bench: &mut Bench<'_>,
    look: impl Fn(&mut Bench<'_>, InstancePlace) -> Result<(), Stop>,
) -> Outcome {
    each(bench.instances(), |place| {
        bench.switch_to(place);
        look(bench, place)
    })?;
    Ok(Passed::Plainly)
}

fn named(what: &str, place: InstancePlace) -> String {
    format!("{what} of instance {}.{}", place.block, place.instance)
}

fn unit_sizes(bench: &mut Bench<'_>) -> Outcome {
    each_instance(bench, |bench, place| {
        let sizes = bench.capabilities_1()?.unit_sizes();
        let what = named("unit sizes", place);
        let mut findings = Findings::default();
        findings.note(expect(sizes != 0, &what, "none", "at least one"))?;
        let reserved = format!("bits 31:24 of the {what}");
        findings.note(expect_bits(reserved, sizes >> 24, 0))?;
        findings.end()
    })
}

fn modes(bench: &mut Bench<'_>) -> Outcome {
    each_instance(bench, |bench, place| {
        let capabilities = bench.capabilities_1()?;
        let any = capabilities.epoch_mode() || capabilities.always_on_mode();
        expect(
            any,
            named("modes", place),
            "none",
            "epoch mode, always-on mode or both",
        )
    })
}

fn epoch_codes(bench: &mut Bench<'_>) -> Outcome {
    each_instance(bench, |bench, place| {
        if !bench.capabilities_1()?.epoch_mode() {
            return Ok(());
        }
        let capabilities = bench.capabilities_0()?;
        let limits = [
            ("shortest epoch", capabilities.minimum_epoch()),
            ("longest epoch", capabilities.maximum_epoch()),
        ];
        each(limits, |(name, limit)| {
            let read = format!("{:#x}", u64::from(capabilities));
            let expected = "a scale of 1 to 5 and a multiplier above 0";
            expect(limit.is_some(), named(name, place), read, expected)
        })
    })
}

fn epoch_order(bench: &mut Bench<'_>) -> Outcome {
    each_instance(bench, |bench, place| {
        let capabilities = bench.capabilities_0()?;
        let limits = capabilities
            .minimum_epoch()
            .zip(capabilities.maximum_epoch());
        let Some((shortest, longest)) = limits else {
            return Ok(());
        };
        expect(
            shortest.nanoseconds() <= longest.nanoseconds(),
            named("shortest epoch", place),
            shortest.to_string(),
            format!("at most {longest}, the longest"),
        )
    })
}

fn trackable_requests(bench: &mut Bench<'_>) -> Outcome {
    each_instance(bench, |bench, place| {
        let requests = bench.capabilities_0()?.trackable_requests();
        let what = named("trackable requests", place);
        let mut findings = Findings::default();
        findings.note(expect(requests & 0x3f != 0, &what, "none", "at least one"))?;
        let reserved = format!("bits 7:6 of the {what}");
        findings.note(expect_bits(reserved, requests >> 6, 0))?;
        findings.end()
    })
}

fn down_sampling(bench: &mut Bench<'_>) -> Outcome {
    Ok(Passed::As(
        match bench.capabilities_1()?.down_sampling_factors() {
            0 => "none, so there is no down-sampling",
            factors if factors & 1 == 1 => "factor 1 among them",
            _ => "without factor 1",
        },
    ))
}

fn epoch_type(bench: &mut Bench<'_>) -> Outcome {
    each_instance(bench, |bench, place| {
        let code = bench.capabilities_0()?.epoch_type_code();
        let what = named("epoch type", place);
        expect(
            code <= 1,
            what,
            code.to_string(),
            "0 (global) or 1 (per counter)",
        )
    })
}

fn hotlist_size(bench: &mut Bench<'_>) -> Outcome {
    each_instance(bench, |bench, place| {
        let entries = bench.capabilities_0()?.hotlist_entries();
        let what = named("hotlist size", place);
        expect(entries >= 2, what, entries.to_string(), "2 entries or more")
    })
}

/// Offset and length of the hotlist in its BAR.
fn hotlist_area(bench: &mut Bench<'_>) -> Result<Range<u64>, Stop> {
    let start = bench.hotlist_place()?.offset;
    let bytes = u64::from(bench.capabilities_0()?.hotlist_entries()) * ENTRY_BYTES;
    Ok(start..start.saturating_add(bytes))
}

/// Offset and least length of the range bitmap in its BAR.
fn ranges_area(bench: &mut Bench<'_>) -> Result<Range<u64>, Stop> {
    let start = bench.ranges_place()?.offset;
    Ok(start..start.saturating_add(8))
}

fn inside_bar(
    bench: &mut Bench<'_>,
    place: InstancePlace,
    what: &str,
    area: &Range<u64>,
) -> Result<(), Stop> {
    let bar_bytes = bench.subject().transport().bar_bytes(place.start.bar)?;
    expect(
        area.end <= bar_bytes,
        named(what, place),
        format!("{:#x} to {:#x}", area.start, area.end),
        format!(
            "an end at {bar_bytes:#x} or before, where BAR{} ends",
            place.start.bar
        ),
    )
}

fn hotlist_inside_bar(bench: &mut Bench<'_>) -> Outcome {
    each_instance(bench, |bench, place| {
        let area = hotlist_area(bench)?;
        inside_bar(bench, place, "hotlist", &area)
    })
}

fn ranges_inside_bar(bench: &mut Bench<'_>) -> Outcome {
    each_instance(bench, |bench, place| {
        let area = ranges_area(bench)?;
        inside_bar(bench, place, "range bitmap", &area)
    })
}

fn no_overlap(bench: &mut Bench<'_>) -> Outcome {
    let mut areas = Vec::new();
    for place in bench.instances() {
        bench.switch_to(place);
        let start = place.start.offset;
        let registers = start..start.saturating_add(INSTANCE_REGISTERS_BYTES);
        areas.push((place.start.bar, registers, named("registers", place)));
        areas.push((
            place.start.bar,
            ranges_area(bench)?,
            named("range bitmap", place),
        ));
        areas.push((
            place.start.bar,
            hotlist_area(bench)?,
            named("hotlist", place),
        ));
    }
    areas.sort_by_key(|(bar, area, _)| (*bar, area.start));
    each(areas.windows(2), |pair| {
        let [(bar, first, first_name), (next_bar, second, second_name)] = pair else {
            return Ok(());
        };
        expect(
            bar != next_bar || first.end <= second.start,
            format!("start of the {second_name} in BAR{bar}"),
            format!("{:#x}", second.start),
            format!("{:#x} or later, where the {first_name} ends", first.end),
        )
    })?;
    Ok(Passed::Plainly)
}

fn reserved(bench: &mut Bench<'_>) -> Outcome {
    each_instance(bench, |bench, place| {
        let second = bench.register(offset::CAPABILITIES_1)?;
        let what = named("bits 63:53 of the second capability register", place);
        expect_bits(what, second >> 53, 0)
    })
}

fn read_only(bench: &mut Bench<'_>) -> Outcome {
    each_instance(bench, |bench, place| {
        each(CAPABILITY_REGISTERS, |at| {
            let before = bench.register(at)?;
            for value in [0, u64::MAX] {
                bench.set_register(at, value)?;
                let situation = named(&format!("after a write of {value:#x}"), place);
                expect_register(at, situation, bench.register(at)?, before)?;
            }
            Ok(())
        })
    })
}

fn hotlist_aligned(bench: &mut Bench<'_>) -> Outcome {
    each_instance(bench, |bench, place| {
        let start = hotlist_area(bench)?.start;
        expect_equal(named("hotlist's place modulo 8", place), start % 8, 0)
    })
}

fn ranges_aligned(bench: &mut Bench<'_>) -> Outcome {
    each_instance(bench, |bench, place| {
        let start = ranges_area(bench)?.start;
        expect_equal(named("range bitmap's place modulo 8", place), start % 8, 0)
    })
}

fn message_number(bench: &mut Bench<'_>) -> Outcome {
    let messages = bench.need_interrupts()?;
    let mut any = false;
    each(bench.instances(), |place| {
        bench.switch_to(place);
        let capabilities = bench.capabilities_0()?;
        if !capabilities.overflow_interrupt() && !capabilities.fill_level_interrupt() {
            return Ok(());
        }
        any = true;
        let number = capabilities.message_number();
        expect(
            u16::from(number) < messages,
            named("message number", place),
            number.to_string(),
            format!("below {messages}, the messages of the function"),
        )
    })?;
    match any {
        true => Ok(Passed::Plainly),
        false => skip("no instance has interrupts"),
    }
}

/// What all of them read as.
pub(super) fn read_all(bench: &Bench<'_>) -> Result<Vec<u64>, Stop> {
    let registers = CAPABILITY_REGISTERS.iter();
    registers.map(|at| bench.register(*at)).collect()
}

/// In each situation they must read as before.
pub(super) fn expect_same(before: &[u64], looks: &[(&str, Vec<u64>)]) -> Result<(), Stop> {
    let registers = CAPABILITY_REGISTERS.iter().enumerate();
    each(registers, |(index, at)| {
        for (situation, read) in looks {
            expect_register(*at, *situation, read[index], before[index])?;
        }
        Ok(())
    })
}

fn constant(bench: &mut Bench<'_>) -> Outcome {
    let before = read_all(bench)?;
    let setup = bench.setup()?;
    bench.start(&setup)?;
    let during = read_all(bench)?;
    bench.stop()?;
    let after = read_all(bench)?;
    expect_same(
        &before,
        &[
            ("while the instance is enabled", during),
            ("after a disable", after),
        ],
    )?;
    Ok(Passed::Plainly)
}
