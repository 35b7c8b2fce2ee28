// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Down-sampling: which of the tracked requests count.

/// Lets one of 2^n requests through.
#[derive(Debug)]
pub(crate) struct Sampler {
    factor: u32,
    random: Option<fastrand::Rng>,
    /// Requests until one counts, that one included.
    remaining: u32,
}

impl Sampler {
    /// Lets every 2^`factor_log2`-th request through (`factor_log2` up to 15). With a seed the
    /// gaps are drawn evenly from 1 to twice the factor less one, so that their mean is the
    /// factor.
    pub(crate) fn new(factor_log2: u8, seed: Option<u64>) -> Self {
        let mut sampler = Self {
            factor: 1 << (factor_log2 & 15),
            random: seed.map(fastrand::Rng::with_seed),
            remaining: 0,
        };
        sampler.remaining = sampler.gap();
        sampler
    }

    fn gap(&mut self) -> u32 {
        let longest = self.factor.saturating_mul(2).saturating_sub(1);
        match &mut self.random {
            Some(random) => random.u32(1..=longest),
            None => self.factor,
        }
    }

    /// Whether every request counts.
    pub(crate) fn admits_all(&self) -> bool {
        self.factor == 1
    }

    /// Leaves those of the next requests that count. Costs by these, not by all.
    pub(crate) fn thin<T: Copy>(&mut self, requests: &mut Vec<T>) {
        if self.admits_all() {
            return;
        }
        let length = u64::try_from(requests.len()).unwrap_or(u64::MAX);
        let (mut kept, mut passed) = (0_usize, 0_u64);
        loop {
            let next = passed.saturating_add(u64::from(self.remaining));
            if next > length {
                break;
            }
            let counts = usize::try_from(next.saturating_sub(1)).unwrap_or(usize::MAX);
            if let Some(request) = requests.get(counts).copied()
                && let Some(place) = requests.get_mut(kept)
            {
                *place = request;
                kept = kept.saturating_add(1);
            }
            passed = next;
            self.remaining = self.gap();
        }
        let left = u32::try_from(length.saturating_sub(passed)).unwrap_or(u32::MAX);
        self.remaining = self.remaining.saturating_sub(left);
        requests.truncate(kept);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Whether each of `requests` requests counts, which come in pieces of `piece`.
    fn admitted(sampler: &mut Sampler, requests: usize, piece: usize) -> Vec<bool> {
        let mut admitted = vec![false; requests];
        let numbers: Vec<usize> = (0..requests).collect();
        for piece in numbers.chunks(piece) {
            let mut left = piece.to_vec();
            sampler.thin(&mut left);
            left.into_iter().for_each(|number| admitted[number] = true);
        }
        admitted
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            factor_log2 in 0_u8..16,
            seed: Option<u64>,
            requests in 0_usize..5000,
            piece in 1_usize..1100,
        ) {
            let sampler = || Sampler::new(factor_log2, seed);
            prop_assert_eq!(
                admitted(&mut sampler(), requests, piece),
                admitted(&mut sampler(), requests, 1)
            );
        }
    }

    #[test]
    fn every_2_to_the_nth_request_counts() {
        for factor_log2 in 0..=15 {
            let mut sampler = Sampler::new(factor_log2, None);
            let factor = 1 << factor_log2;
            let admitted = admitted(&mut sampler, 3 * factor, 1000);
            for (request, admitted) in (1..).zip(admitted) {
                assert_eq!(admitted, request % factor == 0, "2^{factor_log2}");
            }
        }
    }

    #[test]
    fn random_gaps_have_the_factor_as_mean_and_repeat_with_the_seed() {
        let run = |seed| {
            let mut sampler = Sampler::new(4, Some(seed));
            admitted(&mut sampler, 160_000, 1000)
        };
        let admitted = run(1).into_iter().filter(|admitted| *admitted).count();
        assert!((9_700..=10_300).contains(&admitted), "{admitted}");
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }

    #[test]
    fn factor_one_counts_everything_even_when_random() {
        let mut sampler = Sampler::new(0, Some(3));
        assert!(admitted(&mut sampler, 1000, 7).into_iter().all(|one| one));
    }
}
