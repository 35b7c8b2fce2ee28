// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `chmu conformance run`.

use std::io::{self, Stdout};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use chmu::program::{self, OutputError, is_closed_pipe, last_words};
use chmu_conformance::bench::BlockPlace;
use chmu_conformance::case::Case;
use chmu_conformance::catalogue::Catalogue;
use chmu_conformance::paths::function::{
    FunctionOptions, FunctionPath, FunctionSubject, TrafficOptions,
};
use chmu_conformance::paths::in_process::{InProcessSubject, Model};
use chmu_conformance::paths::socket::{SocketSubject, Sockets};
use chmu_conformance::report::facts::{of_device, of_suite};
use chmu_conformance::report::json::Report;
use chmu_conformance::report::ktap::Ktap;
use chmu_conformance::report::{
    Ending, InstanceResults, RunDescription, Totals, instance_name, junit,
};
use chmu_conformance::run::{self, RunError, left_behind};
use chmu_conformance::subject::Subject;
use chmu_cxl::Profile;
use chmu_driver::device::{DeviceError, block_places};
use chmu_driver::transport::BarOffset;
use chmu_machine::stop::is_ignored;
use chmu_machine::words;
use log::Level;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::flag;

use super::super::exit_code::{NOT_JUDGED, NOTHING_RAN};
use super::super::output::json;
use super::files::Files;
use super::options::{Output, RunOptions, Transport};
use crate::reserve;

/// Enough for a border between two ranges of 256 MiB to lie in it.
const TRAFFIC_MEMORY_MIB: u64 = 320;
const MIB: u64 = 1 << 20;
/// What a case has time for: the longest takes a third of it where every access goes through a socket.
const CASE_TIME: Duration = Duration::from_secs(60);
/// What is said where the system gives no more memory.
const MEMORY_REFUSED: &str = "the kernel refuses this process memory";
/// What a function without a block breaks, if it should have one.
const NO_BLOCK: &str = "; if it is one, it breaks CHMU-DISCOVERY-001 or CHMU-DISCOVERY-002";
/// Some case failed.
const FAILED: u8 = 1;
/// What shells say of a program that SIGINT ended.
const INTERRUPTED: u8 = 130;

/// Runs and prints what is wrong with the run itself; an error says what is wrong with the options.
pub(super) fn run(options: &RunOptions) -> Result<ExitCode, clap::Error> {
    options.check()?;
    let cases = options.cases()?;
    Ok(start(options, &cases).unwrap_or_else(|error| {
        let words = last_words(&error);
        match is_closed_pipe(&error) {
            true => words,
            false => ExitCode::from(NOTHING_RAN),
        }
    }))
}

/// Looks for what would keep a report from being written, then runs.
fn start(options: &RunOptions, cases: &[Case]) -> Result<ExitCode> {
    let stop = catch_signals()?;
    let files = Files::open(options)?;
    let catalogue = Catalogue::load().context("The catalogue of this program is damaged")?;
    let program = program_name();
    let mut description = RunDescription {
        facts: of_suite(&catalogue, &options.command(&program)),
        planned: cases.len(),
        repeat_command: String::new(),
    };
    let opened = reserve::set_aside(&stop).and_then(|()| open(options));
    let opened = opened.and_then(|mut subject| {
        let blocks = match block_places(subject.transport()) {
            // Cases say why.
            Err(DeviceError::NoBlock { .. }) => Vec::new(),
            places => places?,
        };
        let instances = instances(&*subject, &blocks, options);
        description.facts.extend(of_device(&mut *subject, &blocks));
        let device = subject.transport().device().to_owned();
        description.repeat_command = options.repeat_command(&program, Some(&device));
        Ok((subject, blocks, instances))
    });
    let mut judge = Judge {
        options,
        cases,
        catalogue: &catalogue,
        description: &description,
        files,
        stop: &stop,
    };
    match opened {
        Ok((mut subject, blocks, instances)) => judge.run(&mut *subject, &blocks, &instances),
        Err(error) => judge.refuse(with_memory(error)),
    }
}

