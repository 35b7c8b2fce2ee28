// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Runs on a machine, by its clock.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::time::Duration;

use chmu_machine::clock;
use chmu_machine::stop::StopFlag;
use chmu_machine::words;

use super::crew::{Crew, Done};
use super::threads::{self, Threads};
use super::{Core, End, Parts, RunError, Sink, is_gone, source_id, telemetry};
use crate::engine::Engine;
use crate::machine::Machine;
use crate::report::{Health, Report, Tuning};
use crate::severity::Severity;
use crate::source::{HotnessSource, SourceError};
use crate::summary::Summary;
use crate::telemetry::{Telemetry, Watch, Watched};

/// A source says at least this often that it has nothing to say.
const POLL: Duration = Duration::from_millis(500);
/// A source that failed, and may not the next time, is asked again after this.
const RETRY: Duration = Duration::from_millis(100);
/// Whether it is time to stop is asked at least this often.
const NOTICE: Duration = Duration::from_millis(100);
/// After the end nobody is waited for longer,
const GRACE: Duration = Duration::from_millis(800);
/// but for an actuator that began with a batch less than this before, or puts back what it changed.
/// A batch takes a tenth of a second; a guest whose host was busy with seven other programs took more than
/// five, and what is cut short is left to the next run to repair.
const BATCH_MAX: Duration = Duration::from_secs(if cfg!(test) { 5 } else { 60 });
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
    /// A source was asked for other settings, and has these; none when it took nothing.
    Retuned {
        source: usize,
        granted: Option<Tuning>,
    },
    /// A worker is done with a batch.
    Done(Done),
    /// What was seen of fast memory; none when nothing was.
    Telemetry(Option<Watched>),
    /// Fast memory tells nothing any more, for this reason.
    TelemetryGone(String),
}

/// Promotes what `sources` report until the end, or until `stop` is raised; at the end it is raised in any
/// case, which ends all threads.
pub fn run_on_machine<'a>(
    engine: &'a mut Engine,
    machine: &'a dyn Machine,
    parts: Parts,
    sink: &'a mut Sink<'a>,
    end: End,
    stop: &StopFlag,
) -> Result<Summary, RunError> {
    let Parts {
        sources,
        actuator,
        telemetry,
    } = parts;
    let mut core = Core::new(engine, machine, sink);
    let start_ns = clock::monotonic_ns();
    core.begin(&sources, &*actuator, start_ns);
    let actuator_name = actuator.name();
    let (sender, messages) = mpsc::sync_channel(MESSAGES_MAX);
    let mut run = Run {
        crew: Crew::new(actuator, sender.clone(), stop.clone()),
        core,
        messages,
        source_threads: Threads::new(),
        workers: Threads::new(),
        sources_left: sources.len(),
        has_ended_well: false,
        wishes: Vec::new(),
        asks: None,
        moving_since_ns: start_ns,
        start_ns,
        end,
    };
    let ended = run
        .watch_fast(telemetry, &sender, stop)
        .and_then(|()| run.watch(sources, &sender, stop))
        .and_then(|()| run.until_over(stop));
    // Nobody waits from here on; what is on its way arrives, so that it is written down.
    stop.raise();
    let told_ns = clock::monotonic_ns();
    let landed = run.land(told_ns);
    run.count_late();
    let Run {
        core,
        crew,
        messages,
        source_threads,
        workers,
        asks,
        ..
    } = run;
    let stuck = core.engine.batches_moving() as u64;
    let now_ns = clock::monotonic_ns();
    // A machine that does not answer was a reason to end, if it was one.
    let _ = core.engine.look_for_demotions(machine, true, now_ns);
    let summary = core.end(now_ns);
    // Sources and actuator put back what they changed in their own threads.
    drop((crew, messages, sender, asks));
    let left_ns = told_ns
        .saturating_add(nanoseconds(GRACE))
        .saturating_sub(clock::monotonic_ns());
    let mut left = source_threads.end(Duration::from_nanos(left_ns), BATCH_MAX);
    let grace = match stuck {
        0 => BATCH_MAX,
        _ => Duration::ZERO,
    };
    left.extend(workers.end(grace, BATCH_MAX));
    for thread in left {
        log::warn!("{thread} does not end, and is left behind");
    }
    ended?;
    landed?;
    match stuck {
        0 => Ok(summary?),
        batches => Err(RunError::Stuck {
            actuator: actuator_name,
            batches,
        }),
    }
}

