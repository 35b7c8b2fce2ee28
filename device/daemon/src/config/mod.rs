// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the device is made of, as the configuration file describes it.

mod check;
mod file;
mod instance;
mod number;
pub mod quantity;
mod values;
mod widths;

#[cfg(test)]
mod tests;

use chmu_cxl::{
    DEFAULT_HDM_DECODERS, DecoderConfig, FunctionConfig, Interrupts, Performance, Profile,
};
use chmu_model::Capabilities;
use chmu_ring::MAX_RINGS;
use chmu_spec::address::Hpa;
use serde::{Deserialize, Serialize};

pub use file::{ConfigError, ConfigFile};
pub use instance::InstanceTable;
pub use values::{EmulationName, InterruptKind, ProfileName, QuirkName, QuirkNames};

use number::within;
use quantity::{Hexadecimal, Nanoseconds, Size};

/// Serial number unless configured otherwise.
const DEFAULT_SERIAL_NUMBER: u64 = 0xc4a0_0001;
const DEFAULT_MEMORY: Size = Size(1 << 30);
/// Start of the window unless configured otherwise: 4 GiB, above the PCI hole of a PC.
const DEFAULT_BASE: Hexadecimal = Hexadecimal(4 << 30);
/// Interrupt vectors unless configured otherwise: one for events, one for each message number.
const DEFAULT_VECTORS: u16 = 16;
/// log2 of the bytes of a mebibyte.
const MIB_SHIFT: u32 = 20;
/// Message numbers that a CHMU's capabilities can hold.
const MESSAGE_NUMBERS: u16 = 16;

/// Rings for reported accesses unless configured otherwise. Those that no vCPU writes to cost
/// nothing but addresses.
const DEFAULT_ACCESS_RINGS: u32 = 64;

/// The configuration file. A key that is left out has the value of [`Config::default`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Device serial number (PCI Express 7.9.3).
    pub serial_number: Hexadecimal,
    /// Bytes of the device's memory.
    pub memory: Size,
    /// How long the memory takes to answer, from the device's port on.
    pub latency: Nanoseconds,
    /// Bytes that the memory reads or writes in a second.
    pub bandwidth: Size,
    /// HDM decoders that the device has at least.
    pub hdm_decoders: usize,
    /// The ready-made device that interrupts, vectors and blocks are taken from where they are left
    /// out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileName>,
    /// How the device interrupts. Left out, as the profile does, or by MSI-X.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interrupts: Option<InterruptKind>,
    /// Interrupt vectors; vector 0 is for events. Left out, as many as the profile has, or 16.
    #[serde(deserialize_with = "vectors", skip_serializing_if = "Option::is_none")]
    pub vectors: Option<u16>,
    /// Rings for reported accesses; each serves one vCPU.
    #[serde(deserialize_with = "access_rings")]
    pub access_rings: u32,
    /// Rules that the device breaks on purpose: one name, or a list.
    #[serde(rename = "quirk", skip_serializing_if = "QuirkNames::is_empty")]
    pub quirks: QuirkNames,
    /// The HDM decoders that firmware committed. Left out, one at 4 GiB over all of the memory.
    #[serde(rename = "decoder", skip_serializing_if = "Option::is_none")]
    pub decoders: Option<Vec<DecoderTable>>,
    /// The CHMU blocks. Left out, the profile's, or one with one instance.
    #[serde(rename = "block", skip_serializing_if = "Option::is_none")]
    pub blocks: Option<Vec<BlockTable>>,
}

fn vectors<'de, D>(deserializer: D) -> Result<Option<u16>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    within::<_, _, 1, 2048>(deserializer).map(Some)
}

fn access_rings<'de, D>(deserializer: D) -> Result<u32, D::Error>
where
    D: serde::Deserializer<'de>,
{
    within::<_, _, 1, { MAX_RINGS as i64 }>(deserializer)
}

/// `[[decoder]]`: one committed and locked HDM decoder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DecoderTable {
    /// First host physical address of the window.
    pub base: Hexadecimal,
    /// Bytes of the window. Left out, the memory times the ways.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// Devices that share the window.
    #[serde(deserialize_with = "within::<_, _, 1, 16>")]
    pub ways: u8,
    /// Consecutive bytes on one device before the next one's turn.
    pub granularity: Size,
    /// Which of the devices this one is, from 0.
    #[serde(deserialize_with = "within::<_, _, 0, 15>")]
    pub position: u8,
    /// Bytes of device memory that are left out before this window's part.
    pub dpa_skip: Size,
    /// Requests through the window come from trusted execution environments.
    pub tee: bool,
}

/// `[[block]]`: one CHMU register block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BlockTable {
    /// What its instances can do, 1 to 255 of them.
    #[serde(rename = "instance")]
    pub instances: Vec<InstanceTable>,
}

impl Default for Config {
    fn default() -> Self {
        let performance = Performance::default();
        Self {
            serial_number: Hexadecimal(DEFAULT_SERIAL_NUMBER),
            memory: DEFAULT_MEMORY,
            latency: Nanoseconds(performance.latency_ns.into()),
            bandwidth: Size(u64::from(performance.bandwidth_mib_per_s) << MIB_SHIFT),
            hdm_decoders: DEFAULT_HDM_DECODERS,
            profile: None,
            interrupts: None,
            vectors: None,
            access_rings: DEFAULT_ACCESS_RINGS,
            quirks: QuirkNames::default(),
            decoders: None,
            blocks: None,
        }
    }
}

impl Default for DecoderTable {
    fn default() -> Self {
        Self {
            base: DEFAULT_BASE,
            size: None,
            ways: 1,
            granularity: Size(256),
            position: 0,
            dpa_skip: Size(0),
            tee: false,
        }
    }
}

