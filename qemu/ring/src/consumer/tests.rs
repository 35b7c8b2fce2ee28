// SPDX-License-Identifier: BSD-3-Clause
use std::collections::VecDeque;
use std::io::Write;
use std::sync::atomic::AtomicU64;

use proptest::prelude::*;
use rustix::fs::{FallocateFlags, fallocate};

use super::*;
use crate::layout::RingControl;
use crate::producer::{Producer, RingProducer};

const WINDOW: Window = Window {
    base: 0x1_0000_0000,
    size: 0x4000_0000,
};

fn feed(rings: u32, entries_per_ring: u32) -> Feed {
    Feed::create(&FeedConfig {
        rings,
        entries_per_ring,
        windows: vec![WINDOW],
    })
    .unwrap()
}

fn attach(feed: &mut Feed) -> Producer {
    let (ours, theirs) = UnixStream::pair().unwrap();
    feed.hand_over(ours).unwrap();
    Producer::attach(theirs).unwrap()
}

fn take_rings(producer: &mut Producer) -> Vec<RingProducer> {
    let rings = 0..producer.ring_count();
    rings.map(|index| producer.ring(index).unwrap()).collect()
}

fn layout(feed: &Feed) -> &Layout {
    &feed.producer.as_ref().unwrap().rings.layout
}

/// What a hostile producer can do to a ring without the library's help.
fn control(feed: &Feed, index: u32) -> &RingControl {
    activate_all(feed);
    // SAFETY: the pointer is into the feed's mapping.
    unsafe { layout(feed).control(index).as_ref() }
}

fn entries(feed: &Feed, index: u32) -> &[AtomicU64] {
    activate_all(feed);
    // SAFETY: the pointer is into the feed's mapping.
    unsafe { layout(feed).entries(index).as_ref() }
}

/// Says of more rings than there are that they were written to.
fn activate_all(feed: &Feed) {
    for word in &layout(feed).header().producer.0.active {
        word.store(u64::MAX, Ordering::Release);
    }
}

fn drain_all(feed: &mut Feed) -> (Vec<Access<Hpa>>, DrainReport) {
    let mut records = Vec::new();
    let report = feed.drain(|batch| records.extend_from_slice(batch));
    (records, report)
}

#[test]
fn what_is_pushed_comes_out_in_order() {
    let mut feed = feed(2, 64);
    let mut producer = attach(&mut feed);
    assert_eq!(producer.windows(), [WINDOW]);
    let mut rings = take_rings(&mut producer);
    let pushed: Vec<Access<Hpa>> = (0..10)
        .map(|n| Access::read(Hpa(WINDOW.base + n * 64)))
        .collect();
    assert!(pushed.iter().all(|record| rings[1].push(*record)));
    let (records, report) = drain_all(&mut feed);
    assert_eq!(records, pushed);
    let expected = DrainReport {
        records: 10,
        ..DrainReport::default()
    };
    assert_eq!(report, expected);
    assert_eq!(drain_all(&mut feed).1, DrainReport::default());
}

#[test]
fn impossible_indices_are_reported_once_and_skipped() {
    let mut feed = feed(1, 64);
    let mut producer = attach(&mut feed);
    let mut rings = take_rings(&mut producer);
    assert!(rings[0].push(Access::read(Hpa(0))));
    for written in [u64::MAX, 1 << 40, 0, 66] {
        let word = &control(&feed, 0).producer.0.written;
        word.store(written, Ordering::Release);
        let (records, report) = drain_all(&mut feed);
        assert_eq!((records.len(), report.corrupt), (0, 1), "{written}");
        assert_eq!(drain_all(&mut feed).1, DrainReport::default());
    }
}

#[test]
fn a_ring_works_again_after_a_corruption() {
    let mut feed = feed(1, 64);
    let _producer = attach(&mut feed);
    let written = &control(&feed, 0).producer.0.written;
    written.store(1000, Ordering::Release);
    assert_eq!(drain_all(&mut feed).1.corrupt, 1);
    let record = Access::write(Hpa(128));
    entries(&feed, 0)[1000 % 64].store(record.word(), Ordering::Relaxed);
    let written = &control(&feed, 0).producer.0.written;
    written.store(1001, Ordering::Release);
    assert_eq!(drain_all(&mut feed).0, [record]);
}

