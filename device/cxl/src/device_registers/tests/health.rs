// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Health, alerts and firmware, against payloads that were written down by hand.

use super::*;
use crate::Condition;

fn set(bench: &mut Bench, condition: Condition) {
    bench
        .function
        .set_condition(bench.now_ns, condition, &mut bench.host);
}

/// Health info of a card at 40 °C without wear.
fn healthy() -> Vec<u8> {
    let mut health = vec![0; 0x12];
    health[4] = 40;
    health
}

/// A memory module event, by hand.
fn module_event(severity: u8, handle: u8, event_type: u8, health: &[u8]) -> Vec<u8> {
    let mut record = vec![0; 0x80];
    record[..16].copy_from_slice(&[
        0xfe, 0x92, 0x74, 0x75, 0xdd, 0x59, 0x43, 0x39, 0xa5, 0x86, 0x79, 0xba, 0xb1, 0x13, 0xb7,
        0x74,
    ]);
    record[0x10] = 0x80;
    record[0x11] = severity;
    record[0x14] = handle;
    record[0x30] = event_type;
    record[0x31..0x43].copy_from_slice(health);
    record
}

/// The records of a log.
fn records(bench: &mut Bench, log: u8) -> Vec<u8> {
    succeed(bench, 0x0100, &[log])[0x20..].to_vec()
}

#[test]
fn firmware_has_one_slot() {
    let mut bench = Bench::new(&config());
    let mut expected = vec![0; 0x50];
    expected[..2].copy_from_slice(&[1, 1]);
    expected[0x10..0x1a].copy_from_slice(b"chmu 0.1.0");
    assert_eq!(succeed(&mut bench, 0x0200, &[]), expected);
}

#[test]
fn a_new_card_is_healthy() {
    let mut bench = Bench::new(&config());
    assert_eq!(succeed(&mut bench, 0x4200, &[]), healthy());
}

/// Warnings at 80 % of life, 85 °C and 5 °C; critical at 95 %, 95 °C and 0 °C.
const ALERTS: [u8; 16] = [0x07, 0x0f, 95, 80, 95, 0, 0, 0, 85, 0, 5, 0, 0, 0, 0, 0];

#[test]
fn alerts_are_read_and_set() {
    let mut bench = Bench::new(&config());
    assert_eq!(succeed(&mut bench, 0x4201, &[]), ALERTS);
    // Life used at 50 %, too warm at 70 °C; too cold off; 258 corrected errors.
    let input = [0x0f, 0x0b, 50, 0, 70, 0, 99, 0, 2, 1, 0, 0];
    assert_eq!(succeed(&mut bench, 0x4202, &input), []);
    let mut expected = ALERTS;
    expected[0] = 0x0b;
    expected[3] = 50;
    expected[8] = 70;
    expected[0x0c..0x0e].copy_from_slice(&[2, 1]);
    assert_eq!(succeed(&mut bench, 0x4201, &[]), expected);
    // Only what the actions name is touched.
    let input = [0x04, 0x0f, 1, 0, 1, 0, 8, 0, 1, 0, 1, 0];
    assert_eq!(succeed(&mut bench, 0x4202, &input), []);
    expected[0] = 0x0f;
    expected[0x0a] = 8;
    assert_eq!(succeed(&mut bench, 0x4201, &[]), expected);
    bench.function.reset(&mut bench.host);
    assert_eq!(succeed(&mut bench, 0x4201, &[]), ALERTS);
}

#[test]
fn alerts_that_cannot_be_are_refused_as_a_whole() {
    let mut bench = Bench::new(&config());
    let refused = [
        // Persistent memory, and what is no alert.
        [0x10, 0x00, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0x21, 0x01, 50, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        // Warnings that come when it is critical already.
        [0x01, 0x01, 95, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0x03, 0x03, 50, 0, 95, 0, 0, 0, 0, 0, 0, 0],
        [0x05, 0x05, 50, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0x04, 0x04, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0],
    ];
    for input in refused {
        assert_eq!(send(&mut bench, 0x4202, &input), (2, Vec::new()));
        assert_eq!(succeed(&mut bench, 0x4201, &[]), ALERTS);
    }
}

#[test]
fn health_that_changes_is_an_event() {
    let mut bench = Bench::new(&config());
    succeed(&mut bench, 0x0103, &[1; 4]);
    let mut health = healthy();

    set(&mut bench, Condition::Temperature(84));
    assert_eq!(bench.read_u32(BAR, 0x80), 0);
    set(&mut bench, Condition::Temperature(85));
    (health[2], health[4]) = (0x04, 85);
    assert_eq!(succeed(&mut bench, 0x4200, &[]), health);
    assert_eq!(records(&mut bench, 1), module_event(1, 1, 3, &health));

    set(&mut bench, Condition::LifeUsed(95));
    (health[2], health[3]) = (0x06, 95);
    assert_eq!(records(&mut bench, 2), module_event(2, 1, 2, &health));

    // Cold, and then fine again.
    set(&mut bench, Condition::Temperature(-1));
    (health[2], health[4], health[5]) = (0x0a, 0xff, 0xff);
    assert_eq!(
        records(&mut bench, 2)[0x80..],
        module_event(2, 2, 3, &health)
    );
    set(&mut bench, Condition::Temperature(20));
    (health[2], health[4], health[5]) = (0x02, 20, 0);
    assert_eq!(records(&mut bench, 0), module_event(0, 1, 3, &health));
    assert_eq!(bench.host.interrupts, [0, 0, 0]);

    // A reset cools nothing.
    bench.function.reset(&mut bench.host);
    assert_eq!(succeed(&mut bench, 0x4200, &[]), health);
    assert_eq!(bench.read_u32(BAR, 0x80), 0);
}

#[test]
fn corrected_errors_are_counted_and_warned_of() {
    let mut bench = Bench::new(&config());
    inject(&mut bench, EventLog::Informational, 0x2000);
    let mut health = healthy();
    health[0x0a] = 1;
    assert_eq!(succeed(&mut bench, 0x4200, &[]), health);
    // Uncorrected ones do not count.
    inject(&mut bench, EventLog::Failure, 0x2000);
    assert_eq!(succeed(&mut bench, 0x4200, &[]), health);

    succeed(
        &mut bench,
        0x4202,
        &[0x08, 0x08, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0],
    );
    assert_eq!(records(&mut bench, 1), []);
    inject(&mut bench, EventLog::Informational, 0x2000);
    (health[2], health[0x0a]) = (0x10, 2);
    assert_eq!(records(&mut bench, 1), module_event(1, 1, 0, &health));
    // A threshold that is passed already warns at once, and only once.
    inject(&mut bench, EventLog::Informational, 0x2000);
    assert_eq!(records(&mut bench, 1).len(), 0x80);

    bench.function.reset(&mut bench.host);
    assert_eq!(succeed(&mut bench, 0x4200, &[]), healthy());
}