impl Default for BlockTable {
    fn default() -> Self {
        Self {
            instances: vec![InstanceTable::default()],
        }
    }
}

impl Config {
    /// Fills in what depends on other keys: what the profile says, decoders, their sizes, message
    /// numbers.
    #[must_use]
    pub fn completed(mut self) -> Self {
        self.take_from_profile();
        let memory = self.memory.0;
        let decoders = self
            .decoders
            .get_or_insert_with(|| vec![DecoderTable::default()]);
        for decoder in decoders {
            let window = Size(memory.saturating_mul(u64::from(decoder.ways)));
            decoder.size.get_or_insert(window);
        }
        let interrupts = self.interrupts != Some(InterruptKind::None);
        let last_message = self.vector_count().min(MESSAGE_NUMBERS).saturating_sub(1);
        let blocks = self
            .blocks
            .get_or_insert_with(|| vec![BlockTable::default()]);
        let instances = blocks.iter_mut().flat_map(|block| &mut block.instances);
        let numbers = (1..=last_message.max(1)).cycle();
        for (instance, number) in instances.zip(numbers) {
            let number = number.min(last_message);
            instance.complete(u8::try_from(number).unwrap_or_default(), interrupts);
        }
        self
    }

    /// Afterwards the keys say all that the profile said.
    fn take_from_profile(&mut self) {
        let Some(ProfileName(profile)) = self.profile.take() else {
            self.interrupts.get_or_insert(InterruptKind::MsiX);
            self.vectors.get_or_insert(DEFAULT_VECTORS);
            return;
        };
        let (kind, count) = match profile.interrupts() {
            Interrupts::MsiX(count) => (InterruptKind::MsiX, count),
            Interrupts::Msi(count) => (InterruptKind::Msi, count),
            Interrupts::None => (InterruptKind::None, DEFAULT_VECTORS),
        };
        self.interrupts.get_or_insert(kind);
        self.vectors.get_or_insert(count);
        let silent = self.interrupts == Some(InterruptKind::None);
        self.blocks
            .get_or_insert_with(|| blocks_of(profile, silent));
    }

    fn vector_count(&self) -> u16 {
        self.vectors.unwrap_or(DEFAULT_VECTORS)
    }

    /// Figures beyond what a device can tell are as large as it can.
    fn performance(&self) -> Performance {
        let bandwidth_mib_per_s = self.bandwidth.0 >> MIB_SHIFT;
        Performance {
            latency_ns: u32::try_from(self.latency.0).unwrap_or(u32::MAX),
            bandwidth_mib_per_s: u32::try_from(bandwidth_mib_per_s).unwrap_or(u32::MAX),
        }
    }

    /// The function's configuration; meant for a completed configuration.
    pub fn function(&self) -> FunctionConfig {
        let decoders = self.decoders.iter().flatten();
        let blocks = self.blocks.iter().flatten();
        let vectors = self.vector_count();
        FunctionConfig {
            serial_number: self.serial_number.0,
            capacity_bytes: self.memory.0,
            performance: self.performance(),
            hdm_decoders: self.hdm_decoders,
            decoders: decoders.map(DecoderTable::decoder).collect(),
            blocks: blocks.map(BlockTable::instances).collect(),
            interrupts: match self.interrupts {
                Some(InterruptKind::MsiX) | None => Interrupts::MsiX(vectors),
                Some(InterruptKind::Msi) => Interrupts::Msi(vectors),
                Some(InterruptKind::None) => Interrupts::None,
            },
            quirks: self.quirks.0,
        }
    }
}

impl Config {
    /// The configuration in a line, for the log.
    pub fn summary(&self) -> String {
        let decoders = self.decoders.as_ref().map_or(0, Vec::len);
        let blocks = self.blocks.iter().flatten();
        let instances = blocks.clone().map(|block| block.instances.len());
        let vectors = self.vector_count();
        let interrupts = match self.interrupts {
            Some(InterruptKind::MsiX) | None => format!("{vectors} MSI-X vectors"),
            Some(InterruptKind::Msi) => format!("{vectors} MSI vectors"),
            Some(InterruptKind::None) => "no interrupts".to_owned(),
        };
        let quirks = match self.quirks.0.iter().count() {
            0 => String::new(),
            1 => format!(", quirk {}", self.quirks.0),
            _ => format!(", quirks {}", self.quirks.0),
        };
        format!(
            "serial number {}, {} of memory, {decoders} decoders, {} CHMU blocks with {} instances, \
             {interrupts}{quirks}",
            self.serial_number,
            self.memory,
            blocks.count(),
            instances.sum::<usize>(),
        )
    }
}

/// The blocks of a profile. A device that was told to be silent supports no interrupts, whatever
/// the profile says.
fn blocks_of(profile: Profile, silent: bool) -> Vec<BlockTable> {
    let instance = |mut model: Capabilities| {
        model.overflow_interrupt &= !silent;
        model.fill_level_interrupt &= !silent;
        InstanceTable::from(&model)
    };
    let block = |instances: Vec<Capabilities>| BlockTable {
        instances: instances.into_iter().map(instance).collect(),
    };
    profile.blocks().into_iter().map(block).collect()
}

impl DecoderTable {
    fn decoder(&self) -> DecoderConfig {
        DecoderConfig {
            base: Hpa(self.base.0),
            size_bytes: self.size.map_or(0, |size| size.0),
            ways: self.ways,
            granularity_bytes: u32::try_from(self.granularity.0).unwrap_or(u32::MAX),
            position: self.position,
            dpa_skip_bytes: self.dpa_skip.0,
            tee: self.tee,
        }
    }
}

impl BlockTable {
    fn instances(&self) -> Vec<Capabilities> {
        let instances = self.instances.iter();
        instances.map(InstanceTable::capabilities).collect()
    }
}
