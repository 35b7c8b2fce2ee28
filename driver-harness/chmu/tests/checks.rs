// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a user can put right is said first, whatever this machine lacks.

use std::process::Command;

/// What `chmu` complains of.
fn complaint(words: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chmu"));
    let output = command.args(words).env_remove("RUST_LOG").output().unwrap();
    assert!(!output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn devices_files_and_values_come_before_the_means() {
    for (words, expected) in [
        (
            &["promote", "--device", "mem99"][..],
            "0: There is no CXL memory device mem99; ",
        ),
        (
            &["promote", "--frames", "/nonexistent"],
            "0: Cannot read the list of frames in /nonexistent\n",
        ),
        (
            &["promote", "--target", "99", "--device", "mem99"],
            "0: There is no node 99 with memory; ",
        ),
        (
            &["workload", "--node", "99"],
            "0: There is no node 99 with memory; ",
        ),
        (
            &["promote", "--dry-run", "--state", "/nonexistent"],
            "0: --state is of use only with --actuator move-pages, without --dry-run; leave it out\n",
        ),
        (
            &["workload", "--pinned-pages", "513"],
            "0: 513 pages to pin are more than the 512 hot ones, of which they are\n",
        ),
        (
            &["workload", "--processes", "2"],
            "0: Many processes need a --state FILE to be told apart by\n",
        ),
        (
            &["workload", "--hot-pages", "5000"],
            "0: 5000 hot pages do not fit into 4096 pages\n",
        ),
    ] {
        let text = complaint(words);
        assert!(text.starts_with(expected), "{words:?}: {text}");
    }
}

#[test]
fn numbers_that_leave_nothing_to_do_are_usage_errors() {
    for words in [
        &["workload", "--pages", "0"][..],
        &["workload", "--hot-pages", "0"],
        &["watch", "--threshold", "0"],
        &["watch", "--epoch", "0ms"],
        &["promote", "--batch", "0"],
        &["promote", "--max-pages-per-second", "0"],
        &["prove", "--state", "/s", "--minimum-recall", "1.5"],
        &["list", "-u", "-o", "json"],
    ] {
        let text = complaint(words);
        assert!(text.starts_with("error: "), "{words:?}: {text}");
    }
}

#[test]
fn distributions_lead_to_those_that_exist() {
    let text = complaint(&["workload", "--distribution", "zipff"]);
    assert!(
        text.contains("did you mean zipf? There are uniform, zipf, zipf:EXPONENT"),
        "{text}"
    );
    let text = complaint(&["workload", "--distribution", "zipf:0"]);
    assert!(
        text.contains("its exponent lies above 0 and up to 10"),
        "{text}"
    );
}
