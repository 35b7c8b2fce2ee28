// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A machine for tests: its pages are known by name, frames are given to new pages at once, and what it
//! is asked is counted.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};

use chmu_machine::memory::owners::Owner;
use chmu_machine::memory::page_flags::PageFlags;
use chmu_machine::node::NodeId;
use chmu_machine::stop::StopFlag;
use chmu_machine::topology::{DescribedNode, Topology};
use chmu_machine::watermarks::Headroom;
use chmu_spec::address::Pfn;

use crate::actuator::{Actuator, ActuatorError, Limits};
use crate::batch::{Batch, Candidate, Fate, Folio};
use crate::machine::{Identity, Machine, MachineError, PageKind};
use crate::report::{Facts, Knowledge, SourceKind, WeightKind};

/// The first frame of the slow node 1; node 0 has frame 0.
pub(crate) const SLOW: u64 = 0x10_0000;
/// Frames of the fast node that pages go to when they move.
const FAST: u64 = 0x1000;
/// Frames of the slow node that pages go to when they are demoted.
const BACK: u64 = SLOW + 0x2_0000;

/// Node 0 with processors and 2 GiB, node 1 the CXL memory of 1 GiB from 4 GiB on.
pub(crate) static TOPOLOGY: LazyLock<Topology> = LazyLock::new(|| {
    let node = |node, cpus, start, pages| DescribedNode {
        node: NodeId(node),
        cpus,
        start,
        pages,
        distances: BTreeMap::new(),
    };
    let nodes = [node(0, true, 0, 1 << 19), node(1, false, SLOW, 1 << 18)];
    Topology::described(&nodes).unwrap()
});

/// Facts of a source that tells frames.
pub(crate) fn facts(name: &str) -> Facts {
    Facts {
        name: name.to_owned(),
        kind: SourceKind::Stream,
        unit_bytes: None,
        granted_epoch_ns: None,
        wished_epoch_ns: None,
        knows: Knowledge {
            frames: true,
            ..Knowledge::default()
        },
        counts: WeightKind::Accesses,
    }
}

#[derive(Debug, Clone, Copy)]
struct Page {
    name: u64,
    folio: Folio,
}

#[derive(Debug, Default)]
struct World {
    flags: BTreeMap<u64, PageFlags>,
    /// By first frame.
    pages: BTreeMap<u64, Page>,
    reads: usize,
    drains: usize,
    /// First frames of folios that do not move, and what is said of them.
    fates: BTreeMap<u64, Fate>,
    /// Pages that only appear on the reclaim lists after these are brought up to date.
    kept_back: BTreeSet<u64>,
    /// Owners are told as the identity of pages.
    tells_owners: bool,
    /// Owners are found when they are asked for.
    finds_owners: bool,
    headroom: Headroom,
    demoted: u64,
    /// Names of pages in the order in which they were promoted.
    promoted: Vec<u64>,
    /// The same of those that made room.
    sent_down: Vec<u64>,
    next_fast: u64,
}

/// Clones are the same machine, and as an actuator move its pages.
#[derive(Debug, Clone, Default)]
pub(crate) struct SimulatedMachine(Arc<Mutex<World>>);

impl SimulatedMachine {
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// Puts a page with this name where nothing is.
    pub(crate) fn place(&self, folio: Folio, name: u64) {
        let mut world = self.world();
        for frame in folio.head.0..folio.end().0 {
            let part = match (folio.pages, frame == folio.head.0) {
                (1, _) => PageFlags::empty(),
                (_, true) => PageFlags::COMPOUND_HEAD | PageFlags::THP,
                (_, false) => PageFlags::COMPOUND_TAIL | PageFlags::THP,
            };
            let listed = match frame == folio.head.0 {
                true => PageFlags::LRU,
                false => PageFlags::empty(),
            };
            world.flags.insert(frame, part | listed | PageFlags::ANON);
        }
        world.pages.insert(folio.head.0, Page { name, folio });
    }

    /// Puts base pages on frames, each named after its frame.
    pub(crate) fn with_pages(frames: impl IntoIterator<Item = u64>) -> SimulatedMachine {
        let machine = SimulatedMachine::default();
        for frame in frames {
            let folio = Folio {
                head: Pfn(frame),
                pages: 1,
            };
            machine.place(folio, frame);
        }
        machine
    }

    pub(crate) fn set_flags(&self, frame: u64, flags: PageFlags) {
        self.world().flags.insert(frame, flags);
    }

    /// A folio that is said to stay, for this reason.
    pub(crate) fn hold(&self, head: u64, fate: Fate) {
        self.world().fates.insert(head, fate);
    }

    pub(crate) fn let_go(&self, head: u64) {
        self.world().fates.remove(&head);
    }

    pub(crate) fn keep_back(&self, frame: u64) {
        self.world().kept_back.insert(frame);
    }

    pub(crate) fn tell_owners(&self) {
        self.world().tells_owners = true;
    }

    pub(crate) fn find_owners(&self) {
        self.world().finds_owners = true;
    }

    pub(crate) fn hide_owners(&self) {
        self.world().finds_owners = false;
    }

    pub(crate) fn set_headroom(&self, node: u32, pages: u64) {
        self.world().headroom = Headroom::of([(NodeId(node), pages * 4096)]);
    }

    /// The node has no room, and processors keep so many of its pages back.
    pub(crate) fn set_kept_back(&self, node: u32, pages: u64) {
        let node = NodeId(node);
        self.world().headroom = Headroom::of([(node, 0)]).with_kept_back(node, pages * 4096);
    }

