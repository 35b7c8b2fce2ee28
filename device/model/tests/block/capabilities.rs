// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Block header, capabilities and configurations that no block can have.

use chmu_model::{Block, BlockConfig, Capabilities, ConfigError, CounterWidths, QuirkSet};
use chmu_spec::chmu::EpochType;
use chmu_spec::epoch::{EpochLength, EpochScale};
use chmu_spec::request::{RequestFilter, RequestFilters};
use chmu_spec::unit_size::{UnitSize, UnitSizes};

use super::fixture::Bench;

fn config(change: impl FnOnce(&mut BlockConfig)) -> Result<Block, ConfigError> {
    let mut config = BlockConfig {
        capacity_bytes: 1 << 30,
        instances: vec![Capabilities::default()],
        quirks: QuirkSet::NONE,
    };
    change(&mut config);
    Block::new(&config)
}

fn refused(change: impl FnOnce(&mut Capabilities)) -> ConfigError {
    config(|config| change(&mut config.instances[0])).unwrap_err()
}

#[test]
fn the_header_names_version_instances_and_their_length() {
    let mut bench = Bench::of(vec![Capabilities::default(); 3], None);
    assert_eq!(bench.read::<16>(0)[..4], [1, 3, 0, 0]);
    assert_eq!(u64::from_le_bytes(bench.read(8)), 0x5000);
    assert_eq!(bench.block.size_bytes(), 0x10000);
    assert_eq!(bench.block.hotlist_areas().len(), 3);
}

#[test]
fn capability_registers_equal_a_hand_transcription() {
    let mut bench = Bench::with(|capabilities| {
        *capabilities = Capabilities {
            message_number: 5,
            overflow_interrupt: true,
            fill_level_interrupt: false,
            epoch_type: EpochType::PerCounter,
            trackable_requests: [RequestFilter::NonTeeRead, RequestFilter::AllReadWrite]
                .into_iter()
                .collect(),
            minimum_epoch: EpochLength::new(EpochScale::HundredMicroseconds, 3).unwrap(),
            maximum_epoch: EpochLength::new(EpochScale::Second, 0xabc).unwrap(),
            hotlist_entries: 0x123,
            unit_sizes: [UnitSize::MINIMUM, UnitSize::BASE_PAGE]
                .into_iter()
                .collect(),
            down_sampling_factors: 0x8001,
            always_on_mode: false,
            postponed_insertion: true,
            ..Capabilities::default()
        };
    });
    let mut unit = bench.unit();
    assert_eq!(unit.read(0x00), 0x0123_0031_abc5_2155);
    assert_eq!(unit.read(0x08), 0x001d_8001_0000_0011);
    assert_eq!(unit.read(0x10), 0xfe8);
    assert_eq!(unit.read(0x18), 0xff0);
}

#[test]
fn capabilities_ignore_writes() {
    let mut bench = Bench::new();
    let before: [u8; 0x30] = bench.read(0);
    for offset in (0..0x30).step_by(8) {
        bench.write(offset, &[0xff; 8]);
        bench.write(offset, &[0; 8]);
    }
    assert_eq!(bench.read(0), before);
}

#[test]
fn configurations_that_no_block_can_have_are_refused() {
    assert_eq!(
        config(|config| config.instances.clear()).unwrap_err(),
        ConfigError::Instances(0)
    );
    assert_eq!(
        config(|config| config.instances = vec![Capabilities::default(); 256]).unwrap_err(),
        ConfigError::Instances(256)
    );
    assert!(config(|config| config.instances = vec![Capabilities::default(); 255]).is_ok());
    let longest_ns = 10_000_000_000;
    assert!(config(|config| config.instances[0].operation_delay_ns = longest_ns).is_ok());
    assert_eq!(
        refused(|one| one.operation_delay_ns = longest_ns + 1),
        ConfigError::OperationDelay(longest_ns + 1)
    );
    for capacity_bytes in [0, 1 << 50] {
        assert!(matches!(
            config(|config| config.capacity_bytes = capacity_bytes).unwrap_err(),
            ConfigError::Capacity { capacity, .. } if capacity == capacity_bytes
        ));
    }
    assert_eq!(
        refused(|one| one.hotlist_entries = 1),
        ConfigError::HotlistEntries(1)
    );
    for width in [0, 33] {
        assert_eq!(
            refused(|one| {
                one.counter_widths = CounterWidths::uniform(8).with(UnitSize::BASE_PAGE, width);
            }),
            ConfigError::CounterWidth
        );
    }
    assert_eq!(
        refused(|one| one.message_number = 16),
        ConfigError::MessageNumber(16)
    );
    assert_eq!(
        refused(|one| one.unit_sizes = UnitSizes::default()),
        ConfigError::UnitSizes
    );
    assert_eq!(
        refused(|one| one.trackable_requests = RequestFilters::default()),
        ConfigError::TrackableRequests
    );
    assert_eq!(
        refused(|one| (one.epoch_mode, one.always_on_mode) = (false, false)),
        ConfigError::Modes
    );
    assert_eq!(
        refused(|one| std::mem::swap(&mut one.minimum_epoch, &mut one.maximum_epoch)),
        ConfigError::Epochs
    );
    assert_eq!(
        refused(|one| one.down_sampling_factors = 0),
        ConfigError::DownSampling
    );
}

#[test]
fn the_highest_unit_has_room_beside_the_count() {
    let of = |capacity_bytes, width| {
        config(|config| {
            config.capacity_bytes = capacity_bytes;
            config.instances = vec![Capabilities {
                unit_sizes: UnitSizes::from_bits(u32::MAX),
                counter_widths: CounterWidths::uniform(width),
                ..Capabilities::default()
            }];
        })
    };
    assert!(of(1 << 40, 32).is_ok());
    assert_eq!(
        of((1 << 40) + 1, 32).unwrap_err(),
        ConfigError::UnitIndex {
            unit_size: UnitSize::MINIMUM,
            counter_width: 32
        }
    );
    assert!(of(1 << 42, 30).is_ok());
}

#[test]
fn the_counter_width_follows_the_unit_size() {
    let mut bench = Bench::with(|capabilities| {
        capabilities.counter_widths =
            CounterWidths::uniform(16).with(UnitSize::from_bytes(2 << 20).unwrap(), 24);
    });
    let mut unit = bench.unit();
    assert_eq!(unit.status().counter_width(), 0);
    for (log2_bytes, width) in [(12, 16), (21, 24), (8, 0), (40, 0)] {
        unit.write_bytes(0x48, &u64::to_le_bytes(log2_bytes)[..4]);
        assert_eq!(unit.status().counter_width(), width, "2^{log2_bytes}");
    }
}
