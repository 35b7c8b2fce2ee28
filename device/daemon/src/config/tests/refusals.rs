// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What is said about wrong configuration files, and where.

use super::*;

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
            "quirk = [\"count-zero\", \"slow\"]\n",
            "1:24: \"slow\" is no quirk; vfio-user-chmu --list-quirks names them",
        ),
        (
            "quirk = 3\n",
            "1:9: this is the number 3; write the name of a quirk, or a list of such names",
        ),
        (
            "quirk = [\"full-overwrites\", \"full-one-early\"]\n",
            "1:9: A device cannot break full-one-early and full-overwrites at once: both say what is done in the same \
             place; take one",
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
        place(&format!("{instance}down_sampling_factors = []\n")),
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
