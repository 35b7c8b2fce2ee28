// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Configuration space: what the function is and where its registers lie.

mod doe;
mod fields;

#[cfg(test)]
mod tests;

use chmu_spec::cxl::dvsec::{REGISTER_LOCATOR_ENTRIES, cxl_device};
use chmu_spec::doe::register;
use chmu_spec::interleave::DecoderWindow;
use chmu_spec::pci::{CONFIG_SPACE_BYTES, DVSEC_ID, bar, express, header, msi};
use chmu_spec::register::WriteRules;

use crate::bar::Bar;
use crate::behaviour::Behaviour;
use crate::cdat::AttributeTable;
use crate::config::Interrupts;
use crate::msix::MsixPlace;
use crate::register_space::{RegisterSpace, written_bits};

use doe::DataObjectExchange;
use fields::{ERROR_REPORTING_BYTES, EXPRESS_CAPABILITY, Field, INTERRUPT_CAPABILITY};

/// Where CXL.mem is switched on.
const MEM_CONTROL: u64 = fields::DEVICE_DVSEC as u64 + cxl_device::CONTROL as u64;

/// Where MSI is switched on.
const MSI_CONTROL: u64 = INTERRUPT_CAPABILITY as u64 + msi::CONTROL as u64;

/// What configuration space tells of the rest of the function.
#[derive(Debug)]
pub(crate) struct Identity<'a> {
    pub(crate) serial_number: u64,
    pub(crate) interrupts: Interrupts,
    pub(crate) bars: &'a [Bar; 6],
    pub(crate) first_window: &'a DecoderWindow,
    /// What the memory is like.
    pub(crate) attributes: AttributeTable,
    /// Entries of the Register Locator, in their two dwords.
    pub(crate) register_blocks: &'a [u64],
    pub(crate) msix: Option<MsixPlace>,
    pub(crate) behaviour: Behaviour,
}

/// What a write to configuration space asks the function to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    Nothing,
    FunctionLevelReset,
}

/// The 4096 bytes of configuration space.
#[derive(Debug)]
pub(crate) struct ConfigSpace {
    space: RegisterSpace,
    exchange: DataObjectExchange,
    interrupts: Interrupts,
    behaviour: Behaviour,
}

impl ConfigSpace {
    pub(crate) fn new(identity: Identity<'_>) -> Self {
        let mut config = Self {
            space: RegisterSpace::new(CONFIG_SPACE_BYTES.into()),
            exchange: DataObjectExchange::new(identity.attributes),
            interrupts: identity.interrupts,
            behaviour: identity.behaviour,
        };
        config.define_all(0, fields::HEADER);
        config.define_all(EXPRESS_CAPABILITY, fields::EXPRESS);
        config.define_bars(identity.bars);
        config.define_interrupts(identity.interrupts, identity.msix);
        config.define_all(0, &fields::serial_number(identity.serial_number));
        config.define_all(fields::DEVICE_DVSEC, &fields::device(identity.first_window));
        config.define_locator(identity.register_blocks);
        config.define_all(fields::FLEX_BUS_DVSEC, fields::FLEX_BUS);
        config.define_all(fields::FLUSH_DVSEC, fields::FLUSH);
        config.define_all(fields::ERROR_REPORTING, fields::ERRORS);
        config.define_all(fields::EXCHANGE, fields::DATA_OBJECTS);
        config
    }

    pub(crate) fn read(&self, offset: u64, data: &mut [u8]) {
        self.space.read(offset, data);
    }

    pub(crate) fn write(&mut self, offset: u64, data: &[u8]) -> Request {
        self.space.write(offset, data);
        self.exchange_objects(offset, data);
        let control = u64::from(EXPRESS_CAPABILITY.saturating_add(express::DEVICE_CONTROL));
        let written = written_bits(control, 2, offset, data);
        if written & u64::from(express::INITIATE_FUNCTION_LEVEL_RESET) == 0 {
            Request::Nothing
        } else {
            Request::FunctionLevelReset
        }
    }

    /// The messages that the host grants with MSI: all, until that is on.
    pub(crate) fn granted_messages(&self) -> Option<u16> {
        let Interrupts::Msi(vectors) = self.interrupts else {
            return None;
        };
        let control = self.space.get(MSI_CONTROL, 2);
        if control & u64::from(msi::ENABLE) == 0 {
            return Some(vectors);
        }
        let log2 = control >> msi::GRANTED_SHIFT & u64::from(msi::GRANTED_MASK);
        Some(vectors.min(1 << log2))
    }

