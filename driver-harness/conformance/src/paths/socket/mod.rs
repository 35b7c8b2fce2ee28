// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A device process without a virtual machine: registers through its vfio-user socket, traffic
//! through its access socket, time through its clock socket.

mod clock;
mod producer;
mod records;

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use chmu_driver::device::identify;
use chmu_driver::translation::{Translation, TranslationError, decoders};
use chmu_driver::transport::Transport;
use chmu_driver::transport::socket::SocketTransport;
use chmu_spec::cxl::dvsec::block_id;

use self::clock::ManualClock;
use self::producer::{AnsweredTransport, Producer};
use self::records::RecordTraffic;
use crate::subject::{Subject, Traffic};

/// Where a device process listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sockets {
    /// Its vfio-user clients.
    pub device: PathBuf,
    /// Its producer of accesses; without it there is no traffic.
    pub access: Option<PathBuf>,
    /// Whoever moves its manual clock; without it the clock runs by itself.
    pub clock: Option<PathBuf>,
    /// The device's position in interleaved windows, which its registers do not tell; needed where there are some.
    pub position: Option<u8>,
    /// Numbers of the windows, in the order of the HDM decoders, that are accessed by TEE requests only; no register
    /// tells.
    pub tee_windows: Vec<u8>,
    /// Nothing of the device is changed, not even to have it answer or interrupt.
    pub read_only: bool,
}

/// A device process under test.
#[derive(Debug)]
pub struct SocketSubject {
    transport: Arc<AnsweredTransport>,
    traffic: Option<RecordTraffic>,
    clock: Option<ManualClock>,
    memory_bytes: u64,
}

impl SocketSubject {
    /// Connects to a device process.
    ///
    /// # Errors
    /// When it does not listen, or its decoders cannot be read while traffic needs them.
    pub fn connect(sockets: &Sockets) -> Result<Self> {
        let transport = Arc::new(match sockets.read_only {
            true => SocketTransport::connect_to_read(&sockets.device)?,
            false => SocketTransport::connect(&sockets.device)?,
        });
        let translation = read_decoders(&*transport, sockets.position);
        let memory_bytes = translation.as_ref().map_or(0, Translation::end);
        let mut producer = None;
        let mut traffic = None;
        if let Some(path) = &sockets.access {
            let translation = translation
                .context("Traffic needs the device's HDM decoders, which cannot be used")?;
            let connected = Producer::connect(path);
            let (connected, ring) =
                connected.with_context(|| format!("Cannot send accesses to {}", path.display()))?;
            let connected = Arc::new(connected);
            producer = Some(Arc::clone(&connected));
            let registers = Arc::clone(&transport);
            let tee_windows = &sockets.tee_windows;
            let made = RecordTraffic::new(connected, ring, registers, translation, tee_windows)?;
            traffic = Some(made);
        }
        let clock = sockets.clock.as_deref().map(ManualClock::connect);
        Ok(Self {
            transport: Arc::new(AnsweredTransport {
                transport,
                producer,
            }),
            traffic,
            clock: clock.transpose()?,
            memory_bytes,
        })
    }
}

fn read_decoders(
    transport: &dyn Transport,
    position: Option<u8>,
) -> Result<Translation, TranslationError> {
    let places = identify(transport)?.places(block_id::COMPONENT);
    let Some(component) = places.first() else {
        return Err(TranslationError::NoDecoders {
            device: transport.device().to_owned(),
        });
    };
    decoders::read(transport, *component, |window| {
        let ways = window.interleave.ways();
        let refused = |reason| TranslationError::Decoder {
            decoder: format!("The window at {} of {}", window.base, transport.device()),
            reason,
        };
        match position {
            _ if ways == 1 => Ok(0),
            Some(position) if position < ways => Ok(position),
            Some(position) => Err(refused(format!(
                "is interleaved {ways} ways, so that there is no position {position}; --position is {} at most",
                ways - 1
            ))),
            // Accesses of another device would be made, and this one accused of not counting them.
            None => Err(refused(
                "is interleaved, and which of its devices this one is no register tells; say it with --position"
                    .to_owned(),
            )),
        }
    })
}

impl Subject for SocketSubject {
    fn path(&self) -> &'static str {
        "socket"
    }

    fn transport(&self) -> &dyn Transport {
        &*self.transport
    }

    fn shared_transport(&self) -> Arc<dyn Transport> {
        Arc::clone(&self.transport) as Arc<dyn Transport>
    }

    fn traffic(&mut self) -> Option<&mut dyn Traffic> {
        let traffic = self.traffic.as_mut()?;
        Some(traffic)
    }

    fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    fn keeps_decoders(&self) -> bool {
        false
    }

    fn pass_time(&mut self, time: Duration) -> Result<()> {
        match &mut self.clock {
            Some(clock) => clock.advance(time),
            None => {
                thread::sleep(time);
                Ok(())
            }
        }
    }

    fn has_manual_clock(&self) -> bool {
        self.clock.is_some()
    }

    fn reset_function(&mut self) -> Result<bool> {
        Ok(self.transport.reset()?)
    }
}
