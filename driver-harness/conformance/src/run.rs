// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Runs cases against a device, and leaves it as it was.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use chmu_driver::transport::{BarOffset, TransportError, Width};
use chmu_spec::chmu::{Configuration0, Status, offset};

use super::bench::{Bench, BlockPlace, InstancePlace};
use super::catalogue::{Catalogue, Requirement};
use super::judge::{Verdict, judge};
use super::subject::Subject;
use crate::case::Case;
use crate::outcome::{Skip, Stop};

/// What came of one case.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseResult {
    /// `area/what-it-checks`.
    pub case: &'static str,
    /// Ids of the requirements that it checks.
    pub requirements: Vec<String>,
    /// What is said of the device.
    pub verdict: Verdict,
    /// How long it took.
    pub seconds: f64,
}

/// Why a run does not begin.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No block to look at.
    #[error("{0} has no CHMU block that can be reached")]
    NoBlock(String),
    /// Somebody uses the device.
    #[error(
        "Instance {instance} of CHMU block {block} is enabled: somebody uses {device}; stop that \
         program, or disable the instance, and run again"
    )]
    InUse {
        /// The device.
        device: String,
        /// The block.
        block: usize,
        /// The instance.
        instance: u8,
    },
    /// The instance asked for is not there.
    #[error("There is no instance {instance} in CHMU block {block}")]
    NoInstance {
        /// The block.
        block: usize,
        /// The instance.
        instance: u8,
    },
    /// The device cannot be reached.
    #[error("The device cannot be read")]
    Transport(#[from] TransportError),
    /// The device cannot be brought into the state that cases begin with.
    #[error("The device cannot be quieted: {0}")]
    Quiet(String),
    /// Cases have run, and the device stays as they left it.
    #[error("The device's configuration cannot be restored: {reason}")]
    Restore {
        /// Why.
        reason: String,
        /// What came of the cases.
        results: Vec<CaseResult>,
    },
}

/// How to run.
#[derive(Debug, Clone, Default)]
pub struct RunOptions<'a> {
    /// Take our decision as the only reading.
    pub strict: bool,
    /// Run nothing that writes.
    pub read_only: bool,
    /// Block and instance under test; the first one unless given.
    pub instance: Option<(usize, u8)>,
    /// Begins no further case once this is set.
    pub stop: Option<&'a AtomicBool>,
}

impl RunOptions<'_> {
    fn is_stopped(&self) -> bool {
        self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed))
    }
}

/// Runs `cases` against the CHMU blocks at `blocks`, in order; `progress` hears of each result.
///
/// # Errors
/// When the device is in use or cannot be reached. What single cases see is in the results.
pub fn run(
    subject: &mut dyn Subject,
    blocks: &[BarOffset],
    cases: &[Case],
    options: &RunOptions<'_>,
    mut progress: impl FnMut(&CaseResult),
) -> Result<Vec<CaseResult>, RunError> {
    let blocks = read_blocks(subject, blocks)?;
    let under_test = choose_instance(subject, &blocks, options.instance)?;
    let catalogue = Catalogue::load().map_err(|error| RunError::Quiet(error.to_string()))?;
    let mut bench = Bench::new(subject, &blocks, under_test);
    refuse_a_device_in_use(&mut bench)?;
    let kept = match options.read_only {
        true => Vec::new(),
        false => keep_configuration(&mut bench).map_err(quiet_error)?,
    };
    let mut results = Vec::with_capacity(cases.len());
    for case in cases.iter().take_while(|_| !options.is_stopped()) {
        let requirements: Vec<&Requirement> = catalogue.checked_by(case.name).collect();
        let start = Instant::now();
        let verdict = run_case(&mut bench, case, &requirements, options);
        let result = CaseResult {
            case: case.name,
            requirements: requirements.iter().map(|entry| entry.id.clone()).collect(),
            verdict,
            seconds: start.elapsed().as_secs_f64(),
        };
        progress(&result);
        results.push(result);
    }
    match restore_configuration(&mut bench, &kept) {
        Ok(()) => Ok(results),
        Err(stop) => Err(RunError::Restore {
            reason: describe(stop),
            results,
        }),
    }
}

