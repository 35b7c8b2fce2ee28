// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The files of a verb: none that is written may be another one's, or something else than a file.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// A file by the option that names it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) option: &'static str,
    pub(super) path: &'a Path,
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// From its beginning, as lines come: a pipe or a device can take them.
    Lines,
    /// A new file takes its place again and again.
    Replaced,
    /// It is a socket that somebody listens on.
    Socket,
}

/// Refuses to write where something would be lost.
pub(super) fn check(inputs: &[Named<'_>], outputs: &[(Named<'_>, Way)]) -> Result<()> {
    for (output, way) in outputs {
        check_kind(*output, *way)?;
    }
    let mut known: Vec<(Named<'_>, Identity)> = Vec::new();
    for input in inputs {
        known.push((*input, identity(input.path)?));
    }
    for (output, way) in outputs {
        // The folder of a socket is made when there is none.
        let this = match (identity(output.path), way) {
            (Err(_), Way::Socket) => Identity::NotYet(output.path.to_owned()),
            (identity, _) => identity?,
        };
        if let Some((other, _)) = known.iter().find(|(_, other)| *other == this) {
            let (one, two) = (other.option, output.option);
            let shown = output.path.display();
            ensure!(
                is_terminal_like(output.path),
                "{one} and {two} both name {shown}; give each a file of its own, as one would overwrite the other"
            );
        }
        known.push((*output, this));
    }
    Ok(())
}

fn check_kind(output: Named<'_>, way: Way) -> Result<()> {
    let (option, shown) = (output.option, output.path.display());
    let Ok(found) = fs::symlink_metadata(output.path) else {
        return Ok(());
    };
    match way {
        // Whoever binds it says what is in its way.
        Way::Socket => {}
        Way::Replaced => ensure!(
            found.is_file(),
            "{option} replaces {shown} as a whole, and that is no regular file; name another one"
        ),
        Way::Lines => {
            let target = fs::metadata(output.path).unwrap_or(found);
            ensure!(
                !target.is_dir(),
                "{option} names {shown}, which is a folder"
            );
            ensure!(
                !target.file_type().is_block_device(),
                "{option} names {shown}, which is a block device; name a file"
            );
        }
    }
    Ok(())
}

/// Whether a file can be written by several, as it keeps nothing.
fn is_terminal_like(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.file_type().is_char_device())
}

/// What tells a file from all others.
#[derive(Debug, PartialEq, Eq)]
enum Identity {
    There { device: u64, inode: u64 },
    NotYet(PathBuf),
}

fn identity(path: &Path) -> Result<Identity> {
    let cannot = || format!("Cannot look at {}", path.display());
    match fs::metadata(path) {
        Ok(found) => Ok(Identity::There {
            device: found.dev(),
            inode: found.ino(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = match path.parent() {
                Some(folder) if folder != Path::new("") => folder,
                _ => Path::new("."),
            };
            let folder = fs::canonicalize(folder).with_context(cannot)?;
            Ok(Identity::NotYet(
                folder.join(path.file_name().unwrap_or_default()),
            ))
        }
        Err(error) => Err(error).with_context(cannot),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn refusal(inputs: &[&Path], outputs: &[(&Path, Way)]) -> String {
        let input = |path| Named {
            option: "--source",
            path,
        };
        let inputs: Vec<_> = inputs.iter().map(|path| input(*path)).collect();
        let names = ["--ledger", "--metrics", "--metrics-socket"].into_iter();
        let outputs: Vec<_> = names
            .zip(outputs)
            .map(|(option, (path, way))| (Named { option, path }, *way))
            .collect();
        let outcome = check(&inputs, &outputs);
        outcome.map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (stream, link, new) = (at("stream"), at("link"), at("new"));
        fs::write(&stream, "{}\n").unwrap();
        symlink(&stream, &link).unwrap();
        fn lines(path: &Path) -> (&Path, Way) {
            (path, Way::Lines)
        }
        fn replaced(path: &Path) -> (&Path, Way) {
            (path, Way::Replaced)
        }
        let dotted = folder.path().join(".").join("new");
        assert_eq!(
            refusal(&[&stream], &[lines(&new), replaced(&at("more"))]),
            ""
        );
        let null = Path::new("/dev/null");
        assert_eq!(refusal(&[null], &[lines(null)]), "");
        for (outputs, said) in [
            (vec![lines(&stream)], "--source and --ledger both name"),
            (vec![lines(&link)], "--source and --ledger both name"),
            (
                vec![lines(&new), replaced(&dotted)],
                "--ledger and --metrics both name",
            ),
            (
                vec![lines(&at("log")), replaced(&new), (&dotted, Way::Socket)],
                "--metrics and --metrics-socket both name",
            ),
            (vec![replaced(&link)], "no regular file"),
            (vec![replaced(Path::new("/dev/full"))], "no regular file"),
            (vec![lines(folder.path())], "a folder"),
        ] {
            let refusal = refusal(&[&stream], &outputs);
            assert!(refusal.contains(said), "{said}: {refusal:?}");
        }
    }
}
