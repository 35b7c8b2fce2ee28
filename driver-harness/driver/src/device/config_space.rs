// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The extended capabilities of a function's configuration space (PCI Express 6.0 7.6).

use chmu_spec::pci::{
    CONFIG_SPACE_BYTES, EXTENDED_CAPABILITIES, ExtendedCapabilityHeader, extended_capability,
};

use super::DeviceError;
use crate::transport::{Transport, TransportError, Width};

/// No capability is shorter than two dwords, so no chain has more links.
const CAPABILITIES_MAX: usize = (CONFIG_SPACE_BYTES as usize - EXTENDED_CAPABILITIES as usize) / 8;

/// Reads configuration space in dwords.
pub(super) trait ConfigSpace {
    /// The function as users name it.
    fn device(&self) -> &str;

    /// The dword at an offset that is a multiple of four.
    fn dword(&self, offset: u16) -> Result<u32, TransportError>;
}

impl ConfigSpace for dyn Transport + '_ {
    fn device(&self) -> &str {
        Transport::device(self)
    }

    fn dword(&self, offset: u16) -> Result<u32, TransportError> {
        self.read_config(offset, Width::Four)
    }
}

/// Where an extended capability lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ExtendedCapability {
    pub(super) id: u16,
    pub(super) offset: u16,
}

impl ExtendedCapability {
    /// The dword `bytes` further on; an error beyond the end of configuration space.
    pub(super) fn dword<C: ConfigSpace + ?Sized>(
        self,
        space: &C,
        bytes: u16,
    ) -> Result<u32, DeviceError> {
        match self.offset.checked_add(bytes) {
            Some(offset) if offset <= CONFIG_SPACE_BYTES - 4 => Ok(space.dword(offset)?),
            _ => Err(DeviceError::CapabilityTooLong {
                device: space.device().to_owned(),
                offset: self.offset,
            }),
        }
    }
}

/// All extended capabilities, in the order of their chain.
pub(super) fn extended_capabilities<C: ConfigSpace + ?Sized>(
    space: &C,
) -> Result<Vec<ExtendedCapability>, DeviceError> {
    let broken = |offset, reason| DeviceError::CapabilityChain {
        device: space.device().to_owned(),
        offset,
        reason,
    };
    let mut found: Vec<ExtendedCapability> = Vec::new();
    let mut offset = EXTENDED_CAPABILITIES;
    loop {
        let header = space.dword(offset)?;
        if header == u32::MAX {
            return Err(broken(offset, "reads as all ones"));
        }
        let header = ExtendedCapabilityHeader::from_bits(header);
        let id = header.id();
        // A chain that starts with id 0 is empty; later such links are placeholders.
        if id != 0 {
            found.push(ExtendedCapability { id, offset });
        }
        // Bits 1:0 of the pointer are reserved.
        let next = header.next() & !3;
        if next == 0 {
            return Ok(found);
        }
        if next < EXTENDED_CAPABILITIES {
            return Err(broken(offset, "points into the first 256 bytes"));
        }
        if found.len() >= CAPABILITIES_MAX || found.iter().any(|link| link.offset == next) {
            return Err(broken(offset, "points back"));
        }
        if id == 0 && next <= offset {
            return Err(broken(offset, "is empty and points back"));
        }
        offset = next;
    }
}

