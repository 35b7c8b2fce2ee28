// SPDX-License-Identifier: GPL-2.0-or-later
//! Several vCPUs at once on the shared level: what stays true without a lock.

use std::sync::Barrier;

use super::*;

const VCPUS: usize = 4;
const ROUNDS: usize = 200;
/// Tiny, so that the vCPUs meet in its sets all the time.
const SHARED: CacheLevel = CacheLevel {
    lines: 64,
    ways: 16,
};

/// What the vCPUs did to the shared level, by line.
#[derive(Debug, Default, Clone)]
struct Counts {
    fetches: u64,
    fills: u64,
    put_dirty: u64,
    written_back: u64,
}

/// Lets vCPUs use the level at the same time, each with the numbers of `lines_of`, and counts.
fn run_at_once(
    level: &dyn SharedLevel,
    lines_of: impl Fn(usize, usize) -> u64 + Sync,
    is_dirty: impl Fn(usize) -> bool + Sync,
) -> HashMap<u64, Counts> {
    let start = Barrier::new(VCPUS);
    let of_vcpu = |vcpu: usize| {
        let mut counts = HashMap::<u64, Counts>::new();
        start.wait();
        for round in 0..ROUNDS * 100 {
            let line = lines_of(vcpu, round) * LINE_BYTES;
            let left = if is_dirty(round) {
                counts.entry(line).or_default().put_dirty += 1;
                level.write_back(line)
            } else {
                let fetched = level.fetch(line);
                let counts = counts.entry(line).or_default();
                counts.fetches += 1;
                counts.fills += u64::from(fetched.filled.is_some());
                assert!(fetched.filled.is_none_or(|filled| filled == line));
                fetched.written_back
            };
            if let Some(line) = left {
                counts.entry(line).or_default().written_back += 1;
            }
        }
        counts
    };
    let mut all = HashMap::<u64, Counts>::new();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..VCPUS)
            .map(|vcpu| scope.spawn(move || of_vcpu(vcpu)))
            .collect();
        for thread in threads {
            for (line, counts) in thread.join().unwrap() {
                let sum = all.entry(line).or_default();
                sum.fetches += counts.fetches;
                sum.fills += counts.fills;
                sum.put_dirty += counts.put_dirty;
                sum.written_back += counts.written_back;
            }
        }
    });
    all
}

/// Looks at random without a generator: each vCPU steps through the lines by a stride of its own.
fn scattered(vcpu: usize, round: usize) -> u64 {
    ((round * (2 * vcpu + 7) + round / 97) % 256) as u64
}

#[test]
fn what_is_put_there_dirty_leaves_once_at_most_and_nothing_else_is_written_back() {
    let level = shared_level(SHARED);
    let mut counts = run_at_once(&*level, scattered, |round| round % 3 == 0);
    for (line, counts) in &counts {
        assert!(
            counts.written_back <= counts.put_dirty,
            "{line:#x}: {counts:?}"
        );
        assert!(counts.fills <= counts.fetches, "{line:#x}: {counts:?}");
    }
    // All lines leave for clean ones; what was dirty is written back by now, if ever it was put there.
    for line in 1000..1000 + 4 * SHARED.lines as u64 {
        if let Some(line) = level.fetch(line * LINE_BYTES).written_back {
            counts.get_mut(&line).unwrap().written_back += 1;
        }
    }
    for (line, counts) in &counts {
        assert_eq!(
            counts.written_back > 0,
            counts.put_dirty > 0,
            "{line:#x}: {counts:?}"
        );
        assert!(
            counts.written_back <= counts.put_dirty,
            "{line:#x}: {counts:?}"
        );
    }
}

/// Lines that fit are filled once, or once by each vCPU that misses them at the same moment.
#[test]
fn a_line_that_stays_is_filled_by_each_vcpu_once_at_most() {
    let lines = (SHARED.lines / SHARED.ways) as u64 * (SHARED.ways / VCPUS) as u64;
    for _ in 0..20 {
        let level = shared_level(SHARED);
        let lines_of = |_: usize, round: usize| round as u64 % lines;
        let counts = run_at_once(&*level, lines_of, |_| false);
        for (line, counts) in &counts {
            assert!(
                (1..=VCPUS as u64).contains(&counts.fills),
                "{line:#x}: {counts:?}"
            );
        }
    }
}

/// vCPUs whose lines lie in different sets do not disturb each other: each has the traffic of the model.
#[test]
fn vcpus_in_sets_of_their_own_have_exact_traffic() {
    let private = SMALL;
    let shared = CacheLevel {
        lines: 1024,
        ways: 8,
    };
    // The private levels' sets are those of the line's low bits; the vCPU's number is above them.
    let sets = (shared.lines / shared.ways / VCPUS) as u64;
    let mut caches = Caches::new(u32::try_from(VCPUS).unwrap(), private, Some(shared));
    let start = Barrier::new(VCPUS);
    std::thread::scope(|scope| {
        for (vcpu, (cache, shortcuts)) in caches.vcpus.iter_mut().enumerate() {
            let start = &start;
            scope.spawn(move || {
                let mut model = Model::new(1, private, Some(shared));
                start.wait();
                for round in 0..ROUNDS * 100 {
                    let number = scattered(vcpu, round) * 31 % 4096;
                    let line =
                        number / sets * (sets * VCPUS as u64) + vcpu as u64 * sets + number % sets;
                    let (address, is_store) = (line * LINE_BYTES, round % 5 == 0);
                    let traffic = match shortcuts.is_line_settled(address, is_store) {
                        true => MemoryTraffic::default(),
                        false => cache.access(shortcuts, address, address, is_store),
                    };
                    assert_eq!(
                        traffic,
                        model.access(0, address, is_store),
                        "{vcpu} {round}"
                    );
                }
            });
        }
    });
}
