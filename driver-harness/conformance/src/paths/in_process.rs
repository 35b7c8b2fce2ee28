// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The model in this process: exact traffic, a clock that only moves by hand, microseconds a case;
//! or in other [`Surroundings`].

mod front;
mod parts;
mod surroundings;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use chmu_cxl::{
    ConfigError, DEFAULT_HDM_DECODERS, DecoderConfig, FunctionConfig, Interrupts, Performance,
    Profile,
};
use chmu_driver::transport::Transport;
use chmu_driver::transport::in_process::InProcessDevice;
use chmu_model::{Capabilities, QuirkSet};
use chmu_spec::access::Access;
use chmu_spec::address::{Dpa, Hpa};

use crate::subject::{Request, Subject, Traffic};

pub use front::{Front, Fronted};
pub use parts::{Parts, part};
pub use surroundings::{Clock, Others, Pace, Stalls, Surroundings};

/// Where the first window lies; the others follow.
const WINDOW_BASE: u64 = 1 << 32;
const GIB: u64 = 1 << 30;

/// A device of the suite's own making.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Model {
    /// What its instances can do.
    pub profile: Profile,
    /// Devices that share its windows; it is the second of several.
    pub ways: u8,
    /// The rules it breaks.
    pub quirks: QuirkSet,
}

impl Model {
    /// One device on its own that breaks no rule.
    pub const fn new(profile: Profile) -> Self {
        Self {
            profile,
            ways: 1,
            quirks: QuirkSet::NONE,
        }
    }

    fn config(self) -> FunctionConfig {
        FunctionConfig {
            quirks: self.quirks,
            ..function_config(self.profile.blocks(), self.profile.interrupts(), self.ways)
        }
    }
}

/// A function with these blocks: two windows of 1 GiB of its memory, the second one with TEE requests,
/// each shared by so many devices.
pub fn function_config(
    blocks: Vec<Vec<Capabilities>>,
    interrupts: Interrupts,
    ways: u8,
) -> FunctionConfig {
    let decoder = |number: u64| DecoderConfig {
        base: Hpa(WINDOW_BASE + number * u64::from(ways) * GIB),
        size_bytes: u64::from(ways) * GIB,
        ways,
        granularity_bytes: 1024,
        position: ways.min(2) - 1,
        dpa_skip_bytes: 0,
        tee: number == 1,
    };
    FunctionConfig {
        serial_number: 0xc4a0_0000_0000_0001,
        capacity_bytes: 2 * GIB,
        performance: Performance::default(),
        hdm_decoders: DEFAULT_HDM_DECODERS,
        decoders: vec![decoder(0), decoder(1)],
        blocks,
        interrupts,
        quirks: QuirkSet::NONE,
    }
}

/// A model as a device under test.
#[derive(Debug)]
pub struct InProcessSubject {
    device: Arc<Fronted>,
    traffic: ModelTraffic,
    memory_bytes: u64,
    resets: bool,
}

impl InProcessSubject {
    /// Powers a model on.
    ///
    /// # Errors
    /// When the profile does not make a possible device.
    pub fn new(model: Model) -> Result<Self, ConfigError> {
        Self::in_surroundings(
            &model.config(),
            Surroundings::default(),
            Box::new(front::Plain),
        )
    }

    /// Powers a device on that is behind `front` on a machine of some kind.
    ///
    /// # Errors
    /// When there is no such device.
    pub fn in_surroundings(
        config: &FunctionConfig,
        surroundings: Surroundings,
        front: Box<dyn Front>,
    ) -> Result<Self, ConfigError> {
        let device = InProcessDevice::new(config)?;
        let device = Arc::new(Fronted::new(device, front, surroundings));
        Ok(Self {
            traffic: ModelTraffic::new(Arc::clone(&device), config),
            memory_bytes: config.capacity_bytes,
            resets: surroundings.resets,
            device,
        })
    }
}

