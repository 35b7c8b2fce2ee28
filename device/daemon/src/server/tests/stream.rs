// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Messages that come in pieces, in heaps, too large, or not to an end.

use super::*;

#[test]
fn a_message_in_single_bytes_is_one_message() {
    let mut peers = Peers::negotiated();
    let bytes = message(WRITE, 0, &access(4, 8, 3, b"abc"));
    for byte in &bytes[..bytes.len() - 1] {
        peers.send(&[*byte]);
        assert_eq!(peers.turn(), Waiting::Readable);
        assert!(peers.answer().is_none());
    }
    peers.send(b"c");
    peers.turn();
    assert_eq!(peers.answer().unwrap().payload, access(4, 8, 3, &[]));
    assert_eq!(&peers.backend.bytes[8..11], b"abc");
}

#[test]
fn several_messages_in_one_piece_are_answered_in_order() {
    let mut peers = Peers::negotiated();
    peers.backend.bytes[..3].copy_from_slice(b"xyz");
    let piece: Vec<u8> = (0..3)
        .flat_map(|offset| message(READ, 0, &access(4, offset, 1, &[])))
        .collect();
    peers.send(&piece);
    for letter in b"xyz" {
        assert_eq!(peers.turn(), Waiting::Readable);
        assert_eq!(peers.answer().unwrap().payload.last(), Some(letter));
    }
    assert_eq!(peers.turn(), Waiting::Readable);
    assert!(peers.answer().is_none());
}

#[test]
fn a_size_below_the_header_ends_the_connection_with_an_answer() {
    for size in [0, 1, 15] {
        let mut peers = Peers::negotiated();
        peers.send(&sized_message(RESET, 0, size, &[]));
        assert_eq!(peers.turn(), Waiting::Ended);
        assert_eq!(peers.answer().unwrap().errno, EINVAL);
    }
}

#[test]
fn a_size_above_the_largest_message_ends_the_connection_at_once() {
    let largest = u32::try_from(HEADER_BYTES + 16).unwrap() + MAX_DATA_BYTES;
    for size in [largest + 1, u32::MAX] {
        let mut peers = Peers::negotiated();
        peers.send(&sized_message(WRITE, 0, size, &[]));
        assert_eq!(peers.turn(), Waiting::Ended);
        assert_eq!(peers.answer().unwrap().errno, EINVAL);
    }
}

#[test]
fn a_client_that_leaves_within_a_message_ends_the_connection() {
    let bytes = message(WRITE, 0, &access(4, 0, 8, &[1; 8]));
    for length in 0..bytes.len() {
        let mut peers = Peers::negotiated();
        peers.send(&bytes[..length]);
        peers.client.shutdown(std::net::Shutdown::Both).unwrap();
        assert_eq!(peers.turn(), Waiting::Ended);
        assert_eq!(peers.backend.bytes[0], 0);
    }
}

#[test]
fn no_reply_means_none_even_for_a_malformed_message() {
    for (flags, size) in [
        (FLAG_NO_REPLY, 3),
        (FLAG_NO_REPLY, u32::MAX),
        (1, 3),
        (0x21, 3),
    ] {
        let mut peers = Peers::negotiated();
        peers.send(&sized_message(RESET, flags, size, &[]));
        assert_eq!(peers.turn(), Waiting::Ended, "{flags:#x} {size}");
        assert_eq!(peers.answer(), None, "{flags:#x} {size}");
    }
}

#[test]
fn no_reply_means_none_even_for_a_failure() {
    let mut peers = Peers::negotiated();
    peers.send(&message(WRITE, FLAG_NO_REPLY, &access(4, 0, 1, b"w")));
    peers.send(&message(99, FLAG_NO_REPLY, &[0; 32]));
    peers.send(&message(READ, FLAG_NO_REPLY, &access(4, 0, 1, &[])));
    for _ in 0..3 {
        assert_eq!(peers.turn(), Waiting::Readable);
        assert!(peers.answer().is_none());
    }
    assert_eq!(peers.backend.bytes[0], b'w');
    peers.assert_in_step();
}

#[test]
fn replies_and_undefined_types_of_messages_change_nothing() {
    let mut peers = Peers::negotiated();
    peers.send(&message(RESET, 1, &[0; 8]));
    assert_eq!(peers.turn(), Waiting::Readable);
    assert!(peers.answer().is_none());
    peers.send(&message(RESET, 2, &[0; 8]));
    peers.turn();
    assert_eq!(peers.answer().unwrap().errno, EINVAL);
    assert_eq!(peers.backend.resets, 0);
    peers.assert_in_step();
}

#[test]
fn a_client_that_takes_no_replies_holds_up_only_itself() {
    let mut peers = Peers::negotiated();
    let read = message(READ, 0, &access(4, 0, MAX_DATA_BYTES, &[]));
    peers.send(&[read.clone(), read].concat());
    assert_eq!(peers.turn(), Waiting::Writable);
    assert_eq!(peers.turn(), Waiting::Writable);
    assert_eq!(
        peers.backend.handled.len(),
        2,
        "the second read waits for room"
    );

    let mut received = 0;
    let mut buffer = vec![0; 1 << 16];
    let expected = 2 * (HEADER_BYTES + 16 + MAX_DATA_BYTES as usize);
    while received < expected {
        peers.turn();
        received += peers.client.read(&mut buffer).unwrap();
    }
    assert_eq!(received, expected);
    assert_eq!(peers.backend.handled.len(), 3);
}

#[test]
fn the_largest_write_is_taken() {
    let mut peers = Peers::negotiated();
    let data = vec![0xa5; MAX_DATA_BYTES as usize];
    let bytes = message(WRITE, 0, &access(4, 16, MAX_DATA_BYTES, &data));
    let mut sent = 0;
    while sent < bytes.len() {
        sent += peers.client.write(&bytes[sent..]).unwrap();
        peers.turn();
    }
    assert_eq!(peers.answer().unwrap().errno, 0);
    assert_eq!(peers.backend.bytes[16..16 + data.len()], data);
}
