// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Every quirk can be seen from outside, and none can make the block panic.

use chmu_model::{Capabilities, Layer, Quirk};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::fixture::{Bench, RANGES};
use super::strategies::{Randomised, Step, head_bytes, pairs, steps};

/// Random uses that a quirk may take to show.
const MAXIMUM_USES: usize = 2000;

/// What a driver sees: header, registers, the lists and the interrupts so far.
#[derive(Debug, PartialEq, Eq)]
struct View {
    header: [u8; 16],
    registers: Vec<u64>,
    entries: Vec<Option<u64>>,
    interrupts: Vec<u8>,
}

fn view(bench: &mut Bench, sizes: &[u64]) -> View {
    let mut registers = Vec::new();
    let mut entries = Vec::new();
    for (index, size) in (0..).zip(sizes) {
        let mut unit = bench.instance(index);
        let words = (0..0x70).step_by(8).chain([RANGES]);
        registers.extend(words.map(|offset| unit.read(offset)));
        let (mut slot, tail) = (u64::from(unit.head()), u64::from(unit.tail()));
        let start = bench.block.hotlist_areas()[usize::from(index)].start;
        while slot != tail && slot < *size {
            let entry = bench.host.entries.get(&(start + slot * 8));
            entries.push(entry.copied());
            slot = (slot + 1) % size;
        }
    }
    View {
        header: bench.read(0),
        registers,
        entries,
        interrupts: bench.host.interrupts.clone(),
    }
}

fn take(bench: &mut Bench, step: &Step, sizes: &[u64]) {
    for (index, offset, data) in step.writes() {
        bench.instance(index).write_bytes(offset, &data);
    }
    match step {
        Step::Access(accesses) => bench.access(accesses),
        Step::Pass(ns) => bench.pass(*ns),
        Step::Wait(ns) => bench.now_ns += ns,
        Step::Take {
            instance,
            entries,
            wide,
        } => {
            let mut unit = bench.instance(*instance);
            let head = u64::from(unit.head()) + u64::from(*entries);
            let head = head % sizes[usize::from(*instance)];
            unit.write_bytes(0x68, &head_bytes(head, *wide));
        }
        Step::PowerOn => bench.block.reset(),
        _ => {}
    }
}

/// Whether a driver sees the quirk somewhere in this use.
fn shows(quirk: Quirk, capabilities: &[Capabilities], steps: &[Step]) -> bool {
    let sizes: Vec<u64> = capabilities
        .iter()
        .map(|one| u64::from(one.hotlist_entries))
        .collect();
    let mut right = Bench::of(capabilities.to_vec(), None);
    let mut wrong = Bench::of(capabilities.to_vec(), Some(quirk));
    if view(&mut right, &sizes) != view(&mut wrong, &sizes) {
        return true;
    }
    steps.iter().any(|step| {
        take(&mut right, step, &sizes);
        take(&mut wrong, step, &sizes);
        view(&mut right, &sizes) != view(&mut wrong, &sizes)
    })
}

/// Whether a block by itself breaks the rule; otherwise it takes the function around it.
fn is_in_block(quirk: Quirk) -> bool {
    !matches!(quirk.layer(), Layer::Discovery | Layer::Function)
}

#[test]
fn every_quirk_shows_to_a_driver() {
    let mut runner = TestRunner::deterministic();
    let uses = (pairs(), steps(Randomised::Yes));
    let mut hidden = Quirk::ALL.to_vec();
    hidden.retain(|quirk| is_in_block(*quirk));
    for _ in 0..MAXIMUM_USES {
        let (capabilities, steps) = uses.new_tree(&mut runner).unwrap().current();
        hidden.retain(|quirk| !shows(*quirk, &capabilities, &steps));
        if hidden.is_empty() {
            break;
        }
    }
    assert!(hidden.is_empty(), "{hidden:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_quirk_panics(
        quirk in prop::sample::select(Quirk::ALL),
        capabilities in pairs(),
        steps in steps(Randomised::Yes),
    ) {
        let sizes: Vec<u64> = capabilities
            .iter()
            .map(|one| u64::from(one.hotlist_entries))
            .collect();
        let mut bench = Bench::of(capabilities, Some(quirk));
        for step in &steps {
            take(&mut bench, step, &sizes);
            view(&mut bench, &sizes);
        }
    }
}

#[test]
fn a_block_breaks_at_least_75_rules() {
    let in_block = Quirk::ALL
        .iter()
        .filter(|quirk| is_in_block(**quirk))
        .count();
    assert!(in_block >= 75, "{in_block}");
}
