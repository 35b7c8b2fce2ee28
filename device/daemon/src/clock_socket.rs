// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Lets others move a manual clock: each line `advance NANOSECONDS` is answered with a line
//! `now NANOSECONDS`, once everything that was due meanwhile has happened.

use crate::device::Device;

/// Moves the clock as a line asks, and answers with the new time, or with what a line may say.
pub(crate) fn answer(device: &mut Device, line: &str) -> String {
    let nanoseconds = line
        .strip_prefix("advance ")
        .and_then(|number| number.parse().ok());
    match nanoseconds {
        Some(nanoseconds) => format!("now {}", device.pass_time(nanoseconds)),
        None => "error: write advance NANOSECONDS".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, ClockSource};
    use crate::config::Config;

    #[test]
    fn the_clock_moves_by_what_the_lines_say() {
        let function = Config::default().completed().function();
        let mut device = Device::new(&function, Clock::new(ClockSource::Manual)).unwrap();
        let refusal = "error: write advance NANOSECONDS";
        for (line, expected) in [
            ("advance 5", "now 5"),
            ("advance 7", "now 12"),
            ("advance -1", refusal),
            ("advance", refusal),
            ("wait", refusal),
            ("", refusal),
            ("advance 18446744073709551615", "now 18446744073709551615"),
        ] {
            assert_eq!(answer(&mut device, line), expected);
        }
    }
}
