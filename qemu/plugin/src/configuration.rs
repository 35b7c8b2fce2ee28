// SPDX-License-Identifier: GPL-2.0-or-later
//! What is reported to whom, and since when.

use std::time::Instant;

use chmu_ring::{Arming, Hpa, Window};

/// What a device asked for when that was last put into effect; `None` for one that is gone.
pub(crate) type InEffect = Option<Arming>;

/// How much of the guest is instrumented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Instrumentation {
    /// Memory accesses are looked at, and changes of the devices' wishes looked for.
    Accesses,
    /// Only changes of the devices' wishes are looked for.
    Wishes,
    /// No device is left.
    Nothing,
}

/// A window whose accesses are reported, and the device they are reported to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReportedWindow {
    pub(crate) window: Window,
    pub(crate) device: usize,
    /// The version of the configuration that began with it.
    since: u64,
}

/// What is in effect. Each vCPU adopts it before its next access.
#[derive(Debug)]
pub(crate) struct Configuration {
    /// Counts the changes.
    version: u64,
    /// The version that began with empty caches, because nothing was looked at before.
    cold_since: u64,
    in_effect: Vec<InEffect>,
    reported: Vec<ReportedWindow>,
    instrumentation: Instrumentation,
    /// Since when accesses are looked at for nobody.
    idle_since: Option<Instant>,
}

impl Configuration {
    /// Nothing is in effect for any device.
    pub(crate) fn new() -> Self {
        Self {
            version: 0,
            cold_since: 0,
            in_effect: Vec::new(),
            reported: Vec::new(),
            instrumentation: Instrumentation::Nothing,
            idle_since: None,
        }
    }

    /// Puts into effect what the devices wish, whose windows are given in the same order.
    /// `instrumentation` is what the guest has from now on.
    pub(crate) fn change<'a>(
        &mut self,
        wishes: Vec<InEffect>,
        windows: impl Iterator<Item = &'a [Window]>,
        instrumentation: Instrumentation,
        now: Instant,
    ) {
        self.version += 1;
        if instrumentation != self.instrumentation {
            self.cold_since = self.version;
        }
        let mut reported = Vec::new();
        for (device, (wish, windows)) in wishes.iter().zip(windows).enumerate() {
            if !is_armed(wish) {
                continue;
            }
            let before = self.in_effect.get(device);
            let before = self
                .reported
                .iter()
                .find(|window| window.device == device && before == Some(wish));
            let since = before.map_or(self.version, |window| window.since);
            reported.extend(windows.iter().map(|window| ReportedWindow {
                window: *window,
                device,
                since,
            }));
        }
        let is_idle = instrumentation == Instrumentation::Accesses && reported.is_empty();
        self.idle_since = is_idle.then(|| self.idle_since.unwrap_or(now));
        self.instrumentation = instrumentation;
        self.reported = reported;
        self.in_effect = wishes;
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn in_effect(&self) -> &[InEffect] {
        &self.in_effect
    }

    pub(crate) fn reported(&self) -> &[ReportedWindow] {
        &self.reported
    }

    pub(crate) fn instrumentation(&self) -> Instrumentation {
        self.instrumentation
    }

    /// Since when accesses are looked at for nobody.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        self.idle_since
    }

    /// Whether there was a time since `version` in which accesses, and changes of translations, went
    /// unseen.
    pub(crate) fn was_blind_since(&self, version: u64) -> bool {
        self.cold_since > version
    }

    /// Whether there are lines that caches must not hold any more since `version`.
    pub(crate) fn empties_since(&self, version: u64) -> bool {
        self.was_blind_since(version) || self.reported.iter().any(|window| window.since > version)
    }

    /// Whether a line must not be held any more since `version`: a device that began to hear of
    /// its memory hears of the first access to each line. What another device hears of already stays.
    pub(crate) fn empties_line_since(&self, line_address: u64, version: u64) -> bool {
        let mut begins = false;
        for reported in &self.reported {
            if reported.window.contains(Hpa(line_address)) {
                if reported.since <= version {
                    return self.was_blind_since(version);
                }
                begins = true;
            }
        }
        begins || self.was_blind_since(version)
    }
}

/// What the devices' wishes need.
pub(crate) fn needed(wishes: &[InEffect]) -> Instrumentation {
    if wishes.iter().any(is_armed) {
        Instrumentation::Accesses
    } else if wishes.iter().any(Option::is_some) {
        Instrumentation::Wishes
    } else {
        Instrumentation::Nothing
    }
}

fn is_armed(in_effect: &InEffect) -> bool {
    in_effect.is_some_and(|arming| arming.is_armed())
}
