// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Values of the CHMU's own kinds, as the configuration file writes them.

use std::fmt;
use std::str::FromStr;

use chmu_cxl::Profile;
use chmu_model::{Emulation, Quirk, QuirkSet};
use chmu_spec::epoch::{EpochLength, EpochScale};
use chmu_spec::request::RequestFilter;
use chmu_spec::unit_size::UnitSize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use super::quantity::{Nanoseconds, QuantityError, text_or_integer};

/// How alike two names are that one may stand for the other, out of 1; as clap has it.
const ALIKE: f64 = 0.8;

/// A value that the registers cannot express.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not a duration at all.
    #[error(transparent)]
    Duration(#[from] QuantityError),
    /// A duration that no scale and multiplier give.
    #[error("{0} is no epoch length; it is 1 to 4095 times 100us, 1ms, 10ms, 100ms or 1s")]
    Epoch(String),
    /// A name that no request filter has.
    #[error("\"{0}\" is no kind of request; write one of {known}", known = filter_names())]
    RequestFilter(String),
    /// A name that no quirk has.
    #[error("\"{0}\" is no quirk; {meant}vfio-user-chmu --list-quirks names them", meant = meant_quirk(.0))]
    Quirk(String),
    /// A name that no emulation has.
    #[error("\"{0}\" is no emulation; write one of {known}", known = emulation_names())]
    Emulation(String),
    /// A name that no profile has.
    #[error("\"{0}\" is no profile; write one of {known}", known = profile_names())]
    Profile(String),
    /// A kind of interrupt that no device has.
    #[error("\"{0}\" is no kind of interrupt; write msi-x, msi or none")]
    Interrupts(String),
    /// A type of epoch that no register can say.
    #[error("\"{0}\" is no type of epoch; write global or per-counter")]
    EpochType(String),
    /// A factor that no bit stands for.
    #[error("{0} is no down-sampling factor; write a power of two from 1 to 32768")]
    DownSampling(String),
}

fn profile_names() -> String {
    let names: Vec<_> = Profile::ALL.iter().map(|profile| profile.name()).collect();
    names.join(", ")
}

fn emulation_names() -> String {
    let names: Vec<_> = Emulation::ALL.iter().map(|one| one.name).collect();
    names.join(", ")
}

/// Asks for the quirk with the most similar name, if one is similar.
fn meant_quirk(name: &str) -> String {
    let names = Quirk::ALL.iter().map(|quirk| quirk.name());
    let rated = names.map(|existing| (strsim::jaro_winkler(name, existing), existing));
    let nearest = rated.max_by(|one, two| one.0.total_cmp(&two.0));
    match nearest.filter(|(likeness, _)| *likeness > ALIKE) {
        Some((_, nearest)) => format!("did you mean {nearest}? "),
        None => String::new(),
    }
}

fn filter_names() -> String {
    RequestFilter::ALL.map(RequestFilter::name).join(", ")
}

/// Length of an epoch, written as a duration such as "100ms".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch(pub EpochLength);

impl FromStr for Epoch {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let Nanoseconds(nanoseconds) = text.parse()?;
        // The largest scale, as the registers of a device would have it.
        let mut scales = EpochScale::ALL.into_iter().rev();
        let length = scales.find_map(|scale| {
            let multiplier = nanoseconds.checked_div(scale.nanoseconds())?;
            let is_whole = nanoseconds.is_multiple_of(scale.nanoseconds());
            let multiplier = u16::try_from(multiplier).ok().filter(|_| is_whole)?;
            EpochLength::new(scale, multiplier)
        });
        length
            .map(Self)
            .ok_or_else(|| ValueError::Epoch(text.to_owned()))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Values that are written by their name: `$find` gives the value with a name.
macro_rules! named {
    ($(#[$doc:meta])* $wrapper:ident($value:ident), $find:expr, $error:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $wrapper(pub $value);

        impl FromStr for $wrapper {
            type Err = ValueError;

            fn from_str(text: &str) -> Result<Self, ValueError> {
                let found: Option<$value> = $find(text);
                found
                    .map(Self)
                    .ok_or_else(|| ValueError::$error(text.to_owned()))
            }
        }

        impl fmt::Display for $wrapper {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.0.name())
            }
        }
    };
}

named!(
    /// A request filter by its name.
    Requests(RequestFilter), filter_from_name, RequestFilter
);
named!(
    /// A quirk by its name.
    QuirkName(Quirk), Quirk::from_name, Quirk
);
named!(
    /// A ready-made device by its name.
    ProfileName(Profile), Profile::from_name, Profile
);

/// A public emulation by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmulationName(pub Emulation);

impl FromStr for EmulationName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let found = Emulation::from_name(text).map(Self);
        found.ok_or_else(|| ValueError::Emulation(text.to_owned()))
    }
}

impl fmt::Display for EmulationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

/// Quirks, in files written as one name or as a list of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QuirkNames(pub QuirkSet);

impl QuirkNames {
    /// Whether no rule is broken.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for QuirkNames {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names: Vec<_> = self.0.iter().map(Quirk::name).collect();
        match &*names {
            [name] => serializer.serialize_str(name),
            names => serializer.collect_seq(names),
        }
    }
}