impl Subject for InProcessSubject {
    fn path(&self) -> &'static str {
        "in-process"
    }

    fn transport(&self) -> &dyn Transport {
        &*self.device
    }

    fn shared_transport(&self) -> Arc<dyn Transport> {
        Arc::clone(&self.device) as Arc<dyn Transport>
    }

    fn traffic(&mut self) -> Option<&mut dyn Traffic> {
        Some(&mut self.traffic)
    }

    fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    fn keeps_decoders(&self) -> bool {
        false
    }

    fn pass_time(&mut self, time: Duration) -> Result<()> {
        self.device.pause(time);
        Ok(())
    }

    fn has_manual_clock(&self) -> bool {
        self.device.surroundings().clock == Clock::ByHand
    }

    fn clock(&self) -> Option<Duration> {
        Some(self.device.now())
    }

    fn reset_function(&mut self) -> Result<bool> {
        Ok(self.resets && self.device.reset()?)
    }
}

/// Accesses by host physical address, through the device's own decoders.
///
/// In an interleaved window each access has a twin that belongs to the next device: what the device
/// counts of those is wrong.
#[derive(Debug)]
struct ModelTraffic {
    device: Arc<Fronted>,
    windows: Vec<Window>,
    /// Without and with TEE requests.
    reachable: [Vec<Range<Dpa>>; 2],
    accesses: Vec<Access<Hpa>>,
}

/// A decoder, with its arithmetic done here and not by the device.
#[derive(Debug)]
struct Window {
    dpa: Range<Dpa>,
    decoder: DecoderConfig,
}

impl Window {
    fn hpa(&self, dpa: Dpa) -> Hpa {
        self.hpa_of(dpa.0 - self.dpa.start.0, self.decoder.position)
    }

    /// An access of the next device, half of the memory away: a device that takes it for its own lists a unit that
    /// nobody accessed.
    fn twin(&self, dpa: Dpa) -> Option<Hpa> {
        let ways = self.decoder.ways;
        let share_bytes = self.dpa.end.0 - self.dpa.start.0;
        let away = dpa.0 - self.dpa.start.0 + share_bytes / 2;
        (ways > 1).then(|| self.hpa_of(away % share_bytes, (self.decoder.position + 1) % ways))
    }

    fn hpa_of(&self, offset: u64, position: u8) -> Hpa {
        let granularity = u64::from(self.decoder.granularity_bytes);
        let granule = offset / granularity * u64::from(self.decoder.ways) + u64::from(position);
        Hpa(self.decoder.base.0 + granule * granularity + offset % granularity)
    }
}

impl ModelTraffic {
    fn new(device: Arc<Fronted>, config: &FunctionConfig) -> Self {
        let mut start = 0;
        let windows: Vec<_> = config
            .decoders
            .iter()
            .map(|decoder| {
                let end = start + decoder.size_bytes / u64::from(decoder.ways);
                let dpa = Dpa(start)..Dpa(end);
                start = end;
                Window {
                    dpa,
                    decoder: *decoder,
                }
            })
            .collect();
        let reachable = [false, true].map(|tee| {
            let windows = windows.iter().filter(|window| window.decoder.tee == tee);
            let all: Vec<_> = windows.map(|window| window.dpa.clone()).collect();
            device.surroundings().others.leave(all)
        });
        Self {
            device,
            windows,
            reachable,
            accesses: Vec::new(),
        }
    }
}

impl Traffic for ModelTraffic {
    fn reachable(&self, tee: bool) -> &[Range<Dpa>] {
        &self.reachable[usize::from(tee)]
    }

    fn is_exact(&self) -> bool {
        self.device.surroundings().others == Others::NONE
    }

    fn perform(&mut self, requests: &[Request]) -> Result<()> {
        self.accesses.clear();
        for Request { dpa, kind, tee } in requests {
            let window = self
                .windows
                .iter()
                .find(|window| window.dpa.contains(dpa) && window.decoder.tee == *tee)
                .with_context(|| format!("No window reaches DPA {dpa}"))?;
            let addresses = [Some(window.hpa(*dpa)), window.twin(*dpa)].into_iter();
            let accesses = addresses
                .flatten()
                .map(|hpa| Access::new(hpa, *kind, false));
            self.accesses.extend(accesses);
        }
        self.device.make(&self.accesses);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
