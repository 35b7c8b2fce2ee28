// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What is done with a guest, from its boot to a verdict.
//!
//! A scenario is one file in `cases/` and one line in [`ALL`]. It names the machine it needs and
//! says with a `Bench` what happens there and what must be true afterwards. Scenarios that need
//! the same machine share a boot; each is judged alone, also for what it leaves behind.

mod bench;
mod cases;
pub mod demo;
mod leftovers;
mod page;
mod proof;
mod refusals;
mod result;
mod runner;
mod waits;

use std::fmt;
use std::str::FromStr;

use anyhow::Result;
use serde::Serialize;

use self::bench::Bench;

pub use self::cases::ALL;
pub use self::result::{Results, ScenarioResult, Verdict};
pub use self::runner::{OnKernel, Runner};

/// Something that happens in a guest, and what must be true afterwards.
#[derive(Clone, Copy, Serialize)]
pub struct Scenario {
    /// As users name it.
    pub name: &'static str,
    /// What it shows, in a clause.
    pub summary: &'static str,
    /// What it runs on.
    #[serde(flatten)]
    needs: Needs,
    #[serde(skip)]
    run: fn(&mut Bench<'_>) -> Result<()>,
}

/// What a scenario needs of its machine; those with the same needs share a boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Needs {
    /// Name of the topology.
    topology: &'static str,
    /// What every device is like, as TOML.
    #[serde(skip)]
    device: &'static str,
    /// The guest restarts.
    #[serde(skip)]
    reboots: bool,
    /// The guest can ask the devices how often each page was accessed.
    #[serde(skip)]
    oracle: bool,
    /// Afterwards the machine is of no use to others.
    #[serde(skip)]
    alone: bool,
}

impl Needs {
    /// The topology of that name, and nothing else.
    const fn topology(topology: &'static str) -> Self {
        Self {
            topology,
            device: "",
            reboots: false,
            oracle: false,
            alone: false,
        }
    }
}

impl fmt::Debug for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scenario").field(&self.name).finish()
    }
}

/// A name that no scenario has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no scenario {0:?}; cargo lab scenario list prints what there is")]
pub struct UnknownScenario(String);

impl FromStr for Scenario {
    type Err = UnknownScenario;

    fn from_str(name: &str) -> Result<Self, UnknownScenario> {
        let mut all = ALL.iter();
        let found = all.find(|scenario| scenario.name == name).copied();
        found.ok_or_else(|| UnknownScenario(name.to_owned()))
    }
}

/// All scenarios, for people and programs.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(transparent)]
pub struct Listing(&'static [Scenario]);

impl Listing {
    /// Of [`ALL`].
    pub fn all() -> Self {
        Self(ALL)
    }
}

/// A line for each.
impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |of: fn(&Scenario) -> &str| self.0.iter().map(|it| of(it).len()).max();
        let names = width(|it| it.name).unwrap_or(0);
        let topologies = width(|it| it.needs.topology).unwrap_or(0);
        let mut scenarios = self.0.iter();
        scenarios.try_for_each(|it| {
            let (name, topology) = (it.name, it.needs.topology);
            writeln!(f, "{name:names$}  {topology:topologies$}  {}", it.summary)
        })
    }
}

/// Why a scenario cannot be run here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
struct Skip(String);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::topology::presets::Preset;

    #[test]
    fn every_scenario_has_a_name_of_its_own_and_a_machine() {
        let names: BTreeSet<_> = ALL.iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), ALL.len());
        for scenario in ALL {
            assert!(
                scenario.needs.topology.parse::<Preset>().is_ok(),
                "{scenario:?}"
            );
            assert!(
                scenario.needs.device.parse::<toml::Table>().is_ok(),
                "{scenario:?}"
            );
            assert_eq!(
                scenario.name.parse::<Scenario>().unwrap().name,
                scenario.name
            );
        }
    }

    #[test]
    fn an_unknown_name_is_told_where_the_others_are() {
        let error = "dmo".parse::<Scenario>().unwrap_err().to_string();
        assert!(error.contains("scenario list"), "{error}");
    }

    #[test]
    fn the_list_is_aligned() {
        let text = Listing::all().to_string();
        let columns: BTreeSet<_> = text.lines().map(|line| line.rfind("  ")).collect();
        assert_eq!(columns.len(), 1, "{text}");
    }
}
