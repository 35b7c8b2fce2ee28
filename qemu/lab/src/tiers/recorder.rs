// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Devices asked again and again while a program runs.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use super::counted::Counted;
use super::series::{Sample, Series};
use crate::machine::DeviceSockets;

/// Between two samples.
const INTERVAL: Duration = Duration::from_millis(100);
/// Between two questions whether all accesses are reported by now.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// Until then each of the guest's processors has had an interrupt, or the guest stands still.
const REPORTING_TIMEOUT: Duration = Duration::from_secs(60);
/// An answer comes at once.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Asks all devices of a machine what was counted, until it is finished or dropped. Accesses are counted for as long,
/// whatever the guest does with its units.
#[derive(Debug)]
pub struct Recorder {
    /// Dropped when it is to end.
    ends: Sender<()>,
    thread: JoinHandle<Result<Series>>,
}

/// A device's oracle: all accesses are reported while it counts.
#[derive(Debug)]
struct Oracle {
    stream: BufReader<UnixStream>,
    /// What it counts since.
    mark: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Answer {
    state: Option<State>,
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct State {
    mark: Option<u64>,
    reporting: bool,
}

impl Oracle {
    fn connect(path: &Path) -> Result<Oracle> {
        let connected = UnixStream::connect(path).and_then(|stream| {
            stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
            Ok(stream)
        });
        let stream = connected.with_context(|| format!("Cannot ask on {}", path.display()))?;
        let stream = BufReader::new(stream);
        Ok(Oracle { stream, mark: None })
    }

    /// Has it count from now on.
    fn mark(&mut self) -> Result<()> {
        self.mark = self.ask(&json!({"v": 1, "id": 0, "request": "mark"}))?.mark;
        Ok(())
    }

    fn is_reporting(&mut self) -> Result<bool> {
        let state = self.ask(&json!({"v": 1, "id": 0, "request": "state"}))?;
        Ok(state.reporting)
    }

    /// Has it count no more, unless somebody else has it count by now.
    fn stop(&mut self) -> Result<()> {
        let state = self.ask(&json!({"v": 1, "id": 0, "request": "state"}))?;
        if self.mark.is_some() && state.mark == self.mark {
            self.ask(&json!({"v": 1, "id": 0, "request": "stop", "mark": self.mark}))?;
        }
        Ok(())
    }

    fn ask(&mut self, question: &Value) -> Result<State> {
        let mut line = String::new();
        let asked = writeln!(self.stream.get_mut(), "{question}");
        asked
            .and_then(|()| self.stream.read_line(&mut line))
            .context("A device's oracle does not answer")?;
        let answer: Answer =
            serde_json::from_str(&line).context("A device's oracle gives no answer")?;
        match answer {
            Answer {
                state: Some(state), ..
            } => Ok(state),
            Answer { error, .. } => bail!(error.unwrap_or_default()),
        }
    }
}

impl Recorder {
    /// Begins when all devices hear of all accesses.
    ///
    /// # Errors
    /// When a device has no oracle, does not answer, or the guest stands still.
    pub fn start(devices: Vec<DeviceSockets>) -> Result<Recorder> {
        let oracles = devices.iter().map(|device| {
            let path = device.oracle.as_deref();
            Oracle::connect(path.context("A device has no oracle")?)
        });
        let mut oracles = oracles.collect::<Result<Vec<_>>>()?;
        for oracle in &mut oracles {
            oracle.mark()?;
            let begin = Instant::now();
            while !oracle.is_reporting()? {
                ensure!(
                    begin.elapsed() < REPORTING_TIMEOUT,
                    "QEMU's plugin does not begin to report accesses within {} s",
                    REPORTING_TIMEOUT.as_secs()
                );
                thread::sleep(LOOK_INTERVAL);
            }
        }
        let (ends, end) = mpsc::channel();
        let mut sampler = Sampler::begin(devices)?;
        let record = move || {
            while end.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                sampler.look()?;
            }
            sampler.look()?;
            oracles.iter_mut().try_for_each(Oracle::stop)?;
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
