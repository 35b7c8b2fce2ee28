// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! BAR4: the blocks of hotness monitoring units, then the tables of MSI-X.

use std::ops::Range;

use chmu_model::{Access, Block, BlockConfig, Caution, Event, Host, InstanceStatistics, Quirk};
use chmu_spec::cxl::dvsec::REGISTER_BLOCK_ALIGNMENT_BYTES;
use chmu_spec::pci::MSIX_ENTRY_BYTES;
use chmu_spec::word;

use crate::bar::{self, Bar};
use crate::config::{ConfigError, FunctionConfig, Interrupts};
use crate::event::FunctionEvent;
use crate::host::FunctionHost;
use crate::register_space::{RegisterSpace, Rules};

/// What can be mapped on its own.
const PAGE_BYTES: u64 = 0x1000;

/// A block and where it lies in the BAR.
#[derive(Debug)]
struct PlacedBlock {
    block: Block,
    range: Range<u64>,
}

/// The tables of MSI-X. Clients of VFIO keep the real ones; these hold what a raw client writes
/// and hold no interrupt back.
#[derive(Debug)]
struct MsixTables {
    table: Range<u64>,
    pending: u64,
    space: RegisterSpace,
}

/// Where the tables of MSI-X lie, from the start of the BAR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MsixPlace {
    pub(crate) table: u64,
    pub(crate) pending: u64,
}

/// What lies at an offset of the BAR.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// Of which block, and how far into it.
    Registers(usize, u64),
    Hotlist,
    MsixTable,
    Nothing,
}

/// Everything behind BAR4.
#[derive(Debug)]
pub(crate) struct Monitors {
    blocks: Vec<PlacedBlock>,
    /// Hotlists of all blocks, sorted, from the start of the BAR.
    hotlists: Vec<Range<u64>>,
    msix: Option<MsixTables>,
    vectors: u16,
    size_bytes: u64,
    quirk: Option<Quirk>,
}

impl Monitors {
    /// Places the blocks, each at a multiple of 64 KiB, and the tables behind them.
    pub(crate) fn new(config: &FunctionConfig) -> Result<Self, ConfigError> {
        let mut blocks = Vec::with_capacity(config.blocks.len());
        let mut hotlists = Vec::new();
        let mut end = 0_u64;
        for (index, instances) in config.blocks.iter().enumerate() {
            let block = Block::new(&BlockConfig {
                capacity_bytes: config.capacity_bytes,
                instances: instances.clone(),
                quirk: config.quirk,
            })
            .map_err(|source| ConfigError::Block { index, source })?;
            let start = end.next_multiple_of(REGISTER_BLOCK_ALIGNMENT_BYTES);
            end = start.saturating_add(block.size_bytes());
            hotlists.extend(
                block
                    .hotlist_areas()
                    .iter()
                    .map(|area| start.saturating_add(area.start)..start.saturating_add(area.end)),
            );
            blocks.push(PlacedBlock {
                block,
                range: start..end,
            });
        }
        hotlists.sort_by_key(|area| area.start);
        let msix = match config.interrupts {
            Interrupts::MsiX(vectors) => Some(MsixTables::new(end, vectors)),
            Interrupts::None | Interrupts::Msi(_) => None,
        };
        let end = msix.as_ref().map_or(end, MsixTables::end);
        Ok(Self {
            blocks,
            hotlists,
            msix,
            vectors: config.interrupts.vectors(),
            size_bytes: end.next_power_of_two(),
            quirk: config.quirk,
        })
    }

    /// The BAR.
    pub(crate) fn bar(&self) -> Bar {
        Bar {
            size_bytes: self.size_bytes,
            mappable_areas: self.hotlists.clone(),
        }
    }

    /// Where each block starts.
    pub(crate) fn block_offsets(&self) -> impl Iterator<Item = u64> {
        self.blocks.iter().map(|placed| placed.range.start)
    }

    /// What drivers fail at, by block.
    pub(crate) fn cautions(&self) -> Vec<(usize, Caution)> {
        let blocks = self.blocks.iter().enumerate();
        blocks
            .flat_map(|(index, placed)| {
                let cautions = placed.block.cautions().into_iter();
                cautions.map(move |caution| (index, caution))
            })
            .collect()
    }

