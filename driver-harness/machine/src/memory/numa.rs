// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Memory policy and page placement of processes: `mbind(2)` and `move_pages(2)`.

use std::io;

use super::PAGE_BYTES;
use crate::node::NodeId;

/// Flags of `move_pages(2)`, from linux/mempolicy.h.
const MPOL_MF_MOVE: i32 = 1 << 1;
const MPOL_MF_MOVE_ALL: i32 = 1 << 2;
/// Policies of `mbind(2)`, from linux/mempolicy.h.
const MPOL_DEFAULT: i32 = 0;
const MPOL_BIND: i32 = 2;
/// Highest node number that a mask of ours can name.
const NODES_MAX: u32 = 1024;

/// Which pages `move_pages` may move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Only pages that no other process maps.
    Exclusive,
    /// Shared pages too; needs `CAP_SYS_NICE`.
    Shared,
}

/// What became of a page, or where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// It is on this node.
    Node(NodeId),
    /// It is nowhere or did not move, for this reason (an error number).
    Not(i32),
}

/// The node of each page of a process, without touching any.
pub fn query_pages(process_id: u32, addresses: &[u64]) -> io::Result<Vec<Placement>> {
    move_pages_call(process_id, addresses, None, 0)
}

/// Moves pages of a process to `target`; the outcome of each is where it is now.
pub fn move_pages(
    process_id: u32,
    addresses: &[u64],
    target: NodeId,
    sharing: Sharing,
) -> io::Result<Vec<Placement>> {
    let flags = match sharing {
        Sharing::Exclusive => MPOL_MF_MOVE,
        Sharing::Shared => MPOL_MF_MOVE | MPOL_MF_MOVE_ALL,
    };
    let node = i32::try_from(target.0).map_err(|_| io::ErrorKind::InvalidInput)?;
    let nodes = vec![node; addresses.len()];
    move_pages_call(process_id, addresses, Some(&nodes), flags)
}

/// Puts pages that wait in a processor's own list onto the reclaim lists, where migration finds
/// them: `move_pages` does that for the whole machine before it looks at a page.
pub fn drain_reclaim_batches() -> io::Result<()> {
    let page = [0_u8; 1];
    let address = std::ptr::from_ref(&page).addr() as u64 / PAGE_BYTES * PAGE_BYTES;
    let place = query_pages(std::process::id(), &[address])?;
    if let Some(&Placement::Node(node)) = place.first() {
        move_pages(std::process::id(), &[address], node, Sharing::Exclusive)?;
    }
    Ok(())
}

/// `nodes` is as long as `addresses`.
fn move_pages_call(
    process_id: u32,
    addresses: &[u64],
    nodes: Option<&[i32]>,
    flags: i32,
) -> io::Result<Vec<Placement>> {
    let mut status = vec![-libc::ENODATA; addresses.len()];
    let nodes = nodes.map_or(std::ptr::null(), <[i32]>::as_ptr);
    // SAFETY: the three arrays hold as many entries as the call is told; only `status` is written.
    let result = unsafe {
        libc::syscall(
            libc::SYS_move_pages,
            process_id,
            addresses.len(),
            addresses.as_ptr(),
            nodes,
            status.as_mut_ptr(),
            flags,
        )
    };
    // A positive number counts pages that did not move; their status says why.
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let placement = |status: i32| match u32::try_from(status) {
        Ok(node) => Placement::Node(NodeId(node)),
        Err(_) => Placement::Not(-status),
    };
    Ok(status.into_iter().map(placement).collect())
}

/// Binds future pages of an area to a node, or lifts every policy.
///
/// Pages that are there already stay where they are.
pub fn bind(address: u64, bytes: u64, node: Option<NodeId>) -> io::Result<()> {
    let policy = Policy::of(node)?;
    let (mask, mask_bits) = policy.mask();
    // SAFETY: the mask holds the bits the call is told; the area itself is not accessed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mbind,
            address,
            bytes,
            policy.mode,
            mask,
            mask_bits,
            0,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Binds the pages that this thread has the kernel take from now on to a node, those of files too,
/// or lifts that policy.
pub fn bind_thread(node: Option<NodeId>) -> io::Result<()> {
    let policy = Policy::of(node)?;
    let (mask, mask_bits) = policy.mask();
    // SAFETY: the mask holds the bits the call is told.
    let result = unsafe { libc::syscall(libc::SYS_set_mempolicy, policy.mode, mask, mask_bits) };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A memory policy as the kernel takes it.
struct Policy {
    mode: i32,
    mask: [u64; NODES_MAX as usize / 64],
}

impl Policy {
    fn of(node: Option<NodeId>) -> io::Result<Policy> {
        let mut mask = [0_u64; NODES_MAX as usize / 64];
        let Some(node) = node else {
            let mode = MPOL_DEFAULT;
            return Ok(Policy { mode, mask });
        };
        let word = mask.get_mut(node.0 as usize / 64);
        *word.ok_or(io::ErrorKind::InvalidInput)? |= 1 << (node.0 % 64);
        let mode = MPOL_BIND;
        Ok(Policy { mode, mask })
    }

    /// The mask and its length in bits; the kernel takes one bit off what it is told.
    fn mask(&self) -> (*const u64, u64) {
        match self.mode {
            MPOL_DEFAULT => (std::ptr::null(), 0),
            _ => (self.mask.as_ptr(), u64::from(NODES_MAX) + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_beyond_every_mask_is_refused() {
        let error = bind(0, PAGE_BYTES, Some(NodeId(NODES_MAX))).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_page_that_is_not_there_has_no_node() {
        // Page 0 is never mapped. Sandboxes without the call answer ENOSYS or EPERM.
        match query_pages(std::process::id(), &[0]) {
            Ok(placement) => assert!(matches!(placement[..], [Placement::Not(_)])),
            Err(error) => assert!(error.raw_os_error().is_some()),
        }
    }
}
