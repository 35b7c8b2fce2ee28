// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use std::collections::{BTreeMap, BTreeSet};

use chmu_machine::node::NodeId;
use chmu_promotion::Rejection;
use chmu_promotion::ledger::{Action, Begin, Event};
use chmu_spec::address::Pfn;
use proptest::prelude::*;

use super::*;
use crate::evidence::{Truth, Whereabouts, Witness};
use crate::ledger::tests::{
    BATCH_NS, FAST, SLOW, batch, begin, close, folio, ledger, moved, run_of, seen, stayed,
    with_causes,
};
use crate::workload::checks::WrongAccess;
use crate::workload::state::{Phase, State, Verified};
use crate::workload::{Verification, WrongWord};

const OTHER: NodeId = NodeId(2);
const PAGES: u64 = 1024;

/// A workload whose pages 0 to 511 start in frames 512 to 1023 and so on; pages 1, 3 and 600 are hot.
fn state() -> State {
    State {
        phase: Phase::Running,
        pages: PAGES,
        hot_pages: vec![1, 3, 600],
        hot_since_ns: Some(10),
        start_frames: Some((512..512 + PAGES).collect()),
        ready_monotonic_ns: 5,
        first_touch_monotonic_ns: Some(10),
        verified: Some(Verified {
            time_ns: 99 * BATCH_NS,
            verification: Verification {
                pages_checked: PAGES,
                ..Verification::default()
            },
        }),
        ..crate::workload::state::tests::state()
    }
}

impl Witness {
    /// What a workload says of itself.
    fn state_mut(&mut self) -> &mut State {
        match &mut self.truth {
            Truth::Told(state) => state,
            Truth::Observed(observed) => panic!("{observed:?} is told by nobody"),
        }
    }
}

fn at(node: NodeId, frame: u64) -> Whereabouts {
    Whereabouts::Present {
        node,
        frame: Some(Pfn(frame)),
    }
}

/// The workload after the promotion of exactly its hot pages, one after the other.
fn promoted() -> (Witness, Vec<Event>) {
    let mut whereabouts: Vec<_> = (0..PAGES).map(|page| at(SLOW, 512 + page)).collect();
    for page in [1, 3, 600] {
        whereabouts[page] = at(FAST, 90_000 + page as u64);
    }
    let folios = [folio(513, 1), folio(515, 1), folio(1112, 1)];
    (
        Witness {
            truth: Truth::Told(Box::new(state())),
            whereabouts,
        },
        run_of(&folios),
    )
}

fn evidence(witness: Witness, events: Vec<Event>) -> Evidence {
    Evidence {
        witnesses: vec![witness],
        ledger: Some(ledger(close(events))),
        targets: BTreeMap::from([(SLOW, vec![FAST])]),
        demotion_targets: BTreeMap::from([(FAST, vec![SLOW])]),
        now_ns: 100 * BATCH_NS,
    }
}

fn verdict(evidence: &Evidence) -> Verdict {
    judge(evidence, &Demands::default(), "tests")
}

fn reasons(verdict: &Verdict) -> BTreeSet<Reason> {
    verdict
        .findings
        .iter()
        .map(|finding| finding.reason)
        .collect()
}

#[test]
fn a_perfect_promotion_passes_every_claim() {
    let (witness, events) = promoted();
    let verdict = verdict(&evidence(witness, events));
    assert_eq!(verdict.verdict, Outcome::Pass, "{verdict}");
    assert!(
        verdict
            .claims
            .iter()
            .all(|one| one.outcome == Outcome::Pass)
    );
    assert_eq!((verdict.precision, verdict.recall), (Some(1.0), Some(1.0)));
    assert_eq!(
        (
            verdict.counts.promoted_pages,
            verdict.counts.promoted_folios
        ),
        (3, 3)
    );
    let ledger = verdict.ledger.unwrap();
    assert_eq!(
        (
            ledger.folios_moved,
            ledger.pages_moved,
            ledger.foreign_pages_moved
        ),
        (3, 3, 0)
    );
}

