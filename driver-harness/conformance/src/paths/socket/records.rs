// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Traffic as records in the rings of a device process.

use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use chmu_driver::translation::Translation;
use chmu_driver::transport::socket::SocketTransport;
use chmu_driver::transport::{Transport, Width};
use chmu_ring::RingProducer;
use chmu_spec::access::Access;
use chmu_spec::address::{Dpa, Hpa};
use chmu_spec::interleave::{DecoderWindow, Share};
use chmu_spec::request::AccessKind;

use super::producer::Producer;
use crate::subject::{Request, Traffic};

/// Records of host physical addresses, which the device translates back.
///
/// In an interleaved window each access has a twin that belongs to the next device: what the device
/// counts of those is wrong.
#[derive(Debug)]
pub(super) struct RecordTraffic {
    transport: Arc<SocketTransport>,
    producer: Arc<Producer>,
    ring: RingProducer,
    translation: Translation,
    /// What traffic reaches by requests that are none of a TEE, and by those that are.
    reachable: [Vec<Range<Dpa>>; 2],
}

impl RecordTraffic {
    /// Traffic through the first ring of `producer`. What is accessed through windows of these numbers is accessed
    /// by TEE requests.
    ///
    /// # Errors
    /// When there is no window of such a number.
    pub(super) fn new(
        producer: Arc<Producer>,
        ring: RingProducer,
        transport: Arc<SocketTransport>,
        translation: Translation,
        tee_windows: &[u8],
    ) -> Result<Self> {
        let ranges = translation.dpa_ranges();
        if let Some(number) = tee_windows
            .iter()
            .find(|number| usize::from(**number) >= ranges.len())
        {
            bail!(
                "There is no window {number} that TEE requests could go through; the device has {}",
                ranges.len()
            );
        }
        let mut reachable = [Vec::new(), Vec::new()];
        for (number, range) in (0..).zip(ranges) {
            reachable[usize::from(tee_windows.contains(&number))].push(range);
        }
        Ok(Self {
            transport,
            producer,
            ring,
            translation,
            reachable,
        })
    }

    fn push(&mut self, hpa: Hpa, kind: AccessKind) -> Result<()> {
        let record = Access::new(hpa, kind, false);
        // A device that does not listen has nothing to count.
        ensure!(
            self.ring.push(record) || !self.producer.is_armed(),
            "The device does not take accesses from its ring"
        );
        Ok(())
    }
}

/// The address of the access and, in an interleaved window, that of its twin, which is half of the memory away: a device
/// that takes it for its own lists a unit that nobody accessed.
fn addresses(window: &DecoderWindow, dpa: Dpa) -> Option<(Hpa, Option<Hpa>)> {
    let own = window.hpa(dpa)?;
    let ways = window.interleave.ways();
    let share_bytes = window.size_bytes / u64::from(ways);
    let twin = || {
        let away = dpa.0 - window.dpa_base.0 + share_bytes / 2;
        let offset = window.interleave.join(Share {
            position: (window.position + 1) % ways,
            dpa_offset: away.checked_rem(share_bytes)?,
        })?;
        Some(Hpa(window.base.0.checked_add(offset)?))
    };
    Some((own, if ways > 1 { twin() } else { None }))
}

impl Traffic for RecordTraffic {
    fn reachable(&self, tee: bool) -> &[Range<Dpa>] {
        &self.reachable[usize::from(tee)]
    }

    fn is_exact(&self) -> bool {
        true
    }

    fn perform(&mut self, requests: &[Request]) -> Result<()> {
        for Request { dpa, kind, .. } in requests {
            let windows = self.translation.windows().iter();
            let (own, twin) = windows
                .copied()
                .find_map(|window| addresses(&window, *dpa))
                .with_context(|| format!("No window shows DPA {dpa}"))?;
            self.push(own, *kind)?;
            if let Some(twin) = twin {
                self.push(twin, *kind)?;
            }
        }
        // The device takes what waits in its rings before it answers.
        self.transport.read_config(0, Width::Four)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chmu_spec::interleave::Interleave;

    #[test]
    fn the_twin_of_the_last_position_is_the_first() {
        let window = DecoderWindow {
            base: Hpa(1 << 32),
            size_bytes: 4 << 28,
            interleave: Interleave::new(4, 1024).unwrap(),
            position: 3,
            dpa_base: Dpa(1 << 28),
        };
        let found = addresses(&window, Dpa((1 << 28) + 1024 + 64));
        let own = Hpa((1 << 32) + 4096 + 3072 + 64);
        let half = 4 << 27;
        assert_eq!(found, Some((own, Some(Hpa((1 << 32) + half + 4096 + 64)))));
        let found = addresses(&window, Dpa((1 << 29) - 1024));
        let twin = found.and_then(|(_, twin)| twin);
        assert_eq!(twin, Some(Hpa((1 << 32) + half - 4096)), "round the end");
        assert_eq!(addresses(&window, Dpa(0)), None);
        let alone = DecoderWindow {
            interleave: Interleave::NONE,
            position: 0,
            ..window
        };
        let found = addresses(&alone, Dpa(1 << 28));
        assert_eq!(found, Some((Hpa(1 << 32), None)));
    }
}
