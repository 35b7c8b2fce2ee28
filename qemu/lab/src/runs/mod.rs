// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Runs that are over, each in a folder of its own: what came of it for people and programs, and what repeats it.

mod difference;
mod figure;
mod listing;
mod outcome;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

pub use difference::Difference;
pub use figure::{Better, Change, Figure, changes};
pub use listing::Listing;
pub use outcome::Outcome;

/// The form of [`Facts`] in their file.
const VERSION: u32 = 1;
/// What is known of a run; a folder without it is no run.
const FACTS: &str = "run.json";
/// A page about it.
pub const PAGE: &str = "page.html";
/// Older ones go.
const KEPT_MOST: usize = 100;
/// Runs that begin in the same second.
const SAME_SECOND_MOST: u32 = 1000;
/// Names the last run.
const LAST: &str = "last";

/// What is known of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// The form of this.
    pub v: u32,
    /// What was done, as users call it.
    pub verb: String,
    /// What repeats it.
    pub command: String,
    /// When it was over, as RFC 3339 has it.
    pub date: String,
    /// How long it took.
    pub seconds: f64,
    /// The lab's version.
    pub lab: String,
    /// QEMU's version.
    pub qemu: String,
    /// Nothing went wrong.
    pub is_good: bool,
    /// What came of it, in a sentence.
    pub verdict: String,
    /// What came of it, in numbers.
    pub figures: Vec<Figure>,
}

impl Facts {
    /// Of a run that is over now.
    pub fn now(verb: &str, command: String, seconds: f64, qemu: String) -> Self {
        let now = jiff::Timestamp::now().as_second();
        let date = jiff::Timestamp::from_second(now);
        Self {
            v: VERSION,
            verb: verb.to_owned(),
            command,
            date: date.map_or_else(|_| "unknown".into(), |date| date.to_string()),
            seconds,
            lab: env!("CARGO_PKG_VERSION").to_owned(),
            qemu,
            is_good: false,
            verdict: String::new(),
            figures: Vec::new(),
        }
    }
}

/// A run that was kept.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Run {
    /// Its folder's name.
    pub name: String,
    /// Where its files are.
    pub folder: PathBuf,
    /// What is known of it.
    #[serde(flatten)]
    pub facts: Facts,
}

/// The folder of all runs.
#[derive(Debug)]
pub struct Runs {
    folder: PathBuf,
}

impl Runs {
    /// `$XDG_STATE_HOME/chmu-lab/runs` unless that is relative, else `~/.local/state/chmu-lab/runs`.
    ///
    /// # Errors
    /// When there is no home either.
    pub fn of_user() -> Result<Self> {
        let set = |name| {
            let value = std::env::var_os(name).map(PathBuf::from);
            value.filter(|folder: &PathBuf| folder.is_absolute())
        };
        let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
        let state = state.context("HOME is not set; name a folder for runs in XDG_STATE_HOME")?;
        Ok(Self::at(state.join("chmu-lab/runs")))
    }

    fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Keeps a run with its files, each a name and a text, whole or not at all. Only the newest hundred stay.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn keep(&self, facts: &Facts, files: &[(&str, &str)]) -> Result<PathBuf> {
        let place = &self.folder;
        let cannot = || format!("Cannot write to {}", place.display());
        fs::create_dir_all(place).with_context(cannot)?;
        let new = tempfile::Builder::new()
            .prefix(".new-")
            .tempdir_in(place)
            .with_context(cannot)?;
        let text = serde_json::to_string_pretty(facts)?;
        for (name, text) in files.iter().copied().chain([(FACTS, text.as_str())]) {
            fs::write(new.path().join(name), text).with_context(cannot)?;
        }
        let folder = self.name(new.path(), facts).with_context(cannot)?;
        self.forget_old()?;
        Ok(folder)
    }

