// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Reads of any size from memory that is kept in aligned 64-bit words.

use crate::native::to_usize;

/// Bytes of the words that register pages are made of.
pub const WORD_BYTES: u64 = 8;

/// Fills `data` from the words around `offset`; `word` gives the word at an offset that is a
/// multiple of 8. Behind the last address there is the last word again.
pub fn read(offset: u64, data: &mut [u8], mut word: impl FnMut(u64) -> u64) {
    let mut position = offset;
    let mut rest = data;
    while !rest.is_empty() {
        let skipped = position % WORD_BYTES;
        let start = position.saturating_sub(skipped);
        let bytes = word(start).to_le_bytes();
        let (_, bytes) = bytes.split_at(to_usize(skipped));
        let taken = bytes.len().min(rest.len());
        let (now, later) = rest.split_at_mut(taken);
        for (to, from) in now.iter_mut().zip(bytes) {
            *to = *from;
        }
        rest = later;
        position = start.saturating_add(WORD_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn reads_are_slices_of_the_words(offset in 0_u64..40, bytes in 0_usize..40) {
            let memory: Vec<u8> = (0..96).collect();
            let mut data = vec![0xff; bytes];
            read(offset, &mut data, |word| {
                let start = usize::try_from(word).unwrap();
                u64::from_le_bytes(memory[start..start + 8].try_into().unwrap())
            });
            let start = usize::try_from(offset).unwrap();
            prop_assert_eq!(&data, &memory[start..start + bytes]);
        }
    }

    #[test]
    fn the_end_of_the_address_space_is_no_trouble() {
        let mut data = [1; 24];
        read(u64::MAX - 3, &mut data, |_| 0);
        assert_eq!(data, [0; 24]);
    }
}
