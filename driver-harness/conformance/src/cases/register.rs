// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Access to registers: widths, read-only and reserved bits, side effects.

use chmu_driver::transport::{BarOffset, Width};
use chmu_spec::chmu::{Configuration0, Status, offset};

use crate::bench::{Bench, HOT, Ranges};
use crate::case::{Case, case};
use crate::outcome::{
    Findings, Outcome, Passed, Stop, expect_bits, expect_equal, expect_register, skip,
};

pub(super) const CASES: &[Case] = &[
    case(
        "register/read-widths",
        "Reads each register whole and in pieces of 4, 2 and 1 bytes.",
        read_widths,
    ),
    case(
        "register/half-writes",
        "Writes each half of each configuration register and reads the whole back.",
        half_writes,
    ),
    case(
        "register/narrow-writes",
        "Writes 2 bytes and 1 byte at each place of the configuration registers and reads the whole back.",
        narrow_writes,
    ),
    case(
        "register/configuration-readback",
        "Sets and clears each configuration bit on its own and reads the fields back.",
        configuration_readback,
    ),
    case(
        "register/configuration-reserved",
        "Writes ones to the reserved configuration bits and reads them back.",
        configuration_reserved,
    ),
    case(
        "register/status-read-only",
        "Writes the status bits that cannot be cleared and reads the status back.",
        status_read_only,
    ),
    case(
        "register/status-reserved",
        "Reads the reserved status bits, disabled and enabled.",
        status_reserved,
    ),
    case(
        "register/tail-read-only",
        "Writes the tail of an enabled instance and reads it back.",
        tail_read_only,
    ),
    case(
        "register/power-on-values",
        "Configures, resets the function, and reads configuration and status.",
        power_on_values,
    ),
    case(
        "register/reads-are-free",
        "Lists a unit, then reads each register four times and the entries twice.",
        reads_are_free,
    ),
    case(
        "register/indices-widths",
        "Lists a unit and reads head and tail apart, by 4 bytes and by 8 bytes.",
        indices_widths,
    ),
    case(
        "register/head-widths",
        "Lists a unit and writes the head by 2, 4 and 8 bytes.",
        head_widths,
    ),
    case(
        "register/gaps",
        "Reads the offsets of an instance that no register has.",
        gaps,
    ),
    case(
        "register/ranges-readback",
        "Writes four patterns to the first word of the range bitmap and reads them back.",
        ranges_readback,
    ),
    case(
        "register/ranges-half-writes",
        "Writes each half of the first word of the range bitmap and reads the whole back.",
        ranges_half_writes,
    ),
];

/// Every register of an instance that may be read in 64-bit pieces.
const REGISTERS: [u64; 9] = [
    offset::CAPABILITIES_0,
    offset::CAPABILITIES_1,
    offset::RANGE_BITMAP_OFFSET,
    offset::HOTLIST_OFFSET,
    offset::CONFIGURATION_0,
    offset::CONFIGURATION_1,
    offset::CONFIGURATION_2,
    offset::STATUS,
    offset::HOTLIST_HEAD,
];

/// Fields of the configuration registers without enable and reset, transcribed by hand.
const CONFIGURATION: [(u64, u64); 3] = [
    (offset::CONFIGURATION_0, 0xffff_ffff_0000_07ff),
    (offset::CONFIGURATION_1, 0xffff_ff0f_ffff_ffff),
    (offset::CONFIGURATION_2, 0x0000_0000_0000_ffff),
];

/// A register read in pieces of a width and put together.
fn read_in_pieces(bench: &Bench<'_>, register: u64, width: Width) -> Result<u64, Stop> {
    let bytes = width.bytes() as u64;
    let mut value = 0;
    for piece in 0..8 / bytes {
        let part = bench.read(register + piece * bytes, width)?;
        value |= part << (piece * bytes * 8);
    }
    Ok(value)
}

fn read_widths(bench: &mut Bench<'_>) -> Outcome {
    let mut findings = Findings::default();
    let setup = bench.setup()?;
    bench.configure(&setup)?;
    for register in REGISTERS {
        let whole = bench.register(register)?;
        for width in [Width::Four, Width::Two, Width::One] {
            let situation = format!("read in pieces of {} bytes", width.bytes());
            let pieces = read_in_pieces(bench, register, width)?;
            findings.note(expect_register(register, situation, pieces, whole))?;
        }
    }
    findings.end()?;
    Ok(Passed::Plainly)
}

/// Two patterns without enable and reset whose bytes all differ.
const PATTERNS: [u64; 2] = [0x1234_5678_0000_0203, 0x89ab_cdef_0000_0504];

