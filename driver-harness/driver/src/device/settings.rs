// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What an instance is asked to do, chosen from what it can do.

use std::ops::Range;

use chmu_spec::address::Dpa;
use chmu_spec::chmu::{Configuration0, Configuration1, Configuration2, Mode};
use chmu_spec::epoch::{EpochLength, EpochScale};
use chmu_spec::request::RequestFilter;
use chmu_spec::unit_size::UnitSize;

use super::capabilities::Capabilities;

/// Epoch when nobody asks for one.
const DEFAULT_EPOCH_NS: u64 = 100_000_000;
/// Threshold when nobody asks for one: a page that is read this often in an epoch is worth a move.
const DEFAULT_THRESHOLD: u32 = 32;
/// Entries above which the list is reported as filling, when nobody asks for a number: a list is
/// read soon after the first entries, and one entry alone is found by the next poll.
const DEFAULT_FILL_LEVEL: u16 = 1;
/// Filters in the order in which they are preferred.
const FILTERS: [RequestFilter; 6] = [
    RequestFilter::NonTeeReadWrite,
    RequestFilter::AllReadWrite,
    RequestFilter::NonTeeRead,
    RequestFilter::AllRead,
    RequestFilter::NonTeeWrite,
    RequestFilter::AllWrite,
];

/// What a user asks of an instance; what is left open is chosen from its capabilities.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wishes {
    /// Size of the units; must be supported.
    pub unit_size: Option<UnitSize>,
    /// Count that makes a unit hot.
    pub threshold: Option<u32>,
    /// Length of an epoch; the closest that the instance has is taken.
    pub epoch_ns: Option<u64>,
    /// Requests that count; must be supported.
    pub filter: Option<RequestFilter>,
    /// log2 of the down-sampling factor; must be supported.
    pub down_sampling_log2: Option<u8>,
    /// Randomise the down-sampling; must be supported.
    pub randomise_down_sampling: bool,
    /// Epochs or always on; must be supported.
    pub mode: Option<Mode>,
    /// Entries above which the list is reported as filling.
    pub fill_level_threshold: Option<u16>,
    /// Poll even where interrupts work.
    pub without_interrupts: bool,
}

/// What a choice depends on beside the instance's capabilities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    /// Device memory to track.
    pub ranges: Vec<Range<Dpa>>,
    /// The unit that stands for one page of the host.
    pub page_unit: UnitSize,
    /// The instance's interrupt message arrives.
    pub interrupts: bool,
}

/// A complete configuration that the instance supports by its own word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Size of the units.
    pub unit_size: UnitSize,
    /// Count that makes a unit hot.
    pub threshold: u32,
    /// Length of an epoch.
    pub epoch: EpochLength,
    /// Requests that count.
    pub filter: RequestFilter,
    /// log2 of the down-sampling factor: 0 to 15.
    pub down_sampling_log2: u8,
    /// Randomise the down-sampling.
    pub randomise_down_sampling: bool,
    /// Epochs or always on.
    pub mode: Mode,
    /// Entries above which the list is reported as filling.
    pub fill_level_threshold: u16,
    /// Interrupt when hot units are lost.
    pub overflow_interrupt: bool,
    /// Interrupt when the list fills.
    pub fill_level_interrupt: bool,
    /// Device memory to track.
    pub ranges: Vec<Range<Dpa>>,
}

/// A wish that an instance cannot fulfil.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The unit size is not supported.
    #[error("Units of {wanted} are not supported; there are {supported}")]
    UnitSize {
        /// What was asked for.
        wanted: UnitSize,
        /// What there is.
        supported: String,
    },
    /// The filter is not supported.
    #[error("Requests of kind {wanted} cannot be tracked; there are {supported}")]
    Filter {
        /// What was asked for.
        wanted: &'static str,
        /// What there is.
        supported: String,
    },
    /// The factor is not supported.
    #[error("A down-sampling factor of 2^{wanted} is not supported; there are {supported}")]
    DownSampling {
        /// log2 of what was asked for.
        wanted: u8,
        /// What there is.
        supported: String,
    },
    /// Down-sampling cannot be randomised.
    #[error("The down-sampling cannot be randomised")]
    RandomisedDownSampling,
    /// The mode is not supported.
    #[error("The {wanted} mode is not supported; there is {supported}")]
    Mode {
        /// What was asked for.
        wanted: &'static str,
        /// What there is.
        supported: String,
    },
    /// The instance lists nothing to choose from.
    #[error("The capabilities list no {0} at all")]
    Nothing(&'static str),
    /// The epochs contradict each other.
    #[error("The shortest epoch of {shortest} is longer than the longest of {longest}")]
    Epochs {
        /// The shortest epoch.
        shortest: EpochLength,
        /// The longest epoch.
        longest: EpochLength,
    },
    /// The list is never that full.
    #[error("A fill level of {wanted} is never passed in a hotlist of {entries} entries")]
    FillLevel {
        /// What was asked for.
        wanted: u16,
        /// Size of the list.
        entries: u16,
    },
}

