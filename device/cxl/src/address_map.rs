// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Host physical to device physical addresses, by the decoders that decode now.

use chmu_model::Access;
use chmu_spec::address::{Dpa, HpaRange};
use chmu_spec::interleave::DecoderWindow;

use crate::host::HostAccess;

/// A decoder window with what the device alone knows of it: who may come through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CommittedDecoder {
    pub(crate) window: DecoderWindow,
    /// Requests there come from trusted execution environments.
    pub(crate) tee: bool,
}

impl CommittedDecoder {
    fn access(&self, access: &HostAccess) -> Option<Access> {
        Some(Access {
            dpa: self.window.dpa(access.hpa)?,
            kind: access.kind,
            tee: self.tee,
        })
    }
}

/// The decoders that decode now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct AddressMap {
    decoders: Vec<CommittedDecoder>,
    /// Host physical addresses are taken for device physical ones.
    untranslated: bool,
}

impl AddressMap {
    pub(crate) fn new(decoders: Vec<CommittedDecoder>) -> Self {
        Self {
            decoders,
            untranslated: false,
        }
    }

    /// A map that reports these windows, and takes host physical addresses for device physical
    /// ones.
    pub(crate) fn untranslated(decoders: Vec<CommittedDecoder>) -> Self {
        Self {
            decoders,
            untranslated: true,
        }
    }

    /// The host physical addresses of each window.
    pub(crate) fn windows(&self) -> Vec<HpaRange> {
        let decoders = self.decoders.iter();
        decoders.map(|decoder| decoder.window.range()).collect()
    }

    /// Appends to `batch` those accesses that reach this device's memory.
    pub(crate) fn translate(&self, accesses: &[HostAccess], batch: &mut Vec<Access>) {
        match self.decoders.as_slice() {
            _ if self.untranslated => {
                batch.extend(accesses.iter().map(untranslated));
            }
            [only] if only.window.interleave.ways() == 1 => direct(only, accesses, batch),
            decoders => {
                batch.extend(accesses.iter().filter_map(|access| {
                    decoders.iter().find_map(|decoder| decoder.access(access))
                }))
            }
        }
    }
}

/// What a device sees that takes host physical addresses for its own.
fn untranslated(access: &HostAccess) -> Access {
    Access {
        dpa: Dpa(access.hpa.0),
        kind: access.kind,
        tee: false,
    }
}

/// The usual case, one window that belongs to this device alone, without a search.
fn direct(decoder: &CommittedDecoder, accesses: &[HostAccess], batch: &mut Vec<Access>) {
    let base = decoder.window.base.0;
    let size_bytes = decoder.window.size_bytes;
    let dpa_base = decoder.window.dpa_base.0;
    batch.extend(accesses.iter().filter_map(|access| {
        let offset = access.hpa.0.wrapping_sub(base);
        (offset < size_bytes).then_some(Access {
            dpa: Dpa(dpa_base.wrapping_add(offset)),
            kind: access.kind,
            tee: decoder.tee,
        })
    }));
}

#[cfg(test)]
mod tests {
    use chmu_spec::address::Hpa;
    use chmu_spec::interleave::Interleave;
    use chmu_spec::request::AccessKind;
    use proptest::prelude::*;

    use super::*;

    fn window(base: u64, ways: u8, position: u8, dpa_base: u64) -> CommittedDecoder {
        CommittedDecoder {
            window: DecoderWindow {
                base: Hpa(base),
                size_bytes: 0x1000_0000 * u64::from(ways),
                interleave: Interleave::new(ways, 256).unwrap(),
                position,
                dpa_base: Dpa(dpa_base),
            },
            tee: position == 1,
        }
    }

    fn translate(map: &AddressMap, hpa: u64) -> Option<Access> {
        let access = HostAccess {
            hpa: Hpa(hpa),
            kind: AccessKind::Write,
        };
        let mut batch = Vec::new();
        map.translate(&[access], &mut batch);
        batch.pop()
    }

    proptest! {
        #[test]
        fn the_usual_case_equals_the_general_one(hpa in 0x0f00_0000_u64..0x4000_0000) {
            let one = window(0x1000_0000, 1, 0, 0x2000_0000);
            let direct = AddressMap::new(vec![one]);
            let searched = AddressMap::new(vec![one, window(0x1_0000_0000, 1, 0, 0)]);
            prop_assert_eq!(translate(&direct, hpa), translate(&searched, hpa));
        }
    }

    #[test]
    fn each_window_has_its_own_rules() {
        let map = AddressMap::new(vec![
            window(0x1000_0000, 1, 0, 0),
            window(0x1_0000_0000, 2, 1, 0x1000_0000),
        ]);
        let seen = |hpa| translate(&map, hpa).map(|access| (access.dpa.0, access.tee));
        assert_eq!(seen(0x1000_0040), Some((0x40, false)));
        assert_eq!(seen(0x2000_0000), None);
        assert_eq!(seen(0x1_0000_0040), None);
        assert_eq!(seen(0x1_0000_0140), Some((0x1000_0040, true)));
        assert_eq!(seen(0x1_0000_0300), Some((0x1000_0100, true)));
        assert_eq!(translate(&AddressMap::default(), 0x1000_0000), None);
    }
}
