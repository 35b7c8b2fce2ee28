// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause

use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;

/// Longer than any test takes.
const NEVER: Duration = Duration::from_secs(3600);

/// Passes on what is written.
struct Pipe(Sender<String>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        // As a pipe that nobody reads.
        let sent = self.0.send(text);
        sent.map(|()| bytes.len())
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn start(style: Style, interval: Duration) -> (Progress, Receiver<String>) {
    let (sender, receiver) = channel();
    let progress = Progress::start(style, Box::new(Pipe(sender)), interval);
    (progress, receiver)
}

/// The line behind its date.
fn undated(line: &str) -> &str {
    let (date, text) = line.split_once(' ').unwrap();
    assert!(date.starts_with("20") && date.ends_with('Z'), "{line}");
    text.trim_end()
}

#[test]
fn steps_are_dated_lines() {
    let (progress, said) = start(Style::Plain, NEVER);
    progress.step("Building");
    progress.percent(3);
    progress.step("Booting");
    progress.say("A remark");
    drop(progress);
    let lines: Vec<_> = said.iter().collect();
    let lines: Vec<_> = lines.iter().map(|line| undated(line)).collect();
    assert_eq!(lines, ["Building", "Booting", "A remark"]);
}

#[test]
fn a_long_step_says_how_it_stands_and_so_does_what_goes_on_beside_it() {
    let (progress, said) = start(Style::Plain, Duration::from_millis(1));
    let other = progress.beside();
    progress.step("Building");
    progress.detail("syn");
    other.step("Downloading");
    other.percent(42);
    for expected in ["Building, 0 s: syn", "Downloading, 42 %, 0 s"] {
        let mut lines = said.iter();
        assert!(lines.any(|line| undated(&line) == expected), "{expected}");
    }
}

#[test]
fn an_activity_with_a_name_begins_with_it() {
    let (progress, said) = start(Style::Plain, NEVER);
    let one = progress.beside_as("6.12");
    one.step("Booting");
    one.say("A remark");
    drop((one, progress));
    let lines: Vec<_> = said.iter().collect();
    let lines: Vec<_> = lines.iter().map(|line| undated(line)).collect();
    assert_eq!(lines, ["6.12: Booting", "6.12: A remark"]);
}

#[test]
fn nothing_is_said_before_the_first_step_and_after_the_last() {
    let (progress, said) = start(Style::Plain, Duration::from_millis(1));
    drop(progress);
    assert_eq!(said.iter().next(), None);
}

#[test]
fn a_terminal_has_a_line_for_each_activity_and_none_in_the_end() {
    let (progress, said) = start(Style::Live, NEVER);
    progress.step("Building");
    let other = progress.beside();
    other.step("Downloading");
    other.say("A remark");
    drop(other);
    drop(progress);
    let written: Vec<_> = said.iter().collect();
    let visible = |text: &str| -> String {
        let codes = [NO_WRAP, WRAP, CLEAR_LINE, LINE_UP];
        let bare = |text: String, code: &&str| text.replace(*code, "");
        codes.iter().fold(text.to_owned(), bare)
    };
    let seen: Vec<_> = written.iter().map(|text| visible(text)).collect();
    let both = "Building, 0 s\nDownloading, 0 s";
    assert_eq!(
        seen[..6],
        [
            "Building, 0 s",
            both,
            "",
            "A remark\n",
            both,
            "Building, 0 s"
        ]
    );
    // The second of the two lines is cleared together with the first.
    assert_eq!(written[5].matches(CLEAR_LINE).count(), 2);
    assert!(seen[6..].iter().all(String::is_empty), "{seen:?}");
}

#[test]
fn a_reader_that_left_stops_nothing() {
    let (progress, said) = start(Style::Plain, NEVER);
    drop(said);
    progress.step("Building");
    progress.say("A remark");
}

#[test]
fn a_hidden_activity_says_nothing() {
    let (progress, said) = start(Style::Hidden, NEVER);
    progress.step("Building");
    progress.say("A remark");
    drop(progress);
    assert_eq!(said.iter().next(), None);
}
