// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The folios that wait, and those that an actuator has, by route.

use std::collections::{BTreeMap, BTreeSet};

use chmu_spec::address::Pfn;

use crate::batch::{Folio, Route};

/// Folios that are remembered: as many as two full queues hold.
const FOLIOS_MAX: usize = 1 << 19;
/// Batches that are remembered: more than there are workers.
const BATCHES_MAX: usize = 1024;

/// What waits on one route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Waiting {
    pub(super) folios: u64,
    pub(super) pages: u64,
    pub(super) oldest_ns: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    route: Route,
    pages: u64,
    since_ns: u64,
}

/// Folios on their way, from when they were queued until they moved or were refused.
#[derive(Debug, Clone, Default)]
pub(super) struct Backlog {
    waiting: BTreeMap<Pfn, Entry>,
    /// By route, oldest first.
    order: BTreeMap<Route, BTreeSet<(u64, Pfn)>>,
    pages: BTreeMap<Route, u64>,
    to_retry: BTreeSet<Pfn>,
    /// Pages by batch that an actuator has.
    moving: BTreeMap<u64, (Route, u64)>,
    is_partial: bool,
}

impl Backlog {
    /// A folio waits.
    pub(super) fn queued(&mut self, folio: Folio, route: Route, now_ns: u64) {
        self.left(folio);
        if self.waiting.len() >= FOLIOS_MAX {
            self.is_partial = true;
            return;
        }
        let entry = Entry {
            route,
            pages: folio.pages,
            since_ns: now_ns,
        };
        self.waiting.insert(folio.head, entry);
        self.order
            .entry(route)
            .or_default()
            .insert((now_ns, folio.head));
        let pages = self.pages.entry(route).or_default();
        *pages = pages.saturating_add(folio.pages);
    }

    /// An actuator has folios.
    pub(super) fn handed_over(&mut self, batch: u64, route: Route, folios: &[Folio]) {
        folios.iter().for_each(|folio| self.left(*folio));
        let pages = folios
            .iter()
            .fold(0_u64, |pages, folio| pages.saturating_add(folio.pages));
        self.moving.insert(batch, (route, pages));
        while self.moving.len() > BATCHES_MAX {
            self.moving.pop_first();
        }
    }

    /// An actuator is done with a folio.
    pub(super) fn done(&mut self, batch: u64, folio: Folio) {
        if let Some((_, pages)) = self.moving.get_mut(&batch) {
            *pages = pages.saturating_sub(folio.pages);
            if *pages == 0 {
                self.moving.remove(&batch);
            }
        }
    }

    /// A folio will be tried again.
    pub(super) fn put_off(&mut self, folio: Folio) {
        self.left(folio);
        match self.to_retry.len() < FOLIOS_MAX {
            true => {
                self.to_retry.insert(folio.head);
            }
            false => self.is_partial = true,
        }
    }

    /// A folio waits no more.
    pub(super) fn left(&mut self, folio: Folio) {
        self.to_retry.remove(&folio.head);
        let Some(entry) = self.waiting.remove(&folio.head) else {
            return;
        };
        let Some(order) = self.order.get_mut(&entry.route) else {
            return;
        };
        order.remove(&(entry.since_ns, folio.head));
        if order.is_empty() {
            self.order.remove(&entry.route);
            self.pages.remove(&entry.route);
        } else if let Some(pages) = self.pages.get_mut(&entry.route) {
            *pages = pages.saturating_sub(entry.pages);
        }
    }

    /// Nothing waits any more.
    pub(super) fn clear(&mut self) {
        *self = Backlog::default();
    }

    /// What waits on a route, for how long at most.
    pub(super) fn waiting(&self, route: Route, now_ns: u64) -> Waiting {
        let Some(order) = self.order.get(&route) else {
            return Waiting::default();
        };
        let oldest = order.first();
        Waiting {
            folios: order.len() as u64,
            pages: self.pages.get(&route).copied().unwrap_or(0),
            oldest_ns: oldest.map_or(0, |(since_ns, _)| now_ns.saturating_sub(*since_ns)),
        }
    }

    /// Pages of a route that an actuator has.
    pub(super) fn moving(&self, route: Route) -> u64 {
        let batches = self.moving.values();
        batches
            .filter(|(other, _)| *other == route)
            .fold(0, |sum, (_, pages)| sum.saturating_add(*pages))
    }

    /// Routes on which anything waits or moves.
    pub(super) fn routes(&self) -> BTreeSet<Route> {
        let moving = self.moving.values().map(|(route, _)| *route);
        self.order.keys().copied().chain(moving).collect()
    }

    /// Folios that will be tried again.
    pub(super) fn to_retry(&self) -> u64 {
        self.to_retry.len() as u64
    }

    /// More folios waited than are remembered.
    pub(super) fn is_partial(&self) -> bool {
        self.is_partial
    }
}
