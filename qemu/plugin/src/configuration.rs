// SPDX-License-Identifier: GPL-2.0-or-later
//! What is reported to whom, and since when.

use std::sync::Arc;
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

/// A device that is armed.
#[derive(Debug, Clone)]
pub(crate) struct Armed {
    /// Its number.
    pub(crate) device: usize,
    /// What it wants to hear of.
    pub(crate) windows: Arc<[Window]>,
    /// The version of the configuration that began with it.
    since: u64,
}

impl Armed {
    /// Whether the device wants to hear of this address.
    pub(crate) fn hears_of(&self, address: Hpa) -> bool {
        self.windows.iter().any(|window| window.contains(address))
    }
}

/// What is in effect. Each vCPU adopts it before its next access.
#[derive(Debug)]
pub(crate) struct Configuration {
    /// Counts the changes.
    version: u64,
    /// The version that began with empty caches, because nothing was looked at before.
    cold_since: u64,
    in_effect: Vec<InEffect>,
    armed: Vec<Armed>,
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
            armed: Vec::new(),
            instrumentation: Instrumentation::Nothing,
            idle_since: None,
        }
    }

    /// Puts into effect what the devices wish, whose windows are given in the same order.
    /// `instrumentation` is what the guest has from now on.
    pub(crate) fn change<'a>(
        &mut self,
        wishes: Vec<InEffect>,
        windows: impl Iterator<Item = &'a Arc<[Window]>>,
        instrumentation: Instrumentation,
        now: Instant,
    ) {
        self.version += 1;
        if instrumentation != self.instrumentation {
            self.cold_since = self.version;
        }
        let mut armed = Vec::new();
        for (device, (wish, windows)) in wishes.iter().zip(windows).enumerate() {
            if is_armed(wish) {
                let is_as_before = self.in_effect.get(device) == Some(wish);
                let mut before = self.armed.iter();
                let before = before.find(|armed| is_as_before && armed.device == device);
                armed.push(Armed {
                    device,
                    windows: Arc::clone(windows),
                    since: before.map_or(self.version, |armed| armed.since),
                });
            }
        }
        let is_idle = instrumentation == Instrumentation::Accesses && armed.is_empty();
        self.idle_since = is_idle.then(|| self.idle_since.unwrap_or(now));
        self.instrumentation = instrumentation;
        self.armed = armed;
        self.in_effect = wishes;
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn in_effect(&self) -> &[InEffect] {
        &self.in_effect
    }

    pub(crate) fn armed(&self) -> &[Armed] {
        &self.armed
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
        self.was_blind_since(version) || self.armed.iter().any(|armed| armed.since > version)
    }

    /// Whether a line must not be held any more since `version`: a device that began to hear of
    /// its memory hears of the first access to each line. What another device hears of already stays.
    pub(crate) fn empties_line_since(&self, line_address: u64, version: u64) -> bool {
        let mut begins = false;
        for armed in &self.armed {
            if armed.hears_of(Hpa(line_address)) {
                if armed.since <= version {
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