#[test]
fn a_verdict_is_read_back_as_it_was_written() {
    let (witness, events) = promoted();
    let verdict = verdict(&evidence(witness, events));
    let text = serde_json::to_string(&verdict).unwrap();
    assert_eq!(serde_json::from_str::<Verdict>(&text).unwrap(), verdict);
    for field in [
        "recall",
        "precision",
        "ledger",
        "wrong_pages_promoted",
        "claims",
    ] {
        let mut object = serde_json::json!(verdict);
        object.as_object_mut().unwrap().remove(field);
        assert!(
            serde_json::from_value::<Verdict>(object).is_err(),
            "{field}"
        );
    }
}

#[test]
fn nothing_promoted_is_a_failure() {
    let (mut witness, _) = promoted();
    witness.whereabouts = (0..PAGES).map(|page| at(SLOW, 512 + page)).collect();
    let verdict = verdict(&evidence(witness, vec![begin(&[])]));
    assert_eq!(verdict.verdict, Outcome::Fail);
    assert_eq!(reasons(&verdict), BTreeSet::from([Reason::NotPromoted]));
    assert_eq!((verdict.recall, verdict.precision), (Some(0.0), None));
    assert_eq!(verdict.findings[0].examples[0].detail, "was never reported");
}

#[test]
fn without_a_ledger_what_needs_one_stays_unproved() {
    let (witness, events) = promoted();
    let mut evidence = evidence(witness, events);
    evidence.ledger = None;
    let verdict = verdict(&evidence);
    assert_eq!(verdict.verdict, Outcome::Unproved);
    for judgement in &verdict.claims {
        let expected = match judgement.claim.needs_ledger() {
            true => Outcome::Unproved,
            false => Outcome::Pass,
        };
        assert_eq!(judgement.outcome, expected, "{judgement:?}");
    }
    assert!(verdict.to_string().contains("there is no ledger"));
}

#[test]
fn what_nobody_looked_at_is_unproved() {
    let outcome = |claim, change: fn(&mut Witness)| {
        let (mut witness, events) = promoted();
        change(&mut witness);
        verdict(&evidence(witness, events)).outcome(claim)
    };
    let unseen: [fn(&mut Witness); 3] = [
        |witness| witness.state_mut().verified = None,
        |witness| verified(witness).verification.pages_checked -= 1,
        // Before the last move.
        |witness| verified(witness).time_ns = 3 * BATCH_NS - 1,
    ];
    for change in unseen {
        assert_eq!(outcome(Claim::Content, change), Outcome::Unproved);
    }
    let hidden = |witness: &mut Witness| {
        witness.state_mut().start_frames = None;
        for place in &mut witness.whereabouts {
            if let Whereabouts::Present { frame, .. } = place {
                *frame = None;
            }
        }
    };
    assert_eq!(outcome(Claim::Precision, hidden), Outcome::Unproved);
    let no_hot = |witness: &mut Witness| {
        witness.state_mut().hot_pages.clear();
        witness.whereabouts = (0..PAGES).map(|page| at(SLOW, 512 + page)).collect();
    };
    assert_eq!(outcome(Claim::Recall, no_hot), Outcome::Unproved);
}

