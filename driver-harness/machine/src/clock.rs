// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The kernel's clocks, for time stamps that several processes of a machine compare.

/// Nanoseconds of `CLOCK_MONOTONIC`.
pub fn monotonic_ns() -> u64 {
    nanoseconds(libc::CLOCK_MONOTONIC)
}

/// Nanoseconds since the machine started, time asleep included: `CLOCK_BOOTTIME`.
pub fn boottime_ns() -> u64 {
    nanoseconds(libc::CLOCK_BOOTTIME)
}

fn nanoseconds(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a writable timespec; the call cannot fail for a clock that every kernel has.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_and_sleep_counts_as_time_since_start() {
        let first = monotonic_ns();
        assert!(first > 0 && monotonic_ns() >= first);
        assert!(boottime_ns() >= first);
    }
}
