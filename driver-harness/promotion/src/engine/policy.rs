// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What may be promoted, where to, and how fast.

use std::collections::BTreeMap;

use chmu_machine::node::NodeId;
use serde::Serialize;

/// Where pages are to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Destination {
    /// To this node.
    Node(NodeId),
    /// To a node computed for each page from the node that it is on: deferred mode.
    #[default]
    Deferred,
}

/// When a large folio moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LargeFolios {
    /// When any page of it is hot: it moves as a whole, cold pages and all.
    #[default]
    Whole,
    /// When at least so many percent of its pages were reported by themselves.
    Dense(u8),
}

/// What may be promoted, where to, and how fast. No default needs to be known by a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// Where pages are to go.
    pub destination: Destination,
    /// Accesses below which a page stays where it is, as heat: see the aggregator's measure.
    pub minimum_heat: u64,
    /// Time in which heat halves.
    pub half_life_ns: u64,
    /// Units that cover several pages are taken into account, each page with its share.
    pub allow_coarse_units: bool,
    /// When large folios move.
    pub large_folios: LargeFolios,
    /// At most so many pages in a second; none for as many as there are.
    pub pages_per_second: Option<u64>,
    /// At most so many folios in one batch.
    pub batch_folios: usize,
    /// A batch is made up for so long before it is handed over although it could be larger.
    pub batching_delay_ns: u64,
    /// A batch is made so small that moving it takes about this long.
    pub turn_ns: u64,
    /// A folio that has waited for so long is not promoted any more: its heat is old news.
    pub patience_ns: u64,
    /// At most so many folios wait on one route.
    pub waiting_max: usize,
    /// Time before the second attempt to move a folio; four times that before the third.
    pub retry_ns: u64,
    /// A folio that cannot be moved is left alone for so long.
    pub cool_down_ns: u64,
    /// A page that was promoted, demoted and is hot again within this time stays where it is for as
    /// long.
    pub ping_pong_ns: u64,
    /// A target without room gets some: its coldest folios are demoted, where fast memory is watched.
    pub demote_coldest: bool,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            destination: Destination::default(),
            minimum_heat: 0,
            half_life_ns: 2_000_000_000,
            allow_coarse_units: false,
            large_folios: LargeFolios::default(),
            pages_per_second: None,
            batch_folios: 512,
            batching_delay_ns: 20_000_000,
            turn_ns: 500_000_000,
            patience_ns: 10_000_000_000,
            waiting_max: 1 << 18,
            retry_ns: 100_000_000,
            cool_down_ns: 60_000_000_000,
            ping_pong_ns: 30_000_000_000,
            demote_coldest: false,
        }
    }
}

impl Policy {
    /// The settings by name, as the ledger has them.
    pub fn settings(&self) -> BTreeMap<String, serde_json::Value> {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(settings)) => settings.into_iter().collect(),
            _ => BTreeMap::new(),
        }
    }
}
