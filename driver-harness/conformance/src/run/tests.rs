// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Runs that something cuts short.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::Result;
use chmu_cxl::Profile;
use chmu_driver::device::block_places;
use chmu_driver::transport::Layer;

use super::*;
use crate::cases;
use crate::paths::in_process::{InProcessSubject, Model};
use crate::subject::Traffic;

/// What happens to a device at some access.
#[derive(Debug, Clone)]
enum Mishap {
    /// Somebody wants the run to end.
    Signal(Arc<AtomicBool>),
    /// All reads are ones from now on, as of a function that was unplugged.
    Unplugged,
    /// All accesses fail from now on, as of a process that ended.
    HungUp,
    /// All accesses time out from now on, as of a process that was stopped.
    Mute,
    /// Writes to this place are lost.
    Stuck(BarOffset),
}

/// The registers of a device that a mishap happens to.
#[derive(Debug)]
struct Fated {
    transport: Arc<dyn Transport>,
    mishap: Mishap,
    /// Register accesses until then.
    left: AtomicU64,
}

impl Fated {
    /// Whether it has happened.
    fn has_happened(&self) -> bool {
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left.saturating_sub(1), Ordering::Relaxed);
        if let (0, Mishap::Signal(stop)) = (left, &self.mishap) {
            stop.store(true, Ordering::Relaxed);
        }
        left == 0
    }

    fn hung_up(&self) -> TransportError {
        TransportError::GivenUp {
            device: self.device().to_owned(),
        }
    }
}

fn mute() -> TransportError {
    TransportError::Access {
        action: "read",
        place: "BAR4+0x0".into(),
        bytes: 8,
        source: io::ErrorKind::TimedOut.into(),
    }
}

impl Layer for Fated {
    fn below(&self) -> &dyn Transport {
        &*self.transport
    }

    fn read_config(&self, offset: u16, width: Width) -> Result<u32, TransportError> {
        match (self.left.load(Ordering::Relaxed), &self.mishap) {
            (0, Mishap::Unplugged) => Ok(u32::MAX),
            (0, Mishap::HungUp) => Err(self.hung_up()),
            (0, Mishap::Mute) => Err(mute()),
            _ => self.transport.read_config(offset, width),
        }
    }

    fn read(&self, place: BarOffset, width: Width) -> Result<u64, TransportError> {
        match (self.has_happened(), &self.mishap) {
            (true, Mishap::Unplugged) => Ok(u64::MAX >> (64 - 8 * width.bytes())),
            (true, Mishap::HungUp) => Err(self.hung_up()),
            (true, Mishap::Mute) => Err(mute()),
            _ => self.transport.read(place, width),
        }
    }

    fn write(&self, place: BarOffset, width: Width, value: u64) -> Result<(), TransportError> {
        match (self.has_happened(), &self.mishap) {
            (true, Mishap::Unplugged) => Ok(()),
            (true, Mishap::HungUp) => Err(self.hung_up()),
            (true, Mishap::Mute) => Err(mute()),
            (true, Mishap::Stuck(stuck)) if *stuck == place => Ok(()),
            _ => self.transport.write(place, width, value),
        }
    }
}

/// A device that a mishap happens to.
#[derive(Debug)]
struct Unlucky {
    device: InProcessSubject,
    transport: Arc<Fated>,
}

impl Unlucky {
    fn new(mishap: Mishap, accesses: u64) -> Unlucky {
        let device = InProcessSubject::new(Model::new(Profile::Full)).unwrap();
        Unlucky {
            transport: Arc::new(Fated {
                transport: device.shared_transport(),
                mishap,
                left: AtomicU64::new(accesses),
            }),
            device,
        }
    }

    /// Runs all cases, after the second configuration register of each instance got a value of its own; returns
    /// whether all have it still, too.
    fn run(&mut self, options: &RunOptions<'_>) -> (Result<Vec<CaseResult>, RunError>, bool) {
        let registers = self.configurations();
        let device = self.device.shared_transport();
        for (number, place) in registers.iter().enumerate() {
            device
                .write(*place, Width::Eight, number as u64 + 5)
                .unwrap();
        }
        let blocks = block_places(&*device).unwrap();
        let outcome = run(self, &blocks, &cases::all(), options, |_| ());
        let is_kept = registers
            .iter()
            .enumerate()
            .all(|(number, place)| device.read(*place, Width::Eight).unwrap() == number as u64 + 5);
        (outcome, is_kept)
    }

    /// Where the fill level of every instance is configured.
    fn configurations(&self) -> Vec<BarOffset> {
        let device = self.device.shared_transport();
        let blocks = block_places(&*device).unwrap();
        let blocks: Vec<_> = blocks
            .iter()
            .map(|start| BlockPlace::read(&*device, 0, *start).unwrap())
            .collect();
        let instances = blocks.iter().flat_map(BlockPlace::instances);
        instances
            .map(|instance| instance.start.plus(offset::CONFIGURATION_2))
            .collect()
    }
}

impl Subject for Unlucky {
    fn path(&self) -> &'static str {
        self.device.path()
    }

    fn transport(&self) -> &dyn Transport {
        &*self.transport
    }

    fn shared_transport(&self) -> Arc<dyn Transport> {
        Arc::clone(&self.transport) as Arc<dyn Transport>
    }

    fn traffic(&mut self) -> Option<&mut dyn Traffic> {
        self.device.traffic()
    }

    fn memory_bytes(&self) -> u64 {
        self.device.memory_bytes()
    }

    fn keeps_decoders(&self) -> bool {
        self.device.keeps_decoders()
    }

    fn pass_time(&mut self, time: Duration) -> Result<()> {
        self.device.pass_time(time)
    }

    fn has_manual_clock(&self) -> bool {
        true
    }

    fn reset_function(&mut self) -> Result<bool> {
        self.device.reset_function()
    }
}

