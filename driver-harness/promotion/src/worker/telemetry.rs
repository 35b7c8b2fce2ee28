// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The thread that watches fast memory and answers the engine.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::time::Duration;

use chmu_machine::stop::StopFlag;
use chmu_machine::words;

use super::RunError;
use super::on_machine::Message;
use super::threads::{self, Threads};
use crate::severity::Severity;
use crate::telemetry::{Telemetry, TelemetryError, Watch};

/// Whether it is time to stop is asked at least this often.
const NOTICE: Duration = Duration::from_millis(100);

/// Starts it; what is sent is answered by a message.
pub(super) fn start(
    mut telemetry: Box<dyn Telemetry>,
    threads: &mut Threads,
    messages: &SyncSender<Message>,
    stop: &StopFlag,
) -> Result<Sender<Watch>, RunError> {
    let (sender, asks) = mpsc::channel();
    let (messages, stop) = (messages.clone(), stop.clone());
    let name = format!("the telemetry {}", telemetry.name());
    let started = threads.start(name, move || {
        let served = threads::attempt(|| serve(&mut *telemetry, &asks, &messages, &stop));
        let served = served.unwrap_or_else(|said| Err(TelemetryError::Panicked(said)));
        if let Err(error) = served {
            let _ = messages.send(Message::TelemetryGone(words::describe(&error)));
        }
        telemetry
    });
    started.map_err(RunError::Thread)?;
    Ok(sender)
}

/// Answers until it is told to stop, or fails for good.
fn serve(
    telemetry: &mut dyn Telemetry,
    asks: &Receiver<Watch>,
    messages: &SyncSender<Message>,
    stop: &StopFlag,
) -> Result<(), TelemetryError> {
    while !stop.is_raised() {
        let watch = match asks.recv_timeout(NOTICE) {
            Ok(watch) => watch,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        let watched = match telemetry.watch(&watch, stop) {
            Ok(watched) => Some(watched),
            Err(error) if error.severity() == Severity::Retry => {
                log::debug!("{}", words::describe(&error));
                None
            }
            Err(error) => return Err(error),
        };
        if messages.send(Message::Telemetry(watched)).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