    /// Where the tables of MSI-X lie, if there are any.
    pub(crate) fn msix_place(&self) -> Option<MsixPlace> {
        self.msix.as_ref().map(|tables| MsixPlace {
            table: tables.table.start,
            pending: tables.pending,
        })
    }

    pub(crate) fn read<H: FunctionHost>(
        &mut self,
        now_ns: u64,
        offset: u64,
        data: &mut [u8],
        host: &mut H,
    ) {
        data.fill(0);
        let mut offset = offset;
        let mut rest = data;
        while !rest.is_empty() {
            let (place, bytes) = self.place(offset, rest.len());
            let (now, later) = rest.split_at_mut(bytes);
            match place {
                Place::Registers(index, inside) => {
                    self.with_block(self.answering(index), host, |block, host| {
                        block.read(now_ns, inside, now, host);
                    });
                }
                Place::Hotlist => {
                    word::read(offset, now, |word| host.load(bar::MONITORS, word));
                }
                Place::MsixTable => {
                    if let Some(tables) = &self.msix {
                        let start = tables.table.start;
                        tables.space.read(offset.saturating_sub(start), now);
                    }
                }
                Place::Nothing => {}
            }
            rest = later;
            offset = advance(offset, bytes);
        }
    }

    /// Writes; hotlists are the device's, so host writes there are ignored.
    pub(crate) fn write<H: FunctionHost>(
        &mut self,
        now_ns: u64,
        offset: u64,
        data: &[u8],
        host: &mut H,
    ) {
        let mut offset = offset;
        let mut rest = data;
        while !rest.is_empty() {
            let (place, bytes) = self.place(offset, rest.len());
            let (now, later) = rest.split_at(bytes);
            match place {
                Place::Registers(index, inside) => {
                    self.with_block(self.answering(index), host, |block, host| {
                        block.write(now_ns, inside, now, host);
                    });
                }
                Place::MsixTable => {
                    if let Some(tables) = &mut self.msix {
                        let start = tables.table.start;
                        tables.space.write(offset.saturating_sub(start), now);
                    }
                }
                Place::Hotlist | Place::Nothing => {}
            }
            rest = later;
            offset = advance(offset, bytes);
        }
    }

    /// Gives accesses to every block that counts.
    pub(crate) fn access<H: FunctionHost>(
        &mut self,
        now_ns: u64,
        accesses: &[Access],
        host: &mut H,
    ) {
        let first_only = self.quirk == Some(Quirk::BlocksShareAccesses);
        let mut is_taken = false;
        self.each_block(host, |block, host| {
            if block.is_counting() && !is_taken {
                block.access(now_ns, accesses, host);
                is_taken = first_only;
            }
        });
    }

    pub(crate) fn advance<H: FunctionHost>(&mut self, now_ns: u64, host: &mut H) {
        self.each_block(host, |block, host| block.advance(now_ns, host));
    }

    pub(crate) fn next_deadline_ns(&self) -> Option<u64> {
        let blocks = self.blocks.iter();
        blocks
            .filter_map(|placed| placed.block.next_deadline_ns())
            .min()
    }

    pub(crate) fn is_counting(&self) -> bool {
        self.blocks.iter().any(|placed| placed.block.is_counting())
    }

    pub(crate) fn wants_accesses(&self) -> bool {
        let mut blocks = self.blocks.iter();
        blocks.any(|placed| placed.block.wants_accesses())
    }

    pub(crate) fn set_source_ready<H: FunctionHost>(
        &mut self,
        now_ns: u64,
        ready: bool,
        host: &mut H,
    ) {
        self.each_block(host, |block, host| {
            block.set_source_ready(now_ns, ready, host);
        });
    }

    pub(crate) fn reset(&mut self) {
        for placed in &mut self.blocks {
            placed.block.reset();
        }
        if let Some(tables) = &mut self.msix {
            tables.space.reset(0..0);
        }
    }

    pub(crate) fn statistics(&self) -> Vec<Vec<InstanceStatistics>> {
        let blocks = self.blocks.iter();
        blocks.map(|placed| placed.block.statistics()).collect()
    }

