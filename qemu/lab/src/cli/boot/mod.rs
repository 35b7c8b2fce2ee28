// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo lab boot`.

pub(super) mod device;
mod guest;
pub(super) mod machine;
pub(super) mod qemu;
mod script;

use std::process::ExitCode;

use anyhow::{Result, ensure};
use chmu::program;
use chmu_lab::kernel_config;
use chmu_lab::machine::{MachineOptions, Software, dry_run, run_on_terminal};
use chmu_lab::output::Format;
use chmu_lab::platform::PlatformOptions;
use chmu_lab::progress::Progress;
use chmu_lab::topology::Topology;
use chmu_lab::topology::presets::Listing;

use super::guest_program::or_no_result;
use super::storage::{self, RootFileSystem};
use super::usage_error;
use machine::TopologyChoice;
use script::Script;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Keeps the run's folder with sockets, generated files and logs.
    #[arg(long)]
    keep: bool,
    /// Prints the commands in place of running them; the files they name stay until
    /// a later run of the lab, or with --keep.
    #[arg(long)]
    dry_run: bool,
    /// The form in which --dry-run prints the commands.
    #[arg(short, long, value_enum, default_value_t, requires = "dry_run")]
    output: Format,
    /// What the guest's programs see: busybox, debian, or your own disk image or folder, whose changes
    /// are forgotten.
    #[arg(long, value_name = "WHAT", default_value_t = RootFileSystem::Busybox)]
    rootfs: RootFileSystem,
    #[command(flatten)]
    guest: guest::Options,
    #[command(flatten)]
    storage: storage::Options,
    #[command(flatten)]
    machine: machine::Options,
    #[command(flatten)]
    device: device::Options,
    #[command(flatten)]
    qemu: qemu::Options,
    #[command(flatten)]
    platform: PlatformOptions,
}

impl Options {
    /// Looks at everything that the user gave, before anything is fetched, built or booted.
    fn check(&self) -> Result<(Topology, MachineOptions)> {
        let topology = self.machine.topology();
        topology.validate()?;
        self.platform.check_values()?;
        self.storage.check(&self.rootfs, &self.platform)?;
        ensure!(
            !self.dry_run || self.rootfs != RootFileSystem::Debian,
            "--dry-run prints commands for later, and a userland's disk is gone when the lab ends; \
             leave one of the two out"
        );
        ensure!(
            !(self.guest.has_initramfs() && self.storage.needs_init(&self.rootfs)),
            "--rootfs and --share are the work of the lab's initramfs, which --initrd replaces; leave one \
             of them out"
        );
        let mut options = MachineOptions {
            keep: self.keep,
            ..MachineOptions::default()
        };
        self.guest.apply_to(&mut options)?;
        self.device.apply_to(&mut options, &topology)?;
        self.qemu.apply_to(&mut options)?;
        Ok((topology, options))
    }
}

pub(super) fn run(options: &Options) -> Result<ExitCode> {
    if matches!(options.machine.topology, TopologyChoice::List) {
        program::print(Listing::all())?;
        return Ok(ExitCode::SUCCESS);
    }
    let (topology, machine_options) = options
        .check()
        .map_err(|error| usage_error("boot", &error))?;
    let initramfs = options.guest.initramfs()?;
    let boot = || boot(options, &topology, &machine_options, initramfs);
    match options.guest.run {
        Some(_) => or_no_result(boot()),
        None => boot(),
    }
}

fn boot(
    options: &Options,
    topology: &Topology,
    machine_options: &MachineOptions,
    initramfs: Option<Vec<u8>>,
) -> Result<ExitCode> {
    let progress = Progress::new();
    let mut platform = options.platform.clone();
    let mut machine_options = machine_options.clone();
    let _disk = options.storage.apply(
        &options.rootfs,
        &[],
        &mut platform,
        &mut machine_options,
        &progress,
    )?;
    let machine_options = &machine_options;
    platform
        .guest_files
        .extend(options.guest.run.iter().map(Script::file));
    let (obtained, mut software) = Software::obtain(&platform, initramfs, &progress)?;
    if platform.kernel.is_some() {
        let kernel = &obtained.kernel;
        let modules = platform.modules.as_deref();
        if let Some(said) = kernel_config::complaint(&kernel.image, &kernel.release, modules) {
            program::say(said);
        }
    }
    if options.device.no_plugin {
        software.plugin = None;
    }
    if let Some(script) = &options.guest.run {
        return script.run(topology, machine_options, &software, progress);
    }
    drop(progress);
    if options.dry_run {
        let commands = dry_run(topology, machine_options, &software)?;
        options.output.print(&commands)?;
        return Ok(ExitCode::SUCCESS);
    }
    program::say("Ctrl-A x ends the guest, Ctrl-A h shows more");
    let (status, kept) = run_on_terminal(topology, machine_options, &software)?;
    if let Some(folder) = kept {
        program::say(format_args!("The run's files are in {}", folder.display()));
    }
    Ok(match status.success() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
