// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What is chosen from capabilities and wishes.

use proptest::prelude::*;

use super::*;
use chmu_spec::chmu::{Capabilities0, Capabilities1};

fn capabilities() -> Capabilities {
    Capabilities::decode(
        Capabilities0::new()
            .with_trackable_requests(0b11_1111)
            .with_overflow_interrupt(true)
            .with_minimum_epoch_scale(2)
            .with_minimum_epoch_multiplier(1)
            .with_maximum_epoch_scale(5)
            .with_maximum_epoch_multiplier(10)
            .with_hotlist_entries(16),
        Capabilities1::new()
            .with_unit_sizes(0b11_0000)
            .with_down_sampling_factors(0b101)
            .with_epoch_mode(true),
    )
}

fn choose(capabilities: &Capabilities, wishes: &Wishes) -> Result<Settings, SettingsError> {
    let surroundings = Surroundings {
        ranges: Vec::new(),
        page_unit: UnitSize::BASE_PAGE,
        interrupts: true,
    };
    Settings::choose(capabilities, wishes, surroundings)
}

#[test]
fn without_wishes_pages_are_counted_in_epochs() {
    let settings = choose(&capabilities(), &Wishes::default()).unwrap();
    assert_eq!(settings.unit_size, UnitSize::BASE_PAGE);
    assert_eq!(settings.epoch.to_string(), "100ms");
    assert_eq!(settings.filter, RequestFilter::NonTeeReadWrite);
    assert_eq!(settings.down_sampling_log2, 0);
    assert_eq!(settings.mode, Mode::Epoch);
    assert!(settings.overflow_interrupt && !settings.fill_level_interrupt);
}

#[test]
fn what_is_not_there_is_named_with_what_is() {
    let wrong = |wishes: Wishes| choose(&capabilities(), &wishes).unwrap_err().to_string();
    assert_eq!(
        wrong(Wishes {
            unit_size: Some(UnitSize::MINIMUM),
            ..Wishes::default()
        }),
        "Units of 256B are not supported; there are 4K, 8K"
    );
    assert_eq!(
        wrong(Wishes {
            down_sampling_log2: Some(1),
            ..Wishes::default()
        }),
        "A down-sampling factor of 2^1 is not supported; there are 2^0, 2^2"
    );
    assert_eq!(
        wrong(Wishes {
            mode: Some(Mode::AlwaysOn),
            ..Wishes::default()
        }),
        "The always-on mode is not supported; there is epoch"
    );
    assert_eq!(
        wrong(Wishes {
            fill_level_threshold: Some(15),
            ..Wishes::default()
        }),
        "A fill level of 15 is never passed in a hotlist of 16 entries"
    );
    assert!(
        choose(
            &capabilities(),
            &Wishes {
                randomise_down_sampling: true,
                ..Wishes::default()
            }
        )
        .is_err()
    );
}

#[test]
fn an_instance_without_capabilities_is_refused() {
    let nothing = Capabilities::decode(Capabilities0::new(), Capabilities1::new());
    assert_eq!(
        choose(&nothing, &Wishes::default()),
        Err(SettingsError::Nothing("unit size"))
    );
}

#[test]
fn units_of_several_pages_are_taken_only_where_there_are_no_finer_ones() {
    let mut capabilities = capabilities();
    capabilities.unit_sizes = [UnitSize::MINIMUM].into_iter().collect();
    let settings = choose(&capabilities, &Wishes::default()).unwrap();
    assert_eq!(settings.unit_size, UnitSize::MINIMUM);
    capabilities.unit_sizes = [UnitSize::MINIMUM, UnitSize::MAXIMUM].into_iter().collect();
    let settings = choose(&capabilities, &Wishes::default()).unwrap();
    assert_eq!(settings.unit_size, UnitSize::MINIMUM);
    let coarse = UnitSize::from_log2_bytes(16).unwrap();
    capabilities.unit_sizes = [coarse, UnitSize::MAXIMUM].into_iter().collect();
    let settings = choose(&capabilities, &Wishes::default()).unwrap();
    assert_eq!(settings.unit_size, coarse);
}

proptest! {
    /// Against all 5 x 4095 lengths.
    #[test]
    fn no_allowed_epoch_is_closer(
        (minimum, maximum) in ((1_u8..=5, 1_u16..4096), (1_u8..=5, 1_u16..4096)),
        wanted_ns in 0_u64..5_000_000_000_000,
    ) {
        let length = |(scale, multiplier)| EpochLength::from_codes(scale, multiplier).unwrap();
        let (shortest, longest) = (length(minimum), length(maximum));
        let mut capabilities = capabilities();
        capabilities.minimum_epoch = Some(shortest);
        capabilities.maximum_epoch = Some(longest);
        let every = EpochScale::ALL.into_iter().flat_map(|scale| {
            (1..4096).filter_map(move |multiplier| EpochLength::new(scale, multiplier))
        });
        let closest = every
            .map(EpochLength::nanoseconds)
            .filter(|ns| (shortest.nanoseconds()..=longest.nanoseconds()).contains(ns))
            .map(|ns| ns.abs_diff(wanted_ns))
            .min();
        match choose_epoch(&capabilities, wanted_ns) {
            Ok(epoch) => {
                let ns = epoch.nanoseconds();
                prop_assert!((shortest.nanoseconds()..=longest.nanoseconds()).contains(&ns));
                prop_assert_eq!(Some(ns.abs_diff(wanted_ns)), closest);
            }
            Err(_) => prop_assert_eq!(closest, None),
        }
    }
}
