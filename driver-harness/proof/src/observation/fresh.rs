// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Has the observer look once more before its file is judged.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use chmu_machine::clock;

use super::session::{SessionError, start_of};
use super::truth::{Observation, ObservationError};
use crate::workload::state::ask_to_look;

/// Whoever waits for an answer in a file looks for it this often.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// An observation that says nothing about a process of now.
#[derive(Debug, thiserror::Error)]
pub enum FreshError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] ObservationError),
    /// A process cannot be looked at.
    #[error(transparent)]
    Process(#[from] SessionError),
    /// The file is about another process.
    #[error("{} is about process {observed}, not about process {asked}", path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// The process that was observed.
        observed: u32,
        /// The process that is asked about.
        asked: u32,
    },
    /// The process that was observed is gone.
    #[error(
        "Process {process_id}, which was observed, has ended; where its pages were is not known any more: \
         prove while it runs"
    )]
    Ended {
        /// The process.
        process_id: u32,
    },
    /// The observer was killed.
    #[error(
        "The observer, process {observer_id}, was killed and has not finished {}; what happened since is not \
         known: observe again",
        path.display()
    )]
    Killed {
        /// The file.
        path: PathBuf,
        /// The observer.
        observer_id: u32,
    },
    /// The observer does not look.
    #[error("The observer, process {observer_id}, has not looked once more within {time:?}")]
    NoAnswer {
        /// The observer.
        observer_id: u32,
        /// How long it had.
        time: Duration,
    },
}

impl Observation {
    /// The observation of a process that still runs, up to now if its observer does, too; it gets `time`
    /// to look once more.
    pub fn of_running(
        path: &Path,
        process_id: u32,
        time: Duration,
    ) -> Result<Observation, FreshError> {
        let observation = Observation::read(path)?;
        if observation.process_id != process_id {
            return Err(FreshError::Other {
                path: path.to_owned(),
                observed: observation.process_id,
                asked: process_id,
            });
        }
        if start_of(process_id)? != Some(observation.process_start_ticks) {
            return Err(FreshError::Ended { process_id });
        }
        match observation.is_finished {
            true => Ok(observation),
            false => observation.next(path, time),
        }
    }

    /// What the observer writes when it is asked to look now.
    fn next(&self, path: &Path, time: Duration) -> Result<Observation, FreshError> {
        let observer_id = self.observer_id;
        let (asked_ns, deadline) = (clock::monotonic_ns(), Instant::now() + time);
        let mut is_asked = false;
        loop {
            let runs = start_of(observer_id)? == Some(self.observer_start_ticks);
            let observation = Observation::read(path)?;
            if observation.is_finished || observation.end_ns >= asked_ns {
                return Ok(observation);
            }
            if !runs {
                let path = path.to_owned();
                return Err(FreshError::Killed { path, observer_id });
            }
            if !is_asked {
                is_asked = true;
                ask_to_look(observer_id).map_err(|source| SessionError::Process {
                    process_id: observer_id,
                    source,
                })?;
            }
            if Instant::now() >= deadline {
                return Err(FreshError::NoAnswer { observer_id, time });
            }
            thread::sleep(LOOK_AGAIN);
        }
    }
}
