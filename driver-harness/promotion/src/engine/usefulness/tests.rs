// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Promotions that are watched by telemetry that tells the truth, nothing, or something else.

use chmu_machine::stop::StopFlag;

use super::*;
use crate::actuator::Actuator;
use crate::aggregate::SourceId;
use crate::engine::Policy;
use crate::ledger::Totals;
use crate::report::{Health, HotExtent, Place, Report, Weight};
use crate::testing::{SLOW, SimulatedMachine, facts};

const HOT: u64 = 12;
const SECOND: u64 = 1_000_000_000;

struct Bench {
    engine: Engine,
    machine: SimulatedMachine,
    now_ns: u64,
    /// When each page was last used, by name.
    used_ns: BTreeMap<u64, u64>,
}

impl Bench {
    /// Hot pages are promoted, with owners that are known, to where no two are neighbours.
    fn new() -> Bench {
        let machine = SimulatedMachine::with_pages(SLOW..SLOW + HOT);
        machine.find_owners();
        let policy = Policy {
            batching_delay_ns: 0,
            demote_coldest: true,
            ..Policy::default()
        };
        let mut engine = Engine::new(policy, 1);
        engine.begin(vec![facts("one")], "simulated", false, 0);
        engine.use_telemetry("simulated", 500, 0);
        let mut bench = Bench {
            engine,
            machine,
            now_ns: SECOND,
            used_ns: BTreeMap::new(),
        };
        bench.promote();
        bench
    }

    fn promote(&mut self) {
        let report = Report {
            handed_out_ns: self.now_ns,
            earliest_access_ns: self.now_ns,
            extents: vec![HotExtent {
                place: Place::Frames {
                    start: Pfn(SLOW),
                    pages: HOT,
                },
                weight: Weight::accesses(100 * HOT),
                sharing_pages: 1,
                unit: None,
            }],
            ..Report::default()
        };
        let (machine, now_ns) = (self.machine.clone(), self.now_ns);
        let offered = self
            .engine
            .offer(SourceId(0), &report, Health::Good, &machine, now_ns);
        offered.unwrap();
        let stop = StopFlag::new().unwrap();
        while let Some(batch) = self.engine.next_batch(&machine, now_ns).unwrap() {
            let fates = machine.clone().promote_batch(&batch, &stop).unwrap();
            self.engine.completed(&batch, &fates, now_ns, now_ns + 1);
        }
        assert_eq!(machine.promoted().len() as u64, HOT);
        self.now_ns += 2;
    }

    fn ask(&mut self) -> Option<Watch> {
        self.engine.next_watch(&self.machine, self.now_ns).unwrap()
    }

    fn tell(&mut self, watched: Option<Watched>) {
        let told = self.engine.watched(watched, &self.machine, self.now_ns);
        told.unwrap();
    }

    /// A window passes, in which these pages are used at these times after its begin; what is in each
    /// frame at the end is told.
    fn pass(&mut self, watch: &Watch, uses: &[(u64, u64)]) -> Watched {
        let begin_ns = self.now_ns;
        for (name, after_ns) in uses {
            self.used_ns.insert(*name, begin_ns + after_ns);
        }
        self.now_ns += watch.idle_ns;
        let is_used = |frame: &Pfn| {
            let name = self.machine.name_at(frame.0).unwrap();
            self.used_ns
                .get(&name)
                .is_some_and(|used_ns| *used_ns >= begin_ns)
        };
        Watched {
            accessed: watch.frames.iter().map(is_used).collect(),
            idle_ns: watch.idle_ns,
            until_ns: self.now_ns,
        }
    }

    fn end(mut self) -> (Vec<Wasted>, Totals) {
        self.engine.end(self.now_ns);
        let mut wasted = Vec::new();
        for event in self.engine.drain_ledger() {
            match event.action {
                Action::Wasted(one) => wasted.push(one),
                Action::End(totals) => return (wasted, totals),
                _ => {}
            }
        }
        panic!("no end");
    }
}

fn judged(pages_used: u64, pages_wasted: u64, pages_unknown: u64) -> Option<Judged> {
    Some(Judged {
        pages_used,
        pages_wasted,
        pages_unknown,
    })
}

/// Asks until all are watched; the simulated machine puts pages side by side.
fn watch_all(bench: &mut Bench, uses: &[(u64, u64)]) -> u64 {
    let mut frames = 0;
    while let Some(watch) = bench.ask() {
        assert!(
            watch
                .frames
                .windows(2)
                .all(|pair| pair[1].0 > pair[0].0 + 1)
        );
        frames += watch.frames.len() as u64;
        let watched = bench.pass(&watch, uses);
        bench.tell(Some(watched));
    }
    frames
}

