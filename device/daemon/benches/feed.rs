// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! How many accesses a second a device takes from a producer: `cargo bench -p vfio-user-chmu`.
//!
//! The device is the real process with one enabled instance; the producer is this process with one
//! ring, into which it writes accesses that lie ready in memory. The time runs from the first
//! record to the statistics that have counted the last one, so it includes the waits for room in
//! the ring. Both need a processor of their own.
//!
//! The floor is the same loop storing the accesses to an array of the ring's size, which nobody
//! reads. The same again with a producer that sleeps for a millisecond whenever its ring is full
//! shows what that wait is worth.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

use std::hint::black_box;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use chmu_ring::{Access, Hpa, Producer};

/// Accesses that lie ready; a round goes through them several times.
const READY: usize = 1 << 20;
const REPEATS: usize = 20;
const RECORDS: usize = REPEATS * READY;
/// Entries of a ring.
const RING: usize = 65_536;
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

/// Reads all over a working set of `pages` pages, the same in each run.
fn accesses(pages: u64) -> Vec<Access<Hpa>> {
    let mut state = 1_u64;
    let next = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let page = (state >> 33) % pages;
        Access::read(Hpa(BASE + (page << PAGE_SHIFT)))
    };
    (0..READY).map(next).collect()
}

/// Seconds from the first of [`RECORDS`] records to the last one's being counted.
fn round(folder: &Path, accesses: &[Access<Hpa>], mut push: impl FnMut(Access<Hpa>)) -> f64 {
    let (before, _) = counted_and_lost(folder);
    let start = Instant::now();
    for _ in 0..REPEATS {
        accesses.iter().for_each(|access| push(*access));
    }
    loop {
        let (counted, lost) = counted_and_lost(folder);
        assert_eq!(lost, 0, "The device kept up");
        if counted - before == RECORDS as u64 {
            return start.elapsed().as_secs_f64();
        }
    }
}

/// Seconds that a producer takes for [`RECORDS`] records that nobody reads.
fn unread(accesses: &[Access<Hpa>], ring: &mut [Access<Hpa>; RING]) -> f64 {
    let start = Instant::now();
    let mut written = 0;
    for _ in 0..REPEATS {
        for access in accesses {
            ring[written % RING] = *access;
            written += 1;
        }
        black_box(&mut *ring);
    }
    start.elapsed().as_secs_f64()
}

/// Prints rates of rounds that took these seconds, and the ratio to the floor's median.
fn print(name: &str, seconds: &[f64], floor: Option<f64>) -> f64 {
    let mut rates: Vec<f64> = seconds
        .iter()
        .map(|one| RECORDS as f64 / 1e6 / one)
        .collect();
    rates.sort_by(f64::total_cmp);
    let (minimum, median, maximum) = (rates[0], rates[ROUNDS / 2], rates[ROUNDS - 1]);
    let ratio = median / floor.unwrap_or(median);
    println!("{name:<34} {minimum:>7.0} {median:>8.0} {maximum:>9.0} {ratio:>16.2}");
    median
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
    println!("                                   minimum   median   maximum   median / floor");
    let mut unread_ring = Box::new([Access::from_word(0); RING]);
    for pages in [512, 262_144] {
        let accesses = accesses(pages);
        // By turns, so that a busy machine is busy for all.
        let [mut floor, mut naps, mut sleeps] = [[0.0; ROUNDS]; 3];
        for ((floor, nap), sleep) in floor.iter_mut().zip(&mut naps).zip(&mut sleeps) {
            *floor = unread(&accesses, &mut unread_ring);
            *nap = round(folder, &accesses, |record| {
                ring.push(record);
            });
            *sleep = round(folder, &accesses, |record| {
                while !ring.try_push(record) {
                    thread::sleep(Duration::from_millis(1));
                }
            });
        }
        let floor = print(&format!("{pages} pages, nobody reads"), &floor, None);
        let name = |what| format!("{pages} pages, {what}");
        print(&name("naps at a full ring"), &naps, Some(floor));
        print(&name("sleeps of 1 ms"), &sleeps, Some(floor));
    }
}
