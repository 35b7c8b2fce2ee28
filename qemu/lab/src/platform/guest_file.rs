// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A user's file or folder in the guest.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, ensure};

use crate::archive::Archive;

/// Read, write and execute, for all.
const PERMISSIONS: u32 = 0o777;

/// More bytes than this fit into no guest's initramfs, whatever else is in it.
const SIZE_MAX_BYTES: u64 = 224 << 20;
/// Paths of the guest's image that a user's file must not take the place of.
const TAKEN: [&str; 11] = [
    "init", "bin", "dev", "lib", "lib64", "proc", "run", "sbin", "sys", "tmp", "usr",
];

/// What to put into the guest, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestFile {
    source: Source,
    /// From the root of the guest's file tree.
    path: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    /// A file, or a folder with everything in it.
    Path(PathBuf),
    /// A program's bytes.
    Program(Vec<u8>),
}

impl GuestFile {
    /// A program or script that need not be in a file.
    pub fn program(path: &str, content: Vec<u8>) -> Self {
        Self {
            source: Source::Program(content),
            path: path.to_owned(),
        }
    }

    /// Adds it, and the folders it is in.
    pub(crate) fn put_into(&self, archive: &mut Archive) -> Result<()> {
        match &self.source {
            Source::Path(source) => put(archive, source, &self.path),
            Source::Program(content) => archive.file(&self.path, content, true),
        }
    }
}

fn put(archive: &mut Archive, source: &Path, path: &str) -> Result<()> {
    let reading = || format!("Cannot read {}", source.display());
    let metadata = fs::metadata(source).with_context(reading)?;
    if metadata.is_file() {
        let content = fs::read(source).with_context(reading)?;
        let permissions = metadata.permissions().mode() & PERMISSIONS;
        return archive.file_with_permissions(path, &content, permissions);
    }
    ensure!(
        metadata.is_dir(),
        "{} is neither a file nor a folder",
        source.display()
    );
    archive.folder(path)?;
    let entries: std::io::Result<Vec<_>> = fs::read_dir(source).with_context(reading)?.collect();
    let mut entries = entries.with_context(reading)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        let name = name
            .to_str()
            .with_context(|| format!("The name of {} is no text", entry.path().display()))?;
        put(archive, &entry.path(), &format!("{path}/{name}"))?;
    }
    Ok(())
}

/// `FILE`, or `FILE:PATH` with the path in the guest; the file must be there.
impl FromStr for GuestFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (source, path) = match text.rsplit_once(':') {
            Some((source, path)) if !Path::new(text).exists() => (source, Some(path)),
            _ => (text, None),
        };
        if source.is_empty() {
            return Err(format!(
                "{text:?} names no file; write FILE, or FILE:PATH with the path in the guest"
            ));
        }
        let source = PathBuf::from(source);
        if let Err(error) = fs::metadata(&source) {
            return Err(format!("Cannot read {}: {error}", source.display()));
        }
        let name = source.canonicalize().ok();
        let name = name.as_deref().and_then(Path::file_name);
        let name = name
            .and_then(|name| name.to_str())
            .ok_or_else(|| format!("{} has no name that the guest could use", source.display()))?;
        let path = match path {
            None => format!("/{name}"),
            Some("") => {
                let source = source.display();
                return Err(format!(
                    "There is no path behind the colon; write {source} for /{name} in the guest, \
                     or {source}:/bin/{name}"
                ));
            }
            Some(folder) if folder.ends_with('/') => format!("{folder}{name}"),
            Some(path) => path.to_owned(),
        };
        let is_plain = path.starts_with('/') && path.split('/').all(|step| step != "..");
        if !is_plain {
            return Err(format!(
                "{path} is no path from the guest's root, such as /bin/{name}"
            ));
        }
        let steps: Vec<_> = path
            .split('/')
            .filter(|step| !matches!(*step, "" | "."))
            .collect();
        if steps.is_empty() {
            return Err(format!("{path} is the guest's root; write /{name}"));
        }
        if let [one] = &*steps
            && TAKEN.contains(one)
            && (*one == "init" || source.is_file())
        {
            return Err(format!(
                "{path} is part of the guest's own image; choose another path, such as /bin/{name}"
            ));
        }
        check_size(&source)?;
        Ok(Self {
            source: Source::Path(source),
            path,
        })
    }
}

/// Looks at the sizes before anything is read.
fn check_size(source: &Path) -> Result<(), String> {
    let mut left = SIZE_MAX_BYTES;
    let mut waiting = vec![source.to_owned()];
    while let Some(path) = waiting.pop() {
        let unreadable = |error| format!("Cannot read {}: {error}", path.display());
        let metadata = fs::metadata(&path).map_err(unreadable)?;
        if metadata.is_dir() {
            for entry in fs::read_dir(&path).map_err(unreadable)? {
                waiting.push(entry.map_err(unreadable)?.path());
            }
            continue;
        }
        left = left.checked_sub(metadata.len()).ok_or_else(|| {
            format!(
                "{} has more than the {} MiB that fit into a guest's memory at its start; choose \
                 less of it",
                source.display(),
                SIZE_MAX_BYTES >> 20
            )
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_in_the_guest_follows_the_files_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tool");
        fs::write(&file, "x").unwrap();
        let file = file.to_str().unwrap();
        let path = |text: &str| text.parse::<GuestFile>().map(|file| file.path);
        assert_eq!(path(file).unwrap(), "/tool");
        assert_eq!(path(&format!("{file}:/bin/")).unwrap(), "/bin/tool");
        assert_eq!(path(&format!("{file}:/bin/mine")).unwrap(), "/bin/mine");
        for (text, sentence) in [
            (format!("{file}:bin"), "no path from the guest's root"),
            (format!("{file}:/../x"), "no path from the guest's root"),
            ("/no/such/file".to_owned(), "Cannot read /no/such/file"),
            ("/no/such:/bin/x".to_owned(), "Cannot read /no/such:"),
            (format!("{file}:"), "no path behind the colon"),
            (":".to_owned(), "\":\" names no file"),
            (":/bin/x".to_owned(), "\":/bin/x\" names no file"),
            (String::new(), "\"\" names no file"),
            (
                format!("{file}:/init"),
                "/init is part of the guest's own image",
            ),
            (
                format!("{file}:/./bin"),
                "/./bin is part of the guest's own image",
            ),
        ] {
            let error = path(&text).unwrap_err();
            assert!(error.contains(sentence), "{error}");
        }
    }

    #[test]
    fn what_fits_into_no_guest_is_refused_unread() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["one", "two"] {
            let file = fs::File::create(folder.path().join(name)).unwrap();
            file.set_len(SIZE_MAX_BYTES / 2 + 1).unwrap();
        }
        let one = folder.path().join("one");
        assert!(one.to_str().unwrap().parse::<GuestFile>().is_ok());
        let error = folder.path().to_str().unwrap().parse::<GuestFile>();
        let error = error.unwrap_err();
        assert!(error.contains("more than the 224 MiB"), "{error}");
    }

    #[test]
    fn a_file_with_a_colon_in_its_name_is_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a:b");
        fs::write(&file, "x").unwrap();
        let file: GuestFile = file.to_str().unwrap().parse().unwrap();
        assert_eq!(file.path, "/a:b");
    }
}
