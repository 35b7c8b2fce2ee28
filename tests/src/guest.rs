// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A real guest for one test, on real QEMU, with the device and the plugin.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chmu_lab::kernel_log::{self, Allowance};
use chmu_lab::machine::{LogEnd, Machine, MachineOptions, Mode, Software};
use chmu_lab::platform::{GuestPackages, KernelChoice, Platform, PlatformOptions};
use chmu_lab::progress::Progress;
use chmu_lab::topology::Topology;
use serde_json::Value;

/// What one program in the guest may take where nothing else is said; a busy host is slow.
pub const PROGRAM_TIMEOUT: Duration = Duration::from_secs(120);
/// Keeps the folders of runs that went well, too.
const KEEP_VARIABLE: &str = "CHMU_KEEP_RUNS";
/// Lines of each log that a failed test shows.
const SHOWN_LINES: usize = 25;
/// How often something is looked at that cannot be waited on.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// A guest has all processors of a small machine: one at a time, also where all tests of a program
/// share a process.
static TURN: Mutex<()> = Mutex::new(());
/// For each kernel, without and with Debian's tools.
static BACKPORTS: [OnceLock<Lab>; 2] = [const { OnceLock::new() }; 2];
static LTS_612: [OnceLock<Lab>; 2] = [const { OnceLock::new() }; 2];

/// What a guest is made of.
#[derive(Debug)]
pub struct Lab {
    /// QEMU, kernel and busybox.
    pub platform: Platform,
    /// The programs and the guest's image.
    pub software: Software,
}

impl Lab {
    fn obtain(kernel_suite: KernelChoice, tools: bool) -> Result<Self> {
        let progress = Progress::hidden();
        let options = PlatformOptions {
            kernel_suite,
            guest_packages: GuestPackages {
                tools,
                packages: Vec::new(),
            },
            ..PlatformOptions::default()
        };
        let (platform, software) = Software::obtain(&options, None, &progress)?;
        Ok(Self { platform, software })
    }
}

/// The right to run a guest, and what to run it with.
#[derive(Debug)]
pub struct Turn {
    lab: &'static Lab,
    _guard: MutexGuard<'static, ()>,
}

impl Turn {
    /// Waits until no other test of this process has a guest, then builds and fetches what is not
    /// there yet; `cargo lab test` has done both.
    ///
    /// # Errors
    /// When something cannot be built or fetched.
    pub fn take(kernel: KernelChoice) -> Result<Self> {
        Self::take_with(kernel, false)
    }

    fn take_with(kernel: KernelChoice, tools: bool) -> Result<Self> {
        // A test that failed says nothing about the next one.
        let guard = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let cells = match kernel {
            KernelChoice::Backports => &BACKPORTS,
            KernelChoice::Lts612 => &LTS_612,
        };
        let cell = &cells[usize::from(tools)];
        let lab = match cell.get() {
            Some(lab) => lab,
            None => {
                let lab = Lab::obtain(kernel, tools)?;
                cell.get_or_init(|| lab)
            }
        };
        Ok(Self { lab, _guard: guard })
    }

    /// What to run a guest with.
    pub fn lab(&self) -> &'static Lab {
        self.lab
    }
}

/// What a test wants of its guest.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// The guest's kernel.
    pub kernel: KernelChoice,
    /// Whether the guest has Debian's CXL tools.
    pub tools: bool,
    /// The machine.
    pub topology: Topology,
    /// Everything else.
    pub options: MachineOptions,
}

impl Setup {
    /// The default machine whose plugin reports every access, so that what the device must count
    /// is known exactly.
    pub fn exact() -> Self {
        Self::with_plugin(&["cache=none"])
    }

    /// The default machine with these options of the plugin.
    pub fn with_plugin(plugin_options: &[&str]) -> Self {
        let options = MachineOptions {
            plugin_options: plugin_options.iter().map(|&word| word.to_owned()).collect(),
            ..MachineOptions::default()
        };
        Self {
            options,
            ..Self::default()
        }
    }

    /// Settings of the first device, in TOML.
    ///
    /// # Panics
    /// When the text is no TOML.
    #[must_use]
    pub fn with_device(mut self, settings: &str) -> Self {
        let settings = settings.parse().expect("a test's settings are TOML");
        self.options.device_settings = vec![settings];
        self
    }

    /// Another driver on the device.
    #[must_use]
    pub fn in_mode(mut self, mode: Mode) -> Self {
        self.options.mode = mode;
        self
    }
}

/// A running guest. A test that does not come to [`Guest::finish`] shows the ends of its logs.
#[derive(Debug)]
pub struct Guest {
    machine: Option<Machine>,
    topology: Topology,
    // After the machine: the next guest starts when this one is gone.
    _turn: Turn,
}

