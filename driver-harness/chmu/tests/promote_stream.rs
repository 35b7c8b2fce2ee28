// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `chmu promote` over a stream: decisions without a machine.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

const STREAM: &str = r#"{"v":1,"stream":"made up","epoch_ns":100000000}
{"t":100000000,"hot":[{"frame":1048580,"weight":50},{"frame":1048581,"weight":20},{"frame":5,"weight":9}]}
{"t":200000000,"hot":[{"frame":1048580,"weight":50},{"frame":1048600,"weight":33,"pages":3}],"overflow":true}
"#;

fn promote(folder: &Path, words: &[&str], input: &str) -> Output {
    promote_in_pieces(folder, words, input, usize::MAX)
}

/// The same, with so many bytes of the input at a time.
fn promote_in_pieces(folder: &Path, words: &[&str], input: &str, bytes: usize) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chmu"));
    command
        .arg("promote")
        .args(words)
        .env_remove("RUST_LOG")
        .current_dir(folder);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A program that does not read its input closes it.
    let mut stdin = child.stdin.take().unwrap();
    for piece in input.as_bytes().chunks(bytes) {
        let _ = stdin.write_all(piece);
    }
    drop(stdin);
    child.wait_with_output().unwrap()
}

#[test]
fn a_file_leads_to_the_same_decisions_each_time() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("stream"), STREAM).unwrap();
    let run = |source: &str, ledger: &str| {
        let words = [
            "--source",
            source,
            "--dry-run",
            "-o",
            "json",
            "--seed",
            "7",
            "--ledger",
            ledger,
        ];
        let output = promote(folder.path(), &words, STREAM);
        assert!(output.status.success(), "{output:?}");
        (output.stdout, fs::read(folder.path().join(ledger)).unwrap())
    };
    let (summary, ledger) = run("stream:stream", "first");
    assert_eq!(
        run("stream:stream", "second"),
        (summary.clone(), ledger.clone())
    );
    assert_eq!(run("stream:-", "third"), (summary.clone(), ledger.clone()));
    // By bits and pieces, while the processors are busy with other things.
    let is_over = AtomicBool::new(false);
    let slow = thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let words = [
            "--source",
            "stream:-",
            "--dry-run",
            "-o",
            "json",
            "--seed",
            "7",
            "--ledger",
            "slow",
        ];
        let output = promote_in_pieces(folder.path(), &words, STREAM, 1);
        is_over.store(true, Ordering::Relaxed);
        (output.stdout, fs::read(folder.path().join("slow")).unwrap())
    });
    assert_eq!(slow, (summary.clone(), ledger.clone()));
    let summary: serde_json::Value = serde_json::from_slice(&summary).unwrap();
    assert_eq!(summary["pages_promoted"], 5);
    let would_move = summary["would_move"].as_array().unwrap();
    assert_eq!(would_move.len(), 5);
    assert_eq!(would_move[0]["frame"], 1_048_580);
    assert_eq!(
        (&would_move[0]["source_node"], &would_move[0]["target_node"]),
        (&1.into(), &0.into())
    );
    assert_eq!(summary["dry_run"], true);
    assert_eq!(summary["reports_with_lost_units"], 1);
    assert_eq!(summary["ignored"]["top_tier"], 1);
    let ledger = String::from_utf8(ledger).unwrap();
    assert!(
        ledger.starts_with(r#"{"v":1,"t":100000000,"e":"begin","#),
        "{ledger}"
    );
    let last = ledger.lines().last().unwrap();
    assert!(
        last.contains(r#""e":"end""#) && last.contains(r#""pages_moved":5"#),
        "{last}"
    );
}

#[test]
fn a_line_that_is_wrong_is_told_with_its_number() {
    let folder = tempfile::tempdir().unwrap();
    let input = format!("{STREAM}{{\"t\":5}}\n");
    let output = promote(
        folder.path(),
        &["--source", "stream:-", "--dry-run"],
        &input,
    );
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(
        complaint
            .starts_with("0: Line 4 of the stream made up is no report\n1: missing field `hot`"),
        "{complaint}"
    );
}

#[test]
fn a_described_machine_decides_where_pages_go() {
    let folder = tempfile::tempdir().unwrap();
    let input = r#"{"v":1,"stream":"x","nodes":[{"node":0,"cpus":true,"start":0,"pages":100},{"node":1,"cpus":true,"start":100,"pages":100},{"node":3,"start":200,"pages":100,"distances":{"0":40,"1":20}}]}
{"t":1,"hot":[{"frame":250,"weight":1}]}
"#;
    let run = |words: &[&str]| {
        let words = [&["--source", "stream:-", "--dry-run", "-o", "json"], words].concat();
        promote(folder.path(), &words, input)
    };
    let output = run(&[]);
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let route = serde_json::json!([{"source_node": 3, "target_node": 1, "pages": 1}]);
    assert_eq!(summary["routes"], route, "{output:?}");
    let complaint = String::from_utf8(run(&["--target", "2"]).stderr).unwrap();
    assert!(
        complaint.starts_with("0: There is no node 2"),
        "{complaint}"
    );
}

#[test]
fn a_dry_run_prints_what_would_move() {
    let folder = tempfile::tempdir().unwrap();
    let output = promote(
        folder.path(),
        &["--source", "stream:-", "--dry-run", "--until-stable"],
        STREAM,
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let (_, table) = text.split_once("it would move:\n").unwrap();
    let rows: Vec<Vec<_>> = table
        .lines()
        .map(|line| line.split_whitespace().collect())
        .take_while(|row: &Vec<_>| !row.is_empty())
        .collect();
    assert_eq!(rows[0], ["frame", "pages", "from", "to", "heat", "after"]);
    assert_eq!(rows.len(), 6, "{text}");
    assert_eq!(rows[1][..4], ["0x100004", "1", "1", "0"], "{text}");
}

/// A shell opens both: the ledger would be written into what is still to be read.
#[test]
fn standard_input_is_not_overwritten_by_the_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stream");
    fs::write(&path, STREAM).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_chmu"))
        .args([
            "promote",
            "--source",
            "stream:-",
            "--dry-run",
            "--ledger",
            "stream",
        ])
        .current_dir(folder.path())
        .stdin(fs::File::open(&path).unwrap())
        .output()
        .unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(
        complaint.contains("--source and --ledger both name stream"),
        "{complaint}"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), STREAM);
}

#[test]
fn what_would_do_nothing_or_two_things_in_one_place_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let twice = [
        "--status-socket",
        "new/socket",
        "--metrics-socket",
        "new/socket",
    ];
    for (options, said) in [
        (&["--no-tune"][..], "--no-tune is a setting of a CHMU"),
        (
            &twice,
            "--status-socket and --metrics-socket both name new/socket",
        ),
    ] {
        let words = [&["--source", "stream:-", "--dry-run"], options].concat();
        let output = promote(folder.path(), &words, STREAM);
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && complaint.contains(said),
            "{complaint}"
        );
    }
}
