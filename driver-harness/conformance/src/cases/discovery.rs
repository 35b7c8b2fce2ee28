// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Finding blocks and instances.

use chmu_driver::transport::{BarOffset, Width};
use chmu_spec::chmu::{BLOCK_HEADER_BYTES, BLOCK_VERSION, INSTANCE_REGISTERS_BYTES, offset};

use crate::bench::Bench;
use crate::case::{Case, Reach, case, reading_case};
use crate::outcome::{Outcome, Passed, Stop, each, expect, expect_bits, expect_equal, fail};

pub(super) const CASES: &[Case] = &[
    reading_case(
        "discovery/locator-present",
        "Looks through the extended capabilities for the Register Locator.",
        locator_present,
    )
    .within(Reach::Function),
    reading_case(
        "discovery/block-listed",
        "Counts the Register Locator's entries with block id 5.",
        block_listed,
    )
    .within(Reach::Function),
    reading_case(
        "discovery/bar-exists",
        "Asks for the size of each BAR that a CHMU entry names.",
        bar_exists,
    )
    .within(Reach::Function),
    reading_case(
        "discovery/block-inside-bar",
        "Compares header, instance count and instance length with the size of the BAR.",
        block_inside_bar,
    )
    .within(Reach::Function),
    reading_case(
        "discovery/entries-distinct",
        "Compares the places of all Register Locator entries.",
        entries_distinct,
    )
    .within(Reach::Function),
    reading_case(
        "discovery/block-version",
        "Reads the version in each block header.",
        block_version,
    )
    .within(Reach::Blocks),
    reading_case(
        "discovery/instances-present",
        "Reads the instance count in each block header.",
        instances_present,
    )
    .within(Reach::Blocks),
    reading_case(
        "discovery/instance-length",
        "Reads the instance length in each block header.",
        instance_length,
    )
    .within(Reach::Blocks),
    reading_case(
        "discovery/header-reserved",
        "Reads the bits of each block header that have no meaning.",
        header_reserved,
    )
    .within(Reach::Blocks),
    case(
        "discovery/header-read-only",
        "Writes zeros and ones to each block header and reads it back.",
        header_read_only,
    ),
    reading_case(
        "discovery/instances-answer",
        "Reads the second capability register of every instance.",
        instances_answer,
    ),
];

fn block_version(bench: &mut Bench<'_>) -> Outcome {
    each(bench.blocks(), |block| {
        let header = bench.read_at(block.start, Width::Eight)?;
        let what = format!("version of block {}", block.block);
        expect_equal(what, header & 0xf, BLOCK_VERSION.into())
    })?;
    Ok(Passed::Plainly)
}

fn instances_present(bench: &mut Bench<'_>) -> Outcome {
    each(bench.blocks(), |block| {
        let what = format!("instances of block {}", block.block);
        expect(block.instances > 0, what, "0", "1 or more")
    })?;
    Ok(Passed::Plainly)
}

fn instance_length(bench: &mut Bench<'_>) -> Outcome {
    each(bench.blocks(), |block| {
        let length = u64::from(block.instance_length);
        let what = format!("instance length of block {}", block.block);
        let expected = format!("{INSTANCE_REGISTERS_BYTES:#x} or more");
        expect(
            length >= INSTANCE_REGISTERS_BYTES,
            what,
            format!("{length:#x}"),
            expected,
        )
    })?;
    Ok(Passed::Plainly)
}

fn header_reserved(bench: &mut Bench<'_>) -> Outcome {
    let registers = [
        ("the header", offset::BLOCK_HEADER, 0xff0f),
        ("the instance length", offset::INSTANCE_LENGTH, 0xffff),
    ];
    each(bench.blocks(), |block| {
        each(registers, |(register, at, used)| {
            let value = bench.read_at(block.start.plus(at), Width::Eight)?;
            let what = format!("reserved bits of {register} of block {}", block.block);
            expect_bits(what, value & !used, 0)
        })
    })?;
    Ok(Passed::Plainly)
}

fn header_read_only(bench: &mut Bench<'_>) -> Outcome {
    each(bench.blocks(), |block| {
        each([offset::BLOCK_HEADER, offset::INSTANCE_LENGTH], |at| {
            let place = block.start.plus(at);
            let before = bench.read_at(place, Width::Eight)?;
            for value in [0, u64::MAX] {
                bench.write_at(place, Width::Eight, value)?;
                let after = bench.read_at(place, Width::Eight)?;
                let what = format!("{place} after a write of {value:#x}");
                expect_bits(what, after, before)?;
            }
            Ok(())
        })
    })?;
    Ok(Passed::Plainly)
}

/// CXL DVSECs, transcribed by hand: the extended capability's id, the vendor, and the ids of single
/// DVSECs (CXL r3.2 8.1).
const DVSEC: u32 = 0x23;
const CXL_VENDOR: u32 = 0x1e98;
const REGISTER_LOCATOR: u16 = 8;
const CHMU_BLOCK: u8 = 5;
/// Extended configuration space holds no more capabilities than this.
const CAPABILITIES_MAX: usize = 960;

