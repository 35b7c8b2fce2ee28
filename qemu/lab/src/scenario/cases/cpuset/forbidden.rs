// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Whether a ledger says of pages that a cpuset forbids their move.

use std::collections::BTreeSet;

use chmu_promotion::Rejection;
use chmu_promotion::ledger::{Action, Event};
use chmu_spec::address::Pfn;

use crate::scenario::refusals::Refusals;

/// What a ledger says of cpusets.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// Pages that were to be said to be forbidden, and are.
    pub(super) pages: u64,
    /// All frames that are said to be.
    pub(super) frames: usize,
    /// What is wrong with that.
    pub(super) faults: Vec<String>,
}

/// Nearly all of the pages in `hot` must be said to be forbidden, none as moved, and none again before it is
/// tried again; the process may have others there.
pub(super) fn judge(events: &[Event], hot: &BTreeSet<Pfn>) -> Said {
    let said = Refusals::of(events, Rejection::CpusetForbids);
    let moved = events.iter().filter(
        |event| matches!(&event.action, Action::Moved(moved) if hot.contains(&moved.folio.head)),
    );
    let moved = moved.count();
    let pages = hot.iter().filter(|frame| said.has(**frame)).count() as u64;
    let too_often = said.too_often();
    let all = hot.len() as u64;
    let mut faults = Vec::new();
    if all == 0 || pages * 100 < all * 95 {
        faults.push(format!(
            "Of {all} pages {pages} are said to be forbidden by a cpuset"
        ));
    }
    if too_often > 0 {
        faults.push(format!(
            "{too_often} pages are said to be forbidden by a cpuset twice in a minute"
        ));
    }
    if moved > 0 {
        faults.push(format!(
            "{moved} pages that a cpuset forbids are said to have moved"
        ));
    }
    Said {
        pages,
        frames: said.folios(),
        faults,
    }
}

#[cfg(test)]
mod tests {
    use chmu_machine::node::NodeId;
    use chmu_promotion::ledger::{Moved, Refused};
    use chmu_promotion::{Folio, Route};

    use super::*;
    use crate::scenario::refusals::AGAIN_NS;

    const ROUTE: Route = Route {
        source: NodeId(2),
        target: NodeId(0),
    };

    fn folio(frame: u64) -> Folio {
        Folio {
            head: Pfn(frame),
            pages: 1,
        }
    }

    fn refused(frame: u64, reason: Rejection, time_ns: u64) -> Event {
        let refused = Refused {
            folio: folio(frame),
            reason,
            errno: None,
            batch: Some(1),
            route: Some(ROUTE),
            origin: Vec::new(),
        };
        Event::new(time_ns, Action::Refused(refused))
    }

    /// All of 100 pages are said to be forbidden, and two others.
    fn honest() -> Vec<Event> {
        let frames = 0..102;
        let refused = |frame| refused(frame, Rejection::CpusetForbids, frame);
        frames.map(refused).collect()
    }

    fn judged(events: &[Event]) -> Said {
        judge(events, &(0..100).map(Pfn).collect())
    }

    #[test]
    fn each_page_once_is_no_fault() {
        let said = judged(&honest());
        assert!(said.faults.is_empty(), "{said:?}");
        assert_eq!((said.pages, said.frames), (100, 102));
        let mut again = honest();
        again.push(refused(7, Rejection::CpusetForbids, 7 + AGAIN_NS));
        assert!(judged(&again).faults.is_empty());
    }

    #[test]
    fn what_is_not_said_is_a_fault() {
        assert_eq!(judged(&honest()[6..]).faults.len(), 1);
        assert_eq!(judge(&honest(), &BTreeSet::new()).faults.len(), 1);
        let stayed = (0..100).map(|frame| refused(frame, Rejection::Stayed, frame));
        let stayed: Vec<_> = stayed.collect();
        assert_eq!(judged(&stayed).faults.len(), 1);
    }

    #[test]
    fn what_is_said_again_and_again_is_a_fault() {
        let mut events = honest();
        events.push(refused(7, Rejection::CpusetForbids, 6 + AGAIN_NS));
        let faults = judged(&events).faults;
        assert_eq!(
            faults,
            ["1 pages are said to be forbidden by a cpuset twice in a minute"]
        );
    }

    #[test]
    fn a_page_that_is_said_to_be_forbidden_and_goes_is_a_fault() {
        let mut events = honest();
        let moved = Moved {
            batch: 2,
            folio: folio(7),
            route: ROUTE,
            heat: 1,
            origin: Vec::new(),
            started_ns: 1000,
            ended_ns: 2000,
        };
        events.push(Event::new(2000, Action::Moved(moved)));
        assert_eq!(judged(&events).faults.len(), 1);
    }
}