/// Asks a source again and again, until it is told to stop or the source has nothing more to say.
fn ask(
    (place, source): (usize, &mut dyn HotnessSource),
    wishes: &Receiver<Tuning>,
    messages: &SyncSender<Message>,
    stop: &StopFlag,
) -> Result<(), SourceError> {
    while !stop.is_raised() {
        while let Ok(wish) = wishes.try_recv() {
            if messages.send(retune(source, &wish, place)?).is_err() {
                return Ok(());
            }
        }
        let deadline_ns = clock::monotonic_ns().saturating_add(nanoseconds(POLL));
        let report = match source.poll(deadline_ns, stop) {
            Ok(report) => report,
            Err(error) if error.severity() == Severity::Retry => {
                log::debug!("{}", words::describe(&error));
                stop.sleep(RETRY);
                continue;
            }
            Err(error) => return Err(error),
        };
        let message = Message::Report {
            source: place,
            report,
            health: source.health(),
        };
        if messages.send(message).is_err() {
            return Ok(());
        }
        if let Some(reason) = is_gone(source) {
            let _ = messages.send(Message::Gone {
                source: place,
                reason,
                failure: None,
            });
            return Ok(());
        }
    }
    Ok(())
}

/// Asks a source for other settings; a source that cannot take them keeps what it has.
///
/// # Errors
/// When the source is gone because of it: it says that to nobody again.
fn retune(
    source: &mut dyn HotnessSource,
    wish: &Tuning,
    place: usize,
) -> Result<Message, SourceError> {
    let granted = source.retune(wish);
    let granted = match granted {
        Err(error) if is_gone(source).is_some() => return Err(error),
        Err(error) => {
            log::warn!("{}", words::describe(&error));
            None
        }
        Ok(granted) => Some(granted),
    };
    Ok(Message::Retuned {
        source: place,
        granted,
    })
}

struct Run<'a> {
    core: Core<'a>,
    crew: Crew,
    messages: Receiver<Message>,
    source_threads: Threads,
    workers: Threads,
    sources_left: usize,
    /// A source came to its end without a failure.
    has_ended_well: bool,
    /// What sources are asked for, by their place.
    wishes: Vec<Sender<Tuning>>,
    /// Where the telemetry of fast memory is asked; none where there is none.
    asks: Option<Sender<Watch>>,
    /// When the last batch was handed to an actuator.
    moving_since_ns: u64,
    start_ns: u64,
    end: End,
}

