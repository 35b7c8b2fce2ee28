// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Devices that are legal and not like the ready-made ones, as processes: none of them is accused.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use chmu_conformance::bench::{BlockPlace, InstancePlace};
use chmu_conformance::case::Case;
use chmu_conformance::cases;
use chmu_conformance::paths::socket::SocketSubject;
use chmu_conformance::run::RunOptions;
use chmu_conformance::subject::{Request, Subject, Traffic};
use chmu_driver::device::block_places;
use chmu_driver::transport::{BarOffset, Layer, Transport, TransportError, Width};
use chmu_spec::address::Dpa;
use chmu_spec::chmu::{Capabilities0, Capabilities1, Configuration0, Configuration1, offset};
use chmu_spec::request::AccessKind;

use crate::device::{ALONE, Device, TheClock, failures, ran, run_on};

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

/// A window for everybody and one for TEE requests, and instances that track the former only, and both.
const WITH_TEE: &str = "memory = \"1G\"
[[decoder]]
size = \"512M\"
[[decoder]]
base = 0x180000000
size = \"512M\"
tee = true
[[block]]
[[block.instance]]
trackable_requests = [\"non-tee-read-write\"]
[[block.instance]]
";

/// Which window is for TEE requests no register tells, but whoever runs the suite may.
#[test]
fn a_tee_window_that_is_named_is_used_for_tee_requests() -> Result<()> {
    for instance in [0, 1] {
        for strict in [false, true] {
            let mut device = Device::start_with_tee(WITH_TEE, &[1])?;
            let options = RunOptions {
                instance: Some((0, instance)),
                strict,
                narrow_accesses: true,
                ..RunOptions::default()
            };
            let results = run_on(&mut device.subject, &short_cases(), &options)?;
            assert_eq!(failures(&results), [], "{instance}, strict {strict}");
            let ran = ran(&results);
            for (case, tracker) in [
                ("filter/non-tee-leaves-tee-out", 0),
                ("filter/all-includes-tee", 1),
            ] {
                assert_eq!(
                    ran.contains(&case),
                    tracker <= instance,
                    "{case}, {instance}"
                );
            }
        }
    }
    let error = Device::start_with_tee(WITH_TEE, &[2])
        .map(drop)
        .unwrap_err();
    assert!(
        error.to_string().contains("There is no window 2"),
        "{error}"
    );
    Ok(())
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

/// Each instance is brought to rest before each case: with so many that is most of what a run does.
const MANY_INSTANCES: usize = 10;

/// Everything, strictly, of a device that has as many instances as there can be.
#[test]
fn the_last_of_255_instances_is_accused_of_nothing() -> Result<()> {
    let many = ODD.iter().filter(|odd| odd.instances >= MANY_INSTANCES);
    for odd in many {
        let mut device = odd.start(TheClock::ByHand)?;
        let accused = odd.accusations(&mut device.subject, &short_cases(), true)?;
        assert!(accused.is_empty(), "{}", accused.join("\n"));
    }
    Ok(())
}

/// Bits that no configuration on offer needs are fixed to zero.
#[test]
fn devices_without_the_bits_that_they_do_not_need_are_not_accused() -> Result<()> {
    let mut accused = Vec::new();
    for profile in ["minimal", "no-interrupts", "always-on-only"] {
        let Device { subject, process } = Device::start(profile, ALONE, &[])?;
        let mut hardwired = Altered::hardwired(subject)?;
        let results = run_on(&mut hardwired, &short_cases(), &RunOptions::default())?;
        assert!(ran(&results).len() >= short_cases().len() / 2, "{profile}");
        accused.extend(
            failures(&results)
                .iter()
                .map(|(case, verdict)| format!("{profile}, hardwired: {case}: {verdict:?}")),
        );
        drop(process);
    }
    assert!(accused.is_empty(), "{}", accused.join("\n"));
    Ok(())
}

/// Everything, lenient and strict, on a clock that is moved by hand.
#[test]
fn none_is_accused_of_anything() -> Result<()> {
    let cases = short_cases();
    let mut accused = Vec::new();
    for odd in ODD.iter().filter(|odd| odd.instances < MANY_INSTANCES) {
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
    for odd in ODD.iter().filter(|odd| odd.instances < MANY_INSTANCES) {
        let Device { subject, process } = odd.start(TheClock::ByHand)?;
        let mut busy = Altered::busy(subject);
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

/// A device process with something before it.
#[derive(Debug)]
struct Altered {
    subject: SocketSubject,
    transport: Arc<dyn Transport>,
    /// What others leave of the memory that they use too, without and with TEE requests; none where there are no others.
    left: Option<[Vec<Range<Dpa>>; 2]>,
}

impl Altered {
    /// Others use its memory too.
    fn busy(mut subject: SocketSubject) -> Self {
        let left = [false, true].map(|tee| {
            let all = subject.traffic().map(|one| one.reachable(tee).to_vec());
            let rest = all.unwrap_or_default().into_iter();
            rest.map(|range| range.start.max(OTHERS_END)..range.end)
                .filter(|range| range.start < range.end)
                .collect()
        });
        Self {
            transport: subject.shared_transport(),
            subject,
            left: Some(left),
        }
    }

    /// Its configuration has only the bits that its capabilities need.
    fn hardwired(subject: SocketSubject) -> Result<Self> {
        let below = subject.shared_transport();
        let words = needed_bits(&*below)?;
        Ok(Self {
            transport: Arc::new(Hardwired { below, words }),
            subject,
            left: None,
        })
    }
}

/// The configuration registers of all instances, and which bits of them the capabilities need.
fn needed_bits(transport: &dyn Transport) -> Result<Vec<(BarOffset, u64)>> {
    let mut words = Vec::new();
    for (number, start) in block_places(transport)?.into_iter().enumerate() {
        let block = BlockPlace::read(transport, number, start)?;
        for InstancePlace { start, .. } in block.instances() {
            let read = |at| transport.read(start.plus(at), Width::Eight);
            let first = Capabilities0::from(read(offset::CAPABILITIES_0)?);
            let second = Capabilities1::from(read(offset::CAPABILITIES_1)?);
            let entries = u64::from(first.hotlist_entries()).next_power_of_two();
            let needed = [
                Configuration0::new()
                    .with_request_code(0x7)
                    .with_randomise_down_sampling(second.randomised_down_sampling())
                    .with_overflow_interrupt(first.overflow_interrupt())
                    .with_fill_level_interrupt(first.fill_level_interrupt())
                    .with_enable(true)
                    .with_reset(true)
                    .with_hotness_threshold(u32::MAX)
                    .into_bits(),
                Configuration1::new()
                    .with_unit_size_log2(0x1f)
                    .with_down_sampling_log2(0xf)
                    .with_mode_code(u8::from(second.always_on_mode()))
                    .with_epoch_scale(0x7)
                    .with_epoch_multiplier(0xfff)
                    .into_bits(),
                entries - 1,
            ];
            let registers = [
                offset::CONFIGURATION_0,
                offset::CONFIGURATION_1,
                offset::CONFIGURATION_2,
            ];
            words.extend(registers.map(|at| start.plus(at)).into_iter().zip(needed));
        }
    }
    Ok(words)
}

/// Registers of which some bits cannot be written.
#[derive(Debug)]
struct Hardwired {
    below: Arc<dyn Transport>,
    /// Words, and their bits that can.
    words: Vec<(BarOffset, u64)>,
}

impl Layer for Hardwired {
    fn below(&self) -> &dyn Transport {
        &*self.below
    }

    fn write(&self, place: BarOffset, width: Width, value: u64) -> Result<(), TransportError> {
        let inside = |word: &BarOffset| {
            let inside = place.offset.checked_sub(word.offset)?;
            (place.bar == word.bar && inside < 8).then_some(inside)
        };
        let bits = self
            .words
            .iter()
            .find_map(|(word, bits)| Some(bits >> (inside(word)? * 8)));
        self.below
            .write(place, width, value & bits.unwrap_or(u64::MAX))
    }
}

impl Traffic for Altered {
    fn reachable(&self, tee: bool) -> &[Range<Dpa>] {
        let left = self.left.as_ref();
        left.map_or(&[], |left| &left[usize::from(tee)])
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

impl Subject for Altered {
    fn path(&self) -> &'static str {
        self.subject.path()
    }

    fn transport(&self) -> &dyn Transport {
        &*self.transport
    }

    fn shared_transport(&self) -> Arc<dyn Transport> {
        Arc::clone(&self.transport)
    }

    fn traffic(&mut self) -> Option<&mut dyn Traffic> {
        match self.left {
            Some(_) => Some(self),
            None => self.subject.traffic(),
        }
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
