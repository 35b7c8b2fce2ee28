// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One access to memory, as it travels from the producer's ring to a counter.

use std::fmt;
use std::marker::PhantomData;

use crate::address::PhysicalAddress;
use crate::request::AccessKind;

/// Bytes of the cache line that an access names.
pub const LINE_BYTES: u64 = 64;

const LINE_MASK: u64 = !(LINE_BYTES - 1);
const WRITE_BIT: u64 = 1;
const TEE_BIT: u64 = 1 << 1;
const CLASS_MASK: u64 = WRITE_BIT | TEE_BIT;

/// One access to one 64-byte line, in a word: `Access<Hpa>` as the host issues it, `Access<Dpa>`
/// as it reaches the device's memory.
///
/// Bits 63:6 hold the line's address, bit 1 is set when the access comes from a trusted execution
/// environment, and bit 0 for a write. Bits 5:2 are reserved and mean nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Access<A> {
    word: u64,
    space: PhantomData<A>,
}

impl<A: PhysicalAddress> Access<A> {
    /// An access of a kind to the line that holds `address`; `tee` says that it comes from a
    /// trusted execution environment.
    #[inline]
    pub fn new(address: A, kind: AccessKind, tee: bool) -> Self {
        let class = u64::from(kind == AccessKind::Write) | u64::from(tee) << 1;
        Self::from_word(address.bytes() & LINE_MASK | class)
    }

    /// A read of the line that holds `address`, from outside trusted execution environments.
    #[inline]
    pub fn read(address: A) -> Self {
        Self::new(address, AccessKind::Read, false)
    }

    /// A write of the line that holds `address`, from outside trusted execution environments.
    #[inline]
    pub fn write(address: A) -> Self {
        Self::new(address, AccessKind::Write, false)
    }

    /// The access in a word.
    #[inline]
    pub const fn from_word(word: u64) -> Self {
        Self {
            word,
            space: PhantomData,
        }
    }

    /// The access as a word.
    #[inline]
    pub const fn word(self) -> u64 {
        self.word
    }

    /// Address of the line's first byte.
    #[inline]
    pub fn address(self) -> A {
        A::from_bytes(self.word & LINE_MASK)
    }

    /// Read or write.
    #[inline]
    pub const fn kind(self) -> AccessKind {
        if self.word & WRITE_BIT == 0 {
            AccessKind::Read
        } else {
            AccessKind::Write
        }
    }

    /// Whether it comes from a trusted execution environment.
    #[inline]
    pub const fn is_tee(self) -> bool {
        self.word & TEE_BIT != 0
    }

    /// Bits 1:0 of the word: the kind and where the access comes from.
    #[inline]
    pub const fn class(self) -> u64 {
        self.word & CLASS_MASK
    }
}

impl<A: PhysicalAddress + fmt::Display> fmt::Debug for Access<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tee = if self.is_tee() { "TEE " } else { "" };
        let kind = match self.kind() {
            AccessKind::Read => "read",
            AccessKind::Write => "write",
        };
        write!(f, "{tee}{kind} {}", self.address())
    }
}

/// Appends to `kept` what `convert` makes of each access for which it says true. It costs the same
/// whichever pass: their order cannot be foreseen, so nothing branches on it.
#[inline]
pub fn keep<A: PhysicalAddress, B: PhysicalAddress>(
    accesses: &[Access<A>],
    kept: &mut Vec<Access<B>>,
    convert: impl Fn(Access<A>) -> (Access<B>, bool),
) {
    let mut length = kept.len();
    kept.resize(length.saturating_add(accesses.len()), Access::from_word(0));
    for access in accesses {
        let (converted, passes) = convert(*access);
        if let Some(place) = kept.get_mut(length) {
            *place = converted;
        }
        length = length.wrapping_add(usize::from(passes));
    }
    kept.truncate(length);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::address::{Dpa, Hpa};

    const CLASSES: [(AccessKind, bool); 4] = [
        (AccessKind::Read, false),
        (AccessKind::Write, false),
        (AccessKind::Read, true),
        (AccessKind::Write, true),
    ];

    proptest! {
        #[test]
        fn an_access_keeps_line_kind_and_origin(address: u64, class in 0_usize..4) {
            let (kind, tee) = CLASSES[class];
            let access = Access::new(Dpa(address), kind, tee);
            prop_assert_eq!(access.address(), Dpa(address / 64 * 64));
            prop_assert_eq!((access.kind(), access.is_tee()), (kind, tee));
            prop_assert_eq!(access.word(), address / 64 * 64 + class as u64);
            prop_assert_eq!(access.class(), class as u64);
            prop_assert_eq!(Access::from_word(access.word()), access);
        }

        #[test]
        fn keeping_equals_a_filter(
            before in proptest::collection::vec(any::<u64>(), 0..3),
            words in proptest::collection::vec(any::<u64>(), 0..50),
        ) {
            let accesses: Vec<Access<Hpa>> = words.iter().map(|word| Access::from_word(*word)).collect();
            let mut kept: Vec<Access<Dpa>> = before.iter().map(|word| Access::from_word(*word)).collect();
            let mut expected = kept.clone();
            keep(&accesses, &mut kept, |access| {
                (Access::from_word(access.word() ^ 4), access.word() % 3 == 0)
            });
            let words = words.iter().filter(|word| *word % 3 == 0);
            expected.extend(words.map(|word| Access::<Dpa>::from_word(word ^ 4)));
            prop_assert_eq!(kept, expected);
        }
    }

    #[test]
    fn accesses_print_what_they_are() {
        assert_eq!(format!("{:?}", Access::read(Hpa(0x1044))), "read 0x1040");
        let access = Access::new(Dpa(0x1000), AccessKind::Write, true);
        assert_eq!(format!("{access:?}"), "TEE write 0x1000");
    }
}
