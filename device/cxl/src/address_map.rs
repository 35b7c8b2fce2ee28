// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Host physical to device physical addresses, by the decoders that decode now.

use chmu_spec::access::{self, Access, LINE_BYTES};
use chmu_spec::address::{Dpa, Hpa, HpaRange};
use chmu_spec::interleave::DecoderWindow;
use chmu_spec::request::AccessKind;

const SIGN_BIT: u64 = 1 << 63;

/// A decoder window with what the device alone knows of it: who may come through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CommittedDecoder {
    pub(crate) window: DecoderWindow,
    /// Requests there come from trusted execution environments.
    pub(crate) tee: bool,
}

impl CommittedDecoder {
    /// What the device sees of an access, and whether it sees any. Nothing branches on where the
    /// access goes.
    fn access(&self, access: Access<Hpa>) -> (Access<Dpa>, bool) {
        let window = &self.window;
        let hpa_offset = access.address().0.wrapping_sub(window.base.0);
        let share = window.interleave.split(hpa_offset);
        let (dpa, overflows) = window.dpa_base.0.overflowing_add(share.dpa_offset);
        let has_granule = (window.interleave.ways() == 1) | (share.position == window.position);
        let is_own = (hpa_offset < window.size_bytes) & has_granule & !overflows;
        (Access::new(Dpa(dpa), access.kind(), self.tee), is_own)
    }

    /// Whether the device owns all of the window, and adding a constant to a word translates it.
    fn is_plain(&self) -> bool {
        let window = &self.window;
        let last = window.size_bytes.wrapping_sub(1);
        window.interleave.ways() == 1
            && (window.base.0 | window.dpa_base.0 | window.size_bytes).is_multiple_of(LINE_BYTES)
            && last < SIGN_BIT
            && window.dpa_base.0.checked_add(last).is_some()
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

    /// Whether a committed decoder decodes anything.
    pub(crate) fn decodes(&self) -> bool {
        !self.decoders.is_empty()
    }

    /// Whether an address is one of this device's memory, whatever the device takes it for.
    pub(crate) fn decodes_address(&self, address: Hpa) -> bool {
        let mut decoders = self.decoders.iter();
        decoders.any(|decoder| decoder.window.dpa(address).is_some())
    }

    /// Appends to `batch` those accesses that reach this device's memory.
    pub(crate) fn translate(&self, accesses: &[Access<Hpa>], batch: &mut Vec<Access<Dpa>>) {
        match self.decoders.as_slice() {
            _ if self.untranslated => {
                batch.extend(accesses.iter().map(|access| untranslated(*access)));
            }
            [only] => {
                if !(only.is_plain() && direct(only, accesses, batch)) {
                    access::keep(accesses, batch, |access| only.access(access));
                }
            }
            decoders => access::keep(accesses, batch, |access| search(decoders, access)),
        }
    }
}

/// What a device sees that takes host physical addresses for its own.
fn untranslated(access: Access<Hpa>) -> Access<Dpa> {
    Access::new(Dpa(access.address().0), access.kind(), false)
}

/// What the device sees of an access through the first window that contains it.
fn search(decoders: &[CommittedDecoder], access: Access<Hpa>) -> (Access<Dpa>, bool) {
    let nothing = (Access::from_word(0), false);
    decoders.iter().rev().fold(nothing, |later, decoder| {
        let seen = decoder.access(access);
        if seen.1 { seen } else { later }
    })
}

/// The usual case: all accesses are to one window, which belongs to this device alone. Appends
/// nothing and returns false when an access is not.
fn direct(
    decoder: &CommittedDecoder,
    accesses: &[Access<Hpa>],
    batch: &mut Vec<Access<Dpa>>,
) -> bool {
    let window = &decoder.window;
    let (base, dpa_base) = (window.base.0, window.dpa_base.0);
    let last = window.size_bytes.wrapping_sub(1);
    let tee = Access::new(Dpa(0), AccessKind::Read, decoder.tee).word();
    let before = batch.len();
    // Its sign tells whether an offset is beyond the last one: both are below 2^63, or else the
    // offset's own sign tells. That takes no branch, and several at once.
    let mut signs = 0;
    batch.extend(accesses.iter().map(|access| {
        let offset = access.word().wrapping_sub(base);
        signs |= offset | last.wrapping_sub(offset);
        Access::from_word(dpa_base.wrapping_add(offset) | tee)
    }));
    let inside = signs & SIGN_BIT == 0;
    if !inside {
        batch.truncate(before);
    }
    inside
}

#[cfg(test)]
mod tests {
    use chmu_spec::interleave::Interleave;
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

