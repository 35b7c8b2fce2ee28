// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the device prints, where nobody takes it: it neither stops nor fails over it.

use std::fs::OpenOptions;
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use chmu_tests::device_process::{device_program, send_signal, wait_for_exit};
use chmu_tests::raw_client::RawClient;
use tempfile::TempDir;

/// A device whose standard error is of the caller's choice; killed when dropped.
struct Device {
    child: Child,
    _folder: TempDir,
    socket: PathBuf,
}

impl Device {
    fn start(arguments: &[&str], standard_error: Stdio) -> Result<Self> {
        let folder = TempDir::new()?;
        let socket = folder.path().join("s");
        let listener = UnixListener::bind(&socket)?;
        let child = Command::new(device_program()?)
            .arg("--fd=0")
            .args(arguments)
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .stdout(Stdio::null())
            .stderr(standard_error)
            .spawn()?;
        Ok(Self {
            child,
            _folder: folder,
            socket,
        })
    }

    /// Comes as a client, is served, and goes.
    fn is_served(&self) -> Result<()> {
        let stream = std::os::unix::net::UnixStream::connect(&self.socket)?;
        let mut client = RawClient::new(stream)?;
        client.negotiate()?;
        client.read_region(7, 0, 4)?;
        Ok(())
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A pipe in which nothing has room any more, and how many bytes are in it.
fn full_pipe() -> Result<(PipeReader, OwnedFd, usize)> {
    let (reader, writer) = io::pipe()?;
    // SAFETY: fcntl takes plain numbers; the descriptor is open.
    let bytes = unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_GETPIPE_SZ) };
    let bytes = usize::try_from(bytes)?;
    let mut writer = writer;
    writer.write_all(&vec![b'.'; bytes])?;
    Ok((reader, writer.into(), bytes))
}

#[test]
fn a_log_that_nobody_reads_stops_nothing_and_tells_what_it_lost() -> Result<()> {
    let (mut reader, writer, bytes) = full_pipe()?;
    let device = Device::start(&["-vv"], Stdio::from(writer))?;
    for _ in 0..3 {
        device.is_served()?;
    }
    reader.read_exact(&mut vec![0; bytes])?;
    device.is_served()?;
    send_signal(&device.child, libc::SIGTERM)?;
    let mut log = String::new();
    drop(device);
    reader.read_to_string(&mut log)?;
    let (lost, rest) = log
        .split_once(" lines were dropped here")
        .context(log.clone())?;
    let lost: u32 = lost.trim_start_matches('[').parse()?;
    assert!(lost > 3, "{lost}");
    assert!(rest.contains("A client is connected"), "{rest}");
    Ok(())
}

#[test]
fn a_log_without_a_place_stops_nothing() -> Result<()> {
    let full = OpenOptions::new().write(true).open("/dev/full")?;
    let (reader, writer) = io::pipe()?;
    drop(reader);
    for standard_error in [Stdio::from(full), Stdio::from(writer)] {
        let mut device = Device::start(&["-vvv"], standard_error)?;
        device.is_served()?;
        send_signal(&device.child, libc::SIGTERM)?;
        assert_eq!(wait_for_exit(&mut device.child)?.code(), Some(143));
    }
    Ok(())
}

#[test]
fn a_failure_that_nobody_hears_is_a_failure() -> Result<()> {
    let (_reader, writer, _) = full_pipe()?;
    let full = OpenOptions::new().write(true).open("/dev/full")?;
    for standard_error in [Stdio::from(full), Stdio::from(writer)] {
        let mut child = Command::new(device_program()?)
            .args(["--socket-path", "/nonexistent/s"])
            .stderr(standard_error)
            .spawn()?;
        assert_eq!(wait_for_exit(&mut child)?.code(), Some(1));
    }
    Ok(())
}

/// Options that print something on the standard output.
const PRINTING: [&str; 5] = [
    "--print-config",
    "--list-quirks",
    "--list-profiles",
    "--help",
    "--version",
];

fn print_to(option: &str, standard_output: impl Into<Stdio>) -> Result<Output> {
    let mut command = Command::new(device_program()?);
    let command = command.arg(option).stdout(standard_output);
    Ok(command.stderr(Stdio::piped()).spawn()?.wait_with_output()?)
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() -> Result<()> {
    for option in PRINTING {
        let (reader, writer) = io::pipe()?;
        drop(reader);
        let output = print_to(option, writer)?;
        assert_eq!(output.status.code(), Some(0), "{option}");
        assert!(output.stderr.is_empty(), "{option}");
    }
    Ok(())
}

#[test]
fn an_output_without_room_is_a_failure_with_its_reason() -> Result<()> {
    for option in PRINTING {
        let full = OpenOptions::new().write(true).open("/dev/full")?;
        let output = print_to(option, full)?;
        assert_eq!(output.status.code(), Some(1), "{option}");
        assert_eq!(
            String::from_utf8(output.stderr)?,
            "0: The standard output cannot be written\n\
             1: No space left on device (os error 28)\n",
            "{option}"
        );
    }
    Ok(())
}

#[test]
fn a_log_file_that_nobody_reads_is_refused_at_once() -> Result<()> {
    let folder = TempDir::new()?;
    let path = folder.path().join("log");
    make_fifo(&path)?;
    let path = path.to_str().context("The folder has an odd name")?;
    let mut command = Command::new(device_program()?);
    let output = command.args(["--fd=0", "--log-file", path]).output()?;
    let text = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.starts_with("0: The log file "), "{text}");
    Ok(())
}

fn make_fifo(path: &Path) -> Result<()> {
    let status = Command::new("mkfifo").arg(path).status()?;
    ensure!(status.success(), "no named pipe");
    Ok(())
}
