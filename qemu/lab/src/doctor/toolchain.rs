// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What builds and tests the project.

use std::fs;
use std::io::ErrorKind;
use std::process::{Command, Output};

use super::{Finding, State};
use crate::platform;

const RUST: &str = "Rust";
const LINKING: &str = "Static linking";
const INSTALL_RUST: &str = "Install Rust, as rust-lang.org says, and see that rustc is in PATH";
const OTHER_FOLDER: &str = "Name a folder with room in TMPDIR";

/// The compiler, and whether it links a program as the guest's is linked. Without the compiler
/// nothing is said of linking.
pub(super) fn compiler() -> Vec<Finding> {
    let version = match Command::new("rustc").arg("--version").output() {
        Ok(output) if output.status.success() => first_line(&output.stdout),
        Ok(output) => {
            let detail = format!("rustc fails: {}", first_line(&output.stderr));
            return vec![Finding::new(RUST, State::Missing, detail).fix(INSTALL_RUST)];
        }
        Err(error) => {
            let detail = match error.kind() {
                ErrorKind::NotFound => "there is no rustc in PATH".to_owned(),
                _ => format!("rustc does not run: {error}"),
            };
            return vec![Finding::new(RUST, State::Missing, detail).fix(INSTALL_RUST)];
        }
    };
    vec![Finding::new(RUST, State::Ok, version), static_linking()]
}

fn static_linking() -> Finding {
    let missing =
        |detail: String, fix: &str| Finding::new(LINKING, State::Missing, detail).fix(fix);
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => {
            return missing(format!("no folder to try it in: {error}"), OTHER_FOLDER);
        }
    };
    let source = folder.path().join("program.rs");
    let program = folder.path().join("program");
    if let Err(error) = fs::write(&source, "fn main() {}") {
        return missing(format!("no folder to try it in: {error}"), OTHER_FOLDER);
    }
    let linked = Command::new("rustc")
        .args(["-C", "target-feature=+crt-static"])
        .args(["--target", "x86_64-unknown-linux-gnu", "-o"])
        .args([&program, &source])
        .env("LC_ALL", "C")
        .output();
    let output = match linked {
        Ok(output) => output,
        Err(error) => return missing(format!("rustc does not run: {error}"), INSTALL_RUST),
    };
    if !output.status.success() {
        let (detail, fix) = link_failure(&output);
        return missing(detail, fix);
    }
    match platform::check_static(&program) {
        Ok(()) => Finding::new(LINKING, State::Ok, "works"),
        Err(error) => missing(format!("{error:#}"), NO_STATIC_LIBRARY),
    }
}

const NO_LINKER: &str = "Install a C compiler, which Rust links with (gcc on most systems)";
const NO_STATIC_LIBRARY: &str =
    "Install the C library's static files (libc6-dev on Debian, glibc-static on Fedora)";
const NO_TARGET: &str = "rustup target add x86_64-unknown-linux-gnu";

/// What rustc complains of, and what helps against it.
fn link_failure(output: &Output) -> (String, &'static str) {
    let text = String::from_utf8_lossy(&output.stderr);
    let errors = text.lines().filter(|line| line.starts_with("error"));
    let detail = errors.map(str::to_owned).next();
    let detail = detail.unwrap_or_else(|| first_line(&output.stderr));
    let causes = [
        ("linker `", "not found", NO_LINKER),
        ("can't find crate for `", "", NO_TARGET),
        ("No space left on device", "", OTHER_FOLDER),
        ("cannot find -l", "", NO_STATIC_LIBRARY),
        ("unable to find library -l", "", NO_STATIC_LIBRARY),
    ];
    let is_cause = |(one, two, _): &&(&str, &str, &str)| text.contains(one) && text.contains(two);
    let fix = causes.iter().find(is_cause).map(|(_, _, fix)| *fix);
    (
        detail,
        fix.unwrap_or("Mend what rustc says; the lab's guest needs statically linked programs"),
    )
}

/// Runs the tests; the demonstration does without.
pub(super) fn test_runner() -> Finding {
    const TEST_RUNNER: &str = "Test runner";
    let output = Command::new("cargo")
        .args(["nextest", "--version"])
        .output();
    match output {
        Ok(output) if output.status.success() => {
            Finding::new(TEST_RUNNER, State::Ok, first_line(&output.stdout))
        }
        Ok(_) => Finding::new(
            TEST_RUNNER,
            State::Warning,
            "cargo-nextest is not installed; cargo test runs the tests, slower",
        )
        .fix("cargo install --locked cargo-nextest"),
        Err(error) => Finding::new(
            TEST_RUNNER,
            State::Warning,
            format!("cargo does not run: {error}"),
        )
        .fix(INSTALL_RUST),
    }
}

fn first_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    text.lines().next().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::*;

    fn advice(stderr: &str) -> (String, &'static str) {
        link_failure(&Output {
            status: ExitStatus::from_raw(256),
            stdout: Vec::new(),
            stderr: stderr.into(),
        })
    }

    #[test]
    fn advice_fits_the_cause() {
        let (detail, fix) = advice("error: linker `cc` not found\n  |\n  = note: No such file\n");
        assert_eq!(detail, "error: linker `cc` not found");
        assert_eq!(fix, NO_LINKER);
        let library = "error: linking with `cc` failed: exit status: 1\n\
                       = note: /usr/bin/ld: cannot find -lc: No such file or directory\n";
        assert_eq!(advice(library).1, NO_STATIC_LIBRARY);
        let target = "error[E0463]: can't find crate for `std`\n";
        assert_eq!(advice(target).1, NO_TARGET);
        let disk = "error: failed to write /tmp/x: No space left on device (os error 28)\n";
        assert_eq!(advice(disk).1, OTHER_FOLDER);
        assert!(advice("error: something else\n").1.contains("rustc"));
    }
}
