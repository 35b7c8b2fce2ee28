// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Many processes with memory on the slow node: a batch costs what it moves, not who else is there.

use std::io::{self, PipeReader, Read, Write};

use anyhow::{Context, Result, ensure};
use chmu_machine::memory::page_map::PageMap;
use chmu_machine::memory::{Buffer, PAGE_BYTES};
use chmu_machine::node::NodeId;
use chmu_promotion::{Batch, Candidate, Folio, Route};

use super::ActuatorOptions;
use super::actuator::Mover;

/// Batches measured of each sort.
const ROUNDS: u64 = 5;

/// Children of this process that hold pages until it lets them go.
#[derive(Debug)]
pub(super) struct Crowd {
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    process_id: i32,
    /// Where its pages are; the same in each.
    address: u64,
    pages: u64,
}

impl Crowd {
    /// Starts `count` processes with `pages` pages each on `node`.
    pub(super) fn start(count: u32, pages: u64, node: NodeId) -> Result<Crowd> {
        let mut crowd = Crowd {
            members: Vec::new(),
        };
        for _ in 0..count {
            crowd.members.push(Member::start(pages, node)?);
        }
        Ok(crowd)
    }

    /// The least cost of a batch of pages of one process, and of as many pages of as many processes as
    /// there are.
    pub(super) fn costs(
        &self,
        mover: &mut Mover,
        route: Route,
        options: &ActuatorOptions,
    ) -> Result<(u64, u64)> {
        let wanted =
            usize::try_from(options.pages)?.min(usize::try_from(options.process_pages / 3)?);
        let (mut few, mut many) = (u64::MAX, u64::MAX);
        for round in 0..ROUNDS {
            // Others each time, since they stay where they are moved to.
            let skip = usize::try_from(round)?;
            let one = self
                .members
                .get(skip)
                .context("There are too few processes")?;
            let of_one = batch(round, route, [one], 0, wanted)?;
            let later = self.members.iter().skip(skip * wanted % self.members.len());
            let of_many = batch(round, route, later.take(wanted), 2 * round + 1, 1)?;
            few = few.min(per_page(mover, &of_one)?);
            many = many.min(per_page(mover, &of_many)?);
        }
        Ok((few, many))
    }
}

/// Nanoseconds of a batch for each thousand pages.
fn per_page(mover: &mut Mover, batch: &Batch) -> Result<u64> {
    let (fates, cost) = mover.promote(batch)?;
    ensure!(!fates.is_empty(), "There are no pages to move");
    Ok(cost.whole_ns.saturating_mul(1000) / fates.len() as u64)
}

/// Every third of the pages of these processes from `first` on, at most `each` of one.
fn batch<'a>(
    number: u64,
    route: Route,
    members: impl IntoIterator<Item = &'a Member>,
    first: u64,
    each: usize,
) -> Result<Batch> {
    let mut candidates = Vec::new();
    for member in members {
        let map = PageMap::open(u32::try_from(member.process_id)?)?;
        let frames = map.frames(member.address, member.pages)?;
        let frames = frames.into_iter().skip(usize::try_from(first)?).step_by(3);
        candidates.extend(frames.flatten().take(each).map(|head| Candidate {
            folio: Folio { head, pages: 1 },
            owner: None,
        }));
    }
    Ok(Batch {
        number,
        route,
        candidates,
    })
}

impl Member {
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
