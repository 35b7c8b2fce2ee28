// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Devices that are legal and not like the ready-made ones, as processes: none of them is accused.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use chmu_conformance::case::Case;
use chmu_conformance::cases;
use chmu_conformance::paths::socket::SocketSubject;
use chmu_conformance::run::RunOptions;
use chmu_conformance::subject::{Request, Subject, Traffic};
use chmu_driver::transport::Transport;
use chmu_spec::address::Dpa;
use chmu_spec::request::AccessKind;

use crate::device::{Device, TheClock, failures, ran, run_on};

/// A device, as its instances are written in a configuration file.
struct Odd {
    name: &'static str,
    instances: usize,
    keys: &'static str,
}

const ODD: [Odd; 7] = [
    Odd {
        name: "operations of 150 ms",
        instances: 1,
        keys: "operation_delay = \"150ms\"",
    },
    Odd {
        name: "counters of 3 bits",
        instances: 1,
        keys: "counter_widths = 3",
    },
    Odd {
        name: "units of 2 MiB alone",
        instances: 1,
        keys: "unit_sizes = [\"2M\"]",
    },
    Odd {
        name: "no epochs, and a list of 4 entries",
        instances: 1,
        keys: "epoch_mode = false\nhotlist_entries = 4",
    },
    Odd {
        name: "an epoch for each counter",
        instances: 1,
        keys: "epoch_type = \"per-counter\"",
    },
    Odd {
        name: "reads only, one factor, and a backlog",
        instances: 2,
        keys: "trackable_requests = [\"all-read\"]\ndown_sampling_factors = [1]\npostponed_insertion = true",
    },
    Odd {
        name: "255 instances",
        instances: 255,
        keys: "hotlist_entries = 16",
    },
];

impl Odd {
    fn start(&self, clock: TheClock) -> Result<Device> {
        let instance = format!("[[block.instance]]\n{}\n", self.keys);
        let blocks = format!("[[block]]\n{}", instance.repeat(self.instances));
        Device::start_odd(&blocks, clock)
    }

    /// Operations of more than 100 ms are a reading that is not ours.
    fn is_strict(&self) -> bool {
        !self.keys.contains("operation_delay")
    }

    /// What the last instance is accused of, a line each.
    fn accusations(
        &self,
        subject: &mut dyn Subject,
        cases: &[Case],
        strict: bool,
    ) -> Result<Vec<String>> {
        let options = RunOptions {
            instance: Some((0, self.instances.saturating_sub(1).try_into()?)),
            strict,
            narrow_accesses: strict,
            ..RunOptions::default()
        };
        let results = run_on(subject, cases, &options)?;
        let (name, ran) = (self.name, ran(&results));
        assert!(ran.len() >= cases.len() / 3, "{name}: {ran:?}");
        let failures = failures(&results);
        let accused = failures.iter();
        Ok(accused
            .map(|(case, verdict)| format!("{name}, strict {strict}: {case}: {verdict:?}"))
            .collect())
    }
}

fn cases_of(areas: &[&str]) -> Vec<Case> {
    let areas: Vec<_> = areas.iter().map(|&area| area.to_owned()).collect();
    cases::matching(&areas)
}

/// All cases but those about patience.
fn short_cases() -> Vec<Case> {
    let mut cases = cases::all();
    cases.retain(|case| case.area() != "stress");
    cases
}

/// What a driver does first and most, on a clock that runs.
#[test]
fn none_is_accused() -> Result<()> {
    let cases = cases_of(&["discovery", "operation", "counter"]);
    let mut accused = Vec::new();
    for odd in ODD {
        let mut device = odd.start(TheClock::Running)?;
        accused.extend(odd.accusations(&mut device.subject, &cases, false)?);
    }
    assert!(accused.is_empty(), "{}", accused.join("\n"));
    Ok(())
}