/// Set by the signals that end a run.
fn catch_signals() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] {
        if signal != SIGTERM && is_ignored(signal)? {
            continue;
        }
        // The second one ends the process at once.
        flag::register_conditional_default(signal, Arc::clone(&stop))?;
        flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

/// An error that may come of memory that was refused says so.
fn with_memory(error: anyhow::Error) -> anyhow::Error {
    match reserve::is_short() {
        true => error.context(MEMORY_REFUSED),
        false => error,
    }
}

/// How this program is called from any folder.
fn program_name() -> String {
    let name = env!("CARGO_BIN_NAME");
    let Ok(own) = std::env::current_exe() else {
        return name.into();
    };
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    match found.and_then(|path| path.canonicalize().ok()) {
        Some(found) if Some(&found) == own.canonicalize().ok().as_ref() => name.into(),
        _ => own.display().to_string(),
    }
}

/// A run and where its results go.
struct Judge<'a> {
    options: &'a RunOptions,
    cases: &'a [Case],
    catalogue: &'a Catalogue,
    description: &'a RunDescription,
    files: Files,
    stop: &'a AtomicBool,
}

type Stream<'a> = Ktap<'a, Stdout>;

impl<'a> Judge<'a> {
    /// Reports that nothing ran, and why.
    fn refuse(&mut self, error: anyhow::Error) -> Result<ExitCode> {
        let mut early = words::describe(&*error);
        if matches!(error.downcast_ref(), Some(DeviceError::NoBlock { .. })) {
            early.push_str(NO_BLOCK);
        }
        let ending = Ending {
            early: Some(early),
            left: None,
        };
        let ktap = self.stream(0)?;
        self.print(&[], &ending, ktap)?;
        Err(error)
    }

    /// Judges one instance after the other.
    fn run(
        &mut self,
        subject: &mut (dyn Subject + 'static),
        blocks: &[BarOffset],
        instances: &[(usize, u8)],
    ) -> Result<ExitCode> {
        let mut ktap = self.stream(instances.len())?;
        let mut results = Vec::new();
        let mut ending = Ending::default();
        for instance in instances {
            let outcome = self.run_instance(subject, blocks, *instance, ktap.as_mut());
            let (one, end) = match outcome {
                Ok(ran) => ran,
                Err(error) if error.is::<OutputError>() => return Err(error),
                Err(error) => {
                    ending.early = Some(words::describe(&*with_memory(error)));
                    break;
                }
            };
            results.push(one);
            ending = end;
            if ending != Ending::default() {
                break;
            }
        }
        self.print(&results, &ending, ktap)?;
        if let Some(problem) = ending.problem() {
            program::say(&problem);
        }
        Ok(ExitCode::from(self.exit_code(&results, &ending)))
    }

    fn exit_code(&self, results: &[InstanceResults], ending: &Ending) -> u8 {
        if self.stop.load(Ordering::Relaxed) && !reserve::is_short() {
            return INTERRUPTED;
        }
        let totals = Totals::of(results.iter().flat_map(|one| &one.results));
        match totals.exit_code() {
            FAILED => FAILED,
            _ if ending.left.is_some() => FAILED,
            NOTHING_RAN if results.is_empty() => NOTHING_RAN,
            _ if ending.early.is_some() => NOT_JUDGED,
            code => code,
        }
    }

    /// What is written to stdout as cases end.
    fn stream(&self, instances: usize) -> Result<Option<Stream<'a>>> {
        match self.options.output {
            Output::Json => Ok(None),
            Output::Ktap => {
                let ktap = Ktap::new(io::stdout(), self.description, self.catalogue, instances);
                Ok(Some(ktap.map_err(OutputError::from)?))
            }
        }
    }

