// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A guest with its devices: started, talked to, and ended without a trace.
//!
//! All processes belong to the [`Machine`]: they are watched whenever it waits, so the end of one
//! is an error with its last words and never a hang, and they end when it is dropped. If the lab
//! itself is killed, the kernel kills them.

mod agent;
mod command_line;
mod crash;
mod device_config;
mod device_settings;
mod device_sockets;
mod failure;
mod guest;
mod interactive;
mod interruption;
mod launch;
mod listening;
mod options;
mod plugin_options;
mod process;
mod qemu_options;
mod run;
mod run_folder;
mod software;
mod storage;
mod terminal_window;
mod wards;

use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use chmu::agent::protocol::Command;

use self::agent::AgentLine;
use self::launch::{Attendance, Launch};
use self::run::Run;
use crate::progress::Progress;
use crate::topology::Topology;

pub use self::command_line::CommandLine;
pub use self::device_config::device_config;
pub use self::device_settings::DeviceSettings;
pub use self::device_sockets::DeviceSockets;
pub use self::failure::{Cause, Failure, LogEnd};
pub use self::guest::Output;
pub use self::interactive::{DeviceCommand, DryRun, dry_run, run_on_terminal};
pub use self::interruption::Interrupted;
pub use self::options::{MachineOptions, MemoryAs, Mode, READY_TIMEOUT, Root};
pub use self::plugin_options::check_plugin_options;
pub use self::software::Software;
pub use self::storage::{Disk, DiskFormat, Keeping, MOUNTS_PLACE, Mount, Share};

/// The process that runs the guest.
const QEMU: &str = "QEMU";
/// A guest without anything to do goes down within this time.
const POWER_OFF_TIMEOUT: Duration = Duration::from_secs(60);

/// A running guest whose agent serves requests.
///
/// It belongs to the thread that started it: when that thread ends, so do the processes.
#[derive(Debug)]
pub struct Machine {
    run: Run,
    agent: AgentLine,
    launch: Launch,
    ready_timeout: Duration,
    kernel: String,
    boot_time: Duration,
}

impl Machine {
    /// Starts the devices and QEMU, and waits until the guest's agent is ready.
    ///
    /// # Errors
    /// [`Failure`] when a process ends or the guest does not get ready in time, [`Interrupted`]
    /// when the user stops the lab, others when something cannot be started.
    pub fn start(
        topology: &Topology,
        options: &MachineOptions,
        software: &Software,
        progress: &Progress,
    ) -> Result<Self> {
        let begin = Instant::now();
        let mut run = Run::create(options.keep)?;
        let folder = run.folder().to_owned();
        let launch = Launch::prepare(topology, options, software, Attendance::Agent, &folder)?;
        run.show_logs(launch.logs());
        progress.step("Starting the device");
        run.start_devices(&launch)?;
        progress.step("Booting the guest");
        let listener = UnixListener::bind(&launch.agent)
            .with_context(|| format!("Cannot listen on {}", launch.agent.display()))?;
        run.start(QEMU, &launch.qemu, &launch.qemu_log)?;
        let deadline = begin + options.ready_timeout;
        let activity = "waited for the guest to boot";
        if !run.wait(Some(&listener), Some(deadline), activity)? {
            return Err(run.timed_out(activity, options.ready_timeout));
        }
        let mut agent = AgentLine::accept(&listener)?;
        let kernel =
            guest::wait_until_ready(&mut run, &mut agent, deadline, options.ready_timeout)?;
        let boot_time = begin.elapsed();
        log::info!("Linux {kernel} is ready after {} ms", boot_time.as_millis());
        Ok(Self {
            run,
            agent,
            launch,
            ready_timeout: options.ready_timeout,
            kernel,
            boot_time,
        })
    }

    /// The guest's kernel release.
    pub fn kernel(&self) -> &str {
        &self.kernel
    }

    /// From the start of the first process to the agent's first word.
    pub fn boot_time(&self) -> Duration {
        self.boot_time
    }

    /// The folder with the run's files and logs.
    pub fn folder(&self) -> &Path {
        self.run.folder()
    }

    /// The last `count` lines of each log, the devices' first.
    pub fn log_ends(&self, count: usize) -> Vec<LogEnd> {
        self.launch
            .logs()
            .iter()
            .map(|path| LogEnd::read(path, count))
            .collect()
    }

    /// The guest's console so far.
    pub fn console_log(&self) -> &Path {
        &self.launch.console_log
    }

    /// The socket on which a device hears of accesses, for other producers than QEMU's plugin.
    pub fn access_socket(&self, device: usize) -> Option<&Path> {
        Some(&self.launch.devices.get(device)?.sockets.access)
    }

    /// What a device has counted so far, as its statistics socket says it.
    ///
    /// # Errors
    /// When there is no such device or it does not answer.
    pub fn statistics(&mut self, device: usize) -> Result<serde_json::Value> {
        self.run.check("asked the device for its numbers")?;
        let devices = &self.launch.devices;
        let device = devices
            .get(device)
            .with_context(|| format!("There is no device {device} among {}", devices.len()))?;
        let counted = device.sockets.statistics();
        counted.with_context(|| format!("{} says nothing", device.name))
    }

    /// Processor time of all of QEMU's threads that still run, in seconds.
    ///
    /// # Errors
    /// When QEMU has ended, or the kernel does not tell.
    pub fn qemu_seconds(&mut self) -> Result<f64> {
        self.run.check("asked for the processor time of QEMU")?;
        self.run.processor_seconds(QEMU)
    }

    /// Where the devices listen, in the order of their root ports.
    pub fn device_sockets(&self) -> Vec<DeviceSockets> {
        let devices = self.launch.devices.iter();
        devices.map(|device| device.sockets.clone()).collect()
    }

    /// Restarts the guest and waits until its agent is ready again; needs
    /// [`MachineOptions::may_reboot`].
    ///
    /// # Errors
    /// As for [`Machine::start`].
    pub fn reboot(&mut self) -> Result<()> {
        self.call(Command::Reboot {}, Duration::ZERO)?;
        let deadline = Instant::now() + self.ready_timeout;
        let (run, agent) = (&mut self.run, &mut self.agent);
        self.kernel = guest::wait_until_ready(run, agent, deadline, self.ready_timeout)?;
        Ok(())
    }

    /// Switches the guest off and ends the devices. Returns the run's folder if it was to be kept.
    ///
    /// # Errors
    /// When the guest does not go down, or a process reports a failure at its end.
    pub fn shut_down(mut self) -> Result<Option<PathBuf>> {
        self.call(Command::PowerOff {}, Duration::ZERO)?;
        self.run.wait_for_end(QEMU, Some(POWER_OFF_TIMEOUT))?;
        self.run.end()
    }
}
