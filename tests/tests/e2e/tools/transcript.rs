// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What programs print, without what differs from run to run.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use chmu_tests::guest::{Guest, PROGRAM_TIMEOUT};

/// Set to write transcripts in place of comparing with them.
const UPDATE_VARIABLE: &str = "UPDATE";
/// Lines around the first difference.
const CONTEXT_LINES: usize = 6;

/// What the tools print of something that a card has and this device has not.
const COMPLAINTS: [&str; 8] = [
    "-95",
    "<?>",
    "<unassigned>",
    "Inappropriate ioctl",
    "not supported",
    "qos_class_mismatch",
    "unknown",
    "unsupported",
];
/// These are shown of a card, too.
const ALLOWED: [&str; 4] = [
    // pciutils knows no hotness monitoring units.
    "BIR: bar4, ID: <?>",
    // Fields of the PCI Express capability.
    "Not Supported",
    "ASPM not supported",
    "CrosslinkRes: unsupported",
];

/// Commands with what they printed.
#[derive(Debug)]
pub(super) struct Transcript {
    text: String,
    complaints: Vec<String>,
    /// What Linux calls something, and what the transcript does.
    names: Vec<(String, String)>,
}

impl Transcript {
    pub(super) fn new(names: Vec<(String, String)>) -> Self {
        Self {
            text: String::new(),
            complaints: Vec::new(),
            names,
        }
    }

    /// Runs a command of the shell that names things as the transcript does, and looks for what a
    /// card would not show.
    pub(super) fn run(&mut self, guest: &mut Guest, command: &str) -> Result<()> {
        let start = self.text.len();
        self.run_unjudged(guest, command)?;
        self.complaints
            .extend(complaints(&self.text[start..], command));
        Ok(())
    }

    /// Runs a command that shows another device.
    pub(super) fn run_unjudged(&mut self, guest: &mut Guest, command: &str) -> Result<()> {
        let there = self.names.iter().map(|(linux, own)| (own, linux));
        let output = guest.run(&["sh", "-c", &renamed(command, there)], PROGRAM_TIMEOUT)?;
        ensure!(!output.timed_out, "`{command}` does not end");
        self.keep(&format!("\n$ {command}"));
        for line in output.stdout.lines() {
            self.line(line);
        }
        for line in output.stderr.lines() {
            self.line(&format!("stderr: {line}"));
        }
        if output.exit_code != 0 {
            self.line(&format!("exit code: {}", output.exit_code));
        }
        Ok(())
    }

    /// Adds a line of the guest.
    fn line(&mut self, line: &str) {
        let here = self.names.iter().map(|(linux, own)| (linux, own));
        self.keep(&normal(&renamed(line, here)));
    }

    /// Adds a line as it is.
    pub(super) fn keep(&mut self, line: &str) {
        // The whole of it where the test fails.
        println!("{line}");
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    /// Fails if a card would show something else, or the file has something else.
    pub(super) fn check(&self, file: &Path) -> Result<()> {
        ensure!(
            self.complaints.is_empty(),
            "A card would not show this:\n{}",
            self.complaints.join("\n")
        );
        if std::env::var_os(UPDATE_VARIABLE).is_some() {
            return std::fs::write(file, &self.text)
                .with_context(|| format!("Cannot write {}", file.display()));
        }
        let wanted = std::fs::read_to_string(file)
            .with_context(|| format!("Cannot read {}", file.display()))?;
        let Some(difference) = difference(&wanted, &self.text) else {
            return Ok(());
        };
        let whole =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(file.file_name().unwrap_or_default());
        std::fs::write(&whole, &self.text)?;
        bail!(
            "The tools show something else than {}:\n{difference}\nThe whole of it is in {}; \
             with {UPDATE_VARIABLE}=1 in the environment the test takes it over",
            file.display(),
            whole.display()
        )
    }
}

/// The lines that a card would not show.
fn complaints(text: &str, command: &str) -> Vec<String> {
    let is_complaint = |line: &&str| {
        let is_allowed = ALLOWED.iter().any(|allowed| line.contains(allowed));
        let found = COMPLAINTS.iter().any(|complaint| line.contains(complaint));
        let failed = line.starts_with("exit code: ");
        line.starts_with("stderr: ") || failed || (found && !is_allowed)
    };
    let lines = text.lines().filter(is_complaint);
    lines
        .map(|line| format!("`{command}`: {}", line.trim()))
        .collect()
}

/// The first difference with what is around it; nothing when there is none.
fn difference(wanted: &str, found: &str) -> Option<String> {
    let (wanted, found): (Vec<_>, Vec<_>) = (wanted.lines().collect(), found.lines().collect());
    let same = wanted
        .iter()
        .zip(&found)
        .take_while(|(a, b)| a == b)
        .count();
    if same == wanted.len() && same == found.len() {
        return None;
    }
    let mut text = String::new();
    let around = |lines: &[&str], from: usize, count: usize| -> Vec<String> {
        lines
            .iter()
            .skip(from)
            .take(count)
            .map(|line| (*line).to_owned())
            .collect()
    };
    let before = same.saturating_sub(CONTEXT_LINES);
    for line in around(&wanted, before, same - before) {
        let _ = writeln!(text, "  {line}");
    }
    for line in around(&wanted, same, CONTEXT_LINES) {
        let _ = writeln!(text, "- {line}");
    }
    for line in around(&found, same, CONTEXT_LINES) {
        let _ = writeln!(text, "+ {line}");
    }
    Some(text)
}

/// Gives things other names, all at once.
fn renamed<'a>(text: &str, names: impl Iterator<Item = (&'a String, &'a String)>) -> String {
    let names: Vec<_> = names.collect();
    let mut result = String::new();
    let mut rest = text;
    let mut is_start = true;
    while let Some(next) = rest.chars().next() {
        let found = names.iter().find(|(from, _)| {
            let end = rest
                .strip_prefix(from.as_str())
                .map(|end| end.chars().next());
            is_start && end.is_some_and(|end| !end.is_some_and(|end| end.is_ascii_alphanumeric()))
        });
        match found {
            Some((from, to)) => {
                result.push_str(to);
                rest = &rest[from.len()..];
                is_start = false;
            }
            None => {
                result.push(next);
                rest = &rest[next.len_utf8()..];
                is_start = !next.is_ascii_alphanumeric();
            }
        }
    }
    result
}

