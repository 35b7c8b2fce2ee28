// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Heat: accesses, of which older ones count less.
//!
//! # The measure
//! A page's heat is the number of its accesses, each halved for every half-life that has passed since,
//! so that for a page with steady traffic it is the accesses of the last 1.44 half-lives. What sources
//! count is made comparable as an estimate of accesses:
//! - [`WeightKind::Accesses`]: the count;
//! - [`WeightKind::Intervals`]: one access for each interval whose bit is set, the least that there was;
//! - [`WeightKind::Samples`]: `period` accesses for each sample.
//!
//! A weight that pages share is divided by their number.
//!
//! # The arithmetic
//! Whole numbers only, so that the same reports give the same order on every machine. A heat is kept as
//! the logarithm to base 2 of its value plus the time at which it had that, in half-lives. So decay
//! changes nothing that is stored, and which of two heats is greater does not depend on when one asks.

use crate::report::{Weight, WeightKind};

/// Parts of an access that heats are counted in.
pub const ACCESS: u64 = 1000;
/// Bits after the point of a logarithm.
const FRACTION_BITS: u32 = 40;
/// Bits after the point of a number between 1 and 2.
const MANTISSA_BITS: u32 = 63;
/// The square root of 2, the square root of that, and so on: what each bit of a fraction stands for.
const ROOTS: [u64; FRACTION_BITS as usize] = roots();

/// Time in which heat halves; at least one nanosecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HalfLife(u64);

/// A heat above nothing; those that were hotter at any common time are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Heat(i128);

impl HalfLife {
    pub(crate) fn of_ns(nanoseconds: u64) -> HalfLife {
        HalfLife(nanoseconds.max(1))
    }

    fn since_start(self, now_ns: u64) -> i128 {
        (i128::from(now_ns) << FRACTION_BITS) / i128::from(self.0)
    }

    /// So many thousandths of an access now; none for nothing.
    pub(crate) fn heat(self, thousandths: u64, now_ns: u64) -> Option<Heat> {
        (thousandths > 0).then(|| Heat(logarithm(thousandths) + self.since_start(now_ns)))
    }

    /// The thousandths of an access that are left of a heat now; 0 when less than one is.
    pub(crate) fn value(self, heat: Heat, now_ns: u64) -> u64 {
        power(heat.0 - self.since_start(now_ns))
    }

