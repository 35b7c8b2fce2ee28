// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Frames listed in a file, for promotion without a source.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chmu_machine::sysfs_file;
use chmu_spec::address::Pfn;

/// No list is longer: that is one of some twenty million frames.
const BYTES_MAX: u64 = 256 << 20;

/// A list that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FrameListError {
    /// It cannot be read.
    #[error("Cannot read the list of frames in {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A line is no frame.
    #[error("Line {line} of {} holds {text:?}, which is no page frame number", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// The line's number, from 1.
        line: usize,
        /// What it holds.
        text: String,
    },
}

/// Page frame numbers, one a line, decimal or hexadecimal after `0x`; what follows `#` is a remark.
pub fn read(path: &Path) -> Result<Vec<Pfn>, FrameListError> {
    let text = read_text(path).map_err(|source| FrameListError::Read {
        path: path.to_owned(),
        source,
    })?;
    let mut frames = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let content = line.split('#').next().unwrap_or_default().trim();
        if content.is_empty() {
            continue;
        }
        let frame = sysfs_file::parse_number(content).ok_or_else(|| FrameListError::Line {
            path: path.to_owned(),
            line: number,
            text: content.to_owned(),
        })?;
        frames.push(Pfn(frame));
    }
    Ok(frames)
}

/// A file's text. A device or a pipe might never end.
fn read_text(path: &Path) -> io::Result<String> {
    let found = fs::metadata(path)?;
    if !found.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    if found.len() > BYTES_MAX {
        return Err(io::Error::other(format!(
            "it has more than {BYTES_MAX} bytes"
        )));
    }
    fs::read_to_string(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_is_not_read() {
        for path in ["/dev/zero", "/"] {
            let error = read(Path::new(path)).unwrap_err();
            assert!(matches!(error, FrameListError::Read { .. }), "{error}");
        }
    }

    #[test]
    fn frames_are_read_around_remarks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("frames");
        fs::write(&path, "# hot\n0x100000\n\n12 # cold\n").unwrap();
        assert_eq!(read(&path).unwrap(), [Pfn(1 << 20), Pfn(12)]);
        fs::write(&path, "1\n-2\n").unwrap();
        let message = read(&path).unwrap_err().to_string();
        assert!(message.starts_with("Line 2 of ") && message.contains(r#"holds "-2""#));
        assert!(read(Path::new("/nowhere")).is_err());
    }
}