#[test]
fn a_word_that_is_no_record_is_counted_as_corrupt() {
    let mut feed = feed(1, 64);
    let mut producer = attach(&mut feed);
    let mut rings = take_rings(&mut producer);
    assert!(rings[0].push(Access::read(Hpa(64))));
    assert!(rings[0].push(Access::read(Hpa(128))));
    entries(&feed, 0)[0].store(64 | 2, Ordering::Relaxed);
    let (records, report) = drain_all(&mut feed);
    assert_eq!(records, [Access::read(Hpa(128))]);
    assert_eq!((report.records, report.corrupt), (1, 1));
}

#[test]
fn lost_records_that_cannot_be_are_not_believed() {
    let mut feed = feed(1, 64);
    let mut producer = attach(&mut feed);
    let mut rings = take_rings(&mut producer);
    assert!(rings[0].push(Access::read(Hpa(64))));
    for (lost, believed) in [(5, 5), (u64::MAX, 0), (3, 4), (2, 0)] {
        let word = &control(&feed, 0).producer.0.lost;
        word.store(lost, Ordering::Relaxed);
        let (_, report) = drain_all(&mut feed);
        let doubtful = u64::from(believed == 0);
        assert_eq!(
            (report.lost, report.corrupt),
            (believed, doubtful),
            "{lost}"
        );
    }
    let word = &layout(&feed).header().ringless_lost.0;
    word.store(u64::MAX, Ordering::Relaxed);
    let (_, report) = drain_all(&mut feed);
    assert_eq!((report.lost, report.corrupt), (0, 1));
    assert_eq!(drain_all(&mut feed).1, DrainReport::default());
}

#[test]
fn vcpus_without_a_ring_lose_what_they_report() {
    let mut feed = feed(1, 64);
    let producer = attach(&mut feed);
    producer.set_ringless_vcpus(3);
    assert_eq!(feed.ringless_vcpus(), 3);
    let ringless = producer.ringless();
    ringless.drop_record();
    assert_eq!(
        drain_all(&mut feed).1.lost,
        0,
        "a disarmed device misses nothing"
    );
    feed.set_armed(true);
    ringless.drop_record();
    ringless.clone().drop_record();
    assert_eq!(drain_all(&mut feed).1.lost, 2);
    drop((producer, ringless));
    assert!(!feed.producer_attached());
    assert_eq!(feed.ringless_vcpus(), 0);
}

#[test]
fn rings_that_were_never_written_to_are_not_looked_at() {
    let mut feed = feed(256, 64);
    let mut producer = attach(&mut feed);
    let mut rings = take_rings(&mut producer);
    for index in [3, 63, 64, 255] {
        // SAFETY: the pointer is into the feed's mapping.
        let control = unsafe { layout(&feed).control(index).as_ref() };
        control.producer.0.written.store(1, Ordering::Release);
    }
    assert_eq!(drain_all(&mut feed).1, DrainReport::default());
    for index in [3, 63, 64, 255] {
        assert!(rings[index].push(Access::read(Hpa(64 * index as u64))));
    }
    let expected = [3, 63, 64, 255].map(|index| Access::read(Hpa(64 * index)));
    assert_eq!(drain_all(&mut feed).0, expected);
}

/// Whatever one producer does to the memory, the next one gets other memory.
#[test]
fn a_bad_producer_bars_nobody() {
    let mut feed = feed(2, 64);
    for _ in 0..3 {
        let mut producer = attach(&mut feed);
        let mut rings = take_rings(&mut producer);
        assert!(rings[1].push(Access::read(Hpa(64))));
        assert_eq!(drain_all(&mut feed).0, [Access::read(Hpa(64))]);
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(layout(&feed).memory(), hole, 0, 1 << 20).unwrap();
        control(&feed, 1);
        assert_eq!(drain_all(&mut feed).1.corrupt, 1);
        for offset in (0..4096).step_by(8) {
            let word = layout(&feed).memory().at::<AtomicU64>(offset).unwrap();
            // SAFETY: the pointer is into the feed's mapping.
            unsafe { word.as_ref() }.store(u64::MAX, Ordering::Relaxed);
        }
        drain_all(&mut feed);
        drop((producer, rings));
        assert!(!feed.producer_attached());
    }
}

