// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Runs cases against a device, and leaves it as it was.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chmu_driver::transport::{BarOffset, Transport, TransportError, Width};
use chmu_spec::chmu::{Status, offset};
use chmu_spec::pci::header;

use super::bench::{Bench, BlockPlace, InstancePlace, OPERATION_WAIT};
use super::catalogue::{Catalogue, Requirement};
use super::judge::{Verdict, judge};
use super::subject::Subject;
use crate::case::{Case, Reach};
use crate::guard::{Guard, Halt, Watch};
use crate::outcome::{Skip, Stop};
use crate::restore::{keep, restore};

/// Cases about what brings a device to rest; they run on one that does not come to rest as well.
const REST_CASES: [&str; 4] = [
    "operation/enable",
    "operation/disable",
    "operation/reset-ends",
    "hotlist/empty-after-reset",
];
/// What is said of a device that does not come to rest.
const NO_REST: &str = "the device cannot be brought to rest";

/// What is said of the instances of a device that is gone.
const NOTHING_PUT_BACK: &str = "; none of its instances could be put back";

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
    /// What it did to the device, if that was to be remembered and it failed.
    pub accesses: Option<Vec<String>>,
}

/// Why a run ended before its last case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EarlyEnd {
    /// It was told to end, in this case.
    Stopped(&'static str),
    /// The device cannot be reached any more since this case.
    Lost(&'static str, Loss),
}

/// How a device was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loss {
    /// It is not there any more, for this reason.
    Gone(String),
    /// It may still be there.
    Mute(String),
}

impl Loss {
    fn reason_mut(&mut self) -> &mut String {
        match self {
            Self::Gone(reason) | Self::Mute(reason) => reason,
        }
    }
}

impl fmt::Display for EarlyEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped(case) => write!(f, "The run was ended in case {case}"),
            Self::Lost(case, Loss::Gone(reason)) => {
                write!(f, "The device is gone since case {case}: {reason}")
            }
            Self::Lost(case, Loss::Mute(reason)) => {
                write!(f, "The device does not answer since case {case}: {reason}")
            }
        }
    }
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
    /// Nothing answers.
    #[error(
        "Instance {instance} of CHMU block {block} of {device} reads as all ones: its memory is not decoded, or the \
         device is gone"
    )]
    Silent {
        /// The device.
        device: String,
        /// The block.
        block: usize,
        /// The instance.
        instance: u8,
    },
    /// The instance asked for is not there.
    #[error(
        "There is no instance {instance} in CHMU block {block}; chmu list shows those that there are"
    )]
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
    /// Cases have run, but not all, or the device stays as they left it.
    #[error("{}", words(early.as_ref(), left))]
    Ended {
        /// Why not all cases have run, if they have not.
        early: Option<EarlyEnd>,
        /// What could not be put back, an instance at a time.
        left: Vec<String>,
        /// What came of the cases.
        results: Vec<CaseResult>,
    },
}

impl RunError {
    /// What came of the cases that have run.
    pub fn into_results(self) -> Vec<CaseResult> {
        match self {
            Self::Ended { results, .. } => results,
            _ => Vec::new(),
        }
    }
}

/// How a run ended that did not end as it should.
fn words(early: Option<&EarlyEnd>, left: &[String]) -> String {
    let early = early.map(EarlyEnd::to_string);
    let left = left_behind(left);
    let parts: Vec<_> = [early, left].into_iter().flatten().collect();
    parts.join("; ")
}

/// What is said of instances that could not be put back, if there are any.
pub fn left_behind(left: &[String]) -> Option<String> {
    (!left.is_empty()).then(|| {
        let left = left.join("; of ");
        format!("The device's configuration could not be restored, of {left}")
    })
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
    /// Ends the case and the run once this is set.
    pub stop: Option<&'a AtomicBool>,
    /// How long a case may take; without it as long as it takes.
    pub case_budget: Option<Duration>,
    /// Remembers what failing cases do to the device.
    pub log_accesses: bool,
    /// Runs also cases that access a part of a 64-bit register.
    pub narrow_accesses: bool,
    /// How long an operation is waited for [default: 2 s].
    pub operation_wait: Option<Duration>,
}

impl RunOptions<'_> {
    fn is_stopped(&self) -> bool {
        self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed))
    }
}