/// Where the CXL DVSEC with an id starts in configuration space.
pub(super) fn extended_capability(bench: &mut Bench<'_>, id: u16) -> Result<Option<u16>, Stop> {
    let transport = bench.subject().transport();
    let mut offset = 0x100;
    for _ in 0..CAPABILITIES_MAX {
        let header = transport.read_config(offset, Width::Four)?;
        if header == 0 || header == u32::MAX {
            return Ok(None);
        }
        let vendor = transport.read_config(offset + 4, Width::Four)? & 0xffff;
        let found = transport.read_config(offset + 8, Width::Two)?;
        if header & 0xffff == DVSEC && vendor == CXL_VENDOR && found == u32::from(id) {
            return Ok(Some(offset));
        }
        match u16::try_from(header >> 20 & !3) {
            Ok(next @ 0x100..) => offset = next,
            _ => return Ok(None),
        }
    }
    Ok(None)
}

/// The Register Locator's entries: block id and place. Empty entries are left out.
pub(super) fn register_blocks(bench: &mut Bench<'_>) -> Result<Vec<(u8, BarOffset)>, Stop> {
    let Some(locator) = extended_capability(bench, REGISTER_LOCATOR)? else {
        return fail(
            "Register Locator DVSEC",
            "none",
            "one, with vendor 0x1e98 and id 8",
        );
    };
    let transport = bench.subject().transport();
    let length = transport.read_config(locator + 4, Width::Four)? >> 20;
    let entries = u16::try_from(length.saturating_sub(0x0c) / 8).unwrap_or(0);
    let mut blocks = Vec::new();
    for entry in 0..entries {
        let at = locator + 0x0c + entry * 8;
        let low = transport.read_config(at, Width::Four)?;
        let high = transport.read_config(at + 4, Width::Four)?;
        let [bir, id, ..] = low.to_le_bytes();
        if id != 0 {
            let bar = bir & 7;
            let offset = u64::from(high) << 32 | u64::from(low & 0xffff_0000);
            blocks.push((id, BarOffset { bar, offset }));
        }
    }
    Ok(blocks)
}

fn locator_present(bench: &mut Bench<'_>) -> Outcome {
    register_blocks(bench)?;
    Ok(Passed::Plainly)
}

fn chmu_blocks(bench: &mut Bench<'_>) -> Result<Vec<BarOffset>, Stop> {
    let blocks = register_blocks(bench)?
        .into_iter()
        .filter(|(id, _)| *id == CHMU_BLOCK);
    Ok(blocks.map(|(_, place)| place).collect())
}

fn block_listed(bench: &mut Bench<'_>) -> Outcome {
    let listed = chmu_blocks(bench)?.len();
    let what = "Register Locator entries with block id 5";
    expect(listed > 0, what, "none", "at least one")?;
    Ok(Passed::Plainly)
}

fn bar_exists(bench: &mut Bench<'_>) -> Outcome {
    each(chmu_blocks(bench)?, |place| {
        let size = bench
            .subject()
            .transport()
            .bar_bytes(place.bar)
            .unwrap_or(0);
        let what = format!("size of BAR{}, which a CHMU entry names", place.bar);
        expect(size > 0, what, "0", "a memory BAR")
    })?;
    Ok(Passed::Plainly)
}

fn block_inside_bar(bench: &mut Bench<'_>) -> Outcome {
    // Where a header lies outside, nothing more can be read of any block.
    each(chmu_blocks(bench)?, |place| {
        let Ok(size) = bench.subject().transport().bar_bytes(place.bar) else {
            return Ok(());
        };
        expect(
            place.plus(BLOCK_HEADER_BYTES).offset <= size || size == 0,
            format!("place of a CHMU header in BAR{}", place.bar),
            format!("{:#x}", place.offset),
            format!("{:#x} at most", size.saturating_sub(BLOCK_HEADER_BYTES)),
        )
    })?;
    each(bench.blocks(), |block| {
        let length = u64::from(block.instance_length) * u64::from(block.instances);
        let end = block.start.plus(BLOCK_HEADER_BYTES + length).offset;
        let size = bench.subject().transport().bar_bytes(block.start.bar)?;
        let what = format!("end of block {} in BAR{}", block.block, block.start.bar);
        expect(
            end <= size,
            what,
            format!("{end:#x}"),
            format!("{size:#x} at most"),
        )
    })?;
    Ok(Passed::Plainly)
}

fn entries_distinct(bench: &mut Bench<'_>) -> Outcome {
    let blocks = register_blocks(bench)?;
    each(blocks.iter().enumerate(), |(index, (id, place))| {
        let again = blocks[..index].iter().find(|(_, other)| other == place);
        let read = format!("{place}, as for block id {id}");
        let what = "place of a Register Locator entry";
        expect(again.is_none(), what, read, "a place of its own")
    })?;
    Ok(Passed::Plainly)
}

fn instances_answer(bench: &mut Bench<'_>) -> Outcome {
    each(bench.instances(), |place| {
        bench.switch_to(place);
        let capabilities = bench.register(offset::CAPABILITIES_1)?;
        let what = format!(
            "second capability register of instance {}.{}",
            place.block, place.instance
        );
        let answers = capabilities != 0 && capabilities != u64::MAX;
        expect(answers, what, format!("{capabilities:#x}"), "capabilities")
    })?;
    Ok(Passed::Plainly)
}
