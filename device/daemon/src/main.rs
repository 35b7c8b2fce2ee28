// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! vfio-user server: a CXL memory device with hotness monitoring units.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use vfio_user_chmu::arguments::Arguments;
use vfio_user_chmu::config::{self, Config};
use vfio_user_chmu::{daemon, logging, profiles, quirks};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = arguments.check() {
        error.exit();
    }
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            for (number, cause) in error.chain().enumerate() {
                eprintln!("{number}: {cause}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.list_quirks {
        return print(&quirks::list());
    }
    if arguments.list_profiles {
        return print(&profiles::list());
    }
    logging::start(arguments.verbose, arguments.log_file.as_deref())?;
    let config = configuration(arguments)?;
    if arguments.print_config {
        let text = toml::to_string(&config).context("The configuration cannot be printed")?;
        return print(&text);
    }
    daemon::run(arguments, &config)
}

/// Prints a text; a reader that has seen enough is no failure.
fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        printed => printed.context("The standard output cannot be written"),
    }
}

/// The configuration of the file and the command line, completed and checked.
fn configuration(arguments: &Arguments) -> anyhow::Result<Config> {
    let file = arguments.config.as_deref().map(config::ConfigFile::read);
    let file = file.transpose()?;
    let mut config = match &file {
        Some(file) => file.parse()?,
        None => Config::default(),
    };
    arguments.apply_to(&mut config);
    let config = config.completed();
    config.check(file.as_ref())?;
    Ok(config)
}
