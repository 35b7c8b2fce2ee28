// SPDX-License-Identifier: BSD-3-Clause
//! What a record costs: `cargo bench -p chmu-ring`.
//!
//! Producer and consumer take turns on one thread, so that the numbers are instruction costs and
//! do not depend on where the scheduler puts two threads. The floor is the same loop storing the
//! same records to a vector that is long enough.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::arithmetic_side_effects
)]

use std::hint::black_box;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use chmu_ring::{Access, Feed, FeedConfig, Hpa, Producer, RingProducer, Window};

const RECORDS: u64 = 32_768;
const ROUNDS: usize = 200;
const WINDOW: Window = Window {
    base: 0x1_0000_0000,
    size: 0x4000_0000,
};

/// Nanoseconds per record of each round.
struct Timing(Vec<f64>);

impl Timing {
    fn measure(mut round: impl FnMut() -> f64) -> Self {
        let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| round()).collect();
        rounds.sort_by(f64::total_cmp);
        Self(rounds)
    }

    fn minimum(&self) -> f64 {
        self.0.first().copied().unwrap_or(f64::NAN)
    }

    fn median(&self) -> f64 {
        self.0.get(ROUNDS / 2).copied().unwrap_or(f64::NAN)
    }
}

fn records() -> impl Iterator<Item = Access<Hpa>> {
    (0..RECORDS).map(|line| Access::read(Hpa(WINDOW.base + line * 64)))
}

fn ns_per_record(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e9 / RECORDS as f64
}

fn push_all(ring: &mut RingProducer) {
    for record in records() {
        assert!(ring.push(black_box(record)), "The ring is long enough");
    }
}

fn drain_all(feed: &mut Feed) {
    let report = feed.drain(|batch| {
        black_box(batch);
    });
    assert_eq!(report.records, RECORDS);
}

fn main() {
    let mut feed = Feed::create(&FeedConfig::new(8, vec![WINDOW])).unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    feed.hand_over(ours).unwrap();
    let mut producer = Producer::attach(theirs).unwrap();
    let mut ring = producer.ring(0).unwrap();
    let mut stored = Vec::with_capacity(usize::try_from(RECORDS).unwrap());

    let floor = Timing::measure(|| {
        stored.clear();
        let start = Instant::now();
        stored.extend(records().map(black_box));
        let elapsed = ns_per_record(start);
        black_box(&stored);
        elapsed
    });
    let push = Timing::measure(|| {
        let start = Instant::now();
        push_all(&mut ring);
        let elapsed = ns_per_record(start);
        drain_all(&mut feed);
        elapsed
    });
    let both = Timing::measure(|| {
        let start = Instant::now();
        push_all(&mut ring);
        drain_all(&mut feed);
        ns_per_record(start)
    });

    println!("{ROUNDS} rounds of {RECORDS} records, ns per record");
    println!("                    minimum   median   minimum / floor");
    for (name, timing) in [
        ("store to a vector", &floor),
        ("push", &push),
        ("push and drain", &both),
    ] {
        let ratio = timing.minimum() / floor.minimum();
        let (minimum, median) = (timing.minimum(), timing.median());
        println!("{name:<18} {minimum:>8.2} {median:>8.2} {ratio:>17.2}");
    }
}
