// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `chmu conformance run`.

use std::fs;
use std::io::{self, Stdout};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, anyhow};
use chmu::program::{self, OutputError, last_words};
use chmu_conformance::bench::BlockPlace;
use chmu_conformance::case::Case;
use chmu_conformance::catalogue::Catalogue;
use chmu_conformance::paths::function::{
    FunctionOptions, FunctionPath, FunctionSubject, TrafficOptions,
};
use chmu_conformance::paths::in_process::{InProcessSubject, Model};
use chmu_conformance::paths::socket::{SocketSubject, Sockets};
use chmu_conformance::report::json::Report;
use chmu_conformance::report::ktap::Ktap;
use chmu_conformance::report::{InstanceResults, RunDescription, Totals, junit};
use chmu_conformance::run::{self, RunError};
use chmu_conformance::subject::Subject;
use chmu_cxl::Profile;
use chmu_driver::device::block_places;
use chmu_driver::transport::BarOffset;
use chmu_machine::stop::is_ignored;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use super::super::exit_code::NOTHING_RAN;
use super::super::output::json;
use super::options::{Output, RunOptions, Transport};

/// Enough for a border between two ranges of 256 MiB to lie in it.
const TRAFFIC_MEMORY_MIB: u64 = 320;
const MIB: u64 = 1 << 20;
/// What shells say of a program that SIGINT ended.
const INTERRUPTED: u8 = 130;

/// Runs and prints what is wrong with the run itself; an error says what is wrong with the options.
pub(super) fn run(options: &RunOptions) -> Result<ExitCode, clap::Error> {
    options.check()?;
    let cases = options.cases()?;
    let mut results = Vec::new();
    Ok(match judge(options, &cases, &mut results) {
        Ok(code) => code,
        Err(error) => {
            let words = last_words(&error);
            let is_output = error.chain().any(|cause| cause.is::<OutputError>());
            match results.is_empty() && !is_output {
                true => ExitCode::from(NOTHING_RAN),
                false => words,
            }
        }
    })
}

fn judge(
    options: &RunOptions,
    cases: &[Case],
    results: &mut Vec<InstanceResults>,
) -> Result<ExitCode> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        if signal != SIGTERM && is_ignored(signal)? {
            continue;
        }
        // The second one ends the process at once.
        flag::register_conditional_default(signal, Arc::clone(&stop))?;
        flag::register(signal, Arc::clone(&stop))?;
    }
    let mut subject = open(options)?;
    let blocks = block_places(subject.transport())?;
    let instances = instances(&*subject, &blocks, options)?;
    let catalogue = Catalogue::load().context("The catalogue of this program is damaged")?;
    let description = RunDescription {
        device: subject.transport().device().to_owned(),
        path: subject.path(),
        repeat_command: options.repeat_command(),
    };
    let mut ktap = match options.output {
        Output::Ktap => {
            let ktap = Ktap::new(io::stdout(), &description, &catalogue, instances.len());
            Some(ktap.map_err(OutputError::from)?)
        }
        Output::Json => None,
    };
    let mut outcome = Ok(());
    for instance in instances {
        if outcome.is_ok() && !stop.load(Ordering::Relaxed) {
            let run_options = run::RunOptions {
                strict: options.strict,
                read_only: options.read_only,
                instance: Some(instance),
                stop: Some(&*stop),
                case_budget: None,
                log_accesses: false,
            };
            let bench = (&mut *subject, &blocks[..]);
            let (one, restored) = run_instance(bench, cases, &run_options, ktap.as_mut())?;
            results.push(one);
            outcome = restored;
        }
    }
    print(options, &description, results, ktap)?;
    if stop.load(Ordering::Relaxed) {
        if let Err(error) = &outcome {
            program::say(error);
        }
        return Ok(ExitCode::from(INTERRUPTED));
    }
    outcome?;
    let all = results.iter().flat_map(|one| &one.results);
    Ok(ExitCode::from(Totals::of(all).exit_code()))
}

