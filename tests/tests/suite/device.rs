// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A device process on the suite's bench.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use chmu_conformance::bench::BlockPlace;
use chmu_conformance::case::Case;
use chmu_conformance::judge::Verdict;
use chmu_conformance::paths::socket::{SocketSubject, Sockets};
use chmu_conformance::run::{CaseResult, RunError, RunOptions, run};
use chmu_conformance::subject::Subject;
use chmu_driver::device::block_places;
use chmu_tests::device_process::DeviceProcess;

/// Devices that share the window in front of this one's memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    pub(crate) ways: u8,
    pub(crate) position: u8,
}

/// A device that has its window for itself.
pub(crate) const ALONE: Share = Share {
    ways: 1,
    position: 0,
};

/// 512 MiB of memory in two ranges of the bitmap.
fn config(profile: &str, share: Share) -> String {
    let Share { ways, position } = share;
    let mut config = format!("profile = \"{profile}\"\nmemory = \"512M\"\n");
    // Writing to a string cannot fail.
    let _ = write!(
        config,
        "[[decoder]]\nways = {ways}\nposition = {position}\ngranularity = \"1K\"\n"
    );
    config
}

/// How time passes for a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TheClock {
    /// By itself.
    Running,
    /// When a case moves it.
    ByHand,
}

/// How a device is used.
#[derive(Debug, Clone, Copy)]
struct Use {
    manual_clock: bool,
    read_only: bool,
    tee_windows: &'static [u8],
}

impl Use {
    const MANUAL: Self = Self {
        manual_clock: true,
        read_only: false,
        tee_windows: &[],
    };
}

/// A device and the suite's connection to it.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) subject: SocketSubject,
    pub(crate) process: DeviceProcess,
}

impl Device {
    /// Starts a device whose clock stands still.
    pub(crate) fn start(profile: &str, share: Share, arguments: &[&str]) -> Result<Self> {
        Self::start_with(profile, share, arguments, Use::MANUAL)
    }

    /// Starts a device whose clock stands still, of which nothing may be changed.
    pub(crate) fn start_to_read(profile: &str, arguments: &[&str]) -> Result<Self> {
        let look = Use {
            read_only: true,
            ..Use::MANUAL
        };
        Self::start_with(profile, ALONE, arguments, look)
    }

    /// Starts a device with these blocks, as a configuration file has them.
    pub(crate) fn start_odd(blocks: &str, clock: TheClock) -> Result<Self> {
        let usage = Use {
            manual_clock: clock == TheClock::ByHand,
            ..Use::MANUAL
        };
        Self::start_config(&format!("memory = \"512M\"\n{blocks}"), ALONE, &[], usage)
    }

    /// Starts a device with this configuration file, whose windows of these numbers are for TEE requests.
    pub(crate) fn start_with_tee(config: &str, tee_windows: &'static [u8]) -> Result<Self> {
        let usage = Use {
            tee_windows,
            ..Use::MANUAL
        };
        Self::start_config(config, ALONE, &[], usage)
    }

    /// Starts a device in one share of a window of which the suite believes that it is in another.
    pub(crate) fn start_misplaced(profile: &str, share: Share, believed: Share) -> Result<Self> {
        Self::start_config(&config(profile, share), believed, &[], Use::MANUAL)
    }

    /// Starts a device whose clock runs.
    pub(crate) fn start_running(profile: &str) -> Result<Self> {
        let running = Use {
            manual_clock: false,
            ..Use::MANUAL
        };
        Self::start_with(profile, ALONE, &[], running)
    }

    fn start_with(profile: &str, share: Share, arguments: &[&str], usage: Use) -> Result<Self> {
        Self::start_config(&config(profile, share), share, arguments, usage)
    }

    fn start_config(
        config: &str,
        share: Share,
        arguments: &[&str],
        Use {
            manual_clock,
            read_only,
            tee_windows,
        }: Use,
    ) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("device.toml");
        std::fs::write(&file, config)?;
        let file = file.to_str().context("The folder's name is no text")?;
        let arguments = [&["--config", file], arguments].concat();
        let process = match manual_clock {
            true => DeviceProcess::start_with_manual_clock(&arguments)?,
            false => DeviceProcess::start(&arguments)?,
        };
        // Once a client is answered, the device has read its file and opened all its sockets.
        drop(process.client()?);
        let subject = SocketSubject::connect(&Sockets {
            device: process.device_socket().to_owned(),
            access: Some(process.access_socket()),
            clock: manual_clock.then(|| process.clock_socket()),
            position: (share.ways > 1).then_some(share.position),
            tee_windows: tee_windows.to_vec(),
            read_only,
        })?;
        Ok(Self { subject, process })
    }

    /// Every instance of the device.
    pub(crate) fn instances(&self) -> Result<Vec<(usize, u8)>> {
        let transport = self.subject.transport();
        let mut instances = Vec::new();
        for (block, start) in block_places(transport)?.into_iter().enumerate() {
            let block = BlockPlace::read(transport, block, start)?;
            instances.extend(block.instances().map(|place| (place.block, place.instance)));
        }
        Ok(instances)
    }

    /// Runs cases on an instance.
    pub(crate) fn run(&mut self, cases: &[Case], instance: (usize, u8)) -> Result<Vec<CaseResult>> {
        let options = RunOptions {
            strict: true,
            narrow_accesses: true,
            instance: Some(instance),
            ..RunOptions::default()
        };
        self.run_with(cases, &options)
    }

    /// Runs cases with these options.
    pub(crate) fn run_with(
        &mut self,
        cases: &[Case],
        options: &RunOptions<'_>,
    ) -> Result<Vec<CaseResult>> {
        run_on(&mut self.subject, cases, options)
    }
}

/// Runs cases on a device with these options.
pub(crate) fn run_on(
    subject: &mut dyn Subject,
    cases: &[Case],
    options: &RunOptions<'_>,
) -> Result<Vec<CaseResult>> {
    let blocks = block_places(subject.transport())?;
    match run(subject, &blocks, cases, options, |_| ()) {
        // Some broken rules keep a device from being put back.
        Err(RunError::Ended { results, .. }) => Ok(results),
        outcome => Ok(outcome?),
    }
}

/// Which cases failed, and how.
pub(crate) fn failures(results: &[CaseResult]) -> Vec<(&'static str, &Verdict)> {
    let failed = results.iter().filter(|result| result.verdict.is_failure());
    failed
        .map(|result| (result.case, &result.verdict))
        .collect()
}

/// Which cases were not skipped.
pub(crate) fn ran(results: &[CaseResult]) -> Vec<&'static str> {
    let ran = results
        .iter()
        .filter(|result| !matches!(result.verdict, Verdict::Skipped(_)));
    ran.map(|result| result.case).collect()
}
