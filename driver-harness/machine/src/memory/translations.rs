// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Translations of addresses that processors keep (TLBs), and how to have them looked up anew.
//!
//! A page table says that a page was accessed when a processor looks a translation up. Whoever clears
//! that mark without telling the processors, as DAMON does, sees no access as long as they keep the
//! translation: a page that is always in use looks idle. A kept translation gives way when a processor
//! serves another program, or looks up more than it can keep.

use std::io;

use super::buffer::Buffer;

/// More translations than a processor keeps: those of today have up to about three thousand.
const PAGES: u64 = 4096;
/// Processors that an affinity mask has room for.
const PROCESSORS_MAX: usize = 1 << 13;
const MASK_WORDS: usize = PROCESSORS_MAX / 64;

type Mask = [u64; MASK_WORDS];

/// Has all processors look translations up anew, by a visit to each.
#[derive(Debug)]
pub struct Visitor {
    /// Never written: all its pages are the kernel's one of zeros.
    memory: Buffer,
    processors: Vec<usize>,
}

impl Visitor {
    /// For all processors that are online.
    ///
    /// # Errors
    /// When this thread may not run on all of them.
    pub fn new() -> io::Result<Visitor> {
        let allowed = affinity()?;
        let processors: Vec<_> = (0..PROCESSORS_MAX)
            .filter(|&processor| allowed[processor / 64] >> (processor % 64) & 1 == 1)
            .collect();
        // SAFETY: asks for a number.
        let online = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
        match usize::try_from(online).is_ok_and(|online| processors.len() >= online) {
            true => Ok(Visitor {
                memory: Buffer::map(PAGES)?,
                processors,
            }),
            false => Err(io::Error::other(
                "this program may not run on all processors, so that it cannot have them forget translations",
            )),
        }
    }

    /// Visits each processor. The calling thread may run where it might before, when this returns.
    ///
    /// # Errors
    /// When the thread may not run on one that is online any more.
    pub fn visit_all(&self) -> io::Result<()> {
        let before = affinity()?;
        let visited = self.processors.iter().try_for_each(|&processor| {
            let mut mask = [0; MASK_WORDS];
            mask[processor / 64] |= 1 << (processor % 64);
            set_affinity(&mask)?;
            self.walk();
            Ok(())
        });
        set_affinity(&before)?;
        visited
    }

    /// Looks at a word of each page.
    fn walk(&self) {
        let sum = (0..PAGES).fold(0, |sum: u64, page| {
            sum.wrapping_add(self.memory.read(page, 0))
        });
        std::hint::black_box(sum);
    }
}

fn affinity() -> io::Result<Mask> {
    let mut mask = [0; MASK_WORDS];
    let bytes = size_of_val(&mask);
    // SAFETY: `mask` is writable for as many bytes as are named.
    match unsafe { libc::sched_getaffinity(0, bytes, mask.as_mut_ptr().cast()) } {
        0 => Ok(mask),
        _ => Err(io::Error::last_os_error()),
    }
}

fn set_affinity(mask: &Mask) -> io::Result<()> {
    // SAFETY: `mask` is readable for as many bytes as are named.
    match unsafe { libc::sched_setaffinity(0, size_of_val(mask), mask.as_ptr().cast()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visitor_comes_back_to_where_it_may_run() {
        let Ok(visitor) = Visitor::new() else {
            // Some processors are not for this test.
            return;
        };
        let before = affinity().unwrap();
        visitor.visit_all().unwrap();
        assert_eq!(affinity().unwrap(), before);
        let one = visitor.processors[0];
        let mut mask = [0; MASK_WORDS];
        mask[one / 64] |= 1 << (one % 64);
        set_affinity(&mask).unwrap();
        let confined = Visitor::new();
        set_affinity(&before).unwrap();
        assert_eq!(confined.is_ok(), visitor.processors.len() == 1);
    }
}