impl Settings {
    /// Chooses what `wishes` leave open.
    pub fn choose(
        capabilities: &Capabilities,
        wishes: &Wishes,
        surroundings: Surroundings,
    ) -> Result<Settings, SettingsError> {
        let interrupts = surroundings.interrupts && !wishes.without_interrupts;
        let page_unit = surroundings.page_unit;
        if wishes.randomise_down_sampling && !capabilities.randomised_down_sampling {
            return Err(SettingsError::RandomisedDownSampling);
        }
        Ok(Settings {
            unit_size: choose_unit_size(capabilities, wishes.unit_size, page_unit)?,
            threshold: wishes.threshold.unwrap_or(DEFAULT_THRESHOLD),
            epoch: choose_epoch(capabilities, wishes.epoch_ns.unwrap_or(DEFAULT_EPOCH_NS))?,
            filter: choose_filter(capabilities, wishes.filter)?,
            down_sampling_log2: choose_down_sampling(capabilities, wishes.down_sampling_log2)?,
            randomise_down_sampling: wishes.randomise_down_sampling,
            mode: choose_mode(capabilities, wishes.mode)?,
            fill_level_threshold: choose_fill_level(capabilities, wishes.fill_level_threshold)?,
            overflow_interrupt: interrupts && capabilities.overflow_interrupt,
            fill_level_interrupt: interrupts && capabilities.fill_level_interrupt,
            ranges: surroundings.ranges,
        })
    }

    /// The same with an epoch as close to the wish as the capabilities allow.
    pub fn with_epoch(
        &self,
        capabilities: &Capabilities,
        wanted_ns: u64,
    ) -> Result<Settings, SettingsError> {
        Ok(Settings {
            epoch: choose_epoch(capabilities, wanted_ns)?,
            ..self.clone()
        })
    }

    /// Whether the instance sends any interrupt.
    pub fn has_interrupts(&self) -> bool {
        self.overflow_interrupt || self.fill_level_interrupt
    }

    /// The first configuration register, neither enabled nor in reset.
    pub(super) fn configuration_0(&self) -> Configuration0 {
        Configuration0::new()
            .with_request_code(self.filter.code())
            .with_randomise_down_sampling(self.randomise_down_sampling)
            .with_overflow_interrupt(self.overflow_interrupt)
            .with_fill_level_interrupt(self.fill_level_interrupt)
            .with_hotness_threshold(self.threshold)
    }

    /// The second configuration register.
    pub(super) fn configuration_1(&self) -> Configuration1 {
        Configuration1::new()
            .with_unit_size_log2(self.unit_size.log2_bytes().into())
            .with_down_sampling_log2(self.down_sampling_log2 & 0xf)
            .with_mode_code(self.mode.code())
            .with_epoch_scale(self.epoch.scale().code())
            .with_epoch_multiplier(self.epoch.multiplier())
    }

    /// The third configuration register.
    pub(super) fn configuration_2(&self) -> Configuration2 {
        Configuration2::new().with_fill_level_threshold(self.fill_level_threshold)
    }
}

/// The wish, or the size that stands for a page, or the next smaller size, of which none covers several
/// pages, or the finest of all.
fn choose_unit_size(
    capabilities: &Capabilities,
    wish: Option<UnitSize>,
    page_unit: UnitSize,
) -> Result<UnitSize, SettingsError> {
    let sizes = capabilities.unit_sizes;
    match wish {
        Some(wanted) if !sizes.contains(wanted) => Err(SettingsError::UnitSize {
            wanted,
            supported: join(sizes.iter()),
        }),
        Some(wanted) => Ok(wanted),
        None => sizes
            .iter()
            .filter(|&size| size <= page_unit)
            .last()
            .or_else(|| sizes.iter().next())
            .ok_or(SettingsError::Nothing("unit size")),
    }
}

