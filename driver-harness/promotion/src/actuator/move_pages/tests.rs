// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use chmu_machine::memory::owners::Owner;
use chmu_machine::memory::{Buffer, PAGE_BYTES, page_map};
use chmu_spec::address::Pfn;

use super::*;
use crate::batch::{Direction, Folio, Route};

/// A process number that no machine gives out.
const NOBODY: u32 = u32::MAX >> 1;

/// Two written pages of this process and their frames; none where the kernel hides those.
fn own_pages() -> Option<(Buffer, Vec<Candidate>)> {
    let mut buffer = Buffer::map(2).unwrap();
    let process_id = std::process::id();
    for page in 0..2 {
        buffer.write(page, 0, page);
    }
    let mapped = page_map::read(process_id, buffer.address(), 2).ok()?;
    let pages = mapped.frames.into_iter().zip(buffer.page_addresses());
    let candidates = pages.map(|(frame, address)| Candidate {
        folio: Folio {
            head: frame.unwrap(),
            pages: 1,
        },
        owner: Some(Owner {
            process_id,
            address,
        }),
    });
    let candidates = candidates.collect();
    Some((buffer, candidates))
}

fn batch(candidates: Vec<Candidate>, target: NodeId) -> Batch {
    Batch {
        number: 1,
        direction: Direction::Promotion,
        route: Route {
            source: NodeId(1),
            target,
        },
        candidates,
    }
}

/// An actuator that knows of no owner but those that a batch names.
fn actuator() -> Option<MovePages> {
    let owners = Owners::Area {
        process_id: NOBODY,
        addresses: 0..PAGE_BYTES,
    };
    MovePages::new(owners, Places::default()).ok()
}

#[test]
fn pages_of_the_own_process_arrive_where_they_are() {
    let (Some((_buffer, candidates)), Some(mut actuator)) = (own_pages(), actuator()) else {
        // Only root is told of frames.
        return;
    };
    let stop = StopFlag::new().unwrap();
    let batch = batch(candidates, NodeId(0));
    let fates = actuator.promote_batch(&batch, &stop).unwrap();
    let moved = Fate::Moved { node: NodeId(0) };
    // A machine without NUMA has no such call.
    let absent = Fate::Refused {
        errno: libc::ENOSYS,
    };
    assert!(fates == [moved; 2] || fates == [absent; 2], "{fates:?}");
}

#[test]
fn each_page_has_its_own_reason() {
    let (Some((buffer, mut candidates)), Some(mut actuator)) = (own_pages(), actuator()) else {
        return;
    };
    let own = std::process::id();
    // One that nobody maps, one whose owner has ended, one that has another page there by now.
    candidates[0].owner = None;
    candidates[1].owner = Some(Owner {
        process_id: NOBODY,
        address: PAGE_BYTES,
    });
    let elsewhere = Candidate {
        owner: Some(Owner {
            process_id: own,
            address: buffer.address(),
        }),
        ..candidates[1]
    };
    candidates.push(elsewhere);
    let stop = StopFlag::new().unwrap();
    let batch = batch(candidates, NodeId(0));
    let fates = actuator.promote_batch(&batch, &stop).unwrap();
    // A page just written may wait in its processor's list.
    assert!(
        matches!(fates[0], Fate::Unmapped | Fate::NotLru),
        "{fates:?}"
    );
    assert_eq!(fates[1..], [Fate::Gone; 2]);
    stop.raise();
    let fates = actuator.promote_batch(&batch, &stop).unwrap();
    assert_eq!(fates[1..], [Fate::Stayed; 2]);
}

#[test]
fn a_frame_past_the_end_of_memory_is_gone() {
    let Some(mut actuator) = actuator() else {
        return;
    };
    let nowhere = Candidate {
        folio: Folio {
            head: Pfn(1 << 40),
            pages: 1,
        },
        owner: None,
    };
    let stop = StopFlag::new().unwrap();
    let batch = batch(vec![nowhere], NodeId(0));
    let fates = actuator.promote_batch(&batch, &stop).unwrap();
    assert_eq!(fates, [Fate::Gone]);
}

#[test]
fn what_a_call_says_of_itself_holds_for_each_page() {
    let fate = |errno| fate_of_call(&io::Error::from_raw_os_error(errno));
    assert_eq!(fate(libc::ESRCH), Fate::Gone);
    assert_eq!(fate(libc::EACCES), Fate::CpusetForbids);
    let errno = libc::EPERM;
    assert_eq!(fate(errno), Fate::Refused { errno });
    let refused = |errno| {
        fate_of_map(&PageMapError::Read {
            process_id: 1,
            source: io::Error::from_raw_os_error(errno),
        })
    };
    assert_eq!(refused(errno), Fate::Refused { errno });
    assert_eq!(refused(libc::ENOENT), Fate::Gone);
}
