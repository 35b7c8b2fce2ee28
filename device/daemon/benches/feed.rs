// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! How many accesses a second a device takes from a producer: `cargo bench -p vfio-user-chmu`.
//!
//! The device is the real process with one enabled instance; the producer is this process with one
//! ring. The time runs from the first record to the statistics that have counted the last one, so
//! it includes the waits for room in the ring. Both need a processor of their own.
//!
//! The same again with a producer that sleeps for a millisecond whenever its ring is full shows
//! what that wait is worth.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use chmu_ring::{Access, Hpa, Producer, RingProducer};

const RECORDS: u64 = 20_000_000;
const ROUNDS: usize = 5;
const BASE: u64 = 4 << 30;
const PAGE_SHIFT: u32 = 12;
/// The first instance of the first block, in BAR4.
const MONITORS: u32 = 4;
const INSTANCE: u64 = 0x10;

/// The device, ended with the bench.
struct Device(Child);

impl Drop for Device {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the device on a socket that exists before it does.
fn start(folder: &Path) -> Device {
    let listener = UnixListener::bind(folder.join("device")).unwrap();
    let device = Command::new(env!("CARGO_BIN_EXE_vfio-user-chmu"))
        .arg("--fd=0")
        .arg("--access-socket")
        .arg(folder.join("access"))
        .arg("--statistics-socket")
        .arg(folder.join("statistics"))
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .spawn();
    Device(device.unwrap())
}

/// Units of 4 KiB in epochs of 100 ms that are never hot.
fn enable(client: &mut vfio_user::Client) {
    let mut all_ranges = [0; 8];
    client
        .region_read(MONITORS, INSTANCE + 0x10, &mut all_ranges)
        .unwrap();
    let writes: [(u64, u64); 3] = [
        (0x48, 12 | 4 << 48 | 1 << 52),
        (u64::from_le_bytes(all_ranges), 0xf),
        (0x40, 6 | 1 << 16 | 0xffff << 32),
    ];
    for (offset, value) in writes {
        client
            .region_write(MONITORS, INSTANCE + offset, &value.to_le_bytes())
            .unwrap();
    }
}

/// The accesses that the device has counted, and those that were lost on the way.
fn counted_and_lost(folder: &Path) -> (u64, u64) {
    let mut text = String::new();
    let mut socket = UnixStream::connect(folder.join("statistics")).unwrap();
    socket.read_to_string(&mut text).unwrap();
    let statistics: serde_json::Value = serde_json::from_str(&text).unwrap();
    let counted = &statistics["blocks"][0][0]["requests_counted"];
    let lost = &statistics["feed"]["lost"];
    (counted.as_u64().unwrap(), lost.as_u64().unwrap())
}

/// How a producer writes a record.
type Push = fn(&mut RingProducer, Access<Hpa>);

/// As the plugin does.
fn push(ring: &mut RingProducer, record: Access<Hpa>) {
    ring.push(record);
}

/// With a full ring slept over in milliseconds.
fn push_with_long_sleeps(ring: &mut RingProducer, record: Access<Hpa>) {
    while !ring.try_push(record) {
        thread::sleep(Duration::from_millis(1));
    }
}

/// Seconds from the first of [`RECORDS`] records to the last one's being counted.
fn round(folder: &Path, producer: &mut RingProducer, pages: u64, push: Push) -> f64 {
    let (before, _) = counted_and_lost(folder);
    let mut state = 1_u64;
    let start = Instant::now();
    for _ in 0..RECORDS {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let page = (state >> 33) % pages;
        push(producer, Access::read(Hpa(BASE + (page << PAGE_SHIFT))));
    }
    loop {
        let (counted, lost) = counted_and_lost(folder);
        assert_eq!(lost, 0, "The device kept up");
        if counted - before == RECORDS {
            return start.elapsed().as_secs_f64();
        }
    }
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let _device = start(folder);
    let mut client = vfio_user::Client::new(&folder.join("device")).unwrap();
    enable(&mut client);
    let mut producer = Producer::connect(folder.join("access")).unwrap();
    let mut ring = producer.ring(0).unwrap();
    producer.acknowledge(producer.arming());
    println!("{ROUNDS} rounds of {RECORDS} accesses by one producer, million accesses a second");
    for pages in [512, 262_144] {
        let ways: [(&str, Push); 2] = [
            ("naps at a full ring", push),
            ("sleeps of 1 ms", push_with_long_sleeps),
        ];
        // By turns, so that a busy machine is busy for both.
        let mut rates = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for ((_, push), rates) in ways.iter().zip(&mut rates) {
                rates.push(RECORDS as f64 / 1e6 / round(folder, &mut ring, pages, *push));
            }
        }
        for ((name, _), mut rates) in ways.into_iter().zip(rates) {
            rates.sort_by(f64::total_cmp);
            let (median, maximum) = (rates[ROUNDS / 2], rates[ROUNDS - 1]);
            println!("{pages:>8} pages, {name:<19}: {median:>3.0} median, {maximum:>3.0} maximum");
        }
    }
}
