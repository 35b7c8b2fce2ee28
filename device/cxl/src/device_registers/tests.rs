// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Memory device registers against bytes that were written down by hand, and mailbox
//! conversations in the order and with the accesses of Linux.

mod events;
mod health;
mod poison;
mod sanitize;

use chmu_spec::cxl::event::EventLog;
use proptest::prelude::*;

use crate::testing::{Bench, GIB, config};
use crate::{FunctionEvent, Region};

use events::inject;

const BAR: Region = Region::Bar(2);
const MAILBOX: u64 = 0x100;
const PAYLOAD: u64 = 0x120;

/// Sends a command as Linux does: doorbell, payload, command, doorbell, status, command, payload.
fn send(bench: &mut Bench, opcode: u16, input: &[u8]) -> (u16, Vec<u8>) {
    assert_eq!(bench.read_u32(BAR, MAILBOX + 4) & 1, 0);
    for (offset, chunk) in (PAYLOAD..).step_by(8).zip(input.chunks(8)) {
        bench.write(BAR, offset, chunk);
    }
    let command = u64::from(opcode) | (input.len() as u64) << 16;
    bench.write(BAR, MAILBOX + 8, &command.to_le_bytes());
    bench.write(BAR, MAILBOX + 4, &[1, 0, 0, 0]);
    assert_eq!(bench.read_u32(BAR, MAILBOX + 4), 0);
    let status = bench.read_u64(BAR, MAILBOX + 0x10);
    assert_eq!(status & 0xffff_0000_ffff_ffff, 0);
    let answer = bench.read_u64(BAR, MAILBOX + 8);
    assert_eq!(answer & 0xffff, u64::from(opcode));
    let bytes = usize::try_from(answer >> 16).unwrap();
    assert!(bytes <= 2048);
    let output = bench.read(BAR, PAYLOAD, bytes);
    (u16::try_from(status >> 32).unwrap(), output)
}

fn succeed(bench: &mut Bench, opcode: u16, input: &[u8]) -> Vec<u8> {
    let (return_code, output) = send(bench, opcode, input);
    assert_eq!(return_code, 0, "command {opcode:#x}");
    output
}

#[test]
fn registers_equal_the_kernels_contract() {
    let mut bench = Bench::new(&config());
    let qwords: Vec<u64> = (0..0x90)
        .step_by(8)
        .map(|offset| bench.read_u64(BAR, offset))
        .collect();
    let expected = [
        0x3_0001_0000,
        0,
        0x80_0001_0001,
        8,
        0x100_0001_0002,
        0x820,
        0x88_0001_4000,
        8,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0x14,
    ];
    assert_eq!(qwords, expected);
    // 2 KiB of payload; message 0 for commands in the background.
    assert_eq!(bench.read_u64(BAR, MAILBOX), 0x4b);
}

const CEL_UUID: [u8; 16] = [
    0x0d, 0xa9, 0xc0, 0xb5, 0xbf, 0x41, 0x4b, 0x78, 0x8f, 0x79, 0x96, 0xb1, 0x62, 0x3b, 0x3f, 0x17,
];

/// The command effects log: opcode, effects.
const CEL: [[u8; 4]; 19] = [
    [0x00, 0x01, 0x00, 0x00],
    [0x01, 0x01, 0x10, 0x00],
    [0x02, 0x01, 0x00, 0x00],
    [0x03, 0x01, 0x02, 0x00],
    [0x00, 0x02, 0x00, 0x00],
    [0x00, 0x03, 0x00, 0x00],
    [0x01, 0x03, 0x08, 0x00],
    [0x00, 0x04, 0x00, 0x00],
    [0x01, 0x04, 0x00, 0x00],
    [0x00, 0x40, 0x00, 0x00],
    [0x00, 0x41, 0x00, 0x00],
    [0x00, 0x42, 0x00, 0x00],
    [0x01, 0x42, 0x00, 0x00],
    [0x02, 0x42, 0x08, 0x00],
    [0x00, 0x43, 0x00, 0x00],
    [0x01, 0x43, 0x04, 0x00],
    [0x02, 0x43, 0x04, 0x00],
    [0x00, 0x44, 0x64, 0x00],
    [0x00, 0x45, 0x00, 0x00],
];

/// Bytes of the command effects log.
const CEL_BYTES: u32 = 76;

fn get_log(uuid: [u8; 16], offset: u32, bytes: u32) -> Vec<u8> {
    let mut input = uuid.to_vec();
    input.extend_from_slice(&offset.to_le_bytes());
    input.extend_from_slice(&bytes.to_le_bytes());
    input
}

