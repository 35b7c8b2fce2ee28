// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Runs the project's tests, by cargo-nextest where it is installed.
//!
//! Guests' programs are built and their platform is fetched before the first test, so that no test
//! waits for either, and the tests use exactly these.

use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

use anyhow::{Context, Result};
use chmu::program;

use crate::cache::Cache;
use crate::platform::{GuestPackages, KernelChoice, Platform, PlatformOptions};
use crate::programs::{self, Programs};
use crate::progress::Progress;
use crate::userland::Userland;

/// Where nextest leaves the results for other programs, below the workspace.
pub const JUNIT_FILE: &str = "target/nextest/default/junit.xml";

/// What to run.
#[derive(Debug, Clone, Default)]
pub struct TestRun {
    /// Words for the test runner, such as a test's name.
    pub arguments: Vec<String>,
}

/// Builds, fetches, and runs the tests. Returns whether all passed.
///
/// # Errors
/// When something cannot be built or fetched, or cargo does not start.
pub fn run(test_run: &TestRun) -> Result<bool> {
    let root = programs::workspace_root()?;
    let progress = Progress::new();
    let fetching = progress.beside();
    let fetch = move || {
        for kernel_suite in [KernelChoice::Backports, KernelChoice::Lts612] {
            let options = PlatformOptions {
                kernel_suite,
                guest_packages: GuestPackages::tools(),
                ..PlatformOptions::default()
            };
            Platform::obtain(&options, &fetching)?;
        }
        anyhow::Ok(())
    };
    let (fetched, programs) = thread::scope(|scope| {
        let fetched = scope.spawn(fetch);
        let programs = Programs::obtain(&progress);
        (fetched.join(), programs)
    });
    fetched.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    let programs = programs?;
    Userland::new(&[])?.prepare(&Cache::open()?, &PlatformOptions::default(), &progress)?;
    let mut command = test_command(has_nextest(), test_run);
    let own_program = std::env::current_exe().context("The lab's own program is gone")?;
    command
        .current_dir(root)
        .envs(programs.variables())
        .env("CHMU_LAB", own_program);
    log::info!("{command:?}");
    let status = match progress.is_live() {
        // The test runner has the terminal.
        true => {
            drop(progress);
            command.status()
        }
        false => pass_on(command, &progress),
    };
    Ok(status.context("Cannot run cargo")?.success())
}

/// Passes on what the test runner says, and says that it runs where it is silent.
fn pass_on(mut command: Command, progress: &Progress) -> io::Result<ExitStatus> {
    progress.step("Running the tests");
    let mut child = command.stderr(Stdio::piped()).spawn()?;
    let said = child.stderr.take().map(BufReader::new);
    for line in said.into_iter().flat_map(|said| said.split(b'\n')) {
        progress.heard();
        program::say(String::from_utf8_lossy(&line?));
    }
    child.wait()
}

fn test_command(nextest: bool, test_run: &TestRun) -> Command {
    let mut command = Command::new(cargo());
    match nextest {
        true => command.args(["nextest", "run"]),
        false => command.arg("test"),
    };
    command.arg("--workspace");
    command.args(&test_run.arguments);
    command
}

/// Whether cargo-nextest is installed; says so where it is not.
fn has_nextest() -> bool {
    let output = Command::new(cargo())
        .args(["nextest", "--version"])
        .output();
    let found = output.is_ok_and(|output| output.status.success());
    if !found {
        program::say(format_args!(
            "cargo-nextest is not installed: cargo test runs the tests, one program after the \
             other and without {JUNIT_FILE}"
        ));
    }
    found
}

fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_runners_end_is_the_runs() {
        for (script, code) in [("echo PASS >&2", 0), ("echo FAIL >&2; exit 100", 100)] {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            let status = pass_on(command, &Progress::hidden()).unwrap();
            assert_eq!(status.code(), Some(code));
        }
    }
}
