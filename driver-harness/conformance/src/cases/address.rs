// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Host addresses, HDM decoders and device physical addresses.

use std::ops::Range;

use chmu_driver::transport::{BarOffset, Width};
use chmu_spec::address::{Dpa, UnitIndex};

use crate::bench::Bench;
use crate::case::{Case, case, reading_case};
use crate::cases::discovery::{extended_capability, register_blocks};
use crate::outcome::{Outcome, Passed, Stop, each, expect, expect_equal, skip, skip_until};
use crate::shown::Shown;

pub(super) const CASES: &[Case] = &[
    case(
        "address/unit-follows-decoder",
        "Makes first and last units of what traffic reaches hot through host addresses.",
        unit_follows_decoder,
    ),
    case(
        "address/locked-decoder",
        "Writes the registers of a locked decoder, reads them back and restores what changed.",
        locked_decoder,
    ),
    reading_case(
        "address/decoders-well-formed",
        "Reads the committed decoders and checks base, size, skip, ways and order.",
        decoders_well_formed,
    ),
    case(
        "address/own-share",
        "Accesses every line of some units through an interleaved window and reads the counts.",
        own_share,
    ),
];

/// Register Locator block ids.
const COMPONENT_REGISTERS: u8 = 1;
/// CXL.cachemem registers within the component block; the HDM decoder capability's id.
const CACHEMEM: u64 = 0x1000;
const HDM_DECODERS: u64 = 5;
/// CXL Device DVSEC: its id, its control register and the bit that enables memory.
const CXL_DEVICE: u16 = 0;
const DEVICE_CONTROL: u16 = 0x0c;
const MEMORY_ENABLE: u32 = 1 << 2;
/// Decoders come in pieces of this size.
const PIECE_BYTES: u64 = 256 << 20;
/// Decoder control bits.
const LOCK: u64 = 1 << 8;
const COMMITTED: u64 = 1 << 10;

/// An HDM decoder as the registers show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decoder {
    place: BarOffset,
    base: u64,
    size: u64,
    control: u64,
    skip: u64,
}

impl Shown for Decoder {
    fn shown(&self) -> String {
        let Self {
            place,
            base,
            size,
            control,
            skip,
        } = self;
        format!(
            "decoder at {place}: base {base:#x}, size {size:#x}, control {control:#x}, skip {skip:#x}"
        )
    }
}

impl Decoder {
    /// Devices that share the window; 0 for a reserved code.
    fn ways(&self) -> u64 {
        match self.control >> 4 & 0xf {
            log2 @ 0..=4 => 1 << log2,
            third @ 8..=10 => 3 << (third - 8),
            _ => 0,
        }
    }
}

/// The decoders of the device; skips the case where the function shows none.
pub(super) fn decoders(bench: &mut Bench<'_>) -> Result<Vec<Decoder>, Stop> {
    let blocks = register_blocks(bench)?;
    let Some(component) = blocks
        .into_iter()
        .find(|(id, _)| *id == COMPONENT_REGISTERS)
    else {
        return skip("the Register Locator names no component registers");
    };
    let cachemem = component.1.plus(CACHEMEM);
    let read = |place| bench.read_at(place, Width::Four);
    let count = read(cachemem)? >> 24;
    let mut capability = None;
    for index in 1..=count {
        let header = read(cachemem.plus(index * 4))?;
        if header & 0xffff == HDM_DECODERS {
            capability = Some(cachemem.plus(header >> 20));
        }
    }
    let Some(capability) = capability else {
        return skip("the component registers have no HDM decoders");
    };
    let encoded = read(capability)? & 0xf;
    let decoders = match encoded {
        0 => 1,
        1..=8 => encoded * 2,
        _ => (encoded - 4) * 4,
    };
    let mut found = Vec::new();
    for index in 0..decoders {
        let place = capability.plus(0x10 + index * 0x20);
        let wide = |low| Ok::<_, Stop>(read(place.plus(low))? | read(place.plus(low + 4))? << 32);
        found.push(Decoder {
            place,
            base: wide(0)?,
            size: wide(8)?,
            control: read(place.plus(0x10))?,
            skip: wide(0x14)?,
        });
    }
    Ok(found)
}

/// Whether the CXL Device DVSEC enables memory; none where there is no such DVSEC.
pub(super) fn memory_enable(bench: &mut Bench<'_>) -> Result<Option<bool>, Stop> {
    let Some(dvsec) = extended_capability(bench, CXL_DEVICE)? else {
        return Ok(None);
    };
    let control = bench
        .subject()
        .transport()
        .read_config(dvsec + DEVICE_CONTROL, Width::Four)?;
    Ok(Some(control & MEMORY_ENABLE != 0))
}

