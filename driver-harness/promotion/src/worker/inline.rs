// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Runs in one thread, by the time of their source.

use chmu_machine::stop::StopFlag;

use super::{Core, End, RunError, Sink, is_gone, source_id};
use crate::actuator::Actuator;
use crate::engine::Engine;
use crate::machine::Machine;
use crate::severity::Severity;
use crate::source::HotnessSource;
use crate::summary::Summary;

/// Runs until the source ends: nothing happens but by its reports' time, so that the same reports lead to
/// the same events.
pub fn run_inline<'a>(
    engine: &'a mut Engine,
    machine: &'a dyn Machine,
    mut source: Box<dyn HotnessSource>,
    mut actuator: Box<dyn Actuator>,
    sink: &'a mut Sink<'a>,
    end: End,
    stop: &StopFlag,
) -> Result<Summary, RunError> {
    let mut core = Core::new(engine, machine, sink);
    let mut begun = None;
    let mut now_ns = 0;
    while !stop.is_raised() {
        let report = source.poll(u64::MAX, stop)?;
        let is_first = begun.is_none();
        let start_ns = match begun {
            Some(start_ns) => start_ns,
            None => {
                // The source's clock begins with its first report.
                now_ns = report.handed_out_ns;
                begin(&mut core, &*source, &*actuator, now_ns);
                *begun.insert(now_ns)
            }
        };
        let gone = is_gone(&*source);
        let until_ns = last_ns(end, start_ns);
        let next_ns = report.handed_out_ns.min(until_ns);
        promote_until(&mut core, &mut *actuator, &mut now_ns, next_ns, stop)?;
        if !is_first && is_over(&core, end, start_ns, report.handed_out_ns) {
            // The run ends before this report came.
            now_ns = now_ns.max(next_ns);
            break;
        }
        now_ns = now_ns.max(report.handed_out_ns);
        let offered = core
            .engine
            .offer(source_id(0), &report, source.health(), machine, now_ns);
        Core::tolerate(offered)?;
        // The next report may be long in coming.
        core.tell()?;
        if gone.is_some() || is_over(&core, end, start_ns, now_ns) {
            break;
        }
    }
    // What is left is promoted as if time went on, as far as the run has any.
    match begun {
        Some(start_ns) => {
            let until_ns = last_ns(end, start_ns);
            promote_until(&mut core, &mut *actuator, &mut now_ns, until_ns, stop)?;
        }
        // Somebody ended it before the source said anything.
        None => begin(&mut core, &*source, &*actuator, now_ns),
    }
    Ok(core.end(now_ns)?)
}

fn begin(core: &mut Core<'_>, source: &dyn HotnessSource, actuator: &dyn Actuator, now_ns: u64) {
    core.engine.begin(
        vec![source.facts().clone()],
        actuator.name(),
        actuator.limits().is_dry,
        now_ns,
    );
}

/// When the run ends by its time, at the latest.
fn last_ns(end: End, start_ns: u64) -> u64 {
    let after_ns = end.after.map(|after| u64::try_from(after.as_nanos()));
    let after_ns = after_ns.and_then(Result::ok).unwrap_or(u64::MAX);
    start_ns.saturating_add(after_ns)
}

/// Makes the batches that are due up to a time, each at its own.
fn promote_until(
    core: &mut Core<'_>,
    actuator: &mut dyn Actuator,
    now_ns: &mut u64,
    until_ns: u64,
    stop: &StopFlag,
) -> Result<(), RunError> {
    while let Some(due_ns) = core
        .engine
        .next_deadline_ns()
        .filter(|due_ns| *due_ns <= until_ns)
        && !stop.is_raised()
    {
        *now_ns = due_ns.max(*now_ns);
        let batch = core.engine.next_batch(core.machine, *now_ns);
        let Some(batch) = Core::tolerate(batch)?.flatten() else {
            // What is due and makes no batch has been refused, or put off to a later time.
            core.tell()?;
            match now_ns.checked_add(1) {
                Some(next_ns) => *now_ns = next_ns,
                None => break,
            }
            continue;
        };
        match actuator.promote_batch(&batch, stop) {
            Ok(fates) => core.engine.completed(&batch, &fates, *now_ns, *now_ns),
            Err(error) if error.severity() == Severity::Fatal => {
                return Err(RunError::Actuator(error));
            }
            Err(error) => {
                log::warn!("{}", chmu_machine::words::describe(&error));
                core.engine.completed(&batch, &[], *now_ns, *now_ns);
            }
        }
        core.tell()?;
    }
    core.tell()?;
    Ok(())
}

fn is_over(core: &Core<'_>, end: End, start_ns: u64, now_ns: u64) -> bool {
    let passed_ns = u128::from(now_ns.saturating_sub(start_ns));
    let is_stable = core.engine.waiting() == 0 && core.recorder.is_stable(now_ns);
    end.after.is_some_and(|after| passed_ns >= after.as_nanos())
        || end
            .after_epochs
            .is_some_and(|epochs| core.recorder.epoch(now_ns) >= epochs)
        || (end.when_stable && is_stable)
}
