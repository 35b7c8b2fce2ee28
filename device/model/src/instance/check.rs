// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the configuration registers ask for, checked against the capabilities.

use chmu_spec::chmu::{Configuration0, Configuration1, Mode};
use chmu_spec::epoch::EpochLength;
use chmu_spec::request::RequestFilter;
use chmu_spec::unit_size::UnitSize;

use crate::behaviour::SettingsBehaviour;
use crate::capabilities::Capabilities;
use crate::event::Refusal;
use crate::settings::Settings;

impl Settings {
    /// Reads the registers; the first thing that the capabilities do not offer is the refusal.
    pub(crate) fn check(
        capabilities: &Capabilities,
        configuration_0: Configuration0,
        configuration_1: Configuration1,
        behaviour: SettingsBehaviour,
    ) -> Result<Self, Refusal> {
        let (unit_size, counter_width) = unit_size(capabilities, configuration_1)?;
        let threshold = configuration_0.hotness_threshold();
        if !(behaviour.threshold_fits)(threshold, counter_width) {
            return Err(Refusal::Threshold {
                threshold,
                counter_width,
            });
        }
        let down_sampling_log2 = configuration_1.down_sampling_log2();
        if (capabilities.down_sampling_factors >> down_sampling_log2) & 1 == 0 {
            return Err(Refusal::DownSampling(down_sampling_log2));
        }
        if configuration_0.randomise_down_sampling() && !capabilities.randomised_down_sampling {
            return Err(Refusal::RandomisedDownSampling);
        }
        if configuration_0.overflow_interrupt() && !capabilities.overflow_interrupt {
            return Err(Refusal::OverflowInterrupt);
        }
        if configuration_0.fill_level_interrupt() && !capabilities.fill_level_interrupt {
            return Err(Refusal::FillLevelInterrupt);
        }
        Ok(Self {
            filter: filter(capabilities, configuration_0, behaviour)?,
            unit_size,
            counter_width,
            threshold,
            epoch: epoch(capabilities, configuration_1, behaviour)?,
            down_sampling_log2,
            randomise: configuration_0.randomise_down_sampling(),
        })
    }
}

fn unit_size(
    capabilities: &Capabilities,
    configuration_1: Configuration1,
) -> Result<(UnitSize, u8), Refusal> {
    configuration_1
        .unit_size()
        .filter(|size| capabilities.unit_sizes.contains(*size))
        .map(|size| (size, capabilities.counter_widths.of(size)))
        .ok_or(Refusal::UnitSize(configuration_1.unit_size_log2()))
}

fn filter(
    capabilities: &Capabilities,
    configuration_0: Configuration0,
    behaviour: SettingsBehaviour,
) -> Result<RequestFilter, Refusal> {
    let code = configuration_0.request_code();
    let filter = RequestFilter::from_code(code)
        .or(behaviour.reserved_request_code)
        .ok_or(Refusal::RequestCode(code))?;
    if capabilities.trackable_requests.contains(filter) {
        Ok(filter)
    } else {
        Err(Refusal::RequestFilter(filter))
    }
}

fn epoch(
    capabilities: &Capabilities,
    configuration_1: Configuration1,
    behaviour: SettingsBehaviour,
) -> Result<Option<EpochLength>, Refusal> {
    let code = configuration_1.mode_code();
    match configuration_1.mode() {
        Some(Mode::AlwaysOn) if capabilities.always_on_mode => return Ok(None),
        Some(Mode::Epoch) if capabilities.epoch_mode => {}
        None if behaviour.reserved_mode_is_epoch => {}
        _ => return Err(Refusal::Mode(code)),
    }
    let epoch = match configuration_1.epoch() {
        Some(epoch) => epoch,
        None if behaviour.reserved_epoch_is_shortest => capabilities.minimum_epoch,
        None => {
            return Err(Refusal::EpochCodes {
                scale: configuration_1.epoch_scale(),
                multiplier: configuration_1.epoch_multiplier(),
            });
        }
    };
    let length_ns = epoch.nanoseconds();
    let shortest_ns = capabilities.minimum_epoch.nanoseconds();
    let longest_ns = capabilities.maximum_epoch.nanoseconds();
    if (behaviour.epoch_fits)(length_ns, shortest_ns..=longest_ns) {
        Ok(Some(epoch))
    } else {
        Err(Refusal::EpochLength(epoch))
    }
}