/// Connects to the device.
fn open(options: &RunOptions) -> Result<Box<dyn Subject>> {
    Ok(match options.transport {
        Transport::InProcess => Box::new(InProcessSubject::new(Model {
            profile: options.profile.unwrap_or(Profile::Full),
            ways: options.ways.unwrap_or(1),
            quirk: options.quirk,
        })?),
        Transport::Socket => Box::new(SocketSubject::connect(&Sockets {
            device: options.socket.clone().unwrap_or_default(),
            access: options.access_socket.clone(),
            clock: options.clock_socket.clone(),
            position: options.position.unwrap_or(0),
            read_only: options.read_only,
        })?),
        Transport::Guest => open_function(options, FunctionPath::Guest)?,
        Transport::Region => open_function(options, FunctionPath::Region)?,
    })
}

fn open_function(options: &RunOptions, path: FunctionPath) -> Result<Box<dyn Subject>> {
    let memory_mib = options.traffic_memory.unwrap_or(TRAFFIC_MEMORY_MIB);
    let traffic = TrafficOptions {
        memory_bytes: memory_mib.saturating_mul(MIB),
        exact: options.exact_traffic,
    };
    Ok(Box::new(FunctionSubject::open(&FunctionOptions {
        sysfs: options.sysfs.clone(),
        path,
        device: options.device.clone(),
        risk_memory_loss: options.risk_memory_loss,
        write_decoders: options.write_decoders,
        traffic: (!options.read_only).then_some(traffic),
    })?))
}

/// The instances to test: one, or all there are.
fn instances(
    subject: &dyn Subject,
    blocks: &[BarOffset],
    options: &RunOptions,
) -> Result<Vec<(usize, u8)>> {
    if let Some(instance) = options.instance {
        return Ok(vec![instance.0]);
    }
    let mut instances = Vec::new();
    for (block, start) in blocks.iter().enumerate() {
        let block = BlockPlace::read(subject.transport(), block, *start)?;
        let places = block.instances();
        instances.extend(places.map(|place| (place.block, place.instance)));
    }
    if !options.all_instances {
        instances.truncate(1);
    }
    Ok(instances)
}

/// Runs the cases on one instance; results are written as they come. Also says whether the
/// instance is as it was.
fn run_instance(
    (subject, blocks): (&mut (dyn Subject + 'static), &[BarOffset]),
    cases: &[Case],
    options: &run::RunOptions<'_>,
    mut ktap: Option<&mut Ktap<'_, Stdout>>,
) -> Result<(InstanceResults, Result<()>)> {
    let instance = options.instance.unwrap_or_default();
    let mut written = Ok(());
    if let Some(ktap) = &mut ktap {
        written = ktap.begin_instance(instance, cases.len());
    }
    let outcome = run::run(subject, blocks, cases, options, |result| {
        if let (Some(ktap), Ok(())) = (&mut ktap, &written) {
            written = ktap.result(result);
            if let (Err(_), Some(stop)) = (&written, options.stop) {
                // Nobody learns of what the other cases would find.
                stop.store(true, Ordering::Relaxed);
            }
        }
    });
    let (results, restored) = match outcome {
        Ok(results) => (results, Ok(())),
        Err(error @ RunError::Ended { .. }) => {
            let left = anyhow!("{error}");
            (error.into_results(), Err(left))
        }
        Err(error) => return Err(error.into()),
    };
    if let (Some(ktap), Ok(())) = (&mut ktap, &written) {
        written = ktap.end_instance(&results);
    }
    written.map_err(OutputError::from)?;
    Ok((InstanceResults { instance, results }, restored))
}

/// Writes what comes at the end.
fn print(
    options: &RunOptions,
    description: &RunDescription,
    results: &[InstanceResults],
    ktap: Option<Ktap<'_, Stdout>>,
) -> Result<()> {
    if let Some(path) = &options.junit {
        let xml = junit::to_xml(description, results)?;
        fs::write(path, xml).with_context(|| format!("Cannot write {}", path.display()))?;
    }
    match ktap {
        Some(ktap) => ktap.end(results).map_err(OutputError::from)?,
        None => program::print(json(&Report::new(description, results))?)?,
    }
    Ok(())
}