    /// Gives a new folder its name, which nobody else has.
    fn name(&self, new: &Path, facts: &Facts) -> io::Result<PathBuf> {
        let begin = format!("{}-{}", facts.date.replace(':', "-"), facts.verb);
        for number in 1..=SAME_SECOND_MOST {
            let name = match number {
                1 => begin.clone(),
                _ => format!("{begin}-{number}"),
            };
            let folder = self.folder.join(name);
            // A folder takes the place of an empty one only.
            match fs::rename(new, &folder) {
                Ok(()) => return Ok(folder),
                Err(error) if is_taken(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    fn forget_old(&self) -> Result<()> {
        let runs = self.all()?;
        for run in &runs[..runs.len().saturating_sub(KEPT_MOST)] {
            let removed = fs::remove_dir_all(&run.folder);
            removed.with_context(|| format!("Cannot remove {}", run.folder.display()))?;
        }
        Ok(())
    }

    /// All runs, the newest last. A folder that is none is left out.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn all(&self) -> Result<Vec<Run>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.with_context(|| format!("Cannot read {}", self.folder.display()))?,
        };
        let mut runs = Vec::new();
        for entry in entries.flatten() {
            match read(&entry.path()) {
                Ok(run) => runs.push(run),
                Err(error) => log::debug!("{} is no run: {error:#}", entry.path().display()),
            }
        }
        runs.sort_by(|one, other| {
            (&one.facts.date, &one.name).cmp(&(&other.facts.date, &other.name))
        });
        Ok(runs)
    }

    /// The run of this name or of which it is the only beginning, the last one, or the one in a folder.
    ///
    /// # Errors
    /// When there is none, or there are several.
    pub fn find(&self, name: &str) -> Result<Run> {
        let mut runs = self.all()?;
        ensure!(
            !runs.is_empty() || name.contains('/'),
            "No run was kept in {}; compare, demo and scenario keep theirs",
            self.folder.display()
        );
        if name == LAST {
            return runs.pop().context("No run was kept");
        }
        if name.contains('/') {
            return read(Path::new(name)).with_context(|| format!("{name} is no folder of a run"));
        }
        if let Some(place) = runs.iter().position(|run| run.name == name) {
            return Ok(runs.swap_remove(place));
        }
        runs.retain(|run| run.name.starts_with(name));
        match runs.len() {
            0 => bail!(
                "No run is called {name:?}; cargo lab runs lists them, and `last` is the last one"
            ),
            1 => Ok(runs.remove(0)),
            several => {
                bail!("The names of {several} runs begin with {name:?}; cargo lab runs lists them")
            }
        }
    }
}

/// Another file system's way to say that a folder is not empty is `EEXIST`.
fn is_taken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::DirectoryNotEmpty
            | io::ErrorKind::AlreadyExists
            | io::ErrorKind::NotADirectory
    )
}

fn read(folder: &Path) -> Result<Run> {
    let name = folder.file_name().and_then(|name| name.to_str());
    let name = name.context("it has no name that is text")?;
    ensure!(!name.starts_with('.'), "it is not complete");
    let text = fs::read_to_string(folder.join(FACTS))
        .with_context(|| format!("{FACTS} cannot be read"))?;
    let facts: Facts =
        serde_json::from_str(&text).with_context(|| format!("{FACTS} makes no sense"))?;
    ensure!(
        facts.v == VERSION,
        "{FACTS} has form {}, and this lab knows {VERSION}",
        facts.v
    );
    Ok(Run {
        name: name.to_owned(),
        folder: folder.to_owned(),
        facts,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(date: &str) -> Facts {
        Facts {
            date: date.to_owned(),
            verdict: "all is well".to_owned(),
            ..Facts::now(
                "demo",
                "cargo lab demo".to_owned(),
                1.5,
                "11.1.3".to_owned(),
            )
        }
    }

    #[test]
    fn a_run_is_found_by_what_names_only_it() {
        let place = tempfile::tempdir().unwrap();
        let runs = Runs::at(place.path().join("a/b"));
        assert!(runs.all().unwrap().is_empty());
        let error = runs.find("last").unwrap_err().to_string();
        assert!(error.contains("No run was kept in"), "{error}");
        let keep = |date| runs.keep(&facts(date), &[(PAGE, "<p>")]).unwrap();
        let first = keep("2026-11-28T02:00:00Z");
        let second = keep("2026-11-28T02:00:00Z");
        keep("2026-11-29T00:00:00Z");
        assert_eq!(fs::read_to_string(first.join(PAGE)).unwrap(), "<p>");
        let found = |name: &str| runs.find(name).map(|run| run.name);
        assert_eq!(found("last").unwrap(), "2026-11-29T00-00-00Z-demo");
        assert_eq!(found("2026-11-29").unwrap(), "2026-11-29T00-00-00Z-demo");
        assert_eq!(
            found("2026-11-28T02-00-00Z-demo").unwrap(),
            "2026-11-28T02-00-00Z-demo"
        );
        assert_eq!(
            found(second.to_str().unwrap()).unwrap(),
            "2026-11-28T02-00-00Z-demo-2"
        );
        for (name, sentence) in [
            ("2026-11-28", "The names of 2 runs begin with"),
            ("xyzzy", "cargo lab runs lists them"),
            ("/no/such", "no folder of a run"),
            ("", "The names of 3 runs"),
        ] {
            let error = found(name).unwrap_err().to_string();
            assert!(error.contains(sentence), "{error}");
        }
    }

    #[test]
    fn what_is_no_run_is_left_alone_and_old_runs_go() {
        let place = tempfile::tempdir().unwrap();
        let runs = Runs::at(place.path().to_owned());
        for (folder, text) in [
            ("stranger", None),
            ("broken", Some("{")),
            (".new-x", Some("{}")),
        ] {
            fs::create_dir(place.path().join(folder)).unwrap();
            if let Some(text) = text {
                fs::write(place.path().join(folder).join(FACTS), text).unwrap();
            }
        }
        for day in 0..KEPT_MOST + 3 {
            runs.keep(
                &facts(&format!("2026-{:02}-{:02}", 1 + day / 28, 1 + day % 28)),
                &[],
            )
            .unwrap();
        }
        let all = runs.all().unwrap();
        assert_eq!(
            (all.len(), all[0].facts.date.as_str()),
            (KEPT_MOST, "2026-01-04")
        );
        for folder in ["stranger", "broken", ".new-x"] {
            assert!(place.path().join(folder).is_dir());
        }
    }
}
