// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Widths of counters, as the configuration file writes them.

use std::collections::BTreeMap;
use std::fmt;

use chmu_model::CounterWidths;
use chmu_spec::unit_size::UnitSize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

use super::number::NumberVisitor;
use super::values::Unit;

/// Bits that a counter may have.
const COUNTER_BITS: std::ops::RangeInclusive<u8> = 1..=32;
/// Bits of a counter where a table names no `default`.
const DEFAULT_WIDTH: u8 = 16;

/// Bits of the counters: one number for all unit sizes, or a table from unit size to number in
/// which `default` stands for all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Widths {
    default: u8,
    by_unit_size: BTreeMap<Unit, u8>,
}

impl Widths {
    /// The same width for all unit sizes.
    pub fn uniform(width: u8) -> Self {
        Self {
            default: width,
            by_unit_size: BTreeMap::new(),
        }
    }

    /// The widths as the model takes them.
    pub fn to_model(&self) -> CounterWidths {
        let uniform = CounterWidths::uniform(self.default);
        let exceptions = self.by_unit_size.iter();
        exceptions.fold(uniform, |widths, (Unit(size), width)| {
            widths.with(*size, *width)
        })
    }
}

impl From<&CounterWidths> for Widths {
    fn from(widths: &CounterWidths) -> Self {
        let default = widths.of(UnitSize::BASE_PAGE);
        let differs = |size: &UnitSize| widths.of(*size) != default;
        Self {
            default,
            by_unit_size: UnitSize::all()
                .filter(differs)
                .map(|size| (Unit(size), widths.of(size)))
                .collect(),
        }
    }
}

/// Reads a table or a number.
struct WidthsVisitor;

impl<'de> Visitor<'de> for WidthsVisitor {
    type Value = Widths;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a width of 1 to 32 bits, or a table of widths by unit size such as \
             { default = 16, 2M = 24 }",
        )
    }

    fn visit_i64<E: serde::de::Error>(self, width: i64) -> Result<Widths, E> {
        Width::new(width).map(|width| Widths::uniform(width.0))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Widths, A::Error> {
        let mut widths = Widths::uniform(DEFAULT_WIDTH);
        while let Some((key, Width(width))) = table.next_entry::<String, Width>()? {
            if key == "default" {
                widths.default = width;
            } else {
                let unit = key.parse().map_err(serde::de::Error::custom)?;
                widths.by_unit_size.insert(unit, width);
            }
        }
        Ok(widths)
    }
}

/// One width. Reading it as a value of its own lets errors point to it.
struct Width(u8);

impl Width {
    fn new<E: serde::de::Error>(width: i64) -> Result<Self, E> {
        u8::try_from(width)
            .ok()
            .filter(|width| COUNTER_BITS.contains(width))
            .map(Self)
            .ok_or_else(|| E::custom(format_args!("a counter has 1 to 32 bits, not {width}")))
    }
}

impl<'de> Deserialize<'de> for Width {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(deserializer.deserialize_any(NumberVisitor::<1, 32>)?)
    }
}

impl<'de> Deserialize<'de> for Widths {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WidthsVisitor)
    }
}

impl Serialize for Widths {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.by_unit_size.is_empty() {
            return serializer.serialize_u8(self.default);
        }
        let mut table = serializer.serialize_map(None)?;
        table.serialize_entry("default", &self.default)?;
        for (unit, width) in &self.by_unit_size {
            table.serialize_entry(&unit.to_string(), width)?;
        }
        table.end()
    }
}
