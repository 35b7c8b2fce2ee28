// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Random use of a whole block, step by step against the naive model.

use chmu_model::Capabilities;
use proptest::prelude::*;

use super::fixture::{Bench, CAPACITY_BYTES, RANGES};
use super::oracle::{Oracle, Requests};
use super::strategies::{Randomised, Step, head_bytes, large_batches, pairs, steps};

/// The block and, step by step, what it should be.
struct Pair {
    bench: Bench,
    oracles: Vec<Oracle>,
    sizes: Vec<u64>,
}

impl Pair {
    fn new(capabilities: Vec<Capabilities>) -> Self {
        Self {
            oracles: capabilities
                .iter()
                .map(|one| Oracle::new(one.clone(), CAPACITY_BYTES))
                .collect(),
            sizes: capabilities
                .iter()
                .map(|one| u64::from(one.hotlist_entries))
                .collect(),
            bench: Bench::of(capabilities, None),
        }
    }

    fn take(&mut self, step: &Step) {
        for (index, offset, data) in step.writes() {
            self.write(index, offset, &data);
        }
        match step {
            Step::Access(accesses) => {
                self.bench.access(accesses);
                self.catch_up();
                for oracle in &mut self.oracles {
                    oracle.access(self.bench.now_ns, accesses);
                }
            }
            Step::Pass(ns) => self.bench.pass(*ns),
            Step::Wait(ns) => self.bench.now_ns += ns,
            Step::Take {
                instance,
                entries,
                wide,
            } => {
                self.catch_up();
                let which = usize::from(*instance);
                let head = (self.oracles[which].head() + u64::from(*entries)) % self.sizes[which];
                self.write(*instance, 0x68, &head_bytes(head, *wide));
            }
            Step::PowerOn => {
                self.bench.block.reset();
                self.oracles.iter_mut().for_each(Oracle::power_on);
            }
            _ => {}
        }
    }

    fn write(&mut self, index: u8, offset: u64, data: &[u8]) {
        self.bench.instance(index).write_bytes(offset, data);
        self.catch_up();
        let which = usize::from(index);
        let taken = self.oracles[which].excludes(&self.oracles[1 - which]);
        let (word, skip) = (offset / 8 * 8, usize::try_from(offset % 8).unwrap());
        let oracle = &mut self.oracles[which];
        oracle.write(self.bench.now_ns, word, skip, data, taken);
    }

    fn catch_up(&mut self) {
        for oracle in &mut self.oracles {
            oracle.advance(self.bench.now_ns);
        }
    }

    /// Everything that can be seen is the same.
    fn compare(&mut self) -> Result<(), TestCaseError> {
        self.catch_up();
        for (index, oracle) in (0..).zip(&self.oracles) {
            let mut unit = self.bench.instance(index);
            for offset in [0x40, 0x48, 0x50, 0x60, 0x68, RANGES] {
                let (seen, expected) = (unit.read(offset), oracle.word(offset).unwrap());
                prop_assert!(
                    seen == expected,
                    "instance {} at {:#x}: {:#x}, not {:#x}",
                    index,
                    offset,
                    seen,
                    expected
                );
            }
            let statistics = unit.statistics();
            prop_assert_eq!(statistics.units_dropped, oracle.lost);
            let requests = Requests {
                filtered: statistics.requests_filtered,
                out_of_range: statistics.requests_out_of_range,
                sampled_out: statistics.requests_sampled_out,
                counted: statistics.requests_counted,
            };
            prop_assert_eq!(requests, oracle.requests);
            let start = self.bench.block.hotlist_areas()[usize::from(index)].start;
            let size = self.sizes[usize::from(index)];
            for (step, entry) in (0..).zip(oracle.list()) {
                let place = start + (oracle.head() + step) % size * 8;
                prop_assert_eq!(self.bench.host.entries.get(&place), Some(&entry));
            }
            let messages = self.bench.host.interrupts.iter();
            let messages = messages.filter(|message| **message == index).count();
            prop_assert_eq!(messages, oracle.interrupts);
        }
        let counting = self.oracles.iter().any(Oracle::is_enabled);
        prop_assert_eq!(self.bench.block.is_counting(), counting);
        let deadlines = self.oracles.iter().filter_map(Oracle::deadline_ns);
        prop_assert_eq!(self.bench.block.next_deadline_ns(), deadlines.min());
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_block_equals_the_naive_model(pair in pairs(), steps in steps(Randomised::NoDraws)) {
        let mut pair = Pair::new(pair);
        for step in &steps {
            pair.take(step);
            pair.compare()?;
        }
    }

    /// Requests are counted in batches of 1024: where one ends makes no difference.
    #[test]
    fn large_batches_equal_the_naive_model(pair in pairs(), steps in large_batches()) {
        let mut pair = Pair::new(pair);
        for step in &steps {
            pair.take(step);
            pair.compare()?;
        }
    }
}
