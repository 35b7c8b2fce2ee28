// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the kernel's CHMU driver writes into the AUX buffer of its performance-monitoring unit, by the
//! public patches: for each reading of the hotlist a header of two words and the entries.
//!
//! The first word has the number of entries in bits 15:0 and the bits of a counter in 23:16; the second
//! is a mark.

use chmu_spec::hotlist::Entry;

/// The second word of each header.
const MARK: u64 = 0xdead_beef;
const WORD_BYTES: usize = 8;

/// Entries as they come, also when a piece ends in the middle of a reading.
#[derive(Debug, Default)]
pub(super) struct AuxBuffer {
    /// Bytes that are no whole word yet.
    rest: Vec<u8>,
    /// The first word of a header whose second has not come.
    header: Option<u64>,
    /// Entries that are still to come of the last header, and the bits of a counter in them.
    coming: u16,
    counter_width: u8,
}

/// Bytes that no driver that is known writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuxError {
    /// There is no header where one must be.
    #[error(
        "The driver's AUX buffer has {found:#x} where the mark {MARK:#x} should follow the header {header:#x}"
    )]
    NoMark {
        /// The word before.
        header: u64,
        /// What there is.
        found: u64,
    },
    /// The counter width makes no sense.
    #[error("The driver's AUX buffer names counters of {0} bits; 1 to 63 leave room in an entry")]
    CounterWidth(u8),
}

impl AuxBuffer {
    /// Takes the next bytes, and appends the entries in them.
    pub(super) fn take(&mut self, bytes: &[u8], entries: &mut Vec<Entry>) -> Result<(), AuxError> {
        self.rest.extend_from_slice(bytes);
        let rest = std::mem::take(&mut self.rest);
        let mut words = rest.chunks_exact(WORD_BYTES);
        for word in &mut words {
            let word = word.iter().rev();
            self.word(
                word.fold(0, |word, byte| word << 8 | u64::from(*byte)),
                entries,
            )?;
        }
        self.rest = words.remainder().to_vec();
        Ok(())
    }

    fn word(&mut self, word: u64, entries: &mut Vec<Entry>) -> Result<(), AuxError> {
        if self.coming > 0 {
            self.coming -= 1;
            entries.push(Entry::decode(word, self.counter_width));
            return Ok(());
        }
        let Some(header) = self.header.take() else {
            self.header = Some(word);
            return Ok(());
        };
        if word != MARK {
            return Err(AuxError::NoMark {
                header,
                found: word,
            });
        }
        let [low, high, width, ..] = header.to_le_bytes();
        if !(1..=63).contains(&width) {
            return Err(AuxError::CounterWidth(width));
        }
        self.counter_width = width;
        self.coming = u16::from_le_bytes([low, high]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chmu_spec::address::UnitIndex;
    use proptest::prelude::*;

    use super::*;

    /// The bytes that public documentation of the driver shows.
    #[test]
    fn recorded_bytes_are_entries() {
        let words: [u64; 5] = [0x10_0003, MARK, 0x283, 0x1_0364, 0x2_0366];
        let bytes = words.map(u64::to_le_bytes);
        let mut entries = Vec::new();
        let mut buffer = AuxBuffer::default();
        buffer.take(bytes.as_flattened(), &mut entries).unwrap();
        let seen: Vec<_> = entries.iter().map(|one| (one.unit, one.count)).collect();
        assert_eq!(
            seen,
            [
                (UnitIndex(0), 0x283),
                (UnitIndex(1), 0x364),
                (UnitIndex(2), 0x366)
            ]
        );
    }

    #[test]
    fn what_no_driver_writes_is_refused() {
        let take = |words: &[u64]| {
            let bytes: Vec<_> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            AuxBuffer::default().take(&bytes, &mut Vec::new())
        };
        let no_mark = AuxError::NoMark {
            header: 0x10_0001,
            found: 7,
        };
        assert_eq!(take(&[0x10_0001, 7]), Err(no_mark));
        assert_eq!(take(&[1, MARK]), Err(AuxError::CounterWidth(0)));
        assert_eq!(take(&[64 << 16, MARK]), Err(AuxError::CounterWidth(64)));
        assert_eq!(take(&[]), Ok(()));
    }

    proptest! {
        #[test]
        fn pieces_of_any_length_make_the_same_entries(
            readings in prop::collection::vec(
                (1_u8..=63, prop::collection::vec(any::<u64>(), 0..20)), 0..8),
            cuts in prop::collection::vec(0..100_usize, 0..20),
        ) {
            let mut words = Vec::new();
            let mut expected = Vec::new();
            for (width, entries) in &readings {
                words.push(u64::from(*width) << 16 | entries.len() as u64);
                words.push(MARK);
                words.extend(entries);
                expected.extend(entries.iter().map(|word| Entry::decode(*word, *width)));
            }
            let bytes: Vec<_> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            let mut left = &bytes[..];
            let mut buffer = AuxBuffer::default();
            let mut seen = Vec::new();
            for cut in cuts {
                let (piece, rest) = left.split_at(cut.min(left.len()));
                buffer.take(piece, &mut seen).unwrap();
                left = rest;
            }
            buffer.take(left, &mut seen).unwrap();
            prop_assert_eq!(seen, expected);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = AuxBuffer::default().take(&bytes, &mut Vec::new());
        }
    }
}
