// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo lab run`.

mod command;
mod copy_out;
mod promotion;
mod tiers;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chmu_lab::machine::{Machine, MachineOptions, Software};
use chmu_lab::platform::PlatformOptions;
use chmu_lab::progress::Progress;
use chmu_lab::topology::Topology;
use chmu_lab::workloads::Workload;

use super::boot::machine::TopologyChoice;
use super::boot::{device, machine, qemu};
use super::guest_program::{self, or_no_result};
use super::storage::{self, RootFileSystem};
use super::usage_error;
use command::Settings;
use copy_out::CopyOut;
use promotion::Promotion;
use tiers::Watching;

/// For what the lab itself asks of the guest; a busy host is slow.
const GUEST_TIMEOUT: Duration = Duration::from_secs(120);

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The program and its arguments; its outputs are the lab's, and so is its exit code.
    #[arg(
        required_unless_present = "workload",
        last = true,
        value_name = "COMMAND"
    )]
    command: Vec<String>,
    /// In place of a program one of the lab's workloads, with its packages; cargo lab workloads prints
    /// them. Or a script of your own that says what it is as these do.
    #[arg(long, value_name = "NAME", conflicts_with = "command")]
    workload: Option<Workload>,
    /// What the program sees: debian, busybox, or your own disk image or folder, whose changes are
    /// forgotten.
    #[arg(long, value_name = "WHAT", default_value_t = RootFileSystem::Debian)]
    rootfs: RootFileSystem,
    #[command(flatten)]
    settings: Settings,
    /// Promotes hot pages meanwhile, with these options of `chmu promote`.
    #[arg(
        long,
        value_name = "OPTIONS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        allow_hyphen_values = true
    )]
    promote: Option<Promotion>,
    /// File or folder of the guest's to be copied out when the program has ended, into the working
    /// folder or to a path of yours.
    #[arg(long = "copy-out", value_name = "PATH[:HOSTPATH]")]
    copies: Vec<CopyOut>,
    /// Words for the kernel's command line, after the lab's.
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    append: Vec<String>,
    /// Keeps the run's folder with logs and sockets. The promotion's ledger is the guest's
    /// /run/promotion.jsonl, for --copy-out.
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    tiers: tiers::Options,
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

pub(super) fn run(options: &Options) -> Result<ExitCode> {
    let (topology, machine_options) = options
        .check()
        .map_err(|error| usage_error("run", &error))?;
    or_no_result(run_in_guest(options, &topology, machine_options))
}

impl Options {
    /// What runs in the guest.
    fn command(&self) -> Vec<String> {
        match &self.workload {
            Some(workload) => ["sh", "-c", &workload.script, &workload.name]
                .map(str::to_owned)
                .to_vec(),
            None => self.command.clone(),
        }
    }

    /// Looks at everything that the user gave, before anything is fetched, built or booted.
    fn check(&self) -> Result<(Topology, MachineOptions)> {
        ensure!(
            !matches!(self.machine.topology, TopologyChoice::List),
            "cargo lab boot --topology list prints the machines that there are"
        );
        let topology = self.machine.topology();
        topology.validate()?;
        self.settings.check(&topology)?;
        self.storage.check(&self.rootfs, &self.platform)?;
        self.platform.check_values()?;
        let mut options = MachineOptions {
            keep: self.keep,
            append: self.append.clone(),
            ..MachineOptions::default()
        };
        self.device.apply_to(&mut options, &topology)?;
        self.qemu.apply_to(&mut options)?;
        self.tiers.apply_to(&mut options);
        Ok((topology, options))
    }
}

fn run_in_guest(
    options: &Options,
    topology: &Topology,
    mut machine_options: MachineOptions,
) -> Result<ExitCode> {
    let progress = Progress::new();
    let mut platform = options.platform.clone();
    if let Some(workload) = &options.workload
        && options.rootfs.takes_packages()
    {
        let packages = &mut platform.guest_packages.packages;
        packages.extend(workload.packages.iter().cloned());
    }
    let tiers_place = options.tiers.open()?;
    let out = copy_out::Folder::for_copies(&options.copies)?;
    let further: Vec<_> = out.iter().map(copy_out::Folder::mount).collect();
    let _disk = options.storage.apply(
        &options.rootfs,
        &further,
        &mut platform,
        &mut machine_options,
        &progress,
    )?;
    let (_, mut software) = Software::obtain(&platform, None, &progress)?;
    if options.device.no_plugin {
        software.plugin = None;
    }
    let mut machine = Machine::start(topology, &machine_options, &software, &progress)?;
    options.settings.prepare(&mut machine)?;
    let promoting = match &options.promote {
        Some(promotion) => Some(promotion.start(&mut machine)?),
        None => None,
    };
    let watching = options.tiers.start(&machine, tiers_place)?;
    // The terminal is the program's from here on.
    drop(progress);
    let command = options.command();
    let words = options.settings.words(topology, &command);
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let code = guest_program::stream(&mut machine, &words, options.settings.timeout())?;
    // What becomes of the counts is no reason to lose the rest.
    let counted = watching.map_or(Ok(()), Watching::finish);
    if let Some(promoting) = promoting {
        promoting.finish(&mut machine)?;
    }
    if let Some(out) = &out {
        out.copy(&options.copies, &mut machine)?;
    }
    counted?;
    guest_program::shut_down(machine)?;
    if let Some(out) = out {
        out.hand_over(&options.copies)?;
    }
    Ok(guest_program::exit_code(code))
}

/// A command of the lab's own in the guest, which must succeed.
fn shell(machine: &mut Machine, script: &str) -> Result<String> {
    machine
        .run_checked(&["sh", "-c", script], GUEST_TIMEOUT)
        .context("Cannot prepare the guest")
}
