// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What configuration files say.

mod refusals;

use std::io::Write;
use std::path::Path;

use chmu_cxl::Profile;
use chmu_model::{Quirk, QuirkSet};
use chmu_spec::chmu::EpochType;
use chmu_spec::epoch::{EpochLength, EpochScale};
use chmu_spec::request::RequestFilter;
use chmu_spec::unit_size::UnitSize;
use proptest::prelude::*;

use super::*;

/// The whole way of a file: read, parsed, completed, checked.
fn load(text: &str) -> Result<Config, String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let name = format!("{}:", file.path().display());
    let load = || {
        let file = ConfigFile::read(file.path())?;
        let config = file.parse()?.completed();
        config.check(Some(&file)).map(|()| config)
    };
    load().map_err(|error: ConfigError| error.to_string().replace(&name, ""))
}

fn refusal(text: &str) -> String {
    load(text).unwrap_err()
}

#[test]
fn an_empty_file_is_the_default_device() {
    let config = load("").unwrap();
    assert_eq!(config, Config::default().completed());
    let function = config.function();
    assert_eq!(function.serial_number, 0xc4a0_0001);
    assert_eq!(function.capacity_bytes, 1 << 30);
    assert_eq!(function.interrupts, Interrupts::MsiX(16));
    assert_eq!(function.decoders.len(), 1);
    assert_eq!(function.decoders[0].base, Hpa(4 << 30));
    assert_eq!(function.decoders[0].size_bytes, 1 << 30);
    assert_eq!(function.blocks.len(), 1);
    let expected = Capabilities {
        message_number: 1,
        ..Capabilities::default()
    };
    assert_eq!(function.blocks[0], [expected]);
}

/// A file with every key.
const EVERY_KEY: &str = r#"
    serial_number = 0x1234
    memory = "2G"
    interrupts = "msi"
    vectors = 8
    quirk = "overflow-never-set"

    [[decoder]]
    base = "0x140000000"
    size = "2G"
    ways = 2
    granularity = "4K"
    position = 1
    dpa_skip = "256M"
    tee = true

    [[block]]
    [[block.instance]]
    message_number = 3
    overflow_interrupt = false
    fill_level_interrupt = false
    epoch_type = "per-counter"
    trackable_requests = ["all-read"]
    minimum_epoch = "100us"
    maximum_epoch = "2s"
    hotlist_entries = 64
    unit_sizes = ["256B", 4096]
    down_sampling_factors = [1, 8]
    epoch_mode = false
    always_on_mode = true
    randomised_down_sampling = false
    overlapping_ranges = false
    postponed_insertion = true
    counter_widths = { default = 12, 4K = 20 }
    operation_delay = "20ms"
    seed = 7
    "#;

#[test]
fn every_key_reaches_the_function() {
    let config = load(EVERY_KEY).unwrap();
    let function = config.function();
    assert_eq!(function.interrupts, Interrupts::Msi(8));
    assert_eq!(function.quirks, Quirk::OverflowNeverSet.into());
    let decoder = DecoderConfig {
        base: Hpa(0x1_4000_0000),
        size_bytes: 2 << 30,
        ways: 2,
        granularity_bytes: 4096,
        position: 1,
        dpa_skip_bytes: 256 << 20,
        tee: true,
    };
    assert_eq!(function.decoders, [decoder]);
    let instance = &function.blocks[0][0];
    let small = UnitSize::MINIMUM;
    assert_eq!(instance.counter_widths.of(small), 12);
    assert_eq!(instance.counter_widths.of(UnitSize::BASE_PAGE), 20);
    let expected = Capabilities {
        message_number: 3,
        overflow_interrupt: false,
        fill_level_interrupt: false,
        epoch_type: EpochType::PerCounter,
        trackable_requests: [RequestFilter::AllRead].into_iter().collect(),
        minimum_epoch: EpochLength::from_nanoseconds(100_000).unwrap(),
        maximum_epoch: EpochLength::new(EpochScale::Second, 2).unwrap(),
        hotlist_entries: 64,
        unit_sizes: [small, UnitSize::BASE_PAGE].into_iter().collect(),
        down_sampling_factors: 0b1001,
        epoch_mode: false,
        always_on_mode: true,
        randomised_down_sampling: false,
        overlapping_ranges: false,
        postponed_insertion: true,
        counter_widths: instance.counter_widths.clone(),
        operation_delay_ns: 20_000_000,
        seed: 7,
    };
    assert_eq!(*instance, expected);
}

#[test]
fn what_is_printed_describes_the_same_device() {
    let texts = [
        "",
        "memory = \"512M\"\ninterrupts = \"none\"",
        "profile = \"full\"",
        "[[block]]\n[[block.instance]]\ncounter_widths = { default = 8, 2M = 30 }\n\
         [[block.instance]]\n[[block]]",
    ];
    for text in texts {
        let config = load(text).unwrap();
        let printed = toml::to_string(&config).unwrap();
        assert_eq!(load(&printed).unwrap(), config, "{printed}");
    }
}

