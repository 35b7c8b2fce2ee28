// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The device as a client of vfio sees it: regions, vectors, messages.

use std::fmt::Display;

use chmu_cxl::{Function, Interrupts, Region as FunctionRegion};
use vfio_bindings::bindings::vfio::{
    VFIO_PCI_CONFIG_REGION_INDEX, VFIO_PCI_NUM_REGIONS, VFIO_PCI_ROM_REGION_INDEX,
};
use vmm_sys_util::eventfd::EventFd;

use super::Device;
use crate::outside::Outside;
use crate::register_trace::{Access, Change, MAX_VALUE_BYTES};
use crate::server::{self, AccessRefused, Backend, Command, Region};

/// Bytes of a PCI Express function's configuration space.
const CONFIGURATION_SPACE_BYTES: u64 = 4096;

/// The regions of vfio: BARs 0 to 5, no ROM, configuration space, no VGA.
pub(super) fn regions(function: &Function, outside: &Outside) -> Vec<Region> {
    let bars = function.bars().iter().enumerate();
    let mut regions: Vec<Region> = bars
        .map(|(index, bar)| Region {
            size_bytes: bar.size_bytes,
            mappable_areas: bar.mappable_areas.clone(),
            file: outside.memory_file(index),
        })
        .collect();
    let count = usize::try_from(VFIO_PCI_NUM_REGIONS).unwrap_or_default();
    regions.resize(count, Region::default());
    let config = usize::try_from(VFIO_PCI_CONFIG_REGION_INDEX).unwrap_or_default();
    if let Some(region) = regions.get_mut(config) {
        region.size_bytes = CONFIGURATION_SPACE_BYTES;
    }
    regions
}

/// The function's region behind a region of vfio.
fn function_region(region: u32) -> Result<FunctionRegion, AccessRefused> {
    match region {
        VFIO_PCI_CONFIG_REGION_INDEX => Ok(FunctionRegion::Config),
        bar if bar < VFIO_PCI_ROM_REGION_INDEX => u8::try_from(bar)
            .map(FunctionRegion::Bar)
            .map_err(|_| AccessRefused),
        _ => Err(AccessRefused),
    }
}

impl Device {
    /// What lies where an access goes, for the trace; none without a trace, and where looking
    /// would be an access of its own.
    fn look(&mut self, access: &Access<'_>) -> Option<[u8; MAX_VALUE_BYTES]> {
        self.trace.as_ref()?;
        let bytes = access.data.len();
        let is_plain = bytes.is_power_of_two()
            && u64::try_from(bytes).is_ok_and(|bytes| access.offset.is_multiple_of(bytes));
        let mut content = [0; MAX_VALUE_BYTES];
        let data = content
            .get_mut(..bytes)
            .filter(|_| is_plain && !self.reads_change)?;
        let (now_ns, region, offset) = (access.now_ns, access.region, access.offset);
        self.function
            .read(now_ns, region, offset, data, &mut self.outside);
        Some(content)
    }
}

impl Backend for Device {
    fn regions(&self) -> &[Region] {
        &self.regions
    }

    fn interrupts(&self) -> server::Interrupts {
        match self.interrupts {
            Interrupts::None => server::Interrupts::default(),
            Interrupts::Msi(msi) => server::Interrupts { msi, msi_x: 0 },
            Interrupts::MsiX(msi_x) => server::Interrupts { msi: 0, msi_x },
        }
    }

    fn read(&mut self, region: u32, offset: u64, data: &mut [u8]) -> Result<(), AccessRefused> {
        let region = function_region(region)?;
        let now_ns = self.catch_up();
        self.function
            .read(now_ns, region, offset, data, &mut self.outside);
        if let Some(trace) = &mut self.trace {
            trace.read(Access {
                now_ns,
                region,
                offset,
                data,
            });
            self.trace_notes(now_ns);
        }
        Ok(())
    }

    fn write(&mut self, region: u32, offset: u64, data: &[u8]) -> Result<(), AccessRefused> {
        let region = function_region(region)?;
        // What waits in the rings was made before this write, whatever the write changes.
        let now_ns = self.catch_up();
        let access = Access {
            now_ns,
            region,
            offset,
            data,
        };
        let old = self.look(&access);
        self.function
            .write(now_ns, region, offset, data, &mut self.outside);
        self.arm();
        let new = self.look(&access);
        if let Some(trace) = &mut self.trace {
            trace.write(access, old.zip(new).map(|(old, new)| Change { old, new }));
            self.trace_notes(now_ns);
        }
        Ok(())
    }

    fn reset(&mut self) {
        let now_ns = self.catch_up();
        if let Some(trace) = &mut self.trace {
            trace.client(now_ns, "resets the device");
        }
        self.function.reset(&mut self.outside);
        self.arm();
        self.trace_notes(now_ns);
    }

    fn connect_vector(&mut self, vector: u16, event: Option<EventFd>) {
        self.outside.vectors.connect(vector, event);
    }

    fn trigger_vector(&mut self, vector: u16) {
        self.outside.vectors.raise(vector);
    }

    fn message_handled(&mut self, command: Command, refusal: Option<&dyn Display>) {
        if let (Some(trace), Some(refusal)) = (&mut self.trace, refusal) {
            let text = format!("asks for {} and is refused: {refusal}", command.name());
            trace.client(self.clock.now_ns(), &text);
        }
        let count = self.messages.entry(command.name()).or_default();
        count.handled += 1;
        if refusal.is_some() {
            count.refused += 1;
        }
    }

    fn client_arrived(&mut self, peer: &dyn Display) {
        if let Some(trace) = &mut self.trace {
            trace.client(self.clock.now_ns(), &format!("{peer} is connected"));
        }
        self.clients.served += 1;
        self.clients.connected = true;
    }

    fn client_left(&mut self) {
        if let Some(trace) = &mut self.trace {
            trace.client(self.clock.now_ns(), "is gone");
        }
        self.clients.connected = false;
        self.outside.vectors.disconnect_all();
    }
}
