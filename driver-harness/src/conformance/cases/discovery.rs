// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Finding blocks and instances.

use chmu_spec::chmu::{BLOCK_VERSION, INSTANCE_REGISTERS_BYTES, offset};

use crate::conformance::bench::Bench;
use crate::conformance::case::{
    Case, Outcome, Passed, case, expect, expect_bits, expect_equal, reading_case,
};
use crate::transport::Width;

pub(super) const CASES: &[Case] = &[
    reading_case("discovery/block-version", block_version),
    reading_case("discovery/instances-present", instances_present),
    reading_case("discovery/instance-length", instance_length),
    reading_case("discovery/header-reserved", header_reserved),
    case("discovery/header-read-only", header_read_only),
];

fn block_version(bench: &mut Bench<'_>) -> Outcome {
    for block in bench.blocks() {
        let header = bench.read_at(block.start, Width::Eight)?;
        let what = format!("version of block {}", block.block);
        expect_equal(what, header & 0xf, BLOCK_VERSION.into())?;
    }
    Ok(Passed::Plainly)
}

fn instances_present(bench: &mut Bench<'_>) -> Outcome {
    for block in bench.blocks() {
        let what = format!("instances of block {}", block.block);
        expect(block.instances > 0, what, "0", "1 or more")?;
    }
    Ok(Passed::Plainly)
}

fn instance_length(bench: &mut Bench<'_>) -> Outcome {
    for block in bench.blocks() {
        let length = u64::from(block.instance_length);
        let what = format!("instance length of block {}", block.block);
        let expected = format!("{INSTANCE_REGISTERS_BYTES:#x} or more");
        expect(
            length >= INSTANCE_REGISTERS_BYTES,
            what,
            format!("{length:#x}"),
            expected,
        )?;
    }
    Ok(Passed::Plainly)
}

fn header_reserved(bench: &mut Bench<'_>) -> Outcome {
    for block in bench.blocks() {
        let what = |register| format!("reserved bits of {register} of block {}", block.block);
        let header = bench.read_at(block.start.plus(offset::BLOCK_HEADER), Width::Eight)?;
        expect_bits(what("the header"), header & !0xff0f, 0)?;
        let length = bench.read_at(block.start.plus(offset::INSTANCE_LENGTH), Width::Eight)?;
        expect_bits(what("the instance length"), length & !0xffff, 0)?;
    }
    Ok(Passed::Plainly)
}

fn header_read_only(bench: &mut Bench<'_>) -> Outcome {
    for block in bench.blocks() {
        for at in [offset::BLOCK_HEADER, offset::INSTANCE_LENGTH] {
            let place = block.start.plus(at);
            let before = bench.read_at(place, Width::Eight)?;
            for value in [0, u64::MAX] {
                bench.write_at(place, Width::Eight, value)?;
                let after = bench.read_at(place, Width::Eight)?;
                let what = format!("{place} after a write of {value:#x}");
                expect_bits(what, after, before)?;
            }
        }
    }
    Ok(Passed::Plainly)
}
