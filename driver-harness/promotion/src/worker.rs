// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The loop between a source and a promoter.

use std::time::Duration;

use chmu_machine::clock;
use chmu_machine::stop::StopFlag;

use crate::promoter::{Promoter, PromotionError};

use crate::source::{HotnessSource, SourceError};
use crate::summary::Recorder;

/// While pages wait for their turn, the next one comes at least this soon.
const TURN: Duration = Duration::from_millis(5);

/// Why a run ends before its time.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The source failed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Promotion failed.
    #[error(transparent)]
    Promotion(#[from] PromotionError),
}

/// Promotes what `source` reports until `is_over`, which is asked at least every `notice`.
pub fn promote_reported(
    source: &mut dyn HotnessSource,
    promoter: &mut Promoter,
    recorder: &mut Recorder,
    notice: Duration,
    stop: &StopFlag,
    is_over: impl Fn(&Recorder) -> bool,
) -> Result<(), RunError> {
    while !stop.is_raised() && !is_over(recorder) {
        let wait = match promoter.waiting() {
            0 => notice,
            _ => notice.min(TURN),
        };
        let wait_ns = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        let deadline_ns = clock::monotonic_ns().saturating_add(wait_ns);
        let report = source.poll(deadline_ns, stop)?;
        let reported_ns = clock::monotonic_ns();
        recorder.reported(&report, reported_ns);
        promoter.offer(&report.extents, reported_ns);
        step(promoter, recorder, stop)?;
    }
    Ok(())
}

/// Promotes the pages that wait until none does, or until `stop` is raised.
pub fn promote_waiting(
    promoter: &mut Promoter,
    recorder: &mut Recorder,
    stop: &StopFlag,
) -> Result<(), PromotionError> {
    loop {
        let pages_selected = step(promoter, recorder, stop)?;
        if promoter.waiting() == 0 || stop.is_raised() {
            return Ok(());
        }
        // Those that wait have stayed once, or the rate holds them back.
        if pages_selected == 0 {
            stop.sleep(TURN);
        }
    }
}

/// Returns how many pages were handed to the actuator.
fn step(
    promoter: &mut Promoter,
    recorder: &mut Recorder,
    stop: &StopFlag,
) -> Result<u64, PromotionError> {
    let outcome = promoter.step(clock::monotonic_ns(), stop)?;
    recorder.stepped(&outcome, promoter.waiting(), clock::monotonic_ns());
    Ok(outcome.pages_selected)
}
