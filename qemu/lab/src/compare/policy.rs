// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Who moves pages, if anybody.
//!
//! A policy is a shell script whose first lines say what it is. It runs in the guest beside the workload, makes the
//! file `$READY` as soon as it acts, and puts everything back when SIGTERM ends it. `$PROCESS` is the workload's
//! process and `$STATE` the file in which it says which of its pages are hot, which only an oracle may read.

use std::fmt;
use std::str::FromStr;

use chmu_machine::names::instead;
use serde::Serialize;

use crate::script_header;

/// By name, in the order in which they are compared.
const ALL: [(&str, &str); 7] = [
    ("none", include_str!("policies/none.sh")),
    ("dram", include_str!("policies/dram.sh")),
    ("oracle", include_str!("policies/oracle.sh")),
    ("numa-balancing", include_str!("policies/numa-balancing.sh")),
    ("damon", include_str!("policies/damon.sh")),
    (
        "userfaultfd",
        concat!(
            include_str!("policies/userfaultfd.sh"),
            include_str!("policies/engine.sh")
        ),
    ),
    (
        "chmu",
        concat!(
            include_str!("policies/chmu.sh"),
            include_str!("policies/engine.sh")
        ),
    ),
];

/// Against which others are measured: pages that nobody moves, and pages that need not be moved.
pub(super) const BOUNDS: [&str; 2] = ["none", "dram"];

/// Where a workload's pages are at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PagesPlace {
    /// On CXL memory.
    Slow,
    /// On DRAM.
    Fast,
}

/// A way to move pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// As users name it.
    pub name: String,
    /// What it does.
    pub summary: String,
    /// Where pages are when it begins.
    pub place: PagesPlace,
    /// The workload shares a userfaultfd.
    pub takes_userfaultfd: bool,
    /// A command that fails where the kernel cannot do it.
    pub needs: Option<String>,
    /// Others are measured against it.
    pub is_bound: bool,
    /// For `sh -c`.
    #[serde(skip)]
    pub script: String,
}

/// No policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Neither a name nor a file.
    #[error(
        "{name:?} is neither a policy nor a script that can be read: {source}; {instead}",
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
        "{name} does not say what it is: its first lines must be `# summary: TEXT` and, where it takes these, `# place: slow` or fast, `# takes: userfaultfd`, `# needs: COMMAND`; {wrong}"
    )]
    Header {
        /// The script.
        name: String,
        /// What is wrong.
        wrong: String,
    },
}

fn names() -> [&'static str; ALL.len()] {
    ALL.map(|(name, _)| name)
}

impl Policy {
    /// Its place among the lab's; the user's own come after these.
    pub(super) fn place(&self, own_before: usize) -> usize {
        let place = ALL.iter().position(|(name, _)| *name == self.name);
        place.unwrap_or(ALL.len() + own_before)
    }

    /// All that the lab has.
    ///
    /// # Errors
    /// When one of them does not say what it is.
    pub fn all() -> Result<Vec<Policy>, PolicyError> {
        let all = ALL.iter();
        all.map(|(name, script)| Policy::read(name, script))
            .collect()
    }

    fn read(name: &str, script: &str) -> Result<Policy, PolicyError> {
        let field = |key| script_header::field(script, key);
        let wrong = |wrong: String| PolicyError::Header {
            name: name.to_owned(),
            wrong,
        };
        let summary = field("summary").ok_or_else(|| wrong("there is no summary".to_owned()))?;
        let place = match field("place") {
            None | Some("slow") => PagesPlace::Slow,
            Some("fast") => PagesPlace::Fast,
            Some(other) => return Err(wrong(format!("{other:?} is no place"))),
        };
        let takes_userfaultfd = match field("takes") {
            None => false,
            Some("userfaultfd") => true,
            Some(other) => return Err(wrong(format!("{other:?} is nothing that it could take"))),
        };
        Ok(Policy {
            name: name.to_owned(),
            summary: summary.to_owned(),
            place,
            takes_userfaultfd,
            needs: field("needs").map(str::to_owned),
            is_bound: BOUNDS.contains(&name),
            script: script.to_owned(),
        })
    }
}

/// One of the lab's by its name, or a script of the user's by its path.
impl FromStr for Policy {
    type Err = PolicyError;

    fn from_str(name: &str) -> Result<Self, PolicyError> {
        let script = script_header::script(name, &ALL);
        let script = script.map_err(|source| PolicyError::Unknown {
            name: name.to_owned(),
            source,
        })?;
        Policy::read(name, &script)
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_says_what_it_is_and_when_it_acts() {
        let all = Policy::all().unwrap();
        for policy in &all {
            assert_eq!(policy.name.parse::<Policy>().unwrap(), *policy);
            assert!(policy.script.contains("\n: >\"$READY\"\n"), "{policy}");
        }
        for bound in BOUNDS {
            assert!(all.iter().any(|policy| policy.name == bound), "{bound}");
        }
    }

    #[test]
    fn a_script_of_the_users_is_one_when_it_says_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own.sh");
        let name = path.to_str().unwrap();
        let parse = |text: &str| {
            std::fs::write(&path, text).unwrap();
            name.parse::<Policy>()
        };
        let own = parse("# summary: mine\n# needs: true\nexec sleep 9\n").unwrap();
        assert_eq!(
            (own.summary.as_str(), own.place),
            ("mine", PagesPlace::Slow)
        );
        assert_eq!(own.needs.as_deref(), Some("true"));
        for (text, sentence) in [
            ("# place: slow\n", "there is no summary"),
            ("# summary: x\n# place: here\n", "\"here\" is no place"),
            (
                "# summary: x\n# takes: time\n",
                "nothing that it could take",
            ),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(sentence), "{error}");
        }
        let error = "orcale".parse::<Policy>().unwrap_err().to_string();
        assert!(error.contains("did you mean oracle?"), "{error}");
    }
}
