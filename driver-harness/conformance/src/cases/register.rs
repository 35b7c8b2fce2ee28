// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Access to registers: widths, read-only and reserved bits, side effects.

use chmu_driver::transport::{BarOffset, Width};
use chmu_spec::chmu::{Configuration0, Mode, Status, offset};

use crate::bench::{Bench, Setup};
use crate::case::{Case, case};
use crate::cases::reset::reset_function;
use crate::outcome::{
    Findings, Outcome, Passed, Stop, each, expect_bits, expect_equal, expect_register, fail, skip,
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
        "Writes each value on offer of each configuration field and reads the fields back.",
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
        "Configures, resets the function, and reads the status.",
        power_on_values,
    ),
    case(
        "register/reads-are-free",
        "Lists a unit, which sets the fill level, then reads each register four times and the entries twice.",
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
    bench.need_narrow_accesses()?;
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

/// Two configurations on offer that differ in as much as may be.
fn patterns(bench: &mut Bench<'_>) -> Result<[Setup; 2], Stop> {
    let first = bench.setup()?;
    let other_size = bench
        .unit_sizes()?
        .iter()
        .find(|size| *size != first.unit_size);
    let mut second = match other_size {
        Some(size) => bench.with_unit_size(&first, size)?,
        None => first.clone(),
    };
    second.fill_level = 1;
    if let Some(filter) = bench.filters()?.iter().find(|one| *one != first.filter) {
        second.filter = filter;
    }
    second.threshold = 1;
    second.overflow_interrupt = bench.capabilities_0()?.overflow_interrupt();
    Ok([first, second])
}

/// The value of a configuration register in a configuration.
fn value_of(setup: &Setup, register: u64) -> u64 {
    match register {
        offset::CONFIGURATION_0 => setup.configuration_0(false).into(),
        offset::CONFIGURATION_1 => setup.configuration_1().into(),
        _ => setup.configuration_2().into(),
    }
}

/// Writes a pattern over another one in pieces of `width`, one piece at a time. What is expected is
/// what the whole of each pattern reads back as: fields that a device need not have stay out.
fn write_pieces(bench: &mut Bench<'_>, width: Width) -> Outcome {
    let mut findings = Findings::default();
    let bytes = width.bytes() as u64;
    let lane = u64::MAX >> (64 - bytes * 8);
    let patterns = patterns(bench)?;
    for (register, _) in CONFIGURATION {
        let mut shown = [0; 2];
        for (shown, pattern) in shown.iter_mut().zip(&patterns) {
            bench.set_register(register, value_of(pattern, register))?;
            *shown = bench.register(register)?;
        }
        let [before, after] = shown;
        for piece in 0..8 / bytes {
            for (before, after) in [(before, after), (after, before)] {
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
        }
        bench.set_register(register, 0)?;
    }
    findings.end()?;
    Ok(Passed::Plainly)
}

fn half_writes(bench: &mut Bench<'_>) -> Outcome {
    bench.need_narrow_accesses()?;
    write_pieces(bench, Width::Four)
}

fn narrow_writes(bench: &mut Bench<'_>) -> Outcome {
    bench.need_narrow_accesses()?;
    write_pieces(bench, Width::Two)?;
    write_pieces(bench, Width::One)
}

/// Configurations on offer that between them have each value on offer of each field.
fn offered(bench: &mut Bench<'_>) -> Result<Vec<Setup>, Stop> {
    let base = bench.setup()?;
    let (first, second) = (bench.capabilities_0()?, bench.capabilities_1()?);
    let mut setups = vec![base.clone()];
    for filter in bench.filters()?.iter() {
        setups.push(Setup {
            filter,
            ..base.clone()
        });
    }
    for size in bench.unit_sizes()?.iter() {
        setups.push(bench.with_unit_size(&base, size)?);
    }
    let factors = second.down_sampling_factors();
    for down_sampling_log2 in (0..16).filter(|log2| factors >> log2 & 1 == 1) {
        setups.push(Setup {
            down_sampling_log2,
            ..base.clone()
        });
    }
    // Every bit of a threshold that a counter can reach.
    let thresholds = (0..32).map(|bit| 1_u64 << bit);
    for threshold in thresholds.filter(|threshold| *threshold <= base.largest_count) {
        let threshold = u32::try_from(threshold).unwrap_or(u32::MAX);
        setups.push(Setup {
            threshold,
            ..base.clone()
        });
    }
    // Every bit of a number of entries that the list can hold.
    let levels = (0..16).map(|bit| 1_u16 << bit);
    for fill_level in levels.filter(|level| *level < first.hotlist_entries()) {
        setups.push(Setup {
            fill_level,
            ..base.clone()
        });
    }
    let limits = [first.minimum_epoch(), first.maximum_epoch()];
    for epoch in limits.into_iter().flatten().filter(|_| second.epoch_mode()) {
        setups.push(Setup {
            epoch,
            ..base.clone()
        });
    }
    let modes = [
        (second.epoch_mode(), Mode::Epoch),
        (second.always_on_mode(), Mode::AlwaysOn),
    ];
    for (_, mode) in modes.into_iter().filter(|(offered, _)| *offered) {
        setups.push(Setup {
            mode,
            ..base.clone()
        });
    }
    setups.push(Setup {
        randomise: second.randomised_down_sampling(),
        overflow_interrupt: first.overflow_interrupt(),
        fill_level_interrupt: first.fill_level_interrupt(),
        ..base
    });
    Ok(setups)
}

fn configuration_readback(bench: &mut Bench<'_>) -> Outcome {
    let mut findings = Findings::default();
    for setup in offered(bench)? {
        for (register, fields) in CONFIGURATION {
            // More entries than the list has are no number of entries.
            let fields = match register {
                offset::CONFIGURATION_2 if setup.fill_level == u16::MAX => continue,
                // Without epochs, nobody needs a length of one.
                offset::CONFIGURATION_1 if setup.mode == Mode::AlwaysOn => {
                    fields & 0x0000_ffff_ffff_ffff
                }
                _ => fields,
            };
            let value = value_of(&setup, register);
            bench.set_register(register, value)?;
            let situation = format!("after a write of {value:#x}");
            let read = bench.register(register)? & fields;
            findings.note(expect_register(register, situation, read, value & fields))?;
        }
    }
    findings.end()?;
    Ok(Passed::Plainly)
}

fn configuration_reserved(bench: &mut Bench<'_>) -> Outcome {
    let mut findings = Findings::default();
    for (register, _) in CONFIGURATION {
        let reserved = reserved_bits(register);
        bench.set_register(register, reserved)?;
        let situation = "after ones were written to its reserved bits";
        let read = bench.register(register)? & reserved;
        findings.note(expect_register(register, situation, read, 0))?;
        bench.set_register(register, 0)?;
    }
    let setup = bench.setup()?;
    bench.start(&setup)?;
    for (register, _) in CONFIGURATION {
        let situation = "while the instance is enabled, its reserved bits";
        let read = bench.register(register)? & reserved_bits(register);
        findings.note(expect_register(register, situation, read, 0))?;
    }
    findings.end()?;
    Ok(Passed::Plainly)
}

/// The bits of a configuration register that have no meaning.
fn reserved_bits(register: u64) -> u64 {
    let fields = CONFIGURATION.iter().find(|(one, _)| *one == register);
    let meaning = match register {
        offset::CONFIGURATION_0 => {
            u64::from(Configuration0::new().with_enable(true).with_reset(true))
        }
        // Bits 39:36 belong to the down-sampling factor in some implementations.
        offset::CONFIGURATION_1 => 0xf << 36,
        _ => 0,
    };
    !(fields.map_or(0, |(_, fields)| *fields) | meaning)
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
    if bench.register(offset::STATUS)? != before {
        return skip("the status changes by itself");
    }
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

/// Reserved bits of the status must be zero.
pub(super) fn expect_no_reserved_status(bench: &Bench<'_>) -> Result<(), Stop> {
    let status = bench.register(offset::STATUS)?;
    expect_bits(
        "bits 15:1 and 63:42 of the status",
        status & 0xffff_fc00_0000_fffe,
        0,
    )
}

fn status_reserved(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    for enabled in [false, true] {
        if enabled {
            bench.start(&setup)?;
        }
        expect_no_reserved_status(bench)?;
    }
    Ok(Passed::Plainly)
}

fn tail_read_only(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    bench.start(&setup)?;
    let before = bench.tail()?;
    let size = bench.capabilities_0()?.hotlist_entries();
    let written = chmu_spec::hotlist::next_index(before, size);
    bench.write(offset::HOTLIST_TAIL, Width::Two, written.into())?;
    match bench.tail()? {
        after if after == before => Ok(Passed::As("ignored")),
        after if after == written => Ok(Passed::As("taken over")),
        // Others list units meanwhile.
        _ if !bench.is_exact() => skip("the tail moved with units of others"),
        after => fail(
            format!("tail after a write of {written} to {before}"),
            after.to_string(),
            format!("{before} (or {written})"),
        ),
    }
}

fn power_on_values(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.setup()?;
    bench.configure(&setup)?;
    reset_function(bench)?;
    let status = bench.status()?;
    let fields = [
        ("enabled", u16::from(status.enabled())),
        ("overflow", status.overflow().into()),
        ("fill level", status.fill_level().into()),
        ("operation in progress", status.operation_code()),
    ];
    each(fields, |(field, value)| {
        expect_equal(format!("{field} after a function level reset"), value, 0)
    })?;
    // The configuration after a reset is a reading of its own.
    Ok(Passed::Plainly)
}

fn reads_are_free(bench: &mut Bench<'_>) -> Outcome {
    let setup = list_one(bench)?;
    // Before anything else reads them.
    let bits = |status: Status| (status.overflow(), status.fill_level());
    let status = bench.status_once(|status| status.overflow() || status.fill_level())?;
    let again = bench.status()?;
    expect_equal(
        "overflow and fill level read again",
        bits(again),
        bits(status),
    )?;
    // Nothing of a disabled instance moves by itself.
    bench.stop()?;
    each(REGISTERS, |register| {
        let first = bench.register(register)?;
        for _ in 0..3 {
            let again = bench.register(register)?;
            expect_register(register, "read again", again, first)?;
        }
        Ok(())
    })?;
    let entries = bench.peek_all()?;
    expect_equal("entries read again", bench.peek_all()?, entries.clone())?;
    match entries.is_empty() {
        true => skip(format!(
            "nothing was listed after {} accesses to a unit",
            setup.hot()
        )),
        false => Ok(Passed::Plainly),
    }
}

/// Leaves an entry on the list, so that head and tail differ, and the fill level set.
fn list_one(bench: &mut Bench<'_>) -> Result<Setup, Stop> {
    let mut setup = bench.setup()?;
    setup.fill_level = 0;
    setup.fill_level_interrupt = bench.capabilities_0()?.fill_level_interrupt();
    let unit = bench.units(setup.unit_size, 1)?[0];
    bench.start(&setup)?;
    bench.touch(&setup, &[(unit, setup.hot())])?;
    bench.end_epoch(&setup)?;
    Ok(setup)
}

fn indices_widths(bench: &mut Bench<'_>) -> Outcome {
    let mut seen = Vec::new();
    // The second time the head is somewhere else.
    for _ in 0..2 {
        bench.quiesce()?;
        list_one(bench)?;
        bench.stop()?;
        if bench.occupancy()? == 0 {
            return skip("nothing was listed, so head and tail look alike");
        }
        seen.push(wide_indices(bench)?);
        bench.drain()?;
        seen.push(wide_indices(bench)?);
    }
    match seen.iter().find(|widths| **widths != seen[0]) {
        Some(other) => fail(
            "widths by which head and tail can be read, after the head was moved",
            *other,
            format!("{}, as before", seen[0]),
        ),
        None => Ok(Passed::As(seen[0])),
    }
}

/// By which widths head and tail read as they do by 2 bytes each.
fn wide_indices(bench: &Bench<'_>) -> Result<&'static str, Stop> {
    let both = u64::from(bench.head()?) | u64::from(bench.tail()?) << 16;
    let four = bench.read(offset::HOTLIST_HEAD, Width::Four)? == both;
    let eight = bench.read(offset::HOTLIST_HEAD, Width::Eight)? & 0xffff_ffff == both;
    Ok(match (four, eight) {
        (true, true) => "by 2, 4 and 8 bytes",
        (true, false) => "by 2 and 4 bytes",
        (false, true) => "by 2 and 8 bytes",
        (false, false) => "by 2 bytes",
    })
}

fn head_widths(bench: &mut Bench<'_>) -> Outcome {
    let mut works = [false; 3];
    for (works, width) in works
        .iter_mut()
        .zip([Width::Two, Width::Four, Width::Eight])
    {
        bench.quiesce()?;
        list_one(bench)?;
        bench.stop()?;
        let tail = bench.tail()?;
        if bench.head()? == tail {
            return skip("nothing was listed that a head could free");
        }
        // The wider writes carry the tail along, as drivers do.
        let value = match width {
            Width::Two => u64::from(tail),
            _ => u64::from(tail) | u64::from(tail) << 16,
        };
        bench.write(offset::HOTLIST_HEAD, width, value)?;
        *works = bench.head()? == tail;
        let what = format!("tail after a write of {} bytes", width.bytes());
        expect_equal(what, bench.tail()?, tail)?;
    }
    match works {
        [true, true, true] => Ok(Passed::As("by 2, 4 and 8 bytes")),
        [true, true, false] => Ok(Passed::As("by 2 and 4 bytes")),
        [true, false, true] => Ok(Passed::As("by 2 and 8 bytes")),
        [true, false, false] => Ok(Passed::As("by 2 bytes")),
        [false, ..] => fail(
            "head after a write of 2 bytes",
            "its old value",
            "the written one, which drivers write so",
        ),
    }
}

fn gaps(bench: &mut Bench<'_>) -> Outcome {
    let gaps = [0x20, 0x28, 0x30, 0x38, 0x58].map(|at| (at, Width::Eight));
    each(
        gaps.into_iter().chain([(0x6c, Width::Four)]),
        |(at, width)| {
            let what = format!("offset {at:#x}, which no register has");
            expect_bits(what, bench.read(at, width)?, 0)
        },
    )?;
    Ok(Passed::Plainly)
}

fn ranges_readback(bench: &mut Bench<'_>) -> Outcome {
    let bits = bench.range_bits()?;
    let used = u64::MAX >> (64 - bits.min(64));
    let place: BarOffset = bench.ranges_place()?;
    let patterns = [0xaaaa_aaaa_aaaa_aaaa, 0x5555_5555_5555_5555, u64::MAX, 0];
    let mut all_fixed = true;
    let mut wrong = None;
    for pattern in patterns {
        bench.write_at(place, Width::Eight, pattern & used)?;
        let read = bench.read_at(place, Width::Eight)? & used;
        all_fixed &= read == used;
        if read != pattern & used {
            wrong.get_or_insert((pattern & used, read));
        }
    }
    match wrong {
        None => Ok(Passed::As("reads back")),
        Some(_) if all_fixed => Ok(Passed::As("fixed: all memory is tracked")),
        Some((written, read)) => fail(
            format!("range bitmap after a write of {written:#x}"),
            format!("{read:#x}"),
            format!("{written:#x} (or {used:#x} whatever is written)"),
        ),
    }
}

fn ranges_half_writes(bench: &mut Bench<'_>) -> Outcome {
    bench.need_narrow_accesses()?;
    bench.need_writable_ranges()?;
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