#[test]
fn the_example_of_the_readme_is_a_configuration() {
    let readme = include_str!("../../README.md");
    let (_, rest) = readme.split_once("```toml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let described = load(example).unwrap();
    let default = Config::default().completed();
    assert_eq!(described.decoders, default.decoders);
    assert_eq!(described.serial_number, default.serial_number);
    assert_eq!(described.vectors, default.vectors);
}

#[test]
fn a_profile_is_the_ready_made_device() {
    for profile in Profile::ALL {
        let config = load(&format!("profile = \"{}\"", profile.name())).unwrap();
        let function = config.function();
        assert_eq!(function.interrupts, profile.interrupts());
        for (block, expected) in function.blocks.iter().zip(profile.blocks()) {
            for (instance, expected) in block.iter().zip(&expected) {
                let widths = |of: &Capabilities| {
                    UnitSize::all()
                        .map(|size| of.counter_widths.of(size))
                        .collect::<Vec<_>>()
                };
                assert_eq!(widths(instance), widths(expected), "{}", profile.name());
                let counter_widths = instance.counter_widths.clone();
                let expected = Capabilities {
                    counter_widths,
                    ..expected.clone()
                };
                assert_eq!(*instance, expected, "{}", profile.name());
            }
            assert_eq!(block.len(), expected.len());
        }
        assert_eq!(function.blocks.len(), profile.blocks().len());
    }
}

#[test]
fn what_is_written_overrides_the_profile() {
    let config = load(
        "profile = \"full\"\nvectors = 4\n[[block]]\n[[block.instance]]\nhotlist_entries = 8\n",
    );
    let function = config.unwrap().function();
    assert_eq!(function.interrupts, Interrupts::MsiX(4));
    assert_eq!(function.blocks.len(), 1);
    assert_eq!(function.blocks[0][0].hotlist_entries, 8);
    let said = refusal("profile = \"rich\"\n");
    assert!(
        said.starts_with("1:11: \"rich\" is no profile; write one of default, "),
        "{said}"
    );
    for profile in Profile::ALL {
        assert!(said.contains(profile.name()), "{said}");
    }
}

#[test]
fn a_device_without_interrupts_supports_none() {
    let supported = |text: &str| -> Vec<(bool, bool)> {
        let blocks = load(text).unwrap().function().blocks;
        let instances = blocks.iter().flatten();
        instances
            .map(|one| (one.overflow_interrupt, one.fill_level_interrupt))
            .collect()
    };
    assert_eq!(supported(""), [(true, true)]);
    assert_eq!(supported("interrupts = \"none\"\n"), [(false, false)]);
    assert_eq!(
        supported("interrupts = \"none\"\nprofile = \"full\"\n"),
        [(false, false); 5]
    );
    assert!(
        refusal(
            "interrupts = \"none\"\n[[block]]\n[[block.instance]]\noverflow_interrupt = true\n"
        )
        .starts_with("4:22: Instance 0 of CHMU block 0 supports the overflow interrupt, but")
    );
}

#[test]
fn instances_get_message_numbers_in_order() {
    let numbers = |text: &str| {
        let blocks = load(text).unwrap().function().blocks;
        let instances = blocks.iter().flatten();
        instances
            .map(|instance| instance.message_number)
            .collect::<Vec<u8>>()
    };
    let three = "[[block]]\n[[block.instance]]\n[[block.instance]]\nmessage_number = 9\n[[block]]";
    assert_eq!(numbers(three), [1, 9, 3]);
    assert_eq!(numbers(&format!("vectors = 16\n{three}")), [1, 9, 3]);
    assert_eq!(numbers("vectors = 1"), [0]);
    let many = "[[block.instance]]\n".repeat(17);
    let numbers = numbers(&format!("[[block]]\n{many}"));
    assert_eq!(numbers[13..], [14, 15, 1, 2]);
}

#[test]
fn several_quirks_are_a_list_and_one_is_a_name() {
    let both = load("quirk = [\"unit-shifted\", \"count-zero\"]\n").unwrap();
    let wanted: QuirkSet = [Quirk::CountZero, Quirk::UnitShifted].into_iter().collect();
    assert_eq!(both.function().quirks, wanted);
    assert!(
        both.summary()
            .ends_with(", quirks count-zero, unit-shifted")
    );
    let written = toml::to_string(&both).unwrap();
    assert!(
        written.contains("quirk = [\"count-zero\", \"unit-shifted\"]"),
        "{written}"
    );
    assert_eq!(load(&written).unwrap(), both);
    let one = load("quirk = [\"count-zero\"]\n").unwrap();
    let written = toml::to_string(&one).unwrap();
    assert!(written.contains("quirk = \"count-zero\""), "{written}");
}
