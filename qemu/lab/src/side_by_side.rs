// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Pieces of work that need nothing of each other, some of them at a time.

use std::cmp::Reverse;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::Result;

use crate::progress::Progress;

/// A piece of work.
#[derive(Debug, Clone)]
pub(crate) struct Piece<W> {
    /// For people who look at the progress while other pieces are done beside it.
    pub name: String,
    /// How long it takes, compared to others.
    pub size: usize,
    /// What there is to do.
    pub work: W,
}

/// Does all of it, `at_once` pieces at a time. The largest begin first, so that none of them is left
/// alone in the end; what comes of the pieces is in their own order. The progress is at a step of the
/// caller's meanwhile.
///
/// # Errors
/// The first error of a piece. Those that run then come to their end, others are not begun.
pub(crate) fn side_by_side<W: Sync, R: Send>(
    pieces: &[Piece<W>],
    at_once: NonZeroUsize,
    progress: &Progress,
    work: impl Fn(&W, &Progress) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let lanes = at_once.get().min(pieces.len());
    if lanes <= 1 {
        let results = pieces.iter().map(|piece| work(&piece.work, progress));
        return results.collect();
    }
    let mut by_size: Vec<_> = pieces.iter().enumerate().collect();
    by_size.sort_by_key(|(_, piece)| Reverse(piece.size));
    let left = Mutex::new(by_size.into_iter());
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    let stop = || {
        let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
        left.by_ref().for_each(drop);
    };
    let ended = AtomicUsize::new(0);
    let lane = || -> Result<Vec<(usize, R)>> {
        let mut done = Vec::new();
        while let Some((index, piece)) = next() {
            let named = progress.beside_as(&piece.name);
            let result = work(&piece.work, &named);
            done.push((index, result.inspect_err(|_| stop())?));
            let ended = ended.fetch_add(1, Ordering::Relaxed) + 1;
            progress.detail(format!("{ended} of {} ended", pieces.len()));
        }
        Ok(done)
    };
    let lanes = thread::scope(|scope| {
        let begun: Vec<_> = (0..lanes).map(|_| scope.spawn(lane)).collect();
        let ended = begun.into_iter().map(|lane| lane.join());
        ended.collect::<Vec<_>>()
    });
    let mut results = Vec::with_capacity(pieces.len());
    for lane in lanes {
        results.extend(lane.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
    }
    results.sort_by_key(|(index, _)| *index);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    fn pieces(count: usize) -> Vec<Piece<usize>> {
        let piece = |number| Piece {
            name: String::new(),
            size: number % 4,
            work: number,
        };
        (0..count).map(piece).collect()
    }

    fn at_once(lanes: usize) -> NonZeroUsize {
        NonZeroUsize::new(lanes).unwrap()
    }

    #[test]
    fn results_are_in_the_order_of_the_work() {
        let progress = Progress::hidden();
        for lanes in [1, 2, 3, 100] {
            let results = side_by_side(&pieces(17), at_once(lanes), &progress, |it, _| Ok(it * 2));
            let expected: Vec<_> = (0..17).map(|it| it * 2).collect();
            assert_eq!(results.unwrap(), expected, "{lanes}");
        }
    }

    /// Would wait for ever if they came one after the other.
    #[test]
    fn as_many_as_were_asked_for_go_on_at_the_same_time() {
        let (progress, all_here) = (Progress::hidden(), Barrier::new(3));
        let done = side_by_side(&pieces(6), at_once(3), &progress, |_, _| {
            all_here.wait();
            Ok(())
        });
        assert_eq!(done.unwrap().len(), 6);
    }

    #[test]
    fn the_largest_begin_first() {
        let (progress, begun) = (Progress::hidden(), Mutex::new(Vec::new()));
        let (all, both_here) = (pieces(8), Barrier::new(2));
        let done = side_by_side(&all, at_once(2), &progress, |it, _| {
            begun.lock().unwrap().push(it % 4);
            both_here.wait();
            Ok(())
        });
        assert_eq!(done.unwrap().len(), 8);
        assert_eq!(begun.into_inner().unwrap(), [3, 3, 2, 2, 1, 1, 0, 0]);
    }

    #[test]
    fn after_an_error_nothing_is_begun() {
        let progress = Progress::hidden();
        for lanes in [1, 2] {
            let (begun, here) = (AtomicUsize::new(0), Barrier::new(lanes));
            let result = side_by_side(&pieces(8), at_once(lanes), &progress, |_, _| {
                begun.fetch_add(1, Ordering::SeqCst);
                here.wait();
                anyhow::bail!("no") as Result<()>
            });
            assert_eq!(result.unwrap_err().to_string(), "no");
            assert_eq!(begun.into_inner(), lanes);
        }
    }
}
