// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Real programs with work for them, each of which looks at what it gets.
//!
//! A workload is a shell script whose first lines are comments that say what it is. It runs in a Debian userland with
//! its packages, fetches, loads and runs what it takes, and ends with 0 only if everything was right. `SCALE` in its
//! environment makes it that many times as large, and `BREAK` makes something wrong that it must find.

use std::fmt;
use std::str::FromStr;

use chmu_machine::names::instead;
use serde::Serialize;

use crate::script_header;

/// By name.
const ALL: [(&str, &str); 9] = [
    ("chase", include_str!("chase.sh")),
    ("fio", include_str!("fio.sh")),
    ("graph", include_str!("graph.sh")),
    ("gups", include_str!("gups.sh")),
    ("liblinear", include_str!("liblinear.sh")),
    ("memcached", include_str!("memcached.sh")),
    ("redis", include_str!("redis.sh")),
    ("sqlite", include_str!("sqlite.sh")),
    ("stress-ng", include_str!("stress-ng.sh")),
];

/// In place of packages, where a script takes none.
const NO_PACKAGES: &str = "none";

/// What is run in a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Workload {
    /// As users name it.
    pub name: String,
    /// What it does.
    pub summary: String,
    /// Packages of Debian's that it takes.
    pub packages: Vec<String>,
    /// How much memory it works on, at `SCALE=1`.
    pub footprint: String,
    /// What it finds to be right.
    pub verified: String,
    /// For `sh -c`.
    #[serde(skip)]
    pub script: String,
}

/// No workload.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadError {
    /// Neither a name nor a file.
    #[error(
        "{name:?} is neither a workload nor a script that can be read: {source}; {instead}",
        instead = instead(name, &names(), "")
    )]
    Unknown {
        /// What was asked for.
        name: String,
        /// Why it is no file.
        source: std::io::Error,
    },
    /// A script that does not say what it is.
    #[error(
        "{name} does not say what it is: its first lines must be `# summary: TEXT` and, in any order, `# packages: \
         NAME...` or `none`, `# footprint: TEXT`, `# verified: TEXT`; there is no {missing}"
    )]
    Header {
        /// The script.
        name: String,
        /// What is missing.
        missing: &'static str,
    },
}

fn names() -> [&'static str; ALL.len()] {
    ALL.map(|(name, _)| name)
}

impl Workload {
    /// All that the lab has.
    ///
    /// # Errors
    /// When one of them does not say what it is.
    pub fn all() -> Result<Vec<Workload>, WorkloadError> {
        let all = ALL.iter();
        all.map(|(name, script)| Workload::read(name, script))
            .collect()
    }

    fn read(name: &str, script: &str) -> Result<Workload, WorkloadError> {
        let text = |key: &'static str| {
            let text = script_header::field(script, key).map(str::to_owned);
            text.ok_or_else(|| WorkloadError::Header {
                name: name.to_owned(),
                missing: key,
            })
        };
        let packages = text("packages")?;
        let packages = packages
            .split_whitespace()
            .filter(|name| *name != NO_PACKAGES);
        Ok(Workload {
            name: name.to_owned(),
            summary: text("summary")?,
            packages: packages.map(str::to_owned).collect(),
            footprint: text("footprint")?,
            verified: text("verified")?,
            script: script.to_owned(),
        })
    }
}

/// One of the lab's by its name, or a script of the user's by its path.
impl FromStr for Workload {
    type Err = WorkloadError;

    fn from_str(name: &str) -> Result<Self, WorkloadError> {
        let script = script_header::script(name, &ALL);
        let script = script.map_err(|source| WorkloadError::Unknown {
            name: name.to_owned(),
            source,
        })?;
        Workload::read(name, &script)
    }
}

/// Workloads as they are listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Listing(pub Vec<Workload>);

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|one| one.name.len()).max().unwrap_or(0) + 2;
        for (number, one) in self.0.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            writeln!(f, "{:width$}{}", one.name, one.summary)?;
            for (what, text) in [
                ("packages", words(&one.packages)),
                ("footprint", one.footprint.clone()),
                ("verified", one.verified.clone()),
            ] {
                writeln!(f, "{:width$}{what:9}  {text}", "")?;
            }
        }
        Ok(())
    }
}

fn words(packages: &[String]) -> String {
    match packages {
        [] => NO_PACKAGES.to_owned(),
        packages => packages.join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_says_what_it_is_and_finds_what_is_wrong() {
        let all = Workload::all().unwrap();
        assert!(all.is_sorted_by_key(|one| one.name.clone()));
        for workload in &all {
            assert_eq!(workload.name.parse::<Workload>().unwrap(), *workload);
            assert!(workload.script.contains("\nset -eu\n"), "{}", workload.name);
            assert!(workload.script.contains("SCALE"), "{}", workload.name);
            assert!(workload.script.contains("BREAK"), "{}", workload.name);
        }
        let listing = Listing(all).to_string();
        assert!(
            listing.contains("\nredis      Zipf-like reads of a redis server"),
            "{listing}"
        );
        assert!(
            listing.contains("\n           packages   redis-server perl-base\n"),
            "{listing}"
        );
        let graph: Workload = "graph".parse().unwrap();
        assert!(graph.packages.is_empty());
        assert!(
            listing.contains("\n           packages   none\n"),
            "{listing}"
        );
    }

    #[test]
    fn a_script_of_the_users_is_one_when_it_says_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own.sh");
        let name = path.to_str().unwrap();
        std::fs::write(
            &path,
            "# summary: mine: it is\n# packages: gawk perl\n# footprint: none\n# verified: all\nawk 1\n# x: y\n",
        )
        .unwrap();
        let own: Workload = name.parse().unwrap();
        assert_eq!(
            (own.summary.as_str(), own.packages.len()),
            ("mine: it is", 2)
        );
        std::fs::write(&path, "# summary: mine\nset -e\n# packages: late\n").unwrap();
        let error = name.parse::<Workload>().unwrap_err().to_string();
        assert!(error.ends_with("there is no packages"), "{error}");
        let error = "redsi".parse::<Workload>().unwrap_err().to_string();
        assert!(error.contains("did you mean redis?"), "{error}");
    }
}
