// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Address newtypes: a host physical address is never passed where a device physical one is meant.

use std::fmt;

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }
    };
}

address! {
    /// Host physical address in bytes (for a guest: its own physical address).
    Hpa
}
address! {
    /// Device physical address in bytes, from 0 to the device's capacity.
    Dpa
}
address! {
    /// Number of a tracked unit: device physical address divided by the unit size.
    UnitIndex
}
address! {
    /// Page frame number: host physical address divided by 4096.
    Pfn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_print_in_hex() {
        assert_eq!(Hpa(0x1_0000_0000).to_string(), "0x100000000");
        assert_eq!(Pfn(16).to_string(), "0x10");
    }
}