    /// What lies at `offset`, and how many of the next `bytes` bytes, 1 or more, belong to it.
    fn place(&self, offset: u64, bytes: usize) -> (Place, usize) {
        let until = |end: u64| {
            let left = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX);
            left.clamp(1, bytes.max(1))
        };
        if let Some(area) = self.hotlists.iter().find(|area| area.contains(&offset)) {
            return (Place::Hotlist, until(area.end));
        }
        let next_hotlist = self.hotlists.iter().map(|area| area.start);
        let next_hotlist = next_hotlist.filter(|start| *start > offset).min();
        let blocks = self.blocks.iter().enumerate();
        for (index, placed) in blocks {
            if placed.range.contains(&offset) {
                let end = placed.range.end.min(next_hotlist.unwrap_or(u64::MAX));
                let inside = offset.saturating_sub(placed.range.start);
                return (Place::Registers(index, inside), until(end));
            }
        }
        if let Some(tables) = self.msix.as_ref().filter(|it| it.table.contains(&offset)) {
            return (Place::MsixTable, until(tables.table.end));
        }
        (Place::Nothing, until(offset | (PAGE_BYTES - 1)).min(bytes))
    }

    /// Which block answers for the registers of a block.
    fn answering(&self, index: usize) -> usize {
        let mirrored = self.quirk == Some(Quirk::BlocksMirrored);
        if mirrored { 0 } else { index }
    }

    fn with_block<H: FunctionHost>(
        &mut self,
        index: usize,
        host: &mut H,
        action: impl FnOnce(&mut Block, &mut BlockHost<'_, H>),
    ) {
        if let Some(placed) = self.blocks.get_mut(index) {
            let mut host = BlockHost {
                host,
                index,
                start: placed.range.start,
                vectors: self.vectors,
                quirk: self.quirk,
            };
            action(&mut placed.block, &mut host);
        }
    }

    fn each_block<H: FunctionHost>(
        &mut self,
        host: &mut H,
        mut action: impl FnMut(&mut Block, &mut BlockHost<'_, H>),
    ) {
        for index in 0..self.blocks.len() {
            self.with_block(index, host, &mut action);
        }
    }
}

impl MsixTables {
    /// Tables on pages of their own from `end` on.
    fn new(end: u64, vectors: u16) -> Self {
        let start = end.next_multiple_of(PAGE_BYTES);
        let bytes = u64::from(vectors).saturating_mul(MSIX_ENTRY_BYTES);
        let mut space = RegisterSpace::new(bytes);
        // Message address and data, then the vector control with its mask bit.
        let entry = [(0, 8, 0, !0x3), (8, 4, 0, u64::MAX), (12, 4, 1, 1)];
        for vector in 0..u64::from(vectors) {
            let base = vector.saturating_mul(MSIX_ENTRY_BYTES);
            for (offset, bytes, value, writable) in entry {
                let rules = Rules {
                    writable,
                    clearable: 0,
                };
                space.define(base.saturating_add(offset), bytes, value, rules);
            }
        }
        let table = start..start.saturating_add(bytes);
        Self {
            pending: table.end.next_multiple_of(PAGE_BYTES),
            table,
            space,
        }
    }

    fn end(&self) -> u64 {
        self.pending.saturating_add(PAGE_BYTES)
    }
}

fn advance(offset: u64, bytes: usize) -> u64 {
    offset.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX))
}

/// The outside of a block, in terms of the function's outside.
struct BlockHost<'a, H> {
    host: &'a mut H,
    index: usize,
    start: u64,
    vectors: u16,
    quirk: Option<Quirk>,
}

impl<H: FunctionHost> Host for BlockHost<'_, H> {
    fn store_entry(&mut self, offset: u64, entry: u64) {
        let offset = self.start.saturating_add(offset);
        self.host.store(bar::MONITORS, offset, entry);
    }

    fn interrupt(&mut self, message_number: u8) {
        let vector = match self.quirk {
            Some(Quirk::VectorsShared) => 0,
            _ => u16::from(message_number),
        };
        if vector < self.vectors {
            self.host.interrupt(vector);
        }
    }

    fn event(&mut self, event: Event) {
        self.host.event(FunctionEvent::Monitor {
            block: self.index,
            event,
        });
    }
}