fn run_case(
    bench: &mut Bench<'_>,
    case: &Case,
    requirements: &[&Requirement],
    options: &RunOptions<'_>,
) -> Verdict {
    if options.read_only {
        return match case.reads_only {
            true => judge((case.run)(bench), requirements, options.strict),
            false => Verdict::Skipped(Skip {
                reason: "it writes, and the run is read-only".into(),
                unlocked_by: Some("run without --read-only"),
            }),
        };
    }
    let under_test = bench.place();
    bench.shorten_epochs();
    let outcome = loop {
        let outcome = bench.quiesce().and_then(|()| (case.run)(bench));
        bench.switch_to(under_test);
        if !matches!(outcome, Err(Stop::Late)) || !bench.lengthen_epochs() {
            break outcome;
        }
    };
    judge(outcome, requirements, options.strict)
}

fn read_blocks(subject: &dyn Subject, blocks: &[BarOffset]) -> Result<Vec<BlockPlace>, RunError> {
    let transport = subject.transport();
    if blocks.is_empty() {
        return Err(RunError::NoBlock(transport.device().to_owned()));
    }
    let read = |(block, start): (usize, &BarOffset)| BlockPlace::read(transport, block, *start);
    Ok(blocks
        .iter()
        .enumerate()
        .map(read)
        .collect::<Result<_, _>>()?)
}

fn choose_instance(
    subject: &dyn Subject,
    blocks: &[BlockPlace],
    wanted: Option<(usize, u8)>,
) -> Result<InstancePlace, RunError> {
    let mut all = blocks.iter().flat_map(BlockPlace::instances);
    match wanted {
        None => all
            .next()
            .ok_or_else(|| RunError::NoBlock(subject.transport().device().to_owned())),
        Some((block, instance)) => all
            .find(|place| (place.block, place.instance) == (block, instance))
            .ok_or(RunError::NoInstance { block, instance }),
    }
}

fn refuse_a_device_in_use(bench: &mut Bench<'_>) -> Result<(), RunError> {
    for place in bench.instances() {
        let transport = bench.subject().transport();
        let status = transport.read(place.start.plus(offset::STATUS), Width::Eight)?;
        if Status::from(status).enabled() {
            return Err(RunError::InUse {
                device: transport.device().to_owned(),
                block: place.block,
                instance: place.instance,
            });
        }
    }
    Ok(())
}

/// The configuration registers and the range bitmap of an instance.
#[derive(Debug)]
struct Kept {
    place: InstancePlace,
    registers: Vec<(BarOffset, u64)>,
}

fn keep_configuration(bench: &mut Bench<'_>) -> Result<Vec<Kept>, Stop> {
    let under_test = bench.place();
    let mut kept = Vec::new();
    for place in bench.instances() {
        bench.switch_to(place);
        let mut places = vec![
            place.start.plus(offset::CONFIGURATION_1),
            place.start.plus(offset::CONFIGURATION_2),
        ];
        let ranges = bench.ranges_place()?;
        let words = match bench.range_bits() {
            Ok(bits) => bits.div_ceil(64),
            Err(Stop::Skipped(_)) => 0,
            Err(stop) => return Err(stop),
        };
        places.extend((0..words).map(|word| ranges.plus(word * 8)));
        places.push(place.start.plus(offset::CONFIGURATION_0));
        let read = |place| Ok::<_, Stop>((place, bench.read_at(place, Width::Eight)?));
        let registers = places.into_iter().map(read).collect::<Result<_, _>>()?;
        kept.push(Kept { place, registers });
    }
    bench.switch_to(under_test);
    Ok(kept)
}

fn restore_configuration(bench: &mut Bench<'_>, kept: &[Kept]) -> Result<(), Stop> {
    if kept.is_empty() {
        return Ok(());
    }
    bench.quiesce()?;
    for Kept { place, registers } in kept {
        bench.switch_to(*place);
        for (at, value) in registers {
            let is_enable = *at == place.start.plus(offset::CONFIGURATION_0);
            let value = match is_enable {
                true => Configuration0::from(*value).with_enable(false).into(),
                false => *value,
            };
            bench.write_at(*at, Width::Eight, value)?;
        }
    }
    Ok(())
}

fn quiet_error(stop: Stop) -> RunError {
    RunError::Quiet(describe(stop))
}

fn describe(stop: Stop) -> String {
    match stop {
        Stop::Skipped(skip) => skip.reason,
        Stop::Failed(found) => found.to_string(),
        Stop::Broken(error) => format!("{error:#}"),
        Stop::Late => "this machine is too slow".into(),
    }
}
