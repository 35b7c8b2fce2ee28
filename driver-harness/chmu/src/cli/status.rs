// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `chmu status`: how a running `chmu promote` is.

use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::process::ExitCode;

use chmu::program;
use chmu_promotion::status::{AskError, Status, ask};

use super::exit_code::NEGATIVE_RESULT;
use super::output::Output;

/// Where root's programs keep what lasts as long as they run.
const RUNTIME: &str = "/run";
/// A run's socket, in such a folder.
const SOCKET: &str = "chmu/promote.sock";

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The socket of chmu promote --status-socket [default: the one that it has without this option:
    /// chmu/promote.sock in the user's runtime folder, or else in /run].
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

pub(super) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let places = match &options.socket {
        Some(path) => vec![path.clone()],
        None => usual_places(),
    };
    match ask_each(&places)? {
        Some(status) => {
            options.output.print(&status)?;
            Ok(ExitCode::SUCCESS)
        }
        None => {
            let places: Vec<_> = places
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            program::say(format_args!(
                "No chmu promote runs here: nothing answers at {}; start one, or name its socket with --socket",
                places.join(" or ")
            ));
            Ok(ExitCode::from(NEGATIVE_RESULT))
        }
    }
}

/// Asks at one place after the other until something answers.
fn ask_each(places: &[PathBuf]) -> Result<Option<Status>, AskError> {
    for path in places {
        match ask(path) {
            Err(AskError::NothingRuns(_)) => {}
            answer => return answer.map(Some),
        }
    }
    Ok(None)
}

/// Where a run of this user listens when it is not told where; none where it has no place to.
pub(super) fn usual_place() -> Option<PathBuf> {
    usual_places().into_iter().next()
}

/// Removes the sockets of runs that were killed from where they are by themselves, and says which.
pub(super) fn remove_left_sockets() -> Vec<PathBuf> {
    let is_left = |path: &PathBuf| {
        let found = std::fs::symlink_metadata(path);
        let is_socket = found.is_ok_and(|found| found.file_type().is_socket());
        is_socket
            && matches!(ask(path), Err(AskError::NothingRuns(_)))
            && std::fs::remove_file(path).is_ok()
    };
    usual_places().into_iter().filter(is_left).collect()
}

fn usual_places() -> Vec<PathBuf> {
    let users = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let users = users.filter(|folder| folder.is_absolute());
    let folders = users.into_iter().chain([RUNTIME.into()]);
    folders.map(|folder| folder.join(SOCKET)).collect()
}
