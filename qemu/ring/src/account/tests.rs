// SPDX-License-Identifier: BSD-3-Clause
use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;

use proptest::prelude::*;

use super::*;
use crate::consumer::{Feed, FeedConfig};
use crate::producer::Producer;

/// Two that touch, and one inside the second.
const WINDOWS: [Window; 3] = [
    Window {
        base: 0x10_0000,
        size: 0x4000,
    },
    Window {
        base: 0x10_4000,
        size: 0x4000,
    },
    Window {
        base: 0x10_5000,
        size: 0x1000,
    },
];
const RINGS: u32 = 3;

fn attached() -> (Feed, Producer) {
    let mut feed = Feed::create(&FeedConfig {
        rings: RINGS,
        entries_per_ring: 64,
        windows: WINDOWS.to_vec(),
    })
    .unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    feed.hand_over(ours).unwrap();
    (feed, Producer::attach(theirs).unwrap())
}

/// The window that counts a request, by its address.
fn window_of(address: u64) -> Option<usize> {
    match address {
        0x10_0000..0x10_4000 => Some(0),
        0x10_4000..0x10_8000 => Some(1),
        _ => None,
    }
}

proptest! {
    /// A sum for each vCPU, window and kind is the oracle.
    #[test]
    fn each_request_counts_once_where_it_belongs(
        steps in prop::collection::vec(
            (0..RINGS, 0x0f_f000..0x10_9000_u64, any::<bool>(), 0..5_u64), 0..300),
        leaves in any::<bool>(),
    ) {
        let (mut feed, mut producer) = attached();
        let rings: Vec<_> = (0..RINGS).map(|ring| producer.ring(ring).unwrap()).collect();
        let mut expected = BTreeMap::new();
        for (vcpu, address, is_write, instructions) in steps {
            let account = expected.entry(vcpu).or_insert_with(|| VcpuAccount {
                vcpu,
                windows: vec![Traffic::default(); WINDOWS.len()],
                ..VcpuAccount::default()
            });
            let window = window_of(address);
            let traffic = window.map_or(&mut account.elsewhere, |window| &mut account.windows[window]);
            let request = if is_write {
                traffic.writes += 1;
                Access::write(Hpa(address))
            } else {
                traffic.reads += 1;
                Access::read(Hpa(address))
            };
            account.instructions += instructions;
            let ring = &rings[vcpu as usize];
            prop_assert_eq!(ring.count(&WINDOWS, request), window.is_some());
            ring.add_instructions(instructions);
        }
        if leaves {
            drop((rings, producer));
            prop_assert!(!feed.producer_attached());
        }
        prop_assert_eq!(feed.accounts(), expected.into_values().collect::<Vec<_>>());
    }
}

#[test]
fn a_producer_starts_with_empty_accounts() {
    let (mut feed, mut producer) = attached();
    producer.ring(2).unwrap().add_instructions(7);
    drop(producer);
    assert!(!feed.producer_attached());
    assert_eq!(feed.accounts().len(), 1, "what the last one did");
    let (ours, _theirs) = UnixStream::pair().unwrap();
    feed.hand_over(ours).unwrap();
    assert_eq!(feed.accounts(), []);
}

/// Sums of what a broken producer writes go no further than a counter can.
#[test]
fn sums_do_not_overflow() {
    let full = Traffic {
        reads: u64::MAX,
        writes: u64::MAX,
    };
    let other = Traffic {
        reads: 1,
        writes: u64::MAX,
    };
    assert_eq!(full.saturating_add(other), full);
}
