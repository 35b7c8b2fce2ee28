// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The poison list, against payloads that were written down by hand.

use std::collections::BTreeSet;

use super::*;

const LINES: u64 = GIB / 64;

fn get(start: u64, lines: u64) -> Vec<u8> {
    [start, lines].map(u64::to_le_bytes).concat()
}

/// The records of the whole list.
fn list(bench: &mut Bench) -> Vec<[u64; 2]> {
    records(&succeed(bench, 0x4300, &get(0, LINES)))
}

/// Address with source, lines.
fn records(output: &[u8]) -> Vec<[u64; 2]> {
    let records = output[0x20..].chunks(16);
    let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
    records
        .map(|record| [word(&record[..8]), word(&record[8..])])
        .collect()
}

fn inject_at(bench: &mut Bench, dpa: u64) -> u16 {
    send(bench, 0x4301, &dpa.to_le_bytes()).0
}

fn clear_at(bench: &mut Bench, dpa: u64) -> u16 {
    let mut input = dpa.to_le_bytes().to_vec();
    input.resize(0x48, 0);
    send(bench, 0x4302, &input).0
}

#[test]
fn poison_is_injected_listed_and_cleared() {
    let mut bench = Bench::new(&config());
    assert_eq!(succeed(&mut bench, 0x4300, &get(0, LINES)), [0; 0x20]);
    for dpa in [0x1000, 0x1080, 0x1040, GIB - 64] {
        assert_eq!(inject_at(&mut bench, dpa), 0);
    }
    let mut expected = vec![0; 0x20];
    expected[0x0a] = 2;
    // Three lines from 0x1000 on, injected; then the last line.
    expected.extend([0x03, 0x10, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
    expected.extend([0xc3, 0xff, 0xff, 0x3f, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(succeed(&mut bench, 0x4300, &get(0, LINES)), expected);

    // Parts of the memory.
    let cases: [(u64, u64, &[[u64; 2]]); 5] = [
        (0x1000, 0, &[]),
        (0x1000, 1, &[[0x1003, 1]]),
        (0x1040, 100, &[[0x1043, 2]]),
        (0x10c0, LINES - 0x10c0 / 64, &[[GIB - 64 + 3, 1]]),
        (GIB, 0, &[]),
    ];
    for (start, lines, expected) in cases {
        let output = succeed(&mut bench, 0x4300, &get(start, lines));
        assert_eq!(records(&output), expected, "{start:#x}, {lines}");
    }

    assert_eq!(clear_at(&mut bench, 0x1040), 0);
    assert_eq!(clear_at(&mut bench, 0x1040), 0);
    let expected = [[0x1003, 1], [0x1083, 1], [GIB - 64 + 3, 1]];
    assert_eq!(list(&mut bench), expected);
    bench.function.reset(&mut bench.host);
    assert_eq!(list(&mut bench), [[0; 2]; 0]);
}

#[test]
fn new_poison_is_an_informational_event() {
    let mut bench = Bench::new(&config());
    succeed(&mut bench, 0x0103, &[1, 0, 0, 0]);
    inject_at(&mut bench, 0x2000);
    inject_at(&mut bench, 0x2000);
    clear_at(&mut bench, 0x2000);
    assert_eq!(bench.host.interrupts, [0]);
    assert_eq!(bench.read_u32(BAR, 0x80), 1);
    let output = succeed(&mut bench, 0x0100, &[0]);
    assert_eq!(output.len(), 0x20 + 0x80);
    // At 0x2000, volatile; uncorrectable; host inject poison.
    assert_eq!(
        output[0x20 + 0x30..0x20 + 0x40],
        [0x01, 0x20, 0, 0, 0, 0, 0, 0, 0x01, 0, 0x04, 0, 0, 0, 0, 0]
    );
}

#[test]
fn memory_that_fails_is_poisoned() {
    let mut bench = Bench::new(&config());
    inject(&mut bench, EventLog::Warning, 0x2000);
    assert_eq!(list(&mut bench), [[0; 2]; 0]);
    inject(&mut bench, EventLog::Failure, 0x2011);
    inject_at(&mut bench, 0x2040);
    // Internal, then injected.
    assert_eq!(list(&mut bench), [[0x2002, 1], [0x2043, 1]]);
}

#[test]
fn addresses_that_are_no_lines_are_refused() {
    let mut bench = Bench::new(&config());
    for (dpa, return_code) in [(1, 2), (0x103f, 2), (GIB, 0x0f), (u64::MAX - 63, 0x0f)] {
        assert_eq!(inject_at(&mut bench, dpa), return_code);
        assert_eq!(clear_at(&mut bench, dpa), return_code);
    }
    for (start, lines, return_code) in [
        (8, 1, 2),
        (0, LINES + 1, 0x0f),
        (GIB, 1, 0x0f),
        (64, u64::MAX, 0x0f),
        (0, u64::MAX, 0x0f),
    ] {
        let outcome = send(&mut bench, 0x4300, &get(start, lines));
        assert_eq!(outcome, (return_code, Vec::new()));
    }
}

#[test]
fn a_host_can_inject_only_so_much() {
    let mut bench = Bench::new(&config());
    for line in 0..32 {
        assert_eq!(inject_at(&mut bench, line * 128), 0);
    }
    assert_eq!(inject_at(&mut bench, 0x8000), 0x10);
    // What is there already may be asked for again.
    assert_eq!(inject_at(&mut bench, 0), 0);
    clear_at(&mut bench, 0);
    assert_eq!(inject_at(&mut bench, 0x8000), 0);
    assert_eq!(inject_at(&mut bench, 0), 0x10);
}

#[test]
fn a_full_list_tells_when_it_overflowed() {
    let mut bench = Bench::new(&config());
    succeed(&mut bench, 0x0301, &1000_u64.to_le_bytes());
    for line in 0..128 {
        bench.now_ns = line;
        inject(&mut bench, EventLog::Fatal, line * 128);
    }
    let output = succeed(&mut bench, 0x4300, &get(0, LINES));
    assert_eq!(output.len(), 2048);
    let mut head = [0; 0x20];
    head[0] = 2;
    head[2..4].copy_from_slice(&1126_u16.to_le_bytes());
    head[0x0a] = 126;
    assert_eq!(output[..0x20], head);
    // The lost ones say so in their events: uncorrectable and overflow.
    clear_at(&mut bench, 0);
    succeed(&mut bench, 0x0101, &[3, 1, 0, 0, 0, 0]);
    inject(&mut bench, EventLog::Fatal, 0x10_0000);
    inject(&mut bench, EventLog::Fatal, 0x20_0000);
    let events = succeed(&mut bench, 0x0100, &[3]);
    assert_eq!((events[0x20 + 0x38], events[0xa0 + 0x38]), (1, 5));
}

proptest! {
    /// The list is a set of lines, whatever is asked for and in whatever order.
    #[test]
    fn the_list_is_a_set_of_lines(
        uses in proptest::collection::vec((any::<bool>(), 0_u64..40), 0..100),
        window in (0_u64..50, 0_u64..50),
    ) {
        let mut bench = Bench::new(&config());
        let mut expected = BTreeSet::new();
        for (injects, line) in uses {
            if injects {
                let is_refused = !expected.contains(&line) && expected.len() == 32;
                let return_code = if is_refused { 0x10 } else { 0 };
                prop_assert_eq!(inject_at(&mut bench, line * 64), return_code);
                if !is_refused {
                    expected.insert(line);
                }
            } else {
                prop_assert_eq!(clear_at(&mut bench, line * 64), 0);
                expected.remove(&line);
            }
        }
        let (start, lines) = window;
        let output = succeed(&mut bench, 0x4300, &get(start * 64, lines));
        let listed: Vec<u64> = records(&output)
            .into_iter()
            .flat_map(|[address, lines]| (address / 64..).take(usize::try_from(lines).unwrap()))
            .collect();
        let expected: Vec<u64> = expected.range(start..start + lines).copied().collect();
        prop_assert_eq!(listed, expected);
    }
}
