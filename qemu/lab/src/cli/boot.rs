// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo lab boot`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use chmu_lab::machine::{MachineOptions, MemoryAs, Mode, Software, dry_run, run_on_terminal};
use chmu_lab::output::{self, Format};
use chmu_lab::platform::PlatformOptions;
use chmu_lab::progress::Progress;
use chmu_lab::size::ByteSize;
use chmu_lab::topology::{Device, Topology};

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Initramfs of your own; it boots behind the lab's ACPI tables.
    #[arg(long, value_name = "FILE")]
    initrd: Option<PathBuf>,
    /// Words for the kernel's command line, after the lab's.
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    append: Vec<String>,
    /// Options for QEMU, after the lab's; quoted as for a shell.
    #[arg(long, value_name = "OPTIONS", allow_hyphen_values = true)]
    qemu_args: Vec<String>,
    /// Option of QEMU's plugin, such as filter=none, with which every access counts exactly once.
    #[arg(long, value_name = "OPTION")]
    plugin_option: Vec<String>,
    /// Which driver the lab's initramfs gives the device.
    #[arg(long, value_enum, default_value_t)]
    mode: Mode,
    /// What the CXL memory is in the lab's initramfs.
    #[arg(long, value_enum, default_value_t)]
    memory_as: MemoryAs,
    /// Number of processors.
    #[arg(long, value_name = "COUNT")]
    smp: Option<u32>,
    /// Memory of the node with the processors; a multiple of 256M.
    #[arg(long, value_name = "SIZE")]
    dram: Option<ByteSize>,
    /// Memory of all devices together; a multiple of 256M for each.
    #[arg(long, value_name = "SIZE")]
    memory: Option<ByteSize>,
    /// How many devices share the CXL window: 1, 2, 3, 4, 6 or 8.
    #[arg(long, value_name = "COUNT")]
    devices: Option<u32>,
    /// TOML file with what the devices' configuration says beside their memory, such as `vectors`
    /// and `block`.
    #[arg(long, value_name = "FILE")]
    device_settings: Option<PathBuf>,
    /// Keeps the run's folder with sockets, generated files and logs.
    #[arg(long)]
    keep: bool,
    /// Prints the commands in place of running them; the files they name are kept.
    #[arg(long)]
    dry_run: bool,
    /// The form in which --dry-run prints the commands.
    #[arg(short, long, value_enum, default_value_t, requires = "dry_run")]
    output: Format,
    #[command(flatten)]
    platform: PlatformOptions,
}

pub(super) fn run(options: &Options) -> Result<ExitCode> {
    let topology = topology(options);
    topology.validate()?;
    let machine_options = machine_options(options, topology.devices().len())?;
    let software = {
        let progress = Progress::new();
        software(options, &progress)?
    };
    if options.dry_run {
        let commands = dry_run(&topology, &machine_options, &software)?;
        options.output.print(&commands)?;
        return Ok(ExitCode::SUCCESS);
    }
    output::note("Ctrl-A x ends the guest, Ctrl-A h shows more");
    let (status, kept) = run_on_terminal(&topology, &machine_options, &software)?;
    if let Some(folder) = kept {
        output::note(format_args!("The run's files are in {}", folder.display()));
    }
    Ok(match status.success() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn topology(options: &Options) -> Topology {
    let mut topology = Topology::default();
    for node in &mut topology.nodes {
        let size = match &mut node.window {
            None => options.dram,
            Some(window) => {
                if let Some(devices) = options.devices {
                    let first = window
                        .devices
                        .first()
                        .map_or(1, |device| device.serial_number);
                    window.devices = (0..devices)
                        .map(|index| Device {
                            serial_number: first + u64::from(index),
                        })
                        .collect();
                }
                options.memory
            }
        };
        node.memory_bytes = size.map_or(node.memory_bytes, |size| size.0);
        if node.processors > 0 {
            node.processors = options.smp.unwrap_or(node.processors);
        }
    }
    topology
}

fn machine_options(options: &Options, devices: usize) -> Result<MachineOptions> {
    let mut qemu_arguments = Vec::new();
    for text in &options.qemu_args {
        let words = shlex::split(text)
            .with_context(|| format!("--qemu-args has an unclosed quote: {text}"))?;
        qemu_arguments.extend(words);
    }
    let mut append = vec!["chmu.shell".to_owned()];
    append.extend(options.append.iter().cloned());
    let settings = match &options.device_settings {
        Some(file) => vec![device_settings(file)?; devices],
        None => Vec::new(),
    };
    Ok(MachineOptions {
        mode: options.mode,
        memory_as: options.memory_as,
        plugin_options: options.plugin_option.clone(),
        qemu_arguments,
        append,
        device_settings: settings,
        keep: options.keep,
        ..MachineOptions::default()
    })
}

fn device_settings(file: &Path) -> Result<toml::Table> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("Cannot read {}", file.display()))?;
    text.parse()
        .with_context(|| format!("{} is no TOML", file.display()))
}

fn software(options: &Options, progress: &Progress) -> Result<Software> {
    let read = |file: &PathBuf| {
        std::fs::read(file).with_context(|| format!("Cannot read {}", file.display()))
    };
    let initramfs = options.initrd.as_ref().map(read).transpose()?;
    let (_, software) = Software::obtain(&options.platform, initramfs, progress)?;
    Ok(software)
}