    /// Whether a host has switched CXL.mem on, without which nothing is decoded.
    pub(crate) fn mem_enabled(&self) -> bool {
        self.space.get(MEM_CONTROL, 2) & u64::from(cxl_device::MEM_ENABLE) != 0
    }

    /// A function-level reset: everything but CXL.mem, which must live on for the host's memory, and
    /// what is sticky.
    pub(crate) fn function_level_reset(&mut self) {
        let mut errors = [0; ERROR_REPORTING_BYTES];
        self.space.read(fields::ERROR_REPORTING.into(), &mut errors);
        self.space.reset(MEM_CONTROL..MEM_CONTROL.saturating_add(2));
        self.space
            .set_bytes(fields::ERROR_REPORTING.into(), &errors);
        self.exchange.reset();
        if self.behaviour.reset_loses_mem_enable {
            self.space.set(MEM_CONTROL, 2, 0);
        }
    }

    /// Goes back to the state after power-on.
    pub(crate) fn reset(&mut self) {
        self.space.reset(0..0);
        self.exchange.reset();
    }

    /// Hands whole registers of the data object exchange on, in the order of their offsets.
    fn exchange_objects(&mut self, offset: u64, data: &[u8]) {
        let place = |register: u16| u64::from(fields::EXCHANGE.saturating_add(register));
        let written = |register: u16| {
            let start = usize::try_from(place(register).checked_sub(offset)?).ok()?;
            let bytes = data.get(start..)?.first_chunk()?;
            Some(u32::from_le_bytes(*bytes))
        };
        let exchange = &mut self.exchange;
        let is_used = [
            written(register::CONTROL).map(|control| exchange.control(control)),
            written(register::WRITE_MAILBOX).map(|dword| exchange.put(dword)),
            written(register::READ_MAILBOX).map(|_| exchange.take()),
        ];
        if is_used.iter().any(Option::is_some) {
            let (status, shown) = (self.exchange.status(), self.exchange.shown());
            self.space.set(place(register::STATUS), 4, status.into());
            self.space
                .set(place(register::READ_MAILBOX), 4, shown.into());
        }
    }

    fn define_all(&mut self, base: u16, fields: &[Field]) {
        for field in fields {
            let rules = WriteRules {
                writable: field.writable,
                clearable: field.clearable,
            };
            let offset = u64::from(base).saturating_add(field.offset.into());
            self.space.define(offset, field.bytes, field.value, rules);
        }
    }

    /// The writable bits are those of the address, so that writing all ones tells the size.
    fn define_bars(&mut self, bars: &[Bar; 6]) {
        for (offset, described) in (u64::from(header::BAR_0)..).step_by(4).zip(bars) {
            if described.size_bytes == 0 {
                continue;
            }
            let mut flags = bar::MEMORY_64;
            if !described.mappable_areas.is_empty() {
                flags |= bar::PREFETCHABLE;
            }
            let rules = WriteRules {
                writable: !described.size_bytes.saturating_sub(1),
                clearable: 0,
            };
            self.space.define(offset, 8, flags.into(), rules);
        }
    }

    fn define_interrupts(&mut self, interrupts: Interrupts, msix: Option<MsixPlace>) {
        match (interrupts, msix) {
            (Interrupts::MsiX(vectors), Some(place)) => {
                self.define_all(INTERRUPT_CAPABILITY, &fields::msix(vectors, place));
            }
            (Interrupts::Msi(vectors), _) => {
                self.define_all(INTERRUPT_CAPABILITY, &fields::msi(vectors));
            }
            _ => {
                let next = u64::from(EXPRESS_CAPABILITY).saturating_add(1);
                self.space.set_reset(next, 1, 0);
            }
        }
    }

    fn define_locator(&mut self, entries: &[u64]) {
        self.define_all(fields::LOCATOR_DVSEC, &fields::locator(entries.len()));
        let first =
            u64::from(fields::LOCATOR_DVSEC).saturating_add(REGISTER_LOCATOR_ENTRIES.into());
        for (offset, entry) in (first..).step_by(8).zip(entries) {
            self.space.define(offset, 8, *entry, WriteRules::default());
        }
        let id = u64::from(fields::LOCATOR_DVSEC.saturating_add(DVSEC_ID));
        let locator_id = self.behaviour.locator_id;
        self.space.set_reset(id, 2, locator_id.into());
    }
}
