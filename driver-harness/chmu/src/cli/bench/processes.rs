// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Many processes with memory on the slow node: a batch costs what it moves, not who else is there.

use std::io::{self, PipeReader, Read, Write};

use anyhow::{Context, Result, ensure};
use chmu_machine::memory::numa::{self, Placement, Sharing};
use chmu_machine::memory::page_map::PageMap;
use chmu_machine::memory::{Buffer, PAGE_BYTES};
use chmu_machine::node::NodeId;
use chmu_promotion::{Batch, Candidate, Direction, Folio, Route};
use chmu_spec::address::Pfn;

use super::ActuatorOptions;
use super::actuator::Mover;

/// Batches measured with each number of processes.
const ROUNDS: u64 = 5;
/// Between two pages of a batch of one process, themselves included.
const STRIDE: u64 = 3;
/// The least number of processes.
const FEW: u32 = 10;

/// What batches cost with so many processes.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) processes: u32,
    pub(super) batches_ns: Vec<u64>,
}

/// Batches of as many pages with 10 processes, ten times as many and so on, until there are
/// `options.processes`. The pages of a batch are of as many processes as there are.
pub(super) fn costs(route: Route, options: &ActuatorOptions) -> Result<Vec<Step>> {
    let each = options.process_pages / (2 * STRIDE * ROUNDS);
    let wanted = options.pages.min(each * u64::from(FEW));
    ensure!(
        wanted > 0,
        "Each process needs {} pages",
        2 * STRIDE * ROUNDS
    );
    let mut members = Vec::new();
    let mut steps = Vec::new();
    let mut count = FEW.min(options.processes);
    let mut first = 0;
    while count > 0 {
        for _ in members.len()..usize::try_from(count)? {
            members.push(Member::start(options.process_pages, route.source)?);
        }
        numa::drain_reclaim_batches()?;
        // After the processes: none inherits its files.
        let mut mover = Mover::new()?;
        let each = wanted.div_ceil(u64::from(count));
        let mut batches_ns = Vec::new();
        for _ in 0..ROUNDS {
            let wanted = usize::try_from(wanted)?;
            let batch = batch(route, &members, first, usize::try_from(each)?, wanted)?;
            batches_ns.push(mover.promote_nearly_all(&batch)?.whole_ns);
            first += each * STRIDE;
        }
        steps.push(Step {
            processes: count,
            batches_ns,
        });
        if count == options.processes {
            break;
        }
        count = count.saturating_mul(10).min(options.processes);
    }
    Ok(steps)
}

/// Pages of these processes from `first` on, at most `each` of one and `wanted` of all.
fn batch(
    route: Route,
    members: &[Member],
    first: u64,
    each: usize,
    wanted: usize,
) -> Result<Batch> {
    let mut candidates = Vec::new();
    for member in members {
        let heads = member.heads(first, each)?;
        candidates.extend(heads.into_iter().map(|head| Candidate {
            folio: Folio { head, pages: 1 },
            owner: None,
        }));
    }
    candidates.truncate(wanted);
    Ok(Batch {
        number: 0,
        direction: Direction::Promotion,
        route,
        candidates,
    })
}

/// A child of this process that holds pages until it is dropped.
#[derive(Debug)]
pub(super) struct Member {
    process_id: i32,
    /// Where its pages are.
    address: u64,
    pages: u64,
}

impl Member {
    /// A process with so many pages to move, no two of them neighbours.
    pub(super) fn with_scattered(count: u64, node: NodeId) -> Result<Member> {
        Self::start(count.saturating_mul(STRIDE), node)
    }

    /// Every third of its pages, as they lie now.
    pub(super) fn batch(&self, route: Route) -> Result<Batch> {
        batch(route, std::slice::from_ref(self), 0, usize::MAX, usize::MAX)
    }

    /// One call of `move_pages(2)` over the same pages.
    pub(super) fn move_by_call(&self, target: NodeId) -> Result<()> {
        let process_id = u32::try_from(self.process_id)?;
        numa::move_pages(process_id, &self.addresses(), target, Sharing::Shared)
            .context("move_pages failed")?;
        Ok(())
    }

    /// How many of them are on a node.
    pub(super) fn count_on(&self, node: NodeId) -> Result<usize> {
        let places = numa::query_pages(u32::try_from(self.process_id)?, &self.addresses())?;
        let there = places
            .iter()
            .filter(|place| **place == Placement::Node(node));
        Ok(there.count())
    }

    fn addresses(&self) -> Vec<u64> {
        let pages = (0..self.pages).filter(|page| page % STRIDE == 0);
        pages.map(|page| self.address + page * PAGE_BYTES).collect()
    }

    fn heads(&self, first: u64, most: usize) -> Result<Vec<Pfn>> {
        let map = PageMap::open(u32::try_from(self.process_id)?)?;
        let frames = map.frames(self.address, self.pages)?;
        let frames = frames.into_iter().skip(usize::try_from(first)?);
        Ok(frames
            .step_by(usize::try_from(STRIDE)?)
            .flatten()
            .take(most)
            .collect())
    }

    fn start(pages: u64, node: NodeId) -> Result<Member> {
        let (reader, writer) = io::pipe()?;
        // SAFETY: this program has one thread here, so that the child may do whatever it likes.
        match unsafe { libc::fork() } {
            0 => {
                drop(reader);
                hold(pages, node, writer)
            }
            process_id if process_id > 0 => {
                drop(writer);
                let mut member = Member {
                    process_id,
                    address: 0,
                    pages,
                };
                member.address = address(reader).context("A process of the bench has no pages")?;
                Ok(member)
            }
            _ => Err(io::Error::last_os_error()).context("Cannot start another process"),
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // SAFETY: the process is a child that was not waited for, so that its number is still its own.
        unsafe { libc::kill(self.process_id, libc::SIGKILL) };
        // SAFETY: nothing is written but into nothing.
        unsafe { libc::waitpid(self.process_id, std::ptr::null_mut(), 0) };
    }
}

fn address(mut reader: PipeReader) -> io::Result<u64> {
    let mut bytes = [0; 8];
    reader.read_exact(&mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

/// The child: fills its pages, says where they are, and waits for its end.
fn hold(pages: u64, node: NodeId, mut writer: impl Write) -> ! {
    // SAFETY: the call has only numbers to look at; the child ends with its parent.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let told = Buffer::map(pages).and_then(|mut buffer| {
        buffer.fill(node, |page, place| page * PAGE_BYTES + place)?;
        writer.write_all(&buffer.address().to_ne_bytes())?;
        drop(writer);
        loop {
            // SAFETY: the call touches no memory.
            unsafe { libc::pause() };
        }
    });
    let Err::<std::convert::Infallible, io::Error>(_) = told;
    // SAFETY: ends this process without what its parent wants done at its own end.
    unsafe { libc::_exit(1) }
}