/// A way to be wrong, and the reasons that must be given for it.
type Wrong = (fn(&mut Witness, &mut Vec<Event>), &'static [Reason]);

const WRONG: [Wrong; 26] = [
    (
        |_, events| events[1] = seen(folio(513, 1), 2, 1),
        &[Reason::LedgerOrder],
    ),
    (
        |_, events| {
            edit(&mut events[0], |begin| {
                drop(begin.policy.remove("pages_per_second"))
            })
        },
        &[Reason::LedgerBeginning],
    ),
    (
        |_, events| {
            edit(&mut events[0], |begin| {
                drop(begin.policy.remove("patience_ns"))
            })
        },
        &[Reason::LedgerBeginning],
    ),
    (
        |_, events| {
            edit(&mut events[0], |begin| {
                let rate = serde_json::json!("1");
                begin.policy.insert("pages_per_second".into(), rate);
            });
        },
        &[Reason::LedgerBeginning],
    ),
    (
        |_, events| edit(&mut events[0], |begin| begin.sources.clear()),
        &[Reason::LedgerBeginning],
    ),
    (
        |_, events| {
            edit(&mut events[0], |begin| {
                begin.sources[0].name = "nobody".into()
            })
        },
        &[Reason::LedgerBeginning],
    ),
    (
        |_, events| edit(&mut events[0], |begin| begin.actuator = "dry-run".into()),
        &[Reason::LedgerBeginning],
    ),
    (
        |_, events| events.push(seen(folio(513, 1), 1, 101 * BATCH_NS)),
        &[Reason::LedgerOrder],
    ),
    (
        |witness, _| witness.whereabouts[0] = at(FAST, 5),
        &[Reason::ColdPageMoved, Reason::MovedByOthers],
    ),
    // It came back: only its frame tells.
    (
        |witness, _| witness.whereabouts[0] = at(SLOW, 5),
        &[Reason::ColdPageMoved, Reason::MovedByOthers],
    ),
    (
        |witness, _| witness.whereabouts[3] = at(OTHER, 5),
        &[Reason::ThirdNode, Reason::OtherNodeThanSaid],
    ),
    (
        |witness, _| witness.whereabouts[0] = Whereabouts::Absent(2),
        &[Reason::PageGone],
    ),
    (
        |witness, _| witness.whereabouts[1] = at(SLOW, 513),
        &[Reason::SaidMovedButStayed, Reason::NotPromoted],
    ),
    (
        |witness, _| witness.whereabouts[1] = at(SLOW, 7),
        &[Reason::CameBack, Reason::NotPromoted],
    ),
    (
        |_, events| {
            events.drain(1..4);
        },
        &[Reason::MovedByOthers],
    ),
    (
        |_, events| {
            events[3] = stayed(1, folio(513, 1), BATCH_NS);
        },
        &[Reason::SaidStayedButMoved],
    ),
    (
        |_, events| {
            events.remove(1);
        },
        &[Reason::NeverReported],
    ),
    (
        |_, events| {
            let report = events.remove(1);
            events.insert(3, seen(folio(513, 1), 0, BATCH_NS + 1));
            drop(report);
        },
        &[Reason::MovedBeforeReported],
    ),
    (
        |_, events| {
            events.push(batch(4, &[folio(513, 1)], 4 * BATCH_NS));
            events.push(moved(4, folio(513, 1), 4 * BATCH_NS + 2000));
        },
        &[Reason::MovedTwice],
    ),
    (
        |witness, _| witness.state_mut().hot_since_ns = Some(2 * BATCH_NS),
        &[Reason::MovedBeforeHot],
    ),
    (
        |witness, _| {
            witness
                .state_mut()
                .move_hot_set(&[1, 3], 3 * BATCH_NS - 2000)
        },
        &[Reason::StalePageMoved],
    ),
    (
        |witness, _| {
            let verified = witness.state_mut().verified.as_mut().unwrap();
            verified.verification.corrupt_pages = 1;
            verified.verification.wrong_words.push(WrongWord {
                page: 1,
                place: 9,
                expected: 1,
                found: 2,
            });
        },
        &[Reason::WrongContent],
    ),
    (
        |witness, _| witness.state_mut().checks.add(access(Some(1))),
        &[Reason::OutdatedWord],
    ),
    (
        |witness, _| witness.state_mut().checks.add(access(None)),
        &[Reason::WrongWord],
    ),
    (
        |_, events| events[0] = begin(&[("pages_per_second", 1)]),
        &[],
    ),
    (
        |_, events| {
            events[0] = begin(&[("pages_per_second", 1)]);
            events[5].time_ns = BATCH_NS;
            events[6] = moved(2, folio(515, 1), BATCH_NS + 3000);
            events[9] = moved(3, folio(1112, 1), BATCH_NS + 9000);
            events[4] = seen(folio(515, 1), BATCH_NS, BATCH_NS);
            events[7] = seen(folio(1112, 1), BATCH_NS, BATCH_NS + 3000);
            events[8].time_ns = BATCH_NS + 3000;
        },
        &[Reason::OverRate],
    ),
];

fn verified(witness: &mut Witness) -> &mut Verified {
    let verified = witness.state_mut().verified.as_mut();
    verified.unwrap()
}

fn edit(event: &mut Event, change: impl FnOnce(&mut Begin)) {
    if let Action::Begin(begin) = &mut event.action {
        change(begin);
    }
}

fn access(writes_missing: Option<u32>) -> WrongAccess {
    WrongAccess {
        page: 1,
        place: 8,
        expected: 4,
        found: 3,
        writes_missing,
        time_ns: 50,
    }
}

#[test]
fn each_wrong_promotion_is_told_by_its_own_reasons() {
    for (number, (change, expected)) in WRONG.into_iter().enumerate() {
        let (mut witness, mut events) = promoted();
        change(&mut witness, &mut events);
        let verdict = verdict(&evidence(witness, events));
        let expected: BTreeSet<_> = expected.iter().copied().collect();
        assert_eq!(reasons(&verdict), expected, "{number}: {verdict}");
        let passes = verdict.verdict == Outcome::Pass;
        assert_eq!(passes, expected.is_empty(), "{number}: {verdict}");
    }
}

/// The lines of a demotion of one page by the engine, whose owner has it at page `page`.
fn sent_down(page: u64, is_known: bool) -> Vec<Event> {
    let at = |time_ns, action| Event::new(time_ns, action);
    let route = chmu_promotion::Route {
        source: FAST,
        target: SLOW,
    };
    let folio = folio(90_000, 1);
    let owner = chmu_machine::memory::owners::Owner {
        process_id: state().process_id,
        address: state().address + page * state().page_bytes,
    };
    let sent = chmu_promotion::ledger::Sent {
        batch: 4,
        route,
        owner: is_known.then_some(owner),
        idle_ns: 5,
        started_ns: 4 * BATCH_NS,
        ended_ns: 4 * BATCH_NS,
    };
    vec![
        at(
            4 * BATCH_NS,
            Action::Telemetry(chmu_promotion::ledger::TelemetrySaid {
                name: "simulated".to_owned(),
                health: chmu_promotion::report::Health::Good,
            }),
        ),
        at(
            4 * BATCH_NS,
            Action::Demotion(chmu_promotion::ledger::DemotionMade {
                batch: 4,
                route,
                folios: vec![folio],
                wanted_pages: 1,
                room_pages: 0,
                idle_ns: 5,
                idle_until_ns: 4 * BATCH_NS,
            }),
        ),
        at(
            4 * BATCH_NS,
            Action::Demoted(chmu_promotion::ledger::Demoted {
                node: FAST,
                pages: 1,
                folio: Some(folio),
                sent: Some(sent),
            }),
        ),
    ]
}

/// A policy that lets cold pages make room.
fn let_room_be_made(events: &mut [Event]) {
    if let Action::Begin(begin) = &mut events[0].action {
        begin
            .policy
            .insert("demote_coldest".to_owned(), serde_json::Value::Bool(true));
    }
}

#[test]
fn a_promoted_page_that_made_room_was_hot() {
    let (mut witness, mut events) = promoted();
    witness.whereabouts[1] = at(SLOW, 7);
    let_room_be_made(&mut events);
    events.extend(sent_down(1, true));
    let verdict = verdict(&evidence(witness, events));
    assert_eq!(
        reasons(&verdict),
        [Reason::NotPromoted, Reason::HotPageDemoted].into()
    );
    assert_eq!(verdict.counts.demoted_pages, 1);
}

#[test]
fn room_that_another_page_made_explains_no_return() {
    for (page, is_known, explained) in [(2, true, false), (2, false, true)] {
        let (mut witness, mut events) = promoted();
        witness.whereabouts[1] = at(SLOW, 7);
        let_room_be_made(&mut events);
        events.extend(sent_down(page, is_known));
        let verdict = verdict(&evidence(witness, events));
        let is_back = verdict.finding(Reason::CameBack).is_some();
        assert_eq!(is_back, !explained, "{:?}", verdict.findings);
    }
}

#[test]
fn nothing_makes_room_without_the_policy() {
    let (witness, mut events) = promoted();
    events.extend(sent_down(2, false));
    let verdict = verdict(&evidence(witness, events));
    assert_eq!(reasons(&verdict), [Reason::LedgerCauseMissing].into());
}

#[test]
fn a_demotion_that_the_ledger_knows_explains_a_page_that_came_back() {
    let (mut witness, mut events) = promoted();
    witness.whereabouts[1] = at(SLOW, 7);
    let demoted = chmu_promotion::ledger::Demoted {
        node: FAST,
        pages: 1,
        folio: None,
        sent: None,
    };
    events.push(Event::new(4 * BATCH_NS, Action::Demoted(demoted)));
    let verdict = verdict(&evidence(witness, events));
    assert_eq!(
        verdict.outcome(Claim::Attribution),
        Outcome::Pass,
        "{verdict}"
    );
    assert_eq!(verdict.counts.returned_pages, 1);
}

#[test]
fn a_page_that_was_hot_a_moment_before_is_as_late_as_is_allowed() {
    let (mut witness, events) = promoted();
    witness
        .state_mut()
        .move_hot_set(&[1, 3], 3 * BATCH_NS - 2000);
    let evidence = evidence(witness, events);
    let verdict = |lateness_ns| {
        let demands = Demands {
            lateness_ns,
            ..Demands::default()
        };
        judge(&evidence, &demands, "tests").outcome(Claim::Precision)
    };
    assert_eq!(
        [verdict(999), verdict(1000)],
        [Outcome::Fail, Outcome::Pass]
    );
}

/// The workload with its first 512 pages in one folio that was promoted as a whole.
fn huge() -> (Witness, Vec<Event>) {
    let (mut witness, _) = promoted();
    witness.state_mut().large_folios = Some(vec![folio(512, 512)]);
    for page in 0..512 {
        witness.whereabouts[page] = at(FAST, 102_400 + page as u64);
    }
    (witness, run_of(&[folio(512, 512), folio(1112, 1)]))
}

#[test]
fn a_large_folio_takes_its_cold_pages_along() {
    let (witness, events) = huge();
    let verdict = verdict(&evidence(witness, events));
    assert_eq!(verdict.verdict, Outcome::Pass, "{verdict}");
    let counts = &verdict.counts;
    assert_eq!(
        (
            counts.promoted_pages,
            counts.promoted_folios,
            counts.pages_taken_along
        ),
        (513, 2, 510)
    );
    assert_eq!(verdict.precision, Some(1.0));
    assert!(verdict.page_precision.unwrap() < 0.01);
    assert!(
        verdict
            .to_string()
            .contains("513 pages in 2 folios: large folios took 510 cold pages along")
    );
}

#[test]
fn a_cold_page_is_not_excused_by_a_folio_that_was_none() {
    let (mut witness, events) = huge();
    witness.state_mut().large_folios = Some(Vec::new());
    let verdict = verdict(&evidence(witness, events));
    assert_eq!(verdict.counts.wrong_pages_promoted, 510);
    assert_eq!(
        verdict
            .finding(Reason::ColdPageMoved)
            .unwrap()
            .examples
            .len(),
        16
    );
}

#[test]
fn half_a_folio_is_torn() {
    let (mut witness, events) = huge();
    for page in 256..512 {
        witness.whereabouts[page] = at(SLOW, 512 + page as u64);
    }
    let verdict = verdict(&evidence(witness, events));
    assert_eq!(verdict.finding(Reason::FolioTorn).unwrap().count, 256);
    assert_eq!(reasons(&verdict), BTreeSet::from([Reason::FolioTorn]));
}

#[test]
fn a_frame_belongs_to_whoever_started_in_it_last() {
    // A second, cold workload gets the frame that the first one's hot page left.
    let (witness, mut events) = promoted();
    let mut second = witness.clone();
    second.state_mut().process_id = 8;
    second.state_mut().pages = 1;
    verified(&mut second).verification.pages_checked = 1;
    second.state_mut().hot_pages.clear();
    second.state_mut().start_frames = Some(vec![513]);
    second.state_mut().ready_monotonic_ns = 3 * BATCH_NS;
    second.whereabouts = vec![at(SLOW, 513)];
    let both = |second: &Witness, events: Vec<Event>| {
        let mut evidence = evidence(witness.clone(), events);
        evidence.witnesses.push(second.clone());
        verdict(&evidence)
    };
    let right = both(&second, events.clone());
    assert_eq!(right.verdict, Outcome::Pass, "{right}");
    // A void report of the frame moves what is in it now.
    events.push(batch(4, &[folio(513, 1)], 4 * BATCH_NS));
    events.push(moved(4, folio(513, 1), 4 * BATCH_NS + 2000));
    second.whereabouts = vec![at(FAST, 3)];
    let wrong = both(&second, events);
    let expected = BTreeSet::from([Reason::ColdPageMoved, Reason::MovedTwice]);
    assert_eq!(reasons(&wrong), expected, "{wrong}");
    assert_eq!(wrong.findings[0].examples[0].process_id, Some(8));
}

#[test]
fn a_page_that_two_workloads_share_moves_once_for_both() {
    let (witness, events) = promoted();
    let mut second = witness.clone();
    second.state_mut().ready_monotonic_ns = 9;
    let mut evidence = evidence(witness, events);
    evidence.witnesses.push(second);
    let verdict = verdict(&evidence);
    assert_eq!(verdict.verdict, Outcome::Pass, "{verdict}");
    assert_eq!(verdict.ledger.unwrap().foreign_pages_moved, 0);
}

#[test]
fn pages_of_others_are_counted_and_forbidden_where_that_is_asked_for() {
    let (witness, mut events) = promoted();
    let stranger = folio(77, 1);
    events.push(seen(stranger, 3 * BATCH_NS, 3 * BATCH_NS + 1));
    events.push(batch(4, &[stranger], 4 * BATCH_NS));
    events.push(moved(4, stranger, 4 * BATCH_NS + 2000));
    let evidence = evidence(witness, events);
    let verdict = |exclusive| {
        let demands = Demands {
            exclusive,
            ..Demands::default()
        };
        judge(&evidence, &demands, "tests")
    };
    let allowed = verdict(false);
    assert_eq!(allowed.verdict, Outcome::Pass, "{allowed}");
    assert_eq!(allowed.ledger.unwrap().foreign_pages_moved, 1);
    assert_eq!(
        reasons(&verdict(true)),
        BTreeSet::from([Reason::ForeignPageMoved])
    );
}

proptest! {
    #[test]
    fn the_counts_agree_with_counting(
        pages in proptest::collection::vec((any::<bool>(), 0..3_u32), 1..60)
    ) {
        let hot: Vec<_> = (0..).zip(&pages).filter(|(_, page)| page.0).map(|(n, _)| n).collect();
        let whereabouts = (0..).zip(&pages);
        let whereabouts: Vec<_> = whereabouts
            .map(|(page, (_, node))| match NodeId(*node) {
                SLOW => at(SLOW, 512 + page),
                node => at(node, 90_000 + page),
            })
            .collect();
        let mut witness = Witness { truth: Truth::Told(Box::new(state())), whereabouts };
        witness.state_mut().pages = pages.len() as u64;
        witness.state_mut().start_frames = Some((512..512 + pages.len() as u64).collect());
        witness.state_mut().hot_pages = hot.clone();
        let mut evidence = evidence(witness, vec![begin(&[])]);
        evidence.ledger = None;
        let verdict = verdict(&evidence);
        let count = |wanted: &dyn Fn(&(bool, u32)) -> bool| {
            pages.iter().filter(|page| wanted(page)).count() as u64
        };
        let away = count(&|page| page.1 != 1);
        let right = count(&|page| page.0 && page.1 != 1);
        let counts = &verdict.counts;
        prop_assert_eq!(counts.promoted_pages, away);
        prop_assert_eq!(counts.wrong_pages_promoted, away - right);
        prop_assert_eq!(counts.pages_on_wrong_node, count(&|page| page.1 == 2));
        prop_assert_eq!(counts.pages_by_node.values().sum::<u64>(), pages.len() as u64);
        let all_right = away == right
            && counts.pages_on_wrong_node == 0
            && 100 * right >= 95 * hot.len() as u64;
        prop_assert_eq!(verdict.verdict == Outcome::Fail, !all_right);
        if away > 0 {
            prop_assert_eq!(verdict.precision, Some(right as f64 / away as f64));
        }
    }
}

#[test]
fn what_the_engine_could_not_see_may_have_moved_where_it_was_sent_and_nowhere_else() {
    let reasons_of = |node, reason| {
        let (mut witness, mut events) = promoted();
        witness.whereabouts[1] = at(node, 7);
        let Action::Refused(mut refused) = stayed(1, folio(513, 1), BATCH_NS).action else {
            panic!("it is one");
        };
        refused.reason = reason;
        events[3] = Event::new(BATCH_NS, Action::Refused(refused));
        reasons(&verdict(&evidence(witness, events)))
    };
    assert_eq!(reasons_of(FAST, Rejection::Unseen), BTreeSet::new());
    assert_eq!(
        reasons_of(OTHER, Rejection::Unseen),
        BTreeSet::from([Reason::SaidStayedButMoved, Reason::ThirdNode])
    );
    assert_eq!(
        reasons_of(FAST, Rejection::AnotherPage),
        BTreeSet::from([Reason::MovedByOthers])
    );
}

#[test]
fn a_killed_engine_may_have_moved_what_was_on_its_way_and_nothing_else() {
    let reasons_of = |killed, change: fn(&mut Witness)| {
        let (mut witness, mut events) = promoted();
        events.pop();
        change(&mut witness);
        let evidence = Evidence {
            ledger: Some(ledger(with_causes(events))),
            ..evidence(witness, run_of(&[]))
        };
        let demands = Demands {
            killed,
            ..Demands::default()
        };
        reasons(&judge(&evidence, &demands, "tests"))
    };
    assert_eq!(reasons_of(true, |_| {}), BTreeSet::new());
    let stays = |witness: &mut Witness| witness.whereabouts[600] = at(SLOW, 1112);
    assert_eq!(
        reasons_of(true, stays),
        BTreeSet::from([Reason::NotPromoted])
    );
    let elsewhere = |witness: &mut Witness| witness.whereabouts[600] = at(OTHER, 7);
    assert_eq!(
        reasons_of(true, elsewhere),
        BTreeSet::from([Reason::MovedByOthers, Reason::ThirdNode])
    );
    let another = |witness: &mut Witness| witness.whereabouts[0] = at(FAST, 7);
    assert_eq!(
        reasons_of(true, another),
        BTreeSet::from([Reason::ColdPageMoved, Reason::MovedByOthers])
    );
    assert_eq!(
        reasons_of(false, |_| {}),
        BTreeSet::from([
            Reason::LedgerUnfinished,
            Reason::LedgerFateMissing,
            Reason::MovedByOthers
        ])
    );
}
