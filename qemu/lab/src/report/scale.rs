// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where values lie along an axis of a picture.

/// A straight scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    least: f64,
    most: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// Values from `least` to `most` lie between two places; values outside, and what is no number, at the nearer end.
    pub(super) fn new((least, most): (f64, f64), (from, to): (f64, f64)) -> Self {
        let most = if most > least { most } else { least + 1.0 };
        Self {
            least,
            most,
            from,
            to,
        }
    }

    pub(super) fn at(&self, value: f64) -> f64 {
        let part = ((value - self.least) / (self.most - self.least)).clamp(0.0, 1.0);
        let part = if part.is_nan() { 0.0 } else { part };
        self.from + part * (self.to - self.from)
    }

    /// Round values within, `most` steps between them at most: of 1, 2 or 5 times a power of ten.
    pub(super) fn ticks(&self, most: u32) -> Vec<f64> {
        let rough = (self.most - self.least) / f64::from(most.max(1));
        let power = 10_f64.powf(rough.log10().floor());
        let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
        let step = steps.into_iter().find(|step| *step >= rough * 0.999);
        let step = step.unwrap_or(power);
        let first = (self.least / step).ceil();
        (0..=most)
            .map(|place| (first + f64::from(place)) * step)
            .take_while(|value| *value <= self.most + step * 1e-9)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        let ticks = |least, most| Scale::new((least, most), (0.0, 1.0)).ticks(5);
        assert_eq!(
            ticks(0.0, 1.0),
            [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]
        );
        assert_eq!(ticks(0.0, 37.0), [0.0, 10.0, 20.0, 30.0]);
        assert_eq!(ticks(-0.3, 1.0), [0.0, 0.5, 1.0]);
        assert_eq!(ticks(0.0, 2_345_678.0), [0.0, 5e5, 1e6, 1.5e6, 2e6]);
    }

    #[test]
    fn what_lies_outside_stays_in_the_picture() {
        let scale = Scale::new((0.0, 10.0), (100.0, 0.0));
        let places = [0.0, 5.0, 10.0, -3.0, 99.0, f64::NAN, f64::INFINITY].map(|one| scale.at(one));
        assert_eq!(places, [100.0, 50.0, 0.0, 100.0, 0.0, 100.0, 0.0]);
        assert_eq!(Scale::new((3.0, 3.0), (0.0, 9.0)).at(3.0), 0.0);
    }
}
