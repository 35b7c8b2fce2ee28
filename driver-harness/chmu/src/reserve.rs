// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! An allocator with a reserve: where the kernel refuses memory, the program has enough left to end as if a signal had
//! told it to, and so puts back what it changed.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::{Result, ensure};

/// What is set aside: several times what a case holds at once.
const RESERVE: Layout = match Layout::from_size_align(32 << 20, 4096) {
    Ok(layout) => layout,
    Err(_) => panic!("4096 is no power of two"),
};

static RESERVED: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
static STOP: OnceLock<Arc<AtomicBool>> = OnceLock::new();
static IS_SHORT: AtomicBool = AtomicBool::new(false);

/// The system's allocator, and the reserve once that has nothing more.
#[derive(Debug)]
pub(crate) struct WithReserve;

/// Sets memory aside from now on. `stop` is raised when it is needed.
///
/// # Errors
/// When there is not as much.
pub(crate) fn set_aside(stop: &Arc<AtomicBool>) -> Result<()> {
    // SAFETY: the layout has bytes.
    let reserve = unsafe { System.alloc(RESERVE) };
    ensure!(
        !reserve.is_null(),
        "The kernel refuses 32 MiB, without which a run that is short of memory could not put the device back; give this \
         process more memory"
    );
    give_back(RESERVED.swap(reserve, Ordering::AcqRel));
    // A second run in one process is told by the flag of the first.
    let _ = STOP.set(Arc::clone(stop));
    Ok(())
}

/// Whether the kernel has refused memory, so that the reserve was used.
pub(crate) fn is_short() -> bool {
    IS_SHORT.load(Ordering::Acquire)
}

/// Gives the reserve to whoever allocates next; says whether there was one.
fn release() -> bool {
    let reserve = RESERVED.swap(ptr::null_mut(), Ordering::AcqRel);
    if reserve.is_null() {
        return false;
    }
    IS_SHORT.store(true, Ordering::Release);
    if let Some(stop) = STOP.get() {
        stop.store(true, Ordering::Release);
    }
    give_back(reserve);
    true
}

fn give_back(reserve: *mut u8) {
    if !reserve.is_null() {
        // SAFETY: it was allocated with this layout, and whoever took it from RESERVED is the only one to have it.
        unsafe { System.dealloc(reserve, RESERVE) };
    }
}

/// Allocates, and once more after the reserve is given back.
fn once_more(allocate: impl Fn() -> *mut u8) -> *mut u8 {
    let memory = allocate();
    match memory.is_null() && release() {
        true => allocate(),
        false => memory,
    }
}

// SAFETY: all memory is the system allocator's; a request that it refuses changes nothing and may be made again.
unsafe impl GlobalAlloc for WithReserve {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps what is asked of it.
        once_more(|| unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        once_more(|| unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // SAFETY: as above; memory that could not be made larger stays as it was.
        once_more(|| unsafe { System.realloc(memory, layout, bytes) })
    }
}