impl<'de> Deserialize<'de> for QuirkNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(QuirkNamesVisitor)
    }
}

/// Reads a name or a list of names.
struct QuirkNamesVisitor;

impl<'de> Visitor<'de> for QuirkNamesVisitor {
    type Value = QuirkNames;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a quirk, or a list of such names")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<QuirkNames, E> {
        let QuirkName(quirk) = name.parse().map_err(E::custom)?;
        Ok(QuirkNames(quirk.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<QuirkNames, A::Error> {
        let mut set = QuirkSet::NONE;
        while let Some(QuirkName(quirk)) = names.next_element()? {
            set.insert(quirk);
        }
        Ok(QuirkNames(set))
    }
}

fn filter_from_name(name: &str) -> Option<RequestFilter> {
    let mut filters = RequestFilter::ALL.into_iter();
    filters.find(|filter| filter.name() == name)
}

/// Size of a unit, written as a number of bytes such as "4K".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unit(pub UnitSize);

impl FromStr for Unit {
    type Err = chmu_spec::unit_size::UnitSizeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How the device interrupts, without the number of vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InterruptKind {
    /// MSI-X, with its table in a BAR.
    MsiX,
    /// MSI without a table in a BAR.
    Msi,
    /// Not at all; drivers poll.
    None,
}

impl FromStr for InterruptKind {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "msi-x" => Ok(Self::MsiX),
            "msi" => Ok(Self::Msi),
            "none" => Ok(Self::None),
            _ => Err(ValueError::Interrupts(text.to_owned())),
        }
    }
}

impl fmt::Display for InterruptKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MsiX => "msi-x",
            Self::Msi => "msi",
            Self::None => "none",
        })
    }
}

/// When counters are compared with the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EpochKind {
    /// All counters share an epoch.
    Global,
    /// A unit's epoch starts at its first access.
    PerCounter,
}

impl FromStr for EpochKind {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "global" => Ok(Self::Global),
            "per-counter" => Ok(Self::PerCounter),
            _ => Err(ValueError::EpochType(text.to_owned())),
        }
    }
}

impl fmt::Display for EpochKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Global => "global",
            Self::PerCounter => "per-counter",
        })
    }
}

macro_rules! in_files {
    ($name:ident, $expecting:literal) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                text_or_integer(deserializer, $expecting)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

in_files!(InterruptKind, "a kind of interrupt such as \"msi-x\"");
in_files!(EpochKind, "a type of epoch such as \"global\"");
in_files!(Epoch, "an epoch length such as \"100ms\"");
in_files!(Requests, "a kind of request such as \"non-tee-read\"");
in_files!(QuirkName, "the name of a quirk");
in_files!(ProfileName, "the name of a profile");
in_files!(Unit, "a unit size such as \"4K\"");

/// Down-sampling factor, as log2. Written as the factor itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Factor {
    log2: u8,
}

impl Factor {
    /// The factors whose bits are set; bit n stands for 2^n.
    pub fn from_bits(bits: u16) -> Vec<Self> {
        (0..16)
            .filter(|log2| bits >> log2 & 1 == 1)
            .map(|log2| Self { log2 })
            .collect()
    }

    /// The bit that stands for the factor.
    pub fn bit(self) -> u16 {
        1 << self.log2
    }
}

impl FromStr for Factor {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        (0..16)
            .map(|log2| Self { log2 })
            .find(|factor| factor.bit().to_string() == text)
            .ok_or_else(|| ValueError::DownSampling(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Factor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_or_integer(deserializer, "a down-sampling factor such as 8")
    }
}

impl Serialize for Factor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(self.bit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_are_what_the_registers_can_say() {
        let epoch = |text: &str| text.parse::<Epoch>();
        assert_eq!(epoch("250ms").unwrap().to_string(), "250ms");
        assert_eq!(
            epoch("150us").unwrap_err().to_string(),
            "150us is no epoch length; it is 1 to 4095 times 100us, 1ms, 10ms, 100ms or 1s"
        );
        assert!(matches!(epoch("fast"), Err(ValueError::Duration(_))));
    }

    #[test]
    fn requests_have_the_names_of_the_register_map() {
        for filter in RequestFilter::ALL {
            assert_eq!(filter.name().parse(), Ok(Requests(filter)));
        }
        assert_eq!(
            "reads".parse::<Requests>().unwrap_err().to_string(),
            "\"reads\" is no kind of request; write one of non-tee-read, non-tee-write, \
             non-tee-read-write, all-read, all-write, all-read-write"
        );
    }

    #[test]
    fn factors_are_bits() {
        let factors = Factor::from_bits(0b1000_0000_0000_0101);
        let bits = factors.iter().fold(0, |bits, factor| bits | factor.bit());
        assert_eq!(bits, 0b1000_0000_0000_0101);
        let written = serde_json::to_string(&factors).unwrap();
        assert_eq!(written, "[1,4,32768]");
        assert_eq!(
            serde_json::from_str::<Vec<Factor>>(&written).unwrap(),
            factors
        );
        assert!(serde_json::from_str::<Factor>("3").is_err());
    }
}
