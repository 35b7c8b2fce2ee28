// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
use proptest::prelude::*;

use super::*;

const SOURCE: SourceId = SourceId(0);
const FRAMES: u64 = 40;

fn folio(head: u64, pages: u64) -> Folio {
    Folio {
        head: Pfn(head),
        pages,
    }
}

#[derive(Debug, Clone)]
enum Step {
    Begin(u64, u64),
    /// Ends the move that began first of those that go on.
    End,
    Report {
        source: u32,
        back_ns: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..FRAMES - 8, 1..8_u64).prop_map(|(head, pages)| Step::Begin(head, pages)),
        Just(Step::End),
        (0..2_u32, 0..30_u64).prop_map(|(source, back_ns)| Step::Report { source, back_ns }),
    ]
}

proptest! {
    /// Against a list of all moves that there ever were.
    #[test]
    fn no_report_is_taken_for_what_another_page_did(
        steps in proptest::collection::vec(step(), 1..80),
        runs_max in prop_oneof![Just(4_usize), Just(1000)],
    ) {
        let mut settling = Settling { runs_max, ..Settling::default() };
        settling.expect(SourceId(0));
        settling.expect(SourceId(1));
        let mut moving: Vec<Folio> = Vec::new();
        let mut over: Vec<(Folio, u64)> = Vec::new();
        let mut horizons = [0, 0];
        for (now_ns, step) in (100..).zip(steps) {
            match step {
                Step::Begin(head, pages) => {
                    moving.push(folio(head, pages));
                    settling.begin(folio(head, pages));
                }
                Step::End if !moving.is_empty() => {
                    let folio = moving.remove(0);
                    over.push((folio, now_ns));
                    settling.end(folio, now_ns);
                }
                Step::End => {}
                Step::Report { source, back_ns } => {
                    let horizon = &mut horizons[source as usize];
                    *horizon = (now_ns - back_ns).max(*horizon);
                    settling.reported(SourceId(source), *horizon);
                    for frame in 0..FRAMES {
                        let holds = |folio: &Folio| (folio.head.0..folio.end().0).contains(&frame);
                        let left = |(folio, ended_ns): &(Folio, u64)| holds(folio) && *horizon < *ended_ns;
                        let must_be_void = moving.iter().any(holds) || over.iter().any(left);
                        let is_void = settling.is_void(Pfn(frame), *horizon);
                        prop_assert!(is_void || !must_be_void, "frame {}", frame);
                        // With room enough, and as long as sources keep their word, nothing is void
                        // without need.
                        prop_assert!(!is_void || must_be_void || runs_max == 4, "frame {}", frame);
                    }
                }
            }
            prop_assert!(settling.len() <= runs_max + 2 * moving.len() + 16);
        }
    }
}

#[test]
fn what_no_report_reaches_back_to_is_forgotten() {
    let mut settling = Settling::default();
    settling.expect(SOURCE);
    settling.begin(folio(0, 512));
    settling.end(folio(0, 512), 100);
    assert!(settling.is_void(Pfn(511), 99) && !settling.is_void(Pfn(511), 100));
    assert!(!settling.is_void(Pfn(512), 99));
    settling.reported(SOURCE, 99);
    assert_eq!(settling.len(), 1);
    settling.reported(SOURCE, 100);
    assert_eq!(settling.len(), 0);
    // A source that breaks its word gains nothing by it.
    assert!(settling.is_void(Pfn(7), 50));
}

#[test]
fn a_source_that_is_gone_holds_nothing_back() {
    let mut settling = Settling::default();
    settling.expect(SOURCE);
    settling.expect(SourceId(1));
    settling.begin(folio(0, 1));
    settling.end(folio(0, 1), 100);
    settling.reported(SOURCE, 200);
    assert_eq!(settling.len(), 1);
    settling.dismiss(SourceId(1));
    assert_eq!(settling.len(), 0);
}