/// Runs `cases` against the CHMU blocks at `blocks`, in order; `progress` hears of each result.
///
/// # Errors
/// When the device is in use or cannot be reached, when not all cases have run, and when the device could not be
/// put back. What single cases see is in the results.
pub fn run(
    subject: &mut dyn Subject,
    blocks: &[BarOffset],
    cases: &[Case],
    options: &RunOptions<'_>,
    mut progress: impl FnMut(&CaseResult),
) -> Result<Vec<CaseResult>, RunError> {
    let (blocks, found) = find(subject, blocks, options.instance)?;
    let (under_test, reach) = match &found {
        Ok(place) => (*place, Reach::Instance),
        Err((reach, _)) => (InstancePlace::NONE, *reach),
    };
    let catalogue = Catalogue::load().map_err(|error| RunError::Quiet(error.to_string()))?;
    let identity = identity(subject.transport())?;
    let watch = Watch::new(options.stop, options.log_accesses);
    let mut guard = Guard::new(subject, &watch);
    let wait = options.operation_wait.unwrap_or(OPERATION_WAIT);
    let mut bench = Bench::new(&mut guard, &blocks, under_test)
        .waiting_for(wait)
        .with_narrow_accesses(options.narrow_accesses);
    let mut unrest = None;
    refuse_a_device_in_use(&mut bench)?;
    let kept = match options.read_only {
        true => Vec::new(),
        false => keep(&mut bench).map_err(quiet_error)?,
    };
    let mut results = Vec::with_capacity(cases.len());
    let mut early = None;
    for case in cases {
        if options.is_stopped() {
            early = Some(EarlyEnd::Stopped(case.name));
            break;
        }
        let requirements: Vec<&Requirement> = catalogue.checked_by(case.name).collect();
        let start = Instant::now();
        watch.begin_case(options.case_budget);
        let mut verdict = match case.reach <= reach {
            true => run_case(&mut bench, case, &requirements, options, &mut unrest),
            false => out_of_reach(),
        };
        match watch.end_case() {
            Some(Halt::Stopped) => {
                early = Some(EarlyEnd::Stopped(case.name));
                break;
            }
            Some(Halt::TooLong(budget)) => {
                bench.switch_to(under_test);
                verdict = Verdict::Broken(format!("the case took longer than {budget:?}"));
            }
            None => {}
        }
        if verdict.is_failure() {
            let transport = bench.subject().transport();
            early = loss(transport, identity).map(|loss| EarlyEnd::Lost(case.name, loss));
        }
        if let Some(EarlyEnd::Lost(_, loss)) = &early {
            verdict = Verdict::Broken(match loss {
                Loss::Gone(reason) => format!("the device is gone: {reason}"),
                Loss::Mute(reason) => format!("the device does not answer: {reason}"),
            });
        }
        let log = watch.take_log().filter(|_| verdict.is_failure());
        let result = CaseResult {
            case: case.name,
            requirements: requirements.iter().map(|entry| entry.id.clone()).collect(),
            verdict,
            seconds: start.elapsed().as_secs_f64(),
            accesses: log.map(|log| log.in_words(&blocks)),
        };
        progress(&result);
        results.push(result);
        if early.is_some() {
            break;
        }
    }
    watch.be_at_ease();
    let mut left = restore(&mut bench, &kept);
    if let Some(EarlyEnd::Lost(_, loss)) = &mut early
        && left.len() == kept.len()
    {
        // Said once, and not for each of up to 255 instances; nothing that is there was left behind.
        loss.reason_mut().push_str(NOTHING_PUT_BACK);
        left.clear();
    }
    if early.is_some() || !left.is_empty() {
        return Err(RunError::Ended {
            early,
            left,
            results,
        });
    }
    match found {
        // Why there is nothing to test is said by no case.
        Err((_, error)) if !results.iter().any(|result| result.verdict.is_failure()) => Err(error),
        _ => Ok(results),
    }
}

fn out_of_reach() -> Verdict {
    Verdict::Skipped(Skip {
        reason: "no instance of a CHMU can be reached".into(),
        unlocked_by: None,
    })
}

/// Vendor and device as configuration space has them, by which a device is known not to be there any more.
fn identity(transport: &dyn Transport) -> Result<u32, TransportError> {
    transport.read_config(header::VENDOR_ID, Width::Four)
}

/// Why a device cannot be reached any more, if it cannot.
fn loss(transport: &dyn Transport, before: u32) -> Option<Loss> {
    let error = match identity(transport) {
        Ok(now) if now == before => return None,
        Ok(now) => {
            let reason = format!("vendor and device read as {now:#010x}, and were {before:#010x}");
            return Some(Loss::Gone(reason));
        }
        Err(error) => anyhow::Error::from(error),
    };
    let is_late = |cause: &(dyn Error + 'static)| {
        let cause = cause.downcast_ref::<io::Error>();
        cause.is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut)
    };
    let reason = format!("{error:#}");
    Some(match error.chain().any(is_late) {
        true => Loss::Mute(reason),
        false => Loss::Gone(reason),
    })
}

