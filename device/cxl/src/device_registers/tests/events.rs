// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Event logs: policy, records, and what is lost.

use super::*;
use crate::testing::silent_config;
use crate::{MediaEvent, Transaction};
use chmu_spec::address::Dpa;

#[test]
fn the_interrupt_policy_knows_two_modes() {
    let mut bench = Bench::new(&config());
    succeed(&mut bench, 0x0103, &[1, 0, 0xf1, 1]);
    assert_eq!(succeed(&mut bench, 0x0102, &[]), [1, 0, 1, 1]);
    assert_eq!(succeed(&mut bench, 0x0103, &[0, 0, 0, 0, 0]), []);
    for input in [&[2, 0, 0, 0][..], &[0, 0, 0, 3], &[0, 0, 0, 0, 1]] {
        assert_eq!(send(&mut bench, 0x0103, input).0, 2);
    }
    assert_eq!(succeed(&mut bench, 0x0102, &[]), [0; 4]);

    let mut silent = Bench::new(&silent_config());
    assert_eq!(send(&mut silent, 0x0103, &[1; 4]).0, 2);
    assert_eq!(send(&mut silent, 0x0103, &[0; 4]).0, 0);
}

fn media_event(log: EventLog, dpa: u64) -> MediaEvent {
    MediaEvent {
        log,
        dpa: Dpa(dpa),
        uncorrectable: log >= EventLog::Failure,
        transaction: Transaction::HostRead,
    }
}

pub(super) fn inject(bench: &mut Bench, log: EventLog, dpa: u64) {
    let event = media_event(log, dpa);
    bench
        .function
        .inject_event(bench.now_ns, &event, &mut bench.host);
}

/// A general media event, by hand.
fn expected_record(severity: u8, handle: u8, time: u8, descriptor: u8) -> Vec<u8> {
    let mut record = vec![0; 0x80];
    record[..16].copy_from_slice(&[
        0xfb, 0xcd, 0x0a, 0x77, 0xc2, 0x60, 0x41, 0x7f, 0x85, 0xa9, 0x08, 0x8b, 0x16, 0x21, 0xeb,
        0xa6,
    ]);
    record[0x10] = 0x80;
    record[0x11] = severity;
    record[0x14] = handle;
    record[0x18] = time;
    record[0x30..0x38].copy_from_slice(&[0x01, 0x20, 0, 0, 0, 0, 0, 0]);
    record[0x38] = descriptor;
    record[0x3a] = 1;
    record
}

#[test]
fn records_are_written_read_and_cleared() {
    let mut bench = Bench::new(&config());
    succeed(&mut bench, 0x0301, &5_u64.to_le_bytes());
    succeed(&mut bench, 0x0103, &[1, 1, 0, 1]);
    inject(&mut bench, EventLog::Warning, 0x203f);
    inject(&mut bench, EventLog::Warning, 0x2000);
    inject(&mut bench, EventLog::Failure, 0x2000);
    inject(&mut bench, EventLog::Fatal, 0x2000);
    // One interrupt for each log that was empty and has a policy.
    assert_eq!(bench.host.interrupts, [0, 0]);
    assert_eq!(bench.read_u32(BAR, 0x80), 0b1110);

    let output = succeed(&mut bench, 0x0100, &[1]);
    let mut expected = vec![0; 0x20];
    expected[0x14] = 2;
    expected.extend(expected_record(1, 1, 5, 0));
    expected.extend(expected_record(1, 2, 5, 0));
    assert_eq!(output, expected);
    let output = succeed(&mut bench, 0x0100, &[2]);
    assert_eq!(output[0x20..], expected_record(2, 1, 5, 1));

    // Not in order, not there, then right.
    for handles in [&[2, 0][..], &[1, 0, 3, 0], &[1, 0, 2, 0, 3, 0], &[0, 0]] {
        let mut input = vec![1, 0, u8::try_from(handles.len() / 2).unwrap(), 0, 0, 0];
        input.extend_from_slice(handles);
        assert_eq!(send(&mut bench, 0x0101, &input).0, 0x0e);
    }
    assert_eq!(bench.read_u32(BAR, 0x80), 0b1110);
    succeed(&mut bench, 0x0101, &[1, 0, 2, 0, 0, 0, 1, 0, 2, 0]);
    assert_eq!(bench.read_u32(BAR, 0x80), 0b1100);
    assert_eq!(succeed(&mut bench, 0x0100, &[1]), [0; 0x20]);
    succeed(&mut bench, 0x0101, &[2, 1, 0, 0, 0, 0]);
    assert_eq!(bench.read_u32(BAR, 0x80), 0b1000);
    // Handles that are announced but not sent, and logs that do not exist.
    assert_eq!(send(&mut bench, 0x0101, &[3, 0, 2, 0, 0, 0, 1, 0]).0, 0x16);
    assert_eq!(send(&mut bench, 0x0101, &[4, 1, 0, 0, 0, 0]).0, 2);
    assert_eq!(send(&mut bench, 0x0100, &[4]).0, 2);
}

