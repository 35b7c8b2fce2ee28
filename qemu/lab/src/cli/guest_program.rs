// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A user's program in a guest: its outputs are the lab's, and so is its exit code.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use chmu::program;
use chmu_lab::kernel_log;
use chmu_lab::machine::{Interrupted, Machine};
use chmu_lab::output;

/// The lab's exit code when there is none of the program's: as `timeout` and `env` have it, so that it
/// is hardly one of the program's.
const NO_RESULT: u8 = 125;

/// The exit code of a program whose time was over, as `timeout` has it.
const TIMED_OUT: i32 = 124;

/// Runs a program to its end, or for so long at most.
pub(super) fn stream(
    machine: &mut Machine,
    command: &[&str],
    timeout: Option<Duration>,
) -> Result<i32> {
    let ended = machine.stream(command, timeout, |stdout, stderr| {
        output::pass_on(stdout, stderr).map_err(Into::into)
    })?;
    Ok(match ended.timed_out {
        false => ended.exit_code,
        true => TIMED_OUT,
    })
}

/// Switches the guest off, and says what its kernel complained about and where the run's files are.
pub(super) fn shut_down(mut machine: Machine) -> Result<()> {
    for finding in kernel_log::check(&mut machine, &[])? {
        program::say(format_args!("The guest's kernel log has a {finding}"));
    }
    if let Some(folder) = machine.shut_down()? {
        program::say(format_args!("The run's files are in {}", folder.display()));
    }
    Ok(())
}

/// The lab's exit code for the program's.
pub(super) fn exit_code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

/// A failure of the lab's own is told from those of the program; the user's wish to stop and a reader that
/// left are none.
pub(super) fn or_no_result(result: Result<ExitCode>) -> Result<ExitCode> {
    match result {
        Err(error) if !error.is::<Interrupted>() && !program::is_closed_pipe(&error) => {
            program::print_error(&error);
            Ok(ExitCode::from(NO_RESULT))
        }
        result => result,
    }
}
