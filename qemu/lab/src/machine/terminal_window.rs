// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The window that the guest's console is shown in: a serial line cannot say it.

use std::fmt;
use std::io;

use rustix::termios::tcgetwinsize;

/// Size and kind of the user's terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TerminalWindow {
    pub(super) rows: u16,
    pub(super) columns: u16,
    /// As in `TERM`.
    pub(super) kind: String,
}

impl TerminalWindow {
    /// The terminal at the lab's output, if it is one and says its size.
    pub(super) fn of_the_user() -> Option<Self> {
        let size = tcgetwinsize(io::stdout()).ok()?;
        let kind = std::env::var("TERM").unwrap_or_default();
        let is_name = |kind: &String| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._+".contains(&byte);
            !kind.is_empty() && kind.bytes().all(allowed)
        };
        (size.ws_row > 0 && size.ws_col > 0).then(|| Self {
            rows: size.ws_row,
            columns: size.ws_col,
            kind: Some(kind).filter(is_name).unwrap_or("linux".into()),
        })
    }
}

/// As words of the kernel's command line, which Linux hands on to its first process' environment.
impl fmt::Display for TerminalWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rows,
            columns,
            kind,
        } = self;
        write!(f, "LINES={rows} COLUMNS={columns} TERM={kind}")
    }
}
