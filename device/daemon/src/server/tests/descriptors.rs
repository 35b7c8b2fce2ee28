// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! File descriptors, wanted and unwanted.

use super::*;

#[test]
fn descriptors_stay_with_their_message_and_are_closed_with_it() {
    let mut peers = Peers::negotiated();
    let event = EventFd::new(EFD_NONBLOCK).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    // A message with a descriptor nobody needs, right before one with an eventfd.
    let reset = message(RESET, 0, &[]);
    let sent = peers.client.send_with_fd(&reset[..], writer.as_raw_fd());
    assert_eq!(sent.unwrap(), reset.len());
    drop(writer);
    let assign = message(SET_IRQS, 0, &words(&[20, 0x24, 2, 0, 1]));
    let sent = peers.client.send_with_fd(&assign[..], event.as_raw_fd());
    assert_eq!(sent.unwrap(), assign.len());
    for _ in 0..2 {
        peers.turn();
        assert_eq!(peers.answer().unwrap().errno, 0);
    }
    assert!(peers.backend.events[0].is_some());
    let mut end = Vec::new();
    (&reader).read_to_end(&mut end).unwrap();
    assert!(end.is_empty(), "the pipe's last writer is closed");
}

#[test]
fn more_descriptors_than_negotiated_end_the_connection() {
    let mut peers = Peers::negotiated();
    let event = EventFd::new(EFD_NONBLOCK).unwrap();
    let bytes = message(RESET, 0, &[0; 8]);
    let sent = peers
        .client
        .send_with_fds(&[&bytes[..]], &[event.as_raw_fd(); 17]);
    assert_eq!(sent.unwrap(), bytes.len());
    assert_eq!(peers.turn(), Waiting::Ended);

    // The same piece by piece.
    let mut peers = Peers::negotiated();
    for byte in &bytes[..2] {
        let sent = peers
            .client
            .send_with_fds(&[&[*byte][..]], &[event.as_raw_fd(); 16]);
        assert_eq!(sent.unwrap(), 1);
    }
    assert_eq!(peers.turn(), Waiting::Ended);
}

/// The other end of the pipe is at its end once its last writer is closed.
#[test]
fn no_message_keeps_descriptors_that_it_does_not_take() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let event = EventFd::new(EFD_NONBLOCK).unwrap();
    let unwanted = [writer.as_raw_fd(), event.as_raw_fd(), writer.as_raw_fd()];
    for command in 0..18 {
        for kind in [0, 1, 2, FLAG_NO_REPLY] {
            let mut peers = Peers::connected();
            for payload in [&[0; 4][..], &words(&[32, 0x24, 2, 0, 3, 0, 0, 0])] {
                let bytes = message(command, kind, payload);
                let sent = peers.client.send_with_fds(&[&bytes[..]], &unwanted);
                assert_eq!(sent.unwrap(), bytes.len());
                peers.turn();
            }
            // The last one stays incomplete.
            let piece = &message(command, kind, &[0; 8])[..20];
            let sent = peers.client.send_with_fds(&[piece], &unwanted);
            assert_eq!(sent.unwrap(), piece.len());
            peers.turn();
            assert!(peers.backend.events.iter().all(Option::is_none));
        }
    }
    drop(writer);
    assert_eq!(reader.read(&mut [0]).unwrap(), 0);
}
