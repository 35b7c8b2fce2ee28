// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! vfio-user server: a CXL memory device with hotness monitoring units.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use vfio_user_chmu::arguments::Arguments;
use vfio_user_chmu::config::{Config, ConfigFile};
use vfio_user_chmu::{daemon, descriptors, logging, profiles, quirks};

/// Exit status for a wrong command line.
const WRONG_USAGE: u8 = 2;

fn main() -> ExitCode {
    let parsed = Arguments::try_parse().and_then(|arguments| {
        arguments.check()?;
        Ok(arguments)
    });
    let outcome = match parsed {
        Ok(arguments) => run(&arguments),
        Err(error) if error.use_stderr() => {
            // Whoever does not listen to stderr has the exit status.
            let _ = error.print();
            return ExitCode::from(WRONG_USAGE);
        }
        // The help or the version, which was asked for.
        Err(text) => printed(text.print()).map(|()| ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| {
        logging::say_causes(&error);
        ExitCode::FAILURE
    })
}

fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if arguments.list_quirks {
        return print(&quirks::list());
    }
    if arguments.list_profiles {
        return print(&profiles::list());
    }
    logging::start(arguments.verbose, arguments.log_file.as_deref())?;
    let file = arguments.config.as_deref().map(ConfigFile::read);
    let file = file.transpose()?;
    let config = configuration(arguments, file.as_ref())?;
    if arguments.print_config {
        let text = toml::to_string(&config).context("The configuration cannot be printed")?;
        return print(&text);
    }
    config.check_descriptors(descriptors::raise_limit(), file.as_ref())?;
    let ending = daemon::run(arguments, &config)?;
    Ok(ExitCode::from(ending.exit_status()))
}

fn print(text: &str) -> anyhow::Result<ExitCode> {
    let mut output = io::stdout().lock();
    let outcome = output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush());
    printed(outcome).map(|()| ExitCode::SUCCESS)
}

/// A reader that has seen enough is no failure.
fn printed(outcome: io::Result<()>) -> anyhow::Result<()> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome.context("The standard output cannot be written"),
    }
}

/// The configuration of the file and the command line, completed and checked.
fn configuration(arguments: &Arguments, file: Option<&ConfigFile>) -> anyhow::Result<Config> {
    let mut config = match file {
        Some(file) => file.parse()?,
        None => Config::default(),
    };
    arguments.apply_to(&mut config);
    let config = config.completed();
    config.check(file)?;
    Ok(config)
}
