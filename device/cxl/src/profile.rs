// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Ready-made devices: one that can do everything, and poor ones of the kinds that exist.

use chmu_model::{Capabilities, CounterWidths};
use chmu_spec::chmu::EpochType;
use chmu_spec::epoch::{EpochLength, EpochScale};
use chmu_spec::request::{RequestFilter, RequestFilters};
use chmu_spec::unit_size::{UnitSize, UnitSizes};

use crate::config::Interrupts;

/// How long the operations of the full device take: long enough to be seen.
const VISIBLE_OPERATION_NS: u64 = 2_000_000;
/// Vectors of a device with interrupts: one for the event logs, the others for instances.
const VECTORS: u16 = 8;

/// A ready-made device: what its instances can do, and how it interrupts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Profile {
    /// One block with one instance that can do most things; what a device is unless told otherwise.
    Default,
    /// Everything there is: two blocks, several instances of different kinds, operations that take
    /// time.
    Full,
    /// The least that is useful: one unit size, one filter, no always-on mode, no fill-level
    /// interrupt, no down-sampling, no overlapping ranges.
    Minimal,
    /// One instance that reports a unit as soon as it is hot, and knows no epochs.
    AlwaysOnOnly,
    /// No interrupts at all: drivers poll.
    NoInterrupts,
    /// The longest hotlist there can be, outside of the instance length.
    HugeList,
}

impl Profile {
    /// All profiles, in the order of their listing.
    pub const ALL: [Self; 6] = [
        Self::Default,
        Self::Full,
        Self::Minimal,
        Self::AlwaysOnOnly,
        Self::NoInterrupts,
        Self::HugeList,
    ];

    /// Its name, in kebab case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Full => "full",
            Self::Minimal => "minimal",
            Self::AlwaysOnOnly => "always-on-only",
            Self::NoInterrupts => "no-interrupts",
            Self::HugeList => "huge-list",
        }
    }

    /// The profile with a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// What it is like, as a sentence.
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::Default => "One block, one instance, units of 4 KiB to 2 MiB, 2048 entries.",
            Self::Full => "Two blocks, five instances, everything that the register map knows.",
            Self::Minimal => "Two instances that can do the least that is useful.",
            Self::AlwaysOnOnly => "One instance without epochs.",
            Self::NoInterrupts => "One instance that has to be polled.",
            Self::HugeList => "One instance with a hotlist of 65535 entries.",
        }
    }

    /// How a function with this profile interrupts, unless configured otherwise.
    pub const fn interrupts(self) -> Interrupts {
        match self {
            Self::NoInterrupts => Interrupts::None,
            _ => Interrupts::MsiX(VECTORS),
        }
    }

    /// The instances of each block.
    pub fn blocks(self) -> Vec<Vec<Capabilities>> {
        let usual = Capabilities {
            message_number: 1,
            ..Capabilities::default()
        };
        match self {
            Self::Default => vec![vec![usual]],
            Self::Full => full(),
            Self::Minimal => {
                let instance = |message_number| Capabilities {
                    message_number,
                    ..minimal()
                };
                vec![vec![instance(1), instance(2)]]
            }
            Self::AlwaysOnOnly => vec![vec![Capabilities {
                epoch_mode: false,
                hotlist_entries: 64,
                ..usual
            }]],
            Self::NoInterrupts => vec![vec![Capabilities {
                message_number: 0,
                overflow_interrupt: false,
                fill_level_interrupt: false,
                hotlist_entries: 256,
                ..usual
            }]],
            Self::HugeList => vec![vec![Capabilities {
                hotlist_entries: u16::MAX,
                ..usual
            }]],
        }
    }
}

/// Every unit size, the small ones with narrow counters.
fn every_unit_size() -> (UnitSizes, CounterWidths) {
    let narrow = UnitSize::all()
        .filter(|size| *size < UnitSize::BASE_PAGE)
        .fold(CounterWidths::uniform(16), |widths, size| {
            widths.with(size, 8)
        });
    (UnitSize::all().collect(), narrow)
}

fn full() -> Vec<Vec<Capabilities>> {
    let (unit_sizes, counter_widths) = every_unit_size();
    let everything = Capabilities {
        message_number: 1,
        minimum_epoch: length(EpochScale::HundredMicroseconds, 1),
        maximum_epoch: length(EpochScale::Second, 60),
        hotlist_entries: 64,
        unit_sizes,
        counter_widths,
        operation_delay_ns: VISIBLE_OPERATION_NS,
        ..Capabilities::default()
    };
    let per_counter = Capabilities {
        message_number: 2,
        epoch_type: EpochType::PerCounter,
        hotlist_entries: 16,
        counter_widths: CounterWidths::uniform(8),
        operation_delay_ns: 0,
        ..everything.clone()
    };
    let postponing = Capabilities {
        message_number: 3,
        postponed_insertion: true,
        hotlist_entries: 16,
        operation_delay_ns: 0,
        ..everything.clone()
    };
    let short = Capabilities {
        message_number: 4,
        hotlist_entries: 3,
        ..Capabilities::default()
    };
    let usual = Capabilities {
        message_number: 5,
        ..Capabilities::default()
    };
    vec![
        vec![everything, per_counter, postponing, short],
        vec![usual],
    ]
}

fn minimal() -> Capabilities {
    Capabilities {
        fill_level_interrupt: false,
        trackable_requests: [RequestFilter::NonTeeReadWrite]
            .into_iter()
            .collect::<RequestFilters>(),
        minimum_epoch: length(EpochScale::TenMilliseconds, 1),
        maximum_epoch: length(EpochScale::Second, 1),
        hotlist_entries: 64,
        unit_sizes: [UnitSize::BASE_PAGE].into_iter().collect(),
        down_sampling_factors: 1,
        always_on_mode: false,
        randomised_down_sampling: false,
        overlapping_ranges: false,
        ..Capabilities::default()
    }
}

/// A length whose multiplier is known when this is built.
const fn length(scale: EpochScale, multiplier: u16) -> EpochLength {
    match EpochLength::new(scale, multiplier) {
        Some(length) => length,
        None => panic!("the multiplier lies outside 1 to 4095"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DEFAULT_HDM_DECODERS, DecoderConfig, Function, FunctionConfig, Performance};
    use chmu_spec::address::Hpa;

    #[test]
    fn every_profile_is_a_possible_device() {
        for profile in Profile::ALL {
            let config = FunctionConfig {
                serial_number: 1,
                capacity_bytes: 1 << 30,
                performance: Performance::default(),
                hdm_decoders: DEFAULT_HDM_DECODERS,
                decoders: vec![DecoderConfig {
                    base: Hpa(1 << 32),
                    size_bytes: 1 << 30,
                    ways: 1,
                    granularity_bytes: 256,
                    position: 0,
                    dpa_skip_bytes: 0,
                    tee: false,
                }],
                blocks: profile.blocks(),
                interrupts: profile.interrupts(),
                quirks: chmu_model::QuirkSet::NONE,
            };
            Function::new(&config).unwrap_or_else(|error| panic!("{}: {error}", profile.name()));
            assert_eq!(Profile::from_name(profile.name()), Some(profile));
        }
    }
}