impl Run<'_> {
    /// Gives each source a thread of its own.
    fn watch(
        &mut self,
        sources: Vec<Box<dyn HotnessSource>>,
        messages: &SyncSender<Message>,
        stop: &StopFlag,
    ) -> Result<(), RunError> {
        for (place, mut source) in (0..).zip(sources) {
            let (wish, wished) = mpsc::channel();
            self.wishes.push(wish);
            let name = format!("the source {}", source.facts().name);
            let (messages, stop) = (messages.clone(), stop.clone());
            let started = self.source_threads.start(name, move || {
                let asked =
                    threads::attempt(|| ask((place, &mut *source), &wished, &messages, &stop));
                let asked = asked.unwrap_or_else(|said| Err(SourceError::Panicked(said)));
                if let Err(error) = asked {
                    let _ = messages.send(Message::Gone {
                        source: place,
                        reason: words::describe(&error),
                        failure: Some(error),
                    });
                }
                source
            });
            started.map_err(RunError::Thread)?;
        }
        Ok(())
    }

    /// Gives the telemetry of fast memory a thread of its own, where there is some.
    fn watch_fast(
        &mut self,
        telemetry: Option<Box<dyn Telemetry>>,
        messages: &SyncSender<Message>,
        stop: &StopFlag,
    ) -> Result<(), RunError> {
        let Some(telemetry) = telemetry else {
            return Ok(());
        };
        let (name, most) = (telemetry.name(), telemetry.frames_max());
        let threads = &mut self.source_threads;
        self.asks = Some(telemetry::start(telemetry, threads, messages, stop)?);
        let engine = &mut self.core.engine;
        engine.use_telemetry(name, most, self.start_ns);
        Ok(())
    }

    /// Asks the telemetry of fast memory what the engine wants to know.
    fn ask_fast(&mut self, now_ns: u64) -> Result<(), RunError> {
        let Some(asks) = &self.asks else {
            return Ok(());
        };
        let watch = self.core.engine.next_watch(self.core.machine, now_ns);
        if let Some(watch) = Core::tolerate(watch)?.flatten() {
            // One that has ended says so.
            let _ = asks.send(watch);
        }
        Ok(())
    }

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
                self.moving_since_ns = now_ns;
                let assigned = self.crew.assign(batch, &mut self.workers, now_ns);
                assigned.map_err(RunError::Thread)?;
            }
            let looked = self
                .core
                .engine
                .look_for_demotions(self.core.machine, false, now_ns);
            Core::tolerate(looked)?;
            self.ask_fast(now_ns)?;
            self.core.tell()?;
            self.crew.dismiss_idle(now_ns);
            let wait = match is_busy || self.core.engine.is_searching() {
                // There may be a batch for another target, or more to look at.
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
                self.has_ended_well |= failure.is_none();
                let is_fatal = |error: &SourceError| {
                    let none_is_left = self.sources_left == 0 && !self.has_ended_well;
                    none_is_left || error.severity() == Severity::Fatal
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
                core.engine
                    .retuned(source_id(source), granted.as_ref(), now_ns);
            }
            Message::Done(done) => self.done(done)?,
            Message::Telemetry(watched) => {
                let told = core.engine.watched(watched, core.machine, now_ns);
                Core::tolerate(told)?;
            }
            Message::TelemetryGone(reason) => {
                log::warn!("{reason}; no room is made any more");
                self.asks = None;
                core.engine.telemetry_gone(reason, now_ns);
            }
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

    /// Waits for the batches that actuators have; reports that come meanwhile are counted.
    /// An actuator that does not come back is not waited for.
    fn land(&mut self, told_ns: u64) -> Result<(), RunError> {
        let mut result = Ok(());
        let patient_until_ns = self.moving_since_ns.saturating_add(nanoseconds(BATCH_MAX));
        let until_ns = told_ns.saturating_add(nanoseconds(GRACE));
        let until_ns = until_ns.max(patient_until_ns);
        while self.core.engine.batches_moving() > 0 {
            let left_ns = until_ns.saturating_sub(clock::monotonic_ns());
            match self.messages.recv_timeout(Duration::from_nanos(left_ns)) {
                Ok(Message::Done(done)) => result = result.and(self.done(done)),
                Ok(other) => self.note_late(other),
                Err(_) => break,
            }
        }
        result
    }

    /// Counts the reports that nobody has looked at yet.
    fn count_late(&mut self) {
        while let Ok(message) = self.messages.try_recv() {
            self.note_late(message);
        }
    }

    fn note_late(&mut self, message: Message) {
        if let Message::Report {
            source,
            report,
            health,
        } = message
        {
            let now_ns = clock::monotonic_ns();
            let engine = &mut self.core.engine;
            engine.came_late(source_id(source), &report, health, now_ns);
        }
    }

    fn is_over(&self, now_ns: u64) -> bool {
        let passed = Duration::from_nanos(now_ns.saturating_sub(self.start_ns));
        let (end, core) = (self.end, &self.core);
        let is_idle = core.engine.waiting() == 0 && core.engine.batches_moving() == 0;
        let epochs = end.after_epochs;
        end.after.is_some_and(|after| passed >= after)
            || epochs.is_some_and(|epochs| core.recorder.epoch(now_ns) >= epochs)
            || (is_idle
                && end.when_stable
                && core.engine.is_settled()
                && !core.engine.is_making_room()
                && core.recorder.is_stable(now_ns))
            || (is_idle && end.when_idle && self.sources_left == 0)
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
