// SPDX-License-Identifier: BSD-3-Clause
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::*;
use crate::consumer::{Feed, FeedConfig};

const WINDOW: Window = Window {
    base: 0x1_0000_0000,
    size: 0x4000_0000,
};

fn attached() -> (Feed, Producer) {
    let mut feed = Feed::create(&FeedConfig {
        rings: 1,
        entries_per_ring: 64,
        windows: vec![WINDOW],
    })
    .unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    feed.hand_over(ours).unwrap();
    let producer = Producer::attach(theirs).unwrap();
    (feed, producer)
}

fn rings(feed: &Feed) -> bool {
    let socket = feed.producer_socket().unwrap();
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let ready = poll(&mut [PollFd::new(&socket, PollFlags::IN)], Some(&now));
    assert!(feed.hear());
    ready == Ok(1)
}

fn push_many(ring: &mut RingProducer, count: u64) -> u64 {
    let pushed = (0..count).filter(|line| ring.push(Access::read(Hpa(line * 64))));
    pushed.count() as u64
}

fn lost(feed: &mut Feed) -> u64 {
    feed.drain(|_| ()).lost
}

#[test]
fn the_doorbell_rings_at_each_quarter() {
    let (mut feed, mut producer) = attached();
    let mut ring = producer.ring(0).unwrap();
    assert!(!rings(&feed));
    push_many(&mut ring, 16);
    assert!(!rings(&feed));
    push_many(&mut ring, 1);
    assert!(rings(&feed));
    push_many(&mut ring, 15);
    assert!(!rings(&feed));
    feed.drain(|_| ());
    push_many(&mut ring, 16);
    assert!(!rings(&feed), "an emptied ring starts anew");
    push_many(&mut ring, 1);
    assert!(rings(&feed));
}

#[test]
fn a_full_ring_drops_nothing_that_was_asked_for_while_it_is_drained() {
    let (mut feed, mut producer) = attached();
    feed.set_armed(true);
    let mut ring = producer.ring(0).unwrap();
    let writer = thread::spawn(move || push_many(&mut ring, 10_000));
    let mut next_line = 0;
    while next_line < 10_000 {
        let report = feed.drain(|batch| {
            for record in batch {
                assert_eq!(*record, Access::read(Hpa(next_line * 64)));
                next_line += 1;
            }
        });
        assert_eq!((report.lost, report.corrupt), (0, 0));
    }
    assert_eq!(writer.join().unwrap(), 10_000);
}

#[test]
fn a_ring_that_stays_full_counts_what_it_drops() {
    let (mut feed, mut producer) = attached();
    feed.set_armed(true);
    let mut ring = producer.ring(0).unwrap();
    assert_eq!(push_many(&mut ring, 164), 64);
    assert!(rings(&feed));
    assert_eq!(lost(&mut feed), 100);
    assert_eq!(push_many(&mut ring, 1), 1, "room ends the dropping");
}

#[test]
fn a_producer_that_does_not_wait_rings_once_when_its_ring_is_full() {
    let (mut feed, mut producer) = attached();
    feed.set_armed(true);
    let mut ring = producer.ring(0).unwrap();
    assert!((0..64).all(|line| ring.try_push(Access::read(Hpa(line * 64)))));
    assert!(rings(&feed), "for its quarters");
    assert!(!ring.try_push(Access::read(Hpa(0))));
    assert!(rings(&feed));
    assert!(!ring.try_push(Access::read(Hpa(0))));
    assert!(!rings(&feed));
    assert_eq!(lost(&mut feed), 0);
    assert!(ring.try_push(Access::read(Hpa(0))));
}

#[test]
fn nothing_waits_for_a_device_that_is_gone() {
    let (mut feed, mut producer) = attached();
    feed.set_armed(true);
    let mut ring = producer.ring(0).unwrap();
    drop(feed);
    assert!(producer.device_gone());
    assert_eq!(push_many(&mut ring, 1000), 64);
}

#[test]
fn a_disarmed_device_misses_nothing() {
    let (mut feed, mut producer) = attached();
    let mut ring = producer.ring(0).unwrap();
    assert_eq!(push_many(&mut ring, 1000), 64);
    assert_eq!(lost(&mut feed), 0);
}

#[test]
fn a_ring_is_given_out_once() {
    let (_feed, mut producer) = attached();
    let _ring = producer.ring(0).unwrap();
    assert!(matches!(producer.ring(0), Err(Error::RingTaken(0))));
    let error = producer.ring(1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Ring 1 does not exist: the device offers 1 rings, one per vCPU"
    );
}

#[test]
fn nobody_listening_is_an_error_with_its_cause() {
    let error = Producer::connect("/nonexistent/access.sock").unwrap_err();
    assert!(
        matches!(&error, Error::Connect(cause) if cause.kind() == std::io::ErrorKind::NotFound)
    );
}
