// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a source said in one epoch, as far as its settings depend on it.

/// Weights that lie so many times apart belong to different kinds of pages.
const GAP: u64 = 4;

/// One epoch's report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Window {
    /// Units reported.
    pub units: u64,
    /// Units of the window before that could have been reported again: their pages have not moved.
    pub before: u64,
    /// Those of them that were.
    pub again: u64,
    /// There were more units than the list could hold.
    pub overflow: bool,
    /// The greatest weight.
    pub hottest: u64,
    /// Units whose weight is less than half above the threshold.
    pub barely: u64,
    /// A threshold between the hot ones and the others, where a wide gap lies between their weights.
    pub gap: Option<u64>,
}

impl Window {
    /// Looks at the weights of an epoch's units, in any order.
    pub fn of(mut weights: Vec<u64>, threshold: u64) -> Window {
        weights.sort_unstable();
        let is_bare = |weight: &&u64| weight.saturating_mul(2) < threshold.saturating_mul(3);
        Window {
            units: weights.len() as u64,
            hottest: weights.last().copied().unwrap_or(0),
            barely: weights.iter().filter(is_bare).count() as u64,
            gap: widest_gap(&weights),
            ..Window::default()
        }
    }
}

/// The geometric middle of the widest gap in ascending weights, by their ratio.
fn widest_gap(weights: &[u64]) -> Option<u64> {
    let wide = weights.windows(2).filter_map(|pair| {
        let (below, above) = (pair[0].max(1), pair[1]);
        (above / below >= GAP).then_some((above / below, below, above))
    });
    let (_, below, above) = wide.max()?;
    let middle = (u128::from(below) * u128::from(above)).isqrt();
    u64::try_from(middle).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_between_two_kinds_of_pages() {
        let window = Window::of(vec![900, 40, 1000, 45, 60, 1100], 32);
        let expected = Window {
            units: 6,
            hottest: 1100,
            barely: 2,
            gap: Some(232),
            ..Window::default()
        };
        assert_eq!(window, expected);
        for weights in [vec![], vec![7], vec![32, 64, 128, 256], vec![5; 9]] {
            assert_eq!(Window::of(weights, 4).gap, None);
        }
        assert_eq!(
            Window::of(vec![0, u64::MAX], 4).gap,
            Some(u64::from(u32::MAX))
        );
    }
}
