// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The crash of a guest's kernel, found on its console.
//!
//! The lab's guests panic on every oops, so a crash ends with a panic.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::inotify;

use super::failure::last_lines;

/// Linux' kernel/panic.c.
const PANIC: &str = "Kernel panic - not syncing";
/// How an oops begins (Linux arch/x86/mm/fault.c, arch/x86/kernel/traps.c and dumpstack.c,
/// lib/bug.c).
const OOPS_BEGINNINGS: [&str; 5] = [
    "BUG: ",
    "Oops: ",
    "cut here",
    "general protection fault",
    "kernel BUG at",
];
/// An oops has registers and a call trace, and starts within so many lines before its panic.
const OOPS_LINES: usize = 100;
/// Lines of a crash that are shown.
const SHOWN_LINES: usize = 60;

/// What the kernel said when it crashed; nothing when it did not.
pub(super) fn crash_text(console: &Path) -> Vec<String> {
    last_lines(console, usize::MAX).map_or_else(|_| Vec::new(), |lines| crash_among(&lines))
}

fn crash_among(lines: &[String]) -> Vec<String> {
    let Some(panic) = lines.iter().rposition(|line| line.contains(PANIC)) else {
        return Vec::new();
    };
    let begins = |line: &String| OOPS_BEGINNINGS.iter().any(|text| line.contains(text));
    let earliest = panic.saturating_sub(OOPS_LINES);
    let oops = lines[earliest..panic].iter().position(begins);
    let start = oops.map_or(panic, |oops| earliest + oops);
    let mut crash: Vec<_> = lines[start..].iter().take(SHOWN_LINES).cloned().collect();
    // The reason for the panic is not left out.
    if panic - start >= crash.len() {
        crash.push(lines[panic].clone());
    }
    crash
}

/// Looks for a panic on a console that is still written to.
#[derive(Debug)]
pub(super) struct CrashWatch {
    console: File,
    changes: OwnedFd,
    /// The end of what was read, as long as a panic's text can be cut in two.
    tail: Vec<u8>,
}

impl CrashWatch {
    /// Watches a file from its beginning; it is made if it is not there.
    pub(super) fn start(console: &Path) -> io::Result<Self> {
        let mut options = File::options();
        let file = options.append(true).read(true).create(true).open(console)?;
        let changes =
            inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        inotify::add_watch(&changes, console, inotify::WatchFlags::MODIFY)?;
        Ok(Self {
            console: file,
            changes,
            tail: Vec::new(),
        })
    }

    /// Reads on; to be called when the watch is readable.
    pub(super) fn has_crashed(&mut self) -> io::Result<bool> {
        let mut events = [0; 1024];
        // Empty when another event was read along.
        match rustix::io::read(&self.changes, &mut events) {
            Ok(_) | Err(rustix::io::Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
        self.console.read_to_end(&mut self.tail)?;
        let panic = PANIC.as_bytes();
        let found = self.tail.windows(panic.len()).any(|text| text == panic);
        // Never a whole panic: each is noticed once.
        let read = (self.tail.len() + 1).saturating_sub(panic.len());
        self.tail.drain(..read);
        Ok(found)
    }
}

/// Readable when the console says something.
impl AsFd for CrashWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.changes.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn crash(console: &str) -> Vec<String> {
        let lines: Vec<_> = console.lines().map(str::to_owned).collect();
        crash_among(&lines)
    }

    #[test]
    fn an_oops_is_shown_whole() {
        let console = "\
[    1.0] Linux version 7.3.4
[    4.0] crash: loading out-of-tree module taints kernel.
[    4.1] BUG: kernel NULL pointer dereference, address: 0000000000000000
[    4.1] Oops: Oops: 0002 [#1] SMP NOPTI
[    4.1] RIP: 0010:init_module+0x9/0xff0 [crash]
[    4.1] Call Trace:
[    4.1]  do_one_initcall+0x58/0x320
[    4.2] Kernel panic - not syncing: Fatal exception
[    4.2] Kernel Offset: disabled
";
        let lines = crash(console);
        assert_eq!(lines.len(), 7);
        assert!(lines[0].contains("NULL pointer"), "{lines:?}");
        assert!(lines[6].contains("Kernel Offset"), "{lines:?}");
    }

    #[test]
    fn a_panic_without_oops_starts_with_its_reason() {
        let console = "\
[    4.1] sysrq: Trigger a crash
[    4.2] Kernel panic - not syncing: sysrq triggered crash
[    4.2] CPU: 0 PID: 1
";
        let lines = crash(console);
        assert_eq!(lines.len(), 2);
        assert!(lines[0].contains("sysrq triggered crash"), "{lines:?}");
        assert_eq!(crash("[    1.0] Linux version 7.3.4\n"), [""; 0]);
    }

    #[test]
    fn a_long_oops_keeps_the_reason_of_the_panic() {
        let mut console = "BUG: sleeping\n".to_owned();
        for line in 0..90 {
            console.push_str(&format!(" function_{line}\n"));
        }
        console.push_str("Kernel panic - not syncing: Fatal exception\n");
        let lines = crash(&console);
        assert_eq!(lines.len(), SHOWN_LINES + 1);
        assert!(lines[SHOWN_LINES].contains("Fatal exception"), "{lines:?}");
    }

    #[test]
    fn a_panic_is_noticed_in_pieces() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.log");
        let mut watch = CrashWatch::start(&path).unwrap();
        assert!(!watch.has_crashed().unwrap());
        let mut console = File::options().append(true).open(&path).unwrap();
        console.write_all(b"[    1.0] Kernel panic - n").unwrap();
        assert!(!watch.has_crashed().unwrap());
        console.write_all(b"ot syncing: VFS\n").unwrap();
        assert!(watch.has_crashed().unwrap());
        assert!(!watch.has_crashed().unwrap());
    }
}
