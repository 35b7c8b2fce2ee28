// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Whole numbers with bounds, as the configuration file writes them.

use std::fmt;

use serde::de::{Deserializer, Visitor};

/// Reads an integer that ought to be from `MINIMUM` to `MAXIMUM`.
pub(super) struct NumberVisitor<const MINIMUM: i64, const MAXIMUM: i64>;

impl<const MINIMUM: i64, const MAXIMUM: i64> Visitor<'_> for NumberVisitor<MINIMUM, MAXIMUM> {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from {MINIMUM} to {MAXIMUM}")
    }

    fn visit_i64<E>(self, number: i64) -> Result<i64, E> {
        Ok(number)
    }

    fn visit_u64<E>(self, number: u64) -> Result<i64, E> {
        Ok(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// Reads an integer from `MINIMUM` to `MAXIMUM`.
///
/// # Errors
/// When it is none, or lies outside.
pub(super) fn within<'de, D, T, const MINIMUM: i64, const MAXIMUM: i64>(
    deserializer: D,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<i64>,
{
    let number = deserializer.deserialize_any(NumberVisitor::<MINIMUM, MAXIMUM>)?;
    let inside = (MINIMUM..=MAXIMUM).contains(&number);
    let value = T::try_from(number).ok().filter(|_| inside);
    value.ok_or_else(|| {
        serde::de::Error::custom(format_args!(
            "{number} is not between {MINIMUM} and {MAXIMUM}"
        ))
    })
}
