// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A guest on the user's terminal, and the same as commands to be copied.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitStatus;

use anyhow::Result;
use serde::Serialize;

use super::command_line::CommandLine;
use super::launch::{Attendance, Launch};
use super::options::MachineOptions;
use super::run::Run;
use super::run_folder::RunFolder;
use super::software::Software;
use crate::topology::Topology;

/// Runs a guest on the terminal until it ends. Returns how QEMU ended, and the run's folder if it
/// was to be kept.
///
/// # Errors
/// As for [`super::Machine::start`].
pub fn run_on_terminal(
    topology: &Topology,
    options: &MachineOptions,
    software: &Software,
) -> Result<(ExitStatus, Option<PathBuf>)> {
    let mut run = Run::create(options.keep)?;
    let folder = run.folder().to_owned();
    let launch = Launch::prepare(topology, options, software, Attendance::Terminal, &folder)?;
    run.show_logs(
        launch
            .devices
            .iter()
            .map(|device| device.log.clone())
            .collect(),
    );
    run.start_devices(&launch)?;
    run.start_on_terminal(super::QEMU, &launch.qemu)?;
    let status = match options.may_reboot {
        true => run.wait_for_end_or_crash(super::QEMU)?,
        false => run.wait_for_end(super::QEMU, None)?,
    };
    run.check_console()?;
    Ok((status, run.end()?))
}

/// The commands that start a guest and its devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DryRun {
    /// Where the files are that the commands name.
    pub folder: PathBuf,
    /// Each device's command.
    pub devices: Vec<DeviceCommand>,
    /// QEMU's command.
    pub qemu: CommandLine,
}

/// The command that starts a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceCommand {
    /// What messages call the device.
    pub name: String,
    /// The program and its arguments.
    pub command: CommandLine,
}

/// For a shell.
impl fmt::Display for DryRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Files: {}", self.folder.display())?;
        writeln!(
            f,
            "# A later run removes them unless something listens there; --keep keeps them."
        )?;
        writeln!(
            f,
            "# Each device in a terminal of its own, then QEMU once they listen."
        )?;
        for device in &self.devices {
            writeln!(f, "\n# Start {}\n{}", device.name, device.command)?;
        }
        writeln!(f, "\n# Start QEMU; Ctrl-A x ends it\n{}", self.qemu)
    }
}

/// The commands that [`run_on_terminal`] would run. The files they name are in a folder that stays
/// until a later run finds its sockets unused, or for good where that was asked for.
///
/// # Errors
/// When the topology cannot be built or the files cannot be written.
pub fn dry_run(
    topology: &Topology,
    options: &MachineOptions,
    software: &Software,
) -> Result<DryRun> {
    let mut folder = RunFolder::create()?;
    let path = folder.path().to_owned();
    let launch = Launch::prepare(topology, options, software, Attendance::Terminal, &path)?;
    match options.keep {
        true => folder.keep(),
        false => _ = folder.leave(),
    }
    let commands = launch.devices.into_iter();
    Ok(DryRun {
        folder: path,
        devices: commands
            .map(|device| DeviceCommand {
                name: device.name,
                command: device.command,
            })
            .collect(),
        qemu: launch.qemu,
    })
}