#[test]
fn one_producer_at_a_time() {
    let mut feed = feed(1, 64);
    assert!(!feed.producer_attached());
    assert!(feed.producer_socket().is_none());
    let producer = attach(&mut feed);
    assert!(feed.producer_attached());
    let (ours, theirs) = UnixStream::pair().unwrap();
    assert!(matches!(feed.hand_over(ours), Err(Error::ProducerAttached)));
    assert!(matches!(Producer::attach(theirs), Err(Error::Refused)));
    drop(producer);
    assert!(!feed.producer_attached());
    let second = attach(&mut feed);
    assert!(feed.producer_attached());
    assert!(!second.device_gone());
    drop(feed);
    assert!(second.device_gone());
}

#[test]
fn a_producer_may_talk_as_much_as_it_likes() {
    let mut feed = feed(1, 64);
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    feed.hand_over(ours).unwrap();
    theirs.write_all(&[0x55; 100_000]).unwrap();
    assert!(feed.producer_attached());
    drop(theirs);
    assert!(!feed.producer_attached(), "whatever is left unheard");
}

#[test]
fn records_of_a_producer_that_left_are_still_drained() {
    let mut feed = feed(1, 64);
    let mut producer = attach(&mut feed);
    let mut rings = take_rings(&mut producer);
    assert!(rings[0].push(Access::read(Hpa(64))));
    drop((rings, producer));
    assert!(!feed.producer_attached());
    let mut producer = attach(&mut feed);
    assert!(take_rings(&mut producer)[0].push(Access::read(Hpa(128))));
    let (records, _) = drain_all(&mut feed);
    assert_eq!(records, [Access::read(Hpa(64)), Access::read(Hpa(128))]);
    assert_eq!(drain_all(&mut feed).0, []);
}

#[test]
fn an_acknowledgement_is_for_one_request_of_one_producer() {
    let mut feed = feed(1, 64);
    assert!(!feed.acknowledged());
    let producer = attach(&mut feed);
    assert!(!feed.acknowledged());
    feed.set_armed(true);
    let request = producer.arming();
    assert!(request.is_armed());
    producer.acknowledge(request);
    assert!(feed.acknowledged());
    feed.set_armed(true);
    assert!(feed.acknowledged(), "nothing new was asked for");
    feed.set_armed(false);
    assert!(!producer.arming().is_armed());
    feed.set_armed(true);
    assert!(!feed.acknowledged(), "an earlier arming was acknowledged");
    producer.acknowledge(producer.arming());
    assert!(feed.acknowledged());
    drop(producer);
    assert!(!feed.producer_attached());
    assert!(!feed.acknowledged());
    let second = attach(&mut feed);
    assert!(!feed.acknowledged(), "the second producer said nothing yet");
    assert!(second.arming().is_armed());
}

#[test]
fn configurations_out_of_range_are_refused() {
    let create = |rings, entries_per_ring, windows: &[Window]| {
        Feed::create(&FeedConfig {
            rings,
            entries_per_ring,
            windows: windows.to_vec(),
        })
    };
    assert!(matches!(create(0, 64, &[WINDOW]), Err(Error::RingCount(0))));
    assert!(matches!(
        create(257, 64, &[WINDOW]),
        Err(Error::RingCount(257))
    ));
    assert!(matches!(
        create(1, 32, &[WINDOW]),
        Err(Error::EntryCount(32))
    ));
    assert!(matches!(
        create(1, 96, &[WINDOW]),
        Err(Error::EntryCount(96))
    ));
    assert!(matches!(create(1, 64, &[]), Err(Error::WindowCount(0))));
    assert!(matches!(
        create(1, 64, &[WINDOW; 17]),
        Err(Error::WindowCount(17))
    ));
    let empty = Window { base: 0, size: 0 };
    assert!(matches!(create(1, 64, &[empty]), Err(Error::Window(_))));
}