/// The commands of a driver that binds, in its order.
#[test]
fn linux_gets_through_its_probe() {
    let mut bench = Bench::new(&config());
    let logs = succeed(&mut bench, 0x0400, &[]);
    let mut expected = vec![1, 0, 0, 0, 0, 0, 0, 0];
    expected.extend_from_slice(&CEL_UUID);
    expected.extend_from_slice(&CEL_BYTES.to_le_bytes());
    assert_eq!(logs, expected);

    let effects = succeed(&mut bench, 0x0401, &get_log(CEL_UUID, 0, CEL_BYTES));
    assert_eq!(effects, CEL.as_flattened());

    assert_eq!(succeed(&mut bench, 0x0301, &1000_u64.to_le_bytes()), []);

    let identity = succeed(&mut bench, 0x4000, &[]);
    let mut expected = vec![0; 0x45];
    expected[..10].copy_from_slice(b"chmu 0.1.0");
    expected[0x10] = 4;
    expected[0x18] = 4;
    for log in 0..4 {
        expected[0x30 + log * 2] = 64;
    }
    // The poison list has 126 records, of which 32 injected ones.
    expected[0x3c] = 126;
    expected[0x3f] = 32;
    assert_eq!(identity, expected);

    let partitions = succeed(&mut bench, 0x4100, &[]);
    let mut expected = vec![0; 0x20];
    expected[0] = 4;
    assert_eq!(partitions, expected);

    // Events: policy read, written, read back; then each log is read and is empty.
    assert_eq!(succeed(&mut bench, 0x0102, &[]), [0; 4]);
    assert_eq!(succeed(&mut bench, 0x0103, &[1; 4]), []);
    assert_eq!(succeed(&mut bench, 0x0102, &[]), [1; 4]);
    for log in 0..4 {
        assert_eq!(succeed(&mut bench, 0x0100, &[log]), [0; 0x20]);
    }
    assert_eq!(bench.host.interrupts, []);
    assert_eq!(bench.function.statistics().mailbox_commands, 12);
}

#[test]
fn the_command_effects_are_read_in_parts() {
    let mut bench = Bench::new(&config());
    for (start, entry) in (0..).step_by(4).zip(CEL) {
        let effects = succeed(&mut bench, 0x0401, &get_log(CEL_UUID, start, 4));
        assert_eq!(effects, entry);
    }
    assert_eq!(
        succeed(&mut bench, 0x0401, &get_log(CEL_UUID, CEL_BYTES, 0)),
        []
    );
    for (offset, bytes) in [
        (0, CEL_BYTES + 1),
        (CEL_BYTES, 1),
        (CEL_BYTES + 1, 0),
        (u32::MAX, 0),
        (0, u32::MAX),
        (u32::MAX, u32::MAX),
    ] {
        let (return_code, output) = send(&mut bench, 0x0401, &get_log(CEL_UUID, offset, bytes));
        assert_eq!((return_code, output.len()), (2, 0));
    }
    let (return_code, _) = send(&mut bench, 0x0401, &get_log([0; 16], 0, 4));
    assert_eq!(return_code, 0x17);
}

#[test]
fn time_goes_on_from_what_the_host_set() {
    let mut bench = Bench::new(&config());
    bench.now_ns = 500;
    assert_eq!(succeed(&mut bench, 0x0300, &[]), 0_u64.to_le_bytes());
    succeed(&mut bench, 0x0301, &7000_u64.to_le_bytes());
    bench.now_ns = 1500;
    assert_eq!(succeed(&mut bench, 0x0300, &[]), 8000_u64.to_le_bytes());
    succeed(&mut bench, 0x0301, &u64::MAX.to_le_bytes());
    bench.now_ns = u64::MAX;
    assert_eq!(succeed(&mut bench, 0x0300, &[]), u64::MAX.to_le_bytes());
}

#[test]
fn other_commands_are_unsupported() {
    let mut bench = Bench::new(&config());
    for opcode in [0, 1, 0x0201, 0x0202, 0x0500, 0x4303, 0x4401, 0xc000, 0xffff] {
        assert_eq!(send(&mut bench, opcode, &[]), (3, Vec::new()));
    }
    let event = FunctionEvent::MailboxCommand {
        opcode: 0xffff,
        return_code: chmu_spec::cxl::mailbox::ReturnCode::Unsupported,
    };
    assert_eq!(bench.host.events.last(), Some(&event));
}

