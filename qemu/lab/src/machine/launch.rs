// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Everything that a start needs, as files in the run's folder and as command lines.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::command_line::CommandLine;
use super::device_config::device_config;
use super::device_sockets::DeviceSockets;
use super::options::MachineOptions;
use super::plugin_options::check_plugin_options;
use super::qemu_options::{Console, MachineFiles, qemu_options};
use super::run_folder::INITRAMFS;
use super::software::Software;
use super::terminal_window::TerminalWindow;
use crate::topology::{MIB, PlacedDevice, Topology};
use crate::{acpi, host_bridge};

/// What the guest's console said, in the run's folder.
pub(super) const CONSOLE_LOG: &str = "console.log";

/// Who sits at the guest's console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attendance {
    /// A user, on the lab's terminal.
    Terminal,
    /// Nobody: the lab talks to the guest's agent.
    Agent,
}

/// A machine that is ready to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Launch {
    pub(super) devices: Vec<DeviceLaunch>,
    pub(super) qemu: CommandLine,
    pub(super) qemu_log: PathBuf,
    pub(super) console_log: PathBuf,
    pub(super) agent: PathBuf,
}

/// A device that is ready to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DeviceLaunch {
    /// What messages call it.
    pub(super) name: String,
    pub(super) command: CommandLine,
    pub(super) log: PathBuf,
    pub(super) sockets: DeviceSockets,
}

impl Launch {
    /// Writes all files and derives all command lines; starts nothing.
    pub(super) fn prepare(
        topology: &Topology,
        options: &MachineOptions,
        software: &Software,
        attendance: Attendance,
        folder: &Path,
    ) -> Result<Self> {
        topology.validate()?;
        check_plugin_options(&options.plugin_options)?;
        let placed = topology.devices();
        ensure!(
            options.device_settings.len() <= placed.len(),
            "There are settings for {} devices, but the topology has {}",
            options.device_settings.len(),
            placed.len()
        );
        let mut devices = Vec::new();
        for device in &placed {
            devices.push(DeviceLaunch::prepare(device, options, software, folder)?);
        }
        if let [only] = devices.as_mut_slice() {
            only.name = "the device".to_owned();
        }
        let register_blocks = folder.join("host-bridge.bin");
        write(&register_blocks, &host_bridge::register_image(topology))?;
        let initramfs_file = folder.join(INITRAMFS);
        write(&initramfs_file, &initramfs(topology, &software.initramfs)?)?;
        let console_log = folder.join(CONSOLE_LOG);
        let agent = folder.join("agent.sock");
        let files = MachineFiles {
            kernel: software.kernel.clone(),
            initramfs: initramfs_file,
            register_blocks,
            plugin: software.plugin.clone(),
            sockets: devices
                .iter()
                .map(|device| device.sockets.clone())
                .collect(),
            console: match attendance {
                Attendance::Terminal => Console::Terminal {
                    log: console_log.clone(),
                    window: TerminalWindow::of_the_user(),
                },
                Attendance::Agent => Console::Unattended {
                    log: console_log.clone(),
                    agent: agent.clone(),
                },
            },
        };
        let mut qemu = CommandLine::from_words(software.qemu.clone());
        qemu.extend(qemu_options(topology, options, &files));
        Ok(Self {
            devices,
            qemu,
            qemu_log: folder.join("qemu.log"),
            console_log,
            agent,
        })
    }

    /// The logs, in the order in which a reader wants them.
    pub(super) fn logs(&self) -> Vec<PathBuf> {
        let devices = self.devices.iter().map(|device| device.log.clone());
        let others = [self.qemu_log.clone(), self.console_log.clone()];
        devices.chain(others).collect()
    }
}

