// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The machine around a driver: a device process, what a hypervisor and a kernel do for the driver,
//! accesses to the device's memory, and time.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result, ensure};
use chmu_ring::{Access, Hpa, Producer, RingProducer};
use chmu_tests::device_process::DeviceProcess;
use chmu_tests::raw_client::{REPLY_TIMEOUT, RawClient, command, words};

use crate::monitor::{self, BASE};

/// Region number of configuration space.
const CONFIGURATION: u32 = 7;
/// Bytes that are accessed at a time where nothing else is said.
pub(super) const UNIT_BYTES: u64 = 4096;

/// A base address register as a guest sees it.
#[derive(Debug)]
struct Bar {
    /// What a hypervisor maps into the guest: accesses there never come to the device.
    mapped: Vec<Range<u64>>,
    file: Option<File>,
}

/// The machine.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) device: DeviceProcess,
    client: RawClient,
    bars: Vec<Bar>,
    producer: Producer,
    ring: RingProducer,
    clock: BufReader<UnixStream>,
}

impl Machine {
    /// Starts a device whose clock moves by hand, and attaches everything to it.
    pub(super) fn start(arguments: &[&str]) -> Result<Self> {
        let device = DeviceProcess::start_with_manual_clock(arguments)?;
        let mut client = device.client()?;
        let bars = (0..6).map(|index| bar(&mut client, index));
        let bars = bars.collect::<Result<_>>()?;
        let mut producer = Producer::connect(device.access_socket())?;
        let ring = producer.ring(0)?;
        let clock = UnixStream::connect(device.clock_socket())?;
        clock.set_read_timeout(Some(REPLY_TIMEOUT))?;
        Ok(Self {
            device,
            client,
            bars,
            producer,
            ring,
            clock: BufReader::new(clock),
        })
    }

    /// Connects an MSI-X message.
    pub(super) fn connect_message(&mut self, message: u32) -> Result<File> {
        monitor::connect_message(&mut self.client, message)
    }

    /// Blocks of registers with this id, as the Register Locator has them: BAR and offset.
    pub(super) fn blocks(&mut self, id: u32) -> Result<Vec<(u32, u64)>> {
        let (dvsec, cxl, locator) = (0x23, 0x1e98, 8);
        let mut at = 0x100;
        let mut blocks = Vec::new();
        while at != 0 {
            let header = self.configuration(at)?;
            let vendor_and_length = self.configuration(at + 4)?;
            let is_locator = header & 0xffff == dvsec
                && vendor_and_length & 0xffff == cxl
                && self.configuration(at + 8)? & 0xffff == locator;
            if is_locator {
                let end = at + u64::from(vendor_and_length >> 20);
                for entry in (at + 0xc..end).step_by(8) {
                    let low = self.configuration(entry)?;
                    let high = self.configuration(entry + 4)?;
                    if low >> 8 & 0xff == id {
                        let offset = u64::from(high) << 32 | u64::from(low & 0xffff_0000);
                        blocks.push((low & 7, offset));
                    }
                }
            }
            at = u64::from(header >> 20);
        }
        Ok(blocks)
    }

    fn configuration(&mut self, offset: u64) -> Result<u32> {
        let bytes = self.client.read_region(CONFIGURATION, offset, 4)?;
        let bytes = <[u8; 4]>::try_from(bytes).ok();
        Ok(u32::from_le_bytes(
            bytes.context("four bytes were asked for")?,
        ))
    }

    /// A load of the guest.
    pub(super) fn load(&mut self, bar: u32, offset: u64, width: usize) -> Result<u64> {
        let mut bytes = [0; 8];
        match self.mapped(bar, offset, width) {
            Some(file) => file.read_exact_at(&mut bytes[..width], offset)?,
            None => {
                let count = u32::try_from(width)?;
                let read = self.client.read_region(bar, offset, count)?;
                bytes[..width].copy_from_slice(&read);
            }
        }
        Ok(u64::from_le_bytes(bytes))
    }

    /// A store of the guest.
    pub(super) fn store(&mut self, bar: u32, offset: u64, width: usize, value: u64) -> Result<()> {
        let bytes = &value.to_le_bytes()[..width];
        match self.mapped(bar, offset, width) {
            Some(file) => Ok(file.write_all_at(bytes, offset)?),
            None => self.client.write_region(bar, offset, bytes),
        }
    }

    fn mapped(&self, bar: u32, offset: u64, width: usize) -> Option<&File> {
        let bar = &self.bars[bar as usize];
        let end = offset + width as u64;
        let inside = |area: &Range<u64>| area.start <= offset && end <= area.end;
        bar.file.as_ref().filter(|_| bar.mapped.iter().any(inside))
    }

    /// Reads a page of the device's memory `count` times.
    pub(super) fn touch(&mut self, page: u64, count: u64) {
        for line in 0..count {
            let address = BASE + page * UNIT_BYTES + line % 64 * 64;
            assert!(
                self.ring.push(Access::read(Hpa(address))),
                "the ring is full"
            );
        }
    }

    /// Lets time pass; the producer does first what the device last asked of it.
    pub(super) fn pass(&mut self, nanoseconds: u64) -> Result<()> {
        self.producer.acknowledge(self.producer.arming());
        writeln!(self.clock.get_mut(), "advance {nanoseconds}")?;
        let mut answer = String::new();
        self.clock.read_line(&mut answer)?;
        ensure!(answer.starts_with("now "), "the clock answers {answer:?}");
        Ok(())
    }

    /// Requests that an instance has counted.
    pub(super) fn counted(&self, block: usize, instance: u64) -> Result<u64> {
        let statistics = self.device.statistics()?;
        let pointer = format!("/blocks/{block}/{instance}/requests_counted");
        let counted = statistics
            .pointer(&pointer)
            .and_then(|value| value.as_u64());
        counted.with_context(|| format!("there is no {pointer} in {statistics:#}"))
    }
}

fn bar(client: &mut RawClient, index: u32) -> Result<Bar> {
    let room_for_capabilities = 4096;
    let mut request = words(&[room_for_capabilities, 0, index, 0]);
    request.resize(32, 0);
    let reply = client.call(command::DEVICE_GET_REGION_INFO, &request)?;
    let mut reply = reply.success()?;
    let file = reply.files.pop();
    let mut mapped = Vec::new();
    if file.is_some() {
        let capability = reply.u32_at(12) as usize;
        for area in 0..reply.u32_at(capability + 8) as usize {
            let start = reply.u64_at(capability + 16 + 16 * area);
            mapped.push(start..start + reply.u64_at(capability + 24 + 16 * area));
        }
        ensure!(
            reply.u64_at(24) == 0,
            "the file starts inside of the region"
        );
    }
    Ok(Bar { mapped, file })
}
