// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What configuration files say, and what is said about wrong ones.

use std::io::Write;
use std::path::Path;

use chmu_cxl::Profile;
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
    assert_eq!(function.quirk.unwrap().name(), "overflow-never-set");
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
fn refusals_name_the_place_and_what_would_be_right() {
    let cases = [
        (
            "memory = \"1G\"\nserial = 7\n",
            "2:1: unknown field `serial`, expected one of `serial_number`, `memory`, `latency`, \
             `bandwidth`, `hdm_decoders`, `profile`, `interrupts`, `vectors`, `access_rings`, \
             `quirk`, `decoder`, `block`",
        ),
        ("access_rings = 0\n", "1:16: 0 is not between 1 and 256"),
        (
            "\n  memory = \"lots\"\n",
            "2:12: \"lots\" is no size; write bytes, or a number with K, M, G or T, such as 256M",
        ),
        (
            "[[block]]\n[[block.instance]]\nminimum_epoch = 100\n",
            "3:17: \"100\" is no duration; write a number with ns, us, ms or s, such as 100ms",
        ),
        (
            "[[block]]\n[[block.instance]]\nhotlist_entries = 1\n",
            "3:19: 1 is not between 2 and 65535",
        ),
        (
            "[[block]]\n[[block.instance]]\nunit_sizes = [\"4K\", \"3K\"]\n",
            "3:21: \"3K\" is no unit size; write a power of two from 256B to 2G, such as 4K or 2M",
        ),
        (
            "[[block]]\n[[block.instance]]\ncounter_widths = { 4K = 33 }\n",
            "3:25: a counter has 1 to 32 bits, not 33",
        ),
        (
            "[[block]]\n[[block.instance]]\ndown_sampling_factors = [1, 3]\n",
            "3:29: 3 is no down-sampling factor; write a power of two from 1 to 32768",
        ),
        (
            "quirk = \"slow\"\n",
            "1:9: \"slow\" is no quirk; vfio-user-chmu --list-quirks names them",
        ),
        (
            "latency = \"0\"\n",
            "1:11: Memory has a latency of 1 ns or more",
        ),
        (
            "memory = \"1G\"\nbandwidth = \"1023K\"\n",
            "2:13: Memory has a bandwidth of 1 MiB/s or more",
        ),
        (
            "hdm_decoders = 11\n",
            "1:16: A device has 1 to 10 HDM decoders, not 11",
        ),
        (
            "interrupts = \"intx\"\n",
            "1:14: \"intx\" is no kind of interrupt; write msi-x, msi or none",
        ),
        (
            "interrupts = 3\n",
            "1:14: \"3\" is no kind of interrupt; write msi-x, msi or none",
        ),
        (
            "[[block]]\n[[block.instance]]\nepoch_type = \"weekly\"\n",
            "3:14: \"weekly\" is no type of epoch; write global or per-counter",
        ),
        (
            "vectors = \"16\"\n",
            "1:11: this is the text \"16\"; write a whole number from 1 to 2048",
        ),
        (
            "vectors = 1.5\n",
            "1:11: this is the number 1.5; write a whole number from 1 to 2048",
        ),
        (
            "memory = true\n",
            "1:10: this is true; write a size such as \"256M\" or 4096",
        ),
        (
            "[block]\n",
            "1:1: this is one table, where there is a list of them; write its name in double \
             brackets, as in [[block]]",
        ),
        (
            "block = [1]\n",
            "1:10: this is the number 1; write a table of keys and values",
        ),
        (
            "[[block]]\n[[block.instance]]\nunit_sizes = 4096\n",
            "3:14: this is the number 4096; write a list, as in [1, 2]",
        ),
        (
            "[[decoder]]\ntee = 1\n",
            "2:7: this is the number 1; write true or false",
        ),
        (
            "memory = 1\nmemory = 2\n",
            "2:1: this key is there already; leave one of them",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(refusal(text), expected);
    }
}

/// Keys of the three kinds of table.
const KEYS: [(&str, &[&str]); 3] = [
    (
        "",
        &[
            "serial_number",
            "memory",
            "profile",
            "interrupts",
            "vectors",
            "quirk",
            "decoder",
            "block",
        ],
    ),
    (
        "[[decoder]]\n",
        &[
            "base",
            "size",
            "ways",
            "granularity",
            "position",
            "dpa_skip",
            "tee",
        ],
    ),
    (
        "[[block]]\n[[block.instance]]\n",
        &[
            "message_number",
            "overflow_interrupt",
            "epoch_type",
            "trackable_requests",
            "minimum_epoch",
            "hotlist_entries",
            "unit_sizes",
            "down_sampling_factors",
            "epoch_mode",
            "operation_delay",
            "seed",
            "counter_widths",
        ],
    ),
];

/// Values that most keys do not take.
const ODD_VALUES: [&str; 16] = [
    "0",
    "1",
    "-5",
    "3.5",
    "true",
    "\"\"",
    "\"x\"",
    "\"1G\"",
    "\"16777215T\"",
    "\"999999s\"",
    "[]",
    "[[1]]",
    "{}",
    "1979-05-27",
    "'''\n'''",
    "9223372036854775807",
];

#[test]
fn odd_values_work_or_are_refused_in_plain_words_at_their_place() {
    for (table, keys) in KEYS {
        let line = table.matches('\n').count() + 1;
        for (key, value) in keys
            .iter()
            .flat_map(|key| ODD_VALUES.map(|value| (key, value)))
        {
            let text = format!("{table}{key} = {value}\n");
            let Err(refusal) = load(&text) else {
                continue;
            };
            assert!(
                refusal.starts_with(&format!("{line}:")),
                "{text}: {refusal}"
            );
            for jargon in ["invalid", "expected", "wanted", "i64", "struct", "variant"] {
                assert!(!refusal.contains(jargon), "{text}: {refusal}");
            }
        }
    }
}

#[test]
fn contradictions_point_to_the_key() {
    let place = |text: &str| {
        let refusal = refusal(text);
        let mut parts = refusal.splitn(3, ':');
        let mut number = || parts.next().unwrap().parse::<usize>().unwrap();
        (number(), number())
    };
    assert_eq!(place("memory = \"300M\"\n"), (1, 10));
    assert_eq!(place("interrupts = \"msi\"\nvectors = 3\n"), (2, 11));
    let instance = "[[block]]\n[[block.instance]]\n[[block.instance]]\n";
    assert_eq!(
        place(&format!(
            "{instance}epoch_mode = false\nalways_on_mode = false\n"
        )),
        (4, 14)
    );
    assert_eq!(
        place(&format!("{instance}maximum_epoch = \"100us\"\n")),
        (3, 1)
    );
    assert_eq!(place(&format!("{instance}unit_sizes = []\n")), (4, 14));
    assert_eq!(
        place(&format!("{instance}down_sampling_factors = [2]\n")),
        (4, 25)
    );
    assert_eq!(
        place(&format!("{instance}operation_delay = \"11s\"\n")),
        (4, 19)
    );
    assert_eq!(place("[[decoder]]\ngranularity = 300\n"), (2, 15));
    assert_eq!(place("[[decoder]]\nways = 5\n"), (2, 8));
    assert_eq!(place("[[decoder]]\nbase = \"0x10000000000000\"\n"), (2, 8));
    assert_eq!(
        place(&format!("vectors = 8\n{instance}message_number = 8\n")),
        (5, 18)
    );
    assert_eq!(place("profile = \"full\"\nvectors = 1\n"), (2, 11));
    assert_eq!(place("[[decoder]]\ndpa_skip = \"256M\"\n"), (2, 12));
    assert_eq!(
        place("[[decoder]]\nsize = \"256M\"\n[[decoder]]\nsize = \"256M\"\nbase = 7\n"),
        (5, 8)
    );
}

#[test]
fn vectors_that_the_process_cannot_take_are_refused_at_their_key() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"memory = \"1G\"\nvectors = 897\n").unwrap();
    let file = ConfigFile::read(file.path()).unwrap();
    let config = file.parse().unwrap().completed();
    config.check_descriptors(1025, Some(&file)).unwrap();
    let refusal = config.check_descriptors(1024, Some(&file)).unwrap_err();
    let refusal = refusal.to_string();
    let expected = ":2:11: 897 interrupt vectors need as many file descriptors, and the device 128 \
                    more, but this process may have 1024 (RLIMIT_NOFILE); raise its limit, as by \
                    `ulimit -n 1025`, or configure 896 vectors at most";
    assert!(refusal.ends_with(expected), "{refusal}");
    for limit in [4, 128] {
        let refusal = config.check_descriptors(limit, None).unwrap_err();
        let refusal = refusal.to_string();
        assert!(refusal.ends_with("as by `ulimit -n 1025`"), "{refusal}");
    }
    let silent = Config {
        interrupts: Some(InterruptKind::None),
        ..Config::default()
    };
    silent.completed().check_descriptors(0, None).unwrap();
}

#[test]
fn a_file_without_an_end_is_refused() {
    let error = ConfigFile::read(Path::new("/dev/zero")).unwrap_err();
    let ConfigError::Read { source, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(source.kind(), std::io::ErrorKind::FileTooLarge);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = ConfigFile::read("/nonexistent/chmu.toml".as_ref()).unwrap_err();
    assert_eq!(
        crate::logging::chain(&error),
        "The configuration file /nonexistent/chmu.toml cannot be read: \
         No such file or directory (os error 2)"
    );
}

proptest! {
    /// Keys and values from the format and around it: an answer, never a panic.
    #[test]
    fn any_file_is_survived(
        lines in prop::collection::vec(
            prop_oneof![
                "\\PC{0,12}",
                "(memory|vectors|seed|base|ways|unit_sizes|quirk) = ([0-9]{1,20}|\"[0-9]{1,3}[KMGT]?\"|\\[\\])",
                "\\[\\[(block|decoder|block\\.instance)\\]\\]",
            ],
            0..8,
        ),
    ) {
        let _ = load(&lines.join("\n"));
    }
}
