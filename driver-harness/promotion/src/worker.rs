// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The loop between a source and a promoter.

use std::thread;
use std::time::Duration;

use chmu_machine::clock;

use crate::promoter::{Promoter, PromotionError};
use crate::report::Recorder;
use crate::source::{HotnessSource, SourceError};

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
    is_over: impl Fn(&Recorder) -> bool,
) -> Result<(), RunError> {
    while !is_over(recorder) {
        let wait = match promoter.waiting() {
            0 => notice,
            _ => notice.min(TURN),
        };
        let batch = source.next_batch(wait)?;
        let reported_ns = clock::monotonic_ns();
        recorder.reported(&batch, reported_ns);
        promoter.offer(&batch.units, reported_ns);
        step(promoter, recorder)?;
    }
    Ok(())
}

/// Promotes the pages that wait until none does, or until `is_over`.
pub fn promote_waiting(
    promoter: &mut Promoter,
    recorder: &mut Recorder,
    is_over: impl Fn() -> bool,
) -> Result<(), PromotionError> {
    loop {
        let pages_selected = step(promoter, recorder)?;
        if promoter.waiting() == 0 || is_over() {
            return Ok(());
        }
        // Those that wait have stayed once, or the rate holds them back.
        if pages_selected == 0 {
            thread::sleep(TURN);
        }
    }
}

/// Returns how many pages were handed to the actuator.
fn step(promoter: &mut Promoter, recorder: &mut Recorder) -> Result<u64, PromotionError> {
    let outcome = promoter.step(clock::monotonic_ns())?;
    recorder.stepped(&outcome, promoter.waiting(), clock::monotonic_ns());
    Ok(outcome.pages_selected)
}