/// Accesses after which a run is in the middle of its cases.
const MIDDLE: u64 = 5000;

#[test]
fn a_case_that_passes_its_budget_is_not_judged_and_the_run_goes_on() {
    let mut device = Unlucky::new(Mishap::Signal(Arc::default()), u64::MAX);
    let options = RunOptions {
        case_budget: Some(Duration::ZERO),
        ..RunOptions::default()
    };
    let (outcome, is_kept) = device.run(&options);
    let results = outcome.unwrap();
    assert_eq!(results.len(), cases::all().len());
    let too_long = Verdict::Broken("the case took longer than 0ns".into());
    let ended = results.iter().filter(|one| one.verdict == too_long).count();
    assert!(ended > 150, "{ended}");
    assert!(is_kept);
}

#[test]
fn a_signal_ends_the_case_that_runs_and_all_is_put_back() {
    let stop = Arc::new(AtomicBool::new(false));
    let mut device = Unlucky::new(Mishap::Signal(Arc::clone(&stop)), MIDDLE);
    let options = RunOptions {
        stop: Some(&stop),
        ..RunOptions::default()
    };
    let (outcome, is_kept) = device.run(&options);
    let Err(RunError::Ended {
        early: Some(EarlyEnd::Stopped(case)),
        left,
        results,
    }) = outcome
    else {
        panic!("{outcome:?}")
    };
    assert_eq!(left, Vec::<String>::new());
    assert!(is_kept);
    // The case is not among the results, and begun it had.
    assert_eq!(cases::all()[results.len()].name, case);
    assert!(results.len() > 10);
    assert!(results.iter().all(|result| !result.verdict.is_failure()));
}

/// Whatever the device is doing then, as an enable that takes its time.
#[test]
fn a_signal_at_any_moment_leaves_nothing_enabled() {
    for moment in (MIDDLE..MIDDLE + 400).step_by(7) {
        let stop = Arc::new(AtomicBool::new(false));
        let mut device = Unlucky::new(Mishap::Signal(Arc::clone(&stop)), moment);
        let options = RunOptions {
            stop: Some(&stop),
            ..RunOptions::default()
        };
        let (outcome, is_kept) = device.run(&options);
        let Err(RunError::Ended { left, .. }) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!((left, is_kept), (Vec::new(), true), "access {moment}");
    }
}

#[test]
fn a_device_that_vanishes_ends_the_run_and_no_rule_is_said_to_be_broken() {
    for mishap in [Mishap::Unplugged, Mishap::HungUp] {
        let mut device = Unlucky::new(mishap, MIDDLE);
        let (outcome, _) = device.run(&RunOptions::default());
        let Err(RunError::Ended {
            early: Some(EarlyEnd::Lost(case, Loss::Gone(reason))),
            left,
            results,
        }) = outcome
        else {
            panic!("{outcome:?}")
        };
        assert_eq!(results.last().unwrap().case, case);
        let failed = |result: &&CaseResult| matches!(result.verdict, Verdict::Failed(_));
        assert_eq!(results.iter().filter(failed).count(), 0, "{reason}");
        assert!(device.configurations().len() > 1);
        assert_eq!(left, Vec::<String>::new());
        assert!(
            reason.ends_with("; none of its instances could be put back"),
            "{reason}"
        );
    }
}

/// It may be there still.
#[test]
fn a_device_that_does_not_answer_is_not_said_to_be_gone() {
    let mut device = Unlucky::new(Mishap::Mute, MIDDLE);
    let (outcome, _) = device.run(&RunOptions::default());
    let Err(RunError::Ended {
        early: Some(early),
        results,
        ..
    }) = outcome
    else {
        panic!("{outcome:?}")
    };
    let words = early.to_string();
    assert!(
        words.starts_with("The device does not answer since case "),
        "{words}"
    );
    let last = &results.last().unwrap().verdict;
    let Verdict::Broken(reason) = last else {
        panic!("{last:?}")
    };
    assert!(
        reason.starts_with("the device does not answer: "),
        "{reason}"
    );
}

#[test]
fn an_instance_that_cannot_be_put_back_keeps_no_other_from_it() {
    let place = Unlucky::new(Mishap::HungUp, 0).configurations()[0];
    // Writes are lost from the last case on; which that is, an earlier run tells.
    let mut counted = Unlucky::new(Mishap::Signal(Arc::default()), u64::MAX);
    counted.run(&RunOptions::default()).0.unwrap();
    let accesses = u64::MAX - counted.transport.left.load(Ordering::Relaxed);
    let mut device = Unlucky::new(Mishap::Stuck(place), accesses - 200);
    let (outcome, is_kept) = device.run(&RunOptions::default());
    let Err(RunError::Ended {
        early: None, left, ..
    }) = outcome
    else {
        panic!("{outcome:?}")
    };
    let [left] = &left[..] else {
        panic!("{left:?}")
    };
    assert!(
        left.starts_with("instance 0.0: Configuration 2 (0x50) reads 0x"),
        "{left}"
    );
    assert!(!is_kept);
    let others = &device.configurations()[1..];
    let register = device.device.shared_transport();
    for (number, place) in others.iter().enumerate() {
        assert_eq!(
            register.read(*place, Width::Eight).unwrap(),
            number as u64 + 6
        );
    }
}