fn choose_filter(
    capabilities: &Capabilities,
    wish: Option<RequestFilter>,
) -> Result<RequestFilter, SettingsError> {
    let filters = capabilities.trackable_requests;
    match wish {
        Some(wanted) if !filters.contains(wanted) => Err(SettingsError::Filter {
            wanted: wanted.name(),
            supported: join(filters.iter().map(RequestFilter::name)),
        }),
        Some(wanted) => Ok(wanted),
        None => FILTERS
            .into_iter()
            .find(|&filter| filters.contains(filter))
            .ok_or(SettingsError::Nothing("trackable request")),
    }
}

fn choose_down_sampling(
    capabilities: &Capabilities,
    wish: Option<u8>,
) -> Result<u8, SettingsError> {
    let mut factors = capabilities.down_sampling_log2();
    match wish {
        Some(wanted) if !factors.any(|log2| log2 == wanted) => Err(SettingsError::DownSampling {
            wanted,
            supported: join(
                capabilities
                    .down_sampling_log2()
                    .map(|log2| format!("2^{log2}")),
            ),
        }),
        Some(wanted) => Ok(wanted),
        None => factors
            .next()
            .ok_or(SettingsError::Nothing("down-sampling factor")),
    }
}

fn choose_mode(capabilities: &Capabilities, wish: Option<Mode>) -> Result<Mode, SettingsError> {
    let mut modes = capabilities.modes();
    match wish {
        Some(wanted) if !modes.any(|mode| mode == wanted) => Err(SettingsError::Mode {
            wanted: wanted.name(),
            supported: join(capabilities.modes().map(Mode::name)),
        }),
        Some(wanted) => Ok(wanted),
        None => modes.next().ok_or(SettingsError::Nothing("mode")),
    }
}

fn choose_fill_level(capabilities: &Capabilities, wish: Option<u16>) -> Result<u16, SettingsError> {
    // A full list holds one entry less than its size.
    let entries = capabilities.hotlist_entries;
    let highest = entries.saturating_sub(2);
    match wish {
        Some(wanted) if wanted > highest => Err(SettingsError::FillLevel { wanted, entries }),
        Some(wanted) => Ok(wanted),
        None => Ok(DEFAULT_FILL_LEVEL.min(highest)),
    }
}

/// The epoch closest to the wish; a bound that the capabilities leave out is no bound.
fn choose_epoch(capabilities: &Capabilities, wanted_ns: u64) -> Result<EpochLength, SettingsError> {
    let (shortest, longest) = (capabilities.minimum_epoch, capabilities.maximum_epoch);
    if let (Some(shortest), Some(longest)) = (shortest, longest)
        && shortest.nanoseconds() > longest.nanoseconds()
    {
        return Err(SettingsError::Epochs { shortest, longest });
    }
    let allowed = |epoch: &EpochLength| {
        shortest.is_none_or(|shortest| epoch.nanoseconds() >= shortest.nanoseconds())
            && longest.is_none_or(|longest| epoch.nanoseconds() <= longest.nanoseconds())
    };
    let around = EpochScale::ALL.into_iter().flat_map(|scale| {
        let below = wanted_ns / scale.nanoseconds();
        [below, below + 1]
            .into_iter()
            .filter_map(move |multiplier| {
                let multiplier = u16::try_from(multiplier.clamp(1, 0xfff)).ok()?;
                EpochLength::new(scale, multiplier)
            })
    });
    around
        .filter(allowed)
        .chain([shortest, longest].into_iter().flatten())
        .min_by_key(|epoch| epoch.nanoseconds().abs_diff(wanted_ns))
        .ok_or(SettingsError::Nothing("epoch"))
}

fn join(names: impl Iterator<Item = impl ToString>) -> String {
    let names: Vec<_> = names.map(|name| name.to_string()).collect();
    match names.is_empty() {
        true => "none".into(),
        false => names.join(", "),
    }
}

#[cfg(test)]
mod tests;
