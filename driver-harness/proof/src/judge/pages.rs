// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Page by page: where it is, whether it should be there, and whether the ledger says so.

use std::collections::{BTreeMap, BTreeSet};

use chmu_machine::node::NodeId;
use chmu_promotion::{Folio, Rejection};
use chmu_spec::address::Pfn;

use super::Judge;
use super::truths::{PageId, Warmth};
use crate::evidence::{Whereabouts, Witness};
use crate::ledger::{Attempt, Move, SentDown};
use crate::verdict::{Example, Reason};

/// Whether frames of all pages are known, then and now.
pub(super) fn frames_are_known(witnesses: &[Witness]) -> bool {
    witnesses.iter().all(|witness| {
        let hidden =
            |place: &Whereabouts| matches!(place, Whereabouts::Present { frame: None, .. });
        witness.truth.start_frames().is_some() && !witness.whereabouts.iter().any(hidden)
    })
}

/// What is promoted, counted by page and by the folios of the start.
#[derive(Debug, Default)]
pub(super) struct Promoted {
    pub(super) pages: u64,
    pub(super) right_pages: u64,
    pub(super) folios: u64,
    pub(super) right_folios: u64,
}

/// A page with everything that is known of it.
struct Page {
    id: PageId,
    start: Option<Pfn>,
    now: Whereabouts,
    /// It is in another frame, or on another node.
    changed: bool,
    /// The first move out of the frame that it started in.
    moved: Option<Move>,
    /// The engine demoted it to make room.
    sent: Option<SentDown>,
}

