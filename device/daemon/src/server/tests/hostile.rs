// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Any bytes at all.

use proptest::prelude::*;

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever bytes arrive, however they are cut: no panic, and every answer is a reply.
    #[test]
    fn any_bytes_are_survived(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..48), 0..12),
    ) {
        let mut peers = Peers::negotiated();
        for piece in pieces {
            let sent = peers.client.write(&piece);
            if peers.turn() == Waiting::Ended {
                break;
            }
            prop_assert!(sent.is_ok());
            while peers.answer().is_some() {}
        }
    }

    /// Well-framed messages with any content: exactly one answer each, and in step after it.
    #[test]
    fn any_payload_is_answered_once(
        command in 0u16..18,
        payload in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut peers = Peers::negotiated();
        let answer = peers.call(command, &payload).unwrap();
        prop_assert_eq!((answer.id, answer.command), (7, command));
        prop_assert_eq!(answer.error, answer.errno != 0);
        prop_assert!(peers.answer().is_none());
        peers.assert_in_step();
    }
}
