// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A PCI function of this machine, a guest or bare metal: registers through VFIO or beside the
//! kernel's driver, traffic by this processor.

mod pages;
mod processor;
mod selection;

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use chmu_driver::device::{Opening, PciFunction, SharedTransport, identify, open_function};
use chmu_driver::translation::{self, Translation};
use chmu_machine::topology::Topology;
use chmu_spec::cxl::dvsec::block_id;

use self::processor::ProcessorTraffic;
use crate::subject::{Subject, Traffic};

pub use self::processor::TrafficOptions;
pub use self::selection::{Path as FunctionPath, SelectionError};

/// Which function, how it is reached, and what traffic there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionOptions {
    /// Where sysfs is.
    pub sysfs: PathBuf,
    /// How registers are reached.
    pub path: FunctionPath,
    /// The function's address or memory device; may be left out where only one fits.
    pub device: Option<String>,
    /// Opens the function also where VFIO resets more than it, see [`Opening::risk_memory_loss`].
    pub risk_memory_loss: bool,
    /// Cases may write to HDM decoders, though memory behind them may be online.
    pub write_decoders: bool,
    /// What traffic there is; none for a run that only reads.
    pub traffic: Option<TrafficOptions>,
}

/// A PCI function under test.
#[derive(Debug)]
pub struct FunctionSubject {
    path: FunctionPath,
    transport: SharedTransport,
    traffic: Option<ProcessorTraffic>,
    memory_bytes: u64,
    keeps_decoders: bool,
}

impl FunctionSubject {
    /// Opens the function and takes some of its memory.
    ///
    /// A function whose memory cannot be used has no traffic; the log says why.
    ///
    /// # Errors
    /// When there is no such function, it is in use, or its registers cannot be reached.
    pub fn open(options: &FunctionOptions) -> Result<Self> {
        let path = options.path;
        let function = selection::select(&options.sysfs, path, options.device.as_deref())?;
        let transport = open_function(
            &function,
            Opening {
                access: Some(path.access()),
                risk_memory_loss: options.risk_memory_loss,
            },
        )?;
        let translation = match translate(&options.sysfs, &function, &transport) {
            Ok(translation) => Some(translation),
            Err(error) => {
                warn_of_no_traffic(&error);
                None
            }
        };
        let memory_bytes = translation.as_ref().map_or(0, Translation::end);
        let traffic = translation
            .zip(options.traffic)
            .and_then(|(translation, wanted)| take(&options.sysfs, translation, wanted));
        Ok(Self {
            path,
            transport,
            traffic,
            memory_bytes,
            keeps_decoders: !options.write_decoders,
        })
    }
}

fn translate(
    sysfs: &Path,
    function: &PciFunction,
    transport: &SharedTransport,
) -> Result<Translation> {
    let components = identify(&**transport)?.places(block_id::COMPONENT);
    let component = components.first().copied();
    let translation = translation::of_function(sysfs, function, &**transport, component);
    translation.context("Where the device's memory appears is unknown")
}

/// Takes memory of the device; where that fails there is no traffic.
fn take(
    sysfs: &Path,
    translation: Translation,
    wanted: TrafficOptions,
) -> Option<ProcessorTraffic> {
    let taken = Topology::read(sysfs)
        .context("The machine's memory nodes are unknown")
        .and_then(|topology| ProcessorTraffic::take(translation, &topology, wanted));
    match taken {
        Ok(traffic) => Some(traffic),
        Err(error) => {
            warn_of_no_traffic(&error);
            None
        }
    }
}

fn warn_of_no_traffic(error: &anyhow::Error) {
    log::warn!("There will be no traffic: {error:#}");
}

impl Subject for FunctionSubject {
    fn path(&self) -> &'static str {
        self.path.name()
    }

    fn transport(&self) -> &dyn chmu_driver::transport::Transport {
        &*self.transport
    }

    fn shared_transport(&self) -> SharedTransport {
        SharedTransport::clone(&self.transport)
    }

    fn traffic(&mut self) -> Option<&mut dyn Traffic> {
        let traffic = self.traffic.as_mut()?;
        Some(traffic)
    }

    fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    fn keeps_decoders(&self) -> bool {
        self.keeps_decoders
    }

    fn pass_time(&mut self, time: Duration) -> Result<()> {
        thread::sleep(time);
        Ok(())
    }

    fn has_manual_clock(&self) -> bool {
        false
    }

    fn reset_function(&mut self) -> Result<bool> {
        Ok(self.transport.reset()?)
    }
}
