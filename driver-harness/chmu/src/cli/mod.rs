// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The command line of `chmu`.

use std::process::ExitCode;

use clap::{ArgAction, CommandFactory, Parser, Subcommand};

mod agent;
mod bench;
mod conformance;
mod duration;
mod exit_code;
mod files;
mod hot_owners;
mod list;
mod look;
mod observe;
mod output;
mod promote;
mod prove;
mod reporting;
mod reset;
mod run;
mod service_manager;
mod signals;
mod status;
mod targets;
mod transport;
mod units;
mod values;
mod watch;
mod workload;

/// Lists CXL hotness monitoring units (CHMU), promotes hot pages and proves it, judges devices.
#[derive(Debug, Parser)]
#[command(name = "chmu", version, max_term_width = 100)]
pub(crate) struct Arguments {
    /// Says more on stderr: once for info, twice for debug, three times for trace.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Lists CXL devices with hotness monitoring units and what these can do.
    List(list::Options),
    /// Prints what hotness monitoring units report, a line for each hot unit.
    Watch(watch::Options),
    /// Runs a workload whose hot pages are known, on the slow memory.
    Workload(workload::Options),
    /// Runs a program whose memory lies on the slow node.
    Run(run::Options),
    /// Counts exactly how often a device sees the pages of a process accessed, for chmu prove; takes an
    /// emulated device.
    Observe(observe::Options),
    /// Promotes hot pages: those that hotness monitoring units report, or those of a list.
    Promote(Box<promote::Options>),
    /// Tells how a running chmu promote is.
    Status(status::Options),
    /// Explains for each memory node where its pages are promoted to, and why.
    Targets(targets::Options),
    /// Tells whether the right pages of a running workload, or of a program that was observed, were
    /// promoted, and to the right node.
    Prove(prove::Options),
    /// Puts units and DAMON back as they were, after a run that was killed.
    Reset(reset::Options),
    /// Measures what the engine's parts cost on this machine.
    Bench(bench::Options),
    /// Judges devices: the suite's requirements, its cases, and runs of it.
    Conformance(conformance::Options),
    /// Serves a host's requests on a serial port of this guest.
    #[command(hide = true)]
    Agent(agent::Options),
}

/// Runs the verb; the code tells a negative result from a failure to get one.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let result = match arguments.verb {
        Verb::List(options) => list::run(options),
        Verb::Watch(options) => watch::run(&options),
        Verb::Workload(options) => workload::run(&options),
        Verb::Run(options) => run::run(&options),
        Verb::Observe(options) => observe::run(&options),
        Verb::Promote(options) => promote::run(&options),
        Verb::Status(options) => status::run(&options),
        Verb::Targets(options) => targets::run(&options),
        Verb::Prove(options) => prove::run(&options),
        Verb::Reset(options) => reset::run(options),
        Verb::Bench(options) => bench::run(&options),
        Verb::Conformance(options) => conformance::run(&options),
        Verb::Agent(options) => agent::run(&options),
    };
    result.map_err(|error| match error.downcast::<clap::Error>() {
        // What only a verb can see is wrong with the command line ends as the rest does.
        Ok(error) => error.format(&mut Arguments::command()).exit(),
        Err(error) => error,
    })
}
