// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `DEVICE_GET_IRQ_INFO` and `DEVICE_SET_IRQS`.

use super::*;

#[test]
fn interrupt_information_offers_only_message_signalled_vectors() {
    let mut peers = Peers::negotiated();
    let kinds = [
        (Interrupts { msi: 0, msi_x: 4 }, [0, 0, 4]),
        (Interrupts { msi: 2, msi_x: 0 }, [0, 2, 0]),
        (Interrupts::default(), [0, 0, 0]),
    ];
    for (interrupts, counts) in kinds {
        peers.backend.interrupts = interrupts;
        for (index, count) in (0..).zip(counts) {
            let answer = peers.call(GET_IRQ_INFO, &words(&[16, 0, index, 0]));
            let flags = u32::from(count > 0);
            let expected = words(&[16, flags, index, count]);
            assert_eq!(answer.unwrap().payload, expected, "{interrupts:?}");
        }
    }
    for index in [3, 4, 5, u32::MAX] {
        assert_eq!(
            peers.errno(GET_IRQ_INFO, &words(&[16, 0, index, 0])),
            EINVAL
        );
    }
}

fn set_irqs(peers: &mut Peers, fields: [u32; 4], events: &[&dyn AsRawFd]) -> u32 {
    let [flags, index, start, count] = fields;
    let bytes = message(SET_IRQS, 0, &words(&[20, flags, index, start, count]));
    let descriptors: Vec<RawFd> = events.iter().map(|event| event.as_raw_fd()).collect();
    let sent = peers.client.send_with_fds(&[&bytes[..]], &descriptors);
    assert_eq!(sent.unwrap(), bytes.len());
    peers.turn();
    peers.answer().unwrap().errno
}

#[test]
fn vectors_are_connected_replaced_and_disconnected() {
    const ASSIGN: u32 = 0x24;
    const NONE: u32 = 0x21;
    let mut peers = Peers::negotiated();
    let connected =
        |peers: &Peers| -> Vec<bool> { peers.backend.events.iter().map(Option::is_some).collect() };
    let events = [(); 4].map(|()| EventFd::new(EFD_NONBLOCK).unwrap());

    assert_eq!(set_irqs(&mut peers, [ASSIGN, 2, 0, 1], &[]), 0);
    assert_eq!(connected(&peers), [false; 4]);
    assert_eq!(
        set_irqs(&mut peers, [ASSIGN, 2, 1, 2], &[&events[1], &events[2]]),
        0
    );
    assert_eq!(connected(&peers), [false, true, true, false]);
    assert_eq!(set_irqs(&mut peers, [NONE, 2, 1, 2], &[]), 0);
    assert_eq!(events[1].read().unwrap() + events[2].read().unwrap(), 2);
    assert_eq!(set_irqs(&mut peers, [ASSIGN, 2, 2, 1], &[&events[3]]), 0);
    assert_eq!(set_irqs(&mut peers, [NONE, 2, 2, 1], &[]), 0);
    assert_eq!(events[3].read().unwrap(), 1);
    assert!(events[2].read().is_err(), "its place was taken");
    assert_eq!(set_irqs(&mut peers, [ASSIGN, 2, 1, 2], &[&events[0]]), 0);
    assert_eq!(connected(&peers), [false, true, false, false]);
    assert_eq!(set_irqs(&mut peers, [NONE, 2, 0, 0], &[]), 0);
    assert_eq!(connected(&peers), [false; 4]);
}

#[test]
fn impossible_interrupt_settings_are_refused_and_change_nothing() {
    let mut peers = Peers::negotiated();
    let event = EventFd::new(EFD_NONBLOCK).unwrap();
    let file = File::open("/dev/null").unwrap();
    for fields in [
        [0x24, 2, 4, 1],
        [0x24, 2, u32::MAX, 1],
        [0x24, 2, 0, u32::MAX],
        [0x24, 0, 0, 1],
        [0x24, 3, 0, 1],
        [0x24, 17, 0, 1],
        [0x24, 2, 0, 0],
        [0x22, 2, 0, 1],
        [0x0c, 2, 0, 1],
        [0x27, 2, 0, 1],
        [0, 2, 0, 1],
    ] {
        assert_eq!(
            set_irqs(&mut peers, fields, &[&event]),
            EINVAL,
            "{fields:x?}"
        );
    }
    assert_eq!(
        set_irqs(&mut peers, [0x24, 2, 0, 2], &[&event, &file]),
        EINVAL
    );
    assert!(peers.backend.events.iter().all(Option::is_none));
    peers.assert_in_step();
}
