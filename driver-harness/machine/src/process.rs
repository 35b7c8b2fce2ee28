// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which process has a number: `/proc/PID/stat` (Documentation/filesystems/proc.rst).

use std::fs;
use std::io;
use std::path::Path;

/// The place of the state among the words behind the program's name, and that of the start time.
const STATE: usize = 0;
const START_TICKS: usize = 19;

/// When a process started, in clock ticks since the machine did; none when it has ended. A number that
/// is given again has another start. `procfs` is `/proc` but for tests.
///
/// # Errors
/// When the kernel does not show the process for another reason than its end.
pub fn start_ticks(procfs: &Path, process_id: u32) -> io::Result<Option<u64>> {
    match fs::read_to_string(procfs.join(process_id.to_string()).join("stat")) {
        Ok(text) => Ok(parse(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The name of a program may have blanks and brackets in it. A process that has ended, and was not
/// waited for, is in state Z or X.
fn parse(text: &str) -> Option<u64> {
    let (_, behind_name) = text.rsplit_once(')')?;
    let words: Vec<_> = behind_name.split_whitespace().collect();
    match *words.get(STATE)? {
        "Z" | "X" => None,
        _ => words.get(START_TICKS)?.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_found_behind_any_name() {
        let line = |name: &str, state: &str| {
            format!("7 ({name}) {state} 1 7 7 0 -1 4194304 1 0 0 0 2 3 0 0 20 0 1 0 8123 99 5 0")
        };
        for name in ["cat", "a) R 1 (b", ") ("] {
            assert_eq!(parse(&line(name, "S")), Some(8123));
        }
        assert_eq!(parse(&line("cat", "Z")), None);
        assert_eq!(parse(""), None);
        let own = start_ticks(Path::new("/proc"), std::process::id()).unwrap();
        assert!(own.is_some_and(|ticks| ticks > 0));
        assert_eq!(start_ticks(Path::new("/proc"), u32::MAX).unwrap(), None);
    }
}
