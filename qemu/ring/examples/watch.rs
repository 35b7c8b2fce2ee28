// SPDX-License-Identifier: BSD-3-Clause
//! Watches an access feed without a device: `watch ACCESS-SOCKET BASE SIZE`, for example
//! `watch /tmp/access.sock 0x100000000 0x40000000`.
//!
//! Listens on the socket, asks whoever connects (the TCG plugin, a traffic tool) for the accesses
//! to that window, prints what arrives once a second, and ends when the producer leaves.
#![allow(missing_docs, clippy::arithmetic_side_effects)]

use std::collections::HashSet;
use std::error::Error;
use std::io::{self, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixListener;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use chmu_ring::{Feed, FeedConfig, MAX_RINGS, Window};
use chmu_spec::request::AccessKind;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// A ring below a quarter does not ring the doorbell, so it is looked at this often.
const DRAIN_INTERVAL: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};
const PAGE_BYTES: u64 = 4096;

#[derive(Default)]
struct Counts {
    reads: u64,
    writes: u64,
    lost: u64,
    pages: HashSet<u64>,
}

fn number(text: &str) -> Result<u64, std::num::ParseIntError> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    }
}

/// Waits until the producer rings or leaves, or it is time to drain.
fn wait(producer: BorrowedFd<'_>) -> io::Result<()> {
    poll(
        &mut [PollFd::new(&producer, PollFlags::IN)],
        Some(&DRAIN_INTERVAL),
    )?;
    Ok(())
}

fn drain(feed: &mut Feed, counts: &mut Counts) {
    let report = feed.drain(|batch| {
        for record in batch {
            if record.kind() == AccessKind::Write {
                counts.writes += 1;
            } else {
                counts.reads += 1;
            }
            counts.pages.insert(record.address().0 / PAGE_BYTES);
        }
    });
    counts.lost += report.lost;
}

fn print(title: &str, counts: &Counts) -> io::Result<()> {
    let Counts {
        reads,
        writes,
        lost,
        pages,
    } = counts;
    let pages = pages.len();
    writeln!(
        io::stdout(),
        "{title}: {reads} reads, {writes} writes, {lost} lost, {pages} pages"
    )
}

fn watch(socket: &str, window: Window) -> Result<(), Box<dyn Error>> {
    let mut feed = Feed::create(&FeedConfig::new(MAX_RINGS, vec![window]))?;
    let listener = UnixListener::bind(socket)?;
    writeln!(io::stdout(), "Waiting for a producer on {socket}")?;
    let (stream, _) = listener.accept()?;
    std::fs::remove_file(socket)?;
    feed.hand_over(stream)?;
    feed.set_armed(true);
    let mut counts = Counts::default();
    let start = Instant::now();
    let mut next_report = REPORT_INTERVAL;
    while feed.producer_attached() {
        if let Some(producer) = feed.producer_socket() {
            wait(producer)?;
        }
        drain(&mut feed, &mut counts);
        if start.elapsed() >= next_report {
            print(&format!("{:>4} s", next_report.as_secs()), &counts)?;
            next_report += REPORT_INTERVAL;
        }
    }
    drain(&mut feed, &mut counts);
    print("Total", &counts)?;
    Ok(())
}

/// There is nobody to tell that it failed.
fn complain(message: &str) {
    let _ = writeln!(io::stderr(), "{message}");
}

fn refuse(message: &str) -> ExitCode {
    complain(message);
    ExitCode::from(2)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [socket, base, size] = arguments.as_slice() else {
        return refuse("usage: watch ACCESS-SOCKET BASE SIZE");
    };
    let (Ok(base), Ok(size)) = (number(base), number(size)) else {
        return refuse("BASE and SIZE are decimal, or hexadecimal after 0x");
    };
    match watch(socket, Window { base, size }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}
