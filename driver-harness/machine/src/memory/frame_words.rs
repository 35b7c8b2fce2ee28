// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Files of the kernel with one 64-bit word for each frame: `/proc/kpageflags`, `/proc/kpagecount`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use chmu_spec::address::Pfn;

/// Frames no further apart than this are read together: the kernel works as long on the word between
/// as on another call (500 instructions each on Linux 7.3).
const GAP_FRAMES: u64 = 1;
/// Words of one read; more are never asked for by whoever knows what a folio is.
const WORDS_MAX: u64 = 1 << 20;

/// The words of `frames`, at most [`WORDS_MAX`], in one read where the kernel answers in one;
/// `nowhere` for frames past the end of memory.
pub(super) fn read(file: &File, frames: Range<u64>, nowhere: u64) -> io::Result<Vec<u64>> {
    let count = frames.end.saturating_sub(frames.start).min(WORDS_MAX);
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let Some(offset) = frames.start.checked_mul(8) else {
        return Ok(vec![nowhere; count]);
    };
    let mut bytes = vec![0; count * 8];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], offset.saturating_add(filled as u64)) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // What the kernel says of an offset that does not fit a file position.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
            Err(error) => return Err(error),
        }
    }
    let words = bytes[..filled].as_chunks().0.iter();
    let mut words: Vec<_> = words.map(|word| u64::from_ne_bytes(*word)).collect();
    words.resize(count, nowhere);
    Ok(words)
}

/// The value of each of `frames`, in their order, by as few reads of ranges as are worth it.
pub(super) fn each<T: Copy, E>(
    frames: &[Pfn],
    nowhere: T,
    mut read_range: impl FnMut(Range<u64>) -> Result<Vec<T>, E>,
) -> Result<Vec<T>, E> {
    let mut known: BTreeMap<u64, T> = BTreeMap::new();
    for range in spans(frames) {
        let start = range.start;
        known.extend((start..).zip(read_range(range)?));
    }
    let value = |frame: &Pfn| known.get(&frame.0).copied().unwrap_or(nowhere);
    Ok(frames.iter().map(value).collect())
}

/// Ranges that hold all frames, ascending, with no more than [`GAP_FRAMES`] between two of them.
fn spans(frames: &[Pfn]) -> Vec<Range<u64>> {
    let mut numbers: Vec<_> = frames.iter().map(|frame| frame.0).collect();
    numbers.sort_unstable();
    let mut spans: Vec<Range<u64>> = Vec::new();
    for number in numbers {
        let end = number.saturating_add(1);
        match spans.last_mut() {
            Some(last)
                if number.saturating_sub(last.end) <= GAP_FRAMES
                    && end - last.start <= WORDS_MAX =>
            {
                last.end = last.end.max(end);
            }
            _ => spans.push(number..end),
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_frame_gets_its_own_value_whatever_is_read_together(
            frames in proptest::collection::vec(0..2000_u64, 0..100),
        ) {
            let frames: Vec<_> = frames.into_iter().map(Pfn).collect();
            let mut reads = 0_u64;
            let mut words = 0;
            let values = each(&frames, u64::MAX, |range| {
                reads += 1;
                words += range.end - range.start;
                Ok::<_, ()>(range.map(|frame| frame * 3).collect())
            });
            let expected: Vec<_> = frames.iter().map(|frame| frame.0 * 3).collect();
            prop_assert_eq!(values, Ok(expected));
            prop_assert!(reads <= frames.len() as u64);
            prop_assert!(words <= (GAP_FRAMES + 1) * frames.len() as u64);
        }
    }

    #[test]
    fn a_short_answer_leaves_the_rest_nowhere() {
        let values = each(&[Pfn(4), Pfn(5), Pfn(u64::MAX)], 9, |range| {
            Ok::<_, ()>(vec![1; usize::from(range.start == 4)])
        });
        assert_eq!(values, Ok(vec![1, 9, 9]));
    }
}