#[derive(Debug, Clone)]
enum Step {
    Push(u32, u64),
    Drain,
    CorruptIndex(u32, u64),
    CorruptWord(u32, usize, u64),
    CorruptLost(u32, u64),
}

fn honest_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3_u32, any::<u64>()).prop_map(|(ring, word)| Step::Push(ring, word)),
        1 => Just(Step::Drain),
    ]
}

fn hostile_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => honest_step(),
        1 => (0..3_u32, any::<u64>()).prop_map(|(ring, word)| Step::CorruptIndex(ring, word)),
        1 => (0..3_u32, 0..64_usize, any::<u64>())
            .prop_map(|(ring, place, word)| Step::CorruptWord(ring, place, word)),
        1 => (0..3_u32, any::<u64>()).prop_map(|(ring, word)| Step::CorruptLost(ring, word)),
    ]
}

fn record(word: u64) -> Access<Hpa> {
    if word & 1 == 0 {
        Access::read(Hpa(word))
    } else {
        Access::write(Hpa(word))
    }
}

proptest! {
    /// Three queues of 64 are the oracle: a push fails exactly when its queue is full, and a drain
    /// gives what the queues hold, each in order.
    #[test]
    fn rings_are_bounded_queues(steps in prop::collection::vec(honest_step(), 0..600)) {
        let mut feed = feed(3, 64);
        let mut producer = attach(&mut feed);
        let mut rings = take_rings(&mut producer);
        let mut queues = vec![VecDeque::new(); 3];
        for step in steps {
            match step {
                Step::Push(ring, word) => {
                    let queue = &mut queues[ring as usize];
                    // The line address tells the ring, so that a drained record finds its queue.
                    let record = record(word & !0xc0 | u64::from(ring) << 6);
                    let pushed = rings[ring as usize].push(record);
                    prop_assert_eq!(pushed, queue.len() < 64);
                    if pushed {
                        queue.push_back(record);
                    }
                }
                Step::Drain => {
                    let waiting: usize = queues.iter().map(VecDeque::len).sum();
                    let mut drained = Vec::new();
                    let report = feed.drain(|batch| drained.extend_from_slice(batch));
                    prop_assert_eq!(report.records, waiting as u64);
                    prop_assert_eq!(report.corrupt, 0);
                    for record in drained {
                        let ring = (record.address().0 >> 6 & 3) as usize;
                        prop_assert_eq!(queues[ring].pop_front(), Some(record));
                    }
                }
                _ => unreachable!("honest steps only"),
            }
        }
    }

    /// Whatever lies in the shared memory, a drain ends, stays inside its limits, and leaves a
    /// feed that is clean at the next drain.
    #[test]
    fn no_content_of_the_shared_memory_harms(steps in prop::collection::vec(hostile_step(), 0..200)) {
        let mut feed = feed(3, 64);
        let mut producer = attach(&mut feed);
        let mut rings = take_rings(&mut producer);
        for step in steps {
            match step {
                Step::Push(ring, word) => { rings[ring as usize].push(record(word)); }
                Step::Drain => {
                    let report = feed.drain(|batch| assert!(batch.len() <= BATCH_RECORDS));
                    prop_assert!(report.records <= 3 * 64);
                }
                Step::CorruptIndex(ring, word) => {
                    control(&feed, ring).producer.0.written.store(word, Ordering::Release);
                }
                Step::CorruptWord(ring, place, word) => {
                    entries(&feed, ring)[place].store(word, Ordering::Relaxed);
                }
                Step::CorruptLost(ring, word) => {
                    control(&feed, ring).producer.0.lost.store(word, Ordering::Relaxed);
                }
            }
        }
        drain_all(&mut feed);
        prop_assert_eq!(drain_all(&mut feed).1, DrainReport::default());
    }
}