#[test]
fn a_full_log_tells_what_it_lost() {
    let mut bench = Bench::new(&config());
    succeed(&mut bench, 0x0301, &100_u64.to_le_bytes());
    succeed(&mut bench, 0x0103, &[1; 4]);
    for time in 0..70 {
        bench.now_ns = time;
        inject(&mut bench, EventLog::Informational, 0x2000);
    }
    // The first record, and the first that was lost.
    assert_eq!(bench.host.interrupts, [0, 0]);
    let output = succeed(&mut bench, 0x0100, &[0]);
    assert_eq!(output.len(), 0x20 + 15 * 0x80);
    let mut head = [0; 0x20];
    head[0] = 3;
    head[2] = 6;
    head[4] = 164;
    head[0x0c] = 169;
    head[0x14] = 15;
    assert_eq!(output[..0x20], head);

    // All records are read in five commands, oldest first.
    let mut handles = Vec::new();
    for round in 0..5 {
        let output = succeed(&mut bench, 0x0100, &[0]);
        assert_eq!(output[0] & 1, u8::from(round == 0));
        let records = output[0x20..].chunks(0x80);
        let read: Vec<u8> = records.map(|record| record[0x14]).collect();
        let mut input = vec![0, 0, u8::try_from(read.len()).unwrap(), 0, 0, 0];
        input.extend(read.iter().flat_map(|handle| [*handle, 0]));
        succeed(&mut bench, 0x0101, &input);
        handles.extend(read);
    }
    assert_eq!(handles, (1..=64).collect::<Vec<u8>>());
    assert_eq!(succeed(&mut bench, 0x0100, &[0]), [0; 0x20]);
    let statistics = bench.function.statistics();
    assert_eq!(statistics.event_records, 64);
    assert_eq!(statistics.event_records_lost, 6);
    assert_eq!(statistics.event_interrupts, 2);
}

#[test]
fn resets_differ_in_what_they_spare() {
    let mut bench = Bench::new(&config());
    succeed(&mut bench, 0x0103, &[1; 4]);
    inject(&mut bench, EventLog::Fatal, 0x2000);
    send(&mut bench, 0xffff, &[]);
    bench.write(Region::Config, 0x49, &[0x80]);
    assert_eq!(bench.read_u64(BAR, MAILBOX + 8), 0);
    assert_eq!(bench.read_u64(BAR, MAILBOX + 0x10), 0);
    assert_eq!(bench.read_u32(BAR, 0x80), 0b1000);
    assert_eq!(succeed(&mut bench, 0x0102, &[]), [1; 4]);

    bench.function.reset(&mut bench.host);
    assert_eq!(bench.read_u32(BAR, 0x80), 0);
    assert_eq!(succeed(&mut bench, 0x0102, &[]), [0; 4]);
    assert_eq!(succeed(&mut bench, 0x0100, &[3]), [0; 0x20]);
}
