// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Lets others make the device's memory fail, and change its health: one command a line.

use chmu_cxl::{Condition, MediaEvent, Transaction};
use chmu_spec::address::Dpa;
use chmu_spec::cxl::event::EventLog;
use chmu_spec::cxl::health::health_info;

use crate::config::quantity::Hexadecimal;
use crate::device::Device;

const USAGE: &str = "write media-error LOG ADDRESS [uncorrectable] [host-read|host-write|scrub], \
                     where LOG is informational, warning, failure or fatal; or temperature \
                     DEGREES, in Celsius, -273 to 32766; or life-used PERCENT, 0 to 100";

/// What a device may have been doing.
const TRANSACTIONS: [(&str, Transaction); 3] = [
    ("host-read", Transaction::HostRead),
    ("host-write", Transaction::HostWrite),
    ("scrub", Transaction::Scrub),
];

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    Fail(MediaEvent),
    Change(Condition),
}

/// Does what a line asks, and answers with what became of it, or with what a line may say.
pub(crate) fn answer(device: &mut Device, line: &str) -> String {
    match parse(line) {
        None => format!("error: {USAGE}"),
        Some(Command::Fail(event)) => fail(device, &event),
        Some(Command::Change(condition)) => {
            device.set_condition(condition);
            "set".to_owned()
        }
    }
}

fn fail(device: &mut Device, event: &MediaEvent) -> String {
    let memory_bytes = device.memory_bytes();
    if event.dpa.0 >= memory_bytes {
        return format!("error: the memory ends at {memory_bytes:#x}");
    }
    let recorded = device.inject_event(event);
    if recorded { "recorded" } else { "lost" }.to_owned()
}

fn parse(line: &str) -> Option<Command> {
    let mut words = line.split_whitespace();
    match words.next()? {
        "media-error" => media_error(words).map(Command::Fail),
        "temperature" => {
            let degrees = only(words)?.parse().ok()?;
            let exists = health_info::TEMPERATURES_CELSIUS.contains(&degrees);
            exists.then_some(Command::Change(Condition::Temperature(degrees)))
        }
        "life-used" => {
            let percent = only(words)?.parse().ok()?;
            (percent <= 100).then_some(Command::Change(Condition::LifeUsed(percent)))
        }
        _ => None,
    }
}

/// The word, if no other follows.
fn only<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = words.next()?;
    words.next().is_none().then_some(word)
}

fn media_error<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<MediaEvent> {
    let name = words.next()?;
    let log = EventLog::ALL.into_iter().find(|log| log.name() == name)?;
    let Hexadecimal(address) = words.next()?.parse().ok()?;
    let mut event = MediaEvent {
        log,
        dpa: Dpa(address),
        uncorrectable: false,
        transaction: Transaction::Unknown,
    };
    let mut transaction = None;
    for word in words {
        // Each may be said once; of the transactions there is one.
        let is_repeated = if word == "uncorrectable" {
            std::mem::replace(&mut event.uncorrectable, true)
        } else {
            let known = TRANSACTIONS.iter().find(|(name, _)| *name == word);
            transaction.replace(known?.1).is_some()
        };
        if is_repeated {
            return None;
        }
    }
    event.transaction = transaction.unwrap_or(event.transaction);
    Some(event)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, ClockSource};
    use crate::config::Config;

    fn device() -> Device {
        let function = Config::default().completed().function();
        Device::new(&function, Clock::new(ClockSource::Manual)).unwrap()
    }

    #[test]
    fn lines_become_records_until_the_log_is_full() {
        let mut device = device();
        let line = "media-error failure 0x10000 uncorrectable scrub";
        for _ in 0..64 {
            assert_eq!(answer(&mut device, line), "recorded");
        }
        assert_eq!(answer(&mut device, line), "lost");
        assert_eq!(
            answer(&mut device, "media-error fatal 1073741823"),
            "recorded"
        );
        let function = device.statistics().function;
        assert_eq!(
            (function.event_records, function.event_records_lost),
            (65, 1)
        );
    }

    #[test]
    fn health_that_gets_worse_is_recorded() {
        let mut device = device();
        for line in ["temperature 60", "life-used 10"] {
            assert_eq!(answer(&mut device, line), "set");
        }
        assert_eq!(device.statistics().function.event_records, 0);
        for line in ["temperature 90", "life-used 90"] {
            assert_eq!(answer(&mut device, line), "set");
        }
        assert_eq!(device.statistics().function.event_records, 2);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let mut device = device();
        for line in [
            "",
            "media-error",
            "media-error failure",
            "media-error serious 0",
            "media-error failure nowhere",
            "media-error failure 0 broken",
            "media-error failure 0 host-read scrub",
            "media-error failure 0 uncorrectable uncorrectable",
            "advance 5",
            "temperature",
            "temperature warm",
            "temperature 40 50",
            "temperature 40000",
            "temperature -274",
            "temperature 32767",
            "life-used 101",
            "life-used -1",
        ] {
            assert_eq!(
                answer(&mut device, line),
                format!("error: {USAGE}"),
                "{line}"
            );
        }
        assert_eq!(
            answer(&mut device, "media-error failure 1G"),
            "error: the memory ends at 0x40000000"
        );
        assert_eq!(device.statistics().function.event_records, 0);
    }

    #[test]
    fn the_usage_names_the_range() {
        let (coldest, warmest) = health_info::TEMPERATURES_CELSIUS.into_inner();
        let range = format!("DEGREES, in Celsius, {coldest} to {warmest};");
        assert!(USAGE.contains(&range), "{USAGE}");
    }

    #[test]
    fn words_name_what_the_record_says() {
        let event = parse("media-error warning 0x40 host-write uncorrectable").unwrap();
        let expected = MediaEvent {
            log: EventLog::Warning,
            dpa: Dpa(0x40),
            uncorrectable: true,
            transaction: Transaction::HostWrite,
        };
        assert_eq!(event, Command::Fail(expected));
        let cold = Command::Change(Condition::Temperature(-5));
        assert_eq!(parse("temperature -5"), Some(cold));
        let coldest = Command::Change(Condition::Temperature(-273));
        assert_eq!(parse("temperature -273"), Some(coldest));
        let worn = Command::Change(Condition::LifeUsed(100));
        assert_eq!(parse(" life-used 100 "), Some(worn));
    }
}
