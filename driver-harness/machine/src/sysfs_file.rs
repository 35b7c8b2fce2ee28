// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Small text files of sysfs and procfs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::refusal::Refusal;

/// A file of the kernel that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SysfsError {
    /// It is not there, and it is known why.
    #[error("There is no {}: {refusal}", path.display())]
    Absent {
        /// Which file or folder.
        path: PathBuf,
        /// Why not, and what helps.
        refusal: Refusal,
    },
    /// It cannot be read.
    #[error("Cannot read {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It cannot be written.
    #[error("Cannot write {value:?} to {}", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// What was to be written.
        value: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// It holds something else than it should.
    #[error("{} holds {text:?}, which is no {expected}", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What it holds.
        text: String,
        /// What it should hold.
        expected: &'static str,
    },
}

impl SysfsError {
    /// The number of what the kernel said.
    pub fn errno(&self) -> Option<i32> {
        match self {
            SysfsError::Read { source, .. } | SysfsError::Write { source, .. } => {
                source.raw_os_error()
            }
            SysfsError::Absent { .. } | SysfsError::Content { .. } => None,
        }
    }
}

/// The file's text without white space around it.
pub fn text(path: &Path) -> Result<String, SysfsError> {
    let text = fs::read_to_string(path).map_err(|source| SysfsError::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(text.trim().to_owned())
}

/// A number, decimal or hexadecimal after `0x`.
pub fn number(path: &Path) -> Result<u64, SysfsError> {
    let text = text(path)?;
    parse_number(&text).ok_or_else(|| content(path, text, "number"))
}

/// A list of numbers as the kernel prints bit maps: `0-2,5`, empty for none.
pub fn list(path: &Path) -> Result<Vec<u32>, SysfsError> {
    let text = text(path)?;
    parse_list(&text).ok_or_else(|| content(path, text, "list of numbers"))
}

/// The file does not hold what it should.
pub fn content(path: &Path, text: String, expected: &'static str) -> SysfsError {
    SysfsError::Content {
        path: path.to_owned(),
        text,
        expected,
    }
}

/// Writes a value into an existing file.
pub fn write(path: &Path, value: &str) -> Result<(), SysfsError> {
    let write = || -> io::Result<()> {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(path)?;
        io::Write::write_all(&mut file, value.as_bytes())
    };
    write().map_err(|source| SysfsError::Write {
        path: path.to_owned(),
        value: value.to_owned(),
        source,
    })
}

/// The entries of a folder named `prefix` and a number, by that number; none when the folder is not
/// there.
pub fn numbered(folder: &Path, prefix: &str) -> Vec<(u32, PathBuf)> {
    let mut found: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let number = name.to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((number, entry.path()))
        })
        .collect();
    found.sort();
    found
}

/// A number, decimal or hexadecimal after `0x`.
pub fn parse_number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// No list of the kernel's node or processor numbers is longer.
const LIST_LIMIT: usize = 1 << 16;

/// Numbers as the kernel lists them, such as `0-2,5`; none when the text is no list.
pub(crate) fn parse_list(text: &str) -> Option<Vec<u32>> {
    let mut numbers = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        let count = usize::try_from(last.checked_sub(first)?).ok()?;
        if count >= LIST_LIMIT.saturating_sub(numbers.len()) {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_the_kernel_prints_them() {
        assert_eq!(parse_list("0-2,5"), Some(vec![0, 1, 2, 5]));
        assert_eq!(parse_list(""), Some(vec![]));
        assert_eq!(parse_list("3-1"), None);
        assert_eq!(parse_list("0-4294967295"), None);
        assert_eq!(parse_list("a"), None);
    }

    #[test]
    fn numbers_are_decimal_or_hexadecimal() {
        assert_eq!(parse_number("0x100000000"), Some(1 << 32));
        assert_eq!(parse_number("12"), Some(12));
        assert_eq!(parse_number("12 kB"), None);
    }

    #[test]
    fn only_numbered_entries_count() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["node10", "node2", "nodex", "memory1"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let numbers: Vec<_> = numbered(folder.path(), "node")
            .into_iter()
            .map(|(number, _)| number)
            .collect();
        assert_eq!(numbers, [2, 10]);
        assert_eq!(numbered(Path::new("/nowhere"), "node"), []);
    }

    #[test]
    fn messages_name_the_file_and_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("size");
        fs::write(&path, "many\n").unwrap();
        let message = number(&path).unwrap_err().to_string();
        assert!(message.ends_with(r#"/size holds "many", which is no number"#));
    }
}
