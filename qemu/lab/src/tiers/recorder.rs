// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Devices asked again and again while a program runs.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use chmu_proof::observation::{Oracle, OracleError};
use serde_json::Value;

use super::counted::Counted;
use super::series::{Sample, Series};
use crate::machine::DeviceSockets;

/// Between two samples.
const INTERVAL: Duration = Duration::from_millis(100);

/// Asks all devices of a machine what was counted, until it is finished or dropped. Accesses are counted for as long,
/// whatever the guest does with its units.
#[derive(Debug)]
pub struct Recorder {
    /// Dropped when it is to end.
    ends: Sender<()>,
    thread: JoinHandle<Result<Series>>,
}

impl Recorder {
    /// Begins when all devices hear of all accesses.
    ///
    /// # Errors
    /// When no device has an oracle, one does not answer, or the guest stands still.
    pub fn start(devices: Vec<DeviceSockets>) -> Result<Recorder> {
        let paths = devices.iter().filter_map(|device| device.oracle.clone());
        let oracle = Oracle::mark(&paths.collect::<Vec<_>>())?;
        let (ends, end) = mpsc::channel();
        let mut sampler = Sampler::begin(devices)?;
        let record = move || {
            while end.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                sampler.look()?;
            }
            sampler.look()?;
            match oracle.stop() {
                // Somebody in the guest has them count by now.
                Err(OracleError::Refused { .. }) => {}
                stopped => stopped?,
            }
            Ok(sampler.series)
        };
        let thread = thread::Builder::new()
            .name("tiers".to_owned())
            .spawn(record)
            .context("Cannot start a thread that asks the devices")?;
        Ok(Recorder { ends, thread })
    }

    /// Ends, with all that was counted.
    ///
    /// # Errors
    /// When a device did not answer.
    pub fn finish(self) -> Result<Series> {
        drop(self.ends);
        let ended = self.thread.join();
        ended
            .map_err(|_| anyhow!("The thread that asks the devices panicked; please report this"))?
    }
}

#[derive(Debug)]
struct Sampler {
    devices: Vec<DeviceSockets>,
    begin: Instant,
    before: Counted,
    series: Series,
}

impl Sampler {
    fn begin(devices: Vec<DeviceSockets>) -> Result<Sampler> {
        Ok(Sampler {
            begin: Instant::now(),
            before: read(&devices)?,
            series: Series::default(),
            devices,
        })
    }

    fn look(&mut self) -> Result<()> {
        let counted = read(&self.devices)?.since(self.before);
        let at_ns = u64::try_from(self.begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.series.push(Sample { at_ns, counted });
        Ok(())
    }
}

fn read(devices: &[DeviceSockets]) -> Result<Counted> {
    let statistics = devices.iter().map(DeviceSockets::statistics);
    Counted::of_devices(&statistics.collect::<Result<Vec<Value>>>()?)
}
