// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Keeps the configuration of all instances before a run, and puts it back after it.

use chmu_driver::transport::{BarOffset, Width};
use chmu_spec::chmu::{Configuration0, offset};

use crate::bench::{Bench, InstancePlace};
use crate::outcome::Stop;
use crate::run::describe;

/// The configuration registers and the range bitmap of an instance.
#[derive(Debug)]
pub(crate) struct Kept {
    place: InstancePlace,
    registers: Vec<(BarOffset, u64)>,
}

/// Reads the configuration of every instance.
pub(crate) fn keep(bench: &mut Bench<'_>) -> Result<Vec<Kept>, Stop> {
    let under_test = bench.place();
    let mut kept = Vec::new();
    for place in bench.instances() {
        bench.switch_to(place);
        let mut places = vec![
            place.start.plus(offset::CONFIGURATION_1),
            place.start.plus(offset::CONFIGURATION_2),
        ];
        let ranges = bench.ranges_place()?;
        let words = match bench.range_bits() {
            Ok(bits) => bits.div_ceil(64),
            Err(Stop::Skipped(_)) => 0,
            Err(stop) => return Err(stop),
        };
        places.extend((0..words).map(|word| ranges.plus(word * 8)));
        places.push(place.start.plus(offset::CONFIGURATION_0));
        let read = |place| Ok::<_, Stop>((place, bench.read_at(place, Width::Eight)?));
        let registers = places.into_iter().map(read).collect::<Result<_, _>>()?;
        kept.push(Kept { place, registers });
    }
    bench.switch_to(under_test);
    Ok(kept)
}

/// Puts every instance back, whatever becomes of the others, and reads it back. What could not be put back is
/// said, an instance at a time.
pub(crate) fn restore(bench: &mut Bench<'_>, kept: &[Kept]) -> Vec<String> {
    let under_test = bench.place();
    let mut left = Vec::new();
    for one in kept {
        bench.switch_to(one.place);
        let wrong = restore_instance(bench, one);
        let InstancePlace {
            block, instance, ..
        } = one.place;
        if let Some(reason) = wrong {
            left.push(format!("instance {block}.{instance}: {reason}"));
        }
    }
    bench.switch_to(under_test);
    left
}

/// What is wrong with an instance after it was put back; its registers are written even where it does not come
/// to rest.
fn restore_instance(bench: &mut Bench<'_>, kept: &Kept) -> Option<String> {
    let rest = rest(bench).err();
    let start = kept.place.start;
    let mut wrong = rest.map(describe);
    for (at, value) in &kept.registers {
        let value = disabled(start, *at, *value);
        let written = bench.write_at(*at, Width::Eight, value);
        wrong = wrong.or_else(|| written.err().map(describe));
    }
    if wrong.is_some() {
        return wrong;
    }
    for (at, value) in &kept.registers {
        let value = disabled(start, *at, *value);
        match bench.read_at(*at, Width::Eight) {
            Ok(read) if disabled(start, *at, read) == value => {}
            Ok(read) => {
                let name = crate::registers::name(at.offset.saturating_sub(start.offset));
                return Some(format!("{name} reads {read:#x}, and was {value:#x}"));
            }
            Err(stop) => return Some(describe(stop)),
        }
    }
    None
}

/// Disables and empties the instance under test.
fn rest(bench: &mut Bench<'_>) -> Result<(), Stop> {
    bench.stop_whatever_runs()?;
    bench.reset()?;
    bench.stop()?;
    let status = bench.status()?;
    bench.clear_status(status)?;
    let tail = bench.tail()?;
    bench.set_head(tail)
}

/// The value of a register without its enable and reset bits, if it is the one that has them.
fn disabled(start: BarOffset, at: BarOffset, value: u64) -> u64 {
    match at == start.plus(offset::CONFIGURATION_0) {
        true => Configuration0::from(value)
            .with_enable(false)
            .with_reset(false)
            .into(),
        false => value,
    }
}