#[test]
fn a_promotion_is_wasted_that_nobody_used_for_a_whole_window() {
    let mut bench = Bench::new();
    // One is used early, one in the last moment.
    let uses = [(SLOW, 1), (SLOW + 3, WINDOW_NS)];
    assert_eq!(watch_all(&mut bench, &uses), HOT, "each once");
    let (wasted, totals) = bench.end();
    assert_eq!(totals.usefulness, judged(2, HOT - 2, 0));
    assert_eq!(wasted.len() as u64, HOT - 2);
    let names: Vec<_> = wasted.iter().map(|one| one.owner.address / 4096).collect();
    assert!(
        !names.contains(&SLOW) && !names.contains(&(SLOW + 3)),
        "{names:x?}"
    );
    assert!(
        wasted
            .iter()
            .all(|one| one.idle_ns == WINDOW_NS && one.node == NodeId(0))
    );
}

#[test]
fn telemetry_that_is_silent_condemns_nobody() {
    let mut bench = Bench::new();
    let watch = bench.ask().unwrap();
    bench.now_ns += WINDOW_NS;
    bench.tell(None);
    let some = watch.frames.len() as u64;
    let watch = bench.ask().unwrap();
    // It answers less than it was asked.
    bench.now_ns += WINDOW_NS;
    bench.tell(Some(Watched {
        accessed: vec![false],
        idle_ns: WINDOW_NS,
        until_ns: bench.now_ns,
    }));
    let more = watch.frames.len() as u64;
    let (wasted, totals) = bench.end();
    assert_eq!(wasted.len(), 1);
    assert_eq!(totals.usefulness, judged(0, 1, some + more - 1));
}

#[test]
fn what_was_seen_too_short_or_before_the_promotion_condemns_nobody() {
    for (idle_ns, until_ns) in [
        (WINDOW_NS - 1, SECOND + WINDOW_NS + 2),
        (WINDOW_NS, SECOND + WINDOW_NS),
    ] {
        let mut bench = Bench::new();
        let watch = bench.ask().unwrap();
        bench.now_ns += WINDOW_NS;
        bench.tell(Some(Watched {
            accessed: vec![false; watch.frames.len()],
            idle_ns,
            until_ns,
        }));
        let (wasted, totals) = bench.end();
        assert_eq!(wasted, []);
        assert_eq!(totals.usefulness, judged(0, 0, watch.frames.len() as u64));
    }
}

#[test]
fn a_page_that_has_been_moved_on_is_not_known() {
    let mut bench = Bench::new();
    let watch = bench.ask().unwrap();
    let watched = bench.pass(&watch, &[]);
    // Somebody else sends one to slow memory meanwhile, and another page is where it was.
    let frame = watch.frames[0];
    let folio = Folio {
        head: frame,
        pages: 1,
    };
    let name = bench.machine.name_at(frame.0).unwrap();
    bench.machine.send_down(folio);
    bench.machine.place(folio, SLOW - 1);
    bench.tell(Some(watched));
    let (wasted, totals) = bench.end();
    assert!(wasted.iter().all(|one| one.owner.address != name * 4096));
    let others = watch.frames.len() as u64 - 1;
    assert_eq!(wasted.len() as u64, others);
    assert_eq!(totals.usefulness, judged(0, others, 1));
}

#[test]
fn without_telemetry_nothing_is_known() {
    let machine = SimulatedMachine::with_pages(SLOW..SLOW + HOT);
    machine.find_owners();
    let mut engine = Engine::new(Policy::default(), 1);
    engine.begin(vec![facts("one")], "simulated", false, 0);
    assert_eq!(engine.next_watch(&machine, SECOND).unwrap(), None);
    engine.end(SECOND);
    let last = engine.drain_ledger().pop();
    let Some(Action::End(totals)) = last.map(|event| event.action) else {
        panic!("no end");
    };
    assert_eq!(totals.usefulness, None);
}

#[test]
fn a_full_target_comes_first() {
    let mut bench = Bench::new();
    bench.machine.set_headroom(0, 0);
    bench.machine.place(
        Folio {
            head: Pfn(SLOW + 100),
            pages: 1,
        },
        SLOW + 100,
    );
    // A page that is not promoted of late may go, and is asked for before promotions are.
    let own = Folio {
        head: Pfn(0x4000),
        pages: 1,
    };
    bench.machine.place(own, 0x4000);
    let report = Report {
        handed_out_ns: bench.now_ns,
        earliest_access_ns: bench.now_ns,
        extents: vec![HotExtent {
            place: Place::Frames {
                start: Pfn(SLOW + 100),
                pages: 1,
            },
            weight: Weight::accesses(100),
            sharing_pages: 1,
            unit: None,
        }],
        ..Report::default()
    };
    let (machine, now_ns) = (bench.machine.clone(), bench.now_ns);
    let offered = bench
        .engine
        .offer(SourceId(0), &report, Health::Good, &machine, now_ns);
    offered.unwrap();
    let watch = loop {
        match bench.ask() {
            Some(watch) => break watch,
            None => assert!(bench.engine.is_searching()),
        }
    };
    assert_eq!(watch.frames, [Pfn(0x4000)]);
}
