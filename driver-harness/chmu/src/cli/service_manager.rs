// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Telling a service manager such as systemd how a run goes: the protocol of `sd_notify(3)`.
//!
//! The manager names a datagram socket in the environment. Nothing here waits for it: what it does not
//! take at once is lost, as are failures, since a run goes on without a manager.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The manager, if there is one.
#[derive(Debug)]
pub(super) struct ServiceManager {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// The one that this process's environment names.
    pub(super) fn of_this_process() -> ServiceManager {
        let name = env::var_os("NOTIFY_SOCKET");
        let socket = name.and_then(|name| {
            connect(&name)
                .inspect_err(|error| log::warn!("Cannot reach the service manager: {error}"))
                .ok()
        });
        let number = |variable| env::var(variable).ok()?.parse().ok();
        let watchdog = watchdog(
            number("WATCHDOG_USEC"),
            number("WATCHDOG_PID"),
            std::process::id().into(),
        );
        ServiceManager { socket, watchdog }
    }

    /// Whether there is one.
    pub(super) fn listens(&self) -> bool {
        self.socket.is_some()
    }

    /// How often the manager wants to hear that the process lives, if at all.
    pub(super) fn watchdog(&self) -> Option<Duration> {
        self.watchdog.filter(|_| self.listens())
    }

    /// Tells something: `READY=1`, for example.
    pub(super) fn tell(&self, state: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(state.as_bytes())
        {
            log::debug!("The service manager does not hear {state:?}: {error}");
        }
    }

    /// Tells in a line what the process does.
    pub(super) fn describe(&self, line: &str) {
        let line = line.replace('\n', " ");
        self.tell(&format!("STATUS={line}"));
    }
}

/// A name that begins with `@` is one in the abstract space, which no file system shows.
fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address)?;
    Ok(socket)
}

/// The watchdog's time, where this process is the one that is watched.
fn watchdog(time_us: Option<u64>, watched: Option<u64>, own: u64) -> Option<Duration> {
    let time_us = time_us.filter(|time_us| *time_us > 0)?;
    match watched {
        Some(watched) if watched != own => None,
        _ => Some(Duration::from_micros(time_us)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(receiver: &UnixDatagram) -> String {
        let mut bytes = [0; 256];
        let count = receiver.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    }

    fn manager(name: &OsStr) -> ServiceManager {
        ServiceManager {
            socket: Some(connect(name).unwrap()),
            watchdog: None,
        }
    }

    #[test]
    fn names_are_files_or_abstract() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let receiver = UnixDatagram::bind(&path).unwrap();
        manager(path.as_os_str()).tell("READY=1");
        assert_eq!(heard(&receiver), "READY=1");

        let name = format!("chmu-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let receiver = UnixDatagram::bind_addr(&address).unwrap();
        manager(OsStr::new(&format!("@{name}"))).describe("a\nb");
        assert_eq!(heard(&receiver), "STATUS=a b");
        assert!(connect(OsStr::new("/nonexistent/notify")).is_err());
    }

    #[test]
    fn a_manager_that_does_not_listen_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let receiver = UnixDatagram::bind(&path).unwrap();
        let manager = manager(path.as_os_str());
        for _ in 0..10_000 {
            manager.tell("WATCHDOG=1");
        }
        drop(receiver);
        manager.tell("STOPPING=1");
    }

    #[test]
    fn a_watchdog_watches_one_process() {
        let time = Some(Duration::from_micros(5));
        assert_eq!(watchdog(Some(5), None, 7), time);
        assert_eq!(watchdog(Some(5), Some(7), 7), time);
        assert_eq!(watchdog(Some(5), Some(8), 7), None);
        assert_eq!(watchdog(Some(0), None, 7), None);
        assert_eq!(watchdog(None, Some(7), 7), None);
    }
}