#[test]
fn inputs_of_the_wrong_length_are_refused() {
    let mut bench = Bench::new(&config());
    let cases = [
        (0x0100, 0),
        (0x0100, 2),
        (0x0101, 5),
        (0x0101, 7),
        (0x0102, 1),
        (0x0103, 3),
        (0x0103, 6),
        (0x0300, 8),
        (0x0301, 7),
        (0x0400, 1),
        (0x0401, 23),
        (0x0401, 2048),
        (0x4000, 1),
        (0x4100, 1),
        (0x4200, 1),
        (0x0200, 1),
        (0x4201, 1),
        (0x4202, 11),
        (0x4202, 13),
        (0x4300, 15),
        (0x4300, 17),
        (0x4301, 7),
        (0x4301, 9),
        (0x4302, 71),
        (0x4302, 73),
        (0x4400, 1),
        (0x4500, 1),
    ];
    for (opcode, bytes) in cases {
        let outcome = send(&mut bench, opcode, &vec![0; bytes]);
        assert_eq!(outcome, (0x16, Vec::new()), "{opcode:#x} with {bytes}");
    }
    // A length that no payload has.
    let command = 0x0301_u64 | 0x1f_ffff << 16;
    bench.write(BAR, MAILBOX + 8, &command.to_le_bytes());
    bench.write(BAR, MAILBOX + 4, &[1]);
    assert_eq!(bench.read_u64(BAR, MAILBOX + 0x10), 0x16_0000_0000);
}

#[test]
fn the_payload_takes_accesses_of_any_size() {
    let mut bench = Bench::new(&config());
    let time = 0x1122_3344_5566_7788_u64.to_le_bytes();
    for width in [1, 2, 4, 8] {
        for (offset, chunk) in (PAYLOAD..).step_by(width).zip(time.chunks(width)) {
            bench.write(BAR, offset, chunk);
        }
        bench.write(BAR, MAILBOX + 8, &[0x01, 0x03, 8, 0, 0, 0, 0, 0]);
        bench.write(BAR, MAILBOX + 4, &[1]);
        bench.write(BAR, MAILBOX + 8, &[0x00, 0x03]);
        bench.write(BAR, MAILBOX + 10, &[0; 4]);
        bench.write(BAR, MAILBOX + 4, &[1, 0]);
        let read: Vec<u8> = (PAYLOAD..PAYLOAD + 8)
            .step_by(width)
            .flat_map(|offset| bench.read(BAR, offset, width))
            .collect();
        assert_eq!(read, time, "accesses of {width} bytes");
    }
}

#[test]
fn nothing_but_command_and_payload_can_be_written() {
    let mut bench = Bench::new(&config());
    let mut expected = bench.read(BAR, 0, 0x1_0000);
    bench.write(BAR, 0, &[0xff; 0x104]);
    bench.write(BAR, MAILBOX + 4, &[0xfe, 0xff, 0xff, 0xff]);
    bench.write(BAR, MAILBOX + 8, &vec![0xff; 0x1_0000]);
    expected[0x104] = 4;
    expected[0x108..0x110].copy_from_slice(&[0xff, 0xff, 0xff, 0xff, 0x1f, 0, 0, 0]);
    expected[0x120..0x920].fill(0xff);
    assert!(bench.read(BAR, 0, 0x1_0000) == expected);
    assert_eq!(bench.host.events, []);
}

proptest! {
    /// Whatever is written in whatever sizes, the device answers and goes on working.
    #[test]
    fn hostile_writes_do_no_harm(
        writes in proptest::collection::vec(
            (0x80_u64..0x200, proptest::collection::vec(any::<u8>(), 1..64)),
            0..60,
        ),
    ) {
        let mut bench = Bench::new(&config());
        for (offset, data) in &writes {
            bench.write(BAR, *offset, data);
            // Only the wish for a message stays.
            prop_assert_eq!(bench.read_u32(BAR, MAILBOX + 4) & !4, 0);
        }
        prop_assert_eq!(bench.read_u64(BAR, 0x88), 0x14);
        prop_assert_eq!(succeed(&mut bench, 0x4000, &[])[0x10], 4);
    }

    /// Every command with any input ends with a code that Linux knows.
    #[test]
    fn hostile_inputs_get_an_answer(
        opcode in proptest::sample::select(CEL.map(|[low, high, ..]| u16::from_le_bytes([low, high])).to_vec()),
        log in 0_u8..5,
        start in proptest::collection::vec(any::<u8>(), 0..40),
        told_bytes in 0_u64..0x20_0000,
    ) {
        let mut bench = Bench::new(&config());
        for log in EventLog::ALL {
            inject(&mut bench, log, GIB);
        }
        let mut input = vec![log];
        input.extend(&start);
        bench.write(BAR, PAYLOAD, &input);
        for bytes in [told_bytes, input.len() as u64] {
            let command = u64::from(opcode) | bytes << 16;
            bench.write(BAR, MAILBOX + 8, &command.to_le_bytes());
            bench.write(BAR, MAILBOX + 4, &[1, 0, 0, 0]);
            let return_code = bench.read_u64(BAR, MAILBOX + 0x10) >> 32;
            prop_assert!(matches!(return_code, 0 | 2 | 3 | 6 | 0x0e..=0x10 | 0x16 | 0x17));
        }
        prop_assert_eq!(succeed(&mut bench, 0x4000, &[])[0x10], 4);
    }
}
