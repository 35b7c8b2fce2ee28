// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Sanitize in the background.

use super::*;

const SECOND_NS: u64 = 1_000_000_000;
const EVENT_STATUS: u64 = 0x80;
const MEMORY_STATUS: u64 = 0x88;

/// Rings for a command without input; returns the mailbox' status.
fn ring(bench: &mut Bench, opcode: u16) -> u64 {
    bench.write(BAR, MAILBOX + 8, &u64::from(opcode).to_le_bytes());
    bench.write(BAR, MAILBOX + 4, &[5]);
    bench.read_u64(BAR, MAILBOX + 0x10)
}

fn background(bench: &mut Bench) -> u64 {
    bench.read_u64(BAR, MAILBOX + 0x18)
}

/// Takes the memory from the host: CXL.mem off.
fn take_memory(bench: &mut Bench) {
    bench.write(Region::Config, 0x11c, &[0x02]);
    assert_eq!(bench.function.windows(), []);
}

#[test]
fn there_is_no_security() {
    let mut bench = Bench::new(&config());
    assert_eq!(succeed(&mut bench, 0x4500, &[]), [0; 4]);
}

#[test]
fn memory_in_use_is_not_sanitized() {
    let mut bench = Bench::new(&config());
    assert_eq!(ring(&mut bench, 0x4400), 6 << 32);
    assert_eq!(background(&mut bench), 0);
    assert_eq!(bench.read_u64(BAR, MEMORY_STATUS), 0x14);
    assert_eq!(bench.function.next_deadline_ns(), None);
}

#[test]
fn memory_is_sanitized_in_the_background() {
    let mut bench = Bench::new(&config());
    succeed(&mut bench, 0x4301, &0x1000_u64.to_le_bytes());
    assert_eq!(bench.read_u32(BAR, EVENT_STATUS), 1);
    take_memory(&mut bench);
    bench.now_ns = SECOND_NS;
    // Started, and in the background; the memory is disabled.
    assert_eq!(ring(&mut bench, 0x4400), 1 << 32 | 1);
    assert_eq!(background(&mut bench), 0x4400);
    assert_eq!(bench.read_u64(BAR, MEMORY_STATUS), 0x1c);
    assert_eq!(bench.function.next_deadline_ns(), Some(2 * SECOND_NS));

    bench.now_ns += SECOND_NS / 2;
    assert_eq!(background(&mut bench), 50 << 16 | 0x4400);
    // Other commands go on; what is about the memory does not, nor a second one.
    assert_eq!(ring(&mut bench, 0x4200), 1);
    assert_eq!(ring(&mut bench, 0x4400), 6 << 32 | 1);
    bench.write(BAR, MAILBOX + 8, &(0x4301_u64 | 8 << 16).to_le_bytes());
    bench.write(BAR, MAILBOX + 4, &[5]);
    assert_eq!(bench.read_u64(BAR, MAILBOX + 0x10), 7 << 32 | 1);

    bench.now_ns = 2 * SECOND_NS - 1;
    assert_eq!(background(&mut bench), 99 << 16 | 0x4400);
    assert_eq!(bench.host.interrupts, []);
    bench.now_ns += 1;
    bench.function.advance(bench.now_ns, &mut bench.host);
    assert_eq!(bench.host.interrupts, [0]);
    assert_eq!(background(&mut bench), 100 << 16 | 0x4400);
    assert_eq!(bench.read_u64(BAR, MAILBOX + 0x10), 7 << 32);
    assert_eq!(bench.read_u64(BAR, MEMORY_STATUS), 0x14);
    // It leaves no event of what was there before, nor one of its own.
    assert_eq!(bench.read_u32(BAR, EVENT_STATUS), 0);
    assert_eq!(bench.function.next_deadline_ns(), None);
    let whole = [0, GIB / 64].map(u64::to_le_bytes).concat();
    assert_eq!(succeed(&mut bench, 0x4300, &whole), [0; 0x20]);
    assert_eq!(bench.host.interrupts, [0]);
}

#[test]
fn a_function_level_reset_stops_nothing_and_a_machine_reset_does() {
    let mut bench = Bench::new(&config());
    take_memory(&mut bench);
    assert_eq!(ring(&mut bench, 0x4400), 1 << 32 | 1);
    bench.write(Region::Config, 0x49, &[0x80]);
    assert_eq!(bench.read_u64(BAR, MEMORY_STATUS), 0x1c);
    assert_eq!(background(&mut bench), 0x4400);
    // Nobody wants the message any more.
    bench.now_ns = SECOND_NS;
    bench.function.advance(bench.now_ns, &mut bench.host);
    assert_eq!(background(&mut bench), 100 << 16 | 0x4400);
    assert_eq!(bench.host.interrupts, []);

    assert_eq!(ring(&mut bench, 0x4400), 1 << 32 | 1);
    bench.function.reset(&mut bench.host);
    assert_eq!(bench.read_u64(BAR, MEMORY_STATUS), 0x14);
    assert_eq!(background(&mut bench), 0);
    assert_eq!(bench.function.next_deadline_ns(), None);
}
