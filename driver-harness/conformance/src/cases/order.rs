// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a driver may rely on without waiting: entry before tail, entries before interrupt.

use chmu_driver::transport::Width;
use chmu_spec::hotlist::{ENTRY_BYTES, Entry, next_index};

use crate::bench::Bench;
use crate::case::{Case, case};
use crate::outcome::{Outcome, Passed, Stop, expect, expect_equal, skip};
use crate::shown::Shown;

pub(super) const CASES: &[Case] = &[
    case(
        "order/entry-before-tail",
        "Reads the entry at the old tail as soon as the tail has moved.",
        entry_before_tail,
    ),
    case(
        "order/interrupt-after-entries",
        "Waits for the fill-level interrupt and reads status and entries at once.",
        interrupt_after_entries,
    ),
    case(
        "order/tail-is-current",
        "Reads the tail right after the end of each of four epochs.",
        tail_is_current,
    ),
];

fn entry_before_tail(bench: &mut Bench<'_>) -> Outcome {
    let exact = bench.is_exact();
    let setup = bench.epoch_setup()?;
    let size = bench.capabilities_0()?.hotlist_entries();
    let start = bench.hotlist_place()?;
    let count = usize::from(size.saturating_sub(1)).min(4);
    let units = bench.units(setup.unit_size, count)?;
    bench.start(&setup)?;
    let width = bench.status()?.counter_width();
    let mut index = bench.head()?;
    for round in 0..8 {
        // Other units and counts in each round, so that a stale entry is told from a new one.
        let unit = units[round % units.len()];
        let count = setup.hot() + round as u64;
        bench.touch(&setup, &[(unit, count)])?;
        bench.end_epoch(&setup)?;
        let tail = bench.tail()?;
        expect(
            tail != index,
            format!("tail after epoch {round}"),
            tail.to_string(),
            "another",
        )?;
        let count = count.min(setup.largest_count);
        // Entries are read at once after the tail, as a driver does that polls.
        let mut passed = Vec::new();
        while index != tail && index < size && tail < size {
            let place = start.plus(u64::from(index) * ENTRY_BYTES);
            passed.push(Entry::decode(bench.read_at(place, Width::Eight)?, width));
            index = next_index(index, size);
            if exact {
                break;
            }
        }
        let what = format!("entries that the tail has passed, epoch {round}");
        let is_it = |one: &Entry| one.unit == unit && one.count >= count;
        match exact {
            true => expect_equal(what, passed, vec![Entry { unit, count }])?,
            false => expect(
                passed.iter().any(is_it),
                what,
                passed.shown(),
                format!("unit {unit} with count {count} or more among them"),
            )?,
        }
        bench.set_head(index)?;
    }
    Ok(Passed::Plainly)
}

fn interrupt_after_entries(bench: &mut Bench<'_>) -> Outcome {
    bench.need_interrupts()?;
    let capabilities = bench.capabilities_0()?;
    if !capabilities.fill_level_interrupt() {
        return skip("the instance has no fill-level interrupt");
    }
    let mut setup = bench.epoch_setup()?;
    setup.fill_level_interrupt = true;
    setup.fill_level = 0;
    let unit = bench.units(setup.unit_size, 1)?[0];
    bench.start(&setup)?;
    bench.touch(&setup, &[(unit, setup.hot())])?;
    bench.end_epoch(&setup)?;
    let came = bench.wait_for_interrupts(capabilities.message_number().into())?;
    expect(came > 0, "fill-level interrupts", "0", "at least one")?;
    expect_equal(
        "fill level once the interrupt came",
        bench.status()?.fill_level(),
        true,
    )?;
    let entries: Vec<_> = bench.peek()?.iter().map(|entry| entry.unit).collect();
    let what = "units listed once the interrupt came";
    expect_equal(what, entries, vec![unit])?;
    Ok(Passed::Plainly)
}

fn tail_is_current(bench: &mut Bench<'_>) -> Outcome {
    let setup = bench.epoch_setup()?;
    let unit = bench.units(setup.unit_size, 1)?[0];
    bench.start(&setup)?;
    for round in 0..4 {
        let before = bench.tail()?;
        bench.touch(&setup, &[(unit, setup.hot())])?;
        bench.end_epoch(&setup)?;
        let after = bench.tail()?;
        let what = format!("tail after epoch {round} with a hot unit");
        expect(
            after != before,
            what,
            after.to_string(),
            format!("not {before}"),
        )?;
        bench.drain()?;
    }
    Ok::<_, Stop>(Passed::Plainly)
}