    /// What the device sees of writes, one after the other, by the window's own rule.
    fn naive(windows: &[CommittedDecoder], hpas: &[u64]) -> Vec<Access<Dpa>> {
        let one = |hpa: &u64| {
            windows.iter().find_map(|mapped| {
                let dpa = mapped.window.dpa(Hpa(*hpa))?;
                Some(Access::new(dpa, AccessKind::Write, mapped.tee))
            })
        };
        hpas.iter().filter_map(one).collect()
    }

    fn translated(windows: &[CommittedDecoder], hpas: &[u64]) -> Vec<Access<Dpa>> {
        let accesses: Vec<_> = hpas.iter().map(|hpa| Access::write(Hpa(*hpa))).collect();
        let mut batch = Vec::new();
        AddressMap::new(windows.to_vec()).translate(&accesses, &mut batch);
        batch
    }

    fn translate(map: &AddressMap, hpa: u64) -> Option<Access<Dpa>> {
        let mut batch = Vec::new();
        map.translate(&[Access::write(Hpa(hpa))], &mut batch);
        batch.pop()
    }

    /// Addresses in and around the windows below, in batches of any length.
    fn hpas() -> impl Strategy<Value = Vec<u64>> {
        let inside = 0x1000_0000_u64..0x1000_4000;
        let edges = prop_oneof![
            inside.clone(),
            0x0fff_ff00_u64..0x1000_0100,
            0x1fff_ff00_u64..0x2000_0100,
            0x1_0000_0000_u64..0x1_0000_4000,
            any::<u64>(),
        ];
        let lengths = prop_oneof![0..4_usize, 1023..1026_usize];
        lengths.prop_flat_map(move |length| {
            prop_oneof![
                prop::collection::vec(inside.clone(), length),
                prop::collection::vec(edges.clone(), length),
            ]
        })
    }

    proptest! {
        #[test]
        fn batches_equal_single_translations(
            hpas in hpas(),
            ways in prop::sample::select(vec![1_u8, 2, 3, 4, 6, 8, 12, 16]),
            position in 0_u8..16,
            dpa_base in prop::sample::select(vec![0, 0x2000_0000, 0_u64.wrapping_sub(0x1000)]),
            second: bool,
        ) {
            let mut windows = vec![window(0x1000_0000, ways, position % ways, dpa_base)];
            windows.extend(second.then(|| window(0x1_0000_0000, 2, 1, 0x1000_0000)));
            prop_assert_eq!(translated(&windows, &hpas), naive(&windows, &hpas));
            let map = AddressMap::new(windows.clone());
            for hpa in hpas {
                let is_decoded = !naive(&windows, &[hpa]).is_empty();
                prop_assert_eq!(map.decodes_address(Hpa(hpa)), is_decoded);
            }
        }
    }

    #[test]
    fn windows_that_no_decoder_has_are_safe() {
        for (base, size_bytes, position) in [
            (0x1000_0000, 0, 0),
            (0x1000_0020, 0x1000, 0),
            (0, u64::MAX, 0),
            (1 << 63, 1 << 63, 0),
            (0x1000_0000, 0x1000, 1),
        ] {
            let mut mapped = window(base, 1, position, 0);
            mapped.window.size_bytes = size_bytes;
            let hpas = [base, base.wrapping_add(64), base ^ 1 << 63, 0, u64::MAX];
            // Only lines count: those of the oracle's accesses.
            let hpas = hpas.map(|hpa| hpa & !63);
            assert_eq!(translated(&[mapped], &hpas), naive(&[mapped], &hpas));
        }
    }

    #[test]
    fn each_window_has_its_own_rules() {
        let map = AddressMap::new(vec![
            window(0x1000_0000, 1, 0, 0),
            window(0x1_0000_0000, 2, 1, 0x1000_0000),
        ]);
        let seen = |hpa| translate(&map, hpa).map(|access| (access.address().0, access.is_tee()));
        assert_eq!(seen(0x1000_0040), Some((0x40, false)));
        assert_eq!(seen(0x2000_0000), None);
        assert_eq!(seen(0x1_0000_0040), None);
        assert_eq!(seen(0x1_0000_0140), Some((0x1000_0040, true)));
        assert_eq!(seen(0x1_0000_0300), Some((0x1000_0100, true)));
        assert_eq!(translate(&AddressMap::default(), 0x1000_0000), None);
    }
}
