// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Runs on a machine, by its clock.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::thread::{self, Scope};
use std::time::Duration;

use chmu_machine::clock;
use chmu_machine::stop::StopFlag;
use chmu_machine::words;

use super::crew::{Crew, Done};
use super::{Core, End, RunError, Sink, is_gone, source_id};
use crate::actuator::Actuator;
use crate::engine::Engine;
use crate::machine::Machine;
use crate::report::{Health, Report, Tuning};
use crate::severity::Severity;
use crate::source::{HotnessSource, SourceError};
use crate::summary::{Recorder, Summary};

/// A source says at least this often that it has nothing to say.
const POLL: Duration = Duration::from_millis(500);
/// A source that failed, and may not the next time, is asked again after this.
const RETRY: Duration = Duration::from_millis(100);
/// Whether it is time to stop is asked at least this often.
const NOTICE: Duration = Duration::from_millis(100);
/// Reports and results that wait for the engine; sources wait when there are more.
const MESSAGES_MAX: usize = 8;

/// What the engine is told by other threads.
#[derive(Debug)]
pub(super) enum Message {
    /// A source reported.
    Report {
        source: usize,
        report: Report,
        health: Health,
    },
    /// A source will report nothing any more; why, and whether that is a failure.
    Gone {
        source: usize,
        reason: String,
        failure: Option<SourceError>,
    },
    /// A source took other settings.
    Retuned { source: usize, granted: Tuning },
    /// A worker is done with a batch.
    Done(Done),
}

/// Promotes what `sources` report until the end, or until `stop` is raised; at the end it is raised in any
/// case, which ends all threads.
pub fn run_on_machine<'a>(
    engine: &'a mut Engine,
    machine: &'a dyn Machine,
    sources: Vec<Box<dyn HotnessSource>>,
    actuator: Box<dyn Actuator>,
    sink: &'a mut Sink<'a>,
    end: End,
    stop: &StopFlag,
) -> Result<Summary, RunError> {
    let mut core = Core {
        engine,
        machine,
        sink,
        recorder: Recorder::default(),
    };
    let start_ns = clock::monotonic_ns();
    core.begin(&sources, &*actuator, start_ns);
    thread::scope(|scope| {
        let (sender, messages) = mpsc::sync_channel(MESSAGES_MAX);
        let sources_left = sources.len();
        let mut wishes = Vec::new();
        for (place, source) in (0..).zip(sources) {
            let (wish, wished) = mpsc::channel();
            wishes.push(wish);
            watch(scope, (place, source), wished, sender.clone(), stop.clone());
        }
        let mut run = Run {
            crew: Crew::new(scope, actuator, sender, stop.clone()),
            core,
            messages,
            sources_left,
            wishes,
            start_ns,
            end,
        };
        let ended = run.until_over(stop);
        // Nobody waits from here on; what is on its way arrives, so that it is written down.
        stop.raise();
        let landed = run.land();
        let Run { core, .. } = run;
        let summary = core.end(clock::monotonic_ns());
        ended?;
        landed?;
        Ok(summary?)
    })
}

/// Asks a source again and again, in a thread of its own.
fn watch<'scope>(
    scope: &'scope Scope<'scope, '_>,
    (place, mut source): (usize, Box<dyn HotnessSource>),
    wishes: Receiver<Tuning>,
    messages: SyncSender<Message>,
    stop: StopFlag,
) {
    scope.spawn(move || {
        while !stop.is_raised() {
            while let Ok(wish) = wishes.try_recv() {
                let retuned = retune(&mut *source, &wish, place);
                if retuned.is_some_and(|retuned| messages.send(retuned).is_err()) {
                    return;
                }
            }
            let deadline_ns = clock::monotonic_ns().saturating_add(nanoseconds(POLL));
            let message = match source.poll(deadline_ns, &stop) {
                Ok(report) => Message::Report {
                    source: place,
                    report,
                    health: source.health(),
                },
                Err(error) if error.severity() == Severity::Retry => {
                    log::debug!("{}", words::describe(&error));
                    stop.sleep(RETRY);
                    continue;
                }
                Err(error) => Message::Gone {
                    source: place,
                    reason: words::describe(&error),
                    failure: Some(error),
                },
            };
            let is_failure = matches!(message, Message::Gone { .. });
            let gone = is_gone(&*source).map(|reason| Message::Gone {
                source: place,
                reason,
                failure: None,
            });
            let is_last = is_failure || gone.is_some();
            let is_heard = messages.send(message).is_ok();
            if let Some(gone) = gone.filter(|_| !is_failure) {
                let _ = messages.send(gone);
            }
            if is_last || !is_heard {
                break;
            }
        }
    });
}

/// Asks a source for other settings; a source that cannot take them keeps what it has.
fn retune(source: &mut dyn HotnessSource, wish: &Tuning, place: usize) -> Option<Message> {
    match source.retune(wish) {
        Ok(granted) => Some(Message::Retuned {
            source: place,
            granted,
        }),
        Err(error) => {
            log::warn!("{}", words::describe(&error));
            None
        }
    }
}

