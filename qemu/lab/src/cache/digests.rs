// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The digests of an entry's files, in the form that `sha256sum -c` reads.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

/// In each entry; covers all other files.
pub(super) const FILE_NAME: &str = "SHA256SUMS";

/// What is wrong with a cache entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The entry's folder.
    pub folder: PathBuf,
    /// The first of its files that is not as it was made.
    pub file: PathBuf,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (folder, file) = (self.folder.display(), self.file.display());
        write!(f, "{file} in {folder} is not as it was fetched")
    }
}

/// Writes the digests of all files in a folder.
pub(super) fn write(folder: &Path) -> Result<()> {
    let mut text = String::new();
    let files = files_below(folder, Path::new(""))?;
    for file in &files {
        let name = file.to_str().unwrap_or_default();
        let is_plain = !name.is_empty() && !name.contains(['\n', '\\']);
        ensure!(is_plain, "{file:?} is no file name for the cache");
        let digest = digest(&folder.join(file))
            .with_context(|| format!("Cannot read {}", file.display()))?;
        text.push_str(&format!("{digest}  {name}\n"));
    }
    text.push_str(&last_line(files.len()));
    fs::write(folder.join(FILE_NAME), text).context("Cannot write the digests")
}

/// The first file that is not as its digest says; none when all are.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] when the folder has no digests.
pub(super) fn check(folder: &Path) -> io::Result<Option<Damage>> {
    let damage = |file: &str| Damage {
        folder: folder.to_owned(),
        file: file.into(),
    };
    let text = fs::read(folder.join(FILE_NAME))?;
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    // Lines that are lost would leave files unchecked.
    let Some((last, lines)) = lines.split_last() else {
        return Ok(Some(damage(FILE_NAME)));
    };
    if *last != last_line(lines.len()).trim_end() {
        return Ok(Some(damage(FILE_NAME)));
    }
    for line in lines {
        let Some((expected, name)) = line.split_once("  ") else {
            return Ok(Some(damage(FILE_NAME)));
        };
        match digest(&folder.join(name)) {
            Ok(digest) if digest == expected => {}
            // What cannot be read cannot be used either.
            Ok(_) | Err(_) => return Ok(Some(damage(name))),
        }
    }
    Ok(None)
}

fn last_line(files: usize) -> String {
    format!("# {files} files\n")
}

fn digest(file: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    io::copy(&mut File::open(file)?, &mut hash)?;
    Ok(hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

/// Paths from `folder`, in a fixed order; links are followed by whoever uses the entry, so what
/// they lead to is covered where it lies.
fn files_below(folder: &Path, path: &Path) -> Result<Vec<PathBuf>> {
    let read = || fs::read_dir(folder.join(path))?.collect::<io::Result<Vec<_>>>();
    let entries = read().with_context(|| format!("Cannot read {}", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let (kind, path) = (entry.file_type()?, path.join(entry.file_name()));
        if kind.is_dir() {
            files.extend(files_below(folder, &path)?);
        } else if kind.is_file() && path != Path::new(FILE_NAME) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn entry() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("lib")).unwrap();
        fs::write(folder.path().join("lib/libc.so"), [7; 5000]).unwrap();
        fs::write(folder.path().join("qemu"), "program").unwrap();
        write(folder.path()).unwrap();
        folder
    }

    fn damaged_file(folder: &Path) -> Option<PathBuf> {
        check(folder).unwrap().map(|damage| damage.file)
    }

    #[test]
    fn a_whole_entry_has_no_damage_and_sha256sum_agrees() {
        let folder = entry();
        assert_eq!(check(folder.path()).unwrap(), None);
        let checked = Command::new("sha256sum")
            .args(["--check", "--strict", FILE_NAME])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(checked.status.success(), "{checked:?}");
    }

    #[test]
    fn half_a_file_another_content_and_no_file_are_damage() {
        for (name, content) in [
            ("qemu", Some("prog")),
            ("qemu", Some("Program")),
            ("lib/libc.so", None),
        ] {
            let folder = entry();
            let file = folder.path().join(name);
            match content {
                Some(content) => fs::write(file, content).unwrap(),
                None => fs::remove_file(file).unwrap(),
            }
            assert_eq!(damaged_file(folder.path()), Some(name.into()));
        }
    }

    #[test]
    fn half_of_the_digests_are_damage() {
        let folder = entry();
        let digests = folder.path().join(FILE_NAME);
        let text = fs::read_to_string(&digests).unwrap();
        let first_line = text.find('\n').unwrap() + 1;
        for cut in [&text[..first_line], &text[..10], ""] {
            fs::write(&digests, cut).unwrap();
            assert_eq!(damaged_file(folder.path()), Some(FILE_NAME.into()));
        }
        fs::remove_file(&digests).unwrap();
        let missing = check(folder.path()).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_name_that_breaks_lines_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a\nb"), "").unwrap();
        assert!(write(folder.path()).is_err());
    }
}
