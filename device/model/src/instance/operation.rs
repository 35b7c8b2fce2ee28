// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The operation in progress and when it is complete.

use chmu_spec::chmu;

use crate::settings::Settings;

use super::counting::Counting;

/// What happens when an operation is complete.
#[derive(Debug)]
pub(super) enum Outcome {
    Enable(Settings, Box<Counting>),
    Disable,
    Reset,
}

#[derive(Debug)]
struct Operation {
    outcome: Outcome,
    done_ns: u64,
}

/// What a driver started and what is not complete.
#[derive(Debug)]
pub(super) struct Operations {
    delay_ns: u64,
    current: Option<Operation>,
    /// The source of accesses reports all of them; an enable is in progress until it does.
    source_ready: bool,
}

impl Operations {
    /// No operation in progress; each takes `delay_ns`.
    pub(super) fn new(delay_ns: u64) -> Self {
        Self {
            delay_ns,
            current: None,
            source_ready: true,
        }
    }

    /// Begins an operation; any other one is given up.
    pub(super) fn begin(&mut self, now_ns: u64, outcome: Outcome) {
        let done_ns = now_ns.saturating_add(self.delay_ns);
        self.current = Some(Operation { outcome, done_ns });
    }

    /// Gives up the operation in progress.
    pub(super) fn give_up(&mut self) {
        self.current = None;
    }

    /// Whether an operation is in progress.
    pub(super) fn is_busy(&self) -> bool {
        self.current.is_some()
    }

    /// The operation in progress as the status register knows it.
    pub(super) fn kind(&self) -> Option<chmu::Operation> {
        self.current
            .as_ref()
            .map(|operation| match operation.outcome {
                Outcome::Enable(..) => chmu::Operation::Enable,
                Outcome::Disable => chmu::Operation::Disable,
                Outcome::Reset => chmu::Operation::Reset,
            })
    }

    /// Whether an enable is in progress.
    pub(super) fn is_enabling(&self) -> bool {
        self.kind() == Some(chmu::Operation::Enable)
    }

    /// When the operation in progress is complete. An enable is not while the source of accesses
    /// is not ready: nobody knows when it will be.
    pub(super) fn done_ns(&self) -> Option<u64> {
        let waits = self.is_enabling() && !self.source_ready;
        let operation = self.current.as_ref().filter(|_| !waits);
        operation.map(|operation| operation.done_ns)
    }

    /// Takes note of whether the source of accesses reports all of them.
    pub(super) fn set_source_ready(&mut self, now_ns: u64, ready: bool) {
        let becomes_ready = ready && !self.source_ready;
        if becomes_ready
            && self.is_enabling()
            && let Some(operation) = &mut self.current
        {
            operation.done_ns = operation.done_ns.max(now_ns);
        }
        self.source_ready = ready;
    }

    /// Ends the operation that is complete at `now_ns`; gives when it was and what happens.
    pub(super) fn complete(&mut self, now_ns: u64) -> Option<(u64, Outcome)> {
        self.done_ns().filter(|done_ns| *done_ns <= now_ns)?;
        let operation = self.current.take()?;
        Some((operation.done_ns, operation.outcome))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_complete_after_the_delay() {
        let mut operations = Operations::new(5);
        assert!(!operations.is_busy());
        operations.begin(10, Outcome::Disable);
        assert_eq!(operations.kind(), Some(chmu::Operation::Disable));
        assert_eq!(operations.done_ns(), Some(15));
        assert!(operations.complete(14).is_none());
        let (done_ns, outcome) = operations.complete(100).unwrap();
        assert!(matches!((done_ns, outcome), (15, Outcome::Disable)));
        assert!(!operations.is_busy());
    }

    #[test]
    fn a_later_operation_replaces_the_one_in_progress() {
        let mut operations = Operations::new(5);
        operations.begin(10, Outcome::Disable);
        operations.begin(12, Outcome::Reset);
        assert_eq!(operations.kind(), Some(chmu::Operation::Reset));
        assert_eq!(operations.done_ns(), Some(17));
        operations.give_up();
        assert!(operations.complete(100).is_none());
    }

    #[test]
    fn only_an_enable_waits_for_the_source_of_accesses() {
        let mut operations = Operations::new(5);
        operations.set_source_ready(0, false);
        operations.begin(10, Outcome::Disable);
        assert_eq!(operations.done_ns(), Some(15));
    }

    #[test]
    fn an_operation_at_the_end_of_time_does_not_wrap() {
        let mut operations = Operations::new(5);
        operations.begin(u64::MAX, Outcome::Reset);
        assert_eq!(operations.done_ns(), Some(u64::MAX));
    }
}
