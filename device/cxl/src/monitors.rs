// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! BAR4: the blocks of hotness monitoring units, then the tables of MSI-X.

use std::ops::Range;

use chmu_model::{Block, BlockConfig, Caution, Event, Host, InstanceStatistics};
use chmu_spec::access::Access;
use chmu_spec::address::Dpa;
use chmu_spec::cxl::dvsec::REGISTER_BLOCK_ALIGNMENT_BYTES;
use chmu_spec::word;

use crate::bar::{self, Bar};
use crate::behaviour::Behaviour;
use crate::config::{ConfigError, FunctionConfig, Interrupts};
use crate::event::FunctionEvent;
use crate::host::FunctionHost;
use crate::msix::{MsixPlace, MsixTables};

/// What can be mapped on its own.
const PAGE_BYTES: u64 = 0x1000;

/// A block and where it lies in the BAR.
#[derive(Debug)]
struct PlacedBlock {
    block: Block,
    range: Range<u64>,
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
    behaviour: Behaviour,
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
                quirks: config.quirks,
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
            behaviour: Behaviour::new(config.quirks),
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
        self.msix.as_ref().map(MsixTables::place)
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
                        tables.read(offset, now);
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
                        tables.write(offset, now);
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
        accesses: &[Access<Dpa>],
        host: &mut H,
    ) {
        let first_only = !self.behaviour.all_blocks_count;
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

    /// The host grants so many messages, a power of two.
    pub(crate) fn grant_messages(&mut self, messages: u16) {
        for placed in &mut self.blocks {
            placed.block.grant_messages(messages);
        }
    }

    pub(crate) fn reset(&mut self) {
        for placed in &mut self.blocks {
            placed.block.reset();
        }
        if let Some(tables) = &mut self.msix {
            tables.reset();
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
        let table = self.msix.as_ref().map(MsixTables::table);
        if let Some(table) = table.filter(|table| table.contains(&offset)) {
            return (Place::MsixTable, until(table.end));
        }
        (Place::Nothing, until(offset | (PAGE_BYTES - 1)).min(bytes))
    }

    /// Which block answers for the registers of a block.
    fn answering(&self, index: usize) -> usize {
        (self.behaviour.answering_block)(index)
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
                vector: self.behaviour.vector,
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

fn advance(offset: u64, bytes: usize) -> u64 {
    offset.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX))
}

/// The outside of a block, in terms of the function's outside.
struct BlockHost<'a, H> {
    host: &'a mut H,
    index: usize,
    start: u64,
    vectors: u16,
    /// The vector of a message number.
    vector: fn(u8) -> u16,
}

impl<H: FunctionHost> Host for BlockHost<'_, H> {
    fn store_entry(&mut self, offset: u64, entry: u64) {
        let offset = self.start.saturating_add(offset);
        self.host.store(bar::MONITORS, offset, entry);
    }

    fn interrupt(&mut self, message_number: u8) {
        let vector = (self.vector)(message_number);
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
