// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause

use chmu_machine::node::NodeId;
use chmu_spec::address::Pfn;

use super::{Collector, Status};
use crate::batch::{Folio, Route};
use crate::ledger::{
    Action, BatchMade, Begin, Demoted, Event, Kept, Moved, Queued, Refused, Retried, Sent,
    SourceSaid, TelemetrySaid, Totals, Tuned, TunedSetting,
};
use crate::rejection::Rejection;
use crate::report::{Facts, Health, Knowledge, Lost, SourceKind, WeightKind};

mod collecting;
mod exposition;
mod screen;

const UP: Route = Route {
    source: NodeId(1),
    target: NodeId(0),
};
const DOWN: Route = Route {
    source: NodeId(0),
    target: NodeId(1),
};
const FAR: Route = Route {
    source: NodeId(2),
    target: NodeId(0),
};

fn folio(head: u64, pages: u64) -> Folio {
    Folio {
        head: Pfn(head),
        pages,
    }
}

fn facts(name: &str) -> Facts {
    Facts {
        name: name.to_owned(),
        kind: SourceKind::Chmu,
        unit_bytes: Some(4096),
        granted_epoch_ns: Some(100_000_000),
        wished_epoch_ns: None,
        knows: Knowledge::default(),
        counts: WeightKind::Accesses,
    }
}

fn begin(sources: &[&str]) -> Action {
    Action::Begin(Begin {
        program: "1.2.3".to_owned(),
        sources: sources.iter().map(|name| facts(name)).collect(),
        actuator: "damon".to_owned(),
        dry_run: false,
        seed: 0,
        policy: std::collections::BTreeMap::new(),
    })
}

fn said(source: &str, units: u64, overflow: bool, health: Health) -> Action {
    Action::Source(SourceSaid {
        source: source.to_owned(),
        handed_out_ns: 0,
        earliest_access_ns: 0,
        units,
        pages: units,
        lost: Lost {
            overflow,
            units_dropped: 2,
            outside_memory: 1,
        },
        ignored: [(Rejection::TopTier, 3)].into(),
        health,
    })
}

fn queued(folio: Folio, route: Route) -> Action {
    Action::Queued(Queued {
        folio,
        route,
        heat: 1,
        origin: Vec::new(),
    })
}

fn batch(number: u64, route: Route, folios: &[Folio]) -> Action {
    Action::Batch(BatchMade {
        batch: number,
        route,
        folios: folios.to_vec(),
        waiting: 0,
    })
}

fn moved(number: u64, folio: Folio, route: Route) -> Action {
    Action::Moved(Moved {
        batch: number,
        folio,
        route,
        heat: 1,
        origin: Vec::new(),
        started_ns: 0,
        ended_ns: 0,
    })
}

fn refused(folio: Folio, reason: Rejection, batch: Option<u64>) -> Action {
    Action::Refused(Refused {
        folio,
        reason,
        errno: None,
        batch,
        route: None,
        origin: Vec::new(),
    })
}

fn retried(number: u64, folio: Folio) -> Action {
    Action::Retried(Retried {
        folio,
        reason: Rejection::Busy,
        batch: number,
        attempts: 1,
        due_ns: 0,
    })
}

fn demoted(node: u32, pages: u64, folio: Option<Folio>) -> Action {
    Action::Demoted(Demoted {
        node: NodeId(node),
        pages,
        folio,
        sent: None,
    })
}

fn kept(number: u64, folio: Folio) -> Action {
    Action::Kept(Kept {
        batch: number,
        folio,
        route: DOWN,
        reason: Rejection::Busy,
    })
}

/// A folio that the engine demoted in a batch.
fn made_room(number: u64, folio: Folio, route: Route) -> Action {
    let sent = Sent {
        batch: number,
        route,
        owner: None,
        idle_ns: 4,
        started_ns: 0,
        ended_ns: 0,
    };
    Action::Demoted(Demoted {
        node: route.source,
        pages: folio.pages,
        folio: Some(folio),
        sent: Some(sent),
    })
}

fn held_to(limit: u64) -> Action {
    Action::Tuned(Tuned {
        source: None,
        setting: TunedSetting::PagesPerSecond,
        from: None,
        to: limit,
        reason: "node 0 demotes what is promoted to it".to_owned(),
    })
}

/// What a collector makes of actions a second apart, the first at one second; half a second later.
fn status_after(actions: Vec<Action>) -> Status {
    let mut collector = Collector::default();
    let mut time_ns = 0;
    for action in actions {
        time_ns += 1_000_000_000;
        collector.note(&Event::new(time_ns, action));
    }
    collector.status(time_ns + 500_000_000)
}

/// A run in which everything happened.
fn eventful() -> Vec<Action> {
    vec![
        begin(&["cxl_hmu_mem0.0.0", "stream \"odd\\name\"\nsecond line"]),
        said("cxl_hmu_mem0.0.0", 40, false, Health::Good),
        said(
            "cxl_hmu_mem0.0.0",
            64,
            true,
            Health::Degraded("late".to_owned()),
        ),
        queued(folio(100, 1), UP),
        queued(folio(512, 512), UP),
        queued(folio(7, 1), UP),
        queued(folio(8, 1), FAR),
        batch(1, UP, &[folio(100, 1), folio(512, 512)]),
        moved(1, folio(512, 512), UP),
        retried(1, folio(100, 1)),
        refused(folio(9, 1), Rejection::PingPong, None),
        refused(folio(10, 1), Rejection::Pinned, None),
        refused(folio(11, 1), Rejection::Pinned, None),
        demoted(0, 9, None),
        demoted(0, 1, Some(folio(9, 1))),
        held_to(120),
    ]
}

fn ended() -> Action {
    Action::End(Totals::default())
}
