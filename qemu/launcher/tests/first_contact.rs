// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a user sees of the first `cargo lab`: something before the build is done, and then the lab.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A folder with the launcher, a cargo and a lab that are shell scripts.
fn folder(cargo: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(env!("CARGO_BIN_EXE_lab"), folder.path().join("lab")).unwrap();
    script(&folder.path().join("cargo"), cargo);
    script(
        &folder.path().join("chmu-lab"),
        r#"printf '%s|' "$@"; exit 42"#,
    );
    folder
}

fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn launcher(folder: &Path) -> Command {
    let mut command = Command::new(folder.join("lab"));
    command
        .env("CARGO", folder.join("cargo"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run(cargo: &str, arguments: &[&OsStr]) -> Output {
    let folder = folder(cargo);
    launcher(folder.path()).args(arguments).output().unwrap()
}

#[test]
fn something_is_said_while_cargo_still_builds() {
    // The build ends only once the test has read the first line.
    let folder = folder("echo '   Compiling syn v2.0.0' >&2; read line <\"${0%/*}/go-on\"");
    let go_on = folder.path().join("go-on");
    assert!(
        Command::new("mkfifo")
            .arg(&go_on)
            .status()
            .unwrap()
            .success()
    );
    let mut child = launcher(folder.path()).arg("demo").spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    let (date, text) = line.trim_end().split_once(' ').unwrap();
    assert!(date.ends_with('Z') && date.contains('T'), "{line}");
    assert!(text.starts_with("Building the lab"), "{line}");
    fs::write(&go_on, "go on\n").unwrap();
    let mut printed = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut printed)
        .unwrap();
    assert_eq!(printed, "demo|");
    assert_eq!(child.wait().unwrap().code(), Some(42));
}

#[test]
fn nothing_is_said_where_nothing_is_to_be_built() {
    let quiet = "echo '    Finished `dev` profile in 0.05s' >&2";
    let output = run(quiet, &["boot".as_ref(), "--append=a b".as_ref()]);
    assert_eq!(output.stdout, b"boot|--append=a b|");
    assert_eq!(output.stderr, b"");
    assert_eq!(output.status.code(), Some(42));
}

#[test]
fn a_failed_build_is_shown_whole() {
    let broken = "echo 'error[E0425]: no x' >&2; echo '  --> main.rs:1:1' >&2; exit 101";
    let output = run(broken, &[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("error[E0425]: no x\n  --> main.rs:1:1\n"),
        "{said}"
    );
    assert!(said.contains("Cannot build the lab"), "{said}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_missing_cargo_is_said() {
    let folder = folder("");
    fs::remove_file(folder.path().join("cargo")).unwrap();
    let output = launcher(folder.path()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("Cannot run cargo"), "{said}");
    assert_eq!(output.status.code(), Some(1));
}
