// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The serial port the agent serves on, and the machine's power switch.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens the port for reading and writing; a terminal is made raw: no echo, no line editing, no
/// translation of line ends.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let port = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOCTTY)
        .open(path)?;
    if port.is_terminal() {
        make_raw(&port)?;
    }
    Ok(port)
}

fn make_raw(port: &File) -> io::Result<()> {
    let mut settings = MaybeUninit::<libc::termios>::uninit();
    // SAFETY: the pointer is to writable memory of the size of a termios.
    let result = unsafe { libc::tcgetattr(port.as_raw_fd(), settings.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: tcgetattr succeeded, so it has filled the structure.
    let mut settings = unsafe { settings.assume_init() };
    // SAFETY: the reference is valid and the function only changes the structure.
    unsafe { libc::cfmakeraw(&mut settings) };
    // Without modem lines to wait for, and with a read that returns as soon as there is a byte.
    settings.c_cflag |= libc::CLOCAL | libc::CREAD;
    settings.c_cc[libc::VMIN] = 1;
    settings.c_cc[libc::VTIME] = 0;
    // SAFETY: the reference is valid for the length of the call.
    match unsafe { libc::tcsetattr(port.as_raw_fd(), libc::TCSANOW, &settings) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Waits until everything written to the port has left it; a port that is no terminal has no queue.
pub(super) fn drain(port: &File) {
    // SAFETY: the call takes an integer and touches no memory of ours.
    unsafe { libc::tcdrain(port.as_raw_fd()) };
}

/// How the machine goes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shutdown {
    PowerOff,
    Reboot,
}

/// Writes back file systems and asks the kernel to go down at once.
pub(super) fn shut_down(how: Shutdown) -> io::Error {
    let action = match how {
        Shutdown::PowerOff => libc::RB_POWER_OFF,
        Shutdown::Reboot => libc::RB_AUTOBOOT,
    };
    // SAFETY: the call has no arguments.
    unsafe { libc::sync() };
    // SAFETY: the call takes an integer; it returns only on failure.
    unsafe { libc::reboot(action) };
    io::Error::last_os_error()
}