impl Judge<'_> {
    pub(super) fn pages(&mut self) -> Promoted {
        let pages = self.look();
        let hot_folios = self.hot_folios(&pages);
        let mut promoted = Promoted::default();
        let mut folios: BTreeMap<(usize, u64), bool> = BTreeMap::new();
        for page in &pages {
            self.place(page);
            self.attribute(page, &pages);
            self.demoted(page);
            let is_sent_only = page.moved.is_none() && page.sent.is_some();
            if is_sent_only || (!page.changed && page.moved.is_none()) {
                continue;
            }
            let warmth = self.warmth(page);
            if warmth == Warmth::Unclear {
                self.counts.unclear_pages_moved += 1;
                continue;
            }
            let folio = self.truths.large_folio(page.id);
            let is_along =
                folio.is_some_and(|folio| hot_folios.contains(&(page.id.witness, folio.head)));
            self.temperature(page, warmth, is_along);
            promoted.pages += 1;
            promoted.right_pages += u64::from(warmth == Warmth::Hot);
            // A base page whose frame is not known is told by its number.
            let key = folio
                .map(|folio| folio.head)
                .or(page.start)
                .map_or(page.id.page, |frame| frame.0);
            *folios.entry((page.id.witness, key)).or_default() |= warmth == Warmth::Hot;
        }
        promoted.folios = folios.len() as u64;
        promoted.right_folios = folios.values().filter(|is_right| **is_right).count() as u64;
        self.counts.promoted_folios = self.promoted_folios(&pages);
        self.unexplained_returns(&pages);
        promoted
    }

    fn look(&mut self) -> Vec<Page> {
        let evidence = self.evidence;
        let mut pages = Vec::new();
        for (witness, Witness { truth, whereabouts }) in evidence.witnesses.iter().enumerate() {
            for (page, &now) in (0..).zip(whereabouts) {
                let id = PageId { witness, page };
                let start = self.truths.start_frame(id);
                let changed = match now {
                    Whereabouts::Absent(_) => false,
                    // A program that takes memory anew gets another frame of the same node.
                    Whereabouts::Present { node, .. } if truth.is_observed() => {
                        node != truth.node()
                    }
                    Whereabouts::Present { node, frame } => {
                        let has_other_frame = start.is_some() && frame.is_some() && start != frame;
                        node != truth.node() || has_other_frame
                    }
                };
                let moved = start.and_then(|frame| self.first_move(id, frame));
                if let (Some(one), Some(frame)) = (moved, start) {
                    self.claimed.entry(one.line).or_default().insert(frame);
                }
                pages.push(Page {
                    sent: self.sent_down(id, start),
                    id,
                    start,
                    now,
                    changed,
                    moved,
                });
            }
        }
        pages
    }

    /// The first move out of the frame that a page started in: of this page, unless a page of another
    /// workload started in that frame before.
    fn first_move(&self, id: PageId, frame: Pfn) -> Option<Move> {
        let ready_ns = self.truths.truth(id).since_ns(id.page);
        let moves = self.moves?.out_of(frame).into_iter();
        let mut moves = moves.map(|(_, one)| one);
        let first = moves.find(|one| one.started_ns >= ready_ns)?;
        // Whoever came later and is elsewhere now does not share the page.
        let is_taken_over = self.truths.started_in(frame).any(|(since_ns, other)| {
            since_ns > ready_ns
                && since_ns <= first.started_ns
                && self.truths.whereabouts(other) != self.truths.whereabouts(id)
        });
        (!is_taken_over).then_some(first)
    }

    /// The engine's first demotion of a page: by its owner, or by the frame that it started in.
    fn sent_down(&self, id: PageId, start: Option<Pfn>) -> Option<SentDown> {
        let (moves, truth) = (self.moves?, self.truths.truth(id));
        let since_ns = truth.since_ns(id.page);
        let by_owner = self.truths.owner(id);
        let by_owner = by_owner.and_then(|owner| moves.sent_from_address(owner, since_ns));
        let by_frame = || {
            let sent = moves.sent_from_frame(start?, since_ns)?;
            (sent.route.source == truth.node()).then_some(sent)
        };
        by_owner.or_else(by_frame)
    }

    /// Whether a page that made room was right to go.
    fn demoted(&mut self, page: &Page) {
        let Some(sent) = page.sent else { return };
        self.counts.demoted_pages += 1;
        let since_ns = sent.started_ns.saturating_sub(self.demands.lateness_ns);
        if self.truths.warmth(page.id, since_ns, sent.ended_ns) == Warmth::Hot {
            let detail = format!("line {} says that it was demoted", sent.line);
            self.find(Reason::HotPageDemoted, page, detail);
        }
    }

    /// A page that made room is where the ledger says, or was promoted since.
    fn attribute_demotion(&mut self, page: &Page, sent: SentDown, node: NodeId) {
        let SentDown { line, route, .. } = sent;
        if !page.changed {
            let detail = format!("is still on node {node}; line {line} says that it was demoted");
            self.find(Reason::SaidMovedButStayed, page, detail);
        } else if ![route.source, route.target].contains(&node) {
            let detail = format!("is on node {node}; line {line} says node {}", route.target);
            self.find(Reason::OtherNodeThanSaid, page, detail);
        }
    }

    fn warmth(&self, page: &Page) -> Warmth {
        match page.moved {
            Some(one) => {
                let since_ns = one.started_ns.saturating_sub(self.demands.lateness_ns);
                self.truths.warmth(page.id, since_ns, one.ended_ns)
            }
            // Nobody knows when it was moved: that it was hot ever is enough.
            None => self.truths.warmth(page.id, 0, u64::MAX),
        }
    }

    /// Large folios with a page that was right to move.
    fn hot_folios(&self, pages: &[Page]) -> BTreeSet<(usize, Pfn)> {
        let hot = pages.iter().filter(|page| self.warmth(page) == Warmth::Hot);
        hot.filter_map(|page| Some((page.id.witness, self.truths.large_folio(page.id)?.head)))
            .collect()
    }

    /// Folios of the start that have a page on another node now.
    fn promoted_folios(&self, pages: &[Page]) -> u64 {
        let away = pages.iter().filter(|page| self.is_away(page));
        let keys: BTreeSet<_> = away
            .map(|page| {
                let folio = self.truths.large_folio(page.id);
                let head = folio.map(|folio| folio.head).or(page.start);
                (page.id.witness, head.map_or(page.id.page, |frame| frame.0))
            })
            .collect();
        keys.len() as u64
    }

    fn is_away(&self, page: &Page) -> bool {
        let source = self.truths.truth(page.id).node();
        matches!(page.now, Whereabouts::Present { node, .. } if node != source)
    }

    /// Counts where a page is, and whether it may be there.
    fn place(&mut self, page: &Page) {
        let source = self.truths.truth(page.id).node();
        // Pages of the fastest memory are where they belong.
        let is_hot = self.truths.is_hot(page.id) && self.evidence.targets.contains_key(&source);
        self.counts.pages += 1;
        self.counts.true_hot_pages += u64::from(is_hot);
        let is_unclear = self.warmth(page) == Warmth::Unclear;
        self.counts.unclear_pages += u64::from(is_unclear);
        let node = match page.now {
            // A program may give its memory back, as far as anybody knows.
            Whereabouts::Absent(_) if self.truths.truth(page.id).is_observed() => {
                self.counts.absent_pages += 1;
                self.counts.true_hot_pages -= u64::from(is_hot);
                return;
            }
            Whereabouts::Absent(errno) => {
                self.counts.absent_pages += 1;
                let detail = format!("the kernel finds no page (error {errno})");
                self.find(Reason::PageGone, page, detail);
                return self.not_promoted(page, is_hot);
            }
            Whereabouts::Present { node, .. } => node,
        };
        *self.counts.pages_by_node.entry(node).or_default() += 1;
        if node == source {
            return self.not_promoted(page, is_hot);
        }
        if page.moved.is_none() && page.sent.is_some_and(|sent| sent.route.target == node) {
            return;
        }
        self.counts.promoted_pages += 1;
        self.counts.promoted_hot_pages += u64::from(is_hot);
        let targets = self
            .evidence
            .targets
            .get(&source)
            .map_or(&[][..], Vec::as_slice);
        if !targets.contains(&node) {
            self.counts.pages_on_wrong_node += 1;
            let detail = format!("is on node {node}; {}", belongs(source, targets));
            self.find(Reason::ThirdNode, page, detail);
        }
    }

    /// A hot page that is where it was: what the ledger says of it.
    fn not_promoted(&mut self, page: &Page, is_hot: bool) {
        if !is_hot {
            return;
        }
        let since_ns = self.truths.truth(page.id).since_ns(page.id.page);
        let detail = match (self.moves, page.start) {
            (Some(moves), Some(frame)) => match moves.last_attempt(frame, since_ns) {
                Some(attempt) => format!("the ledger's last word is: {}", attempt.reason),
                None if moves.is_seen(frame) => "was reported, and nothing became of it".to_owned(),
                None => "was never reported".to_owned(),
            },
            _ => "is where it was".to_owned(),
        };
        self.find(Reason::NotPromoted, page, detail);
    }

    /// Whether a page that was moved was right to move.
    fn temperature(&mut self, page: &Page, warmth: Warmth, is_along: bool) {
        let (reason, detail) = match warmth {
            Warmth::Hot | Warmth::Unclear => return,
            _ if is_along => {
                self.counts.pages_taken_along += 1;
                return;
            }
            Warmth::Cold => {
                self.counts.wrong_pages_promoted += 1;
                let detail = match self.is_away(page) {
                    true => "was never hot",
                    false => "was never hot, and came back",
                };
                (Reason::ColdPageMoved, detail)
            }
            Warmth::Stale => {
                self.counts.stale_pages += 1;
                (Reason::StalePageMoved, "had been hot, and no longer was")
            }
            Warmth::Premature => {
                self.counts.premature_pages += 1;
                (Reason::MovedBeforeHot, "became hot later")
            }
        };
        self.find(reason, page, detail.to_owned());
    }

    /// Whether the ledger says what happened to a page, and what it says happened.
    fn attribute(&mut self, page: &Page, pages: &[Page]) {
        let (Some(moves), Whereabouts::Present { node, frame }) = (self.moves, page.now) else {
            return;
        };
        let source = self.truths.truth(page.id).node();
        let since_ns = self.truths.truth(page.id).since_ns(page.id.page);
        if let (None, Some(sent)) = (page.moved, page.sent) {
            return self.attribute_demotion(page, sent, node);
        }
        match (page.moved, page.changed) {
            (None, false) => {}
            (None, true) if self.arrived_unsaid(page, node) => {}
            (None, true) => {
                let attempt = page
                    .start
                    .and_then(|frame| moves.last_attempt(frame, since_ns));
                // What was not found had been taken before.
                let tried = attempt.filter(|attempt| {
                    attempt.batch.is_some() && attempt.reason != Rejection::AnotherPage
                });
                match tried {
                    // The engine knows that it may have, and no more.
                    Some(Attempt {
                        reason: Rejection::Unseen,
                        route: Some(route),
                        ..
                    }) if route.target == node => {}
                    Some(attempt) => {
                        let detail = format!(
                            "is on node {node}; line {} says: {}",
                            attempt.line, attempt.reason
                        );
                        self.find(Reason::SaidStayedButMoved, page, detail);
                    }
                    None => {
                        let detail =
                            format!("is on node {node}, in another frame than it started in");
                        self.find(Reason::MovedByOthers, page, detail);
                    }
                }
            }
            // It may have come back, or the program taken memory anew: another frame of the same node.
            (Some(_), false) if self.truths.truth(page.id).is_observed() && page.start != frame => {
                self.counts.returned_pages += 1;
            }
            (Some(one), false) => {
                let torn = one.folio.pages > 1 && self.others_moved(one.folio, page, pages);
                let reason = if torn {
                    Reason::FolioTorn
                } else {
                    Reason::SaidMovedButStayed
                };
                let detail = format!(
                    "is still on node {node}; line {} says that it moved",
                    one.line
                );
                self.find(reason, page, detail);
            }
            (Some(_), true) if node == source => self.counts.returned_pages += 1,
            (Some(one), true) if node != one.route.target => {
                let detail = format!(
                    "is on node {node}; line {} says node {}",
                    one.line, one.route.target
                );
                self.find(Reason::OtherNodeThanSaid, page, detail);
            }
            (Some(_), true) => {}
        }
    }

    /// The engine was killed while the page was on its way to this node.
    fn arrived_unsaid(&self, page: &Page, node: NodeId) -> bool {
        let route = || self.moves?.on_its_way(page.start?);
        let ledger = self.evidence.ledger.as_ref();
        let may_lack = ledger.is_some_and(|ledger| ledger.may_lack(self.demands.killed));
        may_lack && route().is_some_and(|route| route.target == node)
    }

    /// Whether other pages of a folio did move.
    fn others_moved(&self, folio: Folio, page: &Page, pages: &[Page]) -> bool {
        let frames = folio.head..folio.end();
        pages.iter().any(|other| {
            other.id.witness == page.id.witness
                && other.changed
                && other.start.is_some_and(|frame| frames.contains(&frame))
        })
    }

    /// Pages that came back are no surprise as far as the ledger knows of demotions.
    fn unexplained_returns(&mut self, pages: &[Page]) {
        let explained = self.moves.map_or(0, |moves| moves.demoted_pages());
        let by_engine = pages.iter().filter(|page| {
            let is_owned = page.sent.is_some_and(|sent| sent.owner.is_some());
            page.changed && page.moved.is_some() && is_owned && !self.is_away(page)
        });
        let by_engine = by_engine.count() as u64;
        if self.counts.returned_pages <= explained.saturating_add(by_engine) {
            return;
        }
        let returned = pages
            .iter()
            .filter(|page| page.changed && page.moved.is_some() && !self.is_away(page))
            .filter(|page| page.sent.is_none_or(|sent| sent.owner.is_none()));
        let returned: Vec<_> = returned.collect();
        for page in returned
            .into_iter()
            .skip(usize::try_from(explained).unwrap_or(usize::MAX))
        {
            self.find(
                Reason::CameBack,
                page,
                "is back, in another frame".to_owned(),
            );
        }
    }

    fn find(&mut self, reason: Reason, page: &Page, detail: String) {
        let truth = self.truths.truth(page.id);
        let address = truth.address(page.id.page);
        self.findings.add(reason, || Example {
            process_id: Some(truth.process_id()),
            page: address.is_none().then_some(page.id.page),
            address,
            frame: page.start.map(|frame| frame.0),
            line: None,
            detail,
        });
    }
}

fn belongs(source: NodeId, targets: &[NodeId]) -> String {
    let names: Vec<_> = targets.iter().map(|node| format!("node {node}")).collect();
    match names.is_empty() {
        true => format!("pages of node {source} belong nowhere else"),
        false => format!("pages of node {source} belong on {}", names.join(" or ")),
    }
}