    /// What is left of a heat, and so much more.
    pub(crate) fn add(self, heat: Option<Heat>, thousandths: u64, now_ns: u64) -> Option<Heat> {
        let left = heat.map_or(0, |heat| self.value(heat, now_ns));
        // Without anything new, it stays as exact as it is.
        match thousandths {
            0 => heat,
            _ => self.heat(left.saturating_add(thousandths), now_ns),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a mantissa is below 2")]
const fn roots() -> [u64; FRACTION_BITS as usize] {
    let mut roots = [0; FRACTION_BITS as usize];
    let mut square = 2_u128 << MANTISSA_BITS;
    let mut place = 0;
    while place < roots.len() {
        square = (square << MANTISSA_BITS).isqrt();
        roots[place] = square as u64;
        place += 1;
    }
    roots
}

fn multiply(one: u64, other: u64) -> u128 {
    (u128::from(one) * u128::from(other)) >> MANTISSA_BITS
}

/// Of a number above 0, as a fixed-point number: each squaring tells one bit more.
#[expect(clippy::cast_possible_truncation, reason = "a mantissa is below 2")]
fn logarithm(number: u64) -> i128 {
    let whole = number.ilog2();
    let mut mantissa = number << (MANTISSA_BITS - whole);
    let mut logarithm = u64::from(whole);
    for _ in 0..FRACTION_BITS {
        let square = multiply(mantissa, mantissa);
        let is_above_two = square >> (MANTISSA_BITS + 1) != 0;
        mantissa = (square >> u32::from(is_above_two)) as u64;
        logarithm = logarithm << 1 | u64::from(is_above_two);
    }
    logarithm.into()
}

/// The number whose logarithm it is, rounded to the nearest; 0 below 1, and the greatest that there is.
#[expect(clippy::cast_possible_truncation, reason = "a mantissa is below 2")]
fn power(logarithm: i128) -> u64 {
    let Ok(logarithm) = u64::try_from(logarithm) else {
        return if logarithm < 0 { 0 } else { u64::MAX };
    };
    let whole = logarithm >> FRACTION_BITS;
    if whole >= u64::from(u64::BITS) {
        return u64::MAX;
    }
    let mut mantissa = 1 << MANTISSA_BITS;
    for (bit, root) in (0..FRACTION_BITS).rev().zip(ROOTS) {
        if logarithm >> bit & 1 == 1 {
            mantissa = multiply(mantissa, root) as u64;
        }
    }
    let number = u128::from(mantissa) << whole;
    let rounded = (number + (1 << (MANTISSA_BITS - 1))) >> MANTISSA_BITS;
    u64::try_from(rounded).unwrap_or(u64::MAX)
}

/// A weight as thousandths of accesses: see the module's description.
pub(crate) fn thousandths(weight: Weight) -> u64 {
    let accesses = match weight.kind {
        WeightKind::Accesses | WeightKind::Intervals { .. } => weight.value,
        WeightKind::Samples { period } => weight.value.saturating_mul(period.max(1)),
    };
    accesses.saturating_mul(ACCESS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn decay_takes_no_account_of_how_often_one_looks(
            number in 1_u64..1 << 32, half_ns in 1_000_u64..1 << 40, now_ns in any::<u32>(), half_lives in 0_u64..60,
        ) {
            let half = HalfLife::of_ns(half_ns);
            let heat = half.heat(number, now_ns.into()).unwrap();
            prop_assert_eq!(half.value(heat, now_ns.into()), number);
            let later = u64::from(now_ns) + half_lives * half_ns;
            let left = half.value(heat, later);
            prop_assert!(left.abs_diff(number >> half_lives) <= 1, "{} of {}", left, number);
        }

        #[test]
        fn the_hotter_one_is_hotter_at_any_time(
            first in (1_u64..1 << 30, 0_u64..1 << 40), second in (1_u64..1 << 30, 0_u64..1 << 40),
            later in 0_u64..1 << 40,
        ) {
            let half = HalfLife::of_ns(1_000_000_000);
            let heats = [first, second].map(|(number, now_ns)| half.heat(number, now_ns).unwrap());
            let at = first.1.max(second.1) + later;
            let values = heats.map(|heat| half.value(heat, at));
            if values[0] != values[1] {
                prop_assert_eq!(heats[0] > heats[1], values[0] > values[1]);
            }
        }

        #[test]
        fn logarithm_and_power_are_inverse(number in 1_u64..=u64::MAX) {
            let back = power(logarithm(number));
            prop_assert!(back.abs_diff(number) <= number >> 31, "{} {}", number, back);
        }
    }

    #[test]
    fn kinds_are_made_comparable() {
        let weight = |kind, value| thousandths(Weight { kind, value });
        assert_eq!(weight(WeightKind::Accesses, 32), 32_000);
        assert_eq!(weight(WeightKind::Intervals { interval_ns: 5 }, 3), 3_000);
        assert_eq!(weight(WeightKind::Samples { period: 16 }, 2), 32_000);
        assert_eq!(weight(WeightKind::Samples { period: 0 }, 2), 2_000);
        assert_eq!(
            weight(WeightKind::Samples { period: u64::MAX }, 2),
            u64::MAX
        );
    }

    #[test]
    fn heats_add_up_after_decay() {
        let half = HalfLife::of_ns(100);
        let heat = half.add(None, 8_000, 0);
        let heat = half.add(heat, 1_000, 100);
        assert_eq!(half.value(heat.unwrap(), 100), 5_000);
        assert_eq!(half.add(heat, 0, 200), heat);
        assert_eq!(half.add(None, 0, 0), None);
        assert_eq!(half.value(heat.unwrap(), 100 * 64), 0);
    }
}
