// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A second worker, with a thread that tells it its part of a batch while the first is told its own.
//!
//! The thread is kept, since starting one for each batch takes as long as it saves.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::mover::{Mover, Part};
use crate::actuator::ActuatorError;

/// What is done with a part.
pub(super) type Step = fn(&mut Mover, &mut Part) -> Result<(), ActuatorError>;
type Done = (Part, Result<(), ActuatorError>);

#[derive(Debug)]
pub(super) struct Second {
    mover: Arc<Mutex<Mover>>,
    /// None while it ends.
    steps: Option<Sender<(Step, Part)>>,
    done: Receiver<Done>,
    thread: Option<JoinHandle<()>>,
}

impl Second {
    pub(super) fn start(mover: Mover) -> Result<Second, ActuatorError> {
        let mover = Arc::new(Mutex::new(mover));
        let (steps, parts) = mpsc::channel::<(Step, Part)>();
        let (done_to, done) = mpsc::channel();
        let theirs = Arc::clone(&mover);
        let serve = move || {
            for (step, mut part) in parts {
                let result = step(&mut lock(&theirs), &mut part);
                if done_to.send((part, result)).is_err() {
                    break;
                }
            }
        };
        let thread = thread::Builder::new().name("damon-second".to_owned());
        let thread = thread.spawn(serve).map_err(ActuatorError::Thread)?;
        Ok(Second {
            mover,
            steps: Some(steps),
            done,
            thread: Some(thread),
        })
    }

    /// The worker, while nothing is done with a part.
    pub(super) fn mover(&self) -> MutexGuard<'_, Mover> {
        lock(&self.mover)
    }

    /// Has its thread begin to do something with a part; [`Second::finish`] waits for that.
    pub(super) fn begin(&self, step: Step, part: Part) -> Result<(), ActuatorError> {
        let steps = self.steps.as_ref().ok_or_else(ended)?;
        steps.send((step, part)).map_err(|_| ended())
    }

    pub(super) fn finish(&self) -> Result<Part, ActuatorError> {
        let (part, result) = self.done.recv().map_err(|_| ended())?;
        result.map(|()| part)
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        drop(self.steps.take());
        // It says itself why it panicked, and whoever waited for it has heard so.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn ended() -> ActuatorError {
    ActuatorError::Panicked("the second DAMON worker's thread has ended".to_owned())
}

fn lock(mover: &Mutex<Mover>) -> MutexGuard<'_, Mover> {
    mover.lock().unwrap_or_else(PoisonError::into_inner)
}
