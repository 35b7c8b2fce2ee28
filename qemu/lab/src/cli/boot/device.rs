// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the devices are like, and what their programs and QEMU's plugin are told.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use chmu_lab::machine::{DeviceSettings, MachineOptions, check_plugin_options};
use chmu_lab::topology::Topology;
use clap::Parser;
use vfio_user_chmu::arguments;
use vfio_user_chmu::clock::ClockSource;
use vfio_user_chmu::config::{ProfileName, QuirkName, QuirkNames};
use vfio_user_chmu::socket_file;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Device")]
#[group(skip)]
pub(in crate::cli) struct Options {
    /// A ready-made device; vfio-user-chmu --list-profiles names them.
    #[arg(long, value_name = "NAME")]
    profile: Option<ProfileName>,
    /// TOML file with what the devices' configuration says beside their memory, such as `vectors`
    /// and `block`; it overrides the profile.
    #[arg(long, value_name = "FILE")]
    device_settings: Option<PathBuf>,
    /// Breaks a rule on purpose; vfio-user-chmu --list-quirks names them. Given several times, all these rules.
    #[arg(long = "quirk", value_name = "NAME")]
    quirks: Vec<QuirkName>,
    /// What time is for the device: host, accesses:NS, or manual for one that --clock-socket moves.
    #[arg(long, value_name = "CLOCK", default_value = "host")]
    clock: ClockSource,
    /// Where the device listens for whoever moves a manual clock; once for each device.
    #[arg(long, value_name = "PATH", required_if_eq("clock", "manual"))]
    clock_socket: Vec<PathBuf>,
    /// Where the device listens for whoever makes its memory fail; once for each device.
    #[arg(long, value_name = "PATH")]
    event_socket: Vec<PathBuf>,
    /// Another option of the device's program, for example -vvv.
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    device_option: Vec<String>,
    /// Option of QEMU's plugin, such as cache=none, with which every access counts exactly once.
    #[arg(long, value_name = "OPTION")]
    plugin_option: Vec<String>,
    /// Lets the guest ask the devices how often each page was accessed, as chmu observe does.
    #[arg(long, conflicts_with = "no_plugin")]
    oracle: bool,
    /// Runs QEMU without the plugin: the device hears of no access, or of those that you make.
    #[arg(long, conflicts_with = "plugin_option")]
    pub(in crate::cli) no_plugin: bool,
}

impl Options {
    pub(in crate::cli) fn apply_to(
        &self,
        options: &mut MachineOptions,
        topology: &Topology,
    ) -> Result<()> {
        let devices = topology.devices().len();
        ensure!(
            self.clock_socket.is_empty() || self.clock == ClockSource::Manual,
            "--clock-socket moves a manual clock; add --clock manual"
        );
        check_sockets("--clock-socket", &self.clock_socket, devices)?;
        check_sockets("--event-socket", &self.event_socket, devices)?;
        check_plugin_options(&self.plugin_option)?;
        let settings = DeviceSettings {
            file: self.device_settings.as_deref(),
            profile: self.profile,
            quirks: QuirkNames(self.quirks.iter().map(|name| name.0).collect()),
        };
        options.device_settings = vec![settings.read(topology)?; devices];
        options.device_arguments = (0..devices).map(|index| self.arguments(index)).collect();
        options
            .device_arguments
            .iter()
            .try_for_each(|arguments| check_arguments(arguments))?;
        options.plugin_options.clone_from(&self.plugin_option);
        options.oracle = self.oracle;
        Ok(())
    }

    /// Options of the program of one device.
    fn arguments(&self, index: usize) -> Vec<String> {
        let mut arguments = Vec::new();
        let mut put = |option: &str, value: Option<String>| {
            arguments.extend(value.map(|value| format!("{option}={value}")));
        };
        for quirk in &self.quirks {
            put("--quirk", Some(quirk.to_string()));
        }
        put("--clock", Some(self.clock.to_string()));
        let path = |paths: &[PathBuf]| Some(paths.get(index)?.display().to_string());
        put("--clock-socket", path(&self.clock_socket));
        put("--event-socket", path(&self.event_socket));
        arguments.extend(self.device_option.iter().cloned());
        arguments
    }
}

fn check_sockets(option: &str, paths: &[PathBuf], devices: usize) -> Result<()> {
    ensure!(
        paths.is_empty() || paths.len() == devices,
        "There are {} of {option} for {devices} devices; name one for each",
        paths.len()
    );
    for (index, path) in paths.iter().enumerate() {
        ensure!(
            !paths.iter().take(index).any(|earlier| earlier == path),
            "{option} is {} for two devices; give each a path of its own",
            path.display()
        );
        check_socket(path).with_context(|| format!("{option} cannot be used"))?;
    }
    Ok(())
}

fn check_socket(path: &Path) -> Result<()> {
    ensure!(
        path.to_str().is_some(),
        "The path {} is not UTF-8",
        path.display()
    );
    Ok(socket_file::check(path)?)
}

/// Has the device's program judge what it would be told.
fn check_arguments(given: &[String]) -> Result<()> {
    /// The lab's own options, which come before.
    const OWN: [&str; 5] = [
        "vfio-user-chmu",
        "--config=config",
        "--socket-path=vfio",
        "--access-socket=access",
        "--statistics-socket=statistics",
    ];
    let own = OWN.into_iter().map(str::to_owned);
    let words = own.chain(given.iter().cloned());
    let judged = arguments::Arguments::try_parse_from(words).and_then(|read| read.check());
    if let Err(error) = judged {
        let said = error.to_string();
        bail!(
            "vfio-user-chmu cannot be told so: {}",
            said.trim_start_matches("error: ").trim_end()
        );
    }
    Ok(())
}