/// Everything, lenient and strict, on a clock that is moved by hand.
#[test]
fn none_is_accused_of_anything() -> Result<()> {
    let cases = short_cases();
    let mut accused = Vec::new();
    // Each of many instances is brought to rest before each case, which takes too long for all of them.
    for odd in ODD.iter().filter(|odd| odd.instances < 10) {
        for strict in [false, true] {
            if strict && !odd.is_strict() {
                continue;
            }
            let mut device = odd.start(TheClock::ByHand)?;
            accused.extend(odd.accusations(&mut device.subject, &cases, strict)?);
        }
    }
    assert!(accused.is_empty(), "{}", accused.join("\n"));
    Ok(())
}

/// Other programs use the memory as well.
#[test]
fn none_is_accused_of_what_others_do() -> Result<()> {
    let cases = short_cases();
    let mut accused = Vec::new();
    for odd in ODD.iter().filter(|odd| odd.instances < 10) {
        let Device { subject, process } = odd.start(TheClock::ByHand)?;
        let mut busy = Busy::new(subject);
        accused.extend(odd.accusations(&mut busy, &cases, false)?);
        drop(process);
    }
    assert!(accused.is_empty(), "{}", accused.join("\n"));
    Ok(())
}

/// Others' memory: the first half of a range of 256 MiB that they share with the suite.
const OTHERS_END: Dpa = Dpa(128 << 20);
/// Units of others lie apart, so that they are different ones up to this size.
const OTHERS_STEP: u64 = 0x7000;
const OTHERS_UNITS: u64 = 8;
/// Requests to each of them, whenever the suite makes some.
const OTHERS_REQUESTS: usize = 6;

/// A device process whose memory others use too.
#[derive(Debug)]
struct Busy {
    subject: SocketSubject,
    /// What others leave, without and with TEE requests.
    reachable: [Vec<Range<Dpa>>; 2],
}

impl Busy {
    fn new(mut subject: SocketSubject) -> Self {
        let reachable = [false, true].map(|tee| {
            let all = subject.traffic().map(|one| one.reachable(tee).to_vec());
            let rest = all.unwrap_or_default().into_iter();
            rest.map(|range| range.start.max(OTHERS_END)..range.end)
                .filter(|range| range.start < range.end)
                .collect()
        });
        Self { subject, reachable }
    }
}

impl Traffic for Busy {
    fn reachable(&self, tee: bool) -> &[Range<Dpa>] {
        &self.reachable[usize::from(tee)]
    }

    fn is_exact(&self) -> bool {
        false
    }

    fn perform(&mut self, requests: &[Request]) -> Result<()> {
        let others = (0..OTHERS_UNITS).map(|unit| Request {
            dpa: Dpa(unit * OTHERS_STEP),
            kind: AccessKind::Read,
            tee: false,
        });
        let others = others.flat_map(|one| std::iter::repeat_n(one, OTHERS_REQUESTS));
        let all: Vec<_> = others.chain(requests.iter().copied()).collect();
        match self.subject.traffic() {
            Some(traffic) => traffic.perform(&all),
            None => Ok(()),
        }
    }
}

impl Subject for Busy {
    fn path(&self) -> &'static str {
        self.subject.path()
    }

    fn transport(&self) -> &dyn Transport {
        self.subject.transport()
    }

    fn shared_transport(&self) -> Arc<dyn Transport> {
        self.subject.shared_transport()
    }

    fn traffic(&mut self) -> Option<&mut dyn Traffic> {
        Some(self)
    }

    fn memory_bytes(&self) -> u64 {
        self.subject.memory_bytes()
    }

    fn keeps_decoders(&self) -> bool {
        self.subject.keeps_decoders()
    }

    fn pass_time(&mut self, time: Duration) -> Result<()> {
        self.subject.pass_time(time)
    }

    fn has_manual_clock(&self) -> bool {
        self.subject.has_manual_clock()
    }

    fn reset_function(&mut self) -> Result<bool> {
        self.subject.reset_function()
    }
}
