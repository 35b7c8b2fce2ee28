// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The processes that a test has started, as the kernel knows them.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, ensure};

/// The children of this process, zombies included: their ids with their command lines.
///
/// # Errors
/// When the kernel does not tell.
pub fn children() -> Result<BTreeMap<u32, String>> {
    children_of(std::process::id())
}

/// The same of any process.
///
/// # Errors
/// When the kernel does not tell.
pub fn children_of(process_id: u32) -> Result<BTreeMap<u32, String>> {
    let mut children = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // A process may end while the list is read.
        let Ok(stat) = fs::read_to_string(format!("/proc/{id}/stat")) else {
            continue;
        };
        if parent(&stat) == Some(process_id) {
            let command = fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
            children.insert(id, command.replace('\0', " ").trim_end().to_owned());
        }
    }
    Ok(children)
}

/// The fourth field of `/proc/PID/stat`; the second is in parentheses and may contain anything.
fn parent(stat: &str) -> Option<u32> {
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(1)?.parse().ok()
}

/// The child whose command line contains `word`.
///
/// # Errors
/// When there is not exactly one.
pub fn child(word: &str) -> Result<u32> {
    let children = children()?;
    let mut found = children
        .iter()
        .filter(|(_, command)| command.contains(word));
    let (id, _) = found
        .next()
        .with_context(|| format!("No child's command line has {word}: {children:?}"))?;
    ensure!(found.next().is_none(), "Several children have {word}");
    Ok(*id)
}

/// Kills a process at once.
///
/// # Errors
/// When there is no such process.
pub fn kill(process_id: u32) -> Result<()> {
    signal(process_id, libc::SIGKILL)
}

/// Sends a process a signal.
///
/// # Errors
/// When there is no such process.
pub fn signal(process_id: u32, signal: i32) -> Result<()> {
    send(i32::try_from(process_id)?, signal)
        .with_context(|| format!("Cannot send signal {signal} to process {process_id}"))
}

/// Whether there is no such process any more, not even as a zombie.
///
/// # Errors
/// When the number is no process id.
pub fn is_gone(process_id: u32) -> Result<bool> {
    let sent = send(i32::try_from(process_id)?, 0);
    Ok(sent.is_err_and(|error| error.raw_os_error() == Some(libc::ESRCH)))
}

/// Whether a process group has no member any more.
///
/// # Errors
/// When the number is no process id.
pub fn group_is_gone(process_id: u32) -> Result<bool> {
    let sent = send(-i32::try_from(process_id)?, 0);
    Ok(sent.is_err_and(|error| error.raw_os_error() == Some(libc::ESRCH)))
}

fn send(target: i32, signal: i32) -> std::io::Result<()> {
    // SAFETY: kill takes plain numbers.
    match unsafe { libc::kill(target, signal) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_parent_is_found_behind_any_name() {
        assert_eq!(parent("12 (a b) c) d) S 34 12 12 0 -1"), Some(34));
        assert_eq!(parent("12 (a"), None);
    }

    #[test]
    fn a_child_is_found_and_then_gone() -> Result<()> {
        let mut shell = Command::new("sh")
            .args(["-c", "echo; read line", "1234.5"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        // The kernel shows no command line before the program runs.
        let said = shell.stdout.take().context("There is no pipe")?;
        BufReader::new(said).read_line(&mut String::new())?;
        assert_eq!(child("1234.5")?, shell.id());
        kill(shell.id())?;
        shell.wait()?;
        assert!(!children()?.contains_key(&shell.id()));
        assert!(child("1234.5").is_err());
        Ok(())
    }
}
