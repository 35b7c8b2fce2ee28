// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Builds the lab, says so while it takes time, and becomes the lab.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use chmu_launcher::progress::Progress;

/// Package and program.
const LAB: &str = "chmu-lab";
/// How cargo's lines begin when there is something to do.
const WORK: [&str; 6] = [
    "Blocking",
    "Updating",
    "Locking",
    "Downloading",
    "Downloaded",
    "Compiling",
];

fn main() -> ExitCode {
    let Err(failure) = run();
    // Nobody can be told that stderr is closed.
    let _ = writeln!(io::stderr(), "{}", failure.trim_end());
    ExitCode::FAILURE
}

/// Returns only when there is no lab to become.
fn run() -> Result<std::convert::Infallible, String> {
    build()?;
    let own = std::env::current_exe().map_err(|error| format!("0: No own program: {error}"))?;
    let program = own.with_file_name(LAB);
    let mut command = Command::new(&program);
    command.args(std::env::args_os().skip(1));
    if let Some(folder) = lab_folder() {
        command.env("CARGO_MANIFEST_DIR", folder);
    }
    let error = command.exec();
    Err(format!("0: Cannot run {}: {error}", program.display()))
}

/// Has cargo build the lab. What cargo says comes as progress, and whole when it fails.
fn build() -> Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--package", LAB]);
    if let Some(folder) = lab_folder() {
        command.arg("--manifest-path");
        command.arg(folder.join("Cargo.toml"));
    }
    let cannot_run = |error| format!("0: Cannot run cargo: {error}");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(cannot_run)?;
    let progress = Progress::new();
    let (mut said, mut works, mut built) = (String::new(), false, 0);
    let lines = child.stderr.take().map(BufReader::new);
    for line in lines.into_iter().flat_map(BufRead::lines) {
        let line = line.map_err(cannot_run)?;
        said.extend([&line, "\n"]);
        let line = line.trim();
        if !WORK.iter().any(|word| line.starts_with(word)) {
            continue;
        }
        if !works {
            progress.step("Building the lab (a minute or two the first time)");
            works = true;
        }
        built += usize::from(line.starts_with("Compiling"));
        progress.detail(match built {
            0 => line.to_owned(),
            _ => format!("{line}, crate {built}"),
        });
    }
    let status = child.wait().map_err(cannot_run)?;
    drop(progress);
    match status.success() {
        true => Ok(()),
        false => Err(format!(
            "{said}0: Cannot build the lab; cargo says why above"
        )),
    }
}

/// Beside this package's folder, which cargo names.
fn lab_folder() -> Option<PathBuf> {
    let own: OsString = std::env::var_os("CARGO_MANIFEST_DIR")?;
    Some(PathBuf::from(own).parent()?.join("lab"))
}