/// Without times and addresses of the moment.
fn normal(line: &str) -> String {
    let mut line = line.to_owned();
    for (pattern, replacement) in [
        ("0000-00-00 00:00:00 +0000", "<time>"),
        ("0000-00-00 00:00:00", "<time>"),
    ] {
        line = replaced(&line, pattern, replacement);
    }
    for key in ["\"timestamp\":", "\"hdr_timestamp\":"] {
        line = without_number(&line, key);
    }
    line
}

/// Replaces what has a digit where the pattern has a 0, and is the pattern everywhere else; a time
/// of no value stays.
fn replaced(text: &str, pattern: &str, replacement: &str) -> String {
    let matches = |piece: &[u8]| {
        piece.len() == pattern.len()
            && piece
                .iter()
                .zip(pattern.bytes())
                .all(|(byte, wanted)| match wanted {
                    b'0' => byte.is_ascii_digit(),
                    wanted => *byte == wanted,
                })
            && !piece.starts_with(b"1970-01-01")
    };
    let bytes = text.as_bytes();
    let mut result = String::new();
    let mut kept = 0;
    let mut at = 0;
    while at < bytes.len() {
        let end = bytes.len().min(at + pattern.len());
        if matches(&bytes[at..end]) {
            result.push_str(&text[kept..at]);
            result.push_str(replacement);
            at = end;
            kept = end;
        } else {
            at += 1;
        }
    }
    result.push_str(&text[kept..]);
    result
}

/// Replaces the number behind a key.
fn without_number(text: &str, key: &str) -> String {
    let mut pieces = text.split(key);
    let mut result = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        result.push_str(key);
        result.push_str("<number>");
        result.push_str(piece.trim_start_matches(|digit: char| digit.is_ascii_digit()));
    }
    result
}

#[test]
fn what_differs_from_run_to_run_is_left_out() {
    let line =
        "cxl_poison 2026-11-26 15:36:14 +0000 memdev:mem0 overflow:1970-01-01 00:00:00 +0000";
    assert_eq!(
        normal(line),
        "cxl_poison <time> memdev:mem0 overflow:1970-01-01 00:00:00 +0000"
    );
    assert_eq!(
        normal(r#"{"timestamp":35401,"memdev":"mem0","hdr_timestamp":17957,"dpa":1}"#),
        r#"{"timestamp":<number>,"memdev":"mem0","hdr_timestamp":<number>,"dpa":1}"#
    );
}

#[test]
fn names_are_exchanged_as_whole_words() {
    let names = [("mem1", "mem0"), ("mem0", "mem1"), ("decoder3", "decoder2")];
    let names = names.map(|(from, to)| (from.to_owned(), to.to_owned()));
    let names = names.iter().map(|(from, to)| (from, to));
    assert_eq!(
        renamed("mem0 \"mem1\" mem10 xmem0 decoder3.0 decoder3", names),
        "mem1 \"mem0\" mem10 xmem0 decoder2.0 decoder2"
    );
}

#[test]
fn complaints_are_found() {
    let text = "$ x\n\"temperature\":-95,\nLnkCap: ASPM not supported\nstderr: libcxl: no\n";
    assert_eq!(
        complaints(text, "x"),
        ["`x`: \"temperature\":-95,", "`x`: stderr: libcxl: no"]
    );
    assert!(complaints("\tBlock3: BIR: bar4, ID: <?>, offset: 0\n", "x").is_empty());
}

#[test]
fn the_first_difference_is_shown() {
    assert_eq!(difference("a\nb\n", "a\nb\n"), None);
    assert_eq!(difference("a\nb\n", "a\nc\n").unwrap(), "  a\n- b\n+ c\n");
    assert_eq!(difference("a\n", "a\nc\n").unwrap(), "  a\n+ c\n");
}
