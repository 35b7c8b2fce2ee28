// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What was decided, and why.

use std::fmt;

use super::{Choice, Targets, list};
use crate::node::NodeId;

/// A target for pages of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Where they go.
    pub target: NodeId,
    /// Why there.
    pub reason: Reason,
    /// Targets that have no room for them.
    pub full: Vec<NodeId>,
    /// All that might have been chosen.
    pub targets: Targets,
}

/// Why a target was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// A processor of this node uses the pages.
    Accessor,
    /// It is the only node that is preferred.
    Only,
    /// Its processors are the nearest to the source by HMAT, among nodes at the same distance.
    NearestProcessors,
    /// It is the only one of the equals with room.
    OnlyWithRoom,
    /// It is one of several equals.
    Equal(Choice),
    /// The equals are full, and it is preferred after them.
    PreferredFull,
    /// All preferred nodes are full.
    Fallback,
}

/// A whole sentence.
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Targets {
            source, preferred, ..
        } = &self.targets;
        write!(f, "Pages of node {source} go to node {}: ", self.target)?;
        let equals = &preferred[..self.targets.equals.min(preferred.len())];
        match self.reason {
            Reason::Accessor => f.write_str("a processor there uses them")?,
            Reason::Only => {
                f.write_str("it is the nearest of the next faster tier")?;
                self.write_distance(f)?;
            }
            Reason::NearestProcessors => {
                write!(f, "{} are equally near", list(preferred))?;
                self.write_distance(f)?;
                f.write_str(", but by HMAT its processors reach the source fastest")?;
            }
            Reason::OnlyWithRoom => {
                write!(f, "of the equally near {} only it has room", list(equals))?;
            }
            Reason::Equal(choice) => {
                write!(f, "{} are equally near", list(equals))?;
                self.write_distance(f)?;
                f.write_str(match choice {
                    Choice::RoundRobin => " and take turns",
                    Choice::Headroom => ", and it has most room",
                })?;
            }
            Reason::PreferredFull => {
                write!(
                    f,
                    "{} would be better, but {} no room",
                    list(equals),
                    has(equals)
                )?;
            }
            Reason::Fallback => {
                write!(
                    f,
                    "the preferred {} {} no room",
                    list(preferred),
                    has(preferred)
                )?;
            }
        }
        f.write_str(".")
    }
}

fn has(nodes: &[NodeId]) -> &'static str {
    match nodes.len() {
        1 => "has",
        _ => "have",
    }
}

impl Decision {
    /// Whether the target is one of those preferred.
    pub fn is_preferred(&self) -> bool {
        self.targets.preferred.contains(&self.target)
    }

    /// The node that the pages are on.
    pub fn source(&self) -> NodeId {
        self.targets.source
    }

    fn write_distance(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.targets.distance {
            Some(distance) => write!(f, " (distance {distance})"),
            None => Ok(()),
        }
    }
}