/// Writes a pattern over another one in pieces of `width`, one piece at a time.
fn write_pieces(bench: &mut Bench<'_>, width: Width) -> Outcome {
    let mut findings = Findings::default();
    let bytes = width.bytes() as u64;
    let lane = u64::MAX >> (64 - bytes * 8);
    for (register, fields) in CONFIGURATION {
        for piece in 0..8 / bytes {
            let [before, after] = PATTERNS.map(|pattern| pattern & fields);
            bench.set_register(register, before)?;
            let shift = piece * bytes * 8;
            bench.write(register + piece * bytes, width, (after >> shift) & lane)?;
            let lanes = lane << shift;
            let expected = (before & !lanes) | (after & lanes);
            let at = register + piece * bytes;
            let situation = format!("after a write of {bytes} bytes at {at:#x}");
            let read = bench.register(register)?;
            findings.note(expect_register(register, situation, read, expected))?;
        }
        bench.set_register(register, 0)?;
    }
    findings.end()?;
    Ok(Passed::Plainly)
}

fn half_writes(bench: &mut Bench<'_>) -> Outcome {
    write_pieces(bench, Width::Four)
}

fn narrow_writes(bench: &mut Bench<'_>) -> Outcome {
    write_pieces(bench, Width::Two)?;
    write_pieces(bench, Width::One)
}

fn configuration_readback(bench: &mut Bench<'_>) -> Outcome {
    let mut findings = Findings::default();
    for (register, fields) in CONFIGURATION {
        for bit in (0..64).filter(|bit| fields >> bit & 1 == 1) {
            for value in [1 << bit, fields & !(1 << bit)] {
                bench.set_register(register, value)?;
                let situation = format!("after a write of {value:#x}");
                let read = bench.register(register)? & fields;
                findings.note(expect_register(register, situation, read, value))?;
            }
        }
        bench.set_register(register, 0)?;
    }
    findings.end()?;
    Ok(Passed::Plainly)
}

fn configuration_reserved(bench: &mut Bench<'_>) -> Outcome {
    let mut findings = Findings::default();
    let actions = Configuration0::new().with_enable(true).with_reset(true);
    for (register, fields) in CONFIGURATION {
        let actions = match register {
            offset::CONFIGURATION_0 => u64::from(actions),
            _ => 0,
        };
        // Bits 39:36 belong to the down-sampling factor in some implementations.
        let shared = match register {
            offset::CONFIGURATION_1 => 0xf << 36,
            _ => 0,
        };
        let reserved = !(fields | actions | shared);
        bench.set_register(register, reserved)?;
        let situation = "after ones were written to its reserved bits";
        let read = bench.register(register)? & reserved;
        findings.note(expect_register(register, situation, read, 0))?;
        bench.set_register(register, 0)?;
    }
    findings.end()?;
    Ok(Passed::Plainly)
}

/// The status bits that a host may clear.
fn clearable() -> u64 {
    Status::new()
        .with_overflow(true)
        .with_fill_level(true)
        .into()
}

fn status_read_only(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    bench.configure(&setup)?;
    let before = bench.register(offset::STATUS)?;
    for value in [!clearable(), 0] {
        bench.set_register(offset::STATUS, value)?;
        let situation = format!("after a write of {value:#x}");
        expect_register(
            offset::STATUS,
            situation,
            bench.register(offset::STATUS)?,
            before,
        )?;
    }
    Ok(Passed::Plainly)
}

fn status_reserved(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    for enabled in [false, true] {
        if enabled {
            bench.start(&setup)?;
        }
        let status = bench.register(offset::STATUS)?;
        expect_bits(
            "bits 15:1 and 63:42 of the status",
            status & 0xffff_fc00_0000_fffe,
            0,
        )?;
    }
    Ok(Passed::Plainly)
}

fn tail_read_only(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    bench.start(&setup)?;
    let before = bench.tail()?;
    bench.write(offset::HOTLIST_TAIL, Width::Two, u64::from(before) + 1)?;
    Ok(Passed::As(match bench.tail()? {
        after if after == before => "ignored",
        _ => "taken over",
    }))
}

fn power_on_values(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    bench.configure(&setup)?;
    if !bench.subject().reset_function().map_err(Stop::Broken)? {
        return skip(format!(
            "the {} path cannot reset the function",
            bench.subject().path()
        ));
    }
    for (register, _) in CONFIGURATION {
        let what = format!("register {register:#x} after a function level reset");
        expect_bits(what, bench.register(register)?, 0)?;
    }
    let status = bench.status()?;
    for (bit, is_set) in [
        ("enabled", status.enabled()),
        ("overflow", status.overflow()),
        ("fill level", status.fill_level()),
    ] {
        expect_equal(format!("{bit} after a function level reset"), is_set, false)?;
    }
    expect_equal(
        "operation in progress after a function level reset",
        status.operation_code(),
        0,
    )?;
    Ok(Passed::Plainly)
}

