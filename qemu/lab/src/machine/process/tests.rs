// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;

use super::*;

fn shell(script: &str) -> CommandLine {
    let mut command = CommandLine::new(Path::new("sh"));
    command.extend(["-c", script]);
    command
}

fn start(folder: &Path, script: &str) -> Process {
    Process::start("device", &shell(script), &folder.join("log")).unwrap()
}

/// The lines of a fifo, so that a test can wait for what a process says.
fn lines(folder: &Path) -> BufReader<File> {
    BufReader::new(File::open(folder.join("fifo")).unwrap())
}

fn fifo(folder: &Path) -> String {
    let path = folder.join("fifo");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    path.display().to_string()
}

fn next_line(lines: &mut impl BufRead) -> String {
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    line
}

#[test]
fn the_end_of_a_process_is_seen_with_its_status_and_output() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = start(folder.path(), "echo out; echo err >&2; exit 3");
    assert!(process.has_ended(Duration::from_secs(60)).unwrap());
    assert_eq!(process.end().unwrap().code(), Some(3));
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    assert_eq!(log, "out\nerr\n");
}

#[test]
fn a_process_that_is_asked_to_end_ends() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = start(folder.path(), "sleep 1000");
    assert!(!process.has_ended(Duration::ZERO).unwrap());
    assert_eq!(process.end().unwrap().signal(), Some(libc::SIGTERM));
}

#[test]
fn a_dropped_process_takes_its_children_along() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = fifo(folder.path());
    // The child ignores the polite request; the write end of the fifo stays open as long as it
    // lives.
    let script = format!("exec >{fifo}; (trap '' TERM; echo ready; sleep 1000) & wait");
    let process = start(folder.path(), &script);
    let mut lines = lines(folder.path());
    assert_eq!(next_line(&mut lines), "ready\n");
    drop(process);
    assert_eq!(next_line(&mut lines), "", "The end of the file");
}

#[test]
fn a_process_ends_with_the_thread_that_started_it() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = fifo(folder.path());
    let script = format!("exec >{fifo}; echo ready; exec sleep 1000");
    let path = folder.path().to_owned();
    let starter = std::thread::spawn(move || {
        std::mem::forget(start(&path, &script));
        let mut lines = lines(&path);
        assert_eq!(next_line(&mut lines), "ready\n");
        lines
    });
    let mut lines = starter.join().unwrap();
    assert_eq!(next_line(&mut lines), "", "The end of the file");
}

#[test]
fn a_program_that_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let command = CommandLine::new(Path::new("/nonexistent/device"));
    let error = Process::start("device", &command, &folder.path().join("log")).unwrap_err();
    assert_eq!(error.to_string(), "Cannot start /nonexistent/device");
}
