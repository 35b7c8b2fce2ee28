// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What requests may ask of regions, and in which order.

use super::*;

#[test]
fn version_comes_first_and_once() {
    let mut peers = Peers::connected();
    assert_eq!(peers.errno(RESET, &[]), EINVAL);
    assert_eq!(peers.errno(VERSION, b"\0"), EINVAL);
    assert_eq!(peers.errno(VERSION, b"\0\0\0\0no json"), EINVAL);
    assert_eq!(peers.errno(READ, &access(4, 0, 4, &[])), EINVAL);
    assert_eq!(peers.errno(VERSION, &[0; 4]), 0);
    assert_eq!(peers.errno(VERSION, &[0; 4]), EINVAL);
    peers.assert_in_step();
    assert_eq!(peers.backend.resets, 1);
}

#[test]
fn unknown_and_unsupported_commands_stay_in_step() {
    let mut peers = Peers::negotiated();
    for command in [0, 6, 11, 12, 14, 15, 16, 99, u16::MAX] {
        for payload in [&[][..], &[0x5a; 40], &[0xff; 5000]] {
            assert_eq!(peers.errno(command, payload), ENOTSUP, "command {command}");
            peers.assert_in_step();
        }
    }
}

#[test]
fn short_payloads_are_refused() {
    let mut peers = Peers::negotiated();
    for command in [2, 3, 4, 5, 7, 8, 9, 10] {
        for length in 0..16 {
            assert_eq!(peers.errno(command, &vec![0; length]), EINVAL);
        }
    }
    // Long enough, but `argsz` says otherwise.
    for command in [2, 3, 4, 5, 7, 8] {
        assert_eq!(peers.errno(command, &[0; 64]), EINVAL);
    }
    peers.assert_in_step();
}

#[test]
fn accesses_keep_to_the_region_and_to_the_largest_transfer() {
    let mut peers = Peers::negotiated();
    let size = 2 * u64::from(MAX_DATA_BYTES);
    for (region, offset, count) in [
        (4, size, 1),
        (4, size - 3, 4),
        (4, u64::MAX, 8),
        (4, 0, 0),
        (4, 0, MAX_DATA_BYTES + 1),
        (4, 0, 1 << 30),
        (0, 0, 4),
        (9, 0, 4),
        (u32::MAX, 0, 4),
    ] {
        assert_eq!(
            peers.errno(READ, &access(region, offset, count, &[])),
            EINVAL
        );
    }
    peers.assert_in_step();
}

#[test]
fn a_write_carries_as_much_as_it_says() {
    let mut peers = Peers::negotiated();
    for count in [0, 4, 9, 1 << 20, u32::MAX] {
        assert_eq!(peers.errno(WRITE, &access(4, 0, count, &[1; 8])), EINVAL);
    }
    assert_eq!(peers.errno(WRITE, &access(42, 0, 8, &[1; 8])), EINVAL);
    assert_eq!(peers.errno(WRITE, &access(4, 0x666, 8, &[1; 8])), EINVAL);
    assert_eq!(peers.backend.bytes[..8], [0; 8]);
    peers.assert_in_step();
}

#[test]
fn region_information_takes_two_rounds() {
    let mut peers = Peers::negotiated();
    let ask = |room: u32, index: u32| {
        let mut request = words(&[room, 0, index, 0]);
        request.resize(32, 0);
        request
    };
    let needed = 32 + 16 + 2 * 16;
    let head = [
        words(&[needed, 0xf, 4, 32]),
        vec![0, 0, 0x20, 0, 0, 0, 0, 0],
        vec![0; 8],
    ]
    .concat();
    for room in [32, needed - 1] {
        let answer = peers.call(GET_REGION_INFO, &ask(room, 4)).unwrap();
        assert_eq!(answer.payload, head);
    }

    peers.send(&message(GET_REGION_INFO, 0, &ask(needed, 4)));
    peers.turn();
    let mut reply = vec![0; 256];
    let (count, file) = peers.client.recv_with_fd(&mut reply).unwrap();
    assert!(file.is_some());
    let capability: Vec<u8> = [
        words(&[1 | 1 << 16, 0, 2, 0]),
        [0x1000u64, 0x2000, 0x8000, 0x1000]
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect(),
    ]
    .concat();
    assert_eq!(reply[HEADER_BYTES..count], [head, capability].concat());

    let absent = peers.call(GET_REGION_INFO, &ask(32, 6)).unwrap();
    assert_eq!(absent.payload[4..8], [0; 4]);
    assert_eq!(peers.errno(GET_REGION_INFO, &ask(32, 9)), EINVAL);
    assert_eq!(peers.errno(GET_REGION_INFO, &ask(31, 4)), EINVAL);
}