    pub(crate) fn demote(&self, pages: u64) {
        self.world().demoted += pages;
    }

    /// Somebody else demotes a folio.
    pub(crate) fn send_down(&self, folio: Folio) {
        self.world().move_folio(folio, NodeId(1));
    }

    /// The page at a frame.
    pub(crate) fn name_at(&self, frame: u64) -> Option<u64> {
        let world = self.world();
        let (_, page) = world.pages.range(..=frame).next_back()?;
        (frame < page.folio.end().0).then_some(page.name)
    }

    /// Names of pages in the order in which they were promoted.
    pub(crate) fn promoted(&self) -> Vec<u64> {
        self.world().promoted.clone()
    }

    /// Names of pages in the order in which they were demoted.
    pub(crate) fn sent_down(&self) -> Vec<u64> {
        self.world().sent_down.clone()
    }

    /// How often flags were read.
    pub(crate) fn reads(&self) -> usize {
        self.world().reads
    }

    pub(crate) fn drains(&self) -> usize {
        self.world().drains
    }
}

impl World {
    /// The owner of each page has it at an address that is the page's name.
    fn owner(&self, folio: Folio) -> Option<Owner> {
        let page = self.pages.get(&folio.head.0)?;
        Some(Owner {
            process_id: 1,
            address: page.name * 4096,
        })
    }

    fn flags_of(&self, frame: u64) -> PageFlags {
        let flags = self.flags.get(&frame).copied().unwrap_or(PageFlags::NOPAGE);
        match self.kept_back.contains(&frame) {
            true => flags - PageFlags::LRU,
            false => flags,
        }
    }

    fn move_folio(&mut self, folio: Folio, node: NodeId) -> Fate {
        if let Some(fate) = self.fates.get(&folio.head.0) {
            return *fate;
        }
        let Some(page) = self.pages.remove(&folio.head.0) else {
            return Fate::Gone;
        };
        self.next_fast += folio.pages;
        let first = if node == NodeId(0) { FAST } else { BACK };
        let head = first + self.next_fast;
        for part in 0..folio.pages {
            let left = self.flags.insert(folio.head.0 + part, PageFlags::BUDDY);
            self.flags
                .insert(head + part, left.unwrap_or(PageFlags::NOPAGE));
        }
        self.pages.insert(
            head,
            Page {
                folio: Folio {
                    head: Pfn(head),
                    ..folio
                },
                ..page
            },
        );
        match node == NodeId(0) {
            true => self.promoted.push(page.name),
            false => self.sent_down.push(page.name),
        }
        Fate::Moved { node }
    }
}

impl Machine for SimulatedMachine {
    fn topology(&self) -> Result<Topology, MachineError> {
        Ok(TOPOLOGY.clone())
    }

    fn headroom(&self) -> Result<Headroom, MachineError> {
        Ok(self.world().headroom.clone())
    }

    fn flags(&self, frames: Range<u64>) -> Result<Vec<PageFlags>, MachineError> {
        let mut world = self.world();
        world.reads += 1;
        Ok(frames.map(|frame| world.flags_of(frame)).collect())
    }

    fn resolve(&self, _: u32, start: u64, pages: u64) -> Result<Vec<Option<Pfn>>, MachineError> {
        // A page named N is at address N * 4096 of every process, and the others of its folio follow.
        let world = self.world();
        let frame = |address: u64| {
            // One that was put back is there, and in the fast memory no more.
            let mut pages = world.pages.values().rev();
            let holds = |page: &&Page| (page.name..page.name + page.folio.pages).contains(&address);
            let page = pages.find(holds)?;
            Some(Pfn(page.folio.head.0 + (address - page.name)))
        };
        let addresses = (start / 4096..).take(usize::try_from(pages).unwrap());
        Ok(addresses.map(frame).collect())
    }

    fn drain_reclaim_batches(&self) -> Result<(), MachineError> {
        let mut world = self.world();
        world.drains += 1;
        world.kept_back.clear();
        Ok(())
    }

    fn identities(&self, folios: &[Folio]) -> Result<Vec<Option<Identity>>, MachineError> {
        let world = self.world();
        let identity = |folio: &Folio| {
            let owner = world.owner(*folio).filter(|_| world.tells_owners)?;
            Some(Identity {
                kind: PageKind::of(world.flags_of(folio.head.0)),
                control_group: None,
                owner: Some(owner),
            })
        };
        Ok(folios.iter().map(identity).collect())
    }

    fn owners(&self, folios: &[Folio]) -> Result<Vec<Option<Owner>>, MachineError> {
        let world = self.world();
        let owner = |folio: &Folio| world.owner(*folio).filter(|_| world.finds_owners);
        Ok(folios.iter().map(owner).collect())
    }

    fn demoted_pages(&self, _: NodeId) -> Result<Option<u64>, MachineError> {
        Ok(Some(self.world().demoted))
    }
}

impl Actuator for SimulatedMachine {
    fn name(&self) -> &'static str {
        "simulated"
    }

    fn limits(&self) -> Limits {
        Limits {
            frames_max: 64,
            sees_unmapped: true,
            obeys_cpusets: true,
            is_dry: false,
        }
    }

    fn promote_batch(&mut self, batch: &Batch, _: &StopFlag) -> Result<Vec<Fate>, ActuatorError> {
        let mut world = self.world();
        let target = batch.route.target;
        let fates = batch.candidates.iter();
        Ok(fates
            .map(|Candidate { folio, .. }| world.move_folio(*folio, target))
            .collect())
    }
}