struct Run<'scope, 'env, 'a> {
    core: Core<'a>,
    crew: Crew<'scope, 'env>,
    messages: Receiver<Message>,
    sources_left: usize,
    /// What sources are asked for, by their place.
    wishes: Vec<Sender<Tuning>>,
    start_ns: u64,
    end: End,
}

impl Run<'_, '_, '_> {
    fn until_over(&mut self, stop: &StopFlag) -> Result<(), RunError> {
        while !stop.is_raised() {
            let now_ns = clock::monotonic_ns();
            if self.is_over(now_ns) {
                return Ok(());
            }
            let batch = self.core.engine.next_batch(self.core.machine, now_ns);
            let batch = Core::tolerate(batch)?.flatten();
            let is_busy = batch.is_some();
            if let Some(batch) = batch {
                self.crew.assign(batch, now_ns);
            }
            self.core.tell()?;
            self.crew.dismiss_idle(now_ns);
            let wait = match is_busy {
                // There may be a batch for another target.
                true => Duration::ZERO,
                false => self.wait(now_ns),
            };
            // One at a time: sources may report faster than they are understood.
            match self.messages.recv_timeout(wait) {
                Ok(message) => self.take(message)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
        Ok(())
    }

    /// How long nothing has to be done unless somebody says something.
    fn wait(&self, now_ns: u64) -> Duration {
        let due_ns = self.core.engine.next_deadline_ns();
        let wait = due_ns.map(|due_ns| Duration::from_nanos(due_ns.saturating_sub(now_ns)));
        let passed = Duration::from_nanos(now_ns.saturating_sub(self.start_ns));
        let left = self.end.after.map(|after| after.saturating_sub(passed));
        let soonest = wait.into_iter().chain(left).min().unwrap_or(NOTICE);
        soonest.clamp(Duration::from_millis(1), NOTICE)
    }

    fn take(&mut self, message: Message) -> Result<(), RunError> {
        let now_ns = clock::monotonic_ns();
        let core = &mut self.core;
        match message {
            Message::Report {
                source,
                report,
                health,
            } => {
                let offered =
                    core.engine
                        .offer(source_id(source), &report, health, core.machine, now_ns);
                Core::tolerate(offered)?;
            }
            Message::Gone {
                source,
                reason,
                failure,
            } => {
                self.sources_left = self.sources_left.saturating_sub(1);
                let is_fatal = |error: &SourceError| {
                    self.sources_left == 0 || error.severity() == Severity::Fatal
                };
                core.engine
                    .source_gone(source_id(source), reason.clone(), now_ns);
                match failure {
                    Some(error) if is_fatal(&error) => return Err(error.into()),
                    Some(_) => log::warn!("{reason}; going on with the other sources"),
                    None => {}
                }
            }
            Message::Retuned { source, granted } => {
                core.engine.retuned(source_id(source), &granted);
            }
            Message::Done(done) => self.done(done)?,
        }
        for (source, wish) in self.core.engine.take_wishes() {
            let place = usize::try_from(source.0).unwrap_or(usize::MAX);
            if let Some(wishes) = self.wishes.get(place) {
                // A source that is gone needs no other settings.
                let _ = wishes.send(wish);
            }
        }
        Ok(self.core.tell()?)
    }

    fn done(&mut self, done: Done) -> Result<(), RunError> {
        let Done {
            batch,
            result,
            started_ns,
            ended_ns,
        } = done;
        let fates = result.as_ref().map_or(&[][..], Vec::as_slice);
        self.core
            .engine
            .completed(&batch, fates, started_ns, ended_ns);
        match result {
            Err(error) if error.severity() == Severity::Fatal => Err(RunError::Actuator(error)),
            Err(error) => {
                log::warn!("{}", words::describe(&error));
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }

    /// Waits for the batches that actuators have; reports that come meanwhile are of no use any more.
    fn land(&mut self) -> Result<(), RunError> {
        let mut result = Ok(());
        while self.core.engine.batches_moving() > 0
            && let Ok(message) = self.messages.recv()
        {
            if let Message::Done(done) = message {
                result = result.and(self.done(done));
            }
        }
        result
    }

    fn is_over(&self, now_ns: u64) -> bool {
        let passed = Duration::from_nanos(now_ns.saturating_sub(self.start_ns));
        let (end, core) = (self.end, &self.core);
        let is_idle = core.engine.waiting() == 0 && core.engine.batches_moving() == 0;
        let epochs = end.after_epochs;
        end.after.is_some_and(|after| passed >= after)
            || epochs.is_some_and(|epochs| core.recorder.epoch(now_ns) >= epochs)
            || (is_idle && end.when_stable && core.recorder.is_stable(now_ns))
            || (is_idle && end.when_idle && self.sources_left == 0)
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
