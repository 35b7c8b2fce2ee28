// SPDX-License-Identifier: GPL-2.0-or-later
//! What the plugin has to tell the user of QEMU.

use std::fmt::Arguments;
use std::io;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Longest line. A pipe takes one of up to 4096 bytes whole or not at all.
const MAX_LINE_BYTES: usize = 4096;

/// Writes a line to stderr, unless nobody takes it there: a stderr that is closed, full or broken
/// neither ends QEMU nor holds it up.
pub(crate) fn say(message: Arguments<'_>) {
    let mut line = format!("chmu-plugin: {message}\n").into_bytes();
    if line.len() > MAX_LINE_BYTES {
        line.truncate(MAX_LINE_BYTES);
        if let Some(last) = line.last_mut() {
            *last = b'\n';
        }
    }
    let stderr = io::stderr();
    let mut polled = [PollFd::new(&stderr, PollFlags::OUT)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let taken = poll(&mut polled, Some(&now)) == Ok(1);
    let events = polled.first().map_or(PollFlags::empty(), PollFd::revents);
    if taken && events.contains(PollFlags::OUT) {
        // There is nobody to tell that it failed.
        let _ = rustix::io::write(&stderr, &line);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::process::{Command, Stdio};

    use super::*;

    const TALKS: &str = "CHMU_PLUGIN_TEST_TALKS";

    /// Says more than any pipe takes, in a process of its own.
    fn talks(stderr: Stdio) {
        let name = "message::tests::nobody_has_to_listen";
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(TALKS, "1")
            .stdout(Stdio::null())
            .stderr(stderr)
            .status()
            .unwrap();
        assert!(status.success(), "{status}");
    }

    #[test]
    fn nobody_has_to_listen() {
        if std::env::var_os(TALKS).is_some() {
            for number in 0..200 {
                say(format_args!("{number} {}", "long ".repeat(1000)));
            }
            return;
        }
        let (reader, full) = io::pipe().unwrap();
        talks(full.into());
        let mut line = vec![0; MAX_LINE_BYTES];
        io::Read::read_exact(&mut &reader, &mut line).unwrap();
        assert!(line.starts_with(b"chmu-plugin: 0 long long") && line.ends_with(b"\n"));
        let (reader, broken) = io::pipe().unwrap();
        drop(reader);
        talks(broken.into());
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        talks(full.into());
        let closed = OpenOptions::new().read(true).open("/dev/null").unwrap();
        talks(closed.into());
    }
}
