// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Sanitize, the one command that goes on in the background.

use chmu_spec::cxl::device::BackgroundStatus;
use chmu_spec::cxl::mailbox::{ReturnCode, opcode};

/// How long a device takes for each byte: 1 s for 1 GiB.
const NANOSECONDS_PER_SECOND: u64 = 1_000_000_000;
const BYTES_PER_SECOND: u64 = 1 << 30;

/// The command that runs in the background, or the last one that did.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sanitizing {
    run: Option<Run>,
    now_ns: u64,
}

#[derive(Debug, Clone, Copy)]
struct Run {
    started_ns: u64,
    ends_ns: u64,
    has_ended: bool,
}

impl Sanitizing {
    /// Starts, unless it runs already.
    pub(super) fn start(&mut self, now_ns: u64, capacity_bytes: u64) -> Result<(), ReturnCode> {
        if self.is_running() {
            return Err(ReturnCode::Busy);
        }
        let seconds = capacity_bytes.div_ceil(BYTES_PER_SECOND);
        let duration_ns = seconds.saturating_mul(NANOSECONDS_PER_SECOND);
        self.now_ns = now_ns;
        self.run = Some(Run {
            started_ns: now_ns,
            ends_ns: now_ns.saturating_add(duration_ns),
            has_ended: false,
        });
        Ok(())
    }

    pub(super) fn is_running(&self) -> bool {
        self.run.is_some_and(|run| !run.has_ended)
    }

    /// When it ends, while it runs.
    pub(super) fn deadline_ns(&self) -> Option<u64> {
        self.run.filter(|run| !run.has_ended).map(|run| run.ends_ns)
    }

    /// Lets time pass; whether it ended in this moment.
    pub(super) fn advance(&mut self, now_ns: u64) -> bool {
        self.now_ns = self.now_ns.max(now_ns);
        match &mut self.run {
            Some(run) if !run.has_ended && run.ends_ns <= now_ns => {
                run.has_ended = true;
                true
            }
            _ => false,
        }
    }

    /// The background command status register.
    pub(super) fn status(&self) -> BackgroundStatus {
        self.run.map_or(BackgroundStatus::new(), |run| {
            BackgroundStatus::new()
                .with_opcode(opcode::SANITIZE)
                .with_percent(run.percent(self.now_ns))
        })
    }
}

impl Run {
    /// 100 only when it has ended.
    fn percent(&self, now_ns: u64) -> u8 {
        if self.has_ended {
            return 100;
        }
        let passed_ns = u128::from(now_ns.saturating_sub(self.started_ns));
        let whole_ns = u128::from(self.ends_ns.saturating_sub(self.started_ns));
        let percent = passed_ns.saturating_mul(100).checked_div(whole_ns);
        percent.map_or(99, |percent| u8::try_from(percent).unwrap_or(99).min(99))
    }
}
