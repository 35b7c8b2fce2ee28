// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Who is at the other end of a socket.

use std::fmt;
use std::fs;
use std::os::fd::AsFd;

use rustix::net::sockopt::socket_peercred;

/// The process that connected a socket, as it was then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    /// None where the kernel does not tell, as across PID namespaces.
    process: Option<(u32, String)>,
}

impl Peer {
    /// The process at the other end of `socket`.
    pub(crate) fn of(socket: impl AsFd) -> Self {
        let id = socket_peercred(socket).ok();
        let id =
            id.and_then(|credentials| u32::try_from(credentials.pid.as_raw_nonzero().get()).ok());
        let process = id.map(|id| {
            let name = fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
            let printable = |letter: &char| letter.is_ascii_graphic() || *letter == ' ';
            (id, name.chars().filter(printable).collect())
        });
        Self { process }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.process {
            Some((id, name)) if name.is_empty() => write!(f, "process {id}"),
            Some((id, name)) => write!(f, "process {id} ({name})"),
            None => f.write_str("a process that is not visible here"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_other_end_has_a_number_and_a_name() {
        let (one, _other) = UnixStream::pair().unwrap();
        let printed = Peer::of(&one).to_string();
        let start = format!("process {} (", std::process::id());
        assert!(printed.starts_with(&start), "{printed}");
    }
}