    /// Runs the cases on one instance; results are written as they come.
    fn run_instance(
        &mut self,
        subject: &mut (dyn Subject + 'static),
        blocks: &[BarOffset],
        instance: (usize, u8),
        mut ktap: Option<&mut Stream<'_>>,
    ) -> Result<(InstanceResults, Ending)> {
        let name = instance_name(instance);
        let options = run::RunOptions {
            strict: self.options.strict,
            read_only: self.options.read_only,
            instance: Some(instance),
            stop: Some(self.stop),
            case_budget: Some(self.options.case_time.unwrap_or(CASE_TIME)),
            log_accesses: self.files.access_log.is_some() || log::log_enabled!(Level::Trace),
            narrow_accesses: self.options.narrow_accesses,
            operation_wait: self.options.operation_wait,
        };
        let mut written = Ok(());
        if let Some(ktap) = &mut ktap {
            written = ktap.begin_instance(instance, self.cases.len());
        }
        let (files, stop) = (&mut self.files, self.stop);
        let outcome = run::run(subject, blocks, self.cases, &options, |result| {
            files.log_accesses(&name, result);
            if let (Some(ktap), Ok(())) = (&mut ktap, &written) {
                written = ktap.result(result);
                if written.is_err() {
                    // Nobody learns of what the other cases would find.
                    stop.store(true, Ordering::Relaxed);
                }
            }
        });
        let (results, ending) = match outcome {
            Ok(results) => (results, Ending::default()),
            Err(RunError::Ended {
                early,
                left,
                results,
            }) => {
                let early = early.map(|early| match reserve::is_short() {
                    true => format!("{early}: {MEMORY_REFUSED}"),
                    false => early.to_string(),
                });
                let ending = Ending {
                    early,
                    left: left_behind(&left),
                };
                (results, ending)
            }
            Err(error) => return Err(error.into()),
        };
        if let (Some(ktap), Ok(())) = (&mut ktap, &written) {
            written = ktap.end_instance(&results);
        }
        written.map_err(OutputError::from)?;
        Ok((InstanceResults { instance, results }, ending))
    }

    /// Writes what comes at the end.
    fn print(
        &mut self,
        results: &[InstanceResults],
        ending: &Ending,
        ktap: Option<Stream<'_>>,
    ) -> Result<()> {
        let (description, catalogue) = (self.description, self.catalogue);
        let xml = junit::to_xml(description, catalogue, results, ending)?;
        self.files.write_junit(&xml)?;
        match ktap {
            Some(ktap) => ktap.end(results, ending).map_err(OutputError::from)?,
            None => {
                let report = Report::new(description, catalogue, results, ending);
                program::print(json(&report)?)?;
            }
        }
        Ok(())
    }
}

/// Connects to the device.
fn open(options: &RunOptions) -> Result<Box<dyn Subject>> {
    Ok(match options.transport {
        Transport::InProcess => Box::new(InProcessSubject::new(Model {
            profile: options.profile.unwrap_or(Profile::Full),
            ways: options.ways.unwrap_or(1),
            quirks: options.broken_rules(),
        })?),
        Transport::Socket => Box::new(SocketSubject::connect(&Sockets {
            device: options.absolute_socket(),
            access: options.access_socket.clone(),
            clock: options.clock_socket.clone(),
            position: options.position,
            tee_windows: options.tee_windows.clone(),
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

/// The instances to test: one, or all there are. Where none can be reached the first is named all the same: its run
/// says why.
fn instances(
    subject: &dyn Subject,
    blocks: &[BarOffset],
    options: &RunOptions,
) -> Vec<(usize, u8)> {
    if let Some(instance) = options.instance {
        return vec![instance.0];
    }
    let read = |(block, start): (usize, &BarOffset)| {
        BlockPlace::read(subject.transport(), block, *start).ok()
    };
    let blocks = blocks.iter().enumerate().filter_map(read);
    let places = blocks.flat_map(|block| block.instances());
    let mut instances: Vec<_> = places.map(|place| (place.block, place.instance)).collect();
    if !options.all_instances {
        instances.truncate(1);
    }
    if instances.is_empty() {
        instances.push((0, 0));
    }
    instances
}
