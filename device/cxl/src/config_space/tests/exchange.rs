// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Data object exchange as Linux uses it, and as nobody should.

use proptest::prelude::*;

use super::*;
use crate::Performance;
use crate::testing::GIB;

const CONTROL: u64 = 0x258;
const STATUS: u64 = 0x25c;
const WRITE: u64 = 0x260;
const READ: u64 = 0x264;

const ABORT: u32 = 1;
const GO: u32 = 1 << 31;
const READY: u32 = 1 << 31;
const ERROR: u32 = 1 << 2;

fn put(bench: &mut Bench, register: u64, dword: u32) {
    bench.write(Region::Config, register, &dword.to_le_bytes());
}

/// Sends a request; the response is read until the mailbox has no more of it.
fn exchange(bench: &mut Bench, request: &[u32]) -> Vec<u32> {
    for dword in request {
        put(bench, WRITE, *dword);
    }
    put(bench, CONTROL, GO);
    let mut response = Vec::new();
    while bench.read_u32(Region::Config, STATUS) == READY {
        response.push(bench.read_u32(Region::Config, READ));
        put(bench, READ, 0);
    }
    assert_eq!(bench.read_u32(Region::Config, READ), 0);
    response
}

fn status(bench: &mut Bench) -> u32 {
    bench.read_u32(Region::Config, STATUS)
}

#[test]
fn the_mailbox_tells_what_it_knows() {
    let mut bench = Bench::new(&config());
    let discover = |bench: &mut Bench, index| exchange(bench, &[1, 3, index]);
    assert_eq!(discover(&mut bench, 0), [1, 3, 0x0100_0001]);
    assert_eq!(discover(&mut bench, 1), [1, 3, 0x0002_1e98]);
    assert_eq!(discover(&mut bench, 2), [1, 3, 0x00ff_ffff]);
    assert_eq!(discover(&mut bench, 255), [1, 3, 0x00ff_ffff]);
    assert_eq!(status(&mut bench), 0);
}

/// The whole table, entry by entry, by hand: the header, the range, read and write latency, read and
/// write bandwidth, what firmware shall make of it.
#[test]
fn the_table_equals_a_hand_transcription() {
    let mut bench = Bench::new(&FunctionConfig {
        performance: Performance {
            latency_ns: 180,
            bandwidth_mib_per_s: 0x5000,
        },
        ..config()
    });
    let expected: [&[u32]; 7] = [
        &[0xa0, 0x0000_5b01, 0, 0],
        &[0x0018_0000, 0, 0, 0, 0x4000_0000, 0],
        &[0x0018_0001, 0x0001_0000, 1000, 0, 180, 0],
        &[0x0018_0001, 0x0002_0000, 1000, 0, 180, 0],
        &[0x0018_0001, 0x0004_0000, 1, 0, 0x5000, 0],
        &[0x0018_0001, 0x0005_0000, 1, 0, 0x5000, 0],
        &[0x0018_0004, 0, 0, 0, 0x4000_0000, 0],
    ];
    for (handle, entry) in (0_u32..).zip(expected) {
        let response = exchange(&mut bench, &[0x0002_1e98, 3, handle << 16]);
        let next = if handle == 6 { 0xffff } else { handle + 1 };
        let length = u32::try_from(3 + entry.len()).unwrap();
        assert_eq!(response[..3], [0x0002_1e98, length, next << 16]);
        assert_eq!(response[3..], *entry, "{handle}");
    }
    assert_eq!(status(&mut bench), 0);
}

#[test]
fn requests_for_what_there_is_not_are_dropped() {
    let mut bench = Bench::new(&config());
    let dropped: [&[u32]; 7] = [
        // Entries, requests, tables, kinds and vendors that there are not; too long, too short.
        &[0x0002_1e98, 3, 7 << 16],
        &[0x0002_1e98, 3, 1],
        &[0x0002_1e98, 3, 1 << 8],
        &[0x0001_1e98, 3, 0],
        &[0x0000_1af4, 3, 0],
        &[0x0002_1e98, 4, 0, 0],
        &[1, 2],
    ];
    for request in dropped {
        assert_eq!(exchange(&mut bench, request), [], "{request:x?}");
        assert_eq!(status(&mut bench), 0);
    }
    assert_eq!(exchange(&mut bench, &[1, 3, 0]).len(), 3);
}

#[test]
fn wrong_lengths_are_errors_until_the_abort() {
    let wrong: [&[u32]; 6] = [&[], &[1], &[1, 2, 0], &[1, 4, 0], &[1, 0, 0], &[0; 17]];
    for request in wrong {
        let mut bench = Bench::new(&config());
        assert_eq!(exchange(&mut bench, request), []);
        assert_eq!(status(&mut bench), ERROR, "{request:x?}");
        assert_eq!(exchange(&mut bench, &[1, 3, 0]), []);
        put(&mut bench, CONTROL, ABORT);
        assert_eq!(status(&mut bench), 0);
        assert_eq!(exchange(&mut bench, &[1, 3, 0]).len(), 3);
    }
}

#[test]
fn an_abort_and_both_resets_forget_the_response() {
    type Forget = fn(&mut Bench);
    let ways: [Forget; 3] = [
        |bench| put(bench, CONTROL, ABORT | GO),
        |bench| bench.write(Region::Config, 0x49, &[0x80]),
        |bench| bench.function.reset(&mut bench.host),
    ];
    for forget in ways {
        let mut bench = Bench::new(&config());
        for dword in [1, 3, 0] {
            put(&mut bench, WRITE, dword);
        }
        put(&mut bench, CONTROL, GO);
        assert_eq!(status(&mut bench), READY);
        forget(&mut bench);
        assert_eq!(status(&mut bench), 0);
        put(&mut bench, READ, 0);
        assert_eq!(status(&mut bench), ERROR);
    }
}

#[test]
fn a_device_of_any_size_says_so() {
    let mut bench = Bench::new(&FunctionConfig {
        capacity_bytes: 20 * GIB,
        ..config()
    });
    let response = exchange(&mut bench, &[0x0002_1e98, 3, 1 << 16]);
    assert_eq!(response[3..], [0x0018_0000, 0, 0, 0, 0, 5]);
}

proptest! {
    /// Whatever is written in whatever sizes, the mailbox works again after an abort.
    #[test]
    fn hostile_use_does_no_harm(
        writes in proptest::collection::vec(
            (0x250_u64..0x270, proptest::collection::vec(any::<u8>(), 1..40)),
            0..60,
        ),
    ) {
        let mut bench = Bench::new(&config());
        for (offset, data) in &writes {
            bench.write(Region::Config, *offset, data);
            prop_assert_eq!(status(&mut bench) & !(READY | ERROR), 0);
        }
        put(&mut bench, CONTROL, ABORT);
        prop_assert_eq!(exchange(&mut bench, &[1, 3, 1]), [1, 3, 0x0002_1e98]);
    }
}