fn reads_are_free(bench: &mut Bench<'_>) -> Outcome {
    bench.need_exact_traffic()?;
    let setup = bench.epoch_setup()?;
    let unit = bench.units(setup.unit_size, 1)?[0];
    bench.start(&setup)?;
    bench.touch(&setup, &[(unit, HOT)])?;
    bench.end_epoch(&setup)?;
    for register in REGISTERS {
        let first = bench.register(register)?;
        for _ in 0..3 {
            let what = format!("register {register:#x} read again");
            expect_bits(what, bench.register(register)?, first)?;
        }
    }
    expect_equal("entries read again", bench.peek()?, bench.peek()?)?;
    Ok(Passed::Plainly)
}

/// Leaves an entry on the list, so that head and tail differ.
fn list_one(bench: &mut Bench<'_>) -> Result<(), Stop> {
    let setup = bench.setup()?;
    let unit = bench.units(setup.unit_size, 1)?[0];
    bench.start(&setup)?;
    bench.touch(&setup, &[(unit, HOT)])?;
    bench.end_epoch(&setup)
}

fn indices_widths(bench: &mut Bench<'_>) -> Outcome {
    bench.need_exact_traffic()?;
    list_one(bench)?;
    let both = u64::from(bench.head()?) | u64::from(bench.tail()?) << 16;
    let four = bench.read(offset::HOTLIST_HEAD, Width::Four)?;
    expect_bits("head and tail in one read of 4 bytes", four, both)?;
    let eight = bench.read(offset::HOTLIST_HEAD, Width::Eight)?;
    expect_bits(
        "head and tail in one read of 8 bytes",
        eight & 0xffff_ffff,
        both,
    )?;
    Ok(Passed::Plainly)
}

fn head_widths(bench: &mut Bench<'_>) -> Outcome {
    bench.need_exact_traffic()?;
    for width in [Width::Two, Width::Four, Width::Eight] {
        bench.quiesce()?;
        list_one(bench)?;
        let tail = bench.tail()?;
        // The wider writes carry the tail along, as drivers do.
        let value = match width {
            Width::Two => u64::from(tail),
            _ => u64::from(tail) | u64::from(tail) << 16,
        };
        bench.write(offset::HOTLIST_HEAD, width, value)?;
        let what = format!("head after a write of {} bytes", width.bytes());
        expect_equal(what, bench.head()?, tail)?;
        let what = format!("tail after a write of {} bytes", width.bytes());
        expect_equal(what, bench.tail()?, tail)?;
    }
    Ok(Passed::Plainly)
}

fn gaps(bench: &mut Bench<'_>) -> Outcome {
    for at in [0x20, 0x28, 0x30, 0x38, 0x58] {
        expect_bits(
            format!("offset {at:#x}, which no register has"),
            bench.register(at)?,
            0,
        )?;
    }
    expect_bits(
        "offset 0x6c, which no register has",
        bench.read(0x6c, Width::Four)?,
        0,
    )?;
    Ok(Passed::Plainly)
}

fn ranges_readback(bench: &mut Bench<'_>) -> Outcome {
    let bits = bench.range_bits()?;
    let used = u64::MAX >> (64 - bits.min(64));
    let place: BarOffset = bench.ranges_place()?;
    let setup = bench.setup()?;
    for pattern in [0xaaaa_aaaa_aaaa_aaaa, 0x5555_5555_5555_5555, u64::MAX, 0] {
        let mut setup = setup.clone();
        setup.ranges = Ranges::Words(vec![pattern & used]);
        bench.configure(&setup)?;
        let read = bench.read_at(place, Width::Eight)?;
        let what = format!("range bitmap after a write of {:#x}", pattern & used);
        expect_bits(what, read & used, pattern & used)?;
    }
    Ok(Passed::Plainly)
}

fn ranges_half_writes(bench: &mut Bench<'_>) -> Outcome {
    let bits = bench.range_bits()?;
    let used = u64::MAX >> (64 - bits.min(64));
    let place = bench.ranges_place()?;
    for half in 0..2 {
        let lanes = 0xffff_ffff << (half * 32);
        for (before, after) in [(0, u64::MAX), (u64::MAX, 0)] {
            bench.write_at(place, Width::Eight, before & used)?;
            let written = (after & used) >> (half * 32) & 0xffff_ffff;
            bench.write_at(place.plus(half * 4), Width::Four, written)?;
            let expected = (before & used & !lanes) | (after & used & lanes);
            let what = format!("range bitmap after a write of 4 bytes to half {half}");
            expect_bits(what, bench.read_at(place, Width::Eight)? & used, expected)?;
        }
    }
    bench
        .write_at(place, Width::Eight, 0)
        .map(|()| Passed::Plainly)
}