fn committed(bench: &mut Bench<'_>) -> Result<Vec<Decoder>, Stop> {
    let mut decoders = decoders(bench)?;
    decoders.retain(|decoder| decoder.control & COMMITTED != 0);
    match decoders.is_empty() {
        true => skip("no HDM decoder is committed"),
        false => Ok(decoders),
    }
}

fn unit_follows_decoder(bench: &mut Bench<'_>) -> Outcome {
    committed(bench)?;
    let setup = bench.epoch_setup()?;
    let reachable = bench.reachable(false)?;
    // The traffic source accesses host addresses; first, middle and last piece of what it reaches.
    let ranges = [
        reachable.first(),
        reachable.get(reachable.len() / 2),
        reachable.last(),
    ];
    let ends = |range: &Range<Dpa>| [range.start.0, (range.end.0 - 1) / 64 * 64];
    let mut addresses: Vec<_> = ranges.into_iter().flatten().flat_map(ends).collect();
    addresses.dedup();
    bench.each(addresses, |bench, dpa| {
        let unit = UnitIndex(dpa / setup.unit_size.bytes());
        let touches = [(unit, setup.hot())];
        let seen = bench.observe(&setup, &touches)?;
        let what = format!("unit and count of DPA {dpa:#x}");
        bench.expect_counts(what, &setup, &seen, &touches)?;
        bench.stop()?;
        bench.reset()
    })?;
    Ok(Passed::Plainly)
}

fn locked_decoder(bench: &mut Bench<'_>) -> Outcome {
    if bench.subject().keeps_decoders() {
        return skip_until(
            "a device that ignores the lock would lose memory that may be online",
            "--write-decoders, where nobody uses the device's memory",
        );
    }
    let decoders = committed(bench)?;
    let Some(decoder) = decoders
        .into_iter()
        .find(|decoder| decoder.control & LOCK != 0)
    else {
        return skip("no committed HDM decoder is locked");
    };
    each([0x00, 0x04, 0x08, 0x0c, 0x10, 0x14, 0x18], |at| {
        let place = decoder.place.plus(at);
        let before = bench.read_at(place, Width::Four)?;
        bench.write_at(place, Width::Four, !before & 0xffff_ffff)?;
        let after = bench.read_at(place, Width::Four)?;
        if after != before {
            bench.write_at(place, Width::Four, before)?;
        }
        expect_equal(
            format!("{place} of a locked decoder after a write"),
            after,
            before,
        )
    })?;
    Ok(Passed::Plainly)
}

fn decoders_well_formed(bench: &mut Bench<'_>) -> Outcome {
    let mut end = 0;
    for (index, decoder) in committed(bench)?.into_iter().enumerate() {
        let ways = decoder.ways();
        let what = |part: &str| format!("{part} of HDM decoder {index}");
        expect(
            ways != 0,
            what("ways"),
            format!("{:#x}", decoder.control),
            "a code in use",
        )?;
        expect(
            decoder.size > 0,
            what("size"),
            "0",
            "above 0, since it is committed",
        )?;
        let pieces = [
            ("base", decoder.base, PIECE_BYTES),
            ("size", decoder.size, PIECE_BYTES * ways),
            ("skipped device memory", decoder.skip, PIECE_BYTES),
        ];
        for (part, bytes, multiple) in pieces {
            let expected = format!("a multiple of {multiple:#x}");
            let holds = bytes.is_multiple_of(multiple);
            expect(holds, what(part), format!("{bytes:#x}"), expected)?;
        }
        let read = format!("{:#x}", decoder.base);
        let expected = format!("{end:#x} or above, where the decoder before ends");
        expect(decoder.base >= end, what("base"), read, expected)?;
        end = decoder.base.saturating_add(decoder.size);
    }
    Ok(Passed::Plainly)
}

fn own_share(bench: &mut Bench<'_>) -> Outcome {
    bench.need_exact_traffic()?;
    let interleaved = committed(bench)?
        .into_iter()
        .any(|decoder| decoder.ways() > 1);
    if !interleaved {
        return skip("no HDM decoder is interleaved");
    }
    // Traffic names device addresses of this device's own share. Were shares mixed up, neighbouring
    // pieces would add up in one unit.
    let setup = bench.epoch_setup()?;
    let room = bench.room()?;
    let units = bench.units(setup.unit_size, room.min(4))?;
    let lines = setup.unit_size.bytes() / 64;
    let touches: Vec<_> = units.iter().map(|unit| (*unit, lines)).collect();
    let seen = bench.observe(&setup, &touches)?;
    let what = "units and counts after accesses to every line of a share";
    bench.expect_counts(what, &setup, &seen, &touches)?;
    Ok(Passed::Plainly)
}