impl DeviceLaunch {
    fn prepare(
        device: &PlacedDevice<'_>,
        options: &MachineOptions,
        software: &Software,
        folder: &Path,
    ) -> Result<Self> {
        let name = format!("device-{}", device.index);
        let settings = options.device_settings.get(device.index);
        let config = device_config(device, &settings.cloned().unwrap_or_default())?;
        let config_file = folder.join(format!("{name}.toml"));
        write(&config_file, config.as_bytes())?;
        let socket = |purpose: &str| folder.join(format!("{name}-{purpose}.sock"));
        let sockets = DeviceSockets {
            device: socket("vfio"),
            access: socket("access"),
            statistics: socket("statistics"),
            oracle: options.oracle.then(|| socket("oracle")),
        };
        let mut command = CommandLine::new(&software.device);
        for (option, path) in [
            ("--config", &config_file),
            ("--socket-path", &sockets.device),
            ("--access-socket", &sockets.access),
            ("--statistics-socket", &sockets.statistics),
        ] {
            command.extend([option.to_owned(), path.to_string_lossy().into_owned()]);
        }
        if let Some(path) = &sockets.oracle {
            command.extend([
                "--oracle-socket".to_owned(),
                path.to_string_lossy().into_owned(),
            ]);
        }
        command.extend(["-v"]);
        let further = options.device_arguments.get(device.index);
        command.extend(further.into_iter().flatten().cloned());
        Ok(Self {
            log: folder.join(format!("{name}.log")),
            name: name.replace('-', " "),
            command,
            sockets,
        })
    }
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    fs::write(path, content).with_context(|| format!("Cannot write {}", path.display()))
}

/// The ACPI tables go in front, where Linux looks for them.
fn initramfs(topology: &Topology, image: &[u8]) -> Result<Vec<u8>> {
    let mut whole = acpi::early_archive(topology)?;
    whole.extend_from_slice(image);
    let (size, limit) = (whole.len() as u64, topology.initramfs_limit_bytes());
    ensure!(
        size <= limit,
        "The initramfs has {} MiB; at most {} MiB fit into the guest's low memory",
        size.div_ceil(MIB),
        limit / MIB
    );
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepare(options: &MachineOptions, image_bytes: usize, folder: &Path) -> Result<Launch> {
        let software = Software {
            qemu: vec!["ld.so".into(), "qemu".into()],
            device: "/bin/vfio-user-chmu".into(),
            plugin: None,
            kernel: "/boot/vmlinuz".into(),
            initramfs: vec![1; image_bytes],
        };
        Launch::prepare(
            &Topology::default(),
            options,
            &software,
            Attendance::Agent,
            folder,
        )
    }

    #[test]
    fn every_file_that_a_command_names_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let launch = prepare(&MachineOptions::default(), 10, folder.path()).unwrap();
        assert!(
            launch
                .qemu
                .words()
                .starts_with(&["ld.so".into(), "qemu".into()])
        );
        let words = launch.qemu.words().join("\n") + &launch.devices[0].command.words().join("\n");
        for name in ["host-bridge.bin", "initramfs", "device-0.toml"] {
            let file = folder.path().join(name);
            assert!(words.contains(file.to_str().unwrap()), "{name}: {words}");
            assert!(file.is_file(), "{name}");
        }
        assert!(
            fs::read(folder.path().join("initramfs"))
                .unwrap()
                .ends_with(&[1; 10])
        );
        assert_eq!(launch.devices[0].name, "the device");
    }

    #[test]
    fn settings_for_more_devices_than_there_are_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let options = MachineOptions {
            device_settings: vec![toml::Table::new(); 2],
            ..MachineOptions::default()
        };
        let error = prepare(&options, 1, folder.path()).unwrap_err();
        assert!(error.to_string().contains("for 2 devices"), "{error}");
    }

    #[test]
    fn an_initramfs_that_reaches_the_register_block_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = prepare(&MachineOptions::default(), 230 << 20, folder.path()).unwrap_err();
        assert!(error.to_string().contains("at most 224 MiB"), "{error}");
    }
}