impl Guest {
    /// Boots a guest and waits until it serves requests.
    ///
    /// # Errors
    /// When something is missing or the machine fails.
    pub fn boot(setup: &Setup) -> Result<Self> {
        let turn = Turn::take_with(setup.kernel, setup.tools)?;
        let mut options = setup.options.clone();
        options.keep |= std::env::var_os(KEEP_VARIABLE).is_some();
        let machine = Machine::start(
            &setup.topology,
            &options,
            &turn.lab().software,
            &Progress::hidden(),
        )?;
        println!(
            "Linux {} booted in {:?}",
            machine.kernel(),
            machine.boot_time()
        );
        Ok(Self {
            machine: Some(machine),
            topology: setup.topology.clone(),
            _turn: turn,
        })
    }

    /// The machine's description.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Runs a program that must succeed and print one JSON value.
    ///
    /// # Errors
    /// When it does not, or the machine fails.
    pub fn json(&mut self, command: &[&str]) -> Result<Value> {
        let text = self.run_checked(command, PROGRAM_TIMEOUT)?;
        serde_json::from_str(&text)
            .with_context(|| format!("`{}` prints no JSON: {text}", command.join(" ")))
    }

    /// Runs a shell script that must succeed; returns what it printed, without the last newline.
    ///
    /// # Errors
    /// When it fails, takes longer than [`PROGRAM_TIMEOUT`], or the machine fails.
    pub fn shell(&mut self, script: &str) -> Result<String> {
        let text = self.run_checked(&["sh", "-c", script], PROGRAM_TIMEOUT)?;
        Ok(text.trim_end().to_owned())
    }

    /// Waits until a condition of the shell holds, as long as the spawned process `process_id`
    /// lives.
    ///
    /// # Errors
    /// When the process ends first, or the condition does not come true within
    /// [`PROGRAM_TIMEOUT`].
    pub fn wait_until(&mut self, process_id: u32, condition: &str) -> Result<()> {
        let script =
            format!("until {condition}; do kill -0 {process_id} || exit 1; sleep 0.05; done");
        let waited = self.run(&["sh", "-c", &script], PROGRAM_TIMEOUT)?;
        ensure!(!waited.timed_out, "`{condition}` does not come true");
        if waited.exit_code != 0 {
            let output = self.wait(process_id, PROGRAM_TIMEOUT)?;
            anyhow::bail!(
                "The program ended with code {} before `{condition}` was true: {}",
                output.exit_code,
                output.stderr.trim()
            );
        }
        Ok(())
    }

    /// Waits until a device's numbers are as wanted, and returns them.
    ///
    /// # Errors
    /// When they are not within [`PROGRAM_TIMEOUT`].
    pub fn wait_for_statistics(
        &mut self,
        device: usize,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let deadline = Instant::now() + PROGRAM_TIMEOUT;
        loop {
            let statistics = self.statistics(device)?;
            if wanted(&statistics) {
                return Ok(statistics);
            }
            ensure!(
                Instant::now() < deadline,
                "Device {device} does not come to {what}: {statistics}"
            );
            std::thread::sleep(LOOK_INTERVAL);
        }
    }

    /// Fails if the guest's kernel complained, or does not have the devices and regions of the
    /// topology.
    ///
    /// # Errors
    /// As said.
    pub fn check_kernel(&mut self, has_region: bool) -> Result<()> {
        self.check_kernel_allowing(has_region, &[])
    }

    fn check_kernel_allowing(&mut self, has_region: bool, allowed: &[Allowance]) -> Result<()> {
        let topology = self.topology.clone();
        let mut findings = kernel_log::check(self, allowed)?;
        if has_region {
            findings.extend(kernel_log::check_cxl_bus(self, &topology)?);
        }
        let findings: Vec<_> = findings.iter().map(ToString::to_string).collect();
        ensure!(findings.is_empty(), "The guest: {}", findings.join("\n"));
        Ok(())
    }

    /// Fails if the guest's kernel complained; then switches the guest off.
    ///
    /// # Errors
    /// As said, and when the guest does not go down.
    pub fn finish(self) -> Result<()> {
        self.finish_allowing(&[])
    }

    /// The same where the test itself makes the kernel complain.
    ///
    /// # Errors
    /// As for [`Guest::finish`].
    pub fn finish_allowing(mut self, allowed: &[Allowance]) -> Result<()> {
        self.check_kernel_allowing(false, allowed)?;
        if let Some(machine) = self.machine.take()
            && let Some(folder) = machine.shut_down()?
        {
            println!("Logs and sockets are in {}", folder.display());
        }
        Ok(())
    }
}

impl Deref for Guest {
    type Target = Machine;

    fn deref(&self) -> &Machine {
        self.machine
            .as_ref()
            .expect("only finish takes the machine")
    }
}

impl DerefMut for Guest {
    fn deref_mut(&mut self) -> &mut Machine {
        self.machine
            .as_mut()
            .expect("only finish takes the machine")
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let Some(machine) = &self.machine else { return };
        for LogEnd { path, lines } in machine.log_ends(SHOWN_LINES) {
            eprintln!("--- last lines of {}", path.display());
            for line in lines {
                eprintln!("    {line}");
            }
        }
        eprintln!("--- {KEEP_VARIABLE}=1 in the environment keeps the run's folder");
    }
}