/// The serial number; none when the function has none.
pub(super) fn serial_number<C: ConfigSpace + ?Sized>(
    space: &C,
    capabilities: &[ExtendedCapability],
) -> Result<Option<u64>, DeviceError> {
    let Some(capability) = capabilities
        .iter()
        .find(|capability| capability.id == extended_capability::SERIAL_NUMBER)
    else {
        return Ok(None);
    };
    let low = capability.dword(space, 4)?;
    let high = capability.dword(space, 8)?;
    Ok(Some(u64::from(high) << 32 | u64::from(low)))
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A configuration space that ends where its bytes end.
    #[derive(Debug, Clone)]
    pub(crate) struct Bytes(pub(crate) Vec<u8>);

    impl Bytes {
        pub(crate) fn empty() -> Bytes {
            Bytes(vec![0; 4096])
        }

        pub(crate) fn put(&mut self, offset: usize, dwords: &[u32]) {
            for (index, dword) in dwords.iter().enumerate() {
                let at = offset + index * 4;
                self.0[at..at + 4].copy_from_slice(&dword.to_le_bytes());
            }
        }
    }

    impl ConfigSpace for Bytes {
        fn device(&self) -> &str {
            "0000:35:00.0"
        }

        fn dword(&self, offset: u16) -> Result<u32, TransportError> {
            let offset = usize::from(offset);
            match self.0.get(offset..offset + 4) {
                Some(bytes) => Ok(u32::from_le_bytes(bytes.try_into().unwrap())),
                None => Err(TransportError::Content {
                    path: "config".into(),
                    reason: "it is too short".into(),
                }),
            }
        }
    }

    /// The header of an extended capability of version 1.
    pub(crate) fn header(id: u16, next: u16) -> u32 {
        u32::from(id) | 1 << 16 | u32::from(next) << 20
    }

    fn message(space: &Bytes) -> String {
        extended_capabilities(space).unwrap_err().to_string()
    }

    #[test]
    fn the_chain_is_followed_to_its_end() {
        let mut space = Bytes::empty();
        space.put(0x100, &[header(3, 0x203), 0x89ab_cdef, 0x0123_4567]);
        space.put(0x200, &[header(0x23, 0x150)]);
        space.put(0x150, &[header(0x2e, 0)]);
        let found = extended_capabilities(&space).unwrap();
        let seen: Vec<_> = found.iter().map(|link| (link.id, link.offset)).collect();
        assert_eq!(seen, [(3, 0x100), (0x23, 0x200), (0x2e, 0x150)]);
        let serial = serial_number(&space, &found).unwrap();
        assert_eq!(serial, Some(0x0123_4567_89ab_cdef));
    }

    #[test]
    fn no_capability_is_no_error() {
        let found = extended_capabilities(&Bytes::empty()).unwrap();
        assert_eq!(found, []);
        assert_eq!(serial_number(&Bytes::empty(), &found).unwrap(), None);
    }

    #[test]
    fn a_broken_chain_is_a_sentence() {
        let mut space = Bytes::empty();
        space.put(0x100, &[header(3, 0x200)]);
        space.put(0x200, &[header(4, 0x100)]);
        assert_eq!(
            message(&space),
            "The extended capability at 0x200 of 0000:35:00.0 points back"
        );
        space.put(0x200, &[header(4, 0x40)]);
        assert!(message(&space).ends_with("points into the first 256 bytes"));
        space.put(0x200, &[u32::MAX]);
        assert!(message(&space).ends_with("at 0x200 of 0000:35:00.0 reads as all ones"));
        space.put(0x100, &[0x1000_0000]);
        assert!(message(&space).ends_with("is empty and points back"));
        space.put(0x100, &[header(3, 0xffc)]);
        space.put(0xffc, &[header(3, 0)]);
        let found = extended_capabilities(&space).unwrap();
        let error = serial_number(&space, &found[1..]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "The extended capability at 0xffc of 0000:35:00.0 ends beyond configuration space"
        );
    }

    #[test]
    fn a_short_space_is_an_error() {
        for length in [0, 64, 256, 0x102] {
            let mut space = Bytes::empty();
            space.0.truncate(length);
            assert!(extended_capabilities(&space).is_err(), "{length}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end_the_walk(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
            if let Ok(found) = extended_capabilities(&Bytes(bytes)) {
                prop_assert!(found.len() <= CAPABILITIES_MAX);
            }
        }

        #[test]
        fn any_chain_ends_the_walk(links in proptest::collection::vec((any::<u8>(), 0x40_u16..0x3ff), 960)) {
            let mut space = Bytes::empty();
            for (index, (id, next)) in links.iter().enumerate() {
                space.put(0x100 + index * 4, &[header((*id).into(), next * 4)]);
            }
            if let Ok(found) = extended_capabilities(&space) {
                prop_assert!(found.len() <= CAPABILITIES_MAX);
            }
        }
    }
}
