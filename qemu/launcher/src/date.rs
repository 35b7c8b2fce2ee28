// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The date in front of plain lines.

use std::time::{SystemTime, UNIX_EPOCH};

const DAY_SECONDS: u64 = 86_400;
/// Days of the 400 years after which the calendar repeats.
const ERA_DAYS: u64 = 146_097;
/// From 1 March of the year 0 to 1 January 1970.
const EPOCH_DAYS: u64 = 719_468;

/// The time in UTC, as RFC 3339 has it: `2026-11-26T15:24:06Z`.
pub(crate) fn utc(time: SystemTime) -> String {
    // Only a clock that was never set is before the epoch.
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since_epoch.as_secs();
    let (year, month, day) = civil(seconds / DAY_SECONDS);
    let second = seconds % DAY_SECONDS;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of a day since the epoch. Years are counted from March, so that the leap
/// day is the last.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + EPOCH_DAYS;
    let (era, day) = (days / ERA_DAYS, days % ERA_DAYS);
    let leap_corrected = day - day / 1460 + day / 36_524 - day / 146_096;
    let year = leap_corrected / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    // Five months have 153 days, from March as from August on.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let (month, next_year) = match month_from_march {
        0..=9 => (month_from_march + 3, 0),
        _ => (month_from_march - 9, 1),
    };
    (era * 400 + year + next_year, month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let at = |seconds| utc(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_798_761_599), "2026-12-31T23:59:59Z");
        assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00Z");
    }

    #[test]
    fn days_follow_each_other() {
        let mut before = civil(0);
        for days in 1..60_000 {
            let day = civil(days);
            let same_month = (before.0, before.1, before.2 + 1);
            let next_month = day.2 == 1 && before.2 >= 28;
            assert!(day == same_month || next_month, "{before:?} {day:?}");
            before = day;
        }
    }
}
