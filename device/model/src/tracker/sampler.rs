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

    /// Whether the next request counts.
    pub(crate) fn admits(&mut self) -> bool {
        if self.remaining > 1 {
            self.remaining = self.remaining.wrapping_sub(1);
            return false;
        }
        self.remaining = self.gap();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_2_to_the_nth_request_counts() {
        for factor_log2 in 0..=15 {
            let mut sampler = Sampler::new(factor_log2, None);
            let factor = 1 << factor_log2;
            for request in 1..=3 * factor {
                assert_eq!(sampler.admits(), request % factor == 0, "2^{factor_log2}");
            }
        }
    }

    #[test]
    fn random_gaps_have_the_factor_as_mean_and_repeat_with_the_seed() {
        let run = |seed| {
            let mut sampler = Sampler::new(4, Some(seed));
            (0..160_000).map(|_| sampler.admits()).collect::<Vec<_>>()
        };
        let admitted = run(1).into_iter().filter(|admitted| *admitted).count();
        assert!((9_700..=10_300).contains(&admitted), "{admitted}");
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }

    #[test]
    fn factor_one_counts_everything_even_when_random() {
        let mut sampler = Sampler::new(0, Some(3));
        assert!((0..1000).all(|_| sampler.admits()));
    }
}
