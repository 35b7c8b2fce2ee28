// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the suite needs of a device and of the path to it.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use chmu_driver::transport::Transport;
use chmu_spec::address::Dpa;
use chmu_spec::request::AccessKind;

/// A device under test.
pub trait Subject: Debug {
    /// The path to it, as `--transport` names it.
    fn path(&self) -> &'static str;

    /// Its registers and interrupts.
    fn transport(&self) -> &dyn Transport;

    /// The same, for whoever stands between it and the cases.
    fn shared_transport(&self) -> Arc<dyn Transport>;

    /// Something that accesses its memory; none on a path that cannot.
    fn traffic(&mut self) -> Option<&mut dyn Traffic>;

    /// Bytes of the device's memory that its decoders show to the host; 0 where that is unknown.
    fn memory_bytes(&self) -> u64;

    /// Whether somebody's memory is behind the device's HDM decoders, so that no case may write to these.
    fn keeps_decoders(&self) -> bool;

    /// Lets `time` pass on the device's clock.
    ///
    /// # Errors
    /// When the path fails.
    fn pass_time(&mut self, time: Duration) -> anyhow::Result<()>;

    /// Whether time passes in [`Subject::pass_time`] only, so that no epoch ends by itself.
    fn has_manual_clock(&self) -> bool;

    /// Where the device's clock stands, if that runs by itself and this process knows; else it is
    /// taken to run as fast as the clock of this machine.
    fn clock(&self) -> Option<Duration> {
        None
    }

    /// Resets the function (FLR). `Ok(false)` where the path cannot.
    ///
    /// # Errors
    /// When the path fails.
    fn reset_function(&mut self) -> anyhow::Result<bool>;
}

/// One request to the device's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Where.
    pub dpa: Dpa,
    /// Read or write.
    pub kind: AccessKind,
    /// From a trusted execution environment.
    pub tee: bool,
}

/// Something that accesses the device's memory.
pub trait Traffic: Debug {
    /// The device physical addresses that it reaches, ascending, with or without TEE requests.
    fn reachable(&self, tee: bool) -> &[Range<Dpa>];

    /// Whether each request reaches the device exactly once and nothing else does. Caches and other
    /// programs make real processors inexact.
    fn is_exact(&self) -> bool;

    /// Performs the requests in order; when it returns, the device has them all.
    ///
    /// # Errors
    /// When the path fails.
    fn perform(&mut self, requests: &[Request]) -> anyhow::Result<()>;
}