fn run_case(
    bench: &mut Bench<'_>,
    case: &Case,
    requirements: &[&Requirement],
    options: &RunOptions<'_>,
    unrest: &mut Option<String>,
) -> Verdict {
    if options.read_only && !case.reads_only {
        return Verdict::Skipped(Skip {
            reason: "it writes, and the run is read-only".into(),
            unlocked_by: Some("run without --read-only"),
        });
    }
    let under_test = bench.place();
    bench.shorten_epochs();
    let outcome = loop {
        let outcome = match case.reads_only {
            true => Ok(()),
            false => match rest(bench, case, unrest) {
                Ok(()) => Ok(()),
                Err(verdict) => return verdict,
            },
        };
        let outcome = outcome.and_then(|()| (case.run)(bench));
        bench.switch_to(under_test);
        if !matches!(outcome, Err(Stop::Late)) || !bench.lengthen_epochs() {
            break outcome;
        }
    };
    judge(outcome, requirements, options.strict)
}

/// Brings the device to rest before a case. Where it does not come to rest, that is said once, and
/// of the cases that configure the device only those run that are about coming to rest.
fn rest(bench: &mut Bench<'_>, case: &Case, unrest: &mut Option<String>) -> Result<(), Verdict> {
    let judges_rest = REST_CASES.contains(&case.name);
    if let Some(reason) = unrest
        && !judges_rest
    {
        return Err(Verdict::Skipped(Skip {
            reason: format!("{NO_REST}: {reason}"),
            unlocked_by: None,
        }));
    }
    match bench.quiesce() {
        Ok(()) => Ok(()),
        Err(Stop::Failed(_)) if judges_rest => Ok(()),
        Err(Stop::Failed(mismatch)) => {
            let reason = mismatch.to_string();
            let verdict = Verdict::Broken(format!("{NO_REST}: {reason}"));
            *unrest = Some(reason);
            Err(verdict)
        }
        Err(stop) => Err(Verdict::Broken(describe(stop))),
    }
}

/// The blocks, and the instance to test; without one how far a device can be looked at, and why no further.
type Found = (Vec<BlockPlace>, Result<InstancePlace, (Reach, RunError)>);

fn find(
    subject: &dyn Subject,
    blocks: &[BarOffset],
    wanted: Option<(usize, u8)>,
) -> Result<Found, RunError> {
    let transport = subject.transport();
    let no_block = || RunError::NoBlock(transport.device().to_owned());
    let read = |(block, start): (usize, &BarOffset)| BlockPlace::read(transport, block, *start);
    let read: Result<Vec<_>, _> = blocks.iter().enumerate().map(read).collect();
    let blocks = match read {
        Ok(blocks) if !blocks.is_empty() => blocks,
        Ok(blocks) => return Ok((blocks, Err((Reach::Function, no_block())))),
        Err(error) => return Ok((Vec::new(), Err((Reach::Function, error.into())))),
    };
    let mut all = blocks.iter().flat_map(BlockPlace::instances).peekable();
    let found = match (all.peek().copied(), wanted) {
        (None, _) => Err((Reach::Blocks, no_block())),
        (Some(first), None) => Ok(first),
        (Some(_), Some((block, instance))) => Ok(all
            .find(|place| (place.block, place.instance) == (block, instance))
            .ok_or(RunError::NoInstance { block, instance })?),
    };
    Ok((blocks, found))
}

fn refuse_a_device_in_use(bench: &mut Bench<'_>) -> Result<(), RunError> {
    for place in bench.instances() {
        let transport = bench.subject().transport();
        let status = transport.read(place.start.plus(offset::STATUS), Width::Eight)?;
        if status == u64::MAX {
            return Err(RunError::Silent {
                device: transport.device().to_owned(),
                block: place.block,
                instance: place.instance,
            });
        }
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

fn quiet_error(stop: Stop) -> RunError {
    RunError::Quiet(describe(stop))
}

/// Why a case went no further, in words.
pub(crate) fn describe(stop: Stop) -> String {
    match stop {
        Stop::Skipped(skip) => skip.reason,
        Stop::Failed(found) => found.to_string(),
        Stop::Broken(error) => format!("{error:#}"),
        Stop::Late => "this machine is too slow".into(),
    }
}

#[cfg(test)]
mod tests;
